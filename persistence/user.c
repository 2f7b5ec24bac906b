// SPDX-License-Identifier: Apache-2.0
/* user.c: blocks and pointers of users (user.h has the format). */
#include "persistence/user.h"

#include <string.h>

#include "persistence/heap.h"
#include "persistence/roots.h"
#include "persistence/seam.h"

#define HEAD sizeof(struct sj_user_block)

static int commit(struct sj_segment *segment, int error)
{
    if (error != SJ_OK)
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    return sj_tx_op_commit(segment);
}

int sj_user_alloc(struct sj_segment *segment, uint64_t bytes, uint64_t *pointer)
{
    void *block = NULL;
    if (bytes > UINT64_MAX - HEAD)
        return sj_error(SJ_ETOOBIG, "'%s' has no room for a block of %llu bytes", segment->name,
                        (unsigned long long)bytes);
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = sj_heap_alloc(segment, bytes + HEAD, &block);
    if (error == SJ_OK) {
        struct sj_user_block head = {.kind = SJ_KIND_USER, .bytes = bytes};
        sj_copy(block, &head, sizeof head);
    }
    error = commit(segment, error);
    if (error == SJ_OK)
        *pointer = (uint64_t)(uintptr_t)block + HEAD;
    return error;
}

/* A record (structures/record_layout.h) is laid out by its user too: its fields, behind a head that
 * is as large. */
static bool is_record(const struct sj_segment *segment, uint64_t block, uint64_t bytes)
{
    return bytes > HEAD &&
           (uint16_t)sj_tx_peek(segment, (const uint64_t *)(uintptr_t)block) == SJ_KIND_RECORD;
}

bool sj_user_has(const struct sj_segment *segment, uint64_t block, uint64_t bytes)
{
    const struct sj_user_block *head = (const struct sj_user_block *)(uintptr_t)block;
    uint64_t kind = sj_tx_peek(segment, (const uint64_t *)head);
    return kind == SJ_KIND_USER && bytes >= HEAD && head->bytes <= bytes - HEAD;
}

static int not_a_users(const struct sj_segment *segment, uint64_t pointer, uint64_t bytes)
{
    return sj_error(SJ_EINVAL,
                    "'%s': the %llu bytes at 0x%llx do not lie in a block that its user has "
                    "allocated",
                    segment->name, (unsigned long long)bytes, (unsigned long long)pointer);
}

int sj_user_free(struct sj_segment *segment, uint64_t pointer)
{
    uint64_t block = pointer - HEAD;
    uint64_t bytes = pointer < HEAD ? 0 : sj_heap_usable(segment, block);
    if (bytes == 0 || !sj_user_has(segment, block, bytes))
        return sj_error(SJ_EINVAL,
                        "'%s': no block that its user has allocated begins at 0x%llx, or it has "
                        "been freed",
                        segment->name, (unsigned long long)pointer);
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = sj_tx_word(segment, (uint64_t *)(uintptr_t)block, SJ_KIND_NONE); /* not twice */
    if (error == SJ_OK)
        error = sj_heap_free(segment, block);
    return commit(segment, error);
}

uint64_t sj_user_room(const struct sj_segment *segment, uint64_t pointer)
{
    uint64_t block, bytes;
    if (!sj_heap_block_of(segment, pointer, &block, &bytes))
        return 0;
    uint64_t end = block + bytes;
    if (sj_user_has(segment, block, bytes))
        end = block + HEAD + ((const struct sj_user_block *)(uintptr_t)block)->bytes;
    else if (!is_record(segment, block, bytes))
        return 0;
    return pointer >= block + HEAD && pointer < end ? end - pointer : 0;
}

/* The words that hold a range of a user's block. They are the block's: its bytes begin at a
 * multiple of 16, and a block is a multiple of 16 too. */
static void words_of(uint64_t pointer, uint64_t bytes, uint64_t *first, uint64_t *end)
{
    *first = pointer & ~7ull;
    *end = (pointer + bytes + 7) & ~7ull;
}

