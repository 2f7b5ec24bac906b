// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_use.c: everything that can be done with a store, done with a damaged one.
 *
 * Whatever is there, each call must come back, with success or with one of the errors that its
 * header names, and what it gives must be readable. A wrong answer ends the process with abort();
 * so does the sanitizers' report, SIGSEGV, SIGBUS (the file ends where the segment does) and the
 * alarm that the caller has set.
 */
#include <unistd.h>

#include "fuzz_user.h"
#include "persistence/roots.h"
#include "structures/check.h"
#include "structures/salvage.h"
#include "structures/structure.h"

/* ------------------------------------------------------------------ answers */

/* Counts what was expected where damage was found. */
static void count_site(struct fuzz_counters *counters)
{
    const char *text = strstr(sj_error_detail(), "expected ");
    const char *end = text == NULL ? NULL : strstr(text, ", found");
    if (end == NULL)
        return;
    text += strlen("expected ");
    char line[sizeof counters->site[0].text] = "";
    size_t size = (size_t)(end - text);
    memcpy(line, text, size < sizeof line ? size : sizeof line - 1);
    for (uint32_t i = 0; i < FUZZ_SITES; i++) {
        struct fuzz_site *site = &counters->site[i];
        if (site->text[0] == '\0')
            memcpy(site->text, line, sizeof line);
        if (memcmp(site->text, line, sizeof line) != 0)
            continue;
        site->hits++;
        return;
    }
}

int fuzz_answer(struct user *user, int error, uint64_t allowed, const char *what)
{
    struct fuzz_counters *counters = user->use->counters;
    if ((uint32_t)error >= 64 || (allowed & BIT(error)) == 0) {
        fprintf(stderr, "fuzz: %s answers %d (%s): %s\n", what, error, sj_error_text(error),
                sj_error_detail());
        abort();
    }
    counters->operations++;
    counters->errors[error]++;
    if (error == SJ_ECORRUPT)
        count_site(counters);
    return error;
}

/* ------------------------------------------------------------------ trees */

static struct sj_key some_key(struct user *user, const struct fuzz_store *store)
{
    return fuzz_key(store->kinds, below(user, store->keys + 8), user->key);
}

static void read_tree(struct user *user, struct sj_btree *tree, struct sj_btree_cursor cursor,
                      bool backward)
{
    struct sj_item items[BATCH];
    uint64_t read = 0;
    while (cursor.leaf != NULL) {
        uint32_t got;
        if (ANSWER(user, sj_btree_read(tree, &cursor, backward, BATCH, items, &got), ANY_FAULT))
            return;
        read_items(user, tree->kinds, items, got);
        bounded(read += got, items_most(user), "reading a tree");
        if (got < BATCH)
            return;
    }
}

static void seek_tree(struct user *user, struct sj_btree *tree, const struct fuzz_store *store)
{
    struct sj_btree_cursor cursor;
    struct sj_key key = some_key(user, store);
    uint64_t rank;
    int error;
    switch (below(user, 6)) {
    case 0:
        error = ANSWER(user, sj_btree_first(tree, &cursor), ANY_FAULT);
        break;
    case 1:
        error = ANSWER(user, sj_btree_last(tree, &cursor), ANY_FAULT);
        break;
    case 2:
        error = ANSWER(user, sj_btree_seek(tree, &key, below(user, 2), &cursor), ANY_FAULT);
        break;
    case 3:
        error = ANSWER(user, sj_btree_seek_last(tree, &key, below(user, 2), &cursor), ANY_FAULT);
        break;
    case 4:
        rank = below(user, sj_btree_count(tree) % 4096 + 1);
        error = ANSWER(user, sj_btree_select(tree, rank, &cursor), ANY_FAULT);
        break;
    default:
        (void)ANSWER(user, sj_btree_rank(tree, &key, below(user, 2), &rank), ANY_FAULT);
        return;
    }
    if (error == SJ_OK)
        read_tree(user, tree, cursor, below(user, 2));
}

