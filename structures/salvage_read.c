// SPDX-License-Identifier: Apache-2.0
/*
 * salvage_read.c: entries of leaves and tables, and what may be said of each.
 *
 *   unreadable   the slot leads nowhere, to something else, or to bytes that are lost
 *   odd          on pages without a checksum that fits: a key out of order, not the one that the
 *                leaf or the place in the table says, beyond the parent's count
 *   suspect      on a page whose checksum does not fit; in a block of which nothing says that it
 *                is in use
 *   sound        the rest
 *
 * The key of a hash map's entry must have the hash that its place says: where the slot is the key
 * itself, nothing else tells the key, and one that does not is not given at all.
 */
#include "structures/btree_search.h"
#include "structures/hashmap_search.h"
#include "structures/salvage_parts.h"

static enum sj_remains_state state_of(const struct sj_salvage *salvage, const void *at,
                                      uint64_t bytes)
{
    return sj_remains_state(salvage->remains, at, bytes);
}

/* The pages of what an item of a slot has beyond the slot. */
static enum sj_remains_state item_state(const struct sj_salvage *salvage, struct sj_kinds kinds,
                                        const struct sj_item *item)
{
    enum sj_remains_state key = SJ_REMAINS_SOUND, value = SJ_REMAINS_SOUND;
    if (kinds.key == SJ_ITEM_BYTES) {
        const uint8_t *entry = item->key.bytes - sizeof(struct sj_entry);
        key = state_of(salvage, entry,
                       sj_entry_value_at(item->key.size, item->key.form_size) +
                           (kinds.value == SJ_ITEM_BYTES ? item->value.size : sizeof(uint64_t)));
    } else if (kinds.value == SJ_ITEM_BYTES) {
        value = state_of(salvage, item->value.bytes, item->value.size == 0 ? 1 : item->value.size);
    }
    return key > value ? key : value;
}

bool sj_salvage_is_there(const struct sj_salvage *salvage, uint32_t structure,
                         const struct sj_item *item)
{
    struct sj_kinds kinds = salvage->structure[structure].told.kinds;
    return item_state(salvage, kinds, item) != SJ_REMAINS_LOST;
}

/* Reads what a slot leads to. */
static bool read_slot(const struct sj_salvage *salvage, struct sj_kinds kinds, uint64_t first,
                      const uint64_t *slot, struct sj_item *item)
{
    return sj_slot_item(salvage->segment, kinds, first, slot, item) == SJ_OK &&
           item_state(salvage, kinds, item) != SJ_REMAINS_LOST;
}

/* ------------------------------------------------------------------ leaves */

static const struct sj_btree_leaf *leaf_of_block(const struct salvage_block *block)
{
    return (const struct sj_btree_leaf *)(uintptr_t)block->at;
}

uint32_t salvage_leaf_slots(const struct sj_salvage *salvage, const struct salvage_block *block)
{
    const struct sj_btree_leaf *leaf = leaf_of_block(block);
    uint32_t count = leaf->node.count;
    bool sound = state_of(salvage, leaf, sizeof *leaf) == SJ_REMAINS_SOUND;
    if (!sound && block->expected != 0 && block->expected - 1u > count)
        count = block->expected - 1u; /* one of the two is wrong: the slots decide */
    return count < SJ_BTREE_LEAF_ITEMS ? count : SJ_BTREE_LEAF_ITEMS;
}

/* The leaf that a link leads to, if it leads back. */
static const struct sj_btree_leaf *beside(const struct sj_salvage *salvage,
                                          const struct salvage_block *block, bool next)
{
    const struct sj_btree_leaf *leaf = leaf_of_block(block);
    const struct sj_btree_leaf *other = sj_segment_block(
        salvage->segment, next ? leaf->next : leaf->previous, sizeof *other, SJ_KIND_BTREE_LEAF);
    if (other == NULL || (next ? other->previous : other->next) != block->at ||
        other->node.count - 1u >= SJ_BTREE_LEAF_ITEMS)
        return NULL;
    return other;
}

/*
 * Whether a word key is between those beside it, here or in the next leaves. Of two that are out of
 * order the odd one is that without which the order is right.
 */
static bool in_order(const struct sj_salvage *salvage, const struct salvage_block *block,
                     uint32_t slot, uint32_t count)
{
    const struct sj_btree_leaf *leaf = leaf_of_block(block), *low = leaf, *high = leaf;
    uint32_t before = slot - 1, after = slot + 1;
    if (slot == 0) {
        low = beside(salvage, block, false);
        before = low == NULL ? 0 : (low->node.count - 1u) % SJ_BTREE_LEAF_ITEMS;
    }
    if (after >= count) {
        high = beside(salvage, block, true);
        after = 0;
    }
    uint64_t key = leaf->key[slot];
    bool below = low == NULL || low->key[before] < key;
    bool above = high == NULL || key < high->key[after];
    if (below == above)
        return below;
    return low != NULL && high != NULL && low->key[before] >= high->key[after];
}

