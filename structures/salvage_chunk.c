// SPDX-License-Identifier: Apache-2.0
/*
 * salvage_chunk.c: whose a chunk of a deque or a queue is, and in which order they come.
 *
 *   links     A ⇄ B, each names the other: so chunks are runs
 *   owners    a head names the first chunk, and the last: first those of which both lead to one
 *             run have it, then the others have the run that begins, and the one that ends; one in
 *             use that no head names goes to the deque whose runs name the same missing chunk as
 *             it, to the one that lacks items, or is a deque "lost-1" …
 *   order     the run from the first chunk, what was found, the run that ends with the last
 *
 * Which slots of the outer chunks are in use the head alone tells. Where it is damaged, or gone,
 * all of them are read, and odd.
 *
 * A chunk gets an owner once, so all walks end. Cost: O(chunks), times the deques for those that no
 * head leads to.
 */
#include "structures/salvage_parts.h"

enum round { ROUND_WHOLE, ROUND_ENDS, ROUND_ANY, ROUNDS };

static struct salvage_block *chunk_number(const struct sj_salvage *salvage, uint64_t number)
{
    return &salvage->chunks.item[number];
}

static const struct sj_deque_chunk *media(const struct salvage_block *block)
{
    return (const struct sj_deque_chunk *)(uintptr_t)block->at;
}

static const struct sj_deque_head *head_of(const struct salvage_structure *deque)
{
    return (const struct sj_deque_head *)(uintptr_t)deque->told.head;
}

/* The chunk beside one, if that names it as well; UINT64_MAX. */
static uint64_t beside(const struct sj_salvage *salvage, uint64_t number, bool next)
{
    const struct salvage_block *block = chunk_number(salvage, number);
    uint64_t other =
        salvage_find(&salvage->chunks, next ? media(block)->next : media(block)->previous);
    if (other == UINT64_MAX || other == number)
        return UINT64_MAX;
    const struct sj_deque_chunk *chunk = media(chunk_number(salvage, other));
    return (next ? chunk->previous : chunk->next) == block->at ? other : UINT64_MAX;
}

/* The last chunk of the run from one on. */
static uint64_t run_end(const struct sj_salvage *salvage, uint64_t number, bool next)
{
    for (uint64_t steps = 0; steps < salvage->chunks.count; steps++) {
        uint64_t other = beside(salvage, number, next);
        if (other == UINT64_MAX)
            break;
        number = other;
    }
    return number;
}

/* ------------------------------------------------------------------ owners */

/* Gives a chunk and those beyond it that nobody has: ranks go up, or down. */
static void take_run(struct sj_salvage *salvage, uint32_t owner, uint64_t number, bool next,
                     uint32_t rank, bool named)
{
    while (number != UINT64_MAX && chunk_number(salvage, number)->owner == NOBODY) {
        struct salvage_block *block = chunk_number(salvage, number);
        block->owner = owner;
        block->claim = named ? owner : NOBODY;
        if (!named && block->life == LIFE_UNKNOWN)
            block->life = LIFE_FREE; /* nothing says that it is in use */
        block->rank = next ? rank++ : rank--;
        salvage->structure[owner].items += SJ_DEQUE_SLOTS;
        number = beside(salvage, number, next);
    }
}

/* Whether an end of a deque has its chunk in this round. */
static bool may_take(const struct sj_salvage *salvage, uint64_t number, bool next, enum round round)
{
    const struct salvage_block *block;
    if (number == UINT64_MAX)
        return false;
    block = chunk_number(salvage, number);
    if (block->owner != NOBODY || block->life == LIFE_FREE)
        return false;
    if (round == ROUND_ENDS)
        return (next ? media(block)->previous : media(block)->next) == 0;
    return beside(salvage, number, !next) == UINT64_MAX;
}

static void take_chunks(struct sj_salvage *salvage, uint32_t number, enum round round)
{
    const struct sj_deque_head *head = head_of(&salvage->structure[number]);
    uint64_t first = salvage_find(&salvage->chunks, head->first);
    uint64_t last = salvage_find(&salvage->chunks, head->last);
    if (round == ROUND_WHOLE) {
        if (first != UINT64_MAX && last != UINT64_MAX &&
            beside(salvage, first, false) == UINT64_MAX && run_end(salvage, first, true) == last)
            take_run(salvage, number, first, true, RANK_FIRST, true);
        return;
    }
    if (may_take(salvage, first, true, round))
        take_run(salvage, number, first, true, RANK_FIRST, true);
    if (may_take(salvage, last, false, round))
        take_run(salvage, number, last, false, RANK_LAST, true);
}

