# SPDX-License-Identifier: Apache-2.0
from typing import Any

from spacejmp._space import Space

class Referable:
    store: Any
    @property
    def address(self) -> int: ...

class ContainerCore(Referable):
    name: str | None
    def __init__(
        self,
        store: Any,
        space: Space,
        name: str | None,
        root_name: bytes | None,
        key_codec: int,
        value_codec: int,
        head: int = ...,
        serial: int = ...,
    ) -> None: ...
    @property
    def _codecs(self) -> tuple[int, int]: ...
    @property
    def _place(self) -> tuple[int, int]: ...
    def _title(self) -> str: ...
    def _label(self) -> str: ...
