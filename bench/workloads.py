# SPDX-License-Identifier: Apache-2.0
"""With what data: entries by number, made anew as often as they are asked for.

Entry i has a key and a value that the seed decides. Asking twice gives equal objects, never the
same ones: a lookup that finds `a is b` needs not compare, and programs rarely look up the very
object that they once stored. Keys are in random order; entry n + i, for i < n, is one that is never
stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Numbers = Sequence[int] | NDArray[np.int64]

__all__ = ["WORKLOADS", "Workload", "make_workload"]

KEY_SIZE = 16
VALUE_SIZE = 100


class Workload(ABC):
    """n entries that are stored, and n that never are."""

    name: str
    """What its keys and values are: a codec's name, too."""
    what: str

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self.rng = np.random.default_rng(seed)

    @abstractmethod
    def keys(self, numbers: Numbers) -> list[Any]:
        """Fresh key objects of these entries."""

    @abstractmethod
    def values(self, numbers: Numbers) -> list[Any]:
        """Fresh value objects of these entries, which are stored ones."""

    @property
    @abstractmethod
    def by_key(self) -> NDArray[np.int64]:
        """The numbers of the stored entries in the order of their keys."""

    def shuffled(self) -> NDArray[np.int64]:
        """The numbers of the stored entries in a new random order."""
        return self.rng.permutation(self.n)

    def some(self, count: int, *, stored: bool = True) -> NDArray[np.int64]:
        """Numbers drawn at random, all different."""
        return self.rng.choice(self.n, count, replace=False) + (0 if stored else self.n)


class IntToInt(Workload):
    """Distinct 63-bit keys and values."""

    name = "int"
    what = "distinct random 63-bit int → 63-bit int"

    def __init__(self, n: int, seed: int) -> None:
        super().__init__(n, seed)
        drawn = np.unique(self.rng.integers(0, 2**63, 2 * n + 64, dtype=np.int64))
        self._keys = self.rng.permutation(drawn)[: 2 * n]
        assert len(self._keys) == 2 * n
        self._values = self.rng.integers(0, 2**63, n, dtype=np.int64)
        self._by_key: NDArray[np.int64] = np.argsort(self._keys[:n])

    def keys(self, numbers: Numbers) -> list[Any]:
        return list(self._keys[numbers].tolist())

    def values(self, numbers: Numbers) -> list[Any]:
        return list(self._values[numbers].tolist())

    @property
    def by_key(self) -> NDArray[np.int64]:
        return self._by_key


class BytesToBytes(Workload):
    """Random keys of 16 bytes, values of 100."""

    name = "bytes"
    what = f"random {KEY_SIZE}-byte key → {VALUE_SIZE}-byte value"

    def __init__(self, n: int, seed: int) -> None:
        super().__init__(n, seed)
        self._keys = self.rng.integers(0, 256, (2 * n, KEY_SIZE), dtype=np.uint8)
        self._values = self.rng.integers(0, 256, (n, VALUE_SIZE), dtype=np.uint8)
        words = self._keys[:n].view(">u8")
        self._by_key: NDArray[np.int64] = np.lexsort((words[:, 1], words[:, 0]))

    def keys(self, numbers: Numbers) -> list[Any]:
        return _rows(self._keys[numbers])

    def values(self, numbers: Numbers) -> list[Any]:
        return _rows(self._values[numbers])

    @property
    def by_key(self) -> NDArray[np.int64]:
        return self._by_key


def _rows(array: NDArray[np.uint8]) -> list[Any]:
    size = array.shape[1]
    flat = array.tobytes()
    return [flat[at : at + size] for at in range(0, len(flat), size)]


WORKLOADS: dict[str, type[Workload]] = {kind.name: kind for kind in (IntToInt, BytesToBytes)}


def make_workload(name: str, n: int, seed: int) -> Workload:
    """The workload of that name."""
    return WORKLOADS[name](n, seed)
