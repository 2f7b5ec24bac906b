# SPDX-License-Identifier: Apache-2.0
"""Clones, versions and private attachments: the same data at the same addresses."""

from __future__ import annotations

import os
import pickle
import random
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from children import in_child
from homes import files_of

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Callable

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

GIB = 1 << 30
ITEMS = {n: b"%d" % n * 40 for n in range(3000)}


def filled(home: Path, name: str = "genes", **options: Any) -> sj.Store:
    """An open store with a tree and a hash map in it."""
    store = sj.open(name, home=home, reserve=GIB, **options)
    with store.transaction():
        store.btree("t", key="int", value="bytes").update(ITEMS)
        store.hashmap("h", key="str").update({"a": 1, "b": [2, 3], "c": {"d": None}})
    return store


def contents(store: sj.Store) -> tuple[dict[Any, Any], dict[Any, Any]]:
    return dict(store["t"].items()), dict(store["h"].items())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def mappings() -> int:
    """How many mappings there are in the ranges of segments and of parking."""
    starts = [
        int(line.split("-")[0], 16) for line in Path("/proc/self/maps").read_text().splitlines()
    ]
    return sum(0x3000_0000_0000 <= start < 0x7000_0000_0000 for start in starts if start) - sum(
        0x5500_0000_0000 <= start < 0x5700_0000_0000 for start in starts
    )


# --- clones -------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_clone_has_the_data_the_addresses_and_a_life_of_its_own(
    disk_home: Path, durability: Literal["process", "power"]
) -> None:
    with filled(disk_home, durability=durability) as store:
        before = contents(store)
        with store.clone("copy") as copy:
            assert (copy.base, copy.reserve) == (store.base, store.reserve)
            assert (copy.durability, copy.domain) == (store.durability, store.domain)
            assert contents(copy) == before
            store["t"][1], copy["t"][2] = b"here", b"there"
            assert (store["t"][1], copy["t"][1]) == (b"here", ITEMS[1])
            assert (store["t"][2], copy["t"][2]) == (ITEMS[2], b"there")
            with store.read(), copy.transaction():
                copy["h"].clear()
            assert (len(store["h"]), len(copy["h"])) == (3, 0)
            assert copy.check().leaked_blocks == store.check().leaked_blocks == 0
    with sj.open("copy", home=disk_home) as copy:
        assert copy["t"][2] == b"there"
        assert copy.check().unverified_pages == 0


def test_what_a_clone_says_of_itself(home: Path) -> None:
    catalog = sj.Catalog(home)
    filled(home, mode=0o640).close()
    original = catalog.lookup("genes")
    record = catalog.clone("genes", "copy")
    assert record == catalog.lookup("copy")
    assert record.segment.base == original.segment.base
    assert record.uuid != original.uuid
    assert record.created_ns > original.created_ns
    assert Path(catalog.segment_path(record.segment)).stat().st_mode & 0o777 == 0o640
    record = catalog.clone("genes", "shared", mode=0o660)
    assert Path(catalog.segment_path(record.segment)).stat().st_mode & 0o777 == 0o640  # umask
    assert catalog.names() == ["copy", "genes", "shared"]
    with sj.open("copy", "r", home=home) as store:
        assert store.check().unverified_pages == 0


def test_a_clone_may_have_another_durability(disk_home: Path) -> None:
    with filled(disk_home) as store:
        with store.clone("power", durability="power") as power:
            assert (power.domain, power.durability) == ("wal", "power")
            power["t"][1] = b"durable"
            with power.clone("process", durability="process") as process:
                assert (process.domain, process["t"][1]) == ("file", b"durable")
        with pytest.raises(sj.InvalidArgumentError, match="durability: expected"):
            store.clone("none", durability="any")  # type: ignore[arg-type]


