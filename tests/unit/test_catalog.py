# SPDX-License-Identifier: Apache-2.0
"""The catalog finds what was created, notices what was tampered with, and fails whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import pickle
import resource
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import pytest

from spacejmp._space import segment_create, segment_inspect
from spacejmp.arena import ARENA_END, ARENA_START, DEFAULT_RESERVED, GIB
from spacejmp.catalog import Catalog
from spacejmp.home import default_home
from spacejmp.persistence.errors import (
    AlreadyExistsError,
    CorruptError,
    FormatError,
    IdentityError,
    InvalidArgumentError,
    InvalidNameError,
    NotFoundError,
    SpaceBusyError,
    SpaceFullError,
    SpaceJmpError,
    StoreIOError,
    StorePermissionError,
    VersionError,
)
from spacejmp.records import SegmentRecord, VasRecord, decode_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def catalog(home: Path) -> Catalog:
    return Catalog(home, timeout=5.0)


def files_of(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir()}


def expected_files(*names: str) -> set[str]:
    parts = {f"seg/{name}.seg" for name in names} | {f"vas/{name}.vas" for name in names}
    return parts | {"lock/catalog.lock"}


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
    data = (home / "vas" / "genes.vas").read_bytes()
    assert decode_record(data, "genes", "") == record
    assert files_of(home) == expected_files("genes")


def test_works_on_an_ordinary_filesystem(disk_home: Path) -> None:
    catalog = Catalog(disk_home)
    record = catalog.create("genes")
    assert catalog.lookup("genes") == record
    catalog.remove("genes")
    assert files_of(disk_home) == {"lock/catalog.lock"}


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
    for name in ("genes", "gene-sets", "reads"):
        catalog.create(name)
    with pytest.raises(NotFoundError, match="did you mean 'genes'"):
        catalog.lookup("gens")
    with pytest.raises(NotFoundError, match="found 3 others, none alike"):
        catalog.lookup("xyzzy")
    with pytest.raises(KeyError):
        catalog.lookup("xyzzy")


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
    assert files_of(home) == {"lock/catalog.lock"}


def test_a_catalog_can_be_pickled(catalog: Catalog) -> None:
    again = pickle.loads(pickle.dumps(catalog))
    assert (again.home, again.timeout) == (catalog.home, catalog.timeout)
    assert repr(again) == f"Catalog({catalog.home!r})"


# Places in the arena.


def test_segments_do_not_overlap(catalog: Catalog) -> None:
    extents = sorted(
        (r.segment.base, r.segment.base + r.segment.reserved)
        for r in (catalog.create(f"s{i}", reserved=(i % 3 + 1) * 7 * GIB) for i in range(20))
    )
    for base, end in extents:
        assert base % GIB == 0 and ARENA_START <= base < end <= ARENA_END
    for (_, end), (base, _) in zip(extents, extents[1:], strict=False):
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
    catalog.create("header", base=ARENA_START, reserved=half)
    catalog.create("record", base=ARENA_START + half, reserved=half - GIB)
    (home / "vas" / "header.vas").write_bytes(b"damaged")
    with (home / "seg" / "record.seg").open("r+b") as file:
        file.write(bytes(8192))
    assert catalog.create("last", reserved=GIB).segment.base == ARENA_END - GIB
    with pytest.raises(SpaceFullError, match="found no such gap"):
        catalog.create("more", reserved=GIB)
    assert catalog.names() == ["header", "last", "record"]


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
        {"mode": "rw"},
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
    assert files_of(home) == {"lock/catalog.lock"}


# Records that are lost, damaged or from another time.


def damaged_records() -> Iterator[bytes]:
    yield b""
    yield b"\xff" * 40
    yield msgpack.packb([1, 2, 3])
    yield msgpack.packb({"format": 1, "name": "genes"})


@pytest.mark.parametrize("data", [None, *damaged_records()])
def test_a_lost_or_damaged_record_is_rebuilt_as_it_was(
    catalog: Catalog, home: Path, data: bytes | None
) -> None:
    record = catalog.create("genes")
    path = home / "vas" / "genes.vas"
    before = path.read_bytes()
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    assert catalog.lookup("genes") == record
    assert path.read_bytes() == before
    assert files_of(home) == expected_files("genes")


def test_a_record_of_another_name_is_rebuilt(catalog: Catalog, home: Path) -> None:
    record = catalog.create("genes")
    catalog.create("other")
    shutil.copy(home / "vas" / "other.vas", home / "vas" / "genes.vas")
    assert catalog.lookup("genes") == record
    assert catalog._read_record("genes") == record


def test_a_record_that_does_not_fit_its_segment_is_rebuilt(catalog: Catalog, home: Path) -> None:
    catalog.create("genes")
    old = (home / "vas" / "genes.vas").read_bytes()
    catalog.remove("genes")
    record = catalog.create("genes", reserved=GIB)
    (home / "vas" / "genes.vas").write_bytes(old)
    assert catalog.lookup("genes") == record
    assert catalog._read_record("genes") == record


def test_a_record_without_its_segment_counts_for_nothing(catalog: Catalog, home: Path) -> None:
    catalog.create("genes")
    (home / "seg" / "genes.seg").unlink()
    assert catalog.names() == []
    with pytest.raises(NotFoundError):
        catalog.lookup("genes")
    with pytest.raises(NotFoundError):
        catalog.remove("genes")
    assert files_of(home) == {"lock/catalog.lock"}
    (home / "vas" / "genes.vas").write_bytes(b"stale")
    assert catalog.create("genes") == catalog.lookup("genes")


def test_records_of_later_versions_are_refused(catalog: Catalog, home: Path) -> None:
    catalog.create("genes")
    (home / "vas" / "genes.vas").write_bytes(msgpack.packb({"format": 2}))
    with pytest.raises(VersionError, match=r"genes\.vas"):
        catalog.lookup("genes")
    assert isinstance(catalog.rebuild().problems[0], VersionError)


def test_lookup_does_not_wait_and_needs_no_write_access(catalog: Catalog, home: Path) -> None:
    record = catalog.create("genes")
    (home / "vas" / "genes.vas").unlink()
    with (home / "lock" / "catalog.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert catalog.lookup("genes") == record
        assert not (home / "vas" / "genes.vas").exists()
        with pytest.raises(SpaceBusyError, match=r"catalog\.lock"):
            Catalog(home, timeout=0.02).create("other")
    assert catalog.lookup("genes") == record
    assert (home / "vas" / "genes.vas").exists()


def test_rebuild_restores_all_records_and_reports_the_rest(catalog: Catalog, home: Path) -> None:
    records = [catalog.create(name) for name in ("a", "b", "c")]
    shutil.copy(home / "seg" / "a.seg", home / "seg" / "copy.seg")
    (home / "seg" / "junk.seg").write_bytes(b"junk" * 4096)
    shutil.rmtree(home / "vas")
    (home / "vas").mkdir(0o700)
    (home / "vas" / "stale.vas").write_bytes(b"")
    (home / "vas" / ".new-0123-dead").write_bytes(b"")

    rebuilt = catalog.rebuild()

    assert list(rebuilt.records) == records
    assert [type(problem) for problem in rebuilt.problems] == [IdentityError, FormatError]
    assert files_of(home) == expected_files("a", "b", "c") | {"seg/copy.seg", "seg/junk.seg"}


# Segment files that were tampered with.


def test_a_copied_segment_is_noticed_and_both_files_are_named(catalog: Catalog, home: Path) -> None:
    record = catalog.create("genes")
    lock = Path(catalog.lock_path(record.segment))
    lock.touch()
    shutil.copy(home / "seg" / "genes.seg", home / "seg" / "copy.seg")
    with pytest.raises(IdentityError, match=r"copy\.seg.*a copy of .*genes\.seg"):
        catalog.lookup("copy")
    assert catalog.lookup("genes") == record
    catalog.remove("copy")
    assert catalog.lookup("genes") == record
    assert lock.exists()


def test_a_renamed_segment_is_noticed_and_both_names_are_given(
    catalog: Catalog, home: Path
) -> None:
    record = catalog.create("genes")
    (home / "seg" / "genes.seg").rename(home / "seg" / "other.seg")
    with pytest.raises(IdentityError, match=r"other\.seg.*rename the file back to 'genes\.seg'"):
        catalog.lookup("other")
    with pytest.raises(NotFoundError):
        catalog.lookup("genes")
    catalog.create("genes")
    with pytest.raises(IdentityError, match="taken by another segment"):
        catalog.lookup("other")
    (home / "seg" / "other.seg").rename(home / "seg" / "genes.seg")
    assert catalog.lookup("genes") == record


def test_a_uuid_that_is_seen_twice_is_noticed(
    catalog: Catalog, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = catalog.create("genes").uuid
    catalog.create("twin")
    (home / "vas" / "twin.vas").unlink()
    monkeypatch.setattr(
        "spacejmp.catalog.segment_inspect", lambda path: segment_inspect(path)._replace(uuid=uuid)
    )
    with pytest.raises(IdentityError, match=r"twin\.seg.*genes\.seg"):
        catalog.lookup("twin")
    assert [type(problem) for problem in catalog.rebuild().problems] == 2 * [IdentityError]


def test_a_damaged_segment_is_reported_and_can_be_removed(catalog: Catalog, home: Path) -> None:
    catalog.create("genes")
    path = home / "seg" / "genes.seg"
    with path.open("r+b") as file:
        for superblock in (0, 4096):
            file.seek(superblock + 100)
            file.write(b"damage")
    with pytest.raises(CorruptError, match=r"genes\.seg"):
        catalog.lookup("genes")
    path.write_bytes(b"")
    with pytest.raises(FormatError, match=r"genes\.seg"):
        catalog.lookup("genes")
    with pytest.raises(AlreadyExistsError):
        catalog.create("genes")
    catalog.remove("genes")
    assert files_of(home) == {"lock/catalog.lock"}


def test_symbolic_links_are_not_followed(catalog: Catalog, home: Path) -> None:
    catalog.create("genes")
    (home / "aside").mkdir()
    for part in ("seg/genes.seg", "vas/genes.vas"):
        target = home / "aside" / Path(part).name
        (home / part).rename(target)
        (home / part).symlink_to(target)
        with pytest.raises(SpaceJmpError):
            catalog.lookup("genes")
        with pytest.raises(AlreadyExistsError):
            catalog.create("genes")
        (home / part).unlink()
        target.rename(home / part)
    (home / "lock" / "catalog.lock").unlink()
    (home / "lock" / "catalog.lock").symlink_to("/etc/passwd")
    with pytest.raises(StorePermissionError, match=r"catalog\.lock"):
        catalog.create("other")


def test_things_that_are_no_files_do_no_harm(catalog: Catalog, home: Path) -> None:
    catalog.create("genes")
    (home / "vas" / "genes.vas").unlink()
    os.mkfifo(home / "vas" / "genes.vas")
    with pytest.raises(StoreIOError, match="regular file"):
        catalog.lookup("genes")
    (home / "seg" / "directory.seg").mkdir()
    with pytest.raises(StoreIOError, match="directory"):
        catalog.remove("directory")
    (home / "seg" / f".removed-{'0' * 32}-directory").mkdir()
    assert catalog.create("other") == catalog.lookup("other")


def test_a_home_that_is_a_file_is_reported(home: Path) -> None:
    (home / "file").touch()
    for home_or_below in ("file", "file/below"):
        with pytest.raises(SpaceJmpError, match="file"):
            Catalog(home / home_or_below).create("genes")


# What the system refuses.


def in_child(action: Callable[[], object], prepare: Callable[[], None]) -> object:
    """Run `action` in a forked child after `prepare`; returns its result or its exception."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            prepare()
            result: object = action()
        except BaseException as error:
            result = error
        os.write(writer, pickle.dumps(result))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(data)


