# SPDX-License-Identifier: Apache-2.0
"""Deques, queues and lists of a damaged store come back in order."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from media import PAGE, patch

import spacejmp as sj
from spacejmp.structures.remains import Remains

if TYPE_CHECKING:
    from collections.abc import Iterator

GIB = 1 << 30
CHUNK_KIND, CHUNK_BYTES, SLOTS = 17, 512, 60

ITEMS: dict[str, list[Any]] = {
    "d": [{"n": n} if n % 3 else "x" * (n % 90) + str(n) for n in range(700)],
    "w": list(range(1000, 2500)),
    "q": [f"job {n}" for n in range(400)],
    "few": [b"1", b"", b"3" * 5000],
    "none": [],
}


def fill(store: sj.Store) -> None:
    words = store.deque("w", value="int")
    words.extend([*range(500), *ITEMS["w"]])
    for _ in range(500):
        words.popleft()
    mixed = store.deque("d", maxlen=800)
    mixed.extendleft(reversed(ITEMS["d"][:350]))
    mixed.extend(ITEMS["d"][350:])
    store.queue("q", value="str", maxsize=1000).put_many(ITEMS["q"])
    store.deque("few", value="bytes").extend(ITEMS["few"])
    store.deque("none", value="float")


def items_of(store: sj.Store, name: str) -> list[Any]:
    found = store[name]
    if isinstance(found, sj.Queue):
        return found.get_many(1 << 20, block=False) if found.qsize() else []
    return list(found)


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


def chunks_of(raw: bytes, home: Path, name: str) -> Iterator[int]:
    """Offsets of the chunks of a deque, from the left."""
    with sj.open("genes", "r", home=home) as store:
        base, head = store.base, store[name].address
    (link,) = struct.unpack_from("<Q", raw, head - base + 24)
    while link:
        yield link - base
        (link,) = struct.unpack_from("<Q", raw, link - base + 16)


def test_an_undamaged_store_comes_back_whole(path: Path, home: Path) -> None:
    assert read_all(home) == read_all(home, False) == ITEMS
    report = sj.salvage("genes", "saved", home=home)
    for root in report.roots:
        assert root.recovered == root.expected == len(ITEMS[root.name])
        assert (root.suspect, root.found, root.guessed, root.unreadable) == (0, 0, False, 0)
    assert (report.skipped, report.notes) == ((), ())
    with sj.open("saved", home=home) as store:
        store.check()
        assert (store["d"].maxlen, store["q"].maxsize, store["w"].maxlen) == (800, 1000, None)
        assert {root.kind for root in store.roots.values()} == {"deque", "queue"}
        assert {name: items_of(store, name) for name in store} == ITEMS


@pytest.mark.parametrize("name", ["w", "d", "q"])
def test_a_lost_chunk_costs_its_items_alone(path: Path, home: Path, name: str) -> None:
    raw = path.read_bytes()
    chunks = list(chunks_of(raw, home, name))
    for lost in (0, 1, len(chunks) // 2, len(chunks) - 1):
        patch(path, chunks[lost], bytes(CHUNK_BYTES))
        found = read_all(home)
        path.write_bytes(raw)
        rest = [item for item in ITEMS[name] if item in found[name]]
        assert found[name] == rest  # in order
        assert len(ITEMS[name]) - SLOTS <= len(rest) < len(ITEMS[name])
        for other in ITEMS.keys() - {name}:
            assert found[other] == ITEMS[other]


def test_two_lost_chunks_leave_what_is_between_them(path: Path, home: Path) -> None:
    raw = path.read_bytes()
    chunks = list(chunks_of(raw, home, "w"))
    for first, second in ((3, 6), (0, 5), (7, len(chunks) - 1)):
        for lost in (first, second):
            patch(path, chunks[lost], bytes(CHUNK_BYTES))
        found = read_all(home)["w"]
        path.write_bytes(raw)
        assert found == sorted(found)
        assert len(found) >= len(ITEMS["w"]) - 2 * SLOTS


def test_a_deque_without_a_head_is_found(path: Path, home: Path) -> None:
    with sj.open("genes", "r", home=home) as store:
        at = store["d"].address - store.base
    patch(path, at, bytes(48))
    with Remains("genes", home=home) as remains:
        (root,) = (root for root in remains.roots if root.name == "d")
        assert (root.kind, root.value, root.expected) == ("deque", "any", None)
        found = list(remains.sequence(root))
        sound = list(remains.sequence(root, suspects=False))
    assert [item for item in found if item in ITEMS["d"]] == ITEMS["d"]
    assert len(found) <= len(ITEMS["d"]) + 2 * SLOTS
    assert sound == [item for item in ITEMS["d"] if item in sound]


def test_every_zeroed_page_costs_only_what_lies_in_it(path: Path, home: Path) -> None:
    raw = path.read_bytes()
    for at in range(0, len(raw), PAGE):
        if not any(raw[at : at + PAGE]):
            continue
        patch(path, at, bytes(PAGE))
        found, sound = read_all(home), read_all(home, False)
        path.write_bytes(raw)
        there = [item for items in found.values() for item in items]
        missing = sum(item not in there for items in ITEMS.values() for item in items)
        assert missing <= (PAGE // CHUNK_BYTES + 2) * SLOTS  # some lie in it in part
        for items in sound.values():
            assert all(any(item in all_of for all_of in ITEMS.values()) for item in items)


def test_references_in_a_deque_lead_to_what_they_led_to(home: Path) -> None:
    with sj.open("genes", home=home, reserve=GIB) as store:
        jobs = store.deque("jobs")
        inner = store.new_deque(value="int", maxlen=9)
        inner.extend(range(5))
        jobs.extend([inner, [1, {"of": jobs}], None])
    report = sj.salvage("genes", "saved", home=home)
    assert [root.name for root in report.roots] == ["jobs", "unnamed-1"]
    with sj.open("saved", home=home) as store:
        assert store.keys() == ["jobs"]
        jobs = store["jobs"]
        assert (list(jobs[0]), jobs[0].maxlen) == (list(range(5)), 9)
        assert jobs[1][1]["of"].address == jobs.address
        store.check()
