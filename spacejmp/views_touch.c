// SPDX-License-Identifier: Apache-2.0
/*
 * views_touch.c: the bytes that an array covers, announced to the open transaction.
 *
 * An array is reduced to rows: its axes are sorted by their strides, all of which are made
 * positive, and the innermost ones whose items lie one behind the other become the row.
 *
 *   shape (3, 2), strides (16, 4), items of 4 bytes:   [row 8]........[row 8]........[row 8]
 *
 * Cost: O(rows) entries of the log, of 32 bytes and the row; at most twice the bytes of the array.
 */
#include "spacejmp/hold.h"
#include "spacejmp/views.h"

#define ENTRY_BYTES 32ull /* rows that lie closer are logged as one: so much an entry costs */

struct axis {
    uint64_t count;
    uint64_t stride;
};

struct rows {
    uint64_t low; /* address of the first byte */
    uint64_t end;
    uint64_t bytes; /* of all items, as if none overlapped */
    uint64_t row_bytes;
    uint32_t axes; /* outside of a row, the longest stride first */
    struct axis axis[SJ_VIEW_DIMS_MAX];
};

/* Sorted in, if it has more than one place. False: numbers that no array has. */
static bool add_axis(struct rows *rows, int64_t count, int64_t stride)
{
    uint64_t length = (uint64_t)(stride < 0 ? -stride : stride), extent;
    uint64_t steps = (uint64_t)count - 1;
    if (count < 1 || stride == INT64_MIN || __builtin_mul_overflow(length, steps, &extent) ||
        __builtin_mul_overflow(rows->bytes, (uint64_t)count, &rows->bytes) ||
        extent > UINT64_MAX / 4)
        return false;
    if (stride < 0)
        rows->low -= extent;
    rows->end += stride < 0 ? 0 : extent;
    if (count == 1 || stride == 0)
        return true;
    uint32_t at = rows->axes++;
    for (; at > 0 && rows->axis[at - 1].stride < length; at--)
        rows->axis[at] = rows->axis[at - 1];
    rows->axis[at] = (struct axis){(uint64_t)count, length};
    return true;
}

static bool reduce(const struct sj_view_shape *shape, struct rows *rows)
{
    *rows = (struct rows){.low = shape->at,
                          .end = shape->at + shape->item_bytes,
                          .bytes = shape->item_bytes,
                          .row_bytes = shape->item_bytes};
    if (shape->dims > SJ_VIEW_DIMS_MAX)
        return false;
    for (uint32_t i = 0; i < shape->dims; i++)
        if (!add_axis(rows, shape->shape[i], shape->strides[i]))
            return false;
    while (rows->axes > 0 && rows->axis[rows->axes - 1].stride <= rows->row_bytes) {
        const struct axis *inner = &rows->axis[--rows->axes];
        rows->row_bytes += (inner->count - 1) * inner->stride;
    }
    return rows->low <= rows->end;
}

static int log_words(struct sj_segment *segment, uint64_t from, uint64_t end)
{
    uint64_t first = from & ~7ull;
    return sj_tx_range(segment, (void *)(uintptr_t)first, ((end + 7) & ~7ull) - first);
}

/* Row by row, in ascending order but for axes that interleave. */
static int log_rows(struct sj_segment *segment, const struct rows *rows)
{
    uint64_t index[SJ_VIEW_DIMS_MAX] = {0};
    uint64_t from = rows->low, end = rows->low, at = rows->low;
    int error = SJ_OK;
    for (;;) {
        if (at < from || at > end + ENTRY_BYTES) {
            error = log_words(segment, from, end);
            if (error != SJ_OK)
                return error;
            from = at;
        }
        end = at + rows->row_bytes > end || at == from ? at + rows->row_bytes : end;
        uint32_t axis = rows->axes;
        while (axis > 0 && ++index[axis - 1] == rows->axis[axis - 1].count) {
            axis--;
            index[axis] = 0;
            at -= (rows->axis[axis].count - 1) * rows->axis[axis].stride;
        }
        if (axis == 0)
            return log_words(segment, from, end);
        at += rows->axis[axis - 1].stride;
    }
}

int sj_view_touch(struct sj_space *space, const struct sj_view_shape *shape)
{
    struct sj_segment *segment = space->segment;
    struct sj_viewed block;
    struct rows rows;
    if (sj_hold_mode(space) != SJ_HOLD_WRITE || sj_tx_depth(segment) == 0)
        return sj_error(SJ_EINVAL, "'%s': no transaction is open", segment->name);
    for (uint32_t i = 0; i < shape->dims; i++)
        if (shape->shape[i] == 0)
            return SJ_OK;
    if (shape->item_bytes == 0)
        return SJ_OK;
    if (!reduce(shape, &rows) || !sj_views_find(space, rows.low, rows.end - rows.low, &block))
        return sj_error(SJ_EINVAL,
                        "the array does not look at memory of a structure of '%s': it is a copy, "
                        "or of another store",
                        segment->name);
    int error = sj_tx_op_begin(segment);
    if (error != SJ_OK)
        return error;
    error = rows.end - rows.low <= 2 * rows.bytes ? log_words(segment, rows.low, rows.end)
                                                  : log_rows(segment, &rows);
    if (error != SJ_OK)
        return sj_tx_op_abort(segment, error);
    sj_tx_ready(segment);
    return sj_tx_op_commit(segment);
}
