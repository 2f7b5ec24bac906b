// SPDX-License-Identifier: Apache-2.0
/*
 * test_structure.c: structures by their addresses (structures/structure.h): what references lead
 * to lives, and nothing else does; with a -DSJ_SEAM build the process dies before every store of
 * the collector.
 */
#include "harness.h"

#include "persistence/roots.h"
#include "persistence/tx.h"
#include "persistence/user.h"
#include "structures/check.h"
#include "structures/collect.h"
#include "structures/deque.h"
#include "structures/hashmap.h"
#include "structures/reference.h"
#include "structures/reference_layout.h"

#define MAPS 24

static struct sj_segment *segment;
static uint64_t head[MAPS];
static uint32_t serial[MAPS];
static bool leads[MAPS][MAPS]; /* map i has a reference to map j */

/* ------------------------------------------------------------------ a world of maps */

static uint64_t make(const char *name)
{
    struct sj_codecs codecs = {SJ_CODEC_INT, SJ_CODEC_ANY};
    uint64_t at;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_structure_create(segment, SJ_KIND_HASHMAP, codecs, &at));
    if (name != NULL)
        CHECK_OK(sj_root_add(segment, name, strlen(name), SJ_KIND_HASHMAP, codecs.key, codecs.value,
                             at));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    return at;
}

/* [text, reference] as msgpack */
static struct sj_value value_of(uint64_t at, uint32_t number)
{
    static uint8_t bytes[20];
    memcpy(bytes, "\x92\xa2xy\xc7", 5);
    bytes[5] = SJ_REFERENCE_BYTES;
    bytes[6] = SJ_REFERENCE_CODE;
    memcpy(bytes + 7, &at, 8);
    memcpy(bytes + 15, &number, 4);
    return (struct sj_value){.bytes = bytes, .size = 19};
}

static void point(uint32_t from, uint32_t to)
{
    struct sj_hashmap map;
    struct sj_key key = {.word = to};
    struct sj_value value = value_of(head[to], serial[to]);
    bool existed;
    CHECK_OK(sj_hashmap_open(segment, head[from], &map));
    CHECK_OK(sj_structure_share_all(segment, &value));
    value = value_of(head[to], serial[to]);
    CHECK_OK(sj_hashmap_put(&map, &key, &value, SJ_PUT_ALWAYS, &existed));
    leads[from][to] = true;
}

/* Map 0 has a root; each of the others is led to by some. */
static void begin(const char *name)
{
    segment = test_segment(name);
    memset(leads, 0, sizeof leads);
    for (uint32_t i = 0; i < MAPS; i++) {
        struct sj_structure_info info;
        head[i] = make(i == 0 ? "root" : NULL);
        CHECK_OK(sj_structure_look(segment, head[i], 0, &info));
        CHECK(info.kind == SJ_KIND_HASHMAP && info.codecs.value == SJ_CODEC_ANY && !info.shared);
        serial[i] = info.serial;
    }
    for (uint32_t i = 0; i < 2 * MAPS; i++)
        point((uint32_t)test_below(MAPS), (uint32_t)test_below(MAPS));
}

static void reach(bool *lives, uint32_t i)
{
    lives[i] = true;
    for (uint32_t j = 0; j < MAPS; j++)
        if (leads[i][j] && !lives[j])
            reach(lives, j);
}

static uint32_t expected(bool *lives)
{
    uint32_t count = 0;
    memset(lives, 0, MAPS * sizeof *lives);
    reach(lives, 0);
    for (uint32_t i = 0; i < MAPS; i++)
        count += lives[i];
    return count;
}

static uint32_t count_there(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < MAPS; i++) {
        struct sj_structure_info info;
        count += sj_structure_look(segment, head[i], serial[i], &info) == SJ_OK;
    }
    return count;
}

/* ------------------------------------------------------------------ references */

static int count_one(void *context, uint64_t at, uint32_t number)
{
    ++*(uint32_t *)context;
    return at == 0 && number == 1 ? 7 : 0;
}