static void load_tree(struct user *user, struct sj_btree *tree)
{
    const uint64_t allowed = PUT_FAULT | BIT(SJ_EINVAL) | BIT(SJ_EORDER);
    struct sj_btree_bulk *bulk;
    struct sj_segment *segment = user->segment;
    if (ANSWER(user, sj_tx_begin(segment), ANY_FAULT) != SJ_OK)
        return;
    int error = ANSWER(user, sj_btree_bulk_begin(tree, 60, &bulk), allowed);
    if (error == SJ_OK) {
        for (uint64_t i = 0; error == SJ_OK && i < 140; i++) {
            struct sj_key key = fuzz_key(tree->kinds, 3 * i + 2000, user->key);
            struct sj_value value = fuzz_value(tree->kinds, i, user->value);
            error = ANSWER(user, sj_btree_bulk_add(bulk, &key, &value), allowed);
        }
        if (error == SJ_OK)
            error = ANSWER(user, sj_btree_bulk_end(bulk), allowed);
        else
            sj_btree_bulk_drop(bulk);
    }
    if (error == SJ_OK)
        (void)ANSWER(user, sj_tx_commit(segment), PUT_FAULT);
    else
        sj_tx_abort(segment);
}

/* Several keys at once: words, or one text several times; and the tree beside itself. */
static void ask_tree(struct user *user, const struct sj_btree *tree, const struct fuzz_store *store)
{
    struct sj_key key[BATCH];
    struct sj_value value[BATCH];
    struct sj_item items[BATCH];
    bool found[BATCH];
    uint32_t got;
    for (uint32_t i = 0; i < BATCH; i++)
        key[i] = some_key(user, store);
    if (ANSWER(user, sj_btree_get_many(tree, key, BATCH, value, found), ANY_FAULT) == SJ_OK &&
        found[0])
        read_value(user, tree->kinds, &value[0]);
    for (uint32_t what = SJ_BTREE_BOTH; what <= SJ_BTREE_EITHER; what++)
        if (ANSWER(user,
                   sj_btree_join(tree, tree, (enum sj_btree_join)what,
                                 below(user, 2) == 0 ? NULL : &key[0], BATCH, items, &got),
                   ANY_FAULT) == SJ_OK)
            read_items(user, tree->kinds, items, got);
}

static void use_tree(struct user *user, uint64_t head, const struct fuzz_store *store)
{
    struct sj_btree tree;
    struct sj_value value;
    bool existed;
    if (ANSWER(user, sj_btree_open(user->segment, head, &tree), ANY_FAULT) != SJ_OK)
        return;
    for (uint64_t left = 1 + below(user, 10); left > 0; left--) {
        struct sj_key key = some_key(user, store);
        switch (below(user, 32)) {
        case 0:
            (void)ANSWER(user, sj_btree_clear(&tree), PUT_FAULT);
            break;
        case 1:
            (void)ANSWER(user, sj_btree_check(&tree, NULL, NULL), ANY_FAULT);
            break;
        case 2:
            if (sj_tx_depth(user->segment) == 0)
                load_tree(user, &tree);
            break;
        case 3 ... 7:
            seek_tree(user, &tree, store);
            break;
        case 8:
            ask_tree(user, &tree, store);
            break;
        case 9 ... 12:
            if (ANSWER(user, sj_btree_get(&tree, &key, &value), GET_FAULT) == SJ_OK)
                read_value(user, tree.kinds, &value);
            break;
        case 13 ... 20:
            (void)ANSWER(user, sj_btree_delete(&tree, &key), PUT_FAULT);
            break;
        default:
            value = fuzz_value(tree.kinds, below(user, 40), user->value);
            (void)ANSWER(user,
                         sj_btree_put(&tree, &key, &value,
                                      below(user, 4) == 0 ? SJ_PUT_NEW : SJ_PUT_ALWAYS, &existed),
                         PUT_FAULT);
        }
    }
}

/* ------------------------------------------------------------------ maps */

