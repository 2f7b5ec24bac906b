// SPDX-License-Identifier: Apache-2.0
/*
 * guard.h: mapped files that may lose pages while they are open: a SIGBUS in one ends no process.
 *
 * The kernel sends SIGBUS when a mapped page cannot be had: the file was cut short, its storage
 * cannot be read, a hole finds no room on a full disk. Who maps a file adds its range here; the
 * handler finds the range by the address and calls its `lost`, which puts other pages there. Then
 * the access is repeated, and the program goes on with what it finds.
 *
 * The handler is put in place when the first range is added, and again, on top, if somebody has put
 * another one there by the next time. What is none of its ranges' business (another address, a
 * signal sent by kill()) goes to the handler before it, or ends the process as if there were none.
 *
 * Contract: sj_guard_lost and what it calls run inside of a signal handler, in the thread that was
 * hit, at any instruction: system calls and plain stores only. A range is taken out before it is
 * unmapped, when no thread uses it. Cost: none until a signal comes.
 */
#ifndef SJ_PERSISTENCE_GUARD_H
#define SJ_PERSISTENCE_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The page at `at` is lost. Whether the access can be repeated; if not, the process ends with
 * SIGBUS. Called by several threads at the same time if need be. */
typedef bool sj_guard_lost(void *owner, uint64_t at);

/* Guards a mapped range. SJ_ENOMEM. */
int sj_guard_add(const void *first, uint64_t bytes, sj_guard_lost *lost, void *owner);
/* Ends that; `first` as it was added. */
void sj_guard_remove(const void *first);
/* The guarded range that begins there, until it is removed; NULL: there is none. */
struct sj_guard_range;
struct sj_guard_range *sj_guard_find(const void *first);
/* Its pages are at `to` now; nobody touches them meanwhile, or removes it. */
void sj_guard_move(struct sj_guard_range *range, const void *to);

/*
 * For `lost`: puts private pages over a range of whole pages: zeros, or the beginning of the file
 * `fd`, which later stores do not reach. False when the kernel has no memory for that.
 */
bool sj_guard_zero(uint64_t first, uint64_t bytes);
bool sj_guard_zero_page(uint64_t at); /* the page that `at` is in */
bool sj_guard_copy(uint64_t first, uint64_t bytes, int fd);

/* Where the page begins that `at` is in. */
uint64_t sj_guard_page_of(uint64_t at);

/* For `lost`: how much of the first `bytes` of a mapping the file backs, in whole pages. */
uint64_t sj_guard_backed(int fd, uint64_t bytes);

#endif
