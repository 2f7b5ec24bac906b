// SPDX-License-Identifier: Apache-2.0
/*
 * record.c: making, changing and freeing records (record_layout.h has the format).
 *
 *   new                  a block, and one for each text             (fresh: no log)
 *   a number             its word is stored                         (one word)
 *   an array             its words are stored                       (their range logged)
 *   a text               field: blob ──→ blob'                      (blob' made, one word)
 *   free                 head: no kind; the block and its blobs are freed by the commit
 *
 * Crash rule: what is made is reachable only by a word that is in the log, or by nothing; a number
 * outside of transactions is one aligned word, old or new.
 */
#include "structures/record.h"

#include <string.h>

#include "persistence/roots.h"
#include "persistence/seam.h"

static int commit(struct sj_segment *segment, int error)
{
    if (SJ_UNLIKELY(error != SJ_OK))
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    return sj_tx_op_commit(segment);
}

static bool is_text(const struct sj_field *field)
{
    return field->code == SJ_FIELD_STR || field->code == SJ_FIELD_BYTES;
}

static uint64_t *word_at(uint64_t at)
{
    return (uint64_t *)(uintptr_t)at;
}

/* ------------------------------------------------------------------ looking */

int sj_record_look(const struct sj_segment *segment, uint64_t record, const struct sj_record **head,
                   const struct sj_schema **schema)
{
    uint64_t at = record - SJ_RECORD_HEAD, usable;
    const struct sj_record *found = NULL;
    if (record > SJ_RECORD_HEAD && (at & 15) == 0)
        found = sj_segment_block(segment, at, sizeof *found, SJ_KIND_RECORD);
    if (found == NULL || (usable = sj_heap_usable(segment, at)) == 0)
        return sj_error(SJ_ENOTFOUND, "'%s' has no record at 0x%llx, or it has been freed",
                        segment->name, (unsigned long long)record);
    const struct sj_schema *its = sj_schema_at(segment, found->schema);
    if (its == NULL || found->serial == 0 || its->bytes > usable - SJ_RECORD_HEAD)
        return sj_segment_damaged(segment, at, "a record");
    if (head != NULL)
        *head = found;
    if (schema != NULL)
        *schema = its;
    return SJ_OK;
}

int sj_record_text(const struct sj_segment *segment, uint64_t record, uint32_t offset,
                   struct sj_value *text)
{
    uint64_t at = *word_at(record + offset);
    *text = (struct sj_value){0};
    if (at == 0)
        return SJ_OK;
    const struct sj_blob *blob = sj_segment_block(segment, at, sizeof *blob, SJ_KIND_BLOB);
    if (SJ_UNLIKELY(blob == NULL || blob->size > sj_segment_committed(segment) ||
                    !sj_segment_spans(segment, at, sizeof *blob + blob->size)))
        return sj_segment_damaged(segment, at, "the text of a record");
    text->bytes = blob->bytes;
    text->size = blob->size;
    return SJ_OK;
}

uint64_t sj_pointer_head(const struct sj_segment *segment, uint64_t pointer)
{
    if (pointer <= SJ_RECORD_HEAD || (pointer & 15) != 0)
        return 0;
    uint64_t head = pointer - SJ_RECORD_HEAD;
    if (sj_segment_block(segment, head, SJ_RECORD_HEAD, SJ_KIND_RECORD) != NULL &&
        sj_heap_usable(segment, head) != 0)
        return head;
    return sj_heap_usable(segment, pointer) != 0 ? pointer : 0;
}

/* ------------------------------------------------------------------ making */

/* Another one each time an address is used again: then the log's generation is another one, or one
 * transaction has made both, having undone the first, and the count is. */
static uint32_t new_serial(const struct sj_segment *segment)
{
    static uint64_t count;
    uint64_t mixed = segment->tx.generation * 0x9e3779b97f4a7c15ull +
                     __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
    mixed = (mixed ^ mixed >> 32) * 0xd6e8feb86659fd93ull;
    uint32_t serial = (uint32_t)(mixed >> 32);
    return serial != 0 ? serial : 1;
}