static void references_are_found_in_any_bytes(void)
{
    uint32_t found = 0, sound = 0;
    struct sj_value one = value_of(TEST_BASE, 3);
    CHECK(sj_references_in(&one, count_one, &found) == 0 && found == 1);
    struct sj_value end = value_of(0, 1);
    CHECK(sj_references_in(&end, count_one, &found) == 7 && found == 2);
    for (uint32_t round = 0; round < 200000; round++) {
        uint64_t size = test_below(40);
        uint8_t *bytes = malloc(size + 1); /* the sanitizer sees its end */
        struct sj_value value = value_of(TEST_BASE, 3);
        CHECK(bytes != NULL);
        for (uint64_t i = 0; i < size; i++)
            bytes[i] = round % 2 == 0 && i < value.size ? value.bytes[i] : (uint8_t)test_random();
        if (round % 2 == 0 && size > 0)
            bytes[test_below(size)] = (uint8_t)test_random();
        uint8_t *exact = realloc(bytes, size + (size == 0));
        value = (struct sj_value){.bytes = exact, .size = size};
        int ended = sj_references_in(&value, count_one, &found);
        CHECK(ended == 0 || ended == -1 || ended == 7);
        sound += ended == 0;
        free(exact);
    }
    CHECK(sound > 1000);
}

/* Each ends before what it announces; and references that are longer or shorter than one. */
static void what_is_no_msgpack_is_told(void)
{
    static const struct {
        const char *bytes;
        uint64_t size;
    } cases[] = {
        {"", 0},
        {"\x91", 1},
        {"\xc4", 1},
        {"\xc4\x02x", 3},
        {"\xda\x01", 2},
        {"\xdc", 1},
        {"\xdc\x00", 2},
        {"\xdd\xff\xff\xff\xff", 5},
        {"\xdf\xff\xff\xff\xff\xc0", 6},
        {"\xc1", 1},
        {"\xc7", 1},
        {"\xc7\x0c", 2},
        {"\xc7\x0c\x20"
         "01234567890",
         14},
        {"\xc7\x0b\x20"
         "01234567890",
         14},
        {"\xc7\x0d\x20"
         "0123456789012",
         16},
        {"\xd8\x20"
         "0123456789012345",
         18},
        {"\xc7\x01\x04", 3},
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t found = 0;
        uint8_t bytes[64] = {0}; /* what is behind the end would do */
        memcpy(bytes, cases[i].bytes, cases[i].size);
        struct sj_value value = {.bytes = bytes, .size = cases[i].size};
        CHECK(sj_references_in(&value, count_one, &found) == -1 && found == 0);
    }
}

static void no_other_address_is_taken_for_one(void)
{
    struct sj_structure_info info;
    begin("hostile");
    for (uint32_t i = 0; i < 100000; i++) {
        uint64_t at = i % 2 == 0 ? head[test_below(MAPS)] + 8 * (1 + test_below(600))
                                 : (uint64_t)(uintptr_t)segment->base + test_below(1 << 21);
        bool is_one = false;
        for (uint32_t j = 0; j < MAPS; j++)
            is_one = is_one || head[j] == at;
        int error = sj_structure_look(segment, at, 0, &info);
        CHECK(is_one ? error == SJ_OK : error == SJ_ENOTFOUND);
    }
    CHECK(sj_structure_look(segment, 0, 0, &info) == SJ_ENOTFOUND);
    CHECK(sj_structure_look(segment, UINT64_MAX - 7, 0, &info) == SJ_ENOTFOUND);
    CHECK(sj_structure_look(segment, head[1], serial[1] + 1, &info) == SJ_ENOTFOUND);
    CHECK(sj_structure_share(segment, head[1] + 16, 0) == SJ_ENOTFOUND);
    CHECK(sj_structure_type_of(SJ_KIND_BLOB) == NULL);
    CHECK_OK(sj_segment_close(segment, true));
}

/* ------------------------------------------------------------------ the collector */

