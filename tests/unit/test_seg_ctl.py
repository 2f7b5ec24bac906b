# SPDX-License-Identifier: Apache-2.0
"""What is set of a segment: kept in it, for every process."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

import spacejmp as sj
from spacejmp.arena import ARENA_START, GIB

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACEJMP_HOME", str(home))


@pytest.fixture
def segment() -> sj.Segment:
    return sj.seg_alloc("genes", ARENA_START, GIB)


def huge_bytes() -> int:
    """How much of the segment this process has mapped by huge pages."""
    found = 0
    here = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            here = words[0].startswith(f"{ARENA_START:x}-")
        elif here and words[0] == "ShmemPmdMapped:":
            found += int(words[1]) * 1024
    return found


def fill(mib: int) -> None:
    with sj.open("genes") as store:
        tree = store.btree("t", key="int", value="bytes")
        for number in range(mib):
            tree[number] = bytes(MIB - 4096)


def test_what_is_set_at_first(segment: sj.Segment) -> None:
    assert segment.ctl("mode") == 0o600
    assert segment.ctl("owner") == (os.getuid(), os.getgid())
    assert segment.ctl("lockable") is True
    assert segment.ctl("prefault") is False
    assert segment.ctl("growth_limit") == 0
    assert segment.ctl("page_size") == 4096
    assert segment.ctl("durability") == "process"


@pytest.mark.parametrize(
    ("command", "value"),
    [
        ("mode", 0o660),
        ("lockable", False),
        ("prefault", True),
        ("growth_limit", 8 * MIB),
        ("growth_limit", GIB),
    ],
)
def test_properties_are_changed_and_kept(command: Any, value: Any, segment: sj.Segment) -> None:
    assert sj.seg_ctl("genes", command, value) is None
    assert sj.seg_ctl(segment, command) == value
    with sj.open("genes") as store:
        assert sj.seg_ctl(segment, command) == value
        store.check()


@pytest.mark.parametrize(
    ("command", "value"),
    [
        ("mode", 0o400),
        ("lockable", 2),
        ("prefault", -1),
        ("growth_limit", 4097),
        ("growth_limit", 2 * GIB),
        ("page_size", 8192),
        ("durability", "power"),
        ("colour", 1),
    ],
)
def test_what_is_out_of_range_changes_nothing(command: Any, value: Any, home: Path) -> None:
    segment = sj.seg_alloc("genes", reserve=GIB)
    before = (home / "seg" / "genes.seg").read_bytes()
    with pytest.raises(sj.InvalidArgumentError):
        segment.ctl(command, value)
    assert (home / "seg" / "genes.seg").read_bytes()[8192:] == before[8192:]


def test_a_file_grows_to_its_limit_and_no_further(segment: sj.Segment, home: Path) -> None:
    segment.ctl("growth_limit", 4 * MIB)
    with pytest.raises(sj.SpaceFullError, match="growth limit is 4194304"):
        fill(8)
    assert (home / "seg" / "genes.seg").stat().st_size <= 4 * MIB
    with sj.open("genes") as store:
        kept = len(store["t"])
        assert 2 <= kept < 4
        store.check()
        segment.ctl("growth_limit", 0)
        store["t"][100] = bytes(4 * MIB)
        assert len(store["t"]) == kept + 1


def test_a_limit_below_what_there_is_stops_growth(segment: sj.Segment) -> None:
    fill(2)
    segment.ctl("growth_limit", 4096)
    with sj.open("genes") as store:
        with pytest.raises(sj.SpaceFullError):
            store["t"][100] = bytes(8 * MIB)
        store["t"][0] = b"small"
        store.check()


def test_the_mode_is_that_of_all_its_files(segment: sj.Segment, home: Path) -> None:
    fill(1)
    segment.ctl("mode", 0o640)
    modes = {
        path.name.removeprefix("genes"): stat.S_IMODE(path.stat().st_mode)
        for path in home.rglob("*")
        if path.is_file() and path.name != "catalog.lock"
    }
    assert modes == {".seg": 0o640, ".seg.sum": 0o640, f"{segment.uuid.hex()}.lock": 0o660}


def test_huge_pages_are_mapped(segment: sj.Segment) -> None:
    fill(8)
    try:
        segment.ctl("page_size", "huge")
    except sj.UnsupportedError:
        pytest.skip("this kernel makes no huge pages of tmpfs files")
    assert segment.ctl("page_size") == 2 * MIB
    with sj.open("genes", "r") as store:
        assert len(store["t"][0]) == MIB - 4096
        assert huge_bytes() >= 4 * MIB
    segment.ctl("page_size", 4096)
    assert segment.ctl("page_size") == 4096


def test_huge_pages_are_not_to_be_had_on_a_disk(disk_home: Path) -> None:
    segment = sj.seg_alloc("genes", reserve=GIB, home=disk_home)
    with pytest.raises(sj.UnsupportedError, match="tmpfs"):
        segment.ctl("page_size", "huge")
    assert segment.ctl("page_size") == 4096


def test_a_switch_takes_no_lock_of_a_segment_that_is_not_lockable(segment: sj.Segment) -> None:
    vas = sj.vas_create("panel")
    vas.seg_attach(segment)
    segment.ctl("lockable", False)
    with vas.attach("rw") as handle:
        assert [member.lockable for member in handle.segments] == [False]


def test_a_thread_that_reads_it_cannot_set_it(segment: sj.Segment) -> None:
    with sj.open("genes") as store, store.read(), pytest.raises(sj.HoldUpgradeError):
        segment.ctl("prefault", True)
    assert segment.ctl("prefault") is False
