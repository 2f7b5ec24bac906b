// SPDX-License-Identifier: Apache-2.0
/*
 * sums_layout.h: the checksums of a segment's pages, in a file of their own beside it:
 * NAME.seg.sum. They are no part of the segment format: without them nothing but their use is lost.
 *
 *   offset   bytes                           what
 *   0        4096                            header
 *   4096     1 bit for each 1024 pages       chunks in which a page may have no checksum, whole
 *   pages then     4 for each page                 checksums, to the last page that the segment has
 *
 * The checksum of a page is its CRC-32C, 1 in place of 0; 0 stands for "none": the page may have
 * changed since there was one. The superblocks (pages 0 and 1) have none: they have their own. Of a
 * `wal` store the pages are those of the segment file.
 *
 * A state word of the header names a superblock, and so what the segment was when its checksums
 * were true: the low 40 bits of the superblock's checksum, then 24 bits of the CRC-32C of those,
 * as eight bytes. So it is stored at once, and a flipped bit in it is noticed. In new checksums a
 * word has the complement of the present superblock's checksum, which names nobody.
 */
#ifndef SJ_PERSISTENCE_SUMS_LAYOUT_H
#define SJ_PERSISTENCE_SUMS_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "persistence/media_layout.h"

#define SJ_SUMS_MAGIC   0x004d55534a505300ull
#define SJ_SUMS_VERSION 1u

#define SJ_SUMS_CHANGED_AT  SJ_PAGE
#define SJ_SUMS_CHUNK_PAGES 1024ull /* pages of a bit */

struct sj_sums_header {
    uint64_t magic;
    uint32_t version;
    uint32_t page_bytes;
    uint8_t uuid[16]; /* of the segment */
    uint64_t reserved;
    uint64_t checksum; /* of all bytes before it (checksum.h) */
    uint64_t zero[2];
    uint64_t state[2]; /* of one of them, the superblock that counts; or none */
    uint8_t zeros[4096 - 80];
};

_Static_assert(sizeof(struct sj_sums_header) == SJ_PAGE, "media");
_Static_assert(offsetof(struct sj_sums_header, version) == 8, "media");
_Static_assert(offsetof(struct sj_sums_header, page_bytes) == 12, "media");
_Static_assert(offsetof(struct sj_sums_header, uuid) == 16, "media");
_Static_assert(offsetof(struct sj_sums_header, reserved) == 32, "media");
_Static_assert(offsetof(struct sj_sums_header, checksum) == 40, "media");
_Static_assert(offsetof(struct sj_sums_header, state) == 64, "media");

#endif
