// SPDX-License-Identifier: Apache-2.0
/* array_data.c: blocks of items (array_data.h has the contract, array_layout.h the format). */
#include "structures/array_data.h"

#include <sys/stat.h>

#include "persistence/seam.h"

static uint64_t block_bytes(uint64_t bytes)
{
    return sizeof(struct sj_array_data) + ((bytes + SJ_ARRAY_ALIGN - 1) & ~(SJ_ARRAY_ALIGN - 1));
}

/*
 * From which address on what the segment grows by is zeros. Not what a file has beyond its
 * committed part: there the machine may have stopped after more had been written than counts. Nor a
 * private one, whose file may be longer.
 */
static uint64_t zeros_from(const struct sj_segment *segment)
{
    uint64_t committed = sj_segment_committed(segment);
    struct stat status;
    if (segment->is_private || fstat(segment->fd, &status) != 0 ||
        (uint64_t)status.st_size > committed)
        committed = segment->reserved;
    return (uint64_t)(uintptr_t)segment->base + committed;
}

int sj_array_data_make(struct sj_segment *segment, uint64_t bytes, bool zeros, uint64_t *at)
{
    uint64_t grown = zeros ? zeros_from(segment) : 0;
    void *block = NULL;
    if (bytes > sj_heap_block_max(segment))
        return sj_error(SJ_ETOOBIG, "%llu bytes in '%s', whose largest block is of %llu",
                        (unsigned long long)bytes, segment->name,
                        (unsigned long long)sj_heap_block_max(segment));
    int error = sj_heap_alloc(segment, block_bytes(bytes), &block);
    if (error != SJ_OK)
        return error;
    struct sj_array_data head = {
        .kind = SJ_KIND_ARRAY_DATA, .bytes = bytes, .born = segment->tx.generation};
    sj_copy(block, &head, sizeof head);
    uint64_t first = (uint64_t)(uintptr_t)block + sizeof head;
    uint64_t end = (uint64_t)(uintptr_t)block + block_bytes(bytes);
    end = end < grown ? end : grown;
    if (end > first)
        sj_zero((void *)(uintptr_t)first, end - first);
    *at = (uint64_t)(uintptr_t)block;
    return SJ_OK;
}

int sj_array_data_find(const struct sj_segment *segment, uint64_t at, uint64_t bytes,
                       struct sj_array_data **data)
{
    struct sj_array_data *found = sj_segment_block(segment, at, sizeof *found, SJ_KIND_ARRAY_DATA);
    if (found == NULL || at % SJ_ARRAY_ALIGN != 0)
        return sj_segment_damaged(segment, at, "a block of items");
    if (found->bytes < bytes || found->bytes > segment->reserved ||
        !sj_segment_spans(segment, at, sj_array_data_bytes(found)))
        return sj_segment_damaged(segment, at, "as many items as its array has");
    *data = found;
    return SJ_OK;
}

int sj_array_data_look(const struct sj_segment *segment, uint64_t at, uint64_t bytes,
                       struct sj_array_data **data)
{
    int error = sj_array_data_find(segment, at, bytes, data);
    if (error == SJ_OK && sj_heap_usable(segment, at) < sj_array_data_bytes(*data))
        error = sj_segment_damaged(segment, at, "a block of items that is in use");
    return error;
}

int sj_array_data_free(struct sj_segment *segment, uint64_t at)
{
    struct sj_array_data *data = NULL;
    int error = sj_array_data_find(segment, at, 0, &data);
    if (error == SJ_OK)
        error = sj_segment_unviewed(segment, at, sj_array_data_bytes(data));
    return error == SJ_OK ? sj_heap_free(segment, at) : error;
}

bool sj_array_type_is_text(const char *text, uint64_t bytes)
{
    bool is = bytes > 0;
    for (uint64_t i = 0; i < bytes; i++)
        is &= text[i] >= ' ' && text[i] <= '~';
    return is;
}
