# SPDX-License-Identifier: Apache-2.0
"""Whatever the system refuses, the catalog says so and leaves nothing half-done."""

from __future__ import annotations

import ctypes
import errno
import os
import pickle
import resource
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spacejmp._space import segment_create, segment_inspect
from spacejmp.arena import ARENA_START, GIB
from spacejmp.catalog import Catalog
from spacejmp.persistence.errors import (
    AlreadyExistsError,
    NotFoundError,
    SpaceFullError,
    SpaceJmpError,
    StoreIOError,
    StorePermissionError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

from homes import expected_files, files_of

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def catalog(home: Path) -> Catalog:
    return Catalog(home, timeout=5.0)


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
    assert files_of(home) == expected_files()


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


CALLS = (
    *("open", "read", "write", "fsync", "unlink", "rename", "replace"),
    *("mkdir", "scandir", "stat", "lstat", "fstat"),
)
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
@pytest.mark.parametrize("operation", ["create", "remove", "replace"])
def test_every_system_call_may_fail(home: Path, operation: str, number: int, onwards: bool) -> None:
    finished, k = False, 0
    while not finished:
        k += 1
        assert k < 400
        where = home / str(k)
        catalog = Catalog(where)
        kept = catalog.create("kept")
        old = None if operation == "create" else catalog.create("genes")
        failure = None
        with pytest.MonkeyPatch.context() as patch:
            saboteur = Saboteur(patch, number, k, onwards=onwards)
            try:
                if operation == "remove":
                    catalog.remove("genes")
                else:
                    catalog.create("genes", replace=True)
            except SpaceJmpError as error:
                failure = error
            finished = not saboteur.done
        if operation == "replace" and failure is None:
            assert catalog.lookup("genes") != old
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
    if not onwards:
        assert not any("/.new" in file for file in files_of(home))
    if failure is None:
        assert there == (operation != "remove")
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


def test_a_segment_that_appears_without_the_catalog_is_left_alone(
    catalog: Catalog, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.create("other")

    def too_late(path: str, *args: Any, **named: Any) -> None:
        segment_create(path, "genes", ARENA_START, GIB, 0o600)
        segment_create(path, *args, **named)

    monkeypatch.setattr("spacejmp.catalog.segment_create", too_late)
    with pytest.raises(AlreadyExistsError):
        catalog.create("genes")
    assert catalog.lookup("genes").segment.base == ARENA_START


class Journal:
    """Notes what is synced, renamed and removed, in order."""

    def __init__(self, patch: pytest.MonkeyPatch, home: Path) -> None:
        self.home = home
        self.events: list[str] = []
        self.paths: dict[int, str] = {}
        self.open, self.fsync, self.unlink = os.open, os.fsync, os.unlink
        self.rename, self.replace = os.rename, os.replace
        patch.setattr(os, "open", self.note_open)
        patch.setattr(os, "fsync", self.note_fsync)
        patch.setattr(os, "unlink", self.note_unlink)
        patch.setattr(os, "rename", self.note_rename)
        patch.setattr(os, "replace", self.note_replace)

    def short(self, path: str) -> str:
        part, _, name = os.path.relpath(path, self.home).partition("/")
        if name.startswith("."):
            name = name.partition("-")[0]
        return f"{part}/{name}"

    def note_open(self, path: str, *args: Any) -> int:
        fd = self.open(path, *args)
        self.paths[fd] = self.short(path)
        return fd

    def note_fsync(self, fd: int) -> None:
        self.events.append(f"fsync {self.paths[fd]}")
        self.fsync(fd)

    def note_unlink(self, path: str) -> None:
        self.unlink(path)
        self.events.append(f"unlink {self.short(path)}")

    def note_rename(self, source: str, target: str) -> None:
        self.events.append(f"rename {self.short(source)} {self.short(target)}")
        self.rename(source, target)

    def note_replace(self, source: str, target: str) -> None:
        self.events.append(f"replace {self.short(source)} {self.short(target)}")
        self.replace(source, target)


def test_each_step_is_synced_before_the_next(catalog: Catalog, home: Path) -> None:
    catalog.create("other")
    with pytest.MonkeyPatch.context() as patch:
        journal = Journal(patch, home)
        record = catalog.create("genes")
        created = journal.events.copy()
        journal.events.clear()
        lock = Path(catalog.lock_path(record.segment))
        lock.touch()
        for beside in ("log0", "log1", "sum"):
            (home / "seg" / f"genes.seg.{beside}").touch()
        catalog.remove("genes")
    assert created == ["fsync vas/.new", "replace vas/.new vas/genes.vas", "fsync vas/"]
    assert journal.events == [
        "rename seg/genes.seg seg/.removed",
        "fsync seg/",
        "unlink seg/genes.seg.log0",
        "unlink seg/genes.seg.log1",
        "unlink seg/genes.seg.sum",
        "fsync seg/",
        "unlink vas/genes.vas",
        "fsync vas/",
        f"unlink lock/{lock.name}",
        "unlink seg/.removed",
        "fsync seg/",
    ]


def test_new_directories_are_synced(home: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        journal = Journal(patch, home / "new")
        Catalog(home / "new").create("genes")
    assert journal.events[:4] == ["fsync ../", *3 * ["fsync ./"]]
