// SPDX-License-Identifier: Apache-2.0
/*
 * structure.c: the table of kinds, and what goes through it.
 */
#include "structures/structure.h"

#include <errno.h>
#include <sys/random.h>

#include "persistence/log.h"
#include "persistence/tx.h"
#include "structures/array.h"
#include "structures/btree.h"
#include "structures/columns.h"
#include "structures/deque.h"
#include "structures/hashmap.h"
#include "structures/list.h"
#include "structures/record.h"
#include "structures/reference.h"

static const struct sj_structure_type *const types[] = {
    &sj_array_type, &sj_btree_type, &sj_columns_type, &sj_deque_type,  &sj_hashmap_type,
    &sj_list_type,  &sj_queue_type, &sj_record_type,  &sj_schema_type,
};

const struct sj_structure_type *sj_structure_type_of(uint16_t kind)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i]->kind == kind)
            return types[i];
    return NULL;
}

int sj_structure_serial(uint32_t *serial)
{
    do {
        ssize_t got = getrandom(serial, sizeof *serial, 0);
        if (got != (ssize_t)sizeof *serial && (got >= 0 || errno != EINTR))
            return sj_error(SJ_EIO, "getrandom: %s", strerror(errno));
        if (got < 0)
            *serial = 0;
    } while (*serial == 0);
    return SJ_OK;
}

int sj_structure_create(struct sj_segment *segment, uint16_t kind, struct sj_codecs codecs,
                        uint64_t *head)
{
    const struct sj_structure_type *type = sj_structure_type_of(kind);
    if (type == NULL)
        return sj_error(SJ_ETYPE, "there is no structure of kind %u", kind);
    return type->create(segment, codecs, head);
}

static int not_there(const struct sj_segment *segment, uint64_t head)
{
    return sj_error(SJ_ENOTFOUND, "'%s' has no such structure at 0x%llx any more", segment->name,
                    (unsigned long long)head);
}

/* The type of what is in use at that address. */
static int type_at(const struct sj_segment *segment, uint64_t head,
                   const struct sj_structure_type **type)
{
    if (!sj_segment_spans(segment, head, sizeof(struct sj_structure_head)) || head % 8 != 0 ||
        sj_heap_usable(segment, head) == 0)
        return not_there(segment, head);
    *type = sj_structure_type_of(((const struct sj_block *)(uintptr_t)head)->kind);
    return *type == NULL ? not_there(segment, head) : SJ_OK;
}

int sj_structure_look(struct sj_segment *segment, uint64_t head, uint32_t serial,
                      struct sj_structure_info *info)
{
    const struct sj_structure_type *type;
    int error = type_at(segment, head, &type);
    if (error == SJ_OK)
        error = type->look(segment, head, info);
    if (error == SJ_OK && serial != 0 && info->serial != serial)
        return not_there(segment, head);
    return error;
}

int sj_structure_destroy(struct sj_segment *segment, uint64_t head)
{
    const struct sj_structure_type *type;
    int error = type_at(segment, head, &type);
    sj_log_note_removal(segment);
    return error == SJ_OK ? type->destroy(segment, head) : error;
}

int sj_structure_share(struct sj_segment *segment, uint64_t head, uint32_t serial)
{
    struct sj_structure_info info;
    int error = sj_structure_look(segment, head, serial, &info);
    if (error != SJ_OK)
        return error;
    uint64_t *word = (uint64_t *)(uintptr_t)head, shared = *word | (uint64_t)SJ_ITEM_SHARED << 16;
    return *word == shared ? SJ_OK : sj_tx_single_word(segment, word, shared);
}

static int share_one(void *context, uint64_t head, uint32_t serial)
{
    return sj_structure_share(context, head, serial);
}

int sj_structure_share_all(struct sj_segment *segment, const struct sj_value *value)
{
    int error = sj_references_in(value, share_one, segment);
    return error >= 0 ? error : sj_error(SJ_EINVAL, "a value that is no msgpack");
}

/* ------------------------------------------------------------------ references */

struct references {
    struct sj_segment *segment;
    sj_reference_visit *visit;
    void *context;
};

static int value_references(void *context, const struct sj_value *value)
{
    const struct references *references = context;
    int error = sj_references_in(value, references->visit, references->context);
    if (error >= 0)
        return error;
    return sj_segment_damaged(references->segment, (uint64_t)(uintptr_t)value->bytes,
                              "a value of codec any");
}

int sj_structure_references(struct sj_segment *segment, uint64_t head, sj_reference_visit *visit,
                            void *context)
{
    struct references references = {segment, visit, context};
    struct sj_structure_info info;
    const struct sj_structure_type *type;
    int error = type_at(segment, head, &type);
    if (error == SJ_OK)
        error = type->look(segment, head, &info);
    if (error == SJ_OK && info.codecs.value == SJ_CODEC_ANY)
        error = type->values(segment, head, value_references, &references);
    if (error == SJ_OK && type->references != NULL)
        error = type->references(segment, head, visit, context);
    return error;
}
