# SPDX-License-Identifier: Apache-2.0
"""The catalog makes, finds and removes stores, each at a place of its own."""

from __future__ import annotations

import itertools
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from homes import expected_files, files_of

from spacejmp._space import segment_create, segment_inspect
from spacejmp.arena import ARENA_END, ARENA_START, DEFAULT_RESERVED, GIB
from spacejmp.catalog import Catalog
from spacejmp.home import default_home
from spacejmp.persistence.errors import (
    AlreadyExistsError,
    CorruptError,
    InvalidArgumentError,
    InvalidNameError,
    NotFoundError,
    SpaceFullError,
    StorePermissionError,
)
from spacejmp.records import SegmentRecord, VasRecord
from spacejmp.vas import vas_create


@pytest.fixture
def catalog(home: Path) -> Catalog:
    return Catalog(home, timeout=5.0)


# Where the home is.


def test_home_is_the_argument_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/users/ann")
    monkeypatch.setenv("SPACEJMP_HOME", "~/spaces")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert Catalog("/elsewhere").home == "/elsewhere"
    assert Catalog(Path("~/mine")).home == "/users/ann/mine"
    assert Catalog().home == default_home() == "/users/ann/spaces"
    monkeypatch.setenv("SPACEJMP_HOME", "")
    assert default_home() == "/data/spacejmp"
    for data in ("", "relative/path"):
        monkeypatch.setenv("XDG_DATA_HOME", data)
        assert default_home() == "/users/ann/.local/share/spacejmp"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_home() == "/users/ann/.local/share/spacejmp"


def test_relative_homes_do_not_follow_the_working_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    catalog = Catalog("here")
    monkeypatch.chdir("/")
    assert catalog.home == str(home / "here")


@pytest.mark.parametrize("bad", ["", "a\0b", "~no-such-user-at-all/x"])
def test_homes_that_cannot_be_are_refused(bad: str) -> None:
    with pytest.raises(InvalidArgumentError, match="home: expected"):
        Catalog(bad)


def test_looking_makes_nothing(home: Path) -> None:
    catalog = Catalog(home / "new")
    assert catalog.names() == []
    assert catalog.rebuild() == ((), ())
    for action in (catalog.lookup, catalog.remove):
        with pytest.raises(NotFoundError, match="no store 'genes'"):
            action("genes")
    assert not (home / "new").exists()


def test_home_and_files_are_private(home: Path) -> None:
    catalog = Catalog(home / "deep" / "new")
    catalog.create("genes")
    for path in [*(home / "deep").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_home_that_a_group_shares_stays_shared(home: Path) -> None:
    home.chmod(0o770)
    old = os.umask(0)
    try:
        Catalog(home).create("genes", mode=0o660)
    finally:
        os.umask(old)
    for path in home.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o770 if path.is_dir() else 0o660), path


def test_directories_that_all_can_write_are_refused(catalog: Catalog, home: Path) -> None:
    catalog.create("genes")
    (home / "seg").chmod(0o777)
    with pytest.raises(StorePermissionError, match="chmod o-w"):
        catalog.create("other")


# Create, look up, remove.


def test_created_is_found_with_the_header_of_its_segment(catalog: Catalog, home: Path) -> None:
    record = catalog.create("genes")
    info = segment_inspect(home / "seg" / "genes.seg")
    assert record == VasRecord(
        "genes",
        info.uuid,
        info.created_ns,
        (SegmentRecord("genes", info.uuid, "seg/genes.seg", info.base, DEFAULT_RESERVED),),
    )
    assert catalog.lookup("genes") == record
    assert catalog.segment_path(record.segment) == str(home / "seg" / "genes.seg")
    assert catalog.lock_path(record.segment) == str(home / "lock" / f"{info.uuid.hex()}.lock")
    assert files_of(home) == expected_files("genes")


def test_works_on_an_ordinary_filesystem(disk_home: Path) -> None:
    catalog = Catalog(disk_home)
    record = catalog.create("genes")
    assert catalog.lookup("genes") == record
    catalog.remove("genes")
    assert files_of(disk_home) == expected_files()


def test_names_are_sorted_and_other_files_are_left_alone(catalog: Catalog, home: Path) -> None:
    for name in ("b", "a", "c.seg"):
        catalog.create(name)
    for stray in ("notes.txt", ".hidden.seg", "bad name.seg", "-x.seg", ".seg", "é.seg"):
        (home / "seg" / stray).write_bytes(b"")
    (home / "seg" / "directory.seg").mkdir()
    assert catalog.names() == ["a", "b", "c.seg"]
    assert len(catalog.rebuild().records) == 3
    assert (home / "seg" / "notes.txt").exists()


def test_a_name_is_taken_once(catalog: Catalog) -> None:
    record = catalog.create("genes")
    with pytest.raises(AlreadyExistsError, match="'genes'"):
        catalog.create("genes")
    assert catalog.lookup("genes") == record


def test_removed_is_gone_with_its_lock_file(catalog: Catalog, home: Path) -> None:
    kept = catalog.create("kept")
    record = catalog.create("genes")
    for each in (kept, record):
        Path(catalog.lock_path(each.segment)).touch()
    catalog.remove("genes")
    with pytest.raises(NotFoundError):
        catalog.lookup("genes")
    with pytest.raises(NotFoundError):
        catalog.remove("genes")
    assert files_of(home) == expected_files("kept") | {f"lock/{kept.uuid.hex()}.lock"}


def test_a_name_can_be_used_again(catalog: Catalog) -> None:
    first = catalog.create("genes")
    catalog.remove("genes")
    second = catalog.create("genes")
    assert first.uuid != second.uuid
    assert catalog.lookup("genes") == second


