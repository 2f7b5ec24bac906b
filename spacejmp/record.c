// SPDX-License-Identifier: Apache-2.0
/*
 * record.c: catalog records as msgpack (record.h has the format).
 *
 * Only the types that records use are read, each in any of its encodings; keys come in the order in
 * which they are written. Whatever else the bytes are is damage: reading never leaves them.
 */
#include "spacejmp/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "persistence/segment.h"
#include "spacejmp/home.h"

/* ------------------------------------------------------------------ rules */

static int by_place(const void *a, const void *b)
{
    const struct sj_vas_segment *first = a, *second = b;
    if (first->base != second->base)
        return first->base < second->base ? -1 : 1;
    return strcmp(first->name, second->name);
}

static bool share_a_window(const struct sj_vas_segment *a, const struct sj_vas_segment *b)
{
    return a->window == b->window || a->window == SJ_WINDOW_ALL || b->window == SJ_WINDOW_ALL;
}

/* Bytes of addresses that a window takes. */
static uint64_t window_bytes(const struct sj_vas_record *record, uint32_t window)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < record->count; i++)
        if (record->segments[i].window == window || record->segments[i].window == SJ_WINDOW_ALL)
            bytes += record->segments[i].reserved;
    return bytes;
}

static int check_pair(const struct sj_vas_record *record, const struct sj_vas_segment *a,
                      const struct sj_vas_segment *b)
{
    if (strcmp(a->name, b->name) == 0 || memcmp(a->uuid, b->uuid, sizeof a->uuid) == 0)
        return sj_error(SJ_EEXISTS, "VAS '%s' has segment '%s' already", record->name, a->name);
    if (a->base < b->base + b->reserved && b->base < a->base + a->reserved && share_a_window(a, b))
        return sj_error(SJ_EADDRESS,
                        "VAS '%s': segments '%s' (0x%llx, %llu GiB) and '%s' (0x%llx, %llu GiB) "
                        "overlap: put them into different windows, or in VASes of their own",
                        record->name, a->name, (unsigned long long)a->base,
                        (unsigned long long)(a->reserved / SJ_GIB), b->name,
                        (unsigned long long)b->base, (unsigned long long)(b->reserved / SJ_GIB));
    return SJ_OK;
}

int sj_record_check(struct sj_vas_record *record)
{
    int error = SJ_OK;
    if (record->count > 0)
        qsort(record->segments, record->count, sizeof *record->segments, by_place);
    for (uint32_t i = 0; error == SJ_OK && i < record->count; i++) {
        const struct sj_vas_segment *segment = &record->segments[i];
        for (uint32_t k = 0; error == SJ_OK && k < i; k++)
            error = check_pair(record, &record->segments[k], segment);
        if (error != SJ_OK || record->address_limit == 0)
            continue;
        uint64_t bytes = window_bytes(record, segment->window);
        if (bytes > record->address_limit)
            error = sj_error(SJ_EADDRESS,
                             "VAS '%s': %llu GiB in one window with segment '%s', and the limit of "
                             "addresses is %llu GiB: use another window, or raise the limit",
                             record->name, (unsigned long long)(bytes / SJ_GIB), segment->name,
                             (unsigned long long)(record->address_limit / SJ_GIB));
    }
    return error;
}

struct sj_vas_segment *sj_record_segment(const struct sj_vas_record *record, const uint8_t uuid[16])
{
    for (uint32_t i = 0; i < record->count; i++)
        if (memcmp(record->segments[i].uuid, uuid, 16) == 0)
            return &record->segments[i];
    return NULL;
}

/* ------------------------------------------------------------------ writing */

struct writer {
    uint8_t *at, *end;
};

static void put(struct writer *to, const void *data, size_t bytes)
{
    if (to->at != NULL && bytes <= (size_t)(to->end - to->at)) {
        memcpy(to->at, data, bytes);
        to->at += bytes;
    } else {
        to->at = NULL;
    }
}

