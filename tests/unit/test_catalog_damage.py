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
from homes import expected_files, files_of
from media import seal

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
)
from spacejmp.vas import vas_create, vas_find, vas_list

if TYPE_CHECKING:
    from collections.abc import Callable

NAME_AT = 128  # in a superblock


@pytest.fixture
def catalog(home: Path) -> Catalog:
    return Catalog(home, timeout=5.0)


def record_of_format_1(name: str) -> bytes:
    segment = {"name": name, "uuid": bytes(16), "file": f"seg/{name}.seg", "base": 0, "reserved": 0}
    fields = {"format": 1, "name": name, "uuid": bytes(16), "created_ns": 0, "segments": [segment]}
    packed: bytes = msgpack.packb(fields)
    return packed


def test_records_of_format_1_count_for_nothing(catalog: Catalog, home: Path) -> None:
    record = catalog.create("genes")
    for name in ("genes", "gone"):
        (home / "vas" / f"{name}.vas").write_bytes(record_of_format_1(name))
    assert catalog.lookup("genes") == record
    assert vas_list(home=home) == ["genes"]
    assert vas_find("genes", home=home).info().of_segment
    with pytest.raises(NotFoundError):
        vas_find("gone", home=home)
    assert len(files_of(home)) == 4
    catalog.create("other")
    assert files_of(home) == expected_files("genes", "other")


def test_only_changes_wait_for_the_lock(catalog: Catalog, home: Path) -> None:
    record = catalog.create("genes")
    with (home / "lock" / "catalog.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert catalog.lookup("genes") == record
        assert catalog.names() == vas_list(home=home) == ["genes"]
        with pytest.raises(SpaceBusyError, match=r"catalog\.lock"):
            Catalog(home, timeout=0.02).create("other")
    assert catalog.create("other")


def test_rebuild_clears_up_and_reports_what_is_wrong(catalog: Catalog, home: Path) -> None:
    records = [catalog.create(name) for name in ("a", "b", "c")]
    shutil.copy(home / "seg" / "a.seg", home / "seg" / "copy.seg")
    (home / "seg" / "junk.seg").write_bytes(b"junk" * 4096)
    (home / "vas" / "a.vas").write_bytes(record_of_format_1("a"))
    for part in ("seg", "vas", "lock"):
        (home / part / ".new-0123-dead").write_bytes(b"")

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


def test_a_uuid_that_is_seen_twice_is_noticed(catalog: Catalog, home: Path) -> None:
    """Whoever made such a twin changed the name in its header."""
    catalog.create("genes")
    twin = home / "seg" / "twins.seg"
    shutil.copy(home / "seg" / "genes.seg", twin)
    seal(twin, NAME_AT, b"twins")
    assert catalog.lookup("twins").uuid == catalog.lookup("genes").uuid
    problems = catalog.rebuild().problems
    assert [type(problem) for problem in problems] == [IdentityError]
    assert "genes" in str(problems[0])


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
    vas_create("panel", home=home)
    looks: dict[str, Callable[[], object]] = {
        "seg/genes.seg": lambda: catalog.lookup("genes"),
        "vas/panel.vas": lambda: vas_find("panel", home=home),
    }
    for part, look in looks.items():
        target = home / "aside" / Path(part).name
        (home / part).rename(target)
        (home / part).symlink_to(target)
        with pytest.raises(SpaceJmpError):
            look()
        with pytest.raises(AlreadyExistsError):
            catalog.create("genes")
        with pytest.raises(AlreadyExistsError):
            vas_create("panel", home=home)
        (home / part).unlink()
        target.rename(home / part)
    (home / "lock" / "catalog.lock").unlink()
    (home / "lock" / "catalog.lock").symlink_to("/etc/passwd")
    with pytest.raises(StorePermissionError, match=r"catalog\.lock"):
        catalog.create("other")


def test_things_that_are_no_files_do_no_harm(catalog: Catalog, home: Path) -> None:
    catalog.create("genes")
    os.mkfifo(home / "vas" / "pipe.vas")
    with pytest.raises(StoreIOError, match="regular file"):
        vas_find("pipe", home=home)
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
