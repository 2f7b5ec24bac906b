// SPDX-License-Identifier: Apache-2.0
/*
 * catalog_layout.h: the generation of a VAS, a file of one page that its attachments map.
 *
 *   offset  bytes
 *   0       8      magic
 *   8       8      generation: odd while the record changes (catalog.h, I5)
 *   16      4080   zero
 *
 * It counts for as long as somebody has it mapped: nothing is lost with it.
 */
#ifndef SJ_SPACEJMP_CATALOG_LAYOUT_H
#define SJ_SPACEJMP_CATALOG_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define SJ_GENERATION_MAGIC 0x004e45475341564aull /* "JVASGEN\0" */

struct sj_generation_page {
    uint64_t magic;
    uint64_t generation;
    uint8_t zero[4096 - 16];
};

_Static_assert(sizeof(struct sj_generation_page) == 4096, "media");
_Static_assert(offsetof(struct sj_generation_page, magic) == 0, "media");
_Static_assert(offsetof(struct sj_generation_page, generation) == 8, "media");

#endif
