// SPDX-License-Identifier: Apache-2.0
/*
 * check.h: the whole segment verified: heap, roots, every structure, and that each block in use
 * belongs to exactly one of them.
 */
#ifndef SJ_STRUCTURES_CHECK_H
#define SJ_STRUCTURES_CHECK_H

#include "persistence/heap.h"

struct sj_check_report {
    uint64_t structures;
    uint64_t items;
    uint64_t blocks; /* that structures and roots have */
    uint64_t bytes;
    uint64_t leaked_blocks; /* in use, and nothing leads to them */
    uint64_t leaked_bytes;
};

/*
 * Reads everything; the caller has a read hold. The first damage ends it: SJ_ECORRUPT with the
 * place, and `report` has what was found until then. Leaks are no damage. SJ_ENOMEM.
 * Cost: O(bytes in use); one bit for 16 bytes of the file in memory.
 */
SJ_API int sj_check(struct sj_segment *segment, struct sj_check_report *report);

#endif
