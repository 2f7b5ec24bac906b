# SPDX-License-Identifier: Apache-2.0
"""Structures in structures: references, names, and the collector."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(home: Path) -> Iterator[sj.Store]:
    with sj.open("s", home=home) as opened:
        yield opened


def test_a_stored_structure_is_read_as_the_live_object(store: sj.Store) -> None:
    people = store.hashmap("people", key="str")
    ada = store.new_btree(key="int", value="str")
    people["Ada"] = ada
    people["both"] = [ada, {"again": (ada, {1})}]
    ada[1815] = "born"
    assert people["Ada"] is ada
    assert people["both"][1]["again"][0][1815] == "born"
    assert store.check().leaked_blocks == 0


def test_it_is_there_in_the_next_process(home: Path) -> None:
    with sj.open("s", home=home) as store:
        rows = store.btree("rows", key="str")
        rows["inner"] = store.new_hashmap(key="str")
        rows["inner"]["deeper"] = store.new_btree(key="int")
        rows["inner"]["deeper"][1] = "one"
    program = (
        "import sys, spacejmp as sj\n"
        "with sj.open('s', home=sys.argv[1]) as store:\n"
        "    inner = store['rows']['inner']\n"
        "    inner['deeper'][2] = 'two'\n"
    )
    subprocess.run([sys.executable, "-c", program, str(home)], check=True)
    with sj.open("s", "r", home=home) as store:
        assert dict(store["rows"]["inner"]["deeper"]) == {1: "one", 2: "two"}
        assert store.check().structures == 3


def test_what_nothing_leads_to_is_collected_and_cycles_too(store: sj.Store) -> None:
    rows = store.hashmap("rows")
    before = store.collect().bytes
    one, two = store.new_hashmap(), store.new_btree()
    one["two"], two["one"] = two, one
    rows["one"] = one
    one["filling"] = "x" * 5000
    del one, two
    assert store.collect().freed_blocks == 0
    assert rows["one"]["two"]["one"]["filling"] == "x" * 5000
    del rows["one"]
    report = store.collect()
    assert report.freed_blocks > 0
    assert report.bytes == before
    assert store.check().leaked_blocks == 0


def test_an_object_in_use_keeps_what_it_stands_for(store: sj.Store) -> None:
    kept = store.new_btree(key="int", value="int")
    kept[1] = 1
    assert store.collect().freed_blocks == 0
    assert kept[1] == 1


def test_what_another_process_has_freed_is_no_longer_there(home: Path) -> None:
    with sj.open("s", home=home) as store:
        inner = store.new_btree(key="int", value="int")
        program = "import sys, spacejmp as sj; sj.open('s', home=sys.argv[1]).collect()"
        subprocess.run([sys.executable, "-c", program, str(home)], check=True)
        again = [store.new_btree(key="int", value="int") for _ in range(3)]  # at its address
        assert len(again) == 3
        with pytest.raises(sj.NotFoundError, match="no longer there"):
            inner[1]
        with pytest.raises(sj.NotFoundError):
            store.hashmap("m")["x"] = inner


def test_a_rolled_back_structure_is_not_there(store: sj.Store) -> None:
    with store.transaction() as tx:
        made = store.new_hashmap()
        made["x"] = 1
        tx.abort()
    with pytest.raises(sj.NotFoundError):
        made["x"]


def test_a_structure_gets_a_name_and_a_second_one(store: sj.Store) -> None:
    made = store.new_hashmap(key="str")
    made["x"] = 1
    store["first"] = made
    store["second"] = made
    assert store["second"]["x"] == 1
    store.drop("first")
    store["second"]["x"] = 2
    assert made["x"] == 2
    assert store.check().structures == 1
    with pytest.raises(sj.AlreadyExistsError):
        store["second"] = made


def test_drop_frees_no_structure_that_is_referred_to(store: sj.Store) -> None:
    named, holder = store.btree("named", key="int"), store.hashmap("holder")
    named[1] = "one"
    holder["x"] = named
    del named
    store.drop("named")
    assert store.collect().freed_blocks == 0
    assert holder["x"][1] == "one"


def test_only_structures_get_names_and_only_in_their_store(home: Path, store: sj.Store) -> None:
    with pytest.raises(TypeError, match="expected a structure"):
        store["x"] = {"a": 1}
    with sj.open("other", home=home) as other:
        with pytest.raises(ValueError, match="another store"):
            other["x"] = store.new_hashmap()
        with pytest.raises(ValueError, match="lies in store 's'"):
            other.hashmap("h")["x"] = store.new_hashmap()
        with pytest.raises(ValueError, match="lies in store 's'"):
            other.hashmap("h").setdefault("x", store.new_hashmap())


def test_a_key_cannot_be_a_structure(store: sj.Store) -> None:
    with pytest.raises(TypeError):
        store.hashmap("h")[store.new_hashmap()] = 1


def test_a_structure_without_a_name_is_pickled_by_its_place(store: sj.Store) -> None:
    made = store.new_btree(key="int", value="int")
    made[1] = 2
    arrived = pickle.loads(pickle.dumps(made))
    with arrived.store:
        assert arrived[1] == 2
        assert arrived.address == made.address


def test_collect_is_not_for_a_transaction(store: sj.Store) -> None:
    with store.transaction(), pytest.raises(sj.InvalidArgumentError):
        store.collect()


def test_an_interrupted_collection_frees_nothing(store: sj.Store) -> None:
    rows = store.hashmap("rows")
    rows["x"] = store.new_hashmap()
    rows["x"].update((i, "y" * 4000) for i in range(3000))
    del rows["x"]

    def stop(done: int, total: int) -> None:
        assert 0 < done <= total
        raise KeyboardInterrupt

    store.btree("filling").update((i, "z" * 4000) for i in range(3000))
    with pytest.raises(KeyboardInterrupt):
        store.collect(progress=stop)
    assert store.collect().freed_bytes > 3000 * 4000


def test_usage_says_what_each_structure_takes_up(store: sj.Store) -> None:
    words, numbers = store.hashmap("words", key="str", value="str"), store.btree("n", key="int")
    words.update((str(i), "x" * 100) for i in range(500))
    numbers.update((i, i) for i in range(100))
    usage = store.usage()
    stats = store.stats()
    assert {name: each[:2] for name, each in usage.items()} == {
        "words": ("hashmap", 500),
        "n": ("btree", 100),
    }
    assert usage["words"].bytes > 500 * 100 > usage["n"].bytes > 0
    roots = stats.live_blocks - sum(each.blocks for each in usage.values())
    assert roots == 2
    assert 0 < sum(each.bytes for each in usage.values()) <= stats.live_bytes
    words.clear()
    assert store.stats().fragmentation > stats.fragmentation