/* A type byte, and after it the low bytes of a number, the highest first. */
static void put_head(struct writer *to, uint8_t type, uint64_t number, int bytes)
{
    put(to, &type, 1);
    while (bytes-- > 0) {
        uint8_t byte = (uint8_t)(number >> 8 * bytes);
        put(to, &byte, 1);
    }
}

static void put_number(struct writer *to, uint64_t number)
{
    if (number < 128)
        put_head(to, (uint8_t)number, 0, 0);
    else if (number < 1u << 8)
        put_head(to, 0xcc, number, 1);
    else if (number < 1u << 16)
        put_head(to, 0xcd, number, 2);
    else if (number < 1ull << 32)
        put_head(to, 0xce, number, 4);
    else
        put_head(to, 0xcf, number, 8);
}

static void put_text(struct writer *to, const char *text)
{
    size_t bytes = strlen(text);
    if (bytes < 32)
        put_head(to, (uint8_t)(0xa0 | bytes), 0, 0);
    else
        put_head(to, 0xd9, bytes, 1);
    put(to, text, bytes);
}

static void put_uuid(struct writer *to, const uint8_t uuid[16])
{
    put_text(to, "uuid");
    put_head(to, 0xc4, 16, 1);
    put(to, uuid, 16);
}

static void put_segment(struct writer *to, const struct sj_vas_segment *segment)
{
    put_head(to, 0x86, 0, 0);
    put_text(to, "name");
    put_text(to, segment->name);
    put_uuid(to, segment->uuid);
    put_text(to, "base");
    put_number(to, segment->base);
    put_text(to, "reserved");
    put_number(to, segment->reserved);
    put_text(to, "rights");
    put_text(to, (segment->rights & SJ_RIGHT_WRITE) != 0 ? "rw" : "r");
    put_text(to, "window");
    if (segment->window == SJ_WINDOW_ALL)
        put_head(to, 0xff, 0, 0);
    else
        put_number(to, segment->window);
}

int sj_record_encode(const struct sj_vas_record *record, uint8_t **data, size_t *bytes)
{
    *data = malloc(SJ_RECORD_BYTES_MAX);
    if (*data == NULL)
        return sj_error(SJ_ENOMEM, "the record of VAS '%s'", record->name);
    struct writer to = {*data, *data + SJ_RECORD_BYTES_MAX};
    put_head(&to, 0x88, 0, 0);
    put_text(&to, "format");
    put_number(&to, SJ_RECORD_FORMAT);
    put_text(&to, "name");
    put_text(&to, record->name);
    put_uuid(&to, record->uuid);
    put_text(&to, "created_ns");
    put_number(&to, record->created_ns);
    put_text(&to, "tag");
    put_number(&to, record->tag);
    put_text(&to, "isolation");
    put_text(&to, record->isolation == SJ_ISOLATION_STRICT ? "strict" : "shared");
    put_text(&to, "address_limit");
    put_number(&to, record->address_limit);
    put_text(&to, "segments");
    if (record->count < 16)
        put_head(&to, (uint8_t)(0x90 | record->count), 0, 0);
    else
        put_head(&to, 0xdc, record->count, 2);
    for (uint32_t i = 0; i < record->count; i++)
        put_segment(&to, &record->segments[i]);
    if (to.at == NULL) {
        free(*data);
        *data = NULL;
        return sj_error(SJ_EINVAL, "the record of VAS '%s' has more than %u bytes", record->name,
                        SJ_RECORD_BYTES_MAX);
    }
    *bytes = (size_t)(to.at - *data);
    return SJ_OK;
}

/* ------------------------------------------------------------------ reading */

struct reader {
    const uint8_t *first, *at, *end;
    const char *path;
    const char *wanted; /* what was not there; NULL: all is well */
};

static uint64_t no(struct reader *from, const char *wanted)
{
    if (from->wanted == NULL)
        from->wanted = wanted;
    from->at = from->end;
    return 0;
}

static uint64_t get_bytes(struct reader *from, int bytes, const char *wanted)
{
    uint64_t number = 0;
    if (from->end - from->at < bytes)
        return no(from, wanted);
    while (bytes-- > 0)
        number = number << 8 | *from->at++;
    return number;
}

