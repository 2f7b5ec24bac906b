# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterable
from typing import Any

from spacejmp._space import Space
from spacejmp.structures._record import Living

FORMS: dict[str, list[Any]]

class Form:
    cls: Any
    made_here: bool
    name: str
    fields: tuple[Field, ...]
    schema: bytes
    size: int
    def __init__(
        self,
        cls: type,
        name: str,
        fields: Iterable[Field],
        schema: bytes,
        size: int,
        made_here: bool = False,
    ) -> None: ...

class Field:
    name: str
    type: Any
    default: Any
    offset: int
    size: int
    index: int
    target: str
    def __init__(
        self,
        name: str,
        of: Any,
        code: int,
        count: int,
        is_array: bool,
        target: str,
        default: Any,
        offset: int,
        each: int,
        index: int,
    ) -> None: ...
    @property
    def where(self) -> str: ...
    def __get__(self, instance: Any, owner: Any) -> Any: ...
    def __set__(self, instance: Any, value: Any) -> None: ...

class Registry(Living):
    def __init__(self, space: Space) -> None: ...
    def at(self, store: Any, form: Form | None, address: int) -> Any: ...
    def named(self, store: Any, name: bytes) -> Any: ...
    def new(self, store: Any, form: Form, values: dict[str, Any]) -> Any: ...
    def set_root(self, name: bytes, record: Any) -> None: ...