def test_what_cannot_be_cloned(home: Path) -> None:
    catalog = sj.Catalog(home)
    with filled(home) as store:
        with pytest.raises(sj.AlreadyExistsError):
            store.clone("genes")
        with pytest.raises(sj.InvalidNameError):
            store.clone("genes@1")
        with pytest.raises(sj.InvalidArgumentError, match="not to be had on tmpfs"):
            store.clone("copy", durability="power")
        with store.transaction(), pytest.raises(sj.InvalidArgumentError, match="no transaction"):
            store.clone("copy")
        with pytest.raises(sj.NotFoundError, match="did you mean 'genes'"):
            catalog.clone("gene", "copy")
        with store.write():  # nothing is half done there
            catalog.clone("genes", "copy")
    assert files_of(home) & {"seg/none.seg", "seg/copy.seg"} == {"seg/copy.seg"}
    with pytest.raises(sj.AlreadyExistsError):
        catalog.clone("genes", "copy")
    with pytest.raises(sj.DetachedError):
        store.clone("closed")


def test_an_exception_of_the_progress_function_ends_the_copy(home: Path) -> None:
    with filled(home) as store:
        steps: list[tuple[int, int]] = []
        store.clone("copy", progress=lambda done, total: steps.append((done, total))).close()
        assert steps[0] == (0, steps[0][1])
        assert steps[-1] == (steps[0][1],) * 2
        before = files_of(home), descriptors()
        for last in range(len(steps)):
            left = iter(range(last + 1))

            def progress(done: int, total: int, left: Any = left, last: int = last) -> None:
                if next(left) == last:
                    raise ZeroDivisionError(done, total)

            with pytest.raises(ZeroDivisionError):
                store.clone("other", progress=progress)
        assert (files_of(home), descriptors()) == before
        store["t"][1] = b"the lock is free"


def test_the_copy_of_one_is_made_while_the_other_is_at_home(home: Path) -> None:
    """The addresses are free for others meanwhile, and the thread has them again afterwards."""
    with filled(home) as store, store.clone("copy") as copy:
        seen: list[bytes] = []
        with store.read():
            store.clone("more", progress=lambda *_: seen.append(copy["t"][7])).close()
            assert store["t"][7] == ITEMS[7]
        assert set(seen) == {ITEMS[7]}


def test_nothing_is_left_open(home: Path) -> None:
    with filled(home) as store:
        store.clone("warm").close()
        store.snapshot("warm")
        sj.open("genes", home=home, private=True).close()
        before = descriptors(), mappings()
        for turn in range(5):
            store.clone(f"copy{turn}").close()
            sj.Catalog(home).clone("genes@warm", f"again{turn}")
            store.snapshot()
            sj.open("genes@1", home=home, private=True).close()
            sj.open("genes", home=home, private=True).close()
        assert (descriptors(), mappings()) == before


# --- versions -----------------------------------------------------------------------------------


def test_versions_are_listed_read_cloned_and_removed(home: Path) -> None:
    catalog = sj.Catalog(home)
    with filled(home) as store:
        assert store.versions == []
        first = store.snapshot()
        store["t"][1] = b"second"
        second = store.snapshot("before-load")
        store["t"].clear()
        third = store.snapshot()
        assert [v.name for v in store.versions] == ["genes@1", "genes@before-load", "genes@2"]
        assert store.versions == [first, second, third] == catalog.versions()
        assert first.created_ns < second.created_ns < third.created_ns
        assert first.tag == "1"
        assert catalog.versions("other") == []
        with pytest.raises(sj.AlreadyExistsError, match="segment 'genes@1'"):
            store.snapshot("1")
        with pytest.raises(sj.InvalidNameError, match="tag"):
            store.snapshot("a b")
        with (
            sj.open("genes@1", "r", home=home) as one,
            sj.open("genes@before-load", "r", home=home) as two,
        ):
            assert (one["t"][1], two["t"][1], len(store["t"])) == (ITEMS[1], b"second", 0)
            assert one.check().unverified_pages == 0
            assert one.readonly
            assert one.versions == store.versions
            with pytest.raises(sj.ReadOnlyError):
                one["t"][1] = b"no"
            with pytest.raises(sj.InvalidArgumentError, match="found a version"):
                one.snapshot()
    assert catalog.names() == ["genes"]
    catalog.remove("genes")  # versions outlive it
    catalog.clone("genes@before-load", "genes")
    with sj.open("genes", home=home) as store:
        assert store["t"][1] == b"second"
        store["t"][1] = b"third"
    for version in catalog.versions():
        catalog.remove(version.name)
    catalog.remove("genes")
    assert files_of(home) == {"lock/catalog.lock"}


