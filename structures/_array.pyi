# SPDX-License-Identifier: Apache-2.0
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spacejmp._space import Space
from spacejmp.structures._container import ContainerCore

ARRAY: int

def create(
    space: Space, name: bytes | None, shape: tuple[int, ...], item_bytes: int, text: bytes
) -> tuple[int, int]: ...

class ArrayCore(ContainerCore):
    def _look(self, also_new: bool = ...) -> NDArray[Any]: ...
    def _about(self) -> tuple[tuple[int, ...], np.dtype[Any]]: ...
    def _reshape(self, shape: tuple[int, ...]) -> None: ...
