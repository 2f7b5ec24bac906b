// SPDX-License-Identifier: Apache-2.0
/*
 * reference.h: finds the references in a value of the `any` codec (reference_layout.h).
 */
#ifndef SJ_STRUCTURES_REFERENCE_H
#define SJ_STRUCTURES_REFERENCE_H

#include "structures/structure.h"

/* Calls `visit` for each; nonzero ends it, and is returned. -1: the bytes are no msgpack. O(bytes
 * that are not text). */
int sj_references_in(const struct sj_value *value, sj_reference_visit *visit, void *context);

#endif