static void read_map(struct user *user, struct sj_hashmap *map)
{
    struct sj_item items[BATCH];
    uint64_t position = 0, read = 0, calls = 0;
    while (position != UINT64_MAX) {
        uint32_t got;
        if (ANSWER(user, sj_hashmap_read(map, &position, BATCH, items, &got), ANY_FAULT))
            return;
        read_items(user, map->kinds, items, got);
        bounded(read += got, items_most(user), "reading a map");
        bounded(++calls, items_most(user), "reading a map");
    }
}

static void use_map(struct user *user, uint64_t head, const struct fuzz_store *store)
{
    struct sj_hashmap map;
    struct sj_value value;
    bool existed;
    if (ANSWER(user, sj_hashmap_open(user->segment, head, &map), ANY_FAULT) != SJ_OK)
        return;
    user->sum += sj_hashmap_count(&map);
    for (uint64_t left = 1 + below(user, 10); left > 0; left--) {
        struct sj_key key = some_key(user, store);
        switch (below(user, 32)) {
        case 0:
            (void)ANSWER(user, sj_hashmap_clear(&map), PUT_FAULT);
            break;
        case 1:
            (void)ANSWER(user, sj_hashmap_check(&map, NULL, NULL), ANY_FAULT);
            break;
        case 2 ... 3:
            read_map(user, &map);
            break;
        case 4 ... 10:
            if (ANSWER(user, sj_hashmap_get(&map, &key, &value), GET_FAULT) == SJ_OK)
                read_value(user, map.kinds, &value);
            break;
        case 11 ... 16:
            (void)ANSWER(user, sj_hashmap_delete(&map, &key), PUT_FAULT);
            break;
        default:
            value = fuzz_value(map.kinds, below(user, 40), user->value);
            (void)ANSWER(user,
                         sj_hashmap_put(&map, &key, &value,
                                        below(user, 4) == 0 ? SJ_PUT_NEW : SJ_PUT_ALWAYS, &existed),
                         PUT_FAULT);
        }
    }
}

/* ------------------------------------------------------------------ roots */

static void list_roots(struct user *user)
{
    struct sj_root *root = NULL;
    uint64_t most = sj_segment_committed(user->segment) / sizeof *root;
    for (uint64_t seen = 0; seen < most; seen++) {
        if (ANSWER(user, sj_root_next(user->segment, root, &root), ANY_FAULT) || root == NULL)
            return;
        read_bytes(user, (const uint8_t *)root->name, root->name_bytes);
    }
}

static int drop(struct sj_segment *segment, const struct fuzz_store *store)
{
    struct sj_root *root;
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = sj_root_find(segment, store->name, strlen(store->name), &root);
    if (error == SJ_OK)
        error = sj_structure_destroy(segment, root->pointer);
    if (error == SJ_OK)
        error = sj_root_remove(segment, store->name, strlen(store->name));
    return fuzz_end(segment, error);
}

static int create(struct sj_segment *segment, struct fuzz_store *store)
{
    uint64_t head = 0;
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = sj_structure_create(segment, store->type, store->codecs, &head);
    if (error == SJ_OK)
        error = sj_root_add(segment, store->name, strlen(store->name), store->type,
                            store->codecs.key, store->codecs.value, head);
    return fuzz_end(segment, error);
}

/* Opens a structure by its name and uses it. */
static void use_store(struct user *user, const struct fuzz_store *store)
{
    struct sj_root *root;
    if (ANSWER(user, sj_root_find(user->segment, store->name, strlen(store->name), &root),
               GET_FAULT) != SJ_OK)
        return;
    if (root->type == SJ_KIND_BTREE)
        use_tree(user, root->pointer, store);
    else if (root->type == SJ_KIND_HASHMAP)
        use_map(user, root->pointer, store);
    else if (root->type == SJ_KIND_LIST)
        fuzz_use_list(user, root->pointer, store);
    else if (root->type == SJ_KIND_DEQUE || root->type == SJ_KIND_QUEUE)
        fuzz_use_deque(user, root->pointer, store);
    else if (root->type == SJ_KIND_ARRAY)
        fuzz_use_array(user, root->pointer);
    else if (root->type == SJ_KIND_COLUMNS)
        fuzz_use_columns(user, root->pointer);
    else if (root->type == SJ_KIND_RECORD)
        fuzz_use_record(user, root->pointer);
    if (below(user, 4) == 0)
        fuzz_use_any(user, root->pointer);
    if (below(user, 16) == 0)
        fuzz_use_unnamed(user, root->pointer);
}

