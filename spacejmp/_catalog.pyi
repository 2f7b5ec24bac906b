# SPDX-License-Identifier: Apache-2.0
import os
from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

from spacejmp._space import SegmentInfo

_Path: TypeAlias = str | bytes | os.PathLike[str]
_Id: TypeAlias = tuple[str, bytes]

WINDOW_ALL: Final[int]
WINDOW_FIT: Final[int]

class SegmentFacts(NamedTuple):
    name: str
    uuid: bytes
    base: int
    reserved: int
    rights: int
    window: int

class SegmentSettings(NamedTuple):
    growth_limit: int
    page_size: int
    lockable: bool
    prefault: bool

class VasFacts(NamedTuple):
    name: str
    uuid: bytes
    of_segment: bool
    created_ns: int
    tag: int
    isolation: int
    address_limit: int
    mode: int
    uid: int
    gid: int
    segments: tuple[SegmentFacts, ...]

def make_home(home: _Path) -> None: ...
def tidy(home: _Path, timeout: float | None) -> None: ...
def place(extents: Iterable[tuple[int, int]], reserved: int, seed: int) -> int | None: ...
def seg_alloc(
    home: _Path,
    timeout: float | None,
    name: str,
    base: int | None,
    reserved: int,
    mode: int,
    *,
    power: bool = False,
    replace: bool = False,
) -> SegmentInfo: ...
def seg_find(home: _Path, name: str) -> SegmentInfo: ...
def seg_delete(
    home: _Path, timeout: float | None, name: str, uuid: bytes | None = None
) -> None: ...
def seg_list(home: _Path) -> list[str]: ...
def vas_create(home: _Path, timeout: float | None, name: str, mode: int) -> bytes: ...
def vas_read(home: _Path, name: str, uuid: bytes | None = None) -> VasFacts: ...
def vas_exists(home: _Path, name: str) -> bool: ...
def vas_delete(
    home: _Path, timeout: float | None, name: str, uuid: bytes | None = None
) -> None: ...
def vas_list(home: _Path) -> list[str]: ...
def vas_ctl(
    home: _Path, timeout: float | None, name: str, uuid: bytes, command: int, argument: int
) -> None: ...
def seg_attach(
    home: _Path, timeout: float | None, vas: _Id, segment: _Id, rights: int, window: int
) -> int: ...
def seg_detach(home: _Path, timeout: float | None, vas: _Id, segment: _Id) -> None: ...
def seg_ctl(
    home: _Path, timeout: float | None, name: str, uuid: bytes, command: int, argument: int
) -> None: ...
def seg_settings(home: _Path, timeout: float | None, name: str, uuid: bytes) -> SegmentSettings: ...
