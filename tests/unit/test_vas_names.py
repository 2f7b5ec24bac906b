# SPDX-License-Identifier: Apache-2.0
"""VASes and segments by name: made, found, joined, changed, removed; and who is refused."""

from __future__ import annotations

import os
import pickle
import stat
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from homes import expected_files, files_of

import spacejmp as sj
from spacejmp.arena import ARENA_END, ARENA_START, GIB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def _home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACEJMP_HOME", str(home))


def names_in(vas: sj.Vas) -> list[str]:
    return [segment.name for segment in vas.segments]


# What there is.


def test_a_vas_is_made_without_segments(home: Path) -> None:
    vas = sj.vas_create("panel")
    info = vas.info()
    assert (info.name, info.uuid, info.segments) == ("panel", vas.uuid, ())
    assert (info.tag, info.isolation, info.address_limit) == (0, "shared", 0)
    assert (info.mode, info.owner) == (0o600, (os.getuid(), os.getgid()))
    assert not info.of_segment
    assert sj.vas_find("panel") == vas
    assert sj.vas_list() == ["panel"]
    assert sj.seg_list() == []
    assert files_of(home) == {"vas/panel.vas", "lock/catalog.lock"}


def test_a_segment_is_a_vas_and_a_store() -> None:
    segment = sj.seg_alloc("genes", reserve=GIB)
    with sj.open("genes", "r") as store:
        assert store.base == segment.info().base
    vas = sj.vas_find("genes")
    info = vas.info()
    assert (vas.uuid, info.of_segment) == (segment.uuid, True)
    assert [(s.name, s.uuid, s.rights, s.window) for s in info.segments] == [
        ("genes", segment.uuid, "rw", None)
    ]
    with pytest.raises(sj.InvalidArgumentError, match="vas_create"):
        vas.seg_attach(segment)
    with pytest.raises(sj.InvalidArgumentError, match="vas_create"):
        vas.ctl("tag", 1)
    vas.delete()
    assert sj.seg_list() == sj.vas_list() == []


def test_the_record_is_found_before_the_segment() -> None:
    vas = sj.vas_create("genes")
    segment = sj.seg_alloc("genes")
    assert sj.vas_find("genes") == vas
    assert sj.vas_list() == ["genes"]
    vas.delete()
    assert sj.vas_find("genes").uuid == segment.uuid


def test_a_name_is_a_vas_once() -> None:
    sj.vas_create("panel")
    sj.seg_alloc("genes")
    for name in ("panel", "genes"):
        with pytest.raises(sj.AlreadyExistsError, match=name):
            sj.vas_create(name)


@pytest.mark.parametrize("flag", ["r", "w", "c"])
def test_a_vas_is_no_store(flag: Any) -> None:
    sj.vas_create("panel")
    with pytest.raises(sj.NotFoundError, match="vas_attach"):
        sj.open("panel", flag)
    assert sj.seg_list() == []


def test_not_found_lists_names_that_resemble_it() -> None:
    sj.vas_create("panel")
    sj.seg_alloc("genes")
    with pytest.raises(sj.NotFoundError, match="did you mean 'panel'"):
        sj.vas_find("panell")
    with pytest.raises(sj.NotFoundError, match="did you mean 'genes'"):
        sj.seg_find("gens")
    for action in (sj.vas_delete, sj.seg_delete):
        with pytest.raises(sj.NotFoundError):
            action("nothing")
    vas = sj.vas_create("other")
    vas.seg_attach("genes")
    with pytest.raises(sj.NotFoundError, match="did you mean 'genes'"):
        vas.seg_detach("gens")


@pytest.mark.parametrize("name", ["", "../panel", "a/b", ".x", "-x", "é", "a" * 129, "a\0"])
def test_names_are_checked(name: str, home: Path) -> None:
    for action in (sj.vas_create, sj.vas_find, sj.vas_delete, sj.seg_alloc, sj.seg_find):
        with pytest.raises(sj.InvalidNameError):
            action(name)
    assert files_of(home) == set()


def test_objects_can_be_pickled_and_know_what_is_meant() -> None:
    vas, segment = sj.vas_create("panel"), sj.seg_alloc("genes")
    for each in (vas, segment):
        again = pickle.loads(pickle.dumps(each))
        assert again == each
        assert hash(again) == hash(each)
        assert repr(again) == repr(each)
    assert vas != segment
    vas.delete()
    segment.delete()
    sj.vas_create("panel")
    sj.seg_alloc("genes")
    for look in (vas.info, vas.delete, segment.info, segment.delete):
        with pytest.raises(sj.NotFoundError):
            look()
    with pytest.raises(sj.NotFoundError):
        sj.seg_attach("panel", segment)
    assert sj.vas_list() == ["genes", "panel"]


