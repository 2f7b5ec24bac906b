// SPDX-License-Identifier: Apache-2.0
/*
 * survivor.c: changes a store on a DAX filesystem until the machine is killed, and after the next
 * boot says whether all that was acknowledged is there.
 *
 *   survivor DIRECTORY SEED ACKNOWLEDGED      with ACKNOWLEDGED -1: nothing was yet
 *
 * What operation number n does is a function of the seed and n. So is what the store holds after
 * it: a fingerprint, the sum over all items, says which n that was. It has to be the last one that
 * was acknowledged, or the one after it, which had committed when the machine stopped.
 *
 * An acknowledgement is the number, in text, to I/O port 0xe9, which the machine writes to a file
 * outside by the time the instruction has ended. Everything else is told on standard output.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <unistd.h>

#include "persistence/heap.h"
#include "persistence/roots.h"
#include "persistence/segment.h"
#include "structures/btree.h"
#include "structures/check.h"
#include "structures/hashmap.h"

#define BASE      0x3f0000000000ull
#define PORT      0xe9
#define KEYS      3000u
#define VALUE_MAX 20000u

#define OK(call) expect((call), #call, __LINE__)
#define SAY(...) (printf("survivor: " __VA_ARGS__), fflush(stdout))

enum { TREE, MAP, STRUCTURES };

static char path[256];
static uint64_t seed;
static uint32_t version[STRUCTURES][KEYS]; /* the model: 0 is "not there" */
static struct sj_segment *segment;
static struct sj_btree tree;
static struct sj_hashmap map;

static _Noreturn void give_up(const char *what)
{
    SAY("FAILED %s: %s\n", what, sj_error_detail());
    exit(1);
}

static void expect(int error, const char *call, int line)
{
    if (error == SJ_OK)
        return;
    SAY("line %d: %s: %s\n", line, call, sj_error_text(error));
    give_up(call);
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* ------------------------------------------------------------------ what an operation does */

struct change {
    uint32_t structure;
    uint32_t key;
    uint32_t version; /* 0: delete */
};

struct operation {
    uint32_t changes;
    bool together; /* in a transaction */
    bool aborted;
    bool reopened;
    struct change change[8];
};

static struct operation operation_of(uint64_t number)
{
    uint64_t state = mix(seed ^ number * 0x9e3779b97f4a7c15ull);
    uint32_t choice = state % 64;
    struct operation operation = {.changes = 1};
    if (choice < 12) {
        operation.together = true;
        operation.changes = 2 + (uint32_t)(state >> 8) % 7;
        operation.aborted = choice < 2;
    } else if (choice == 12) {
        operation.reopened = (state >> 8) % 8 == 0;
    }
    for (uint32_t i = 0; i < operation.changes; i++) {
        state = mix(state + i + 1);
        operation.change[i] = (struct change){
            .structure = state % STRUCTURES,
            .key = (uint32_t)(state >> 8) % KEYS,
            .version = (state >> 40) % 4 == 0 ? 0 : (uint32_t)number + 1,
        };
    }
    return operation;
}

static void change_model(const struct operation *operation)
{
    for (uint32_t i = 0; i < operation->changes && !operation->aborted; i++) {
        const struct change *change = &operation->change[i];
        version[change->structure][change->key] = change->version;
    }
}

/* ------------------------------------------------------------------ keys and values */

static uint8_t key_bytes[64], value_bytes[VALUE_MAX];

static struct sj_key key_of(uint32_t structure, uint32_t key)
{
    if (structure == MAP)
        return (struct sj_key){.word = mix(key + 1)};
    int size = snprintf((char *)key_bytes, sizeof key_bytes, "key %" PRIu64, mix(key) % 100000);
    size += snprintf((char *)key_bytes + size, sizeof key_bytes - (size_t)size, "/%u", key);
    return (struct sj_key){.bytes = key_bytes, .size = (uint32_t)size};
}

/* Begins with key and version; one in 200 has pages of its own. */
static struct sj_value value_of(uint32_t structure, uint32_t key, uint32_t its_version)
{
    uint64_t word = (uint64_t)its_version << 32 | key;
    if (structure == MAP)
        return (struct sj_value){.word = word};
    uint64_t mixed = mix(word), size = 8 + mixed % 300;
    if (mixed / 512 % 200 == 0)
        size = 8 + mixed % (VALUE_MAX - 8);
    memset(value_bytes, (int)(mixed >> 56), size);
    memcpy(value_bytes, &word, sizeof word);
    return (struct sj_value){.bytes = value_bytes, .size = size};
}

static uint64_t item_print(uint32_t structure, uint64_t word)
{
    return mix(word * STRUCTURES + structure + 0x9e3779b97f4a7c15ull);
}

static uint64_t model_print(void)
{
    uint64_t print = 0;
    for (uint32_t structure = 0; structure < STRUCTURES; structure++)
        for (uint32_t key = 0; key < KEYS; key++)
            if (version[structure][key] != 0)
                print += item_print(structure, (uint64_t)version[structure][key] << 32 | key);
    return print;
}

/* ------------------------------------------------------------------ the store */

/* Stores to a page that the kernel mapped with MAP_SYNC: the flag "sf" of the mapping. */
static bool is_map_sync(void)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512], wanted[32];
    bool here = false, found = false;
    snprintf(wanted, sizeof wanted, "%" PRIx64 "-", (uint64_t)(uintptr_t)segment->base);
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        if (strncmp(line, "VmFlags:", 8) == 0)
            found |= here && strstr(line, " sf") != NULL;
        else if (strchr(line, '-') != NULL && strstr(line, "kB") == NULL)
            here = strncmp(line, wanted, strlen(wanted)) == 0;
    }
    if (maps != NULL)
        fclose(maps);
    return found;
}

