# SPDX-License-Identifier: Apache-2.0
"""Clones of segments and of whole VASes: the same at the same addresses, as of one moment."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from homes import files_of

import spacejmp as sj
from spacejmp.arena import ARENA_START, GIB

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACEJMP_HOME", str(home))


def make(*names: str, vas: str = "panel") -> sj.Vas:
    made = sj.vas_create(vas)
    for name in names:
        made.seg_attach(sj.seg_alloc(name, reserve=GIB))
    return made


def names_in(vas: sj.Vas) -> set[str]:
    return {segment.name for segment in vas.segments}


def no_clone(home: Path, before: set[str]) -> None:
    """Nothing of a clone is there; locks and checksums come with being opened."""
    assert {name for name in files_of(home) if "copy" in name or "cloning" in name} == set()
    assert {name for name in files_of(home) if name.startswith(("vas/", "seg/."))} == {
        name for name in before if name.startswith("vas/")
    }


def test_pointers_between_segments_hold_in_the_clone() -> None:
    with_original = make("panel.nodes", "edges").attach()
    with with_original as vh:
        node, edge = vh.malloc("panel.nodes", 8), vh.malloc("edges", 8)
        vh.write(node, edge.to_bytes(8, "little"))
        vh.write(edge, b"original")
        vh.roots["first"] = node
    copy = sj.vas_clone("panel", "copy")
    assert names_in(copy) == {"copy.nodes", "copy.edges"}
    with copy.attach() as vh:
        assert int.from_bytes(vh.read(vh.roots["first"], 8), "little") == edge
        vh.write(edge, b"changed!")
    with with_original as vh:
        assert vh.read(edge, 8) == b"original"
    assert names_in(copy.clone("again")) == {"again.nodes", "again.edges"}


def test_a_clone_has_what_was_set_of_the_original() -> None:
    vas = sj.vas_create("panel", 0o640)
    for window, name in ((0, "first"), (1, "second")):
        segment = sj.seg_alloc(name, ARENA_START, GIB, 0o640)
        segment.ctl("growth_limit", 1 << 20)
        vas.seg_attach(segment, "r", window=window)
    vas.seg_attach(sj.seg_alloc("all", ARENA_START + GIB, GIB))
    vas.ctl("tag", 7)
    vas.ctl("isolation", "strict")
    vas.ctl("address_limit", 2 * GIB)
    with sj.open("second") as store:
        store.btree("t", key="int")[1] = "behind the first one"
    copy = vas.clone("copy")
    before, after = vas.info(), copy.info()
    assert after.uuid == copy.uuid != before.uuid
    assert after[4:9] == before[4:9]
    assert after.mode == 0o640
    assert [(s.base, s.reserved, s.rights, s.window) for s in after.segments] == [
        (s.base, s.reserved, s.rights, s.window) for s in before.segments
    ]
    assert not {s.uuid for s in after.segments} & {s.uuid for s in before.segments}
    second = sj.seg_find("copy.second")
    assert (second.ctl("mode"), second.ctl("growth_limit")) == (0o640, 1 << 20)
    with sj.open("copy.second", "r") as store:
        assert store["t"][1] == "behind the first one"
    assert vas.clone("private-copy", mode=0o600).info().mode == 0o600
    assert sj.seg_ctl("private-copy.first", "mode") == 0o600


def test_nobody_changes_a_segment_while_any_of_them_is_copied() -> None:
    vas = make("one", "two", "three")
    stores = [sj.open(name, timeout=0) for name in ("one", "two", "three")]
    refused: list[bool] = []

    def change() -> None:
        for store in stores:
            try:
                with store.write():
                    refused.append(False)
            except sj.SpaceBusyError:
                refused.append(True)

    def try_it(done: int, total: int) -> None:
        thread = threading.Thread(target=change)
        thread.start()
        thread.join()

    vas.clone("copy", progress=try_it)
    assert len(refused) >= 9
    assert set(refused) == {True}
    change()
    assert refused[-3:] == [False] * 3
    for store in stores:
        store.close()


def test_a_segment_is_cloned_and_a_vas_of_one_too() -> None:
    genes = sj.seg_alloc("genes", reserve=GIB)
    with sj.open("genes") as store:
        store.btree("t", key="int")[1] = "one"
    segment = genes.clone("copy", mode=0o640)
    assert segment == sj.seg_find("copy")
    assert segment.info().base == genes.info().base
    assert segment.ctl("mode") == 0o640
    vas = sj.vas_find("genes").clone("other")
    assert vas.info().of_segment
    assert vas.uuid == sj.seg_find("other").uuid
    with sj.open("other", "r") as store:
        assert store["t"][1] == "one"
    assert sj.seg_clone("copy", "third").name == "third"
    for taken in ("copy", "genes"):
        with pytest.raises(sj.AlreadyExistsError):
            genes.clone(taken)
    sj.vas_create("panel")
    with pytest.raises(sj.AlreadyExistsError):
        vas.clone("panel")
    genes.delete()
    with pytest.raises(sj.NotFoundError):
        genes.clone("fourth")


def test_progress_is_that_of_all_segments_and_its_exception_ends_it(home: Path) -> None:
    vas = make("one", "two")
    told: list[tuple[int, int]] = []
    vas.clone("fine", progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert len({total for _, total in told}) == 1
    total = sum(sj.seg_find(name).info().file_bytes for name in ("one", "two"))
    assert told[-1] == (total, total)
    before = files_of(home)

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vas.clone("copy", progress=stop)
    no_clone(home, before)


def test_names_that_are_taken_or_too_long_are_refused_before_anything_is_made(home: Path) -> None:
    vas = make("panel.x", "y")
    sj.seg_alloc("two.y", reserve=GIB)
    before = files_of(home)
    for taken in ("panel", "y", "two"):
        with pytest.raises(sj.AlreadyExistsError):
            vas.clone(taken)
    with pytest.raises(sj.InvalidNameError):
        vas.clone("copy" * 32)
    with pytest.raises(sj.InvalidNameError):
        vas.clone("no/copy")
    with pytest.raises(sj.InvalidArgumentError, match="mode"):
        vas.clone("copy", mode=0o70)
    no_clone(home, before)
    vas.seg_attach(sj.seg_alloc("x", reserve=GIB))
    with pytest.raises(sj.AlreadyExistsError, match=r"copy\.x"):
        vas.clone("copy")
    no_clone(home, before)


def test_a_thread_inside_of_a_transaction_is_refused(home: Path) -> None:
    vas = make("one", "two")
    before = files_of(home)
    with (
        sj.open("two") as store,
        store.transaction(),
        pytest.raises(sj.InvalidArgumentError, match="transaction"),
    ):
        vas.clone("copy")
    no_clone(home, before)
    assert names_in(vas.clone("copy")) == {"copy.one", "copy.two"}


def test_a_vas_without_segments_is_cloned() -> None:
    vas = sj.vas_create("empty")
    vas.ctl("tag", 3)
    assert vas.clone("copy").info()[6:] == vas.info()[6:]
    vas.delete()
    with pytest.raises(sj.NotFoundError):
        vas.clone("third")