def become_nobody() -> None:
    if os.getuid() == 0:
        os.setgroups([])
        os.setresuid(65534, 65534, 65534)


def limit_file_size() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, resource.RLIM_INFINITY))


def test_directories_that_may_not_be_written_are_named(catalog: Catalog, home: Path) -> None:
    record = catalog.create("genes", mode=0o644)
    (home / "vas" / "genes.vas").unlink()
    for path in (home / "lock", home / "seg", home / "vas", home):
        path.chmod(0o555)
    for action in (lambda: catalog.create("other"), lambda: catalog.remove("genes")):
        refused = in_child(action, become_nobody)
        assert isinstance(refused, StorePermissionError)
        assert str(home) in str(refused)
    assert in_child(lambda: catalog.lookup("genes"), become_nobody) == record
    (home / "seg").chmod(0o000)
    for look in (catalog.names, lambda: catalog.lookup("genes")):
        assert isinstance(in_child(look, become_nobody), StorePermissionError)
    made = in_child(lambda: Catalog(home / "new").create("genes"), become_nobody)
    assert isinstance(made, StorePermissionError)
    assert str(home / "new") in str(made)


def test_a_limit_on_file_sizes_is_a_full_space(catalog: Catalog, home: Path) -> None:
    full = in_child(lambda: catalog.create("genes"), limit_file_size)
    assert isinstance(full, SpaceFullError)
    assert "genes.seg" in str(full)
    assert files_of(home) == {"lock/catalog.lock"}


