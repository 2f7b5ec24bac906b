# SPDX-License-Identifier: Apache-2.0
"""Stores with durability "power" on an ordinary filesystem: what there is of them, and how long."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from children import kill_inside
from homes import files_of

import spacejmp as sj

if TYPE_CHECKING:
    from pathlib import Path

RESERVE = 1 << 30
FILES = {"seg/genes.seg", "seg/genes.seg.log0", "seg/genes.seg.log1"}


@pytest.fixture
def images(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of their own for working images."""
    monkeypatch.setenv("SPACEJMP_SHM", str(home))
    return home


def make(home: Path) -> sj.Store:
    return sj.open("genes", home=home, durability="power", reserve=RESERVE)


def test_a_power_store_says_what_it_is(disk_home: Path, images: Path) -> None:
    with make(disk_home) as store:
        assert (store.domain, store.durability) == ("wal", "power")
        store.hashmap("t")["a"] = 1
        assert len(list(images.iterdir())) == 1
    assert list(images.iterdir()) == []
    with sj.open("genes", "r", home=disk_home) as store:
        assert (store.durability, store["t"]["a"]) == ("power", 1)


def test_what_was_acknowledged_is_there_without_the_image(disk_home: Path, images: Path) -> None:
    def write() -> None:
        tree = make(disk_home).btree("t", key="int")
        for i in range(300):
            tree[i] = "x" * (i % 50)
        os.kill(os.getpid(), signal.SIGKILL)  # before it is closed

    kill_inside(write)
    (image,) = images.iterdir()
    image.unlink()
    with sj.open("genes", home=disk_home) as store:
        assert [len(value) for value in store["t"].values()] == [i % 50 for i in range(300)]
        store.check()


def test_a_removed_store_leaves_nothing(disk_home: Path, images: Path) -> None:
    """Logs, checksums, and the image of processes that died stayed, the image until a reboot."""
    store = make(disk_home)
    store.hashmap("t")["a"] = 1
    assert files_of(disk_home) >= FILES
    sj.Catalog(disk_home).remove("genes")
    assert list(images.iterdir()) == []
    assert store["t"]["a"] == 1  # who has it open keeps it
    store.close()
    assert files_of(disk_home) == {"lock/catalog.lock"}


def test_the_checksums_of_a_removed_store_go_with_it(home: Path) -> None:
    with sj.open("genes", home=home) as store:
        store.hashmap("t")["a"] = 1
    assert (home / "seg" / "genes.seg.sum").exists()
    sj.Catalog(home).remove("genes")
    assert files_of(home) == {"lock/catalog.lock"}


def test_a_new_store_of_the_same_name_has_logs_of_its_own(disk_home: Path, images: Path) -> None:
    old = make(disk_home)
    old.hashmap("t")["a"] = 1
    new = sj.open("genes", "n", home=disk_home, durability="power", reserve=RESERVE)
    new.hashmap("t")["b"] = 2
    old["t"]["c"] = 3
    old.close()
    new.close()
    with sj.open("genes", home=disk_home) as store:
        assert dict(store["t"]) == {"b": 2}
    assert list(images.iterdir()) == []


def test_an_image_that_is_cut_short_is_an_error(disk_home: Path, images: Path) -> None:
    with make(disk_home) as store:
        store.hashmap("t", key="int").update(dict.fromkeys(range(1000), "x" * 100))
    store = make(disk_home)
    table = store["t"]
    (image,) = images.iterdir()
    os.truncate(image, 0)
    with pytest.raises(sj.SegmentDamagedError, match="working image"):
        dict(table)
    with pytest.raises(sj.SegmentDamagedError):
        table[1] = "y"
    with pytest.raises(sj.SegmentDamagedError):
        store.close()
    with make(disk_home) as store:
        assert len(store["t"]) == 1000
        store.check()
