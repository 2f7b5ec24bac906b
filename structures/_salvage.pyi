# SPDX-License-Identifier: Apache-2.0
from typing import Any, NamedTuple

from spacejmp.structures._mapping import MappingCore

GRADES: tuple[int, ...]

class Found(NamedTuple):
    name: bytes
    type: int
    lost: bool
    key_codec: int
    value_codec: int
    word_keys: bool
    word_values: bool
    expected: int | None
    blocks: int
    found: int
    unreadable: int

class Reading:
    remains: Remains
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
    ) -> None: ...
    def read(self) -> list[tuple[Any, Any]]: ...
    def copy(self, target: MappingCore) -> None: ...

class Remains:
    def __init__(self, path: str | bytes, base: int = 0, reserved: int = 0) -> None: ...
    def close(self) -> None: ...
    def structures(self) -> list[Found]: ...
    def samples(
        self, structure: int, grade: int
    ) -> list[tuple[int | bytes, bytes, int | bytes]]: ...
    def findings(self) -> tuple[list[tuple[int, int | None, str]], int]: ...
    def facts(self) -> dict[str, Any]: ...
