// SPDX-License-Identifier: Apache-2.0
/*
 * superblock.h: what a segment file says of itself (media_layout.h has the format).
 */
#ifndef SJ_PERSISTENCE_SUPERBLOCK_H
#define SJ_PERSISTENCE_SUPERBLOCK_H

#include "persistence/segment.h"

/* Reads the superblock that counts from an open file and checks all of it. `*which`: SJ_SUPER_A or
 * _B. SJ_EFORMAT, SJ_EVERSION, SJ_ECORRUPT, SJ_ETRUNCATED, SJ_EIO. */
int sj_super_read(int fd, const char *path, struct sj_super *super, uint64_t *which);

enum sj_super_copy {
    SJ_SUPER_EMPTY, /* all zeros: never written */
    SJ_SUPER_WHOLE,
    SJ_SUPER_DAMAGED,
};

/* What the two superblocks of an open file are, A and B. SJ_EIO, SJ_EFORMAT. */
int sj_super_copies(int fd, const char *path, enum sj_super_copy copies[2]);

/* Fills in a new segment's superblock. */
void sj_super_init(struct sj_super *super, const struct sj_segment_spec *spec,
                   const uint8_t uuid[16], uint64_t features_incompat);

/* The checksum that belongs into `super->checksum`. */
uint64_t sj_super_checksum(const struct sj_super *super);

/* Writes `state` and this boot's id over the superblock of an open segment that does not count,
 * which then does. SJ_EIO; also when it does, is clean, and the checksums could not be synced. */
int sj_super_update(struct sj_segment *segment, uint64_t state);

/* What was asked for when the segment was made. */
static inline enum sj_durability sj_super_durability(const struct sj_super *super)
{
    return (super->features_incompat & SJ_FEATURE_POWER) != 0 ? SJ_DURABILITY_POWER
                                                              : SJ_DURABILITY_PROCESS;
}

static inline bool sj_super_is_frozen(const struct sj_super *super)
{
    return (super->features_ro_compat & SJ_FEATURE_FROZEN) != 0;
}

/* The same, in the file: `super` was read from `which`, changed but for its checksum, and goes to
 * the other place, with the next sequence number, synced. SJ_EIO. */
int sj_super_write(struct sj_segment *segment, int fd, struct sj_super *super, uint64_t which);

/* The running kernel's boot id; all zero when it does not tell. */
void sj_boot_id(uint8_t id[16]);

#endif
