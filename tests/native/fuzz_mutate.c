// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_mutate.c: damage that knows what it damages.
 *
 * A field gets a value that could be there: another field's of its role, its neighbour's, the
 * address of any block or of its own, a number at an edge; or has a bit flipped, becomes 0, all
 * ones, one more or less. One to four fields an image, mostly near each other. In half of the cases
 * the checksums of superblocks and log entries are made right again, so that the rest of the code
 * is reached; a log entry may get the current generation too, which makes it count.
 */
#include "fuzz.h"
#include "persistence/checksum.h"
#include "persistence/superblock.h"

struct damage {
    struct fuzz_random *random;
    const struct fuzz_image *image;
    uint8_t *view;
};

static uint64_t below(const struct damage *damage, uint64_t limit)
{
    return fuzz_below(damage->random, limit);
}

static uint64_t read_field(const struct damage *damage, const struct fuzz_field *field)
{
    uint64_t value = 0;
    memcpy(&value, damage->view + field->at, field->width);
    return value;
}

static void write_field(const struct damage *damage, const struct fuzz_field *field, uint64_t value)
{
    memcpy(damage->view + field->at, &value, field->width);
}

static const struct fuzz_field *field_of_role(const struct damage *damage, enum fuzz_role role)
{
    const struct fuzz_image *image = damage->image;
    uint32_t first = image->first_of[role], count = image->first_of[role + 1] - first;
    return &image->field[first + below(damage, count)];
}

/* The address of the block that the field is in, or of any other. */
static uint64_t block_around(const struct damage *damage, const struct fuzz_field *field)
{
    const struct fuzz_image *image = damage->image;
    uint64_t at = FUZZ_BASE + field->at;
    for (uint32_t i = 0; i < image->blocks; i++)
        if (at - image->block[i].at < image->block[i].bytes)
            return image->block[i].at;
    return image->blocks == 0 ? at & ~63ull : image->block[below(damage, image->blocks)].at;
}

static uint64_t some_address(const struct damage *damage, const struct fuzz_field *field)
{
    const struct fuzz_image *image = damage->image;
    const struct fuzz_block *block =
        image->blocks > 0 ? &image->block[below(damage, image->blocks)] : NULL;
    switch (below(damage, 10)) {
    case 0:
    case 1:
        return block_around(damage, field);
    case 2:
        return FUZZ_BASE + 8 * below(damage, image->size / 8);
    case 3:
        return FUZZ_BASE + image->size - 8 * below(damage, 80);
    case 4:
        return FUZZ_BASE + SJ_PAGE * below(damage, image->size / SJ_PAGE + 2);
    case 5: /* copies of nodes in the log */
        if (image->entries > 0)
            return FUZZ_BASE + image->entry[below(damage, image->entries)] +
                   sizeof(struct sj_log_entry);
        return FUZZ_BASE + SJ_LOG_EXTENT0_AT;
    case 6:
        return FUZZ_BASE + SJ_CHUNK * below(damage, 4);
    default:
        if (block == NULL)
            return FUZZ_BASE;
        return block->at + (below(damage, 4) == 0 ? 16 * below(damage, block->bytes / 16) : 0);
    }
}

static uint64_t edge(const struct damage *damage)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     2,
                                     3,
                                     4,
                                     5,
                                     6,
                                     7,
                                     8,
                                     9,
                                     10,
                                     14,
                                     15,
                                     16,
                                     24,
                                     25,
                                     29,
                                     30,
                                     31,
                                     32,
                                     36,
                                     39,
                                     40,
                                     41,
                                     62,
                                     63,
                                     64,
                                     83,
                                     84,
                                     85,
                                     127,
                                     128,
                                     255,
                                     256,
                                     1022,
                                     1023,
                                     1024,
                                     4096,
                                     65535,
                                     1ull << 20,
                                     (1ull << 20) + 1,
                                     1ull << 31,
                                     UINT32_MAX,
                                     1ull << 32,
                                     1ull << 40,
                                     1ull << 47,
                                     INT64_MAX,
                                     1ull << 63,
                                     UINT64_MAX - 7};
    uint64_t value = edges[below(damage, sizeof edges / sizeof edges[0])];
    switch (below(damage, 8)) {
    case 0:
        return damage->image->size - 8 + 8 * below(damage, 3);
    case 1:
        return value << (8 * below(damage, 8));
    case 2:
        return value | value << 32;
    default:
        return value;
    }
}

/* What the field's value becomes. */
static uint64_t another_value(const struct damage *damage, const struct fuzz_field *field)
{
    uint64_t old = read_field(damage, field);
    switch (below(damage, 16)) {
    case 0:
    case 1:
        return old ^ 1ull << below(damage, 8u * field->width);
    case 2:
        return 0;
    case 3:
        return UINT64_MAX;
    case 4:
        return old + 1;
    case 5:
        return old - 1;
    case 6:
        return old + 8 * below(damage, 65) - 256;
    case 7:
        return edge(damage);
    case 8:
        return edge(damage);
    case 9:
        return fuzz_next(damage->random);
    case 10:
    case 11:
        return read_field(damage, field_of_role(damage, (enum fuzz_role)field->role));
    case 12:
        return old ^ 0xffull << (8 * below(damage, field->width));
    default:
        return field->width == 8 ? some_address(damage, field) : edge(damage);
    }
}