/* What the head names and that is not there, or is another one's. */
static void tell_ends(struct sj_salvage *salvage, uint32_t number)
{
    const struct sj_deque_head *head = head_of(&salvage->structure[number]);
    uint64_t end[2] = {head->first, head->last};
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t chunk = end[i] == 0 ? UINT64_MAX : salvage_find(&salvage->chunks, end[i]);
        if (end[i] != 0 && (chunk == UINT64_MAX || chunk_number(salvage, chunk)->owner != number))
            salvage_tell(salvage, end[i], number, "a chunk of a deque");
    }
}

/* ------------------------------------------------------------------ runs that no head names */

static bool fits(const struct sj_salvage *salvage, const struct salvage_block *block,
                 struct sj_kinds kinds)
{
    uint32_t found = 0;
    for (uint32_t slot = 0; slot < SJ_DEQUE_SLOTS; slot++)
        found += salvage_slot_fits(salvage, kinds, &media(block)->slot[slot]);
    return 4 * found >= SJ_DEQUE_SLOTS;
}

static bool is_sequence(const struct salvage_structure *structure)
{
    return structure->told.type == SJ_KIND_DEQUE || structure->told.type == SJ_KIND_QUEUE;
}

/* The deque one of whose runs names the chunk that a link of the orphan's names. */
static bool names(const struct sj_salvage *salvage, uint32_t deque, uint64_t missing, bool next)
{
    const struct sj_deque_head *head = head_of(&salvage->structure[deque]);
    uint64_t end = salvage_find(&salvage->chunks, next ? head->last : head->first);
    if (missing == 0 || end == UINT64_MAX || chunk_number(salvage, end)->owner != deque)
        return false;
    const struct sj_deque_chunk *chunk = media(chunk_number(salvage, run_end(salvage, end, !next)));
    return (next ? chunk->previous : chunk->next) == missing;
}

/* NOBODY when none, or several, may have the run from one chunk to another. */
static uint32_t who_lacks(const struct sj_salvage *salvage, uint64_t first, uint64_t last)
{
    const struct salvage_block *from = chunk_number(salvage, first);
    uint64_t previous = media(from)->previous, next = media(chunk_number(salvage, last))->next;
    uint32_t found = NOBODY, candidates = 0;
    for (uint32_t i = 0; i < salvage->structures; i++) {
        const struct salvage_structure *deque = &salvage->structure[i];
        if (!is_sequence(deque) || (deque->told.lost && !deque->told.has_head))
            continue;
        if (deque->told.has_head && deque->items >= deque->told.expected)
            continue;
        if (deque->told.has_head &&
            (names(salvage, i, previous, false) || names(salvage, i, next, true)))
            return i;
        if (deque->told.kinds.value == SJ_ITEM_BYTES && !fits(salvage, from, deque->told.kinds))
            continue;
        found = i;
        candidates++;
    }
    return candidates == 1 ? found : NOBODY;
}

static void give_orphan(struct sj_salvage *salvage, uint64_t first, uint32_t *rank)
{
    uint64_t last = run_end(salvage, first, true);
    uint32_t owner = who_lacks(salvage, first, last);
    if (owner == NOBODY) {
        struct sj_kinds kinds = {SJ_ITEM_WORD, SJ_ITEM_BYTES};
        if (!fits(salvage, chunk_number(salvage, first), kinds))
            kinds.value = SJ_ITEM_WORD;
        owner = salvage_lost(salvage, SJ_KIND_DEQUE, kinds);
    }
    if (owner == NOBODY)
        return;
    take_run(salvage, owner, first, true, *rank, false);
    for (uint64_t i = first; i != UINT64_MAX && *rank < RANK_LAST / 2;
         i = beside(salvage, i, true)) {
        ++*rank;
        if (i == last)
            break;
    }
}

