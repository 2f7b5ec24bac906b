# SPDX-License-Identifier: Apache-2.0
"""NumPy's types as text, as a store keeps them, and back."""

from __future__ import annotations

import ast
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from spacejmp.persistence.errors import CorruptError
from spacejmp.structures.lazy import Lazy

if TYPE_CHECKING:
    import numpy as np
    from numpy.lib import format as npy
    from numpy.typing import DTypeLike
else:
    np = Lazy("numpy")
    npy = Lazy("numpy.lib.format")

__all__ = ["dtype_of", "given_dtype", "text_of"]


def given_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """What a caller has given as a type, if a store can have arrays of it; TypeError."""
    found = np.dtype(dtype)
    if found.hasobject:
        raise TypeError(
            f"dtype {found} refers to Python objects, which are nowhere in a store: take a type of "
            "fixed size (numbers, 'S10', 'U10', dates, or a struct of such), or a list or a mapping"
        )
    if found.itemsize == 0:
        raise TypeError(f"dtype {found} has items of 0 bytes: give it a size, such as 'S10'")
    return found


def text_of(dtype: np.dtype[Any]) -> str:
    """How a store keeps it: what NumPy's own files say; TypeError when they cannot say it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            described: Any = (
                (npy.dtype_to_descr(dtype.subdtype[0]), dtype.subdtype[1])
                if dtype.subdtype is not None
                else npy.dtype_to_descr(dtype)
            )
        text = ascii(described)
        if dtype_of(text) == dtype:
            return text
    except (ValueError, UserWarning, CorruptError):
        pass
    raise TypeError(f"dtype {dtype} cannot be kept in a store: NumPy has no portable text for it")


@lru_cache(maxsize=256)
def dtype_of(text: str) -> np.dtype[Any]:
    """The type of such a text; CorruptError."""
    try:
        found: np.dtype[Any] = npy.descr_to_dtype(ast.literal_eval(text))
    except Exception as error:
        raise CorruptError(f"expected the text of a dtype, found {text[:80]!r}") from error
    if found.hasobject:
        raise CorruptError(f"expected a dtype without Python objects, found {text[:80]!r}")
    return found
