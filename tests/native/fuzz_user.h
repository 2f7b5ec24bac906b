// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_user.h: what the users of damaged stores share: the answers that are allowed, and reading
 * what is given.
 */
#ifndef SJ_TESTS_FUZZ_USER_H
#define SJ_TESTS_FUZZ_USER_H

#include "fuzz.h"
#include "persistence/tx.h"

#define BATCH      64
#define BIT(error) (1ull << (error))

#define ANY_FAULT (BIT(SJ_OK) | BIT(SJ_ECORRUPT))
#define GET_FAULT (ANY_FAULT | BIT(SJ_ENOTFOUND))
#define PUT_FAULT (GET_FAULT | BIT(SJ_EFULL) | BIT(SJ_ETOOBIG))
#define OPEN_FAULT                                                                                 \
    (ANY_FAULT | BIT(SJ_EFORMAT) | BIT(SJ_EVERSION) | BIT(SJ_ETRUNCATED) | BIT(SJ_EUNCLEAN) |      \
     BIT(SJ_ENOMEM) | BIT(SJ_EFULL) | BIT(SJ_EINDOUBT) |                                           \
     BIT(SJ_EREADONLY) | /* a vote; a version, which never changes */                              \
     BIT(SJ_EPERM) |     /* a version in which somebody seems to have died */                      \
     BIT(SJ_EINVAL))     /* a durability that the filesystem does not have */

struct user {
    struct fuzz_use *use;
    struct sj_segment *segment;
    uint8_t key[FUZZ_KEY_BYTES];
    uint8_t value[FUZZ_VALUE_BYTES];
    uint64_t sum; /* of bytes that were read */
};

#define ANSWER(user, call, allowed) fuzz_answer(user, call, allowed, #call)

/* An answer must be among those that are allowed. */
int fuzz_answer(struct user *user, int error, uint64_t allowed, const char *what);

static inline uint64_t below(struct user *user, uint64_t limit)
{
    return fuzz_below(user->use->random, limit);
}

static inline void bounded(uint64_t steps, uint64_t most, const char *what)
{
    if (steps <= most)
        return;
    fprintf(stderr, "fuzz: %s goes on for ever\n", what);
    abort();
}

/* More items than there can be in what the file has. */
static inline uint64_t items_most(const struct user *user)
{
    return sj_segment_committed(user->segment) / 8;
}

static inline void read_bytes(struct user *user, const uint8_t *bytes, uint64_t size)
{
    for (uint64_t i = 0; i < size; i += 256)
        user->sum += bytes[i];
    if (size > 0)
        user->sum += bytes[size - 1];
}

static inline void read_value(struct user *user, struct sj_kinds kinds,
                              const struct sj_value *value)
{
    if (kinds.value == SJ_ITEM_BYTES)
        read_bytes(user, value->bytes, value->size);
}

static inline void read_items(struct user *user, struct sj_kinds kinds, const struct sj_item *items,
                              uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (kinds.key == SJ_ITEM_BYTES)
            read_bytes(user, items[i].key.bytes,
                       (uint64_t)items[i].key.size + items[i].key.form_size);
        read_value(user, kinds, &items[i].value);
    }
}

/* Ends an operation as its plan went. */
static inline int fuzz_end(struct sj_segment *segment, int error)
{
    if (error != SJ_OK)
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    return sj_tx_op_commit(segment);
}

/* fuzz_use_more.c */
void fuzz_use_deque(struct user *user, uint64_t head, const struct fuzz_store *store);
void fuzz_use_list(struct user *user, uint64_t head, const struct fuzz_store *store);

/* fuzz_arrays.c, fuzz_records.c */
void fuzz_use_array(struct user *user, uint64_t head);
void fuzz_use_columns(struct user *user, uint64_t head);
void fuzz_use_record(struct user *user, uint64_t head);

/* What can be done with a structure of any kind, and with those that its references lead to. */
void fuzz_use_any(struct user *user, uint64_t head);

/* Makes structures without a name, refers to some, and collects. */
void fuzz_use_unnamed(struct user *user, uint64_t from);

#endif
