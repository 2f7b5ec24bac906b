// SPDX-License-Identifier: Apache-2.0
/*
 * reference.c: a walk through msgpack that skips all but references.
 *
 * The bytes are one value after the other, once arrays, maps and nesting extensions are opened
 * instead of skipped: so `left`, the number of values that are still to come, is all the state.
 * Every step reads at least one byte, so it ends.
 */
#include "structures/reference.h"

#include "structures/reference_layout.h"

struct walk {
    const uint8_t *at;
    const uint8_t *end;
    uint64_t left;
    sj_reference_visit *visit;
    void *context;
};

#define DAMAGED (-1)

/* A number of `bytes` bytes, big endian. */
static bool number(struct walk *walk, unsigned bytes, uint64_t *out)
{
    if ((uint64_t)(walk->end - walk->at) < bytes)
        return false;
    *out = 0;
    for (unsigned i = 0; i < bytes; i++)
        *out = *out << 8 | *walk->at++;
    return true;
}

static int skip(struct walk *walk, uint64_t bytes)
{
    if ((uint64_t)(walk->end - walk->at) < bytes)
        return DAMAGED;
    walk->at += bytes;
    return 0;
}

/* What has its size in `bytes` bytes before it. */
static int skip_sized(struct walk *walk, unsigned bytes)
{
    uint64_t size;
    return number(walk, bytes, &size) ? skip(walk, size) : DAMAGED;
}

static int open_items(struct walk *walk, unsigned bytes, uint64_t each)
{
    uint64_t count;
    if (!number(walk, bytes, &count))
        return DAMAGED;
    walk->left += each * count;
    return 0;
}

static int extension(struct walk *walk, uint64_t size)
{
    uint64_t code, head;
    uint32_t serial;
    if (!number(walk, 1, &code) || (uint64_t)(walk->end - walk->at) < size)
        return DAMAGED;
    if (code >= SJ_NESTING_CODE_FIRST && code <= SJ_NESTING_CODE_LAST) {
        walk->left++;
        return 0;
    }
    if (code == SJ_REFERENCE_CODE) {
        if (size != SJ_REFERENCE_BYTES)
            return DAMAGED;
        memcpy(&head, walk->at, sizeof head);
        memcpy(&serial, walk->at + sizeof head, sizeof serial);
        int ended = walk->visit(walk->context, head, serial);
        if (ended != 0)
            return ended;
    }
    return skip(walk, size);
}

static int extension_sized(struct walk *walk, unsigned bytes)
{
    uint64_t size;
    return number(walk, bytes, &size) ? extension(walk, size) : DAMAGED;
}

/* The rest of a value that begins with `tag`, 0xc0 to 0xdf. */
static int tagged(struct walk *walk, uint8_t tag)
{
    switch (tag) {
    case 0xc0: /* nil */
    case 0xc2: /* false */
    case 0xc3: /* true */
        return 0;
    case 0xc4: /* bin */
    case 0xc5:
    case 0xc6:
        return skip_sized(walk, 1u << (tag - 0xc4));
    case 0xc7: /* ext */
    case 0xc8:
    case 0xc9:
        return extension_sized(walk, 1u << (tag - 0xc7));
    case 0xca: /* float */
    case 0xcb:
        return skip(walk, 4u << (tag - 0xca));
    case 0xcc: /* uint */
    case 0xcd:
    case 0xce:
    case 0xcf:
        return skip(walk, 1u << (tag - 0xcc));
    case 0xd0: /* int */
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return skip(walk, 1u << (tag - 0xd0));
    case 0xd4: /* fixext */
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return extension(walk, 1u << (tag - 0xd4));
    case 0xd9: /* str */
    case 0xda:
    case 0xdb:
        return skip_sized(walk, 1u << (tag - 0xd9));
    case 0xdc: /* array */
    case 0xdd:
        return open_items(walk, 2u << (tag - 0xdc), 1);
    case 0xde: /* map */
    case 0xdf:
        return open_items(walk, 2u << (tag - 0xde), 2);
    default:
        return DAMAGED;
    }
}

static int one(struct walk *walk)
{
    if (walk->at == walk->end)
        return DAMAGED;
    uint8_t tag = *walk->at++;
    if (tag < 0x80 || tag >= 0xe0) /* an int in the tag */
        return 0;
    if (tag < 0x90)
        walk->left += 2u * (tag & 15u);
    else if (tag < 0xa0)
        walk->left += tag & 15u;
    else if (tag < 0xc0)
        return skip(walk, tag & 31u);
    else
        return tagged(walk, tag);
    return 0;
}

int sj_references_in(const struct sj_value *value, sj_reference_visit *visit, void *context)
{
    struct walk walk = {value->bytes, value->bytes + value->size, 1, visit, context};
    int ended = 0;
    while (walk.left > 0 && ended == 0) {
        if (walk.left > (uint64_t)(walk.end - walk.at)) /* each has a byte at least */
            return DAMAGED;
        walk.left--;
        ended = one(&walk);
    }
    return ended;
}
