// SPDX-License-Identifier: Apache-2.0
/*
 * test_damage.c: one word of a store is wrong, and all checksums are right: each is refused by the
 * check that is there for it. (test_log_damage.c: the log; fuzz.c: whatever comes.)
 */
#include "harness.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "persistence/pages.h"
#include "persistence/roots.h"
#include "persistence/slab.h"
#include "persistence/superblock.h"

/* ------------------------------------------------------------------ superblocks, the root page */

static struct sj_super super;
static struct sj_root_page root_page;
static uint64_t file_bytes;

/* The segment, made anew and closed, with `super` and `root_page` to be changed. */
static void take(void)
{
    uint64_t which;
    (void)remove(test_path("words"));
    struct sj_segment *segment = test_segment("words");
    CHECK_OK(sj_segment_close(segment, true));
    int fd = open(test_path("words"), O_RDWR);
    CHECK(fd >= 0);
    CHECK_OK(sj_super_read(fd, "words", &super, &which));
    CHECK(pread(fd, &root_page, sizeof root_page, SJ_ROOT_PAGE_AT) == (ssize_t)sizeof root_page);
    file_bytes = (uint64_t)lseek(fd, 0, SEEK_END);
    close(fd);
}

/* Writes both superblocks and the root page; what opening the segment answers. */
static int give(bool writable)
{
    struct sj_segment *segment = NULL;
    int fd = open(test_path("words"), O_RDWR);
    CHECK(fd >= 0);
    super.checksum = sj_super_checksum(&super);
    CHECK(pwrite(fd, &super, sizeof super, SJ_SUPER_A) == (ssize_t)sizeof super);
    CHECK(pwrite(fd, &super, sizeof super, SJ_SUPER_B) == (ssize_t)sizeof super);
    CHECK(pwrite(fd, &root_page, sizeof root_page, SJ_ROOT_PAGE_AT) == (ssize_t)sizeof root_page);
    close(fd);
    int error = sj_segment_open(test_path("words"), writable, true, false, &segment);
    if (error == SJ_OK)
        CHECK_OK(sj_segment_close(segment, false));
    return error;
}

#define REFUSED(change, error)                                                                     \
    do {                                                                                           \
        take();                                                                                    \
        change;                                                                                    \
        CHECK(give(true) == (error));                                                              \
    } while (0)

#define OUTSIDE(change)                                                                            \
    do {                                                                                           \
        REFUSED(change, SJ_ECORRUPT);                                                              \
        CHECK(strstr(sj_error_detail(), "outside the arena") != NULL);                             \
    } while (0)

static void superblocks_are_what_this_version_can_read(void)
{
    take();
    CHECK_OK(give(true));
    REFUSED(super.magic++, SJ_EFORMAT);
    REFUSED(super.byte_order = __builtin_bswap64(SJ_BYTE_ORDER_MARK), SJ_EVERSION);
    REFUSED(super.version++, SJ_EVERSION);
    REFUSED(super.features_incompat |= 1ull << 63, SJ_EVERSION);
    REFUSED(super.page_bytes = 65536, SJ_EVERSION);
    REFUSED(super.features_ro_compat = 2, SJ_EVERSION);
    take();
    super.features_ro_compat = 2;
    CHECK_OK(give(false));
    OUTSIDE(super.base += SJ_PAGE);
    OUTSIDE(super.base = SJ_ARENA_FIRST - SJ_GIB);
    OUTSIDE(super.base = SJ_ARENA_END);
    OUTSIDE(super.base = SJ_ARENA_END + SJ_GIB);
    OUTSIDE((super.base = SJ_ARENA_END - SJ_GIB, super.reserved = 2 * SJ_GIB));
    OUTSIDE(super.reserved += SJ_PAGE);
    OUTSIDE(super.reserved = 0);
    REFUSED((super.name_bytes = 0, super.name[0] = '\0'), SJ_ECORRUPT);
    REFUSED((super.name_bytes = 256, memset(super.name, 'n', 256)), SJ_ECORRUPT);
    REFUSED(super.name[1] = '\0', SJ_ECORRUPT);
}

