// SPDX-License-Identifier: Apache-2.0
/*
 * entry.h: keys, values and items as the mappings take and give them; blobs and entries.
 *
 * What comes out is a view: it points into the segment, and is good as long as the caller's hold
 * and until the next change by the caller. Nothing is copied.
 */
#ifndef SJ_STRUCTURES_ENTRY_H
#define SJ_STRUCTURES_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "persistence/segment.h"
#include "structures/entry_layout.h"

/* A key to look for. Word keys use `word` alone; byte keys the rest. */
struct sj_key {
    uint64_t word;
    const uint8_t *bytes; /* the key, followed by its form */
    uint32_t size;
    uint32_t form_size;
};

/* A value. Word values use `word` alone. */
struct sj_value {
    uint64_t word;
    const uint8_t *bytes;
    uint64_t size;
};

struct sj_item {
    struct sj_key key;
    struct sj_value value;
};

/* What keys and values of a mapping are. */
struct sj_kinds {
    enum sj_item_kind key;
    enum sj_item_kind value;
};

enum sj_put_mode {
    SJ_PUT_ALWAYS, /* insert or replace */
    SJ_PUT_NEW,    /* insert only: an existing entry stays as it is */
};

/*
 * What the value of a key becomes: `old` is the one that it has, NULL when it has none; the new one
 * goes to `*value`. Any error changes nothing and is what the operation gives (SJ_EEXISTS, say: the
 * old one stays). `old` is a view, good until this returns; nothing may be changed meanwhile.
 */
typedef int sj_value_change(void *context, const struct sj_value *old, struct sj_value *value);

/* Whether key and value fit: SJ_OK or SJ_ETOOBIG, before anything is changed. */
SJ_API int sj_item_fits(const struct sj_segment *segment, struct sj_kinds kinds,
                        const struct sj_key *key, const struct sj_value *value);

/* The second word of a slot for this item: allocates and fills a blob or an entry when one is
 * needed. In the plan of an operation. SJ_EFULL, SJ_ENOMEM, SJ_ETOOBIG. */
int sj_slot_make(struct sj_segment *segment, struct sj_kinds kinds, const struct sj_key *key,
                 const struct sj_value *value, uint64_t *slot);

/* Frees what the slot's word leads to, in the plan of an operation. SJ_ECORRUPT, SJ_ENOMEM. */
int sj_slot_free(struct sj_segment *segment, struct sj_kinds kinds, uint64_t slot);

/*
 * Replaces the value of the slot whose second word is at `at`, as a whole operation (begin to
 * commit). One word is stored in place when that is all that changes (word values, a cell that
 * is and stays inline); else there is a new blob or entry and the old one is freed. Key and form
 * stay as they are. `node`/`node_bytes`: the logged node that `at` lies in; NULL: it lies in none.
 * SJ_EFULL, SJ_ENOMEM, SJ_ETOOBIG, SJ_ECORRUPT, and then nothing has changed.
 */
int sj_slot_replace(struct sj_segment *segment, struct sj_kinds kinds, struct sj_node *node,
                    size_t node_bytes, uint64_t *at, const struct sj_value *value);

/* The views of a slot's second word. Range, kind and sizes are checked: SJ_ECORRUPT. For word keys
 * `first` is the key; for byte keys it is not looked at. `slot` stays where it is as long as the
 * view is used, for a short value lies in it. */
int sj_slot_item(const struct sj_segment *segment, struct sj_kinds kinds, uint64_t first,
                 const uint64_t *slot, struct sj_item *item);
int sj_slot_view(const struct sj_segment *segment, struct sj_kinds kinds, const uint64_t *slot,
                 struct sj_value *value);

/* The value alone. */
static inline int sj_slot_value(const struct sj_segment *segment, struct sj_kinds kinds,
                                const uint64_t *slot, struct sj_value *value)
{
    if (kinds.key == SJ_ITEM_WORD && kinds.value == SJ_ITEM_WORD) {
        value->word = *slot;
        return SJ_OK;
    }
    return sj_slot_view(segment, kinds, slot, value);
}

/* Where an entry's value begins, counted from the entry. */
static inline uint64_t sj_entry_value_at(uint32_t key_size, uint32_t form_size)
{
    return sizeof(struct sj_entry) + (((uint64_t)key_size + form_size + 7) & ~7ull);
}

/* Bytes that an entry takes up. */
static inline uint64_t sj_entry_bytes(const struct sj_entry *entry)
{
    return sj_entry_value_at(entry->key_size, entry->form_size) + entry->value_size;
}

/* The entry at an address read from media, its sizes checked against the segment; NULL when
 * damaged. */
static inline const struct sj_entry *sj_entry_at(const struct sj_segment *segment, uint64_t at)
{
    const struct sj_entry *entry =
        sj_segment_block(segment, at, sizeof(struct sj_entry), SJ_KIND_ENTRY);
    if (SJ_UNLIKELY(entry == NULL || entry->key_size > SJ_KEY_BYTES_MAX ||
                    entry->value_size > sj_segment_committed(segment)))
        return NULL;
    return SJ_LIKELY(sj_segment_spans(segment, at, sj_entry_bytes(entry))) ? entry : NULL;
}

static inline const uint8_t *sj_entry_key(const struct sj_entry *entry)
{
    return entry->bytes;
}

static inline const uint8_t *sj_entry_value(const struct sj_entry *entry)
{
    return (const uint8_t *)entry + sj_entry_value_at(entry->key_size, entry->form_size);
}

/* Fetches ahead the block that a slot leads to: its head, its key and the beginning of its
 * value. */
static inline void sj_slot_prefetch(uint64_t slot)
{
    __builtin_prefetch((const void *)(uintptr_t)slot);
    __builtin_prefetch((const void *)(uintptr_t)(slot + 64));
}

/* Fetches ahead the rest of a value that is going to be copied. */
static inline void sj_value_prefetch(const struct sj_value *value)
{
    uint64_t size = value->size < 512 ? value->size : 512;
    for (uint64_t at = 64; at < size + 64; at += 64)
        __builtin_prefetch(value->bytes + (at < size ? at : size));
}

/* < 0, 0, > 0: the entry's key against `bytes`, lexicographic, a prefix first. */
static inline int sj_entry_compare(const struct sj_entry *entry, const uint8_t *bytes,
                                   uint32_t size)
{
    uint32_t shorter = entry->key_size < size ? entry->key_size : size;
    int order = shorter == 0 ? 0 : memcmp(sj_entry_key(entry), bytes, shorter);
    if (order != 0)
        return order;
    return (entry->key_size > size) - (entry->key_size < size);
}

#endif
