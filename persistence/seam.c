// SPDX-License-Identifier: Apache-2.0
/*
 * seam.c: the test build's stores: word by word, each announced to the hook.
 *
 * The order of words within one copy or move is ascending unless overlap demands descending; a
 * release build may use any order, which no rule depends on (I1, I2 of seam.h).
 */
#include "persistence/seam.h"

#ifdef SJ_SEAM

void (*sj_seam_hook)(enum sj_seam_event event, void *at, uint64_t value);
void (*sj_seam_disk_hook)(int fd, const void *bytes, uint64_t count, uint64_t at);

void sj_seam_event(enum sj_seam_event event, void *at, uint64_t value)
{
    if (sj_seam_hook != NULL)
        sj_seam_hook(event, at, value);
}

/* Stores the `bytes` ≤ 8 bytes at `source`; those of the word beyond them stay as they are. */
static void store_part(char *target, const char *source, size_t bytes)
{
    uint64_t word;
    memcpy(&word, target, sizeof word);
    memcpy(&word, source, bytes);
    sj_store(target, word);
}

void sj_seam_copy(void *target, const void *source, size_t bytes)
{
    SJ_ASSERT(((uintptr_t)target & 7) == 0);
    char *to = target;
    const char *from = source;
    for (size_t done = 0; done < bytes; done += 8)
        store_part(to + done, from + done, bytes - done < 8 ? bytes - done : 8);
}

void sj_seam_bytes(void *target, const void *source, size_t bytes)
{
    char *to = target;
    const char *from = source;
    while (bytes > 0) {
        size_t into = (uintptr_t)to & 7, part = bytes < 8 - into ? bytes : 8 - into;
        uint64_t word;
        memcpy(&word, to - into, sizeof word);
        memcpy((char *)&word + into, from, part);
        sj_seam_event(SJ_SEAM_STORE, to - into, word);
        memcpy(to, from, part);
        to += part, from += part, bytes -= part;
    }
}

void sj_seam_move(void *target, const void *source, size_t bytes)
{
    SJ_ASSERT(((uintptr_t)target & 7) == 0 && (bytes & 7) == 0);
    char *to = target;
    const char *from = source;
    if (to <= from) {
        sj_seam_copy(target, source, bytes);
        return;
    }
    for (size_t left = bytes; left > 0; left -= 8)
        store_part(to + left - 8, from + left - 8, 8);
}

void sj_seam_zero(void *target, size_t bytes)
{
    SJ_ASSERT(((uintptr_t)target & 7) == 0 && (bytes & 7) == 0);
    for (size_t done = 0; done < bytes; done += 8)
        sj_store((char *)target + done, 0);
}

#else

/* ISO C wants a translation unit to declare something. */
typedef int sj_seam_release;

#endif