/* Two neighbours change places. */
static void swap(const struct damage *damage, const struct fuzz_field *field)
{
    const struct fuzz_image *image = damage->image;
    const struct fuzz_field *next = field + 1;
    if (next == image->field + image->fields || next->width != field->width)
        return;
    uint64_t first = read_field(damage, field);
    write_field(damage, field, read_field(damage, next));
    write_field(damage, next, first);
}

static void damage_field(const struct damage *damage, const struct fuzz_field *field)
{
    if (below(damage, 16) == 0)
        swap(damage, field);
    else
        write_field(damage, field, another_value(damage, field));
}

/* One after the other, over all runs of the fuzzer: each byte of the metadata. */
static void sweep_byte(const struct damage *damage, uint64_t number)
{
    const struct fuzz_field *field = damage->image->field;
    for (; number >= field->width; field++)
        number -= field->width;
    uint8_t *byte = damage->view + field->at + number;
    switch (below(damage, 6)) {
    case 0:
        *byte = 0;
        return;
    case 1:
        *byte = 0xff;
        return;
    case 2:
        ++*byte;
        return;
    case 3:
        --*byte;
        return;
    default:
        *byte = (uint8_t)(*byte ^ 1u << below(damage, 8));
    }
}

static enum fuzz_role some_role(const struct damage *damage)
{
    for (;;) {
        enum fuzz_role role = (enum fuzz_role)below(damage, FUZZ_ROLES);
        if (damage->image->first_of[role] < damage->image->first_of[role + 1])
            return role;
    }
}

/* ------------------------------------------------------------------ checksums */

static void seal_super(const struct damage *damage, uint64_t at)
{
    struct sj_super *super = (struct sj_super *)(damage->view + at);
    if (memcmp(super, damage->image->bytes + at, sizeof *super) != 0)
        super->checksum = sj_super_checksum(super);
}

/* log.c has the same: an entry's checksum covers its own address. */
static void seal_entry(const struct damage *damage, uint64_t offset, bool current)
{
    struct sj_log_entry *entry = (struct sj_log_entry *)(damage->view + offset);
    uint64_t room = damage->image->size - offset - sizeof *entry;
    if (current)
        entry->generation = ((const struct sj_log *)(damage->view + SJ_LOG_AT))->generation;
    if (entry->bytes > 16384 || entry->bytes % 8 != 0 || entry->bytes > room)
        return;
    uint64_t seed = sj_mix(entry->at ^ SJ_MIX_A, entry->bytes ^ SJ_MIX_B ^ entry->generation << 8);
    entry->checksum = sj_checksum(seed ^ (FUZZ_BASE + offset), entry->old, entry->bytes / 8);
}

static void seal(const struct damage *damage)
{
    const struct fuzz_image *image = damage->image;
    bool current = below(damage, 2) == 0;
    seal_super(damage, SJ_SUPER_A);
    seal_super(damage, SJ_SUPER_B);
    for (uint32_t i = 0; i < image->entries; i++) {
        const struct sj_log_entry *entry =
            (const struct sj_log_entry *)(damage->view + image->entry[i]);
        uint64_t bytes = sizeof *entry + (entry->bytes < 64 ? entry->bytes : 64);
        if (image->entry[i] + bytes <= image->size &&
            memcmp(entry, image->bytes + image->entry[i], bytes) != 0)
            seal_entry(damage, image->entry[i], current);
    }
}

/* ------------------------------------------------------------------ all of it */

/* The file may be as long as it was, or as what it now says of itself. */
static uint64_t file_size(const struct damage *damage)
{
    uint64_t size = damage->image->size;
    uint64_t committed = *(const uint64_t *)(damage->view + SJ_ROOT_PAGE_AT);
    if (committed < size && committed % SJ_PAGE == 0 && below(damage, 2) == 0)
        return committed;
    if (below(damage, 400) == 0)
        return below(damage, size);
    return below(damage, 400) == 0 ? size + SJ_PAGE * below(damage, 600) : size;
}

uint64_t fuzz_mutate(struct fuzz_random *random, const struct fuzz_image *image, uint8_t *view,
                     uint64_t sweep)
{
    struct damage damage = {random, image, view};
    uint64_t more = below(&damage, 10) < 6 ? 0 : 1 + below(&damage, 3);
    const struct fuzz_field *field = NULL;
    if (sweep != UINT64_MAX) {
        sweep_byte(&damage, sweep);
        more = below(&damage, 4) == 0;
    } else {
        field = field_of_role(&damage, some_role(&damage));
        damage_field(&damage, field);
    }
    for (; more > 0; more--) {
        /* Near the one before, of its role, or anywhere. */
        uint64_t choice = below(&damage, 4);
        if (field == NULL || choice == 0)
            field = field_of_role(&damage, some_role(&damage));
        else if (choice == 1)
            field = field_of_role(&damage, (enum fuzz_role)field->role);
        else if (field - image->field + 3 < image->fields)
            field += 1 + below(&damage, 2);
        damage_field(&damage, field);
    }
    if (below(&damage, 2) == 0)
        seal(&damage);
    return file_size(&damage);
}