def test_a_full_disk_leaves_nothing(home: Path) -> None:
    (home / "small").mkdir()
    catalog = Catalog(home / "small")

    def mount_small_disk() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(0x00020000) or libc.mount(b"", b"/", None, 0x44000, None):
            raise OSError(ctypes.get_errno(), "unshare")
        options = b"size=640k,mode=700"
        if libc.mount(b"small", os.fsencode(home / "small"), b"tmpfs", 0, options):
            raise OSError(ctypes.get_errno(), "mount")

    def fill() -> tuple[list[str], object, set[str]]:
        error: object = None
        for number in range(20):
            try:
                catalog.create(f"s{number}")
            except SpaceFullError as full:
                error = full
                break
        return catalog.names(), error, files_of(home / "small")

    result = in_child(fill, mount_small_disk)
    if isinstance(result, OSError) and not isinstance(result, SpaceJmpError):
        pytest.skip(f"cannot mount here: {result}")
    assert isinstance(result, tuple)
    names, error, files = result
    assert isinstance(error, SpaceFullError)
    assert str(home / "small") in str(error)
    assert 1 <= len(names) < 20
    assert files == expected_files(*names)


CALLS = ("open", "fsync", "link", "unlink", "rename", "replace", "mkdir", "scandir", "read", "write",
         "stat", "lstat", "fstat")  # fmt: skip
