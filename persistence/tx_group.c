// SPDX-License-Identifier: Apache-2.0
/* tx_group.c: transactions over several segments, in the process that makes them (tx_group.h). */
#include "persistence/tx_group.h"

#include <stdio.h>

#include "persistence/log_group.h"
#include "persistence/loss.h"

static int use(const struct sj_tx_group *group, uint32_t number)
{
    return group->use == NULL ? SJ_OK : group->use(group->context, number);
}

/* ------------------------------------------------------------------ begin */

static int refuse(const struct sj_tx_group *group)
{
    const struct sj_segment *first = group->segment[0];
    for (uint32_t i = 0; i < group->count; i++) {
        const struct sj_segment *segment = group->segment[i];
        if (segment->is_private && group->count > 1)
            return sj_error(SJ_EINVAL,
                            "'%s' is attached privately: nothing of it lasts, so it can only be in "
                            "a transaction by itself",
                            segment->name);
        if (segment->wal != NULL)
            return sj_error(SJ_EINVAL,
                            "'%s' has a write-ahead log of its own: such a store can only be in a "
                            "transaction by itself",
                            segment->name);
        if (segment->domain->durability != first->domain->durability)
            return sj_error(SJ_EINVAL,
                            "'%s' and '%s' have different durability: after a power loss one would "
                            "have its part of the transaction and the other not",
                            first->name, segment->name);
    }
    return SJ_OK;
}

/* Whether it is a group by itself, or inside of another one. */
static int find_place(struct sj_tx_group *group)
{
    if (group->count == 0 || group->count > SJ_TX_GROUP_MAX)
        return sj_error(SJ_EINVAL, "a transaction over several stores has 1 to %d, found %u",
                        SJ_TX_GROUP_MAX, group->count);
    const struct sj_tx *first = &group->segment[0]->tx;
    group->nested = first->depth > 0;
    for (uint32_t i = 1; i < group->count; i++) {
        const struct sj_tx *tx = &group->segment[i]->tx;
        if ((tx->depth > 0) != group->nested || tx->group != first->group ||
            (group->nested && tx->group == NULL))
            return sj_error(SJ_EINVAL,
                            "'%s' and '%s' are not in the same transaction already: begin one over "
                            "all stores before those of single ones",
                            group->segment[0]->name, group->segment[i]->name);
    }
    return group->nested || group->count == 1 ? SJ_OK : refuse(group);
}

/* Undoes the first `count`, as far as they are still in the group. One that cannot come to its
 * addresses is left to be recovered, as if this process had died. */
static void abort_some(struct sj_tx_group *group, uint32_t count)
{
    for (uint32_t i = count; i > 0; i--) {
        struct sj_segment *segment = group->segment[i - 1];
        if (segment->tx.depth < group->depth[i - 1] ||
            (!group->nested && segment->tx.group != group))
            continue;
        if (use(group, i - 1) != SJ_OK)
            sj_segment_freeze(segment, SJ_LOST_OUTCOME);
        sj_tx_abort(segment);
    }
}

/* The same, and the error stays what it was. */
static int give_up(struct sj_tx_group *group, uint32_t count, int error)
{
    char detail[512];
    snprintf(detail, sizeof detail, "%s", sj_error_detail());
    abort_some(group, count);
    return sj_error(error, "%s", detail);
}

int sj_tx_group_begin(struct sj_tx_group *group)
{
    int error = find_place(group);
    if (error != SJ_OK)
        return error;
    for (uint32_t i = 0; i < group->count; i++) {
        error = use(group, i);
        if (error == SJ_OK)
            error = sj_tx_begin(group->segment[i]);
        if (error != SJ_OK)
            return give_up(group, i, error);
        group->depth[i] = sj_tx_depth(group->segment[i]);
        if (!group->nested)
            group->segment[i]->tx.group = group;
    }
    return SJ_OK;
}

int sj_tx_group_check(const struct sj_tx_group *group)
{
    for (uint32_t i = 0; i < group->count; i++)
        if (sj_tx_depth(group->segment[i]) > group->depth[i])
            return sj_error(SJ_ENOHOLD,
                            "a transaction that was begun inside of this one is open in '%s': it "
                            "ends first",
                            group->segment[i]->name);
    return SJ_OK;
}

void sj_tx_group_abort(struct sj_tx_group *group)
{
    SJ_ASSERT(sj_tx_group_check(group) == SJ_OK);
    abort_some(group, group->count);
}

/* ------------------------------------------------------------------ commit */

static bool has_changed(const struct sj_segment *segment)
{
    return segment->tx.entries.count > 0;
}

static int refuse_left(const struct sj_segment *segment)
{
    return sj_error(SJ_ENOHOLD,
                    "'%s' is not in the transaction any more: it was left before the end",
                    segment->name);
}

/* All but the stores that commit; also says who was changed. */
static int finish_all(struct sj_tx_group *group, uint32_t *changed)
{
    *changed = 0;
    for (uint32_t i = 0; i < group->count; i++) {
        struct sj_segment *segment = group->segment[i];
        if (segment->tx.group != group || segment->tx.depth != 1)
            return refuse_left(segment);
        int error = sj_segment_is_damaged(segment) ? sj_segment_lost(segment) : use(group, i);
        if (error == SJ_OK)
            error = sj_tx_finish(segment);
        if (error != SJ_OK)
            return error;
        *changed += has_changed(segment);
    }
    return SJ_OK;
}