/* How many bytes follow a type byte for a length: of the types first, first + 1 … */
static uint64_t get_length(struct reader *from, uint8_t type, uint8_t first, int widest,
                           const char *wanted)
{
    int step = type - first;
    if (step < 0 || step > 2 || widest >> step == 0)
        return no(from, wanted);
    return get_bytes(from, 1 << (step + (widest == 2)), wanted);
}

static uint64_t get_number(struct reader *from, const char *wanted)
{
    uint8_t type = (uint8_t)get_bytes(from, 1, wanted);
    if (type < 128)
        return type;
    if (type < 0xcc || type > 0xcf)
        return no(from, wanted);
    return get_bytes(from, 1 << (type - 0xcc), wanted);
}

/* A window: a number below the maximum, or -1. */
static uint32_t get_window(struct reader *from)
{
    static const char wanted[] = "a window";
    if (from->at < from->end && *from->at == 0xff) {
        from->at++;
        return SJ_WINDOW_ALL;
    }
    uint64_t number = get_number(from, wanted);
    return (uint32_t)(number < SJ_VAS_WINDOWS_MAX ? number : no(from, wanted));
}

static void get_text(struct reader *from, char *text, size_t room, const char *wanted)
{
    uint8_t type = (uint8_t)get_bytes(from, 1, wanted);
    uint64_t bytes = type >> 5 == 5 ? type & 31 : get_length(from, type, 0xd9, 4, wanted);
    text[0] = '\0';
    if (bytes >= room || bytes > (size_t)(from->end - from->at) ||
        memchr(from->at, '\0', bytes) != NULL) {
        no(from, wanted);
        return;
    }
    memcpy(text, from->at, bytes);
    text[bytes] = '\0';
    from->at += bytes;
}

static void get_key(struct reader *from, const char *key)
{
    char text[16];
    get_text(from, text, sizeof text, key);
    if (strcmp(text, key) != 0)
        no(from, key);
}

static void get_name(struct reader *from, char name[SJ_NAME_MAX + 1])
{
    get_key(from, "name");
    get_text(from, name, SJ_NAME_MAX + 1, "a name");
    if (!sj_name_is_valid(name))
        no(from, "a name");
}

static void get_uuid(struct reader *from, uint8_t uuid[16])
{
    static const char wanted[] = "a uuid of 16 bytes";
    get_key(from, "uuid");
    uint8_t type = (uint8_t)get_bytes(from, 1, wanted);
    if (get_length(from, type, 0xc4, 4, wanted) != 16 || from->end - from->at < 16) {
        no(from, wanted);
        return;
    }
    memcpy(uuid, from->at, 16);
    from->at += 16;
}

static uint64_t get_keyed(struct reader *from, const char *key, uint64_t most)
{
    get_key(from, key);
    uint64_t number = get_number(from, key);
    return number <= most ? number : no(from, key);
}

/* Which of two texts there is: 0 or 1. */
static uint32_t get_choice(struct reader *from, const char *key, const char *zero, const char *one)
{
    char text[16];
    get_key(from, key);
    get_text(from, text, sizeof text, key);
    if (strcmp(text, zero) != 0 && strcmp(text, one) != 0)
        no(from, key);
    return strcmp(text, one) == 0;
}

/* The head of a map of so many pairs. */
static void get_map(struct reader *from, uint64_t pairs, const char *wanted)
{
    uint8_t type = (uint8_t)get_bytes(from, 1, wanted);
    uint64_t found = type >> 4 == 8 ? type & 15 : get_length(from, type, 0xde, 2, wanted);
    if (found != pairs)
        no(from, wanted);
}

static void get_segment(struct reader *from, struct sj_vas_segment *segment)
{
    get_map(from, 6, "a map of a segment's 6 fields");
    get_name(from, segment->name);
    get_uuid(from, segment->uuid);
    segment->base = get_keyed(from, "base", UINT64_MAX);
    segment->reserved = get_keyed(from, "reserved", UINT64_MAX);
    segment->rights = SJ_RIGHT_READ;
    if (get_choice(from, "rights", "r", "rw") == 1)
        segment->rights |= SJ_RIGHT_WRITE;
    get_key(from, "window");
    segment->window = get_window(from);
    if (!sj_range_is_valid(segment->base, segment->reserved))
        no(from, "base and reserved of whole GiB in the arena");
}