static void what_nothing_leads_to_goes(void)
{
    for (uint32_t round = 0; round < 30; round++) {
        char name[16];
        bool lives[MAPS];
        struct sj_census_report report;
        struct sj_check_report checked;
        snprintf(name, sizeof name, "round%u", round);
        begin(name);
        struct sj_kept kept = {head[1], serial[1]};
        struct sj_collect_options options = {.kept = &kept, .kept_count = round % 2};
        uint32_t left = expected(lives);
        if (round % 2 == 1 && !lives[1]) {
            reach(lives, 1);
            left = 0;
            for (uint32_t i = 0; i < MAPS; i++)
                left += lives[i];
        }
        CHECK_OK(sj_check(segment, &checked));
        CHECK_OK(sj_collect(segment, &options, &report));
        CHECK(report.structures == left && count_there() == left && report.leaked_blocks == 0);
        for (uint32_t i = 0; i < MAPS; i++) {
            struct sj_structure_info info;
            CHECK((sj_structure_look(segment, head[i], serial[i], &info) == SJ_OK) == lives[i]);
        }
        options.kept_count = 0;
        CHECK_OK(sj_collect(segment, &options, &report));
        CHECK_OK(sj_check(segment, &checked));
        CHECK(checked.census.leaked_blocks == 0 && report.structures == expected(lives));
        CHECK_OK(sj_segment_close(segment, true));
    }
}

static void a_reference_to_nothing_is_damage(void)
{
    struct sj_census_report report;
    struct sj_collect_options options = {0};
    struct sj_hashmap map;
    struct sj_key key = {.word = 999};
    bool existed;
    begin("dangling");
    CHECK_OK(sj_hashmap_open(segment, head[0], &map));
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t at = i == 0 ? head[1] + 16 : i == 1 ? head[1] : 0;
        struct sj_value value = value_of(at, serial[1] + (i == 1));
        CHECK_OK(sj_hashmap_put(&map, &key, &value, SJ_PUT_ALWAYS, &existed));
        CHECK(sj_collect(segment, &options, &report) == SJ_ECORRUPT);
        CHECK(count_there() == MAPS);
    }
    CHECK_OK(sj_tx_begin(segment));
    CHECK(sj_collect(segment, &options, &report) == SJ_EINVAL);
    sj_tx_abort(segment);
    CHECK_OK(sj_segment_close(segment, true));
}

static struct sj_deque make_deque(const char *name)
{
    struct sj_codecs codecs = {SJ_CODEC_NONE, SJ_CODEC_INT};
    struct sj_value values[3] = {{.word = 1}, {.word = 2}, {.word = 3}};
    struct sj_deque deque;
    uint64_t at;
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_structure_create(segment, SJ_KIND_DEQUE, codecs, &at));
    CHECK_OK(sj_root_add(segment, name, strlen(name), SJ_KIND_DEQUE, codecs.key, codecs.value, at));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(sj_deque_open(segment, at, &deque));
    CHECK_OK(sj_deque_extend(&deque, SJ_RIGHT, values, 3));
    return deque;
}

static void is_damaged(void)
{
    struct sj_check_report checked;
    struct sj_census_report report;
    CHECK(sj_check(segment, &checked) == SJ_ECORRUPT);
    CHECK(sj_collect(segment, &(struct sj_collect_options){0}, &report) == SJ_ECORRUPT);
}

static void memory_of_users_is_not_collected(void)
{
    struct sj_census_report report;
    uint64_t memory;
    begin("users");
    CHECK_OK(sj_user_alloc(segment, 100, &memory));
    (void)make(NULL);
    CHECK_OK(sj_collect(segment, &(struct sj_collect_options){0}, &report));
    CHECK(report.freed_blocks > 0 && sj_user_room(segment, memory) >= 100);
    CHECK_OK(sj_segment_close(segment, true));
}

/* Each structure is sound by itself. */
static void what_two_structures_have_is_damage(void)
{
    segment = test_segment("owners");
    struct sj_deque one = make_deque("one"), other = make_deque("other");
    struct sj_check_report checked;
    uint64_t chunk = one.head->first;
    CHECK_OK(sj_check(segment, &checked));
    one.head->first = one.head->last = other.head->first;
    CHECK_OK(sj_deque_check(&one, NULL, NULL));
    is_damaged();
    one.head->first = one.head->last = chunk;
    CHECK_OK(sj_check(segment, &checked));
    CHECK_OK(sj_segment_close(segment, true));
}

static void what_is_free_though_a_structure_has_it_is_damage(void)
{
    segment = test_segment("free");
    struct sj_deque deque = make_deque("one");
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_heap_free(segment, deque.head->first));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK_OK(sj_deque_check(&deque, NULL, NULL));
    is_damaged();
    CHECK_OK(sj_segment_close(segment, true));
}

