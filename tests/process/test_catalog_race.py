# SPDX-License-Identifier: Apache-2.0
"""Many processes create, find and remove at once: each name once, no two segments at one place."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from homes import expected_files, files_of

from spacejmp.arena import GIB
from spacejmp.catalog import Catalog
from spacejmp.files import locked
from spacejmp.persistence.errors import (
    AlreadyExistsError,
    NotFoundError,
    SpaceBusyError,
    SpaceJmpError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

PROCESSES = 8


def at_once(action: Callable[[int], Any]) -> list[Any]:
    """Call `action` with 0 … 7, each in a process of its own, at once; gives the results."""
    gate_out, gate_in = os.pipe()
    children = []
    for number in range(PROCESSES):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(gate_in)
            os.read(gate_out, 1)  # ends when the parent opens the gate
            try:
                result: Any = action(number)
            except BaseException as error:
                result = error
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(pickle.dumps(result))
            os._exit(0)
        os.close(writer)
        children.append((child, reader))
    os.close(gate_in)
    os.close(gate_out)
    results = []
    for child, reader in children:
        with os.fdopen(reader, "rb") as pipe:
            results.append(pickle.loads(pipe.read()))
        os.waitpid(child, 0)
    return results


def test_of_many_that_create_one_name_one_succeeds(home: Path) -> None:
    for attempt in range(5):
        catalog = Catalog(home / str(attempt), timeout=60.0)
        results = at_once(lambda _: catalog.create("genes"))  # noqa: B023
        made = [result for result in results if not isinstance(result, Exception)]
        refused = [result for result in results if isinstance(result, AlreadyExistsError)]
        assert (len(made), len(refused)) == (1, PROCESSES - 1), results
        assert catalog.lookup("genes") == made[0]
        assert files_of(home / str(attempt)) == expected_files("genes")


def test_many_that_create_different_names_do_not_overlap(home: Path) -> None:
    catalog = Catalog(home, timeout=60.0)

    def make(number: int) -> list[Any]:
        return [catalog.create(f"s{number}.{i}", reserved=(1 + i) * GIB) for i in range(6)]

    made = [record for records in at_once(make) for record in records]
    assert len(made) == 6 * PROCESSES
    extents = sorted((r.segment.base, r.segment.base + r.segment.reserved) for r in made)
    assert all(end <= base for (_, end), (base, _) in itertools.pairwise(extents))
    assert {record.name: record for record in made} == {
        name: catalog.lookup(name) for name in catalog.names()
    }


def test_stores_that_come_and_go_are_whole_whenever_they_are_seen(home: Path) -> None:
    catalog = Catalog(home, timeout=60.0)

    def churn(number: int) -> tuple[int, int, int]:
        created = removed = seen = 0
        for i in range(40):
            try:
                if (i + number) % 4 == 0:
                    catalog.create("genes")
                    created += 1
                elif (i + number) % 4 == 2:
                    catalog.remove("genes")
                    removed += 1
                else:
                    record = catalog.lookup("genes")
                    assert record.uuid == record.segment.uuid
                    seen += 1
            except (AlreadyExistsError, NotFoundError):
                pass
        return created, removed, seen

    results = at_once(churn)
    assert all(isinstance(result, tuple) for result in results), results
    created, removed = (sum(result[i] for result in results) for i in (0, 1))
    assert created - removed == len(catalog.names())
    if catalog.names():
        catalog.remove("genes")
    assert files_of(home) == expected_files()


def test_records_lost_by_all_are_rebuilt_by_any(home: Path) -> None:
    catalog = Catalog(home)
    records = [catalog.create(f"s{number}") for number in range(5)]
    for path in (home / "vas").iterdir():
        path.unlink()
    assert at_once(lambda _: [catalog.lookup(r.name) for r in records]) == PROCESSES * [records]
    assert len(catalog.rebuild().records) == 5


def test_a_holder_that_does_not_end_is_a_timeout(home: Path) -> None:
    catalog = Catalog(home, timeout=0.05)
    catalog.create("genes")
    with locked(str(home / "lock" / "catalog.lock"), 0o600, 0):
        results = at_once(lambda _: catalog.create("other"))
    assert all(isinstance(result, SpaceBusyError) for result in results)
    assert all(isinstance(result, TimeoutError) for result in results)


def test_the_lock_of_a_dead_holder_is_free(home: Path) -> None:
    catalog = Catalog(home, timeout=5.0)
    catalog.create("genes")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with locked(str(home / "lock" / "catalog.lock"), 0o600, 0):
            os.write(writer, b"x")
            time.sleep(60)
        os._exit(1)
    os.read(reader, 1)
    with pytest.raises(SpaceBusyError):
        Catalog(home, timeout=0).create("other")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert catalog.create("other")
    os.close(reader)
    os.close(writer)


def test_a_fork_does_not_keep_the_lock_of_another_thread(home: Path) -> None:
    catalog = Catalog(home, timeout=5.0)
    catalog.create("genes")
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(str(home / "lock" / "catalog.lock"), 0o600, 0):
            inside.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(60)
    open_files = len(os.listdir("/proc/self/fd"))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, bytes([len(os.listdir("/proc/self/fd")) - 2]))
        time.sleep(60)
        os._exit(1)
    in_child = os.read(reader, 1)[0]
    done.set()
    holder.join()
    try:
        assert in_child == open_files - 1
        assert catalog.create("other")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)


def test_threads_exclude_each_other(home: Path) -> None:
    catalog = Catalog(home, timeout=60.0)
    results: list[object] = []

    def make() -> None:
        try:
            results.append(catalog.create("genes"))
        except SpaceJmpError as error:
            results.append(error)

    threads = [threading.Thread(target=make) for _ in range(PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [result for result in results if isinstance(result, AlreadyExistsError)]
    assert len(refused) == PROCESSES - 1
    assert catalog.names() == ["genes"]


def test_a_lock_file_that_was_removed_meanwhile_is_made_anew(home: Path) -> None:
    path = home / "catalog.lock"
    entered: list[bool] = []

    def wait() -> None:
        with locked(str(path), 0o600, 60):
            entered.append(path.exists())

    with locked(str(path), 0o600, 0):
        waiter = threading.Thread(target=wait)
        waiter.start()
        time.sleep(0.02)
        path.unlink()
    waiter.join()
    assert entered == [True]
