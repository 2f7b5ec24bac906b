# SPDX-License-Identifier: Apache-2.0
"""The directory of a store: the names of its structures, and what each is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from spacejmp.names import check_root_name
from spacejmp.persistence.errors import InvalidNameError
from spacejmp.structures import _roots
from spacejmp.structures._codec import codec_name
from spacejmp.structures.kinds import name_of_root
from spacejmp.structures.reports import RootInfo

if TYPE_CHECKING:
    from spacejmp._space import Space
    from spacejmp.structures.containers import Containers

__all__ = ["Roots", "find_root"]


class Roots(Mapping[str, RootInfo]):
    """The structures of a store by name: a live, read-only mapping to `RootInfo`."""

    __slots__ = ("_store",)

    def __init__(self, store: Containers) -> None:
        self._store = store

    def __getitem__(self, name: str) -> RootInfo:
        record = _roots.find(self._store._space, check_root_name(name))
        if record is None:
            raise self._store._no_root(name)
        return _info(name, record)

    def __contains__(self, name: object) -> bool:
        return find_root(self._store._space, name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in _roots.listing(self._store._space)])

    def __len__(self) -> int:
        return len(_roots.listing(self._store._space))

    def __repr__(self) -> str:
        return f"Roots({[_info(*root) for root in _roots.listing(self._store._space)]!r})"


def find_root(space: Space, name: object) -> _roots.RootRecord | None:
    """Find what has this name; None also for what is no name."""
    if not isinstance(name, str):
        return None
    try:
        raw = check_root_name(name)
    except InvalidNameError:  # nothing can have such a name
        return None
    return _roots.find(space, raw)


def _info(name: str, root: _roots.RootRecord) -> RootInfo:
    if root.type == _roots.POINTER:  # a user's own, of which nothing else is known
        return RootInfo(name, "pointer", "", "")
    return RootInfo(
        name,
        name_of_root(root),
        codec_name(root.key_codec, "key") if root.key_codec else "",
        codec_name(root.value_codec, "value") if root.value_codec else "",
    )
