// SPDX-License-Identifier: Apache-2.0
/*
 * image.h: the bytes of a segment as they were, for tests that damage it or die in it again and
 * again.
 */
#ifndef SJ_TESTS_IMAGE_H
#define SJ_TESTS_IMAGE_H

#include "harness.h"

static uint8_t *image; /* the segment before the change */
static uint64_t image_bytes;

static inline void image_take(const struct sj_segment *segment)
{
    image_bytes = sj_segment_committed(segment);
    image = realloc(image, image_bytes);
    CHECK(image != NULL);
    memcpy(image, segment->base, image_bytes);
}

/* Puts the old bytes back; only what differs, and not that the file has grown. */
static inline void image_restore(struct sj_segment *segment)
{
    uint64_t committed = sj_segment_committed(segment);
    for (uint64_t at = 0; at < image_bytes; at += SJ_PAGE)
        if (memcmp(segment->base + at, image + at, SJ_PAGE) != 0)
            memcpy(segment->base + at, image + at, SJ_PAGE);
    segment->root_page->committed = committed;
    sj_tx_forget(segment);
}

#endif