static void open_store(void)
{
    struct sj_root *root;
    OK(sj_segment_open(path, true, true, false, &segment));
    if (strcmp(segment->domain->name, "dax") != 0 || !is_map_sync())
        give_up("the store is not mapped with MAP_SYNC");
    OK(sj_root_find(segment, "tree", 4, &root));
    OK(sj_btree_open(segment, root->pointer, &tree));
    OK(sj_root_find(segment, "map", 3, &root));
    OK(sj_hashmap_open(segment, root->pointer, &map));
}

static void close_store(void)
{
    OK(sj_segment_close(segment, true));
}

/* The store appears under its name when both structures are in it. */
static void make_store(void)
{
    struct sj_kinds bytes = {SJ_ITEM_BYTES, SJ_ITEM_BYTES}, words = {SJ_ITEM_WORD, SJ_ITEM_WORD};
    struct sj_segment_spec spec = {"survivor", BASE, SJ_GIB, 0600, SJ_DURABILITY_POWER};
    char making[280];
    uint64_t at;
    snprintf(making, sizeof making, "%s.making", path);
    unlink(making);
    OK(sj_segment_create(making, &spec));
    OK(sj_segment_open(making, true, true, false, &segment));
    OK(sj_tx_begin(segment));
    OK(sj_tx_op_begin(segment));
    OK(sj_btree_create(segment, bytes, &at));
    OK(sj_root_add(segment, "tree", 4, SJ_KIND_BTREE, 0, 0, at));
    OK(sj_hashmap_create(segment, words, &at));
    OK(sj_root_add(segment, "map", 3, SJ_KIND_HASHMAP, 0, 0, at));
    sj_tx_ready(segment);
    OK(sj_tx_op_commit(segment));
    OK(sj_tx_commit(segment));
    close_store();
    if (rename(making, path) != 0)
        give_up("rename");
    OK(sj_segment_sync_directory(path));
}