static void the_root_page_fits_the_file(void)
{
    REFUSED(root_page.committed = file_bytes + SJ_PAGE, SJ_ETRUNCATED);
    REFUSED(root_page.committed = SJ_PAGE, SJ_ECORRUPT);
    REFUSED(root_page.committed -= 8, SJ_ECORRUPT);
    REFUSED(root_page.chunks = super.reserved / SJ_CHUNK + 1, SJ_ECORRUPT);
    take();
    CHECK(truncate(test_path("words"), (off_t)(2 * SJ_GIB)) == 0);
    root_page.committed = SJ_GIB + SJ_PAGE;
    CHECK(give(true) == SJ_ECORRUPT);
    take();
    CHECK(truncate(test_path("words"), SJ_ROOT_PAGE_AT + 8) == 0);
    struct sj_segment *segment;
    CHECK(sj_segment_open(test_path("words"), true, true, false, &segment) == SJ_ETRUNCATED);
    CHECK(truncate(test_path("words"), SJ_ROOT_PAGE_AT) == 0);
    CHECK(sj_segment_open(test_path("words"), true, true, false, &segment) == SJ_ETRUNCATED);
    CHECK(truncate(test_path("words"), SJ_SUPER_B + 8) == 0);
    CHECK(sj_segment_open(test_path("words"), true, true, false, &segment) == SJ_EFORMAT);
    CHECK(remove(test_path("words")) == 0 && mkdir(test_path("words"), 0700) == 0);
    CHECK(sj_segment_open(test_path("words"), false, true, false, &segment) != SJ_OK);
    CHECK(rmdir(test_path("words")) == 0 && mkfifo(test_path("words"), 0600) == 0);
    CHECK(sj_segment_open(test_path("words"), true, true, false, &segment) == SJ_EFORMAT);
    CHECK(remove(test_path("words")) == 0);
}

/* ------------------------------------------------------------------ the heap */

static struct sj_segment *segment;
static uint64_t run_of_pages, run_of_chunks, last_run, far_run, small, other;

static uint64_t alloc(uint64_t bytes)
{
    void *block;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_alloc(segment, bytes, &block));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    return (uint64_t)(uintptr_t)block;
}

static void make_heap(void)
{
    (void)remove(test_path("heap"));
    segment = test_segment("heap");
    small = alloc(140);
    for (int i = 0; i < 150; i++)
        other = alloc(140); /* in a second slab of the class */
    run_of_pages = alloc(20000);
    run_of_chunks = alloc(6 << 20);
    last_run = alloc(2 << 20);
    far_run = alloc(490 * SJ_PAGE); /* in a chunk of pages of its own */
    (void)alloc(4000);              /* in a slab of another class */
    struct sj_heap_stats stats;
    CHECK_OK(sj_heap_stats(segment, &stats));
    CHECK(stats.live_bytes + stats.free_bytes + stats.meta_bytes == stats.file_bytes);
}

static uint64_t *page_word_of(uint64_t block)
{
    uint64_t offset = block - TEST_BASE;
    return sj_page_words(segment, offset / SJ_CHUNK) + offset % SJ_CHUNK / SJ_PAGE;
}

static struct sj_slab *slab_of(uint64_t block)
{
    struct sj_page_run run;
    CHECK_OK(sj_pages_find(segment, block, &run));
    return (struct sj_slab *)(uintptr_t)run.at;
}

/* The heap's check finds the changed word, among others, and says what it looked for. */
static void is_found_when(void *word, uint64_t value, const char *expected)
{
    struct sj_heap_stats stats;
    uint64_t old = *(uint64_t *)word;
    *(uint64_t *)word = value;
    CHECK(sj_heap_stats(segment, &stats) == SJ_ECORRUPT);
    CHECK(strstr(sj_error_detail(), expected) != NULL);
    *(uint64_t *)word = old;
}

/* The same when nothing else is wrong. */
static void is_found(void *word, uint64_t value, const char *expected)
{
    struct sj_heap_stats stats;
    is_found_when(word, value, expected);
    CHECK_OK(sj_heap_stats(segment, &stats));
}

