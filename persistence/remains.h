// SPDX-License-Identifier: Apache-2.0
/*
 * remains.h: a private copy of a segment file that may be damaged, mapped at the segment's base.
 *
 * What sj_segment_open refuses is opened here: one or both superblocks damaged, a file that was cut
 * short, pages whose checksum does not fit, a damaged root page or log. The file is opened for
 * reading, mapped privately, and never changed; nobody is locked out, and a store that others
 * change meanwhile gives a mixture of states.
 *
 *   file   |■■■■■■■■■■■■■■■|        (cut here)
 *   map    |private, copied on a store|           `committed` in the copy: bytes of the file
 *
 * The copy is what the segment was after its last committed transaction, as far as can be told: a
 * write-ahead log is applied and an unfinished transaction is undone, in the copy. What could not
 * be done is told in the notes.
 *
 * R1  sj_segment_holds() of the copy says what can be read: `committed` is what the file has.
 * R2  Each page of the file was touched once. One that is lost (guard.h) reads as zeros and is
 *     marked; so is one that is lost later, before the access to it goes on. So who has read
 *     something looks at sj_remains_state() after it.
 *
 * Cost: reads the file once; memory for one byte a page, and for pages that the logs change.
 */
#ifndef SJ_PERSISTENCE_REMAINS_H
#define SJ_PERSISTENCE_REMAINS_H

#include "persistence/segment.h"

#define SJ_REMAINS_NOTES      16
#define SJ_REMAINS_NOTE_BYTES 512

/* What is known of a page's bytes; the greater, the worse. */
enum sj_remains_state {
    SJ_REMAINS_SOUND,   /* its checksum fits */
    SJ_REMAINS_PLAIN,   /* it has no checksum that counts */
    SJ_REMAINS_SUSPECT, /* its checksum does not fit */
    SJ_REMAINS_LOST,    /* it could not be read */
};

/* What somebody else knows of the segment, for when its superblocks do not tell. Zeros: nothing. */
struct sj_remains_hint {
    uint64_t base;
    uint64_t reserved;
};

struct sj_remains {
    struct sj_segment segment; /* of the copy; never written to a file */
    struct sj_domain domain;
    uint64_t bytes; /* of the file, whole words */
    uint64_t pages;
    uint8_t *state; /* enum sj_remains_state, one a page; through sj_remains_state() */
    uint64_t suspect_pages;
    uint64_t lost_pages; /* changes at any time (R2) */
    bool has_super;      /* a superblock was whole */
    bool clean;          /* and says that the store was closed in peace */
    uint64_t log_epoch;  /* of a whole superblock, for a write-ahead log */
    enum sj_durability durability;
    uint32_t notes;
    char note[SJ_REMAINS_NOTES][SJ_REMAINS_NOTE_BYTES];
};

/*
 * Opens and maps the copy. SJ_ENOTFOUND, SJ_EPERM, SJ_EFORMAT (no segment), SJ_EVERSION,
 * SJ_ETRUNCATED (not even its first pages), SJ_ECORRUPT (nothing tells its base), SJ_EADDRESS,
 * SJ_ENOMEM, SJ_EIO.
 */
SJ_API int sj_remains_open(const char *path, const struct sj_remains_hint *hint,
                           struct sj_remains **remains);

SJ_API void sj_remains_close(struct sj_remains *remains);

/* The worst of the pages that the bytes are in. Bytes outside of the file are lost. */
SJ_API enum sj_remains_state sj_remains_state(const struct sj_remains *remains, const void *at,
                                              uint64_t bytes);

#endif