static void a_reference_to_what_is_not_shared_is_damage(void)
{
    struct sj_structure_info info;
    struct sj_check_report checked;
    struct sj_hashmap map;
    struct sj_key key = {.word = 999};
    bool existed;
    begin("unshared");
    uint64_t at = make(NULL);
    CHECK_OK(sj_structure_look(segment, at, 0, &info));
    struct sj_value value = value_of(at, info.serial);
    CHECK_OK(sj_hashmap_open(segment, head[0], &map));
    CHECK_OK(sj_hashmap_put(&map, &key, &value, SJ_PUT_ALWAYS, &existed));
    is_damaged();
    CHECK_OK(sj_structure_share(segment, at, info.serial));
    CHECK_OK(sj_check(segment, &checked));
    CHECK_OK(sj_segment_close(segment, true));
}

/* Who keeps an address looks again when something may be gone. */
static void what_goes_is_told(void)
{
    struct sj_census_report report;
    begin("told");
    uint64_t removals = sj_root_removals(segment);
    uint64_t at = make(NULL);
    CHECK_OK(sj_tx_op_begin(segment));
    CHECK_OK(sj_structure_destroy(segment, at));
    sj_tx_ready(segment);
    CHECK_OK(sj_tx_op_commit(segment));
    CHECK(sj_root_removals(segment) != removals);
    removals = sj_root_removals(segment);
    (void)make(NULL);
    CHECK_OK(sj_collect(segment, &(struct sj_collect_options){0}, &report));
    CHECK(report.freed_blocks > 0 && sj_root_removals(segment) != removals);
    CHECK_OK(sj_segment_close(segment, true));
}

static void another_one_is_not_shared(void)
{
    struct sj_structure_info info;
    begin("another");
    uint64_t at = make(NULL);
    CHECK_OK(sj_structure_look(segment, at, 0, &info));
    CHECK(info.serial != 0 && !info.shared);
    CHECK(sj_structure_share(segment, at, info.serial + 1) == SJ_ENOTFOUND);
    CHECK_OK(sj_structure_look(segment, at, 0, &info));
    CHECK(!info.shared);
    CHECK_OK(sj_structure_share(segment, at, info.serial));
    CHECK_OK(sj_structure_look(segment, at, 0, &info));
    CHECK(info.shared);
    CHECK_OK(sj_segment_close(segment, true));
}

#ifdef SJ_SEAM

static void collect_it(void *context)
{
    struct sj_census_report report;
    CHECK_OK(sj_collect(segment, &(struct sj_collect_options){0}, &report));
    (void)context;
}

static void it_can_die_before_every_store(void)
{
    bool lives[MAPS];
    uint64_t stores = 0, before = 0;
    begin("dies");
    uint32_t left = expected(lives);
    uint64_t bytes = sj_segment_committed(segment);
    char *image = malloc(bytes);
    CHECK(image != NULL && left < MAPS);
    memcpy(image, segment->base, bytes);
    while (test_crash_at(stores, collect_it, NULL)) {
        struct sj_check_report report;
        sj_tx_forget(segment);
        CHECK_OK(sj_segment_recover(segment));
        uint32_t there = count_there();
        CHECK(there == MAPS || there == left);
        before += there == MAPS;
        CHECK_OK(sj_check(segment, &report));
        CHECK((report.census.leaked_blocks == 0) == (there == left));
        memcpy(segment->base, image, bytes);
        sj_tx_forget(segment);
        stores++;
    }
    CHECK(before > 10);
    printf("%" PRIu64 " stores of a collection\n", stores);
    free(image);
    CHECK_OK(sj_segment_close(segment, true));
}

#endif

int main(void)
{
    test_begin();
    references_are_found_in_any_bytes();
    what_is_no_msgpack_is_told();
    no_other_address_is_taken_for_one();
    memory_of_users_is_not_collected();
    what_nothing_leads_to_goes();
    a_reference_to_nothing_is_damage();
    what_two_structures_have_is_damage();
    what_is_free_though_a_structure_has_it_is_damage();
    a_reference_to_what_is_not_shared_is_damage();
    what_goes_is_told();
    another_one_is_not_shared();
#ifdef SJ_SEAM
    it_can_die_before_every_store();
#endif
    printf("ok\n");
    return 0;
}