# Segments of a VAS.


def test_segments_are_attached_with_rights_of_their_own() -> None:
    panel, other = sj.vas_create("panel"), sj.vas_create("other")
    for number, name in enumerate(("reads", "genes")):
        sj.seg_alloc(name, ARENA_START + (9 - number) * GIB, GIB)
    assert sj.seg_attach("panel", "reads", "r") is None
    assert panel.seg_attach("genes") is None
    assert other.seg_attach("reads") is None
    assert [(s.name, s.rights) for s in panel.segments] == [("genes", "rw"), ("reads", "r")]
    assert [(s.name, s.rights) for s in other.segments] == [("reads", "rw")]
    panel.seg_attach("reads", "rw")
    assert [s.rights for s in panel.segments] == ["rw", "rw"]
    panel.seg_detach(panel.segments[0])
    sj.seg_detach("panel", "reads")
    assert panel.segments == ()
    with pytest.raises(sj.NotFoundError, match="has no segment"):
        panel.seg_detach(sj.seg_find("reads"))


def test_a_segment_that_vases_name_stays(home: Path) -> None:
    segment = sj.seg_alloc("genes")
    for name in ("one", "two"):
        sj.seg_attach(sj.vas_create(name), segment)
    removals: tuple[Callable[[], None], ...] = (
        lambda: segment.delete(),
        lambda: sj.vas_delete("genes"),
        lambda: sj.Catalog().remove("genes"),
    )
    for remove in removals:
        with pytest.raises(sj.SpaceBusyError, match=r"'one', 'two'"):
            remove()
    with pytest.raises(sj.SpaceBusyError, match="'one'"):
        sj.open("genes", "n")
    assert segment.info().uuid == segment.uuid
    sj.vas_delete("one")
    sj.seg_detach("two", "genes")
    segment.delete()
    assert files_of(home) == expected_files() | {"vas/two.vas"}


def test_segments_that_overlap_go_into_windows_of_their_own() -> None:
    vas = sj.vas_create("panel")
    for name in ("a", "b", "c"):
        sj.seg_alloc(name, ARENA_START, 2 * GIB)
    sj.seg_alloc("common", ARENA_START + 4 * GIB, GIB)
    vas.seg_attach("common", "r")
    assert vas.seg_attach("a", window="fit") == 0
    with pytest.raises(sj.AddressConflictError, match=r"'a'.*'b'.*overlap"):
        vas.seg_attach("b")
    with pytest.raises(sj.AddressConflictError):
        vas.seg_attach("b", window=0)
    assert vas.seg_attach("b", window="fit") == 1
    assert vas.seg_attach("c", window=7) == 7
    assert vas.seg_attach("c", window="fit") == 2
    found = {segment.name: segment.window for segment in vas.segments}
    assert found == {"a": 0, "b": 1, "c": 2, "common": None}


def test_a_limit_of_addresses_holds_for_each_window() -> None:
    vas = sj.vas_create("panel")
    vas.ctl("address_limit", 4 * GIB)
    for number in range(4):
        sj.seg_alloc(f"s{number}", reserve=2 * GIB)
    assert [vas.seg_attach(f"s{number}", window="fit") for number in range(4)] == [0, 0, 1, 1]
    with pytest.raises(sj.AddressConflictError, match="limit"):
        vas.seg_attach("s3", window=0)
    with pytest.raises(sj.AddressConflictError, match="limit"):
        vas.ctl("address_limit", 2 * GIB)
    assert vas.ctl("address_limit") == 4 * GIB
    vas.ctl("address_limit", 0)
    assert vas.seg_attach("s3", window=0) == 0


def test_many_segments(home: Path) -> None:
    vas = sj.vas_create("panel")
    for number in range(130):
        vas.seg_attach(sj.seg_alloc(f"s{number}", reserve=GIB), "r", window=number % 4)
    assert len(vas.segments) == 130
    record = msgpack.unpackb((home / "vas" / "panel.vas").read_bytes())
    assert record["format"] == 2
    assert len(record["segments"]) == 130
    assert set(record["segments"][0]) == {"name", "uuid", "base", "reserved", "rights", "window"}


def test_segments_of_another_home_are_refused(home: Path) -> None:
    elsewhere = sj.seg_alloc("genes", home=home / "elsewhere")
    with pytest.raises(sj.InvalidArgumentError, match="elsewhere"):
        sj.vas_create("panel").seg_attach(elsewhere)


