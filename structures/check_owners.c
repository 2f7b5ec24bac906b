// SPDX-License-Identifier: Apache-2.0
/*
 * check_owners.c: the structures that have blocks in a page, to name them when it is damaged.
 *
 * Each structure is walked as its check does, which trusts nothing; where the walk ends at damage,
 * the blocks behind it are not known.
 */
#include "structures/check_owners.h"

#include <stdio.h>

#include "structures/census.h"

#define NAMES_TOLD 3

struct search {
    uint64_t first; /* addresses of the page */
    uint64_t end;
    bool found;
};

/* Ends the walk when a block reaches into the page. */
static int touches(void *context, uint64_t block, uint64_t bytes)
{
    struct search *search = context;
    search->found = block < search->end && block + (bytes == 0 ? 1 : bytes) > search->first;
    return search->found ? SJ_EEXISTS : SJ_OK;
}

static bool has_part(struct sj_segment *segment, const struct sj_root *root, struct search *search)
{
    if (touches(search, (uint64_t)(uintptr_t)root, sizeof *root + root->name_bytes) != SJ_OK)
        return true;
    (void)sj_census_root(segment, root, touches, search);
    return search->found;
}

void sj_check_owners(struct sj_segment *segment, uint64_t offset, char *text, size_t bytes)
{
    uint64_t first = (uint64_t)(uintptr_t)segment->base + offset - offset % SJ_PAGE;
    uint64_t left = sj_segment_committed(segment) / sizeof(struct sj_root), told = 0;
    struct sj_root *root = NULL;
    size_t length = 0;
    text[0] = '\0';
    if (segment->root_page->root_count < left)
        left = segment->root_page->root_count;
    for (; left > 0 && told < NAMES_TOLD; left--) {
        struct search search = {first, first + SJ_PAGE, false};
        if (sj_root_next(segment, root, &root) != SJ_OK || root == NULL)
            return;
        if (!has_part(segment, root, &search))
            continue;
        length += (size_t)snprintf(text + length, bytes - length, "%s'%.*s'",
                                   told++ == 0 ? ", of " : ", ", (int)root->name_bytes, root->name);
        if (length >= bytes)
            return;
    }
}
