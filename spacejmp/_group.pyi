# SPDX-License-Identifier: Apache-2.0
from types import TracebackType
from typing import Literal, NoReturn

from typing_extensions import Self

from spacejmp._space import Space

class Group:
    def __init__(self, owners: tuple[Space, ...], timeout: float | None) -> None: ...
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
