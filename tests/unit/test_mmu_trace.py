# SPDX-License-Identifier: Apache-2.0
"""Traces of what structures touch, and machines that follow a thread's stores."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

import spacejmp as sj
from spacejmp import mmu

MISSING = object()


def use_everything(store: sj.Store, seed: int) -> list[object]:
    """Work on structures of all kinds; what is found."""
    rng = np.random.default_rng(seed)
    found: list[object] = []
    tree = store.btree("tree", key="int", value="int")
    text = store.btree("text", key="str")
    plain = store.hashmap("plain", key="int", value="any")
    words = store.hashmap("words", key="bytes", value="bytes")
    for number in rng.integers(0, 400, 700).tolist():
        tree[number] = number * 2
        text[f"common prefix {number % 60}"] = "x" * (number * 40)
        plain[number] = (number, "y" * (number % 90))
        words[b"%d" % number] = b"z" * number * 20
        found += [tree.get(number - 3), text.get(f"common prefix {number % 70}", 0)]
        found += [plain.pop(number - 5, None), words.get(b"%d" % (number + 1))]
    with store.transaction() as tx:
        tree.clear()
        tx.abort()
    found += [list(tree.items()), list(text.irange("common prefix 3")), sorted(words), len(plain)]
    for mapping in (tree, text, words):
        del mapping[next(iter(mapping))]
    with pytest.raises(KeyError):
        tree[-1]
    found.append(store.check().items)
    return found


def test_results_are_the_same_with_a_trace(home: Path) -> None:
    with sj.open("watched", home=home) as watched, sj.open("plain", home=home) as plain:
        with mmu.trace() as t:
            found = use_everything(watched, 1)
        assert found == use_everything(plain, 1)
        assert t.lost == 0
        records = t.records
        assert len(records) > 10_000
        assert ((records["at"] >= watched.base) & (records["at"] < watched.base + (1 << 30))).all()
        assert records["write"].any()
        with mmu.trace() as again:
            assert len(plain["tree"]) > 0
            assert next(iter(plain["tree"])) is not None
        assert (again.addresses >= plain.base).all()


def test_damage_is_found_with_a_trace(home: Path) -> None:
    with sj.open("store", home=home) as store:
        tree = store.btree("tree", key="int", value="int")
        tree.update((number, number) for number in range(1000))
        segment, base = Path(store.path), store.base
        with mmu.trace() as t:
            tree[500]
        leaf = int(t.addresses[-1]) - base
    data = bytearray(segment.read_bytes())
    data[leaf : leaf + 2] = b"\xff\xff"
    segment.write_bytes(data)
    with sj.open("store", home=home) as store, mmu.trace() as t:
        with pytest.raises(sj.CorruptError):
            store["tree"][500]
        assert int(t.addresses[-1]) - base == leaf


def test_a_get_touches_a_node_for_each_level(home: Path) -> None:
    with sj.open("store", home=home) as store:
        tree = store.btree("tree", key="int", value="int")
        tree.update((number, number) for number in range(20_000))
        mapping = store.hashmap("mapping", key="int", value="int")
        mapping.update((number, number) for number in range(20_000))
        tree[3], mapping[3]
        with mmu.trace() as t:
            tree[12_345]
            nodes = t.records
            t.clear()
            mapping[12_345]
            places = t.records
            t.clear()
            tree[12_345] = 7
            changed = t.records
            t.clear()
            tree[50_000] = 8
            new = t.records
    assert len(nodes) == len(set(nodes["at"].tolist())) == 3
    assert len(set(nodes["kind"].tolist())) == 2
    assert not nodes["write"].any()
    # The directory, its word, the table's head, the bucket's tags and the line of the slot.
    assert len(places) == 5
    assert (places["kind"] != 0).sum() == 2
    written = changed[changed["write"] == 1]["at"].tolist()
    assert len(written) == 1  # a word in its place in the leaf
    assert int(nodes["at"][-1]) <= written[0] < int(nodes["at"][-1]) + 512
    # The leaf's keys and slots, its head, the counts of the nodes above and of the tree; the log.
    assert 2 * 4 <= new["write"].sum() <= 2 * 8
    assert new[new["write"] == 1]["at"].min() < int(nodes["at"].min())


def test_values_are_touched_whole(home: Path) -> None:
    with sj.open("store", home=home) as store:
        mapping = store.hashmap("mapping", key="str", value="bytes")
        mapping["large"] = bytes(100_000)
        with mmu.trace() as t:
            assert len(mapping["large"]) == 100_000
    assert t.records["bytes"].max() > 100_000


def test_a_trace_is_of_one_thread_and_ends(home: Path) -> None:
    with sj.open("store", home=home) as store:
        tree = store.btree("tree", key="int", value="int")
        tree[1] = 1
        seen: list[int] = []

        def other() -> None:
            seen.append(tree[1])
            with mmu.trace() as own:
                seen.append(tree[1])
            seen.append(len(own.records))

        with mmu.trace() as t:
            with pytest.raises(sj.SpaceBusyError, match="already"), mmu.trace():
                pass
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            assert len(t.records) == 0
            tree[1]
            assert len(t.records) == 1
        tree[1]
        assert len(t.records) == 1
        assert seen == [1, 1, 1]
        with mmu.trace(limit=2) as short:
            for _ in range(5):
                tree[1]
        assert (len(short.records), short.lost) == (2, 3)


def test_operations_are_switches_and_accesses(home: Path) -> None:
    with sj.open("a", home=home) as a, sj.open("b", home=home) as b:
        ours, theirs = (store.btree("t", key="int", value="int") for store in (a, b))
        for tree in (ours, theirs):
            tree.update((number, number) for number in range(5000))
        with mmu.model("m3", "dragonfly") as m:
            for _ in range(10):
                ours[17], theirs[17]
            with a.read():
                ours[17]
                with b.read():
                    theirs[17]
                ours[17]
            vases = m.vases
            events = m.events
            assert m.machine.current == (m.process, 0)
        assert events.switched == 10 * 4 + 4
        assert vases["a"].switches.flushing == 10 + 2
        assert vases["b"].switches.flushing == 10 + 1
        assert m.process.switches.flushing == 10 * 2 + 1 + 1
        assert vases["a"].counters.accesses == 12 * 3
        assert vases["b"].counters.accesses == 11 * 3
        assert vases["a"].counters.walks >= 12
        assert vases["a"].counters.faults == 0
        before = vases["a"].counters
        ours[17]
        assert vases["a"].counters == before
        assert vases["a"].tables.shared[:2] == (2, 2)  # one of the segment, one of the kernel


def test_tags_save_the_walks_of_operations(home: Path) -> None:
    with sj.open("store", home=home) as store:
        tree = store.btree("t", key="int", value="int")
        tree.update((number, number) for number in range(5000))
        walks = []
        for tagged in (False, True):
            with mmu.model("m3", tagged=tagged) as m:
                tree[1], tree[2]
                m.reset()
                for number in range(200):
                    tree[number % 2]
            walks.append(m.vases["store"].counters.walks)
        assert walks[1] == 0
        assert walks[0] >= 200


def test_growth_attaching_and_detaching_are_followed(home: Path) -> None:
    with sj.open("first", home=home) as first, mmu.model() as m:
        before = m.vases["first"].tables.shared[0]
        mapping = first.hashmap("m", key="int", value="bytes")
        for number in range(300):
            mapping[number] = bytes(20_000)
        assert m.events.grown > 0
        assert m.vases["first"].counters.faults == 0
        assert m.vases["first"].tables.shared[0] > before
        with sj.open("second", home=home) as second:
            second.btree("t")["k"] = 1
            assert m.events.attached == 1
            assert m.vases["second"].counters.faults == 0
            assert m.vases["second"].tables.shared[2] + m.vases["second"].tables.shared[1] > 0
        assert m.events.detached == 1
        assert m.vases["second"].tables.own == (0, 0, 0, 1, 0)
        assert m.process.counters.faults == 0


def test_stores_that_overlap_move_in_the_process(home: Path) -> None:
    base = 0x4444_0000_0000
    with (
        sj.open("a", home=home, base=base, reserve=1 << 30) as a,
        mmu.model("m3", tagged=True) as m,
        sj.open("b", home=home, base=base, reserve=1 << 30) as b,
    ):
        trees = [store.btree("t", key="int", value="int") for store in (a, b)]
        for tree in trees:
            tree.update((number, number) for number in range(2000))
        before = m.events.parked
        for number in range(20):
            assert [tree[number] for tree in trees] == [number, number]
        assert m.events.parked - before >= 2 * 39  # one aside and one home, each time
        for vas in (*m.vases.values(), m.process):
            assert vas.counters.faults == 0
        assert m.process.tables.shared[0] == 1 + sum(
            vas.tables.shared[0] - 1 for vas in m.vases.values()
        )


def test_a_model_begins_and_ends_outside_of_holds(home: Path) -> None:
    with sj.open("store", home=home) as store:
        tree = store.btree("t", key="int", value="int")
        with store.read():
            with pytest.raises(sj.SpaceBusyError, match="inside of a space"), mmu.model():
                pass
        model = mmu.model()
        with model:
            assert tree.get(1) is None
            with store.read(), pytest.raises(sj.SpaceBusyError, match="inside of a space"):
                model.__exit__(None, None, None)
            with pytest.raises(sj.SpaceBusyError):
                model.__enter__()
        with pytest.raises(sj.SpaceBusyError, match="another one"):
            model.__enter__()
        tree[1] = 2
        assert tree[1] == 2


def test_a_machine_that_is_driven_belongs_to_its_thread(home: Path) -> None:
    refused: list[BaseException] = []

    def look(machine: mmu.Machine) -> None:
        try:
            machine.vas()
        except sj.SpaceBusyError as error:
            refused.append(error)

    with mmu.model() as m:
        thread = threading.Thread(target=look, args=(m.machine,))
        thread.start()
        thread.join()
    assert len(refused) == 1
    m.machine.vas()


def test_the_child_of_a_fork_has_no_model(home: Path) -> None:
    with sj.open("store", home=home) as store:
        tree = store.btree("t", key="int", value="int")
        tree[1] = 2
        child = 0
        with mmu.model() as m, mmu_trace_in_thread():
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    status = 0 if tree[1] == 2 and m.vases["store"].counters.accesses == 0 else 2
                finally:
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert tree[1] == 2
            assert m.vases["store"].counters.accesses > 0


class mmu_trace_in_thread:  # noqa: N801
    """Nothing; where a trace of the same thread would be refused."""

    def __enter__(self) -> None:
        with pytest.raises(sj.SpaceBusyError), mmu.trace():
            pass

    def __exit__(self, *details: object) -> None:
        pass