/* A block of that size is not to be had, for the heap is damaged. */
static void is_refused(void *word, uint64_t value, uint64_t bytes)
{
    uint64_t old = *(uint64_t *)word;
    void *block;
    *(uint64_t *)word = value;
    CHECK_OK(sj_tx_op_begin(segment));
    sj_segment_forget_hints(segment);
    int error = sj_heap_alloc(segment, bytes, &block);
    CHECK(sj_tx_op_abort(segment, error == SJ_OK ? SJ_EINVAL : error) == SJ_ECORRUPT);
    *(uint64_t *)word = old;
}

#define WORD(kind, class, count)                                                                   \
    ((uint64_t)(kind) | (uint64_t)(class) << 8 | (uint64_t)(count) << 32)

static void descriptors_fit_each_other(void)
{
    const char *page = "a page descriptor", *chunk = "a chunk descriptor";
    uint64_t *words = page_word_of(run_of_pages), word = *words;
    uint64_t *last = sj_chunk_word(segment, (run_of_chunks - TEST_BASE) / SJ_CHUNK);
    is_found(words, WORD(SJ_PAGE_KIND(word), 0, 0), page);
    is_found(words, WORD(SJ_PAGE_KIND(word), 0, SJ_CHUNK_PAGES), page);
    is_found(words, WORD(SJ_PAGE_RUN + 1, 0, SJ_PAGE_RUN_PAGES(word)), page);
    is_found(words, WORD(SJ_PAGE_FREE, 1, SJ_PAGE_RUN_PAGES(word)), page);
    is_found(words, WORD(SJ_PAGE_META, 0, SJ_PAGE_RUN_PAGES(word)), page);
    is_found(words, WORD(SJ_PAGE_KIND(word), 0, SJ_PAGE_RUN_PAGES(word) - 1), "free pages");
    is_found(last, WORD(SJ_CHUNK_HUGE, 0, 0), chunk);
    is_found(last, WORD(SJ_CHUNK_HUGE, 0, 1000), chunk);
    is_found(last, WORD(SJ_CHUNK_META + 1, 0, 1), chunk);
    is_found(last, WORD(SJ_CHUNK_UNUSED, 0, 2), chunk);
    uint64_t *first = sj_chunk_word(segment, 0), free = SJ_CHUNK_FREE(*first);
    is_found(first, WORD(SJ_CHUNK_PAGED, free - 1, 1), "free pages");
    is_found(first, WORD(SJ_CHUNK_PAGED, free, 2), "free pages");
    is_found(first, WORD(SJ_CHUNK_LOG, 0, 1), "a chunk or page descriptor");
    is_found(sj_page_words(segment, 0), WORD(SJ_PAGE_META, 0, 1), "a chunk or page descriptor");
    uint64_t *chunks = &segment->root_page->chunks;
    is_found(chunks, 0, "a chunk or page descriptor");
    is_found(chunks, segment->reserved / SJ_CHUNK + 1, "a chunk or page descriptor");
    is_found(chunks, *chunks + 50, "a chunk or page descriptor");
}

