# SPDX-License-Identifier: Apache-2.0
"""The catalog notices records and segments that were lost, damaged, copied or renamed."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgpack
import pytest

from spacejmp._space import segment_inspect
from spacejmp.arena import GIB
from spacejmp.catalog import Catalog
from spacejmp.persistence.errors import (
    AlreadyExistsError,
    CorruptError,
    FormatError,
    IdentityError,
    NotFoundError,
    SpaceBusyError,
    SpaceJmpError,
    StoreIOError,
    StorePermissionError,
    VersionError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

from homes import expected_files, files_of


@pytest.fixture
def catalog(home: Path) -> Catalog:
    return Catalog(home, timeout=5.0)


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
    assert files_of(home) == expected_files()
    (home / "vas" / "genes.vas").write_bytes(b"stale")
    assert catalog.create("genes") == catalog.lookup("genes")


def test_records_of_later_versions_are_refused(catalog: Catalog, home: Path) -> None:
    catalog.create("genes")
    (home / "vas" / "genes.vas").write_bytes(msgpack.packb({"format": 2}))
    with pytest.raises(VersionError, match=r"genes\.vas"):
        catalog.lookup("genes")
    assert isinstance(catalog.rebuild().problems[0], VersionError)
    (home / "seg" / "genes.seg").unlink()
    for action in (catalog.create, catalog.remove):
        with pytest.raises(VersionError, match=r"genes\.vas"):
            action("genes")
    assert isinstance(catalog.rebuild().problems[0], VersionError)


def test_lookup_does_not_wait(
    catalog: Catalog, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = catalog.create("genes")
    (home / "vas" / "genes.vas").unlink()
    with (home / "lock" / "catalog.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with monkeypatch.context() as patch:
            patch.setattr("time.sleep", lambda _: pytest.fail("it waits"))
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
    assert files_of(home) == expected_files()


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
