// SPDX-License-Identifier: Apache-2.0
/*
 * pin.h: a page of address space that keeps page tables from being given back in a move.
 *
 * When a segment is moved away and nothing else lies in its 512 GiB, the kernel gives the table of
 * these (the third level) back, and makes another one for the segment that comes instead. A mapping
 * without a page, somewhere in them, prevents that: 2 of 9 µs. It goes when its place is needed.
 *
 * All of it under the mutex of park.c.
 */
#ifndef SJ_SPACEJMP_PIN_H
#define SJ_SPACEJMP_PIN_H

#include <stdint.h>

/* Something will stay mapped in the 512 GiB of `first`, outside of [first, end), if that leaves
 * room there; before what is in the range is moved away. */
void sj_pin_keep(uint64_t first, uint64_t end);

/* Nothing of ours is in the range. */
void sj_pin_clear(uint64_t first, uint64_t end);

#endif