static void change_roots(struct user *user)
{
    const struct fuzz_image *image = user->use->image;
    static const uint16_t types[] = {SJ_KIND_BTREE, SJ_KIND_HASHMAP, SJ_KIND_LIST, SJ_KIND_DEQUE,
                                     SJ_KIND_QUEUE};
    struct fuzz_store fresh = {.name = "fresh", .keys = 40, .type = types[below(user, 5)]};
    fresh.codecs.value = (uint8_t)(SJ_CODEC_INT + below(user, 5));
    if (fresh.type == SJ_KIND_BTREE || fresh.type == SJ_KIND_HASHMAP)
        fresh.codecs.key = (uint8_t)(SJ_CODEC_INT + below(user, 5));
    fresh.kinds.key = sj_codec_kind(fresh.codecs.key);
    fresh.kinds.value = sj_codec_kind(fresh.codecs.value);
    if (ANSWER(user, create(user->segment, &fresh), PUT_FAULT | BIT(SJ_EEXISTS)) == SJ_OK)
        use_store(user, &fresh);
    const struct fuzz_store *store = &image->store[below(user, image->stores)];
    (void)ANSWER(user, drop(user->segment, store), PUT_FAULT | BIT(SJ_ETYPE));
}

/* ------------------------------------------------------------------ salvage */

static void read_salvaged(struct user *user, struct sj_salvage *salvage, uint32_t structure,
                          enum sj_salvage_grade grade)
{
    struct sj_item items[BATCH];
    struct sj_salvage_cursor cursor = {.grade = grade};
    struct sj_kinds kinds = sj_salvage_structure(salvage, structure)->kinds;
    uint64_t read = 0, most = sj_salvage_remains(salvage)->bytes / 8;
    uint32_t got = BATCH;
    while (got == BATCH) {
        got = sj_salvage_read(salvage, structure, &cursor, BATCH, items);
        read_items(user, kinds, items, got);
        for (uint32_t i = 0; i < got; i++)
            user->sum += sj_salvage_is_there(salvage, structure, &items[i]);
        bounded(read += got, most, "reading what is salvaged");
    }
    user->use->counters->salvaged += read;
}

static void read_part(struct user *user, struct sj_salvage *salvage, uint32_t structure,
                      uint32_t number)
{
    struct sj_salvage_part part;
    if (!sj_salvage_part(salvage, structure, number, &part))
        return;
    read_bytes(user, (const uint8_t *)part.name, part.name_bytes);
    read_bytes(user, (const uint8_t *)part.type, part.type_bytes);
    read_bytes(user, (const uint8_t *)part.shape, 8ull * part.dims);
    read_bytes(user, part.items, part.bytes);
}

/* The file is as it was, whatever is in it. */
static void salvage_all(struct user *user)
{
    struct sj_salvage *salvage;
    if (ANSWER(user, sj_salvage_open(user->use->path, NULL, &salvage), OPEN_FAULT) != SJ_OK)
        return;
    for (uint32_t i = 0; i < sj_salvage_count(salvage); i++) {
        read_bytes(user, (const uint8_t *)sj_salvage_structure(salvage, i)->name,
                   sj_salvage_structure(salvage, i)->name_bytes);
        read_salvaged(user, salvage, i, (enum sj_salvage_grade)below(user, 3));
        for (uint32_t part = sj_salvage_parts(salvage, i); part-- > 0;)
            read_part(user, salvage, i, part);
    }
    sj_salvage_close(salvage);
}

/* ------------------------------------------------------------------ the whole */

static void use_structures(struct user *user)
{
    const struct fuzz_image *image = user->use->image;
    for (uint64_t left = 1 + below(user, image->stores + 1); left > 0; left--)
        use_store(user, &image->store[below(user, image->stores)]);
}

