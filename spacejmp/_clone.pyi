# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from typing import Literal

from spacejmp._space import Space

def clone(
    home: str,
    timeout: float | None,
    space: Space,
    name: str,
    *,
    mode: int | None = ...,
    durability: Literal["process", "power"] | None = ...,
    frozen: bool = ...,
    progress: Callable[[int, int], object] | None = ...,
) -> None: ...
def clone_named(
    home: str,
    timeout: float | None,
    vas: bool,
    original: tuple[str, bytes],
    name: str,
    *,
    mode: int | None = ...,
    durability: Literal["process", "power"] | None = ...,
    progress: Callable[[int, int], object] | None = ...,
) -> bytes: ...
