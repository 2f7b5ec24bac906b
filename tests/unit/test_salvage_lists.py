# SPDX-License-Identifier: Apache-2.0
"""Lists and sorted lists of a damaged store come back in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from media import PAGE, patch

import spacejmp as sj
from spacejmp.structures.remains import Remains

GIB = 1 << 30
INNER_BYTES, SLOTS = 2048, 510

ITEMS: dict[str, list[Any]] = {
    "l": [{"n": n} if n % 3 else "x" * (n % 90) + str(n) for n in range(2000)],
    "w": list(range(10_000, 17_000)),
    "s": sorted(f"key {n * 7919 % 5000}" for n in range(3000)),
    "n": sorted(n * 7919 % 4001 / 2 for n in range(4000)),
    "few": ["1", "", "3" * 5000],
    "none": [],
}


def fill(store: sj.Store) -> None:
    store.list("l").extend(ITEMS["l"][500:])
    store["l"][0:0] = ITEMS["l"][:500]
    store.list("w", value="int").extend(ITEMS["w"])
    store.sortedlist("s", key="str").update(reversed(ITEMS["s"]))
    store.sortedlist("n", key="float").update(ITEMS["n"])
    store.list("few", value="str").extend(ITEMS["few"])
    store.list("none", value="float")


@pytest.fixture
def path(home: Path) -> Path:
    """The file of a closed store."""
    with sj.open("genes", home=home, reserve=GIB) as store:
        fill(store)
    return Path(store.path)


def read_all(home: Path, suspects: bool = True) -> dict[str, list[Any]]:
    with Remains("genes", home=home) as remains:
        return {
            root.name: list(remains.sequence(root, suspects=suspects)) for root in remains.roots
        }


def blocks_of(raw: bytes, kind: int) -> list[int]:
    """Where blocks of a kind are, whoever has them."""
    begin = kind.to_bytes(2, "little")
    return [at for at in range(0, len(raw), 64) if raw[at : at + 2] == begin]


def test_an_undamaged_store_comes_back_whole(path: Path, home: Path) -> None:
    assert read_all(home) == read_all(home, False) == ITEMS
    report = sj.salvage("genes", "saved", home=home)
    for root in report.roots:
        assert root.recovered == root.expected == len(ITEMS[root.name])
        assert (root.suspect, root.found, root.guessed, root.unreadable) == (0, 0, False, 0)
    assert (report.skipped, report.notes) == ((), ())
    with sj.open("saved", "r", home=home) as store:
        store.check()
        assert {name: list(store[name]) for name in store} == ITEMS
        assert {type(store[name]) for name in "lw"} == {sj.List}
        assert {type(store[name]) for name in "sn"} == {sj.SortedList}


def test_a_lost_leaf_costs_its_items_alone(path: Path, home: Path) -> None:
    raw = path.read_bytes()
    for at in blocks_of(raw, 14):
        patch(path, at, bytes(64))
        found = read_all(home)
        path.write_bytes(raw)
        missing = 0
        for name, items in ITEMS.items():
            there = set(map(repr, found[name]))
            assert found[name] == [item for item in items if repr(item) in there]
            missing += len(items) - len(found[name])
        assert missing <= SLOTS


def test_without_an_inner_node_its_leaves_are_found(path: Path, home: Path) -> None:
    raw = path.read_bytes()
    found_leaves = 0
    for at in blocks_of(raw, 15):  # of free ones too
        patch(path, at, bytes(INNER_BYTES))
        found = read_all(home)
        with Remains("genes", home=home) as remains:
            found_leaves += sum(root.found for root in remains.roots)
        path.write_bytes(raw)
        for name, items in ITEMS.items():
            if name in ("l", "w", "few", "none"):
                assert sorted(map(repr, found[name])) == sorted(map(repr, items))
        together = [repr(item) for items in found.values() for item in items]
        assert sorted(together) == sorted(repr(item) for items in ITEMS.values() for item in items)
    assert found_leaves >= sum(map(len, ITEMS.values())) // SLOTS - len(ITEMS)


def test_sorted_lists_are_sorted_whatever_is_lost(path: Path, home: Path) -> None:
    for at in blocks_of(path.read_bytes(), 15):
        patch(path, at, bytes(64))
    sj.salvage("genes", "saved", home=home)
    with sj.open("saved", "r", home=home) as store:
        found = {name: list(store[name]) for name in store}
        store.check()
    assert all(found[name] == sorted(found[name]) for name in "sn")
    assert sum(map(len, found.values())) == sum(map(len, ITEMS.values()))


def test_every_zeroed_page_costs_only_what_lies_in_it(path: Path, home: Path) -> None:
    raw = path.read_bytes()
    everything = {repr(item) for items in ITEMS.values() for item in items}
    for at in range(0, len(raw), PAGE):
        if not any(raw[at : at + PAGE]):
            continue
        patch(path, at, bytes(PAGE))
        found, sound = read_all(home), read_all(home, False)
        path.write_bytes(raw)
        there = {repr(item) for items in found.values() for item in items}
        assert len(everything - there) <= 2 * SLOTS
        assert {repr(item) for items in sound.values() for item in items} <= everything


def test_references_and_pickles_in_a_list(home: Path) -> None:
    with sj.open("genes", home=home, reserve=GIB) as store:
        rows = store.list("rows")
        rows.extend([store.new_list(value="int"), {"of": rows}, store.new_sortedlist(key="str")])
        rows[0].extend(range(5))
        rows[2].update("ba")
        store.list("pickles", value="pickle").append({3 + 4j})
    report = sj.salvage("genes", "saved", home=home)
    assert sum(root.dangling + root.undecodable for root in report.roots) == 0
    with sj.open("saved", home=home) as store:
        assert store.keys() == ["pickles", "rows"]
        rows = store["rows"]
        assert list(rows[0]) == list(range(5))
        assert rows[1]["of"].address == rows.address
        assert list(rows[2]) == ["a", "b"]
        assert list(store["pickles"]) == [{3 + 4j}]
        store.check()
