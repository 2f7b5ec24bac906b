# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from typing import Any

from spacejmp._space import Space

def heap_stats(space: Space) -> dict[str, int]: ...
def usage(space: Space, name: bytes) -> dict[str, int]: ...
def check(
    space: Space, repair: bool, progress: Callable[[int, int], object] | None
) -> dict[str, Any]: ...
def collect(
    space: Space,
    kept_now: Callable[[], list[tuple[int, int]]],
    progress: Callable[[int, int], object] | None,
) -> dict[str, int]: ...
