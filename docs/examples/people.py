# SPDX-License-Identifier: Apache-2.0
"""A list of people that C and Python programs share: people.c does the same, and says what it is.

::

    python people.py add NAME TEXT
    python people.py list
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Iterator


class Person(ctypes.Structure):
    """As in people.c: the addresses are the same in C and in Python."""

    _fields_ = (("next", ctypes.c_uint64), ("note", ctypes.c_uint64), ("name", ctypes.c_char * 48))


def find_people() -> sj.Vas:
    """The space, made if it is missing."""
    try:
        people = sj.vas_create("people")
    except sj.AlreadyExistsError:
        people = sj.vas_find("people")
    for name in ("people.persons", "people.notes"):
        try:
            segment = sj.seg_alloc(name, reserve=1 << 30)
        except sj.AlreadyExistsError:
            segment = sj.seg_find(name)
        people.seg_attach(segment)
    return people


def add(people: sj.VasHandle, name: str, text: str) -> None:
    """Put a person before the first one."""
    raw = text.encode()
    note = people.malloc("people.notes", 8 + len(raw))
    people.write(note, len(raw).to_bytes(8, "little") + raw)
    at = people.malloc("people.persons", ctypes.sizeof(Person))
    first = people.roots.get("people", 0)
    people.write(at, Person(first, note, name.encode()[:47]))
    people.roots["people"] = at


def persons(people: sj.VasHandle) -> Iterator[tuple[str, str]]:
    """Follow the pointers, each checked before it is."""
    at = people.roots.get("people", 0)
    while at:
        person = Person.from_buffer_copy(people.read(at, ctypes.sizeof(Person)))
        size = int.from_bytes(people.read(person.note, 8), "little")
        yield person.name.decode(), people.read(person.note + 8, size).decode()
        at = person.next


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    match arguments:
        case ["add", name, text]:
            people = find_people().attach("rw", timeout=60)
            with people:
                add(people, name, text)
        case ["list"]:
            people = find_people().attach("r", timeout=60)
            with people:
                for name, text in persons(people):
                    print(f"{name}: {text}")
        case _:
            sys.exit("usage: people.py add NAME TEXT | people.py list")
    people.detach()


if __name__ == "__main__":
    main(sys.argv[1:])
