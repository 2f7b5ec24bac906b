// SPDX-License-Identifier: Apache-2.0
/*
 * record_layout.h: records on the media: structs whose fields their users have chosen.
 *
 *   root "\0types" ─→ schema ─→ schema ─→ 0        newest first; they stay for ever
 *                       ↑
 *   record:  head (16 bytes) | fields, as C lays them out
 *                            ↑ a pointer to a record, on the media and in C, leads here
 *
 *   code              C                       bytes   may be an array
 *   SJ_FIELD_I8 …     int8_t … int64_t        1 … 8   yes
 *   SJ_FIELD_U8 …     uint8_t … uint64_t      1 … 8   yes
 *   SJ_FIELD_F32/64   float, double           4, 8    yes
 *   SJ_FIELD_BOOL     bool                    1       yes
 *   SJ_FIELD_STR      struct sj_blob *        8       no    UTF-8; 0 is the empty one
 *   SJ_FIELD_BYTES    struct sj_blob *        8       no    0 is the empty one
 *   SJ_FIELD_PTR      struct <target> *       8       no    0 is None; no target: to anything
 *
 * I1  Each field lies at the next multiple of its element's size; the record is padded to a
 *     multiple of the largest. Padding has no meaning.
 * I2  Schemas of one name are versions of one type: each has the fields of the one before, the
 *     same at the same places, and more behind them.
 * I3  A blob belongs to one field of one record. A pointer owns nothing.
 * I4  What a root, or a reference in a value, leads to is not freed but by the collector.
 * I5  The head of a record that was freed has no kind, so that it is not taken for one.
 */
#ifndef SJ_STRUCTURES_RECORD_LAYOUT_H
#define SJ_STRUCTURES_RECORD_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "persistence/media_layout.h"

#define SJ_SCHEMA_FIELDS_MAX 1024
#define SJ_SCHEMA_TEXT_MAX   (1u << 20)
#define SJ_SCHEMA_BYTES_MAX  (1u << 24) /* of a record's fields */

enum sj_field_code {
    SJ_FIELD_I8 = 1,
    SJ_FIELD_I16 = 2,
    SJ_FIELD_I32 = 3,
    SJ_FIELD_I64 = 4,
    SJ_FIELD_U8 = 5,
    SJ_FIELD_U16 = 6,
    SJ_FIELD_U32 = 7,
    SJ_FIELD_U64 = 8,
    SJ_FIELD_F32 = 9,
    SJ_FIELD_F64 = 10,
    SJ_FIELD_BOOL = 11,
    SJ_FIELD_STR = 12,
    SJ_FIELD_BYTES = 13,
    SJ_FIELD_PTR = 14,
};

struct sj_record {
    uint16_t kind;   /* SJ_KIND_RECORD */
    uint8_t shared;  /* SJ_ITEM_SHARED: a reference to it has been stored in a value */
    uint8_t named;   /* 1: it has had a root */
    uint32_t serial; /* another one whenever an address is used again; never 0 */
    uint64_t schema; /* of the version that it was made with */
    uint8_t fields[];
};

/* Its name lies at `text` of the schema's text, and its target's name behind that. */
struct sj_field {
    uint32_t offset; /* from the first field */
    uint32_t count;  /* of elements; 1 when it is no array */
    uint32_t text;
    uint8_t code; /* enum sj_field_code */
    uint8_t is_array;
    uint8_t name_bytes;
    uint8_t target_bytes; /* of a pointer; 0: to anything */
};

struct sj_schema {
    uint16_t kind;    /* SJ_KIND_RECORD_TYPE */
    uint16_t version; /* 1, 2 … */
    uint16_t fields;
    uint16_t name_bytes; /* the type's name begins the text */
    uint64_t next;       /* the one that was made before, or 0 */
    uint32_t bytes;      /* of the fields, as sizeof says */
    uint32_t text_bytes;
    struct sj_field field[];
    /* text */
};

_Static_assert(sizeof(struct sj_record) == 16, "media");
_Static_assert(offsetof(struct sj_record, shared) == 2, "media");
_Static_assert(offsetof(struct sj_record, named) == 3, "media");
_Static_assert(offsetof(struct sj_record, serial) == 4, "media");
_Static_assert(offsetof(struct sj_record, schema) == 8, "media");
_Static_assert(sizeof(struct sj_field) == 16, "media");
_Static_assert(offsetof(struct sj_field, count) == 4, "media");
_Static_assert(offsetof(struct sj_field, text) == 8, "media");
_Static_assert(offsetof(struct sj_field, code) == 12, "media");
_Static_assert(offsetof(struct sj_field, is_array) == 13, "media");
_Static_assert(offsetof(struct sj_field, name_bytes) == 14, "media");
_Static_assert(offsetof(struct sj_field, target_bytes) == 15, "media");
_Static_assert(sizeof(struct sj_schema) == 24, "media");
_Static_assert(offsetof(struct sj_schema, version) == 2, "media");
_Static_assert(offsetof(struct sj_schema, fields) == 4, "media");
_Static_assert(offsetof(struct sj_schema, name_bytes) == 6, "media");
_Static_assert(offsetof(struct sj_schema, next) == 8, "media");
_Static_assert(offsetof(struct sj_schema, bytes) == 16, "media");
_Static_assert(offsetof(struct sj_schema, text_bytes) == 20, "media");
_Static_assert(offsetof(struct sj_schema, field) == 24, "media");

#endif