static int damaged(const char *path, const char *what)
{
    return sj_error(SJ_ECORRUPT,
                    "catalog record '%s' is damaged: %s; remove the VAS, and make it anew: its "
                    "segments are not affected",
                    path, what);
}

/* What follows the format. */
static int get_record(struct reader *from, const char *name, struct sj_vas_record *record)
{
    get_name(from, record->name);
    if (from->wanted == NULL && strcmp(record->name, name) != 0)
        return damaged(from->path, "it has another VAS's name");
    get_uuid(from, record->uuid);
    record->created_ns = get_keyed(from, "created_ns", UINT64_MAX);
    record->tag = (uint32_t)get_keyed(from, "tag", SJ_VAS_TAG_MAX);
    record->isolation = get_choice(from, "isolation", "shared", "strict") == 1
                            ? SJ_ISOLATION_STRICT
                            : SJ_ISOLATION_SHARED;
    record->address_limit = get_keyed(from, "address_limit", SJ_ARENA_END);
    if (record->address_limit % SJ_GIB != 0)
        no(from, "an address_limit of whole GiB");
    get_key(from, "segments");
    uint8_t type = (uint8_t)get_bytes(from, 1, "segments");
    uint64_t count = type >> 4 == 9 ? type & 15 : get_length(from, type, 0xdc, 2, "segments");
    if (count > SJ_VAS_SEGMENTS_MAX || count * 64 > (size_t)(from->end - from->at))
        count = no(from, "fewer segments");
    if (count > 0 && (record->segments = calloc(count, sizeof *record->segments)) == NULL)
        return sj_error(SJ_ENOMEM, "%llu segments", (unsigned long long)count);
    record->count = (uint32_t)count;
    for (uint32_t i = 0; i < record->count && from->wanted == NULL; i++)
        get_segment(from, &record->segments[i]);
    if (from->wanted == NULL && from->at != from->end)
        no(from, "nothing after the segments");
    return SJ_OK;
}

int sj_record_decode(const uint8_t *data, size_t bytes, const char *name, const char *path,
                     struct sj_vas_record *record)
{
    struct reader from = {data, data, data + bytes, path, NULL};
    memset(record, 0, sizeof *record);
    if (bytes > SJ_RECORD_BYTES_MAX)
        return damaged(path, "it is too long");
    uint8_t pairs = (uint8_t)get_bytes(&from, 1, "a map");
    uint64_t format = get_keyed(&from, "format", UINT64_MAX);
    if (from.wanted == NULL && pairs >> 4 != 8)
        no(&from, "a map");
    if (from.wanted == NULL && format == 1)
        return sj_error(SJ_ENOTFOUND, "'%s' is of format 1, which counts for nothing", path);
    if (from.wanted == NULL && format > SJ_RECORD_FORMAT)
        return sj_error(SJ_EVERSION,
                        "catalog record '%s': expected format %d, found %llu; use a later spacejmp",
                        path, SJ_RECORD_FORMAT, (unsigned long long)format);
    if (from.wanted == NULL && (format != SJ_RECORD_FORMAT || pairs != 0x88))
        no(&from, "8 fields, format 2 first");
    int error = from.wanted == NULL ? get_record(&from, name, record) : SJ_OK;
    if (error == SJ_OK && from.wanted != NULL) {
        char text[128];
        snprintf(text, sizeof text, "expected %s", from.wanted);
        error = damaged(path, text);
    }
    if (error == SJ_OK && (error = sj_record_check(record)) != SJ_OK && error != SJ_ENOMEM) {
        char text[400];
        snprintf(text, sizeof text, "%.399s", sj_error_detail());
        error = damaged(path, text);
    }
    if (error != SJ_OK) {
        free(record->segments);
        record->segments = NULL;
        record->count = 0;
    }
    return error;
}
