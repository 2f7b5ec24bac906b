// SPDX-License-Identifier: Apache-2.0
/*
 * entry.c: blobs and entries: what a slot's second word leads to (entry_layout.h has the table).
 *
 *   put "k" → 3 bytes, then → 3 other bytes      the cell's word is stored      (one word)
 *   put "k" → 9 bytes, over an inline cell       cell: inline ──→ blob       (blob made, one word)
 *   put "k" → 7, byte keys and word values       entry.bytes[0…7] is stored     (one word)
 *   put "k" → 9 bytes, byte keys                 slot: entry ──→ entry'       (key, form copied)
 *
 * I1  A blob or an entry is written once, when it is fresh; afterwards at most its one word value
 *     changes. So views of it are stable and replacing it needs no log but the slot's word.
 *
 * Crash rule: a fresh block is not reachable before the word that leads to it is stored, and that
 * word is in the log; after a crash the slot has the old word, and the old block, whose free is
 * carried out by the commit alone, is untouched.
 *
 * Cost: an allocation and a copy; views are checks of range, kind and sizes only.
 */
#include "structures/entry.h"

#include "persistence/heap.h"

static struct sj_value entry_value(const struct sj_entry *entry)
{
    return (struct sj_value){.bytes = sj_entry_value(entry), .size = entry->value_size};
}

/* What a word value looks like as bytes; `value` itself otherwise. */
static struct sj_value value_as_bytes(struct sj_kinds kinds, const struct sj_value *value)
{
    if (kinds.value == SJ_ITEM_BYTES)
        return *value;
    return (struct sj_value){.bytes = (const uint8_t *)&value->word, .size = sizeof(value->word)};
}

int sj_item_fits(const struct sj_segment *segment, struct sj_kinds kinds, const struct sj_key *key,
                 const struct sj_value *value)
{
    uint64_t head = sizeof(struct sj_blob);
    if (kinds.key == SJ_ITEM_BYTES) {
        if (key->size > SJ_KEY_BYTES_MAX)
            return sj_error(SJ_ETOOBIG, "the key has %u bytes, the limit is %u", key->size,
                            SJ_KEY_BYTES_MAX);
        if (key->form_size > UINT16_MAX)
            return sj_error(SJ_ETOOBIG, "the form of the key has %u bytes, the limit is %u",
                            key->form_size, (unsigned)UINT16_MAX);
        head = sizeof(struct sj_entry) + 7 + key->size + key->form_size;
    }
    if (kinds.value == SJ_ITEM_WORD)
        return SJ_OK;
    uint64_t limit = sj_heap_block_max(segment);
    limit = limit > head ? limit - head : 0;
    if (SJ_UNLIKELY(value->size > limit))
        return sj_error(SJ_ETOOBIG, "the value has %llu bytes, the limit is %llu",
                        (unsigned long long)value->size, (unsigned long long)limit);
    return SJ_OK;
}

/* ------------------------------------------------------------------ making */

static void copy(uint8_t *target, const uint8_t *source, uint64_t bytes)
{
    if (bytes != 0)
        sj_copy(target, source, bytes);
}

static int blob_make(struct sj_segment *segment, const struct sj_value *value, uint64_t *slot)
{
    struct sj_blob *blob;
    uint64_t bytes = sizeof(*blob) + value->size;
    if (bytes < value->size)
        return sj_error(SJ_ETOOBIG, "the value has %llu bytes", (unsigned long long)value->size);
    int error = sj_heap_alloc(segment, bytes, (void **)&blob);
    if (error != SJ_OK)
        return error;
    sj_store(blob, SJ_KIND_BLOB);
    sj_store(&blob->size, value->size);
    copy(blob->bytes, value->bytes, value->size);
    *slot = (uintptr_t)blob;
    return SJ_OK;
}