static void give_orphans(struct sj_salvage *salvage)
{
    uint32_t rank = RANK_FOUND;
    for (uint32_t pass = 0; pass < 2; pass++) /* then what is a circle */
        for (uint64_t number = 0; number < salvage->chunks.count; number++) {
            const struct salvage_block *block = chunk_number(salvage, number);
            bool used =
                block->life == LIFE_USED || (block->life == LIFE_UNKNOWN && salvage->broken_heap);
            uint64_t before = beside(salvage, number, false);
            if (block->owner != NOBODY || !used ||
                (pass == 0 && before != UINT64_MAX &&
                 chunk_number(salvage, before)->owner == NOBODY))
                continue;
            give_orphan(salvage, number, &rank);
        }
}

/* ------------------------------------------------------------------ slots in use */

static void set_slots(struct salvage_block *block, uint32_t from, uint32_t to, bool doubt)
{
    block->expected = (uint16_t)(from | to << 8 | (doubt ? CHUNK_DOUBT : 0));
}

/* Whether all that a head says agrees: with its chunks, when there are all of them. */
static bool agrees(const struct sj_salvage *salvage, uint32_t number)
{
    const struct salvage_structure *deque = &salvage->structure[number];
    const struct sj_deque_head *head = head_of(deque);
    uint64_t begin = head->state & 0xff, end = head->state >> 8 & 0xff;
    uint64_t slots = (head->state >> 16) + begin + (SJ_DEQUE_SLOTS - end);
    uint64_t first = salvage_find(&salvage->chunks, head->first);
    if (begin > SJ_DEQUE_SLOTS || end > SJ_DEQUE_SLOTS || slots % SJ_DEQUE_SLOTS != 0)
        return false;
    if (first == UINT64_MAX || chunk_number(salvage, first)->owner != number ||
        chunk_number(salvage, run_end(salvage, first, true))->at != head->last)
        return true;
    return deque->items == slots;
}

static void set_ends(struct sj_salvage *salvage, uint32_t number)
{
    const struct sj_deque_head *head = head_of(&salvage->structure[number]);
    uint32_t begin = head->state & 0xff, end = head->state >> 8 & 0xff;
    uint64_t first = salvage_find(&salvage->chunks, head->first);
    uint64_t last = salvage_find(&salvage->chunks, head->last);
    bool doubt = begin > SJ_DEQUE_SLOTS || end > SJ_DEQUE_SLOTS || /* an empty one ends a chunk */
                 (!agrees(salvage, number) &&
                  sj_remains_state(salvage->remains, head, sizeof *head) != SJ_REMAINS_SOUND);
    if (doubt)
        begin = 0, end = SJ_DEQUE_SLOTS;
    if (first != UINT64_MAX && chunk_number(salvage, first)->owner == number)
        set_slots(chunk_number(salvage, first), begin, first == last ? end : SJ_DEQUE_SLOTS, doubt);
    if (last != UINT64_MAX && last != first && chunk_number(salvage, last)->owner == number)
        set_slots(chunk_number(salvage, last), 0, end, doubt);
}

static void set_all_slots(struct sj_salvage *salvage)
{
    for (uint64_t number = 0; number < salvage->chunks.count; number++) {
        struct salvage_block *block = chunk_number(salvage, number);
        bool outer = media(block)->previous == 0 || media(block)->next == 0;
        bool headless = block->owner != NOBODY && block->claim != block->owner;
        set_slots(block, 0, SJ_DEQUE_SLOTS, outer && headless);
    }
    for (uint32_t i = 0; i < salvage->structures; i++)
        if (is_sequence(&salvage->structure[i]) && salvage->structure[i].told.has_head)
            set_ends(salvage, i);
}

void salvage_deques(struct sj_salvage *salvage)
{
    for (enum round round = ROUND_WHOLE; round < ROUNDS; round++)
        for (uint32_t i = 0; i < salvage->structures; i++)
            if (is_sequence(&salvage->structure[i]) && salvage->structure[i].told.has_head)
                take_chunks(salvage, i, round);
    for (uint32_t i = 0; i < salvage->structures; i++)
        if (is_sequence(&salvage->structure[i]) && salvage->structure[i].told.has_head)
            tell_ends(salvage, i);
    give_orphans(salvage);
    set_all_slots(salvage);
}