def test_a_version_is_opened_for_reading_only_whatever_its_mode(home: Path) -> None:
    with filled(home) as store:
        store.snapshot()
    path = home / "seg" / "genes@1.seg"
    path.chmod(0o600)
    before = path.read_bytes()
    for flag in ("c", "w"):
        with pytest.raises(sj.ReadOnlyError, match="is a version"):
            sj.open("genes@1", flag, home=home)
    with pytest.raises(sj.InvalidNameError):
        sj.open("genes@1", "n", home=home)
    with pytest.raises(sj.NotFoundError):
        sj.open("genes@2", home=home)
    with sj.open("genes@1", "r", home=home) as version:
        assert contents(version)[0] == ITEMS
        sent = pickle.loads(pickle.dumps(version))
        with sent:
            assert sent["t"][3] == ITEMS[3]
    assert path.read_bytes() == before


def test_a_version_of_a_power_store_keeps_that_for_its_clones(disk_home: Path) -> None:
    with filled(disk_home, durability="power") as store:
        store.snapshot("v")
        store["t"][1] = b"later"
    assert not (disk_home / "seg" / "genes@v.seg.log0").exists()
    with sj.open("genes@v", "r", home=disk_home) as version:
        assert contents(version)[0] == ITEMS
        assert version.check().unverified_pages == 0
    sj.Catalog(disk_home).clone("genes@v", "again")
    with sj.open("again", home=disk_home) as again:
        assert (again.durability, again["t"][1]) == ("power", ITEMS[1])


def test_a_version_under_another_name_is_refused(home: Path) -> None:
    with filled(home) as store:
        store.snapshot("a")
    (home / "seg" / "genes@a.seg").rename(home / "seg" / "genes@b.seg")
    with pytest.raises(sj.IdentityError):
        sj.open("genes@b", "r", home=home)


# --- private attachments ------------------------------------------------------------------------


@pytest.fixture(params=["store", "version"])
def name(request: pytest.FixtureRequest, home: Path) -> str:
    """A store, or a version of one, with `ITEMS`."""
    with filled(home) as store:
        if request.param == "store":
            return "genes"
        return store.snapshot().name


def test_changes_of_a_private_attachment_are_its_own(home: Path, name: str) -> None:
    before = files_of(home)
    with sj.open(name, home=home, private=True) as mine, sj.open("genes", home=home) as store:
        assert contents(mine)[0] == ITEMS
        assert (mine.private, store.private, mine.domain) == (True, False, "private")
        assert mine.base == store.base
        store["t"][1] = b"theirs"
        mine["t"][1] = b"mine"
        with mine.transaction():
            mine["h"]["e"] = "f"
        with pytest.raises(ZeroDivisionError), mine.transaction():
            mine["t"].clear()
            1 / 0  # noqa: B018
        mine.btree("new", key="str").update({str(n): n for n in range(50_000)})
        assert (mine["t"][1], store["t"][1]) == (b"mine", b"theirs")
        assert "new" not in store
        assert (len(mine["h"]), len(store["h"]), len(mine["t"])) == (4, 3, 3000)
        with sj.open(name, home=home, private=True) as other:
            assert other["t"][1] == (ITEMS[1] if "@" in name else b"theirs")
            assert "new" not in other
        assert mine.check().leaked_blocks == 0
        mine.sync()
        mine.drop("new")
        assert mine.check().leaked_blocks == 0
    with sj.open("genes", "r", home=home) as store:
        assert contents(store)[0] == {**ITEMS, 1: b"theirs"}
    lock = sj.Catalog(home).lookup("genes").uuid.hex()
    assert files_of(home) - before <= {f"lock/{lock}.lock"}


def test_a_private_attachment_can_be_kept(home: Path, name: str) -> None:
    with sj.open(name, home=home, private=True) as mine:
        mine["t"].update(dict.fromkeys(range(3000, 90000), b"more"))
        assert pickle_fails(mine)
        with pytest.raises(sj.InvalidArgumentError, match="found a private attachment"):
            mine.snapshot()
        with mine.clone("kept") as kept:
            assert kept["t"] == mine["t"]
            assert not kept.private
    with sj.open("kept", home=home) as kept:
        assert len(kept["t"]) == 90_000
        assert kept.check().unverified_pages == 0