/* Whether a key begins as one of those beside it does, if any can be read: all of a leaf share
 * that. */
static bool has_prefix(const struct sj_salvage *salvage, const struct sj_btree_leaf *leaf,
                       uint32_t slot, uint32_t count, const struct btree_text *text)
{
    uint32_t skip = leaf->node.aux, others = 0;
    for (uint32_t step = 1; step <= 3 && step < count && skip != 0; step++) {
        uint32_t beside_it = (slot + (step == 3 ? count - 1 : step)) % count;
        const struct sj_entry *entry = sj_entry_at(salvage->segment, leaf->slot[beside_it]);
        if (entry == NULL || beside_it == slot)
            continue;
        others++;
        if (entry->key_size >= skip && text->size >= skip &&
            memcmp(sj_entry_key(entry), text->bytes, skip) == 0)
            return true;
    }
    return others == 0;
}

/* What is not as it should be, of an entry that can be read. */
static bool leaf_is_odd(const struct sj_salvage *salvage, const struct salvage_block *block,
                        struct sj_kinds kinds, uint32_t slot, const struct sj_item *item)
{
    const struct sj_btree_leaf *leaf = leaf_of_block(block);
    uint32_t count = leaf->node.count;
    bool bytes = kinds.key == SJ_ITEM_BYTES;
    if (count > SJ_BTREE_LEAF_ITEMS || slot >= count)
        return true;
    if (block->expected != 0 && slot >= block->expected - 1u)
        return true;
    if (!bytes)
        return !in_order(salvage, block, slot, count);
    struct btree_text text = {item->key.bytes, item->key.size};
    return leaf->key[slot] != text_fragment(text, leaf->node.aux) ||
           !has_prefix(salvage, leaf, slot, count, &text);
}

enum salvage_verdict salvage_leaf_entry(const struct sj_salvage *salvage,
                                        const struct salvage_block *block, struct sj_kinds kinds,
                                        uint32_t slot, struct sj_item *item, const char **why)
{
    const struct sj_btree_leaf *leaf = leaf_of_block(block);
    enum sj_remains_state state = state_of(salvage, leaf, sizeof *leaf);
    *why = "an entry of a leaf cannot be read";
    if (!read_slot(salvage, kinds, leaf->key[slot], &leaf->slot[slot], item))
        return ENTRY_UNREADABLE;
    *why = "a leaf was lost while it was read";
    if (state_of(salvage, leaf, sizeof *leaf) == SJ_REMAINS_LOST)
        return ENTRY_UNREADABLE;
    enum sj_remains_state beyond = item_state(salvage, kinds, item);
    if ((state != SJ_REMAINS_SOUND || beyond != SJ_REMAINS_SOUND) &&
        leaf_is_odd(salvage, block, kinds, slot, item))
        return ENTRY_ODD;
    bool suspect =
        state == SJ_REMAINS_SUSPECT || block->life == LIFE_FREE || beyond == SJ_REMAINS_SUSPECT;
    return suspect ? ENTRY_SUSPECT : ENTRY_SOUND;
}

/* An inline cell as it is written: what it does not use is zero. */
static bool is_cell(uint64_t cell)
{
    uint64_t size = (cell & 0xff) >> 3;
    return (cell & 7) == 1 && size <= SJ_CELL_INLINE_MAX &&
           (size == SJ_CELL_INLINE_MAX || cell >> (8 + 8 * size) == 0);
}

bool salvage_leaf_fits(const struct sj_salvage *salvage, const struct salvage_block *block,
                       struct sj_kinds kinds)
{
    const struct sj_btree_leaf *leaf = leaf_of_block(block);
    uint32_t count = leaf->node.count, fits = 0;
    count = count < SJ_BTREE_LEAF_ITEMS ? count : SJ_BTREE_LEAF_ITEMS;
    for (uint32_t slot = 0; slot < count; slot++) {
        struct sj_item item;
        uint64_t word = leaf->slot[slot];
        if (kinds.key == SJ_ITEM_WORD && kinds.value == SJ_ITEM_BYTES && (word & 7) != 0) {
            fits += is_cell(word);
            continue;
        }
        if (sj_slot_item(salvage->segment, kinds, leaf->key[slot], &leaf->slot[slot], &item) !=
            SJ_OK)
            continue;
        struct btree_text text = {item.key.bytes, item.key.size};
        fits += kinds.key == SJ_ITEM_WORD || leaf->key[slot] == text_fragment(text, leaf->node.aux);
    }
    return 2 * fits >= count;
}

/* ------------------------------------------------------------------ tables */

