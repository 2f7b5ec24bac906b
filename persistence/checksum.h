// SPDX-License-Identifier: Apache-2.0
/*
 * checksum.h: 64-bit checksum over words: two words a 64 × 64 → 128-bit multiply, folded.
 *
 * It tells a torn or stale record from a whole one; it is no defence against somebody who means
 * to forge one. Cost: about 0.5 ns for 16 bytes of a long range.
 */
#ifndef SJ_PERSISTENCE_CHECKSUM_H
#define SJ_PERSISTENCE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define SJ_MIX_A 0x9e3779b97f4a7c15ull
#define SJ_MIX_B 0xd6e8feb86659fd93ull
#define SJ_MIX_C 0xa0761d6478bd642full

static inline uint64_t sj_mix(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* One step: two words into a sum. */
static inline uint64_t sj_checksum_step(uint64_t sum, uint64_t first, uint64_t second)
{
    return sj_mix(sum ^ first ^ SJ_MIX_B, second ^ SJ_MIX_C) + (sum << 1 | sum >> 63);
}

/* Long ranges go through four independent sums, for the multiplier's sake. */
static inline uint64_t sj_checksum(uint64_t seed, const uint64_t *words, size_t count)
{
    uint64_t sum = seed ^ SJ_MIX_A;
    size_t i = 0;
    if (count >= 16) {
        uint64_t b = sum + SJ_MIX_B, c = sum + SJ_MIX_C, d = ~sum;
        for (; i + 8 <= count; i += 8) {
            sum = sj_checksum_step(sum, words[i], words[i + 1]);
            b = sj_checksum_step(b, words[i + 2], words[i + 3]);
            c = sj_checksum_step(c, words[i + 4], words[i + 5]);
            d = sj_checksum_step(d, words[i + 6], words[i + 7]);
        }
        sum = sj_checksum_step(sj_checksum_step(sum, b, c), d, count);
    }
    for (; i + 2 <= count; i += 2)
        sum = sj_checksum_step(sum, words[i], words[i + 1]);
    if (i < count)
        sum = sj_checksum_step(sum, words[i], 0);
    return sj_mix(sum ^ SJ_MIX_A, count ^ SJ_MIX_B);
}

#endif