static void change_store(const struct change *change)
{
    struct sj_key key = key_of(change->structure, change->key);
    bool existed;
    int error;
    if (change->version == 0) {
        error = change->structure == TREE ? sj_btree_delete(&tree, &key)
                                          : sj_hashmap_delete(&map, &key);
        expect(error == SJ_ENOTFOUND ? SJ_OK : error, "delete", __LINE__);
        return;
    }
    struct sj_value value = value_of(change->structure, change->key, change->version);
    OK(change->structure == TREE ? sj_btree_put(&tree, &key, &value, SJ_PUT_ALWAYS, &existed)
                                 : sj_hashmap_put(&map, &key, &value, SJ_PUT_ALWAYS, &existed));
}

static void carry_out(const struct operation *operation)
{
    if (operation->reopened) {
        close_store();
        open_store();
    }
    if (operation->together)
        OK(sj_tx_begin(segment));
    for (uint32_t i = 0; i < operation->changes; i++)
        change_store(&operation->change[i]);
    if (operation->aborted)
        sj_tx_abort(segment);
    else if (operation->together)
        OK(sj_tx_commit(segment));
}

/* ------------------------------------------------------------------ verifying */

/* Every item of the model is there as it should be; `print` sums up what is there. */
static uint64_t store_print(void)
{
    uint64_t print = 0, items = 0;
    for (uint32_t structure = 0; structure < STRUCTURES; structure++)
        for (uint32_t key = 0; key < KEYS; key++) {
            struct sj_key its_key = key_of(structure, key);
            struct sj_value found;
            int error = structure == TREE ? sj_btree_get(&tree, &its_key, &found)
                                          : sj_hashmap_get(&map, &its_key, &found);
            if (error == SJ_ENOTFOUND)
                continue;
            expect(error, "get", __LINE__);
            uint64_t word = found.word;
            if (structure == TREE)
                memcpy(&word, found.bytes, sizeof word);
            struct sj_value value = value_of(structure, (uint32_t)word, (uint32_t)(word >> 32));
            if ((uint32_t)word != key ||
                (structure == TREE &&
                 (found.size != value.size || memcmp(found.bytes, value.bytes, value.size) != 0)))
                give_up("a value is not one that was put");
            print += item_print(structure, word);
            items++;
        }
    if (items != sj_btree_count(&tree) + sj_hashmap_count(&map))
        give_up("the counts are not those of the items");
    return print;
}

/* Checks all of the store; the number of the last operation that is in it. */
static int64_t verify(int64_t acknowledged)
{
    struct sj_check_report report;
    OK(sj_check(segment, &report));
    if (report.leaked_blocks != 0)
        give_up("blocks are leaked");
    uint64_t print = store_print();
    for (int64_t number = 0; number <= acknowledged; number++) {
        struct operation operation = operation_of((uint64_t)number);
        change_model(&operation);
    }
    if (model_print() == print)
        return acknowledged;
    struct operation next = operation_of((uint64_t)acknowledged + 1);
    change_model(&next);
    if (model_print() == print)
        return acknowledged + 1;
    SAY("the store is not what it was after operation %" PRId64 " or the next one\n", acknowledged);
    give_up("acknowledged changes are lost");
}

static void acknowledge(int64_t number)
{
    char text[32];
    int size = snprintf(text, sizeof text, "%" PRId64 "\n", number);
    const char *from = text;
    __asm__ volatile("rep outsb" : "+S"(from), "+c"(size) : "d"(PORT) : "memory");
}

int main(int argc, char **argv)
{
    if (argc != 4 || ioperm(PORT, 1, 1) != 0) {
        fprintf(stderr, "usage: survivor DIRECTORY SEED ACKNOWLEDGED, as root\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s/survivor.seg", argv[1]);
    seed = strtoull(argv[2], NULL, 10);
    int64_t number = strtoll(argv[3], NULL, 10);
    if (access(path, F_OK) != 0) {
        if (number >= 0)
            give_up("the store is not there");
        make_store();
    }
    open_store();
    number = verify(number);
    SAY("verified %" PRId64 ", %s\n", number,
        segment->domain->flush != NULL ? "lines are flushed" : "nothing is to be flushed");
    for (;;) {
        struct operation operation = operation_of((uint64_t)++number);
        carry_out(&operation);
        acknowledge(number);
    }
}
