# SPDX-License-Identifier: Apache-2.0
import os
from types import TracebackType
from typing import Literal, NamedTuple, NoReturn

from typing_extensions import Self

class SegmentInfo(NamedTuple):
    name: str
    uuid: bytes
    base: int
    reserved: int
    file_bytes: int
    created_ns: int
    clean: bool
    this_boot: bool
    durability: Literal["process", "power"]
    image: str
    frozen: bool

def segment_create(
    path: str | bytes | os.PathLike[str],
    name: str,
    base: int,
    reserved: int,
    mode: int = ...,
    *,
    power: bool = ...,
) -> None: ...
def is_open_somewhere(lock_path: str | bytes | os.PathLike[str]) -> bool: ...
def segment_inspect(path: str | bytes | os.PathLike[str]) -> SegmentInfo: ...
def attached_spaces() -> list[tuple[str, int, int]]: ...

class Space:
    def __init__(
        self,
        segment_path: str | bytes | os.PathLike[str],
        lock_path: str | bytes | os.PathLike[str],
        *,
        uuid: bytes | None = ...,
        writable: bool = ...,
        accept_unclean: bool = ...,
        private: bool = ...,
        timeout: float | None = ...,
    ) -> None: ...
    def detach(self) -> None: ...
    def sync(self) -> None: ...
    @property
    def waiting(self) -> int: ...
    @property
    def attached(self) -> bool: ...
    @property
    def writable(self) -> bool: ...
    @property
    def changes(self) -> int: ...
    @property
    def base(self) -> int: ...
    @property
    def reserved(self) -> int: ...
    @property
    def committed(self) -> int: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def private(self) -> bool: ...
    @property
    def domain(self) -> str: ...
    @property
    def durability(self) -> Literal["process", "power"]: ...
    @property
    def mode(self) -> Literal["r", "w"] | None: ...
    @property
    def is_current(self) -> bool: ...

class Hold:
    def __init__(
        self, owner: Space, write: bool, transaction: bool, timeout: float | None
    ) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]: ...
    def abort(self) -> None: ...
    def __aenter__(self) -> NoReturn: ...
    def __aexit__(self, *details: object) -> NoReturn: ...