def pickle_fails(store: sj.Store) -> bool:
    with pytest.raises(TypeError, match="send a clone of it"):
        pickle.dumps(store)
    return True


def test_a_private_attachment_takes_no_part_in_transactions_with_others(
    home: Path, name: str
) -> None:
    with sj.open(name, home=home, private=True) as mine, sj.open("genes", home=home) as store:
        with pytest.raises(sj.InvalidArgumentError, match="attached privately"):
            with sj.transaction(mine, store):
                pass
        with sj.transaction(mine):
            mine["t"][1] = b"alone"
        assert (mine["t"][1], store["t"][1]) == (b"alone", ITEMS[1])


def test_flags_of_private_attachments(home: Path, name: str) -> None:
    with (
        sj.open(name, "r", home=home, private=True) as mine,
        sj.open("genes", home=home) as store,
    ):
        store["t"].clear()
        assert contents(mine)[0] == ITEMS
        with pytest.raises(sj.ReadOnlyError):
            mine["t"][1] = b"no"
    with pytest.raises(sj.InvalidArgumentError, match="private"):
        sj.open(name, "n", home=home, private=True)
    with pytest.raises(sj.NotFoundError):
        sj.open("nothing", home=home, private=True)
    assert "nothing" not in sj.Catalog(home).names()


def test_threads_share_a_private_attachment(home: Path, name: str, rng: random.Random) -> None:
    """Beside the original, at the same addresses: both move."""
    with sj.open(name, home=home, private=True) as mine, sj.open("genes", home=home) as store:
        mine.btree("n", key="int", value="int")[0] = 0
        failures: list[BaseException] = []

        def work(seed: float) -> None:
            own = random.Random(seed)
            try:
                for _ in range(300):
                    with mine.transaction():
                        mine["n"][0] += 1
                    key = own.randrange(3000)
                    assert store["t"][key] == mine["t"][key] == ITEMS[key]
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(rng.random(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert mine["n"][0] == 1200
        mine.check()
        store.check()


# --- fork ---------------------------------------------------------------------------------------


def test_a_child_of_fork_has_a_private_attachment_of_its_own(home: Path, name: str) -> None:
    with sj.open(name, home=home, private=True) as mine:
        mine["t"][1] = b"before"

        def child() -> tuple[bytes, bytes, int]:
            found = mine["t"][1]
            mine["t"][1] = b"child"
            with mine.transaction():
                mine["t"][2] = b"child"
            mine.check()
            grandchild: Callable[[], bytes] = lambda: mine["t"][2]  # noqa: E731
            return found, in_child(grandchild), len(mine["t"])

        assert in_child(child) == (b"before", b"child", 3000)
        assert (mine["t"][1], mine["t"][2]) == (b"before", ITEMS[2])


def test_what_was_begun_at_the_fork_is_undone_in_the_child(home: Path, name: str) -> None:
    with sj.open(name, home=home, private=True) as mine:
        with mine.transaction():
            mine["t"].clear()
            assert in_child(lambda: len(mine["t"])) == 3000
            assert in_child(lambda: in_child(lambda: len(mine["t"]))) == 3000
            assert len(mine["t"]) == 0
        assert in_child(lambda: len(mine["t"])) == 0


def test_a_fork_while_another_thread_writes_is_noticed(home: Path, name: str) -> None:
    """The child's copy may have what was stored later without what was stored before."""
    with sj.open(name, home=home, private=True) as mine, sj.open("genes", home=home) as store:
        entered, leave = threading.Event(), threading.Event()

        def stay() -> None:
            with mine.transaction():
                mine["t"][1] = b"changing"
                entered.set()
                leave.wait()

        thread = threading.Thread(target=stay)
        thread.start()
        entered.wait()

        def child() -> str:
            assert store["t"][1] == ITEMS[1]
            try:
                len(mine["t"])
            except sj.SegmentDamagedError as error:
                mine.close()
                return str(error)
            return "no error"

        try:
            found = in_child(child)
        finally:
            leave.set()
            thread.join()
        assert "another thread was changing it when this process was forked" in found
        assert in_child(lambda: mine["t"][1]) == b"changing"
