# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from typing import Any, Final

from spacejmp.structures._mapping import MappingCore

KEYS: Final[int]
VALUES: Final[int]
ITEMS: Final[int]

class BTreeCore(MappingCore):
    def _iterate(
        self,
        give: int,
        backward: bool,
        minimum: Any = ...,
        maximum: Any = ...,
        with_minimum: bool = ...,
        with_maximum: bool = ...,
    ) -> Iterator[Any]: ...
    def _iterate_ranks(self, give: int, start: int, stop: int, backward: bool) -> Iterator[Any]: ...
    def _select(self, index: int, give: int) -> Any: ...
    def _rank(self, key: Any, after: bool) -> int: ...
