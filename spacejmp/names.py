# SPDX-License-Identifier: Apache-2.0
"""Names: what a store, a segment or a root may be called.

A store's or segment's name becomes part of a file's name, and is typed in shells: 1 to 128
characters out of ``A-Z a-z 0-9 . _ -``, not beginning with ``.`` (hidden files, ``..``) nor with
``-`` (options). A root's name lives inside a segment only, so it may be any text: 1 to 255
bytes of UTF-8 without NUL.

A version of a store (`spacejmp.clones`) is called NAME@TAG: the name of the store, and a tag of 1
to 64 of the same characters. No store has an ``@`` in its name, so the two never meet.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from spacejmp.persistence.errors import InvalidNameError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "NAME_MAX",
    "ROOT_NAME_MAX",
    "TAG_MAX",
    "check_name",
    "check_root_name",
    "check_store",
    "check_tag",
    "resembling",
    "telling_names",
]

NAME_MAX = 128
"""The longest name of a store or segment, in characters."""

TAG_MAX = 64
"""The longest tag of a version, in characters."""

ROOT_NAME_MAX = 255
"""The longest name of a root, in bytes of UTF-8."""

_ALLOWED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_NOT_FIRST = ".-"


def check_name(name: str, what: str = "store") -> str:
    """Check the name of a store or segment.

    Parameters
    ----------
    name : str
        The name, 1 to 128 characters out of ``A-Z a-z 0-9 . _ -``, not beginning with ``.``
        or ``-``.
    what : str
        What is named so, for the message.

    Returns
    -------
    str
        `name`, unchanged.

    Raises
    ------
    InvalidNameError
        It breaks the rule. The message has the rule, what was found, and a name that is usable.
    TypeError
        It is not a ``str``.

    Examples
    --------
    >>> check_name("genes.v2")
    'genes.v2'
    >>> check_name("../genes")
    Traceback (most recent call last):
        ...
    spacejmp.persistence.errors.InvalidNameError: store name '../genes': expected 1 to 128 \
characters out of A-Z a-z 0-9 . _ -, not beginning with '.' or '-'; found '.' at its beginning; \
try 'genes'
    """
    if not isinstance(name, str):
        raise TypeError(f"{what} name: expected a str, found {type(name).__name__}")
    found = _fault(name)
    if found is None:
        return name
    raise InvalidNameError(
        f"{what} name {_shown(name)}: expected 1 to {NAME_MAX} characters out of "
        f"A-Z a-z 0-9 . _ -, not beginning with '.' or '-'; found {found}; "
        f"try {_suggestion(name, what)!r}"
    )


def check_store(name: str) -> tuple[str, str | None]:
    """Check the name of a store or of a version of one.

    Parameters
    ----------
    name : str
        NAME or NAME@TAG.

    Returns
    -------
    tuple of str, str or None
        The store's name; the version's tag, or None.

    Raises
    ------
    InvalidNameError
        The name or the tag breaks the rule.
    TypeError
        It is not a ``str``.

    Examples
    --------
    >>> check_store("genes@before-load")
    ('genes', 'before-load')
    >>> check_store("genes")
    ('genes', None)
    """
    if not isinstance(name, str):
        raise TypeError(f"store name: expected a str, found {type(name).__name__}")
    store, at, tag = name.partition("@")
    return check_name(store), check_tag(tag) if at else None


def check_tag(tag: str) -> str:
    """Check the tag of a version, likewise."""
    if len(check_name(tag, "tag")) <= TAG_MAX:
        return tag
    raise InvalidNameError(
        f"tag {_shown(tag)}: expected at most {TAG_MAX} characters, found {len(tag)}; "
        f"choose a shorter one"
    )


def check_root_name(name: str) -> bytes:
    """Check the name of a root, and encode it as the media hold it.

    Parameters
    ----------
    name : str
        Any text of 1 to 255 bytes in UTF-8, without NUL and lone surrogates.

    Returns
    -------
    bytes
        `name` in UTF-8.

    Raises
    ------
    InvalidNameError
        It breaks the rule.
    TypeError
        It is not a ``str``.

    Examples
    --------
    >>> check_root_name("by symbol")
    b'by symbol'
    """
    if not isinstance(name, str):
        raise TypeError(f"root name: expected a str, found {type(name).__name__}")
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        found = f"a lone surrogate at position {error.start}"
    else:
        if 0 < len(encoded) <= ROOT_NAME_MAX and b"\0" not in encoded:
            return encoded
        found = f"{len(encoded)} bytes" if b"\0" not in encoded else "a NUL"
    raise InvalidNameError(
        f"root name {_shown(name)}: expected 1 to {ROOT_NAME_MAX} bytes of UTF-8 without NUL and "
        f"surrogates; found {found}; choose another name"
    )


@contextlib.contextmanager
def telling_names(
    kind: str, name: str, home: str, names: Callable[[str], list[str]]
) -> Iterator[None]:
    """Have a `NotFoundError` of the block say which names the home has instead."""
    try:
        yield
    except NotFoundError:
        found = resembling(name, names(home))
        raise NotFoundError(f"there is no {kind} {name!r} in {home!r}: {found}") from None


def resembling(name: str, names: list[str]) -> str:
    """Say which of these names may have been meant by one that is not among them.

    Examples
    --------
    >>> resembling("gene", ["genes", "reads"])
    "did you mean 'genes'?"
    """
    import difflib

    near = difflib.get_close_matches(name, names, n=3)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    if not names:
        return "there is none; check the home"
    there = f"are {len(names)}, none with a name like it" if names[1:] else f"is only {names[0]!r}"
    return f"there {there}; check the name and the home"


def _fault(name: str) -> str | None:
    """Say what is wrong with a store's or segment's name, or None."""
    if not name:
        return "an empty name"
    if len(name) > NAME_MAX:
        return f"{len(name)} characters"
    if name[0] in _NOT_FIRST:
        return f"{name[0]!r} at its beginning"
    for position, character in enumerate(name):
        if character not in _ALLOWED:
            return f"{character!a} at position {position}"
    return None


def _suggestion(name: str, what: str) -> str:
    """Make a usable name that resembles `name`."""
    import unicodedata

    plain = unicodedata.normalize("NFKD", name[: 4 * NAME_MAX])
    kept = (c if c in _ALLOWED else " " for c in plain if not unicodedata.combining(c))
    usable = "_".join("".join(kept).split()).lstrip("._-")[:NAME_MAX]
    return usable or what


def _shown(name: str) -> str:
    """Write the name as messages show it: escaped, and cut when it is long."""
    return ascii(name) if len(name) <= NAME_MAX else f"{name[:32]!a}..."
