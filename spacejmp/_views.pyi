# SPDX-License-Identifier: Apache-2.0
from typing import Any

from numpy.typing import NDArray

from spacejmp._space import Space

class View:
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

def touch(
    spaces: tuple[Space, ...], view: NDArray[Any], lent: list[NDArray[Any]]
) -> NDArray[Any]: ...
