// SPDX-License-Identifier: Apache-2.0
/*
 * record.h: records: structs of the user's, and their types.
 *
 * A record is known by the address of its first field, which is what C programs and pointers on
 * the media have; as a structure (roots, references), by that of its head, 16 bytes before.
 *
 * The caller has a read hold for what takes a `const struct sj_segment *`, a write hold for the
 * rest. A change is one atomic operation, alone or inside a transaction, unless it says that it is
 * made in a plan. Damage is SJ_ECORRUPT and changes nothing.
 *
 * Cost: fields are loads and stores; a number that lies in one word is stored without a log outside
 * of transactions. A new record is an allocation, and one for each text that is not empty.
 */
#ifndef SJ_STRUCTURES_RECORD_H
#define SJ_STRUCTURES_RECORD_H

#include "persistence/heap.h"
#include "structures/entry.h"
#include "structures/record_layout.h"
#include "structures/structure.h"

#define SJ_RECORD_HEAD sizeof(struct sj_record)

/* ---- types (record_schema.c) */

static inline uint64_t sj_schema_size(const struct sj_schema *schema)
{
    return sizeof *schema + (uint64_t)schema->fields * sizeof schema->field[0] + schema->text_bytes;
}

static inline const char *sj_schema_text(const struct sj_schema *schema)
{
    return (const char *)&schema->field[schema->fields];
}

static inline const char *sj_field_name(const struct sj_schema *schema,
                                        const struct sj_field *field)
{
    return sj_schema_text(schema) + field->text;
}

/* Whether `bytes` bytes are a schema that follows I1, its `next` aside. */
SJ_API bool sj_schema_is_valid(const struct sj_schema *schema, uint64_t bytes);

/* The schema at an address read from media, all of it checked; NULL when damaged. */
SJ_API const struct sj_schema *sj_schema_at(const struct sj_segment *segment, uint64_t at);

/* The first schema of the store's chain, the one made last; 0: there is none. */
SJ_API int sj_schema_first(const struct sj_segment *segment, uint64_t *at);

/* SJ_OK: both have the same fields; SJ_ENOTFOUND: `wanted` has more behind them; SJ_ERECORD:
 * neither. Both are valid, and of one name. */
SJ_API int sj_schema_compare(const struct sj_segment *segment, const struct sj_schema *wanted,
                             const struct sj_schema *found);

/*
 * Where the version with the fields of `wanted` lies, which the caller has checked. SJ_ENOTFOUND:
 * there is none yet, but there may be; SJ_ERECORD: the store has a type of that name whose fields
 * are not all among the first of `wanted`; the detail names field, expected and found.
 */
SJ_API int sj_schema_find(const struct sj_segment *segment, const struct sj_schema *wanted,
                          uint64_t *at);

/* The same, and makes the version when there is none; in a plan. SJ_EFULL,
 * SJ_ENOMEM. */
SJ_API int sj_schema_have(struct sj_segment *segment, const struct sj_schema *wanted, uint64_t *at);

/* Verifies the chain whose first schema is at `at`, visiting each block. */
int sj_schema_check(const struct sj_segment *segment, uint64_t at, sj_heap_visit *visit,
                    void *context);

/* ---- records (record.c) */

/*
 * Makes a record whose fields have those bytes, and whose texts (SJ_FIELD_STR, SJ_FIELD_BYTES) are
 * `texts`, in order; their bytes in `fields` do not count. `*schema`: where the version of `wanted`
 * lies, or 0: it is found, or made in the same operation. SJ_ERECORD, SJ_EFULL, SJ_ENOMEM,
 * SJ_ETOOBIG.
 */
SJ_API int sj_record_new(struct sj_segment *segment, const struct sj_schema *wanted,
                         uint64_t *schema, const void *fields, const struct sj_value *texts,
                         uint64_t *record);

/* Frees a record and its texts; which pointers lead to it is not looked at. SJ_ENOTFOUND: no
 * record. SJ_EINVAL: a root leads to it, or a reference in a value may. */
SJ_API int sj_record_free(struct sj_segment *segment, uint64_t record);

/* Whether a record begins there: a block in use, of that kind, with a valid schema that fits it.
 * `head` and `schema` may be NULL. SJ_ENOTFOUND for any other number, SJ_ECORRUPT. */
SJ_API int sj_record_look(const struct sj_segment *segment, uint64_t record,
                          const struct sj_record **head, const struct sj_schema **schema);

/* Stores the bytes of a field, or of a part of it, that is no text. The record was looked at. */
SJ_API int sj_record_write(struct sj_segment *segment, uint64_t record, uint32_t offset,
                           const void *from, uint32_t bytes);

/* Replaces a text. SJ_ETOOBIG, SJ_EFULL, SJ_ENOMEM. */
SJ_API int sj_record_set_text(struct sj_segment *segment, uint64_t record, uint32_t offset,
                              const struct sj_value *text);

/* The view of a text. */
SJ_API int sj_record_text(const struct sj_segment *segment, uint64_t record, uint32_t offset,
                          struct sj_value *text);

/* Gives a record a name, or the name another record. SJ_ETYPE: something else has the name. */
SJ_API int sj_record_root_set(struct sj_segment *segment, const char *name, size_t name_bytes,
                              uint64_t record);

/* ---- as a structure (record_check.c, record_type.c); `head` is the address of the block */

/* Verifies a record with its texts, visiting each block, its own first. Pointers have to lead into
 * the segment, or nowhere. */
SJ_API int sj_record_visit_blocks(const struct sj_segment *segment, uint64_t head,
                                  sj_heap_visit *visit, void *context);

/* Calls `visit` for each record or structure that the record's pointers lead to. A pointer to what
 * was freed, or to no structure, is left out. */
SJ_API int sj_record_references(struct sj_segment *segment, uint64_t head,
                                sj_reference_visit *visit, void *context);

/* The head that a pointer leads to: of a record, 16 bytes before; else its own address. 0 when it
 * leads to no block in use. */
SJ_API uint64_t sj_pointer_head(const struct sj_segment *segment, uint64_t pointer);

/* Frees a record and its texts, in a plan. */
SJ_API int sj_record_destroy(struct sj_segment *segment, uint64_t head);

/* Records, and the chain of their types, as what roots and references lead to. */
extern const struct sj_structure_type sj_record_type;
extern const struct sj_structure_type sj_schema_type;

#endif
