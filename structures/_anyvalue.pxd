# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""The `any` value codec: Python objects as msgpack."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

from spacejmp.structures._codec_tools cimport sj_buffer

# Appends the value to a buffer that was begun, and knows its container; after a failure the buffer
# owns nothing.
# TypeError, ValueError (too deep), TooLargeError.
cdef int anyvalue_encode(object value, sj_buffer *out) except -1

# The object; exactly what was encoded. Reads the bytes where they are, and nothing keeps them: a
# hold may end when this returns. No collection runs inside. CorruptError.
cdef object anyvalue_decode(const uint8_t *value, size_t size, object container)
