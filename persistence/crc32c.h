// SPDX-License-Identifier: Apache-2.0
/*
 * crc32c.h: CRC-32C (Castagnoli), the checksum of pages.
 *
 * It finds every damage of up to 32 bits in a row, and of any two or three bits of a page. It is no
 * defence against somebody who means to forge a page.
 *
 * Cost: with the instruction of x86-64 (SSE4.2) or ARMv8 about 0.25 µs a page that is in the cache,
 * for three streams are kept going at once; else tables are used, and it is twelve times as much.
 */
#ifndef SJ_PERSISTENCE_CRC32C_H
#define SJ_PERSISTENCE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

#include "persistence/error.h"

/* The checksum of `bytes` bytes at any address; `before`: of what lies before them, or 0. */
SJ_API uint32_t sj_crc32c(uint32_t before, const void *at, size_t bytes);

/* The same by tables, whatever the CPU has. (For tests.) */
uint32_t sj_crc32c_portable(uint32_t before, const void *at, size_t bytes);

#endif
