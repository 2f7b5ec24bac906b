# SPDX-License-Identifier: Apache-2.0
"""Opening and closing, by several at the same time: what is left is marked clean, and nobody works
on a store under another one's lock.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from children import Child, forked, in_child, wait_for
from media import Field, seal

import spacejmp as sj
from spacejmp._space import segment_inspect

if TYPE_CHECKING:
    from collections.abc import Callable

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

GIB = 1 << 30


def is_clean(store: sj.Store) -> bool:
    return segment_inspect(store.path).clean


def new_store(home: Path, mode: int = 0o600) -> sj.Store:
    """A closed store with a map in it."""
    with sj.open("store", home=home, reserve=GIB, mode=mode) as store:
        store.hashmap("h", key="int")[0] = 0
    return store


def test_a_reader_that_closes_last_leaves_the_store_clean(disk_home: Path) -> None:
    store = new_store(disk_home)

    def read_for_long(child: Child) -> None:
        with sj.open("store", "r", home=disk_home):
            child.say()
            child.hear()

    with forked(read_for_long) as reader:
        reader.hear()
        with sj.open("store", "w", home=disk_home) as own:
            own["h"][1] = 1
        assert not is_clean(store)
        reader.say()
        assert reader.end() == 0
    assert is_clean(store)


def test_a_reader_does_not_vouch_for_what_an_earlier_boot_left(disk_home: Path) -> None:
    store = new_store(disk_home)
    seal(Path(store.path), Field.STATE, bytes(8) + b"an earlier boot.")
    with sj.open("store", "r", home=disk_home, accept_unclean=True) as opened:
        opened.check()
    assert not is_clean(store)
    with pytest.raises(sj.UncleanShutdownError):
        sj.open("store", "r", home=disk_home)


# --- a name that another store has meanwhile ------------------------------------------------------


def replace_after_lookup(monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    """Run `action` in another process right after the next lookup of a name."""
    lookup = sj.Catalog.lookup
    pending = [action]

    def looked_up(self: sj.Catalog, name: str) -> Any:
        record = lookup(self, name)
        if pending:
            in_child(pending.pop())
        return record

    monkeypatch.setattr(sj.Catalog, "lookup", looked_up)


def test_a_store_replaced_while_it_is_opened_is_opened_under_its_own_lock(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_store(home)
    replace_after_lookup(monkeypatch, lambda: sj.open("store", "n", home=home).close())
    with sj.open("store", "w", home=home) as store:
        assert list(store.roots) == []

        def get_in() -> None:
            with sj.open("store", "w", home=home) as same, same.write(timeout=0.05):
                pass

        with store.write(), pytest.raises(sj.SpaceBusyError):
            in_child(get_in)


@pytest.mark.parametrize("flag", ["c", "w"])
def test_a_store_removed_while_it_is_opened_is_as_one_that_never_was(
    home: Path, monkeypatch: pytest.MonkeyPatch, flag: Any
) -> None:
    new_store(home)
    replace_after_lookup(monkeypatch, lambda: sj.Catalog(home).remove("store"))
    if flag == "w":
        with pytest.raises(sj.NotFoundError):
            sj.open("store", flag, home=home)
    else:
        with sj.open("store", flag, home=home) as store:
            assert list(store.roots) == []


@pytest.mark.parametrize("flag", ["c", "r", "w", "n"])
def test_a_directory_of_locks_that_has_gone_is_made_again(home: Path, flag: Any) -> None:
    """It was a NotFoundError that named the lock file, of a store that is there."""
    store = new_store(home)
    shutil.rmtree(home / "lock")
    sj.open("store", flag, home=home).close()
    assert is_clean(store)
    shutil.rmtree(home / "lock")
    sj.Catalog(home).remove("store")
    assert sj.Catalog(home).names() == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
def test_who_may_not_make_the_directory_of_locks_is_told(home: Path) -> None:
    new_store(home, mode=0o644)
    shutil.rmtree(home / "lock")
    for path in (home, home / "seg", home / "vas"):
        path.chmod(0o755)

    def open_as_nobody() -> None:
        os.setgroups([])
        os.setresuid(65534, 65534, 65534)
        sj.open("store", "r", home=home)

    with pytest.raises(sj.StorePermissionError, match=r"make .*lock"):
        in_child(open_as_nobody)
    assert not (home / "lock").exists()


def reads_as_nobody(home: Path, *names: str) -> list[str]:
    """Open stores as another user, before anybody else has."""

    def read() -> list[str]:
        os.setgroups([])
        os.setresuid(65534, 65534, 65534)
        with contextlib.ExitStack() as stack:
            stores = [stack.enter_context(sj.open(name, "r", home=home)) for name in names]
            return [store.name for store in stores if store.keys() == []]

    for path in (home, home / "seg", home / "vas", home / "lock"):
        path.chmod(0o755)
    found = in_child(read)
    assert isinstance(found, list)
    return found


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
def test_who_may_only_read_a_store_can_be_its_first_user(home: Path) -> None:
    """It was a StorePermissionError for the lock file, until the owner had opened the store."""
    catalog = sj.Catalog(home)
    catalog.create("made", mode=0o644)
    catalog.clone("made", "clone")
    catalog.snapshot("made", "1")
    catalog.create("widened")
    sj.seg_ctl("widened", "mode", 0o644, home=home)
    sj.vas_create("vas", home=home).seg_attach(sj.seg_find("made", home=home))
    sj.vas_clone("vas", "two", home=home)
    names = ["made", "clone", "made@1", "widened", "two.made"]
    assert reads_as_nobody(home, *names) == names
    catalog.create("own")
    with pytest.raises(sj.StorePermissionError):
        reads_as_nobody(home, "own")


def test_lock_files_go_with_what_they_belong_to(home: Path) -> None:
    catalog = sj.Catalog(home)
    for mode in (0o600, 0o640, 0o666):
        catalog.create("genes", mode=mode, replace=True)
        locks = [path for path in (home / "lock").iterdir() if path.name != "catalog.lock"]
        assert [path.stat().st_mode & 0o777 for path in locks] == (
            [] if mode == 0o600 else [0o660 if mode == 0o640 else 0o666]
        )
        assert [path.stat().st_size for path in locks] == [0] * len(locks)
    catalog.remove("genes")
    assert [path.name for path in (home / "lock").iterdir()] == ["catalog.lock"]


# --- forks meanwhile ------------------------------------------------------------------------------


def test_a_child_forked_while_a_thread_closes_does_not_keep_the_store_open(
    disk_home: Path,
) -> None:
    new_store(disk_home)
    for attempt in range(5):
        store = sj.open("store", home=disk_home)
        store.hashmap("h")[attempt] = 0
        store.hashmap("large", value="bytes")[attempt] = bytes(8 << 20)  # takes time to sync
        closing = threading.Thread(target=store.close)
        closing.start()
        time.sleep(0.001 * attempt)
        with forked(lambda child: child.hear()):
            closing.join()
            in_child(lambda: sj.open("store", home=disk_home, timeout=5).close())


def test_who_dies_is_gone_although_its_child_lives(home: Path) -> None:
    new_store(home)

    def read_and_fork(child: Child) -> None:
        store = sj.open("store", "r", home=home)
        with store.read():
            if os.fork() == 0:
                child.say()
                child.hear()  # until the test is over
                os._exit(0)
            child.hear()

    with forked(read_and_fork) as reader:
        reader.hear()
        os.kill(reader.pid, signal.SIGKILL)
        with sj.open("store", "w", home=home) as store, store.write(timeout=5):
            pass


def test_a_child_that_cannot_open_the_lock_file_is_kept_out(home: Path) -> None:
    new_store(home)

    def fork_without_descriptors() -> int:
        store = sj.open("store", home=home)
        free = os.dup(0)
        os.close(free)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, most))
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(sj.StoreIOError):
                store["h"][1] = 1
                os._exit(1)
            with contextlib.suppress(sj.StoreIOError):
                store.read().__enter__()
                os._exit(2)
            os._exit(7)
        store["h"][2] = 2
        return wait_for(pid)

    assert in_child(fork_without_descriptors) == 7
    with sj.open("store", home=home) as store:
        assert dict(store["h"]) == {0: 0, 2: 2}
