# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from typing import Any, Final

from spacejmp.structures._mapping import MappingCore

KEYS: Final[int]
VALUES: Final[int]
ITEMS: Final[int]

class HashMapCore(MappingCore):
    def _iterate(self, give: int) -> Iterator[Any]: ...
    def _pop_any(self, give: int) -> Any: ...
    def _read_arrays(self, count: int, key_rows: Any, value_rows: Any) -> bool: ...