static int entry_make(struct sj_segment *segment, const struct sj_key *key,
                      const struct sj_value *value, uint64_t *slot)
{
    struct sj_entry *entry;
    uint64_t value_at = sj_entry_value_at(key->size, key->form_size);
    uint64_t bytes = value_at + value->size;
    if (bytes < value->size)
        return sj_error(SJ_ETOOBIG, "the value has %llu bytes", (unsigned long long)value->size);
    int error = sj_heap_alloc(segment, bytes, (void **)&entry);
    if (error != SJ_OK)
        return error;
    sj_store(entry, SJ_KIND_ENTRY | (uint64_t)key->form_size << 16 | (uint64_t)key->size << 32);
    sj_store(&entry->value_size, value->size);
    copy(entry->bytes, key->bytes, (uint64_t)key->size + key->form_size);
    copy((uint8_t *)entry + value_at, value->bytes, value->size);
    *slot = (uintptr_t)entry;
    return SJ_OK;
}

static bool cell_is_inline(uint64_t cell)
{
    return (cell & 7) != 0;
}

static uint64_t cell_inline(const struct sj_value *value)
{
    uint64_t bytes = 0;
    if (value->size != 0)
        memcpy(&bytes, value->bytes, value->size);
    return bytes << 8 | value->size << 3 | 1;
}

int sj_slot_make(struct sj_segment *segment, struct sj_kinds kinds, const struct sj_key *key,
                 const struct sj_value *value, uint64_t *slot)
{
    if (kinds.key == SJ_ITEM_BYTES) {
        struct sj_value bytes = value_as_bytes(kinds, value);
        return entry_make(segment, key, &bytes, slot);
    }
    if (kinds.value == SJ_ITEM_BYTES && value->size > SJ_CELL_INLINE_MAX)
        return blob_make(segment, value, slot);
    *slot = kinds.value == SJ_ITEM_WORD ? value->word : cell_inline(value);
    return SJ_OK;
}

int sj_slot_free(struct sj_segment *segment, struct sj_kinds kinds, uint64_t slot)
{
    bool entry = kinds.key == SJ_ITEM_BYTES;
    if (!entry && (kinds.value == SJ_ITEM_WORD || cell_is_inline(slot)))
        return SJ_OK;
    if (sj_segment_block(segment, slot, sizeof(struct sj_block),
                         entry ? SJ_KIND_ENTRY : SJ_KIND_BLOB) == NULL)
        return sj_segment_damaged(segment, slot, entry ? "an entry" : "a blob");
    return sj_heap_free(segment, slot);
}

/* ------------------------------------------------------------------ replacing */

/* One word, as a whole operation. In a transaction a node's words belong to the node. */
static int replace_word(struct sj_segment *segment, struct sj_node *node, size_t node_bytes,
                        uint64_t *at, uint64_t word)
{
    if (node == NULL || sj_tx_depth(segment) == 0)
        return sj_tx_single_word(segment, at, word);
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = sj_tx_node_word(segment, node, node_bytes, at, word);
    if (error != SJ_OK)
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    return sj_tx_op_commit(segment);
}

/* A new block in the place of the one that `*at` leads to (or of an inline cell). */
static int replace_block(struct sj_segment *segment, struct sj_kinds kinds, struct sj_node *node,
                         size_t node_bytes, uint64_t *at, const struct sj_key *key,
                         const struct sj_value *value)
{
    uint64_t slot;
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = sj_slot_make(segment, kinds, key, value, &slot);
    if (error == SJ_OK)
        error = sj_slot_free(segment, kinds, *at);
    if (error == SJ_OK && node != NULL)
        error = sj_tx_node_word(segment, node, node_bytes, at, slot);
    else if (error == SJ_OK)
        error = sj_tx_word(segment, at, slot);
    if (error != SJ_OK)
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    return sj_tx_op_commit(segment);
}