static void nothing_is_allocated_from_what_does_not_fit(void)
{
    uint64_t *words = page_word_of(run_of_pages), word = *words, pages = SJ_PAGE_RUN_PAGES(word);
    uint64_t *chunk = sj_chunk_word(segment, (run_of_chunks - TEST_BASE) / SJ_CHUNK);
    const uint64_t some = 50 * SJ_PAGE, many = 9 << 20;
    is_refused(words, WORD(SJ_PAGE_FREE, 1, pages), some);
    is_refused(words, WORD(SJ_PAGE_RUN + 1, 0, pages), some);
    is_refused(words, WORD(SJ_PAGE_RUN, 0, SJ_CHUNK_PAGES), some);
    is_refused(words, WORD(SJ_PAGE_RUN, 0, 0), some);
    is_refused(chunk, WORD(SJ_CHUNK_HUGE, 0, 1000), many);
    is_refused(chunk, WORD(SJ_CHUNK_HUGE, 0, 0), many);
    is_refused(chunk, WORD(SJ_CHUNK_META + 1, 0, 1), many);
    is_refused(chunk, WORD(SJ_CHUNK_META + 1, 0, 1), 3 << 20);
    is_refused(&segment->root_page->chunks, 0, some);
    uint64_t *far_words = sj_page_words(segment, (far_run - TEST_BASE) / SJ_CHUNK);
    is_refused(far_words, WORD(SJ_PAGE_META, 0, 1), 500 * SJ_PAGE);
    is_found(far_words, WORD(SJ_PAGE_META, 0, 1), "the descriptors of a chunk");
    /* The descriptors of the last chunk lie behind the end. */
    uint64_t end = (far_run - TEST_BASE) / SJ_CHUNK * SJ_CHUNK + SJ_PAGE;
    is_refused(&segment->root_page->committed, end, 500 * SJ_PAGE);
    struct sj_slab *two = slab_of(other);
    uint64_t *head = &segment->root_page->partial[two->size_class];
    is_refused(head, (uintptr_t)slab_of(small), 140); /* full */
    CHECK(strstr(sj_error_detail(), "a slab with a free block") != NULL);
    is_refused(head + 1, *head, 160); /* of another class */
    memcpy((void *)(uintptr_t)(run_of_pages + 64), two, sizeof *two);
    is_refused(head, run_of_pages + 64, 140); /* at no page */
    uint64_t last_page = TEST_BASE + sj_segment_committed(segment) - SJ_PAGE;
    uint32_t large = sj_class_of(8192); /* its slabs have more pages than that one */
    *(struct sj_slab *)(uintptr_t)last_page =
        (struct sj_slab){.magic = SJ_SLAB_MAGIC,
                         .size_class = (uint16_t)large,
                         .blocks = (uint16_t)sj_class_blocks(large),
                         .used = {~1ull << 5, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    is_refused(&segment->root_page->partial[large], last_page, 8192);
    is_found(&segment->root_page->committed, far_run - TEST_BASE + SJ_PAGE, "the file backs");
}

/* The last block of a slab is taken, and it leaves a list whose links are wrong. */
static void a_list_with_a_wrong_link_is_not_changed(void)
{
    struct sj_slab *two = slab_of(other);
    int error = SJ_OK, taken = 0;
    void *block;
    two->next = run_of_pages;
    CHECK_OK(sj_tx_op_begin(segment));
    for (; error == SJ_OK && taken < 200; taken++)
        error = sj_heap_alloc(segment, 140, &block);
    CHECK(error == SJ_ECORRUPT);
    CHECK(strstr(sj_error_detail(), "the address of a slab, ") != NULL);
    CHECK(sj_tx_op_abort(segment, error) == SJ_ECORRUPT);
    two->next = 0;
}

static void slabs_are_in_the_list_of_their_class(void)
{
    const char *list = "a list of slabs", *lists = "a list of all slabs";
    struct sj_slab *one = slab_of(small), *two = slab_of(other);
    CHECK(one != two);
    uint64_t *head = &segment->root_page->partial[one->size_class], first = *head;
    uint64_t *word = page_word_of((uintptr_t)two), kind = *word;
    uint64_t of_slab = *(uint64_t *)two;
    is_found(two, of_slab + (1ull << 16), "a slab of its pages' class");
    is_found(two, of_slab ^ 1, "a slab of its pages' class");
    is_found(two, of_slab + (1ull << 32), "a slab of its pages' class");
    is_found(word, WORD(SJ_PAGE_SLAB, one->size_class + 1, SJ_PAGE_RUN_PAGES(kind)),
             "a slab of its pages' class");
    is_found(word, WORD(SJ_PAGE_SLAB, one->size_class, SJ_PAGE_RUN_PAGES(kind) - 1),
             "a slab of its pages' class");
    is_found(&two->used[3], 0, "a slab's bitmap");
    uint64_t *heads = segment->root_page->partial, large = sj_class_of(4000),
             of_large = heads[large];
    CHECK(of_large != 0);
    heads[large] = first; /* each in the other one's list */
    is_found_when(head, of_large, list);
    heads[large] = of_large;
    is_found(head, 0, lists);
    is_found(head, first + 8, list);
    is_found(head, run_of_pages, list);
    is_found(&segment->root_page->partial[one->size_class + 1], first, list);
    is_found(&two->next, (uintptr_t)two, list);
    is_found(head, (uintptr_t)one, list); /* full */
    two->previous = (uintptr_t)two;
    is_found_when(&two->next, (uintptr_t)two, list);
    two->previous = 0;
}

/* Freeing what is no block changes nothing. */
static void cannot_be_freed(uint64_t block)
{
    CHECK_OK(sj_tx_op_begin(segment));
    int error = sj_heap_free(segment, block);
    CHECK(error == SJ_ECORRUPT);
    CHECK(sj_tx_op_abort(segment, error) == SJ_ECORRUPT);
}

static void only_blocks_in_use_are_freed(void)
{
    struct sj_slab *slab = slab_of(small);
    uint64_t bytes = sj_class_bytes(slab->size_class);
    cannot_be_freed(small + 8);
    cannot_be_freed((uintptr_t)slab);
    cannot_be_freed((uintptr_t)slab + 8);
    cannot_be_freed((uintptr_t)slab + sizeof *slab + slab->blocks * bytes);
    cannot_be_freed(run_of_pages + SJ_PAGE);
    cannot_be_freed(last_run + (2 << 20)); /* behind it */
    cannot_be_freed(run_of_chunks + SJ_CHUNK);
    cannot_be_freed(TEST_BASE);
    cannot_be_freed(TEST_BASE + SJ_LOG_AT);
    cannot_be_freed(TEST_BASE + sj_segment_committed(segment));
    cannot_be_freed(TEST_BASE + segment->reserved);
    cannot_be_freed(0);
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_free(segment, small));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    cannot_be_freed(small);
    is_found(&slab_of(other)->previous, 0, "a list of slabs"); /* two are in it now */
    uint64_t *word = page_word_of((uintptr_t)slab), old = *word;
    *word = WORD(SJ_PAGE_SLAB, slab->size_class + 1, SJ_PAGE_RUN_PAGES(old));
    cannot_be_freed(small + bytes);
    uint64_t *second = page_word_of((uintptr_t)slab_of(other)), of_second = *second;
    uint64_t first = (uintptr_t)slab_of(other) + sizeof *slab; /* a block in any class */
    *second = WORD(SJ_PAGE_SLAB, slab->size_class + 1, SJ_PAGE_RUN_PAGES(of_second));
    cannot_be_freed(first);
    *second = WORD(SJ_PAGE_SLAB, slab->size_class, SJ_PAGE_RUN_PAGES(of_second) - 1);
    cannot_be_freed(first);
    *second = of_second;
    uint64_t *chunk = sj_chunk_word(segment, (run_of_chunks - TEST_BASE) / SJ_CHUNK);
    uint64_t of_chunk = *chunk;
    *chunk = WORD(SJ_CHUNK_LOG, 0, 2); /* what is in it may look like descriptors */
    ((uint64_t *)(uintptr_t)run_of_chunks)[5] = WORD(SJ_PAGE_RUN, 0, 1);
    cannot_be_freed(run_of_chunks + 5 * SJ_PAGE);
    *chunk = of_chunk;
    *word = WORD(SJ_PAGE_RUN, 0, SJ_PAGE_RUN_PAGES(old));
    cannot_be_freed(small + bytes);
    *word = old;
    slab->magic ^= 1;
    cannot_be_freed(small + bytes);
    slab->magic ^= 1;
}

/* ------------------------------------------------------------------ many at once */

/* Words wait for the log; those of one operation are more than there is room for. */
static void an_operation_may_have_many_words(void)
{
    uint64_t *words = (uint64_t *)(uintptr_t)alloc(SJ_TX_PENDING * 4 * 8);
    CHECK_OK(sj_tx_op_begin(segment));
    for (uint64_t i = 0; i < SJ_TX_PENDING * 4; i++)
        CHECK_OK(sj_tx_word(segment, &words[i], i));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    for (uint64_t i = 0; i < SJ_TX_PENDING * 4; i++)
        CHECK(words[i] == i);
}

/* What an operation has taken is taken, though its words wait. */
static void an_operation_may_have_many_chunks(void)
{
    void *one, *two;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_alloc(segment, 5 << 20, &one));
    CHECK_OK(sj_heap_alloc(segment, 5 << 20, &two));
    CHECK(one != two);
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    struct sj_heap_stats stats;
    CHECK_OK(sj_heap_stats(segment, &stats));
}

