# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""_number.pxd: the numbers of records' fields (record_layout.h, enum sj_field_code) and Python's.

`each` is how many bytes a number has. `what` says whose it is in messages: by `where` and `type`.
"""

from libc.stdint cimport uint8_t, uint32_t


# Stores it at `out`. TypeError, OverflowError.
cdef int number_encode(uint8_t code, uint32_t each, object value, char *out,
                       object what) except -1

cdef object number_decode(uint8_t code, uint32_t each, const char *at)

# The TypeError of a value that is not what it should be.
cdef object wrong_value(object what, object value)