# Properties.


@pytest.mark.parametrize(
    ("command", "value"),
    [
        ("mode", 0o640),
        ("owner", (os.getuid(), os.getgid())),
        ("tag", 4095),
        ("isolation", "strict"),
        ("address_limit", 64 * GIB),
    ],
)
def test_properties_are_changed_and_read(command: Any, value: Any) -> None:
    vas = sj.vas_create("panel")
    vas.seg_attach(sj.seg_alloc("genes", reserve=GIB), "r")
    before = vas.info()
    assert sj.vas_ctl("panel", command, value) is None
    assert sj.vas_ctl(vas, command) == value
    assert vas.info()._replace(**{command: getattr(before, command)}) == before


@pytest.mark.parametrize(
    ("command", "value"),
    [
        ("mode", 0o400),
        ("mode", 0o10600),
        ("mode", -1),
        ("owner", (-1, 0)),
        ("tag", 4096),
        ("tag", -1),
        ("isolation", "loose"),
        ("address_limit", GIB + 1),
        ("address_limit", 2 * ARENA_END),
        ("address_limit", 2**64),
        ("colour", 1),
    ],
)
def test_properties_out_of_range_change_nothing(command: Any, value: Any) -> None:
    vas = sj.vas_create("panel")
    before = vas.info()
    with pytest.raises(sj.InvalidArgumentError, match=f"{command.replace('_', '.')}|command"):
        vas.ctl(command, value)
    assert vas.info() == before


def test_rights_and_windows_are_checked() -> None:
    vas = sj.vas_create("panel")
    sj.seg_alloc("genes")
    for wrong in ({"rights": "w"}, {"window": -1}, {"window": 65536}):
        with pytest.raises(sj.InvalidArgumentError, match=f"{next(iter(wrong))}: expected"):
            vas.seg_attach("genes", **wrong)
    with pytest.raises(TypeError, match="window: expected 'all', 'fit' or a number"):
        vas.seg_attach("genes", window="all of them")  # type: ignore[arg-type]
    assert vas.segments == ()


def test_arguments_of_a_wrong_type_are_named() -> None:
    """There were errors such as "'NoneType' object has no attribute 'uuid'"."""
    vas: Any = sj.vas_create("panel")
    for command in ("mode", "owner", "tag", "address_limit"):
        with pytest.raises(TypeError, match=f"{command}: expected a whole number, found 'x'"):
            vas.ctl(command, "x")
    with pytest.raises(sj.InvalidArgumentError, match="owner: expected a user number, or"):
        vas.ctl("owner", (1, 2, 3))
    with pytest.raises(TypeError, match="expected a segment, or its name"):
        vas.seg_detach(None)


def test_the_mode_of_a_segment_is_that_of_all_its_files(home: Path) -> None:
    with sj.open("genes") as store:
        store.btree("t", key="int")[1] = 1
    sj.vas_ctl("genes", "mode", 0o640)
    modes = {
        path.name.removeprefix("genes"): stat.S_IMODE(path.stat().st_mode)
        for path in home.rglob("*")
        if path.is_file() and path.name != "catalog.lock"
    }
    lock = f"{sj.vas_find('genes').uuid.hex()}.lock"
    assert modes == {".seg": 0o640, ".seg.sum": 0o640, lock: 0o660}


# Damage.


def test_a_damaged_record_is_told_and_can_be_removed(home: Path) -> None:
    vas = sj.vas_create("panel")
    path = home / "vas" / "panel.vas"
    path.write_bytes(path.read_bytes()[:-3])
    for look in (vas.info, lambda: sj.vas_find("panel"), lambda: sj.open("panel")):
        with pytest.raises((sj.CorruptError, sj.NotFoundError), match="panel"):
            look()
    with pytest.raises(sj.AlreadyExistsError):
        sj.vas_create("panel")
    assert sj.vas_list() == ["panel"]
    sj.vas_delete("panel")
    assert sj.vas_create("panel").segments == ()


def test_records_of_later_versions_are_left_alone(home: Path) -> None:
    sj.vas_create("other")
    path = home / "vas" / "panel.vas"
    path.write_bytes(msgpack.packb({"format": 3, "what": [1, 2]}))
    for action in (sj.vas_find, sj.vas_delete):
        with pytest.raises(sj.VersionError, match=r"panel\.vas"):
            action("panel")
    with pytest.raises(sj.AlreadyExistsError):
        sj.vas_create("panel")
    sj.seg_alloc("panel").delete()
    assert path.exists()
