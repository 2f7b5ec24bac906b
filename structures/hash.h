// SPDX-License-Identifier: Apache-2.0
/*
 * hash.h: the seeded hash functions of the hash map: 64 bits of a word, or of bytes.
 *
 *   fold(a, b) = high half ^ low half of the 128-bit product a × b
 *
 *   word:   fold(fold(word ^ seed, K1) ^ seed', K2)
 *   bytes:  16 bytes a fold, two folds in flight for long keys, the last 16 bytes overlap what
 *           came before them; a last fold takes the length in
 *
 * I1  Every factor that a key is part of also is xored with a number made from the seed. So
 *     without the seed (random, one a map) nobody can make a factor 0, or keys whose hashes agree.
 * I2  The functions belong to the media format: a map's items lie where they say. tests/native/
 *     test_hashmap.c pins values of them.
 *
 * Cost: a word about 3 ns, bytes about 4 ns and then 10 bytes a nanosecond.
 */
#ifndef SJ_STRUCTURES_HASH_H
#define SJ_STRUCTURES_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Odd numbers with about as many ones as zeros: fractions of √2, √3, √5 and √7. */
#define SJ_HASH_K1 0x6a09e667f3bcc909ull
#define SJ_HASH_K2 0xbb67ae8584caa73bull
#define SJ_HASH_K3 0x3c6ef372fe94f82bull
#define SJ_HASH_K4 0xa54ff53a5f1d36f1ull

static inline uint64_t sj_hash_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t sj_hash_turn(uint64_t seed)
{
    return seed << 32 | seed >> 32;
}

static inline uint64_t sj_hash_load64(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

static inline uint64_t sj_hash_load32(const uint8_t *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

static inline uint64_t sj_hash_word(uint64_t word, uint64_t seed)
{
    uint64_t mixed = sj_hash_fold(word ^ seed, SJ_HASH_K1);
    return sj_hash_fold(mixed ^ sj_hash_turn(seed), SJ_HASH_K2);
}

/* Folds all but the last 16 bytes (or a few more of them) of a key of more than 16 into `state`. */
static inline uint64_t sj_hash_body(const uint8_t *bytes, size_t size, uint64_t secret,
                                    uint64_t state)
{
    uint64_t other = state ^ SJ_HASH_K3;
    while (size > 32) {
        state = sj_hash_fold(sj_hash_load64(bytes) ^ secret, sj_hash_load64(bytes + 8) ^ state);
        other =
            sj_hash_fold(sj_hash_load64(bytes + 16) ^ secret, sj_hash_load64(bytes + 24) ^ other);
        bytes += 32;
        size -= 32;
    }
    state ^= sj_hash_turn(other);
    if (size > 16)
        state = sj_hash_fold(sj_hash_load64(bytes) ^ secret, sj_hash_load64(bytes + 8) ^ state);
    return state;
}

static inline uint64_t sj_hash_bytes(const uint8_t *bytes, size_t size, uint64_t seed)
{
    uint64_t secret = sj_hash_turn(seed) ^ SJ_HASH_K1;
    uint64_t state = seed ^ SJ_HASH_K2;
    uint64_t a = 0, b = 0;
    if (size > 16)
        state = sj_hash_body(bytes, size, secret, state);
    if (size > 16) {
        a = sj_hash_load64(bytes + size - 16);
        b = sj_hash_load64(bytes + size - 8);
    } else if (size >= 8) {
        a = sj_hash_load64(bytes);
        b = sj_hash_load64(bytes + size - 8);
    } else if (size >= 4) {
        a = sj_hash_load32(bytes);
        b = sj_hash_load32(bytes + size - 4);
    } else if (size > 0) {
        a = (uint64_t)bytes[0] << 16 | (uint64_t)bytes[size >> 1] << 8 | bytes[size - 1];
    }
    uint64_t mixed = sj_hash_fold(a ^ secret, b ^ state);
    return sj_hash_fold(mixed ^ secret ^ size, state ^ SJ_HASH_K4);
}

#endif
