# SPDX-License-Identifier: Apache-2.0
"""HPCC RandomAccess over windows of memory: SpaceJMP's Fig. 8, and what it is compared with.

`spacejmp.apps.gups.run.run` does it, `spacejmp gups` is the command. The inner loops are C
(`gups.c`, `crew.c`), on the public functions of the library.
"""