/* Another process has put a run over the place where this one would look next. */
static void a_hint_is_of_one_process_alone(void)
{
    uint64_t one = alloc(5 * SJ_PAGE), two = alloc(3 * SJ_PAGE);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_OK(sj_tx_op_begin(segment));
        CHECK_OK(sj_heap_free(segment, one));
        CHECK_OK(sj_heap_free(segment, two));
        sj_tx_ready(segment);
        CHECK_OK(sj_tx_op_commit(segment));
        CHECK(alloc(8 * SJ_PAGE) == one);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    (void)alloc(3 * SJ_PAGE);
    struct sj_heap_stats stats;
    CHECK_OK(sj_heap_stats(segment, &stats));
}

/* ------------------------------------------------------------------ roots */

static int add_root(const char *name)
{
    CHECK_OK(sj_tx_op_begin(segment));
    int error = sj_root_add(segment, name, strlen(name), SJ_KIND_BTREE, 1, 1, small);
    if (error != SJ_OK)
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    return sj_tx_op_commit(segment);
}

static void is_no_root(void)
{
    struct sj_root *root, *last = NULL;
    int error = SJ_OK, steps = 0;
    CHECK(sj_root_find(segment, "root", 4, &root) == SJ_ECORRUPT);
    do
        error = sj_root_next(segment, last, &last);
    while (error == SJ_OK && last != NULL && ++steps < 1000);
    CHECK(error == SJ_ECORRUPT);
}

