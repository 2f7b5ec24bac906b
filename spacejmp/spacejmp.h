// SPDX-License-Identifier: Apache-2.0
/*
 * spacejmp.h: the C interface, whole. `spacejmp.get_include()` says where it is, and
 * `spacejmp.get_library()` what to link with.
 */
#ifndef SPACEJMP_H
#define SPACEJMP_H

#include "persistence/clone.h"
#include "persistence/error.h"
#include "persistence/heap.h"
#include "persistence/roots.h"
#include "persistence/segment.h"
#include "persistence/tx.h"
#include "persistence/tx_group.h"
#include "persistence/user.h"
#include "spacejmp/group.h"
#include "spacejmp/hold.h"
#include "spacejmp/mmu/mmu.h"
#include "spacejmp/mmu/model.h"
#include "spacejmp/names.h"
#include "spacejmp/seg_heap.h"
#include "spacejmp/space.h"
#include "spacejmp/vas.h"
#include "spacejmp/views.h"
#include "structures/array.h"
#include "structures/btree.h"
#include "structures/check.h"
#include "structures/columns.h"
#include "structures/entry.h"
#include "structures/hashmap.h"

#endif