/* The first one that was changed and has room for a record (I4). */
static int choose_decider(struct sj_tx_group *group, uint32_t *decider)
{
    int error = SJ_OK;
    for (uint32_t i = 0; i < group->count; i++) {
        if (!has_changed(group->segment[i]))
            continue;
        error = use(group, i);
        if (error == SJ_OK)
            error = sj_log_settle(group->segment[i]);
        *decider = i;
        if (error == SJ_OK)
            break;
    }
    return error;
}

/* The record and the votes. What makes them durable is the fence before the decision: a fence is
 * the thread's, for whatever it has flushed. */
static int vote_all(struct sj_tx_group *group, uint32_t decider)
{
    struct sj_segment *changed[SJ_TX_GROUP_MAX];
    uint32_t count = 0;
    int error = SJ_OK;
    for (uint32_t i = 0; i < group->count && error == SJ_OK; i++) {
        struct sj_segment *segment = group->segment[i];
        if (!has_changed(segment))
            continue;
        changed[count++] = segment;
        if (i == decider)
            continue;
        error = use(group, i);
        if (error == SJ_OK)
            error = sj_log_vote(segment, group->segment[decider]);
    }
    if (error == SJ_OK)
        error = use(group, decider);
    return error == SJ_OK ? sj_log_record(group->segment[decider], changed, count) : error;
}

static int look_for_damage(const struct sj_tx_group *group)
{
    for (uint32_t i = 0; i < group->count; i++)
        if (sj_segment_is_damaged(group->segment[i]))
            return sj_segment_lost(group->segment[i]);
    return SJ_OK;
}

/* The store that commits, of one segment. */
static int conclude(struct sj_tx_group *group, uint32_t number)
{
    struct sj_segment *segment = group->segment[number];
    int error = use(group, number);
    if (error != SJ_OK) { /* decided, and left to be recovered as if this process had died */
        sj_segment_freeze(segment, SJ_LOST_OUTCOME);
        sj_tx_forget(segment);
        return sj_segment_lost(segment);
    }
    error = sj_tx_conclude(segment);
    segment->tx.group = NULL;
    return error;
}

/* Only the decider's file can tell whether it was decided: each member asks, as its recovery
 * does. */
static void ask_file(struct sj_tx_group *group, uint32_t number)
{
    struct sj_segment *segment = group->segment[number];
    int error = use(group, number);
    if (error == SJ_OK)
        error = sj_segment_recover(segment);
    if (error != SJ_OK)
        sj_segment_freeze(segment, SJ_LOST_OUTCOME);
    sj_tx_forget(segment);
}

/* From the decision on: all go through, whatever happens to one of them. */
static int decide(struct sj_tx_group *group, uint32_t decider)
{
    int error = conclude(group, decider);
    for (uint32_t i = 0; i < group->count; i++) {
        if (i == decider)
            continue;
        if (error != SJ_OK && sj_segment_is_damaged(group->segment[decider])) {
            ask_file(group, i);
            continue;
        }
        int failed = conclude(group, i);
        error = error == SJ_OK ? failed : error;
    }
    if (error == SJ_OK && use(group, decider) == SJ_OK)
        sj_log_record_end(group->segment[decider]);
    return look_for_damage(group);
}

/* At most one was changed: it needs nobody to decide. */
static int conclude_each(struct sj_tx_group *group)
{
    int error = SJ_OK;
    for (uint32_t i = 0; i < group->count; i++) {
        int failed = conclude(group, i);
        error = error == SJ_OK ? failed : error;
    }
    return error;
}

/* A savepoint in each becomes part of the outer group. */
static int commit_nested(struct sj_tx_group *group)
{
    int error = SJ_OK;
    for (uint32_t i = 0; i < group->count; i++)
        if (sj_tx_depth(group->segment[i]) < group->depth[i])
            return give_up(group, group->count, refuse_left(group->segment[i]));
    for (uint32_t i = 0; i < group->count; i++) {
        int failed = sj_tx_commit(group->segment[i]); /* which stores nothing yet */
        error = error == SJ_OK ? failed : error;
    }
    return error;
}

int sj_tx_group_commit(struct sj_tx_group *group)
{
    uint32_t changed, decider = 0;
    int error = sj_tx_group_check(group);
    if (error != SJ_OK)
        return error;
    if (group->nested)
        return commit_nested(group);
    error = finish_all(group, &changed);
    if (error == SJ_OK && changed > 1) {
        error = choose_decider(group, &decider);
        if (error == SJ_OK)
            error = vote_all(group, decider);
    }
    if (error == SJ_OK)
        error = look_for_damage(group);
    if (error == SJ_OK)
        error = use(group, decider);
    if (error != SJ_OK)
        return give_up(group, group->count, error);
    return changed > 1 ? decide(group, decider) : conclude_each(group);
}
