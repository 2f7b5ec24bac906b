// SPDX-License-Identifier: Apache-2.0
/*
 * stage.h: what the designs need to be there: tables in segments, and mappings of their files.
 */
#ifndef SJ_APPS_GUPS_STAGE_H
#define SJ_APPS_GUPS_STAGE_H

#include "apps/gups/gups.h"

/* A block of a segment that the thread is not inside of, from its heap; it begins at a multiple of
 * 4096 from the segment's base. Errors of sj_enter_write and sj_heap_alloc. */
int gups_block_make(struct sj_space *space, uint64_t bytes, void **at);

/* Maps the tables of all windows, each in the next GiB, where it lies as it does in its segment,
 * and sets `flat`: so page tables have the same shape as those of segments that lie apart. A table
 * ends in its GiB. `*mapped` and `*bytes` are for munmap. SJ_ENOMEM. */
int gups_flat_map(struct gups_window *windows, uint32_t count, uint64_t words, void **mapped,
                  uint64_t *bytes);

/* Sets `table` for MAP: all windows at the same place, where nothing else is. As above. */
int gups_room_make(struct gups_window *windows, uint32_t count, uint64_t words, void **mapped,
                   uint64_t *bytes);

/* A segment, as its catalog has it. */
struct gups_segment {
    const char *path;
    const char *lock_path;
    const uint8_t *uuid;
};

/* Attaches a VAS of two segments, the window's, which is lockable, and the heap, which is in all of
 * them and is not. It ends with sj_vas_detach. Errors of sj_vas_attach_source; SJ_ENOMEM. */
int gups_vas_attach(const struct gups_segment *window, const struct gups_segment *heap,
                    struct sj_vas **vas);

/* The space of the window's segment. */
struct sj_space *gups_vas_space(struct sj_vas *vas, const uint8_t *uuid);

/* Has the kernel fill in the page tables of [at, at + bytes), for writing. */
void gups_populate(void *at, uint64_t bytes);
/* The same for each window's table in its VAS. Errors of sj_vas_switch. */
int gups_vases_populate(const struct gups_window *windows, uint32_t count, uint64_t words);

/* T[i] = i. */
void gups_table_fill(uint64_t *table, uint64_t words);
/* How many words are not their index. */
uint64_t gups_table_errors(const uint64_t *table, uint64_t words);

#endif
