// SPDX-License-Identifier: Apache-2.0
/*
 * test_crc32c.c: the function behind the checksums of pages.
 */
#include "harness.h"

#include "persistence/crc32c.h"

static uint32_t bit_by_bit(const uint8_t *at, size_t bytes)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void crc32c_is_what_rfc_3720_says(void)
{
    uint8_t bytes[32];
    CHECK(sj_crc32c(0, "123456789", 9) == 0xe3069283u);
    memset(bytes, 0, sizeof bytes);
    CHECK(sj_crc32c(0, bytes, 32) == 0x8a9136aau);
    memset(bytes, 0xff, sizeof bytes);
    CHECK(sj_crc32c(0, bytes, 32) == 0x62a8ab43u);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    CHECK(sj_crc32c(0, bytes, 32) == 0x46dd794eu);
}

static void every_way_to_it_gives_the_same(void)
{
    enum { BYTES = 20000 };
    static uint8_t bytes[BYTES + 16];
    for (uint32_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)test_random();
    for (uint32_t round = 0; round < 400; round++) {
        size_t from = test_below(16);
        size_t count = round < 64 ? round : test_below(BYTES), first = test_below(count + 1);
        uint32_t expected = bit_by_bit(bytes + from, count);
        CHECK(sj_crc32c(0, bytes + from, count) == expected);
        CHECK(sj_crc32c_portable(0, bytes + from, count) == expected);
        uint32_t before = sj_crc32c(0, bytes + from, first);
        CHECK(sj_crc32c(before, bytes + from + first, count - first) == expected);
    }
}

int main(void)
{
    test_begin();
    crc32c_is_what_rfc_3720_says();
    every_way_to_it_gives_the_same();
    return 0;
}
