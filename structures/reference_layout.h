// SPDX-License-Identifier: Apache-2.0
/*
 * reference_layout.h: a reference to a structure or a record, in a value of the `any` codec.
 *
 * The value is msgpack; a reference is an extension in it (ext 8) of this code, which has 12 bytes:
 *
 *   0   u64  address of the head, little endian
 *   8   u32  its serial, little endian
 *
 * Extensions of the codes 4 to 6 (anycodec.py) have msgpack as their payload, in which references
 * may be; those of other codes have none.
 */
#ifndef SJ_STRUCTURES_REFERENCE_LAYOUT_H
#define SJ_STRUCTURES_REFERENCE_LAYOUT_H

#define SJ_REFERENCE_CODE  32
#define SJ_REFERENCE_BYTES 12

#define SJ_NESTING_CODE_FIRST 4
#define SJ_NESTING_CODE_LAST  6

#endif
