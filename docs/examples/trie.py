# SPDX-License-Identifier: Apache-2.0
"""A trie whose nodes are records: words by their prefix, shared by all processes.

::

    python trie.py add WORD …
    python trie.py find PREFIX
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Iterator


@sj.record
class Letter:
    """A letter of a word: the ones that may come next, and the others that may stand here."""

    letter: sj.str_
    ends: sj.bool_
    first: sj.Ptr[Letter]
    other: sj.Ptr[Letter]


def root(store: sj.Store) -> Letter:
    """The node before all first letters, made when it is missing."""
    if "words" not in store:
        store["words"] = store.new(Letter)
    found: Letter = store["words"]
    return found


def child(node: Letter, letter: str) -> Letter | None:
    """The node of the letter that comes next."""
    below = node.first
    while below is not None and below.letter != letter:
        below = below.other
    return below


def add(store: sj.Store, word: str) -> None:
    """All of the word's nodes are there afterwards, or none of the new ones."""
    with store.transaction():
        node = root(store)
        for letter in word:
            below = child(node, letter)
            if below is None:
                below = node.first = store.new(Letter, letter=letter, other=node.first)
            node = below
        node.ends = True


def words(node: Letter, so_far: str) -> Iterator[str]:
    """All words from a node on."""
    if node.ends:
        yield so_far
    below = node.first
    while below is not None:
        yield from words(below, so_far + below.letter)
        below = below.other


def find(store: sj.Store, prefix: str) -> list[str]:
    """All words that begin with a prefix, while nobody changes them."""
    with store.read():
        if "words" not in store:
            return []
        node: Letter | None = root(store)
        for letter in prefix:
            node = None if node is None else child(node, letter)
        return [] if node is None else sorted(words(node, prefix))


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    with sj.open("trie") as store:
        match arguments:
            case ["add", *new]:
                for word in new:
                    add(store, word)
            case ["find", prefix]:
                print(*find(store, prefix))
            case _:
                sys.exit("usage: trie.py add WORD … | find PREFIX")


if __name__ == "__main__":
    main(sys.argv[1:])
