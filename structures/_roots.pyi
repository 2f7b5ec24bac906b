# SPDX-License-Identifier: Apache-2.0
from typing import Final, NamedTuple

from spacejmp._space import Space

BTREE: Final[int]
DEQUE: Final[int]
HASHMAP: Final[int]
QUEUE: Final[int]
LIST: Final[int]
POINTER: Final[int]
RECORD: Final[int]

class RootRecord(NamedTuple):
    type: int
    key_codec: int
    value_codec: int

class Found(NamedTuple):
    type: int
    key_codec: int
    value_codec: int
    serial: int

def find(space: Space, name: bytes) -> RootRecord | None: ...
def listing(space: Space) -> list[tuple[str, RootRecord]]: ...
def create(
    space: Space,
    name: bytes | None,
    kind: int,
    key_codec: int,
    value_codec: int,
) -> tuple[int, int]: ...
def look(space: Space, head: int, serial: int) -> Found: ...
def assign(space: Space, name: bytes, head: int, serial: int) -> None: ...
def drop(space: Space, name: bytes) -> None: ...