def test_not_found_lists_names_that_resemble_it(catalog: Catalog) -> None:
    with pytest.raises(NotFoundError, match="there is none; check the home"):
        catalog.lookup("gens")
    catalog.create("only")
    with pytest.raises(NotFoundError, match="there is only 'only'; check the name"):
        catalog.lookup("gens")
    catalog.remove("only")
    for name in ("genes", "gene-sets", "reads"):
        catalog.create(name)
    with pytest.raises(NotFoundError, match="did you mean 'genes'"):
        catalog.lookup("gens")
    with pytest.raises(NotFoundError, match="there are 3, none with a name like it"):
        catalog.lookup("xyzzy")
    with pytest.raises(KeyError):
        catalog.lookup("xyzzy")


def test_a_vas_is_no_store_and_how_to_use_or_remove_it_is_said(catalog: Catalog) -> None:
    """`remove` said how to attach it."""
    vas_create("graph", home=catalog.home)
    with pytest.raises(NotFoundError, match=r"attach it with vas_attach\('graph'\)"):
        catalog.lookup("graph")
    with pytest.raises(NotFoundError, match=r"remove it with vas_delete\('graph'\)"):
        catalog.remove("graph")


@pytest.mark.parametrize("name", ["", "../genes", "a/b", ".x", "-x", "é", "a" * 129, "a\0"])
def test_names_are_checked_before_any_file_is_touched(home: Path, name: str) -> None:
    catalog = Catalog(home / "new")
    for action in (catalog.create, catalog.lookup, catalog.remove):
        with pytest.raises(InvalidNameError):
            action(name)
    assert not (home / "new").exists()


def test_longest_name(catalog: Catalog, home: Path) -> None:
    name = "a" * 128
    assert catalog.create(name) == catalog.lookup(name)
    catalog.remove(name)
    assert files_of(home) == expected_files()


def test_a_catalog_can_be_pickled(catalog: Catalog) -> None:
    again = pickle.loads(pickle.dumps(catalog))
    assert (again.home, again.timeout) == (catalog.home, catalog.timeout)
    assert repr(again) == f"Catalog({catalog.home!r})"


def test_segments_made_without_the_catalog_are_found(catalog: Catalog, home: Path) -> None:
    catalog.create("other")
    segment_create(home / "seg" / "genes.seg", "genes", ARENA_START, GIB, 0o600)
    record = catalog.lookup("genes")
    assert record.segment.reserved == GIB
    assert files_of(home) == expected_files("genes", "other")


# Places in the arena.


def test_segments_do_not_overlap(catalog: Catalog) -> None:
    extents = sorted(
        (r.segment.base, r.segment.base + r.segment.reserved)
        for r in (catalog.create(f"s{i}", reserved=(i % 3 + 1) * 7 * GIB) for i in range(20))
    )
    for base, end in extents:
        assert base % GIB == 0
        assert ARENA_START <= base < end <= ARENA_END
    for (_, end), (base, _) in itertools.pairwise(extents):
        assert end <= base


def test_homes_choose_different_places_but_a_home_chooses_again_the_same(home: Path) -> None:
    catalogs = [Catalog(home / str(number)) for number in range(8)]
    bases = [catalog.create("genes").segment.base for catalog in catalogs]
    assert len(set(bases)) > 4
    catalogs[0].remove("genes")
    assert catalogs[0].create("genes").segment.base == bases[0]


def test_a_given_base_may_overlap(catalog: Catalog) -> None:
    first = catalog.create("v1", base=ARENA_START + GIB, reserved=4 * GIB)
    second = catalog.create("v2", base=first.segment.base, reserved=4 * GIB)
    assert first.segment.base == second.segment.base == ARENA_START + GIB
    assert catalog.lookup("v1") == first


def test_a_chosen_base_overlaps_no_damaged_segment(catalog: Catalog, home: Path) -> None:
    half = (ARENA_END - ARENA_START) // 2
    catalog.create("whole", base=ARENA_START, reserved=half)
    catalog.create("damaged", base=ARENA_START + half, reserved=half - GIB)
    with (home / "seg" / "damaged.seg").open("r+b") as file:
        file.seek(200)
        file.write(b"damage")
    with pytest.raises(CorruptError):
        catalog.lookup("damaged")
    assert catalog.create("last", reserved=GIB).segment.base == ARENA_END - GIB
    with pytest.raises(SpaceFullError, match="found no such gap"):
        catalog.create("more", reserved=GIB)
    assert catalog.names() == ["damaged", "last", "whole"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": 0},
        {"base": ARENA_START + 1},
        {"base": ARENA_END - GIB},
        {"reserved": 0},
        {"reserved": GIB + 1},
        {"reserved": 2 * (ARENA_END - ARENA_START)},
        {"mode": 0o400},
        {"mode": 0o4600},
        {"mode": -1},
        {"mode": 0o1600},
        {"durability": "forever"},
    ],
)
def test_arguments_are_checked_before_any_file_is_touched(
    home: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{next(iter(wrong))}: expected"):
        Catalog(home / "new").create("genes", **wrong)
    assert not (home / "new").exists()


def test_durability_that_is_not_to_be_had_leaves_nothing(catalog: Catalog, home: Path) -> None:
    with pytest.raises(InvalidArgumentError):
        catalog.create("genes", durability="power")
    assert files_of(home) == expected_files()


# The import.


def test_import_is_cheap() -> None:
    code = (
        "import sys; before = set(sys.modules); import spacejmp.catalog, spacejmp.names; "
        "print(*sorted(set(sys.modules) - before))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"numpy", "rich", "typer", "sortedcontainers", "hashlib", "difflib", "uuid",
             "tempfile", "shutil", "subprocess", "dataclasses", "inspect", "asyncio"}  # fmt: skip
    assert "spacejmp.catalog" in output
    assert not heavy & set(output)
