# SPDX-License-Identifier: Apache-2.0
"""A linked list whose links are records: a stack that outlives its processes.

::

    python linked_list.py push TEXT …
    python linked_list.py pop
    python linked_list.py list
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Iterator


@sj.record
class Link:
    """One text, and the link below it."""

    text: sj.str_
    next: sj.Ptr[Link]


def top(store: sj.Store) -> Link | None:
    """The link on top; the name "top" is a pointer to it."""
    if "top" not in store:
        return None
    link: Link = store["top"]
    return link


def push(store: sj.Store, text: str) -> None:
    """The new link and the name that leads to it appear together, or not at all."""
    with store.transaction():
        store["top"] = store.new(Link, text=text, next=top(store))


def pop(store: sj.Store) -> str | None:
    """Take the link on top away, and free it."""
    with store.transaction():
        link = top(store)
        if link is None:
            return None
        text = link.text
        if link.next is None:
            store.drop("top")
        else:
            store["top"] = link.next
        store.free(link)
        return text


def texts(store: sj.Store) -> Iterator[str]:
    """From the top down."""
    link = top(store)
    while link is not None:
        yield link.text
        link = link.next


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    with sj.open("stack") as store:
        match arguments:
            case ["push", *words]:
                for word in words:
                    push(store, word)
            case ["pop"]:
                print(pop(store))
            case ["list"]:
                print(*texts(store))
            case _:
                sys.exit("usage: linked_list.py push TEXT … | pop | list")


if __name__ == "__main__":
    main(sys.argv[1:])
