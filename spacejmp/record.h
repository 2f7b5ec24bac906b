// SPDX-License-Identifier: Apache-2.0
/*
 * record.h: catalog records: what the file vas/<name>.vas says of a virtual address space.
 *
 * A record is a msgpack map with exactly these keys, written in this order:
 *
 *   format         2
 *   name           the name of the VAS, as the file's
 *   uuid           16 bytes
 *   created_ns     wall clock, nanoseconds since 1970
 *   tag            0 … 4095: the address space identifier for the MMU model; 0 = none
 *   isolation      "shared" or "strict"
 *   address_limit  bytes of addresses that a window may have, whole GiB; 0 = no limit
 *   segments       [{name, uuid, base, reserved, rights, window}], ascending by base, then name
 *                  rights "r" or "rw"; window ≥ 0, or -1 = in all windows
 *
 * I1  Segments that are in a common window do not overlap, and take no more than the limit.
 * I2  No two segments have the same name or the same uuid.
 *
 * Mode and owner of a VAS are those of the file. Format 1 was written for every segment and said
 * what its header says: nothing is lost with it.
 */
#ifndef SJ_SPACEJMP_RECORD_H
#define SJ_SPACEJMP_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "persistence/media_layout.h"
#include "spacejmp/vas_source.h"

#define SJ_RECORD_FORMAT    2
#define SJ_RECORD_BYTES_MAX (1u << 20)
#define SJ_VAS_SEGMENTS_MAX 2048
#define SJ_VAS_WINDOWS_MAX  65536 /* windows of a VAS are numbered from 0 up to this */
#define SJ_VAS_TAG_MAX      4095

enum sj_isolation { SJ_ISOLATION_SHARED = 0, SJ_ISOLATION_STRICT = 1 };

struct sj_vas_segment {
    char name[SJ_NAME_MAX + 1];
    uint8_t uuid[16];
    uint64_t base;
    uint64_t reserved;
    uint32_t rights;
    uint32_t window;
};

/* A VAS as the catalog knows it. `segments` is for free(). */
struct sj_vas_record {
    char name[SJ_NAME_MAX + 1];
    uint8_t uuid[16];
    bool of_segment; /* it is a segment taken for a VAS, and has no record of its own */
    uint64_t created_ns;
    uint32_t tag;
    enum sj_isolation isolation;
    uint64_t address_limit;
    uint32_t mode, uid, gid; /* of the file; not in the record */
    uint32_t count;
    struct sj_vas_segment *segments;
};

/* Makes the bytes of a record; for free(). SJ_ENOMEM, SJ_EINVAL: it is too long. */
int sj_record_encode(const struct sj_vas_record *record, uint8_t **data, size_t *bytes);

/*
 * Reads the bytes of the record file `path`, which is to be that of the VAS `name`. SJ_ENOTFOUND:
 * it is of format 1, which counts for nothing; SJ_EVERSION: a later version wrote it; SJ_ECORRUPT:
 * not msgpack, another shape, type or name, or I1 or I2 broken; SJ_ENOMEM. O(n²)
 * in the number of segments.
 */
int sj_record_decode(const uint8_t *data, size_t bytes, const char *name, const char *path,
                     struct sj_vas_record *record);

/* SJ_EADDRESS, SJ_EEXISTS: what breaks I1 or I2, in words. Sorts the segments. */
int sj_record_check(struct sj_vas_record *record);

/* The segment with that uuid, or NULL. */
struct sj_vas_segment *sj_record_segment(const struct sj_vas_record *record,
                                         const uint8_t uuid[16]);

#endif
