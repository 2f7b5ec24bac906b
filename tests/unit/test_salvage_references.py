# SPDX-License-Identifier: Apache-2.0
"""What refers to each other in a damaged store refers to each other in the new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from media import patch
from places import read_places

import spacejmp as sj
from spacejmp.structures.remains import Remains

GIB = 1 << 30


@sj.record
class Node:
    number: sj.i64
    next: sj.Ptr[Node]


def fill_with_references(store: sj.Store) -> None:
    people = store.hashmap("people", key="str")
    for name in ("Ada", "Eva"):
        people[name] = store.new_btree(key="int", value="any")
        people[name][1815] = ["born", {"of": people}, name]
    people["Ada"][1843] = (people["Eva"], {"set": store.new_set(key="int")}, None)
    people["Ada"][1843][1]["set"].update({4, 5})
    store.btree("plain", key="int").update({n: str(n) for n in range(100)})


def as_filled(people: Any) -> bool:
    ada, eva = people["Ada"], people["Eva"]
    first, second, third = ada[1843]
    return (
        first is eva
        and set(second["set"]) == {4, 5}
        and third is None
        and ada[1815] == ["born", {"of": people}, "Ada"]
        and eva[1815] == ["born", {"of": people}, "Eva"]
    )


@pytest.fixture
def linked(home: Path) -> Path:
    """The file of a closed store with structures that refer to each other."""
    with sj.open("genes", home=home, reserve=GIB) as store:
        fill_with_references(store)
        assert as_filled(store["people"])
    return Path(store.path)


def test_references_lead_to_what_they_led_to(linked: Path, home: Path) -> None:
    report = sj.salvage("genes", "saved", home=home)
    assert [root.name for root in report.roots if root.unnamed] == [
        "unnamed-1",
        "unnamed-2",
        "unnamed-3",
    ]
    assert all(root.recovered == root.expected for root in report.roots)
    assert not any(root.dangling or root.undecodable or root.guessed for root in report.roots)
    with sj.open("saved", home=home) as store:
        assert store.keys() == ["people", "plain"]
        assert as_filled(store["people"])
        store.check()
        before = len(store["people"])
        store.collect()
        assert as_filled(store["people"])
        assert before == 2


def test_what_had_no_name_gets_one_when_nothing_leads_to_it(linked: Path, home: Path) -> None:
    for name, at in zip(*roots_of(linked, home), strict=True):
        if name == "people":
            patch(linked, at, bytes(2))
    sj.salvage("genes", "saved", home=home)
    with sj.open("saved", home=home) as store:
        named = [name for name in store if name != "plain"]
        assert len(named) == 1  # the rest is led to
        (found,) = (store[name] for name in named)
        people = found if isinstance(found, sj.HashMap) else found[1815][1]["of"]
        store.collect()
        assert as_filled(people)


def roots_of(path: Path, home: Path) -> tuple[list[str], list[int]]:
    places = read_places(path, home)
    return list(places.roots), [first for first, _ in places.roots.values()]


def test_references_to_what_is_lost_are_none_and_counted(linked: Path, home: Path) -> None:
    with sj.open("genes", "r", home=home) as store:
        at = store["people"]["Eva"].address - store.base
    patch(linked, at, bytes(2))
    report = sj.salvage("genes", "saved", home=home)
    assert sum(root.dangling for root in report.roots) == 2
    assert not any(root.undecodable for root in report.roots)
    with sj.open("saved", home=home) as store:
        people = store["people"]
        assert people["Eva"] is None
        first, second, _ = people["Ada"][1843]
        assert first is None
        assert set(second["set"]) == {4, 5}
        store.check()


def test_read_references_are_told(linked: Path, home: Path) -> None:
    with Remains("genes", home=home) as remains:
        root = next(root for root in remains.roots if root.name == "people")
        items = dict(remains.items(root))
        assert {repr(value) for value in items.values()} <= {
            f"<reference to unnamed-{n}>" for n in (1, 2, 3)
        }
        assert remains.dangling(root) == 0


def test_records_are_counted_and_what_refers_to_them_comes_back(home: Path) -> None:
    with sj.open("genes", home=home, reserve=GIB) as store:
        first = store.new(Node, number=1)
        first.next = store.new(Node, number=2)
        store["first"] = first
        store.hashmap("m", key="str").update({"node": first, "list": [1, first, 2], "n": 3})
    report = sj.salvage("genes", "saved", home=home)
    assert report.notes == ("2 records are not salvaged",)
    assert [(root.name, root.recovered, root.dangling) for root in report.roots] == [("m", 3, 2)]
    assert {block.reason for block in report.skipped} == {"a name of what is not salvaged"}
    with sj.open("saved", "r", home=home) as store:
        assert dict(store["m"]) == {"node": None, "list": [1, None, 2], "n": 3}
        store.check()