static void store(uint64_t pointer, const char *from, uint64_t bytes)
{
    while (bytes > 0) {
        uint64_t at = pointer & ~7ull, into = pointer & 7, whole = bytes & ~7ull;
        if (into == 0 && whole > 0) {
            sj_copy((void *)(uintptr_t)at, from, whole);
            pointer += whole, from += whole, bytes -= whole;
            continue;
        }
        uint64_t word = *(const uint64_t *)(uintptr_t)at;
        uint64_t part = bytes < 8 - into ? bytes : 8 - into;
        memcpy((char *)&word + into, from, part);
        sj_store((void *)(uintptr_t)at, word);
        pointer += part, from += part, bytes -= part;
    }
}

static int log_range(struct sj_segment *segment, uint64_t pointer, uint64_t bytes)
{
    uint64_t first, end;
    words_of(pointer, bytes, &first, &end);
    return sj_tx_range(segment, (void *)(uintptr_t)first, end - first);
}

int sj_user_write(struct sj_segment *segment, uint64_t pointer, const void *from, uint64_t bytes)
{
    if (bytes == 0)
        return SJ_OK;
    if (bytes > sj_user_room(segment, pointer))
        return not_a_users(segment, pointer, bytes);
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = log_range(segment, pointer, bytes);
    if (error != SJ_OK)
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    store(pointer, from, bytes);
    return sj_tx_op_commit(segment);
}

int sj_user_change(struct sj_segment *segment, uint64_t pointer, uint64_t bytes)
{
    uint64_t first, end;
    if (bytes == 0)
        return SJ_OK;
    if (bytes > sj_user_room(segment, pointer))
        return not_a_users(segment, pointer, bytes);
    bool open = sj_tx_depth(segment) > 0;
    if (!open && segment->domain->durability == SJ_DURABILITY_POWER)
        return sj_error(SJ_EINVAL,
                        "'%s' has durability 'power': what is stored directly is durable with the "
                        "commit of a transaction; begin one first",
                        segment->name);
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    words_of(pointer, bytes, &first, &end);
    error = open ? log_range(segment, pointer, bytes)
                 : sj_tx_fresh(segment, (void *)(uintptr_t)first, end - first);
    return commit(segment, error);
}

/* ------------------------------------------------------------------ names */

static int find(const struct sj_segment *segment, const char *name, size_t name_bytes,
                struct sj_root **root)
{
    int error = sj_root_find(segment, name, name_bytes, root);
    if (error == SJ_OK && (*root)->type != SJ_KIND_POINTER)
        error = sj_error(SJ_ETYPE, "'%s': '%.*s' is the name of a structure, not of a pointer",
                         segment->name, (int)name_bytes, name);
    return error;
}

int sj_user_root_set(struct sj_segment *segment, const char *name, size_t name_bytes,
                     uint64_t pointer)
{
    struct sj_root *root;
    if (pointer != 0 && !sj_segment_spans(segment, pointer, 1))
        return sj_error(SJ_EINVAL, "0x%llx is no address of '%s'", (unsigned long long)pointer,
                        segment->name);
    int error = find(segment, name, name_bytes, &root);
    if (error != SJ_OK && error != SJ_ENOTFOUND)
        return error;
    bool there = error == SJ_OK;
    error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = there ? sj_tx_word(segment, &root->pointer, pointer)
                  : sj_root_add(segment, name, name_bytes, SJ_KIND_POINTER, 0, 0, pointer);
    return commit(segment, error);
}

int sj_user_root_get(const struct sj_segment *segment, const char *name, size_t name_bytes,
                     uint64_t *pointer)
{
    struct sj_root *root;
    int error = sj_root_find(segment, name, name_bytes, &root);
    if (error != SJ_OK)
        return error;
    if (root->type == SJ_KIND_RECORD) {
        if (sj_segment_block(segment, root->pointer, HEAD, SJ_KIND_RECORD) == NULL)
            return sj_segment_damaged(segment, root->pointer, "a record");
        *pointer = root->pointer + HEAD;
        return SJ_OK;
    }
    error = find(segment, name, name_bytes, &root);
    if (error != SJ_OK)
        return error;
    if (root->pointer != 0 && !sj_segment_spans(segment, root->pointer, 1))
        return sj_segment_damaged(segment, root->pointer, "an address of the segment");
    *pointer = root->pointer;
    return SJ_OK;
}

int sj_user_root_remove(struct sj_segment *segment, const char *name, size_t name_bytes)
{
    struct sj_root *root;
    int error = find(segment, name, name_bytes, &root);
    if (error == SJ_OK)
        error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    return commit(segment, sj_root_remove(segment, name, name_bytes));
}
