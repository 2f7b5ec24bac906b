# SPDX-License-Identifier: Apache-2.0
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from typing_extensions import Self

from spacejmp._space import Space

WINDOWS_MAX: int
UPDATES_MAX: int

Waiting: TypeAlias = Literal["sleep", "doze", "yield", "spin"]

class Times(NamedTuple):
    wall_ns: int
    cpu_ns: int

def stream_at(count: int) -> int: ...
def make_block(space: Space, size: int) -> int: ...

Segment: TypeAlias = tuple[bytes, bytes, bytes, int]

class Course:
    def __init__(self, seed: int, windows: int, updates: int, words: int) -> None: ...
    def copy(self) -> Course: ...
    @property
    def sets(self) -> int: ...
    @property
    def window(self) -> int: ...
    @property
    def windows(self) -> int: ...
    @property
    def updates(self) -> int: ...

class Windows:
    count: int
    words: int
    def __init__(self, files: Sequence[tuple[int, int]], words: int) -> None: ...
    def fill(self, index: int) -> None: ...
    def attach(self, segments: Sequence[Segment], heap: Segment) -> None: ...
    def detach(self) -> None: ...
    def make_room(self) -> None: ...
    def errors(self, count: int) -> int: ...

class Pending:
    def __init__(self, address: int, space: Space) -> None: ...

def run_flat(
    course: Course,
    windows: Windows,
    pending: Pending,
    seconds: float = ...,
    sets: int | None = None,
) -> Times: ...
def run_vases(
    course: Course,
    windows: Windows,
    pending: Pending,
    seconds: float = ...,
    sets: int | None = None,
) -> Times: ...
def run_maps(
    course: Course,
    windows: Windows,
    pending: Pending,
    seconds: float = ...,
    sets: int | None = None,
) -> Times: ...

class Crew:
    def __init__(self, windows: Windows) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def stop(self) -> None: ...
    def process(self, window: int) -> int: ...
    def run(
        self,
        course: Course,
        waiting: Waiting,
        together: bool,
        ahead: bool,
        seconds: float = ...,
        sets: int | None = None,
    ) -> Times: ...
