// SPDX-License-Identifier: Apache-2.0
/*
 * crc32c.c: CRC-32C by the CPU's instruction, in three interleaved streams, or by tables.
 *
 *   |---- lane ----|---- lane ----|---- lane ----| …     three lanes at once, for the instruction
 *        a              b              c                 takes three cycles and one can begin in
 *        each
 *
 * A checksum is linear: that of a followed by b is shift(a) ^ b, where shift appends as many zero
 * bytes as b has. Lanes have one length, so shift is four look-ups, one for each byte.
 *
 * Everything here works on checksums without the inversions that begin and end one.
 */
#include "persistence/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#define POLYNOMIAL 0x82f63b78u /* the bits of 0x1edc6f41 in reverse */
#define LANE       1360u       /* three of them and two words are a page */

typedef uint32_t crc_kernel(uint32_t crc, const unsigned char *at, size_t bytes);

static uint32_t slice[8][256];      /* slice[k][v]: byte v, and k zero bytes after it */
static uint32_t lane_shift[4][256]; /* byte k of a checksum is v: what it is LANE bytes later */
static crc_kernel *kernel;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static inline uint64_t load(const unsigned char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* ------------------------------------------------------------------ by tables */

static uint32_t by_tables(uint32_t crc, const unsigned char *at, size_t bytes)
{
    for (; bytes >= 8; at += 8, bytes -= 8) {
        uint64_t word = load(at) ^ crc;
        crc = 0;
        for (uint32_t i = 0; i < 8; i++)
            crc ^= slice[7 - i][word >> 8 * i & 0xff];
    }
    for (; bytes > 0; at++, bytes--)
        crc = crc >> 8 ^ slice[0][(crc ^ *at) & 0xff];
    return crc;
}

static void make_slices(void)
{
    for (uint32_t value = 0; value < 256; value++) {
        uint32_t crc = value;
        for (uint32_t bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
        slice[0][value] = crc;
    }
    for (uint32_t k = 1; k < 8; k++)
        for (uint32_t value = 0; value < 256; value++)
            slice[k][value] = slice[k - 1][value] >> 8 ^ slice[0][slice[k - 1][value] & 0xff];
}

/* ------------------------------------------------------------------ by the instruction */

#if defined(__x86_64__)
#define HARDWARE             __attribute__((target("sse4.2")))
#define STEP_BYTE(crc, byte) __builtin_ia32_crc32qi(crc, byte)
#define STEP_WORD(crc, word) (uint32_t)__builtin_ia32_crc32di(crc, word)
#elif defined(__aarch64__)
#define HARDWARE             __attribute__((target("+crc")))
#define STEP_BYTE(crc, byte) __builtin_aarch64_crc32cb(crc, byte)
#define STEP_WORD(crc, word) __builtin_aarch64_crc32cx(crc, word)
#endif

#ifdef HARDWARE

static inline uint32_t shift(uint32_t crc)
{
    return lane_shift[0][crc & 0xff] ^ lane_shift[1][crc >> 8 & 0xff] ^
           lane_shift[2][crc >> 16 & 0xff] ^ lane_shift[3][crc >> 24];
}

HARDWARE static uint32_t by_instruction(uint32_t crc, const unsigned char *at, size_t bytes)
{
    for (; bytes >= 3 * LANE; bytes -= 3 * LANE) {
        uint32_t b = 0, c = 0;
        for (uint32_t i = 0; i < LANE; i += 8) {
            crc = STEP_WORD(crc, load(at + i));
            b = STEP_WORD(b, load(at + LANE + i));
            c = STEP_WORD(c, load(at + 2 * LANE + i));
        }
        crc = shift(shift(crc) ^ b) ^ c;
        at += 3 * LANE;
    }
    for (; bytes >= 8; at += 8, bytes -= 8)
        crc = STEP_WORD(crc, load(at));
    for (; bytes > 0; at++, bytes--)
        crc = STEP_BYTE(crc, *at);
    return crc;
}

/* A checksum's bits, one by one, LANE zero bytes later; the others are sums of these. */
static void make_lane_shift(void)
{
    static const unsigned char zeros[LANE];
    for (uint32_t k = 0; k < 4; k++)
        for (uint32_t value = 1; value < 256; value++) {
            uint32_t low = value & -value;
            lane_shift[k][value] = low == value ? by_tables(value << 8 * k, zeros, LANE)
                                                : lane_shift[k][low] ^ lane_shift[k][value ^ low];
        }
}

static bool has_instruction(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("sse4.2");
#else
    return (getauxval(AT_HWCAP) & 1ul << 7) != 0; /* HWCAP_CRC32 */
#endif
}

#endif

static void choose(void)
{
    crc_kernel *best = by_tables;
    make_slices();
#ifdef HARDWARE
    make_lane_shift();
    if (has_instruction())
        best = by_instruction;
#endif
    __atomic_store_n(&kernel, best, __ATOMIC_RELEASE);
}

uint32_t sj_crc32c(uint32_t before, const void *at, size_t bytes)
{
    crc_kernel *chosen = __atomic_load_n(&kernel, __ATOMIC_ACQUIRE);
    if (SJ_UNLIKELY(chosen == NULL)) {
        pthread_once(&once, choose);
        chosen = __atomic_load_n(&kernel, __ATOMIC_ACQUIRE);
    }
    return ~chosen(~before, at, bytes);
}

uint32_t sj_crc32c_portable(uint32_t before, const void *at, size_t bytes)
{
    pthread_once(&once, choose);
    return ~by_tables(~before, at, bytes);
}