static void links_lead_to_roots(void)
{
    struct sj_root *root;
    CHECK_OK(add_root("root"));
    CHECK_OK(sj_root_find(segment, "root", 4, &root));
    struct sj_root old = *root;
    root->kind = SJ_KIND_BLOB;
    is_no_root();
    *root = old;
    root->name_bytes = 0;
    is_no_root();
    root->name_bytes = SJ_NAME_MAX + 1;
    is_no_root();
    *root = old;
    uint64_t *link = NULL;
    for (uint32_t i = 0; i < SJ_ROOT_BUCKETS; i++)
        if (segment->root_page->roots[i] == (uintptr_t)root)
            link = &segment->root_page->roots[i];
    CHECK(link != NULL);
    *link = TEST_BASE + sj_segment_committed(segment) - 32; /* its name lies behind the end */
    *(struct sj_root *)(uintptr_t)*link =
        (struct sj_root){.kind = SJ_KIND_ROOT, .type = SJ_KIND_BTREE, .name_bytes = 200};
    is_no_root();
    *link = (uintptr_t)root;
    root->name[0] = 'R'; /* another name, and a chain that does not end */
    root->next = (uintptr_t)root;
    is_no_root();
    root->name[0] = 'r';
    root->next = old.next;
    CHECK_OK(sj_root_find(segment, "root", 4, &root));
    uint64_t removals = segment->root_page->removals;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_root_remove(segment, "root", 4));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK(segment->root_page->removals != removals); /* who keeps places of roots looks anew */
}

int main(void)
{
    test_begin();
    alarm(10); /* a walk that does not end */
    superblocks_are_what_this_version_can_read();
    the_root_page_fits_the_file();
    make_heap();
    descriptors_fit_each_other();
    nothing_is_allocated_from_what_does_not_fit();
    slabs_are_in_the_list_of_their_class();
    a_list_with_a_wrong_link_is_not_changed();
    only_blocks_in_use_are_freed();
    an_operation_may_have_many_words();
    an_operation_may_have_many_chunks();
    a_hint_is_of_one_process_alone();
    links_lead_to_roots();
    CHECK_OK(sj_segment_close(segment, false));
    printf("ok\n");
    return 0;
}
