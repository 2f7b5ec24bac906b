# SPDX-License-Identifier: Apache-2.0
"""What an attached VAS takes up, and properties that are set in all of its segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import spacejmp as sj
from spacejmp.arena import ARENA_START, GIB
from spacejmp.vas_stats import table_bytes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACEJMP_HOME", str(home))


def test_bytes_are_those_of_the_stores() -> None:
    vas = sj.vas_create("panel")
    vas.seg_attach(sj.seg_alloc("reads", reserve=GIB), "r")
    vas.seg_attach(sj.seg_alloc("index", reserve=GIB), "rw")
    with sj.open("index") as store:
        store.btree("t", key="int", value="int").update((n, n) for n in range(50_000))
        expected = store.stats()
    figures = {each.name: each for each in vas.stats()}
    index = figures["index"]
    assert index[3:6] == (expected.file_bytes, expected.live_bytes, expected.free_bytes)
    assert index.live_bytes > 50_000 * 16 > figures["reads"].live_bytes
    assert (figures["reads"].rights, index.rights, index.page_size) == ("r", "r", 4096)
    assert {each.name: each.rights for each in vas.attach().stats()} == {
        "reads": "r",
        "index": "rw",
    }
    assert sj.vas_find("index").stats()[0][3:] == index[3:]


def test_the_one_whose_addresses_are_taken_is_parked() -> None:
    vas = sj.vas_create("panel")
    for window, name in enumerate(("first", "second")):
        vas.seg_attach(sj.seg_alloc(name, ARENA_START, GIB), window=window)
    vh = vas.attach()
    for window in (0, 1, 0):
        with vh.inside(window):
            parked = {each.window for each in vh.stats() if each.parked}
        assert parked == {1 - window}
    vh.detach()


@pytest.mark.parametrize("page_size", [4096, 2 << 20])
@pytest.mark.parametrize(
    "size", [2 << 20, (2 << 20) * 3, GIB - (2 << 20), GIB, GIB + (2 << 20), 3 * GIB]
)
def test_page_tables_are_those_of_the_model(size: int, page_size: int) -> None:
    vas = sj.mmu.Machine("m3").vas()
    root_and_third_level = vas.tables.bytes + 4096
    vas.map(ARENA_START, size, page_size)
    assert table_bytes(size, page_size) == vas.tables.bytes - root_and_third_level


def test_what_is_set_of_a_vas_is_set_of_its_segments() -> None:
    vas = sj.vas_create("panel")
    segments = [sj.seg_alloc(name, reserve=GIB) for name in ("one", "two")]
    assert vas.ctl("prefault") is None
    for segment in segments:
        vas.seg_attach(segment)
    assert (vas.ctl("prefault"), vas.ctl("page_size")) == (False, 4096)
    vas.ctl("prefault", True)
    assert [segment.ctl("prefault") for segment in segments] == [True, True]
    segments[1].ctl("prefault", False)
    assert vas.ctl("prefault") is None
    with pytest.raises(sj.InvalidArgumentError):
        vas.ctl("page_size", 12345)
    assert vas.ctl("page_size") == 4096
    with pytest.raises(sj.InvalidArgumentError, match="'prefault'"):
        vas.ctl("lockable", True)  # type: ignore[call-overload]