/* The blob of a text that is not empty; 0 of the empty one. */
static int make_text(struct sj_segment *segment, const struct sj_value *text, uint64_t *at)
{
    const struct sj_kinds kinds = {SJ_ITEM_WORD, SJ_ITEM_BYTES};
    struct sj_blob *blob;
    *at = 0;
    if (text->size == 0)
        return SJ_OK;
    int error = sj_item_fits(segment, kinds, NULL, text);
    if (error == SJ_OK)
        error = sj_heap_alloc(segment, sizeof *blob + text->size, (void **)&blob);
    if (error != SJ_OK)
        return error;
    sj_store(blob, SJ_KIND_BLOB);
    sj_store(&blob->size, text->size);
    sj_copy(blob->bytes, text->bytes, text->size);
    *at = (uint64_t)(uintptr_t)blob;
    return SJ_OK;
}

static int make(struct sj_segment *segment, const struct sj_schema *wanted, uint64_t schema,
                const void *fields, const struct sj_value *texts, uint64_t *record)
{
    void *block;
    int error = sj_heap_alloc(segment, SJ_RECORD_HEAD + wanted->bytes, &block);
    if (error != SJ_OK)
        return error;
    struct sj_record head = {
        .kind = SJ_KIND_RECORD, .serial = new_serial(segment), .schema = schema};
    sj_copy(block, &head, sizeof head);
    sj_copy((char *)block + sizeof head, fields, wanted->bytes);
    *record = (uint64_t)(uintptr_t)block + SJ_RECORD_HEAD;
    for (uint32_t i = 0; i < wanted->fields && error == SJ_OK; i++) {
        uint64_t text;
        if (!is_text(&wanted->field[i]))
            continue;
        error = make_text(segment, texts++, &text);
        if (error == SJ_OK)
            sj_store(word_at(*record + wanted->field[i].offset), text);
    }
    return error;
}

int sj_record_new(struct sj_segment *segment, const struct sj_schema *wanted, uint64_t *schema,
                  const void *fields, const struct sj_value *texts, uint64_t *record)
{
    uint64_t at = *schema;
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    if (at == 0)
        error = sj_schema_have(segment, wanted, &at);
    if (error == SJ_OK)
        error = make(segment, wanted, at, fields, texts, record);
    error = commit(segment, error);
    if (error == SJ_OK)
        *schema = at;
    return error;
}

/* ------------------------------------------------------------------ freeing */

/* Frees a text as the transaction has it, and which may be damaged. */
static int free_text(struct sj_segment *segment, uint64_t at)
{
    if (at == 0)
        return SJ_OK;
    if (sj_segment_block(segment, at, sizeof(struct sj_blob), SJ_KIND_BLOB) == NULL)
        return sj_segment_damaged(segment, at, "the text of a record");
    return sj_heap_free(segment, at);
}

int sj_record_destroy(struct sj_segment *segment, uint64_t head)
{
    const struct sj_schema *schema;
    uint64_t record = head + SJ_RECORD_HEAD;
    int error = sj_record_look(segment, record, NULL, &schema);
    for (uint32_t i = 0; error == SJ_OK && i < schema->fields; i++)
        if (is_text(&schema->field[i]))
            error = free_text(segment, *word_at(record + schema->field[i].offset));
    if (error == SJ_OK)
        error = sj_tx_word(segment, word_at(head), SJ_KIND_NONE); /* I5 */
    return error == SJ_OK ? sj_heap_free(segment, head) : error;
}