static void use_transactions(struct user *user)
{
    struct sj_segment *segment = user->segment;
    if (ANSWER(user, sj_tx_begin(segment), ANY_FAULT | BIT(SJ_EREADONLY)) != SJ_OK)
        return;
    use_structures(user);
    if (below(user, 2) == 0 && ANSWER(user, sj_tx_begin(segment), ANY_FAULT) == SJ_OK) {
        use_structures(user);
        if (below(user, 2) == 0)
            sj_tx_abort(segment);
        else
            (void)ANSWER(user, sj_tx_commit(segment), ANY_FAULT);
    }
    if (below(user, 3) == 0)
        sj_tx_abort(segment);
    else
        (void)ANSWER(user, sj_tx_commit(segment), PUT_FAULT);
}

static void use_checks(struct user *user)
{
    struct sj_check_report report;
    struct sj_heap_stats stats;
    if (ANSWER(user, sj_check(user->segment, &report), ANY_FAULT) == SJ_OK)
        user->use->counters->whole++;
    (void)ANSWER(user, sj_heap_stats(user->segment, &stats), ANY_FAULT);
    list_roots(user);
}

/* Mostly without checksums, as what has lost its name: all pages would get one, which takes as long
 * as all else. */
static void forgo_sums(struct user *user)
{
    if (below(user, 16) == 0 || user->segment->sums != NULL)
        return;
    user->segment->sums_path[0] = '?';
}

/* Opens; false when the file is refused. */
static bool open_store(struct user *user, bool writable)
{
    struct sj_segment *segment;
    if (ANSWER(user, sj_segment_open(user->use->path, writable, true, false, &segment),
               OPEN_FAULT) != SJ_OK)
        return false;
    user->segment = segment;
    forgo_sums(user);
    return true;
}

static void close_store(struct user *user, bool last)
{
    user->use->before_close(user->use->context, user->segment);
    (void)ANSWER(user, sj_segment_close(user->segment, last), ANY_FAULT);
}

/* Reads only; a pending log is undone all the same. */
static void read_only(struct user *user)
{
    if (!open_store(user, false))
        return;
    use_checks(user);
    (void)ANSWER(user, sj_tx_begin(user->segment), BIT(SJ_EREADONLY));
    for (uint32_t i = 0; i < user->use->image->stores; i++) {
        const struct fuzz_store *store = &user->use->image->store[i];
        struct sj_root *root;
        struct sj_btree tree;
        struct sj_hashmap map;
        if (sj_root_find(user->segment, store->name, strlen(store->name), &root) != SJ_OK)
            continue;
        fuzz_use_any(user, root->pointer);
        if (sj_btree_open(user->segment, root->pointer, &tree) == SJ_OK)
            seek_tree(user, &tree, store);
        if (sj_hashmap_open(user->segment, root->pointer, &map) == SJ_OK)
            read_map(user, &map);
    }
    close_store(user, true);
}

void fuzz_use(struct fuzz_use *use)
{
    static struct user user;
    user.use = use;
    salvage_all(&user);
    if (below(&user, 12) == 0)
        read_only(&user);
    if (!open_store(&user, true))
        return;
    use->counters->opened++;
    if (below(&user, 2) == 0)
        use_checks(&user);
    use_structures(&user);
    if (below(&user, 2) == 0)
        use_transactions(&user);
    if (below(&user, 8) == 0)
        change_roots(&user);
    use_structures(&user);
    if (below(&user, 4) == 0)
        use_checks(&user);
    if (below(&user, 6) != 0) {
        close_store(&user, true);
        return;
    }
    /* The process dies inside a transaction; the next one opens what it leaves. */
    if (ANSWER(&user, sj_tx_begin(user.segment), ANY_FAULT) == SJ_OK)
        use_structures(&user);
    sj_tx_forget(user.segment);
    close_store(&user, false);
    if (!open_store(&user, true))
        return;
    use_checks(&user);
    close_store(&user, true);
}
