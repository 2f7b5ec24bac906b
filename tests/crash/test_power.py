# SPDX-License-Identifier: Apache-2.0
"""Durability "power", in real processes: killed all at once, without the image in memory.

Several writers commit to one store at the same time, so that they share the waits for its disk.
Each adds groups of keys of its own, one group a commit, and counts the group in shared memory as
soon as it is acknowledged. What was written and not synced stays, for a test cannot take it from
the page cache: lost sectors are what the native tests are for.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from typing import TYPE_CHECKING

import pytest
from children import Child

import spacejmp as sj
from spacejmp._space import segment_inspect

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

GIB = 1 << 30
WRITERS = 4
SYNC_EVERY = 23
"""One writer has a checkpoint written after so many groups."""


@pytest.fixture
def images(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where working images go."""
    monkeypatch.setenv("SPACEJMP_SHM", str(home))
    return home


@pytest.fixture
def counts() -> memoryview:
    """Groups that each writer has been told are durable; shared with its children."""
    return memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")


def group(writer: int, number: int) -> dict[tuple[int, int, int], bytes]:
    """What a commit adds: one to four keys, now and then a large value."""
    size = 20_000 if number % 11 == 5 else number % 90
    return {(writer, number, part): bytes([part]) * size for part in range(1 + number % 4)}


def open_store(home: Path) -> sj.Store:
    return sj.open("genes", home=home, reserve=GIB, durability="power")


def write(home: Path, counts: memoryview, writer: int, groups: int | None = None) -> None:
    """Go on where the count is; for ever, or for so many groups."""
    with open_store(home) as store:
        tree = store.btree("t", key="any", value="bytes")
        last = None if groups is None else counts[writer] + groups
        while counts[writer] != last:
            number = counts[writer]
            with store.transaction():
                tree.update(group(writer, number))
            counts[writer] = number + 1
            if writer == 0 and number % SYNC_EVERY == 0:
                store.sync()


def catch_up(home: Path, counts: memoryview) -> None:
    """Compare the store with the counts, which then include what was in flight and is there."""
    expected: dict[tuple[int, int, int], bytes] = {}
    with open_store(home) as store:
        assert store.check().leaked_blocks == 0
        found = dict(store.btree("t", key="any", value="bytes").items())
    for writer in range(WRITERS):
        next_one = group(writer, counts[writer])
        counts[writer] += found.keys() >= next_one.keys()
        for number in range(counts[writer]):
            expected |= group(writer, number)
    assert found == expected


def writer_of(home: Path, counts: memoryview, writer: int, groups: int | None = None) -> Child:
    """A process that writes for ever, or so many groups."""
    return Child(lambda _: write(home, counts, writer, groups))


@contextlib.contextmanager
def writers(home: Path, counts: memoryview) -> Iterator[list[Child]]:
    """Processes that write for ever; they are killed at the end of the block."""
    children = [writer_of(home, counts, writer) for writer in range(WRITERS)]
    try:
        yield children
    finally:
        for child in children:
            child.kill()


def wait_for_more(counts: memoryview, groups: int) -> None:
    """Until so many groups more are acknowledged, all writers together."""
    target = sum(counts[:WRITERS]) + groups
    deadline = time.monotonic() + 120
    while sum(counts[:WRITERS]) < target:
        assert time.monotonic() < deadline, "the writers hang"
        time.sleep(0.0005)


def test_acknowledged_commits_of_all_writers_survive_power_loss(
    disk_home: Path, images: Path, counts: memoryview, rng: random.Random
) -> None:
    open_store(disk_home).close()
    for round_ in range(20):
        with writers(disk_home, counts) as children:
            wait_for_more(counts, rng.choice((0, 1, 5, 40, 150)))
            for child in rng.sample(children, len(children)):
                child.kill()
        if round_ % 4 != 3:  # as if the machine had been started again
            for image in images.glob("spacejmp-*"):
                image.unlink()
        catch_up(disk_home, counts)
        assert not list(images.glob("spacejmp-*"))
    assert min(counts[:WRITERS]) > 0


def test_a_writer_that_dies_alone_does_not_harm_the_others(
    disk_home: Path, images: Path, counts: memoryview, rng: random.Random
) -> None:
    open_store(disk_home).close()
    with writers(disk_home, counts) as children:
        for victim in rng.sample(range(WRITERS), WRITERS - 1):
            wait_for_more(counts, 20)
            children[victim].kill()
        wait_for_more(counts, 20)
    catch_up(disk_home, counts)


def test_the_last_of_several_writers_closes_the_store(
    disk_home: Path, images: Path, counts: memoryview
) -> None:
    """Each closes while others write; after the last one all is in the segment file."""
    open_store(disk_home).close()
    children = [writer_of(disk_home, counts, w, groups=10 + 15 * w) for w in range(WRITERS)]
    assert [child.end() for child in children] == [0] * WRITERS
    assert list(counts[:WRITERS]) == [10 + 15 * w for w in range(WRITERS)]
    record = sj.Catalog(disk_home).lookup("genes")
    segment = sj.Catalog(disk_home).segment_path(record.segment)
    assert segment_inspect(segment).clean
    assert not list(images.glob("spacejmp-*"))
    for number in range(2):
        os.truncate(f"{segment}.log{number}", mmap.PAGESIZE)  # nobody needs what was in them
    catch_up(disk_home, counts)
