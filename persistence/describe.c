// SPDX-License-Identifier: Apache-2.0
/* describe.c: naming what lies in a page (describe.h). */
#include "persistence/describe.h"

#include <stdio.h>
#include <string.h>

#include "persistence/pages.h"
#include "persistence/slab.h"

#define KINDS_TOLD 3 /* of the blocks of a page */

const char *sj_kind_text(uint16_t kind)
{
    static const char *const texts[] = {
        [SJ_KIND_ROOT] = "names of structures",
        [SJ_KIND_BLOB] = "values",
        [SJ_KIND_ENTRY] = "keys with values",
        [SJ_KIND_BTREE] = "B-tree heads",
        [SJ_KIND_BTREE_LEAF] = "B-tree leaves",
        [SJ_KIND_BTREE_INNER] = "B-tree inner nodes",
        [SJ_KIND_HASHMAP] = "hash map heads",
        [SJ_KIND_HASHMAP_DIR] = "hash map directories",
        [SJ_KIND_HASHMAP_SEG] = "hash map tables",
        [SJ_KIND_BTREE_KEY] = "B-tree separator keys",
        [SJ_KIND_USER] = "blocks of the user",
        [SJ_KIND_DEQUE] = "deque heads",
        [SJ_KIND_DEQUE_CHUNK] = "deque chunks",
        [SJ_KIND_QUEUE] = "queue heads",
        [SJ_KIND_RECORD] = "records",
        [SJ_KIND_RECORD_TYPE] = "types of records",
    };
    return kind < sizeof texts / sizeof *texts ? texts[kind] : NULL;
}

/* The parts whose place is fixed, in order. */
static const struct {
    uint64_t end;
    const char *text;
} parts[] = {
    {SJ_SUPER_B, "superblock A"},
    {SJ_CHUNK0_PAGES_AT, "superblock B"},
    {SJ_ROOT_PAGE_AT, "the page descriptors of chunk 0"},
    {SJ_LOG_AT, "the root page"},
    {SJ_LOG_EXTENT0_AT, "the header of the log"},
    {SJ_CHUNK_DIR_AT, "the log"},
};

static uint16_t kind_at(const struct sj_segment *segment, uint64_t at)
{
    return sj_segment_holds(segment, at, sizeof(struct sj_block))
               ? ((const struct sj_block *)(uintptr_t)at)->kind
               : (uint16_t)SJ_KIND_NONE;
}

/* A page of a slab: the kinds of the blocks in use that reach into it. */
static void describe_slab(const struct sj_segment *segment, const struct sj_page_run *run,
                          uint64_t at, char *text, size_t bytes)
{
    const struct sj_slab *slab = sj_slab_at(segment, run->at);
    if (slab == NULL || slab->size_class != run->size_class) {
        snprintf(text, bytes, "a slab whose header makes no sense");
        return;
    }
    uint64_t block_bytes = sj_class_bytes(slab->size_class), told = 0;
    size_t length = (size_t)snprintf(text, bytes, "a slab of %llu-byte blocks",
                                     (unsigned long long)block_bytes);
    for (uint32_t number = 0; number < slab->blocks && told < KINDS_TOLD; number++) {
        uint64_t block = run->at + sizeof *slab + number * block_bytes;
        if ((slab->used[number / 64] >> number % 64 & 1) == 0 || block + block_bytes <= at ||
            block >= at + SJ_PAGE)
            continue;
        const char *kind = sj_kind_text(kind_at(segment, block));
        if (kind == NULL)
            kind = "unknown blocks";
        if (length >= bytes || strstr(text, kind) != NULL)
            continue;
        length += (size_t)snprintf(text + length, bytes - length, "%s%s", told++ == 0 ? " (" : ", ",
                                   kind);
    }
    if (length < bytes)
        snprintf(text + length, bytes - length, told == 0 ? ", none of them in use there" : ")");
}

static void describe_run(const struct sj_segment *segment, const struct sj_page_run *run,
                         char *text, size_t bytes)
{
    const char *kind = sj_kind_text(kind_at(segment, run->at));
    uint64_t pages = run->pages + run->chunks * SJ_CHUNK_PAGES;
    snprintf(text, bytes, "a block of %llu pages (%s)", (unsigned long long)pages,
             kind == NULL ? "unknown" : kind);
}

static void describe_chunk(const struct sj_segment *segment, uint64_t offset, char *text,
                           size_t bytes)
{
    uint64_t chunk = offset / SJ_CHUNK, head = chunk;
    while (head > 0 && *sj_chunk_word(segment, head) == 0)
        head--; /* words of a run but the first are zero */
    uint64_t word = *sj_chunk_word(segment, head);
    if (chunk - head >= SJ_CHUNK_COUNT(word))
        word = 0;
    switch (SJ_CHUNK_STATE(word)) {
    case SJ_CHUNK_UNUSED:
        snprintf(text, bytes, "a free page of chunk %llu, which is free",
                 (unsigned long long)chunk);
        return;
    case SJ_CHUNK_LOG:
        snprintf(text, bytes, "an extent of the log");
        return;
    case SJ_CHUNK_META:
        snprintf(text, bytes, "the chunk directory");
        return;
    default:
        break;
    }
    if (SJ_CHUNK_STATE(word) == SJ_CHUNK_PAGED &&
        offset % SJ_CHUNK < SJ_DESCRIPTOR_PAGES * SJ_PAGE && chunk != 0) {
        snprintf(text, bytes, "the page descriptors of chunk %llu", (unsigned long long)chunk);
        return;
    }
    struct sj_page_run run;
    uint64_t at = (uint64_t)(uintptr_t)segment->base + offset;
    if (SJ_CHUNK_STATE(word) == SJ_CHUNK_HUGE) {
        run = (struct sj_page_run){.at = (uint64_t)(uintptr_t)segment->base + head * SJ_CHUNK,
                                   .chunks = SJ_CHUNK_COUNT(word)};
        describe_run(segment, &run, text, bytes);
    } else if (sj_pages_find(segment, at, &run) != SJ_OK) {
        snprintf(text, bytes, "a free page of chunk %llu", (unsigned long long)chunk);
    } else if (run.kind == SJ_PAGE_SLAB) {
        describe_slab(segment, &run, at, text, bytes);
    } else if (run.kind == SJ_PAGE_RUN) {
        describe_run(segment, &run, text, bytes);
    } else {
        snprintf(text, bytes, "metadata of chunk %llu", (unsigned long long)chunk);
    }
}

void sj_segment_describe(const struct sj_segment *segment, uint64_t offset, char *text,
                         size_t bytes)
{
    offset -= offset % SJ_PAGE;
    for (uint32_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (offset < parts[i].end) {
            snprintf(text, bytes, "%s", parts[i].text);
            return;
        }
    if (offset < sj_pages_meta_bytes(segment->reserved))
        snprintf(text, bytes, "the chunk directory");
    else
        describe_chunk(segment, offset, text, bytes);
}