ERRORS = {
    errno.ENOSPC: SpaceFullError,
    errno.EDQUOT: SpaceFullError,
    errno.EROFS: StorePermissionError,
    errno.EIO: StoreIOError,
}


class Saboteur:
    """Lets the k-th call of the system fail, or each from the k-th on."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int, k: int, *, onwards: bool) -> None:
        self.number, self.k, self.onwards = number, k, onwards
        self.calls = 0
        for name in CALLS:
            patch.setattr(os, name, self.wrap(getattr(os, name)))
        for function in (segment_create, segment_inspect):
            patch.setattr(f"spacejmp.catalog.{function.__name__}", self.wrap(function))

    @property
    def done(self) -> bool:
        return self.calls >= self.k

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.k or (self.onwards and self.done):
                error = OSError(self.number, os.strerror(self.number))
                if call not in (segment_create, segment_inspect):
                    raise error
                raise ERRORS[self.number](f"{args[0]}: {error}")
            return call(*args, **named)

        return wrapped


@pytest.mark.parametrize("onwards", [False, True])
@pytest.mark.parametrize("number", ERRORS)
@pytest.mark.parametrize("operation", ["create", "remove"])
def test_every_system_call_may_fail(home: Path, operation: str, number: int, onwards: bool) -> None:
    finished, k = False, 0
    while not finished:
        k += 1
        assert k < 400
        where = home / str(k)
        catalog = Catalog(where)
        kept = catalog.create("kept")
        if operation == "remove":
            catalog.create("genes")
        failure = None
        with pytest.MonkeyPatch.context() as patch:
            saboteur = Saboteur(patch, number, k, onwards=onwards)
            try:
                getattr(catalog, operation)("genes")
            except SpaceJmpError as error:
                failure = error
            finished = not saboteur.done
        check_after_failure(catalog, where, operation, failure, onwards=onwards)
        if failure is not None and not onwards:
            assert isinstance(failure, ERRORS[number])
            assert str(where) in str(failure)
        assert catalog.lookup("kept") == kept
        shutil.rmtree(where)
    assert k > 20


def check_after_failure(
    catalog: Catalog, home: Path, operation: str, failure: SpaceJmpError | None, *, onwards: bool
) -> None:
    """Whole or not there; and the next ones find nothing in their way."""
    there = "genes" in catalog.names()
    if failure is None:
        assert there == (operation == "create")
    elif operation == "create" and not onwards:
        assert not there
    if there:
        record = catalog.lookup("genes")
        assert segment_inspect(catalog.segment_path(record.segment)).uuid == record.uuid
        catalog.remove("genes")
    with pytest.raises(NotFoundError):
        catalog.lookup("genes")
    catalog.create("genes")
    assert files_of(home) == expected_files("genes", "kept")


# The import.


def test_import_is_cheap() -> None:
    code = (
        "import sys; before = set(sys.modules); import spacejmp.catalog, spacejmp.names; "
        "print(*sorted(set(sys.modules) - before))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"numpy", "rich", "typer", "msgpack", "sortedcontainers", "hashlib", "difflib", "uuid",
             "tempfile", "shutil", "subprocess", "dataclasses", "inspect", "asyncio"}  # fmt: skip
    assert "spacejmp.catalog" in output
    assert not heavy & set(output)


def test_segments_made_without_the_catalog_are_found(catalog: Catalog, home: Path) -> None:
    catalog.create("other")
    segment_create(home / "seg" / "genes.seg", "genes", ARENA_START, GIB, 0o600)
    record = catalog.lookup("genes")
    assert record.segment.reserved == GIB
    assert files_of(home) == expected_files("genes", "other")