/* I4: SJ_EINVAL when something but a pointer may lead to it. */
static int may_be_freed(const struct sj_segment *segment, uint64_t record)
{
    const struct sj_record *head;
    struct sj_root *root = NULL;
    int error = sj_record_look(segment, record, &head, NULL);
    if (error == SJ_OK && head->shared != 0)
        return sj_error(SJ_EINVAL,
                        "'%s': a reference to the record at 0x%llx has been stored in a value: it "
                        "is freed by a collection, when nothing leads to it",
                        segment->name, (unsigned long long)record);
    if (error != SJ_OK || head->named == 0)
        return error;
    for (uint64_t left = segment->root_page->root_count; left > 0; left--) {
        error = sj_root_next(segment, root, &root);
        if (error != SJ_OK || root == NULL)
            return error;
        if (root->pointer == (uint64_t)(uintptr_t)head && root->type == SJ_KIND_RECORD)
            return sj_error(SJ_EINVAL, "'%s': the record at 0x%llx has the name '%.*s': drop that",
                            segment->name, (unsigned long long)record, (int)root->name_bytes,
                            root->name);
    }
    return SJ_OK;
}

int sj_record_free(struct sj_segment *segment, uint64_t record)
{
    int error = may_be_freed(segment, record);
    if (error == SJ_OK)
        error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    return commit(segment, sj_record_destroy(segment, record - SJ_RECORD_HEAD));
}

/* ------------------------------------------------------------------ changing */

/* Stores bytes that begin and end anywhere in words of the record's own. */
static void store(uint64_t at, const char *from, uint32_t bytes)
{
    while (bytes > 0) {
        uint64_t into = at & 7, whole = bytes & ~7u, word;
        if (into == 0 && whole > 0) {
            sj_copy(word_at(at), from, whole);
            at += whole, from += whole, bytes -= (uint32_t)whole;
            continue;
        }
        uint32_t part = bytes < 8 - into ? bytes : (uint32_t)(8 - into);
        word = *word_at(at - into);
        memcpy((char *)&word + into, from, part);
        sj_store(word_at(at - into), word);
        at += part, from += part, bytes -= part;
    }
}

int sj_record_write(struct sj_segment *segment, uint64_t record, uint32_t offset, const void *from,
                    uint32_t bytes)
{
    uint64_t at = record + offset, first = at & ~7ull, end = (at + bytes + 7) & ~7ull;
    if (end - first == 8) {
        uint64_t word = *word_at(first);
        memcpy((char *)&word + (at & 7), from, bytes);
        return sj_tx_single_word(segment, word_at(first), word);
    }
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = sj_tx_range(segment, word_at(first), end - first);
    if (error != SJ_OK)
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    store(at, from, bytes);
    return sj_tx_op_commit(segment);
}

int sj_record_set_text(struct sj_segment *segment, uint64_t record, uint32_t offset,
                       const struct sj_value *text)
{
    uint64_t *at = word_at(record + offset), fresh;
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = make_text(segment, text, &fresh);
    if (error == SJ_OK)
        error = free_text(segment, *at);
    if (error == SJ_OK)
        error = sj_tx_word(segment, at, fresh);
    return commit(segment, error);
}

int sj_record_root_set(struct sj_segment *segment, const char *name, size_t name_bytes,
                       uint64_t record)
{
    struct sj_root *root;
    uint64_t head = record - SJ_RECORD_HEAD;
    int error = sj_record_look(segment, record, NULL, NULL);
    if (error != SJ_OK)
        return error;
    error = sj_root_find(segment, name, name_bytes, &root);
    if (error != SJ_OK && error != SJ_ENOTFOUND)
        return error;
    bool there = error == SJ_OK;
    if (there && root->type != SJ_KIND_RECORD)
        return sj_error(SJ_ETYPE, "'%s': '%.*s' is the name of something else than a record",
                        segment->name, (int)name_bytes, name);
    error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = there ? sj_tx_word(segment, &root->pointer, head)
                  : sj_root_add(segment, name, name_bytes, SJ_KIND_RECORD, 0, 0, head);
    if (error == SJ_OK)
        error = sj_tx_word(segment, word_at(head), *word_at(head) | 1ull << 24); /* named */
    return commit(segment, error);
}