/* The hash of the item's key, by the map's seed, is what its slot, its tag and its table say. */
static enum salvage_verdict judge_hash(const struct sj_hashmap_segment *table,
                                       const struct sj_hashmap_bucket *bucket, uint32_t number,
                                       struct sj_kinds kinds, uint64_t hash)
{
    bool tag = bucket->tag[number] == hashmap_tag(hash);
    bool place = hashmap_top(hash, table->node.aux) == table->pattern;
    if (kinds.key == SJ_ITEM_WORD)
        return tag && place ? ENTRY_SOUND : tag ? ENTRY_ODD : ENTRY_UNREADABLE;
    bool first = bucket->slot[number].first == hash;
    if (first && place)
        return tag ? ENTRY_SOUND : ENTRY_SUSPECT;
    return tag || first ? ENTRY_ODD : ENTRY_UNREADABLE;
}

enum salvage_verdict salvage_table_entry(const struct sj_salvage *salvage,
                                         const struct salvage_block *block,
                                         const struct salvage_structure *map, uint32_t slot,
                                         struct sj_item *item, const char **why)
{
    const struct sj_hashmap_segment *table =
        (const struct sj_hashmap_segment *)(uintptr_t)block->at;
    const struct sj_hashmap_bucket *bucket = &table->bucket[slot / SJ_HASHMAP_SLOTS];
    const struct sj_hashmap_slot *place = &bucket->slot[slot % SJ_HASHMAP_SLOTS];
    struct sj_kinds kinds = map->told.kinds;
    uint32_t number = slot % SJ_HASHMAP_SLOTS;
    *why = NULL;
    if (bucket->tag[number] == 0)
        return ENTRY_UNREADABLE;
    *why = "an entry of a hash map's table cannot be read";
    enum sj_remains_state state = state_of(salvage, bucket, sizeof *bucket);
    if (state == SJ_REMAINS_LOST || !read_slot(salvage, kinds, place->first, &place->second, item))
        return ENTRY_UNREADABLE;
    enum salvage_verdict verdict = block->life == LIFE_FREE ? ENTRY_SUSPECT : ENTRY_SOUND;
    if (map->hashes) {
        uint64_t hash = kinds.key == SJ_ITEM_WORD
                            ? sj_hash_word(item->key.word, map->seed)
                            : sj_hash_bytes(item->key.bytes, item->key.size, map->seed);
        enum salvage_verdict judged = judge_hash(table, bucket, number, kinds, hash);
        *why = "a key of a hash map that has not the hash of its place";
        verdict = judged > verdict ? judged : verdict;
    }
    if (verdict == ENTRY_SOUND &&
        (state == SJ_REMAINS_SUSPECT || item_state(salvage, kinds, item) == SJ_REMAINS_SUSPECT))
        verdict = ENTRY_SUSPECT;
    return verdict;
}

/* ------------------------------------------------------------------ sequences */

bool salvage_slot_fits(const struct sj_salvage *salvage, struct sj_kinds kinds,
                       const uint64_t *slot)
{
    struct sj_item item;
    if (kinds.key == SJ_ITEM_WORD && kinds.value == SJ_ITEM_BYTES && (*slot & 7) != 0)
        return is_cell(*slot);
    return sj_slot_item(salvage->segment, kinds, *slot, slot, &item) == SJ_OK;
}

/* Where the word of a slot lies. */
static const uint64_t *slot_of(const struct salvage_block *block, uint16_t type, uint32_t slot)
{
    if (type == SJ_KIND_LIST)
        return &((const struct sj_list_leaf *)(uintptr_t)block->at)->slot[slot];
    return &((const struct sj_deque_chunk *)(uintptr_t)block->at)->slot[slot];
}

enum salvage_verdict salvage_sequence_entry(const struct sj_salvage *salvage,
                                            const struct salvage_block *block,
                                            const struct salvage_structure *whose, uint32_t slot,
                                            struct sj_item *item, const char **why)
{
    uint16_t type = whose->told.type;
    bool doubt = type != SJ_KIND_LIST && (block->expected & CHUNK_DOUBT) != 0;
    const uint64_t *place = slot_of(block, type, slot);
    struct sj_kinds kinds = whose->told.kinds;
    *why = doubt ? NULL : "an item of a list or a deque cannot be read";
    if ((doubt && *place == 0) || !read_slot(salvage, kinds, *place, place, item))
        return ENTRY_UNREADABLE;
    enum sj_remains_state state = state_of(salvage, place, sizeof *place);
    enum sj_remains_state node =
        state_of(salvage, (const void *)(uintptr_t)block->at, sizeof(struct sj_node));
    state = state > node ? state : node;
    if (state == SJ_REMAINS_LOST)
        return ENTRY_UNREADABLE;
    bool suspect = state == SJ_REMAINS_SUSPECT || block->life == LIFE_FREE ||
                   item_state(salvage, kinds, item) == SJ_REMAINS_SUSPECT;
    return doubt ? ENTRY_ODD : suspect ? ENTRY_SUSPECT : ENTRY_SOUND;
}