int sj_slot_replace(struct sj_segment *segment, struct sj_kinds kinds, struct sj_node *node,
                    size_t node_bytes, uint64_t *at, const struct sj_value *value)
{
    struct sj_item old;
    if (kinds.key == SJ_ITEM_WORD && kinds.value == SJ_ITEM_WORD)
        return replace_word(segment, node, node_bytes, at, value->word);
    if (kinds.key == SJ_ITEM_WORD && cell_is_inline(*at) && value->size <= SJ_CELL_INLINE_MAX)
        return replace_word(segment, node, node_bytes, at, cell_inline(value));
    int error = sj_slot_item(segment, kinds, 0, at, &old);
    if (error != SJ_OK)
        return error;
    if (kinds.value == SJ_ITEM_WORD) {
        struct sj_entry *entry = (struct sj_entry *)(uintptr_t)*at;
        return sj_tx_single_word(segment, (uint64_t *)(uintptr_t)sj_entry_value(entry),
                                 value->word);
    }
    return replace_block(segment, kinds, node, node_bytes, at, &old.key, value);
}

/* ------------------------------------------------------------------ views */

static int cell_view(const struct sj_segment *segment, const uint64_t *slot, struct sj_value *value)
{
    uint64_t cell = *slot;
    if (cell_is_inline(cell)) {
        value->bytes = (const uint8_t *)slot + 1;
        value->size = (cell & 0xff) >> 3;
        if ((cell & 7) == 1 && value->size <= SJ_CELL_INLINE_MAX)
            return SJ_OK;
        return sj_segment_damaged(segment, (uintptr_t)slot, "an inline value");
    }
    const struct sj_blob *blob =
        sj_segment_block(segment, cell, sizeof(struct sj_blob), SJ_KIND_BLOB);
    if (SJ_UNLIKELY(blob == NULL || blob->size > sj_segment_committed(segment) ||
                    !sj_segment_spans(segment, cell, sizeof(*blob) + blob->size)))
        return sj_segment_damaged(segment, cell, "a blob");
    value->bytes = blob->bytes;
    value->size = blob->size;
    return SJ_OK;
}

/* The value of a checked entry. */
static int entry_view(const struct sj_segment *segment, struct sj_kinds kinds,
                      const struct sj_entry *entry, struct sj_value *value)
{
    if (kinds.value == SJ_ITEM_BYTES) {
        *value = entry_value(entry);
        return SJ_OK;
    }
    if (SJ_UNLIKELY(entry->value_size != sizeof(value->word)))
        return sj_segment_damaged(segment, (uintptr_t)entry, "an entry with a word value");
    value->word = sj_load(sj_entry_value(entry));
    return SJ_OK;
}

int sj_slot_view(const struct sj_segment *segment, struct sj_kinds kinds, const uint64_t *slot,
                 struct sj_value *value)
{
    if (kinds.key == SJ_ITEM_BYTES) {
        const struct sj_entry *entry = sj_entry_at(segment, *slot);
        if (SJ_UNLIKELY(entry == NULL))
            return sj_segment_damaged(segment, *slot, "an entry");
        return entry_view(segment, kinds, entry, value);
    }
    if (kinds.value == SJ_ITEM_BYTES)
        return cell_view(segment, slot, value);
    value->word = *slot;
    return SJ_OK;
}

int sj_slot_item(const struct sj_segment *segment, struct sj_kinds kinds, uint64_t first,
                 const uint64_t *slot, struct sj_item *item)
{
    if (kinds.key == SJ_ITEM_WORD) {
        item->key = (struct sj_key){.word = first};
        return sj_slot_value(segment, kinds, slot, &item->value);
    }
    const struct sj_entry *entry = sj_entry_at(segment, *slot);
    if (SJ_UNLIKELY(entry == NULL))
        return sj_segment_damaged(segment, *slot, "an entry");
    item->key = (struct sj_key){
        .bytes = sj_entry_key(entry), .size = entry->key_size, .form_size = entry->form_size};
    return entry_view(segment, kinds, entry, &item->value);
}
