# SPDX-License-Identifier: Apache-2.0
from typing import Any, NamedTuple

from typing_extensions import Self

from spacejmp.structures._container import ContainerCore
from spacejmp.structures._mapping import MappingCore

GRADES: tuple[int, ...]

class Found(NamedTuple):
    name: bytes
    type: int
    lost: bool
    shared: bool
    by_root: tuple[int, int]
    by_head: tuple[int, int]
    word_keys: bool
    word_values: bool
    head: int
    serial: int
    limit: int | None
    expected: int | None
    blocks: int
    found: int

class Part(NamedTuple):
    name: bytes
    type: bytes
    shape: tuple[int, ...]
    item_bytes: int
    memory: memoryview | bytes
    suspect: list[tuple[int, int]]
    lost: list[tuple[int, int]]

class References:
    led: set[tuple[int, int]]
    dangling: int
    def __init__(self, targets: dict[tuple[int, int], Any]) -> None: ...
    @property
    def store(self) -> Self: ...
    def _at(self, head: int, serial: int) -> Any: ...

class Reading:
    remains: Remains
    references: References
    structure: int
    ended: bool
    undecodable: int
    copied: int
    duplicates: int
    def __init__(
        self,
        remains: Remains,
        structure: int,
        key_codec: int,
        value_codec: int,
        grade: int,
        references: References,
    ) -> None: ...
    def read(self) -> list[tuple[Any, Any]]: ...
    def copy(self, target: MappingCore) -> None: ...
    def append(self, target: ContainerCore) -> None: ...
    @property
    def doubtful(self) -> int: ...

class Remains:
    def __init__(self, path: str | bytes, base: int = 0, reserved: int = 0) -> None: ...
    def close(self) -> None: ...
    def structures(self) -> list[Found]: ...
    def unreadable(self, structure: int) -> int: ...
    def samples(
        self, structure: int, grade: int
    ) -> list[tuple[int | bytes, bytes, int | bytes]]: ...
    def parts(self, structure: int) -> list[Part]: ...
    def findings(self) -> tuple[list[tuple[int, int | None, str]], int]: ...
    def facts(self) -> dict[str, Any]: ...
