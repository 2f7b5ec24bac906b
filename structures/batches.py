# SPDX-License-Identifier: Apache-2.0
"""`Batches`: what every mapping does with many keys at once.

One call instead of many, one hold, and in C the cache misses of 16 or 32 keys together. What comes
back depends on what was given alone: an array gives an array, a list a list.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from spacejmp.structures import _many
from spacejmp.structures._codec import codec_id
from spacejmp.structures._column import key_column, pair_columns, value_column

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from spacejmp.structures._column import Column
    from spacejmp.structures._mapping import MappingCore

__all__ = ["Batches"]

INT64_MAX = 2**63 - 1
WORDS = ("int", "float")
"""The codecs whose items are eight bytes, as those of an array are."""


def is_array(objects: object) -> bool:
    """Whether it is a plain NumPy array; NumPy is not imported for this."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(objects, numpy.ndarray):
        return False
    if objects.ndim != 1:
        raise ValueError(f"expected an array of 1 dimension, found one of {objects.ndim}")
    return not isinstance(objects, numpy.ma.MaskedArray)


def array_of(codec: str, objects: Any, role: str) -> np.ndarray[Any, Any] | None:
    """The array as the codec's words (or rows of bytes); None: each item is encoded by itself."""
    if not is_array(objects):
        return None
    import numpy as np

    kind, size = objects.dtype.kind, objects.dtype.itemsize
    if codec == "int" and kind in "iu":
        if kind == "u" and size == 8 and objects.size and int(objects.max()) > INT64_MAX:
            return None
        return np.require(objects, np.int64, "A")
    if codec == "float" and kind == "f" and size <= 8:
        if role == "key" and np.isnan(objects).any():
            return None
        return np.require(objects, np.float64, "A")
    if codec == "bytes" and kind == "S" and size > 0 and objects.size:
        return np.ascontiguousarray(objects).view(np.uint8).reshape(objects.size, size)
    return None


def objects_of(objects: Any) -> Iterable[Any]:
    """What is encoded one by one: of an array Python's objects, not NumPy's."""
    if hasattr(objects, "dtype") and hasattr(objects, "tolist"):
        return cast("Iterable[Any]", objects.tolist())
    return cast("Iterable[Any]", objects)


def keys_of(codec: str, keys: Any, find: bool, skip: bool = False) -> Column:
    """A column of keys to look for (`find`), or to store."""
    array = array_of(codec, keys, "key")
    objects = () if array is not None else objects_of(keys)
    return key_column(codec_id(codec, "key"), array, objects, find, skip)


def values_of(codec: str, values: Any, container: object) -> Column:
    """A column of values to store in `container`."""
    array = array_of(codec, values, "value")
    objects = () if array is not None else objects_of(values)
    return value_column(codec_id(codec, "value"), array, objects, container)


def columns_of(mapping: Any, items: Any, values: Any) -> tuple[Column, Column]:
    """Columns of keys and values, or of a mapping, or of pairs when `values` is None."""
    key, value = mapping.key, mapping.value
    if values is not None:
        key_part, value_part = keys_of(key, items, False), values_of(value, values, mapping)
        if key_part.count != value_part.count:
            raise ValueError(f"{key_part.count} keys and {value_part.count} values")
        return key_part, value_part
    if isinstance(items, Mapping):
        items = items.items()
    return pair_columns(codec_id(key, "key"), codec_id(value, "value"), items, mapping)


def _number(codec: str, default: Any) -> int | float:
    """A default that an array of values can hold. TypeError, OverflowError."""
    if codec == "float":
        return float(default)
    number = operator.index(default)
    if not -INT64_MAX - 1 <= number <= INT64_MAX:
        raise OverflowError(f"default: expected an int of 64 bits, found {number}")
    return number


def _empty(codec: str, role: str, count: int, size: int) -> np.ndarray[Any, Any]:
    """An array for `count` keys or values; `size`: of one, when they are bytes. TypeError."""
    import numpy as np

    if codec in WORDS:
        return np.empty(count, np.int64 if codec == "int" else np.float64)
    if codec == "bytes":
        return np.zeros(count, f"S{max(size, 1)}")
    raise TypeError(
        f"{role}s of codec {codec!r} have no dtype: expected int, float or bytes; "
        f"list(….{role}s()) takes them as objects"
    )


