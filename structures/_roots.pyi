# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from spacejmp._space import Space

BTREE: Final[int]
HASHMAP: Final[int]
POINTER: Final[int]

class RootRecord(NamedTuple):
    type: int
    key_codec: int
    value_codec: int

def find(space: Space, name: bytes) -> RootRecord | None: ...
def listing(space: Space) -> list[tuple[str, RootRecord]]: ...
def create(
    space: Space,
    name: bytes,
    kind: int,
    key_codec: int,
    value_codec: int,
) -> None: ...
def drop(space: Space, name: bytes) -> None: ...
def heap_stats(space: Space) -> dict[str, int]: ...
def check(
    space: Space, repair: bool, progress: Callable[[int, int], object] | None
) -> dict[str, Any]: ...
