# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""The `any` key codec: Python objects as bytes whose order is the objects' order."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t

from spacejmp.structures._codec_tools cimport sj_buffer

# Appends the key, then its form, to a buffer that was begun; after a failure the buffer owns
# nothing. TypeError, ValueError (NaN, too deep), TooLargeError.
cdef int anykey_encode(object key, sj_buffer *out, uint32_t *form_size) except -1

# The object of a key; exactly what was encoded. CorruptError.
cdef object anykey_decode(const uint8_t *key, size_t size, const uint8_t *form, size_t form_size)