def _rows(array: np.ndarray[Any, Any] | None) -> Any:
    """The bytes of an array, a row an item."""
    import numpy as np

    if array is None:
        return None
    return array.view(np.uint8).reshape(len(array), array.dtype.itemsize)


class Batches:
    """Many keys at once, for `BTree` and `HashMap`."""

    __slots__ = ()

    def get_many(self, keys: Iterable[Any], default: Any = None) -> Any:
        """The values of many keys, as they are at one moment.

        Parameters
        ----------
        keys : array or iterable of keys
            A NumPy array of one dimension is fastest: integers for keys of codec "int", floats for
            "float", fixed-size bytes (``S``) for "bytes"; others are taken item by item.
        default
            What stands in the place of a key that is not there.

        Returns
        -------
        numpy.ndarray or list
            In the order of the keys. An array (of int64 or float64) when `keys` is one and the
            values are "int" or "float", else a list.

        Raises
        ------
        KeyError
            A key is not there, the result would be an array, and there is no `default` to put into
            it.
        TypeError, ValueError, OverflowError
            A key does not fit the codec, or `default` not the array.
        DetachedError, SpaceBusyError, CorruptError
            The store is closed, is held by others beyond the timeout, is damaged.

        Complexity
        ----------
        O(1) a key in a hash map, O(log n) in a tree, without the interpreter between two keys and
        with the cache misses of many keys together. The GIL is released while an array is filled.

        Durability
        ----------
        Nothing is changed.

        Examples
        --------
        >>> import numpy as np
        >>> with sj.open("demo") as store:
        ...     squares = store.hashmap("squares", key="int", value="int")
        ...     squares.update({n: n * n for n in range(10)})
        ...     squares.get_many([3, 30]), squares.get_many(np.array([3, 30]), 0).tolist()
        ([9, None], [9, 0])
        """
        mapping, key, value = self._core()
        column = keys_of(key, keys, True)
        if value not in WORDS or not is_array(keys):
            return _many.get_objects(mapping, column, default)
        import numpy as np

        dtype = np.dtype(np.int64 if value == "int" else np.float64)
        if default is None:
            values = np.empty(column.count, dtype)
        else:
            values = np.full(column.count, _number(value, default), dtype)
        found = np.empty(column.count, np.uint8)
        _many.find_words(mapping, column, values.view(np.uint64), found)
        if default is None and not found.all():
            missing: Any = keys
            raise KeyError(missing[int(found.argmin())].item())
        return values

    def contains_many(self, keys: Iterable[Any]) -> Any:
        """Which of many keys are there, at one moment.

        Parameters
        ----------
        keys : array or iterable of keys
            As in `get_many`.

        Returns
        -------
        numpy.ndarray or list of bool
            In the order of the keys: an array when `keys` is one, else a list.

        Raises
        ------
        TypeError, ValueError
            A key does not fit the codec.

        Complexity
        ----------
        As `get_many`.

        Durability
        ----------
        Nothing is changed.

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     primes = store.btree("primes", key="int", value="int")
        ...     primes.update({2: 1, 3: 2, 5: 3, 7: 4})
        ...     primes.contains_many([4, 5])
        [False, True]
        """
        import numpy as np

        mapping, key, _ = self._core()
        column = keys_of(key, keys, True)
        found = np.empty(column.count, np.uint8)
        _many.find_words(mapping, column, None, found)
        there = found.view(np.bool_)
        return there if is_array(keys) else there.tolist()

    def put_many(self, keys: Any, values: Any = None) -> int:
        """Store many pairs, all or none of them.

        Parameters
        ----------
        keys : array or iterable of keys; or, without `values`, a mapping or an iterable of pairs
            As in `get_many`. Of a key that is there twice the last value stays.
        values : array or iterable of values
            As many as keys: an array of integers for values of codec "int", of floats for "float",
            or whatever iterable.

        Returns
        -------
        int
            How many keys are new; the others got new values.

        Raises
        ------
        TypeError, ValueError, OverflowError
            A key or a value does not fit the codec, or there are more of ones than of the others.
        TooLargeError, SpaceFullError
            As for single ones.
        ReadOnlyError, DetachedError, SpaceBusyError, CorruptError
            The store was opened with flag "r", is closed, is held by others, is damaged.
            Whatever is raised, nothing has changed.

        Complexity
        ----------
        As single puts in one transaction, without the interpreter between them. Everything is
        encoded before the store is held, in memory; the undo log takes the nodes that change once
        each, whatever the number of keys. The GIL is released.

        Durability
        ----------
        One atomic operation: durable when it returns, and after a crash all of it is there or none.
        Inside a transaction it is part of that.

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     scores = store.hashmap("scores", key="str", value="int")
        ...     scores.put_many({"ada": 1, "bob": 2}), scores.put_many(["bob", "eve"], [3, 4])
        (2, 1)
        """
        mapping, _, _ = self._core()
        return _many.put_all(mapping, *columns_of(mapping, keys, values))

    def delete_many(self, keys: Iterable[Any]) -> int:
        """Remove many keys, all at once; those that are not there are passed over.

        Parameters
        ----------
        keys : array or iterable of keys
            As in `get_many`.

        Returns
        -------
        int
            How many were there.

        Raises
        ------
        TypeError, ValueError
            A key does not fit the codec.
        ReadOnlyError, DetachedError, SpaceBusyError, SpaceFullError, CorruptError
            As for single ones. Whatever is raised, nothing has changed.

        Complexity
        ----------
        As single deletes in one transaction, without the interpreter between them.

        Durability
        ----------
        One atomic operation: durable when it returns, and after a crash all of it is there or none.
        Inside a transaction it is part of that.

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     letters = store.btree("letters", key="str")
        ...     letters.update(dict.fromkeys("abcde"))
        ...     letters.delete_many("bdx"), list(letters)
        (2, ['a', 'c', 'e'])
        """
        mapping, key, _ = self._core()
        return _many.delete_all(mapping, keys_of(key, keys, True, skip=True))

    def keys_array(self) -> np.ndarray[Any, Any]:
        """All keys as an array, in the order of iteration, as they are at one moment.

        Returns
        -------
        numpy.ndarray
            Of int64 or float64; of ``S`` when the keys are bytes, all of one size, and end with no
            zero byte (which ``S`` does not keep).

        Raises
        ------
        TypeError
            The keys have no such array: of another codec, or bytes of several sizes.

        Complexity
        ----------
        O(n): from the nodes to the array, without an object for each key.

        Durability
        ----------
        Nothing is changed.

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     ages = store.btree("ages", key="int", value="float")
        ...     ages.update({30: 0.5, 10: 1.5, 20: 2.5})
        ...     ages.keys_array().tolist(), ages.values_array().tolist()
        ([10, 20, 30], [1.5, 2.5, 0.5])
        """
        mapping = cast("Any", self)
        with mapping.store.read():
            keys, _ = self._arrays(0, len(mapping), True, False)
        return cast("np.ndarray[Any, Any]", keys)

    def values_array(self) -> np.ndarray[Any, Any]:
        """All values as an array, in the order of iteration; as `keys_array`."""
        mapping = cast("Any", self)
        with mapping.store.read():
            _, values = self._arrays(0, len(mapping), False, True)
        return cast("np.ndarray[Any, Any]", values)

    def _arrays(
        self, first: int, count: int, keys: bool, values: bool
    ) -> tuple[np.ndarray[Any, Any] | None, np.ndarray[Any, Any] | None]:
        """Arrays of keys and values from a position on; in a read hold."""
        mapping = cast("Any", self)
        sizes = [0, 0]
        if count and ((keys and mapping.key == "bytes") or (values and mapping.value == "bytes")):
            sizes = [len(part) if isinstance(part, bytes) else 0 for part in self._item_at(first)]
        key_array = _empty(mapping.key, "key", count, sizes[0]) if keys else None
        value_array = _empty(mapping.value, "value", count, sizes[1]) if values else None
        if not self._fill_arrays(first, count, _rows(key_array), _rows(value_array)):
            raise TypeError(
                "expected bytes of one size, above 0, that end with no zero byte: dtype S has no "
                "others; list(….keys()) or list(….values()) takes them as objects"
            )
        return key_array, value_array

    def _item_at(self, first: int) -> tuple[Any, Any]:
        raise NotImplementedError

    def _fill_arrays(self, first: int, count: int, key_rows: Any, value_rows: Any) -> bool:
        raise NotImplementedError

    def _core(self) -> tuple[MappingCore, str, str]:
        mapping = cast("Any", self)
        return mapping, mapping.key, mapping.value
