# SPDX-License-Identifier: Apache-2.0
"""Many processes create, find and remove at once: each name once, no two segments at one place."""

from __future__ import annotations

import contextlib
import fcntl
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
from spacejmp.persistence.errors import (
    AlreadyExistsError,
    NotFoundError,
    SpaceBusyError,
    SpaceJmpError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

PROCESSES = 8


@contextlib.contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold the catalog's lock, as another process would."""
    with (home / "lock" / "catalog.lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
                    catalog.lookup("genes")
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


def test_a_holder_that_does_not_end_is_a_timeout(home: Path) -> None:
    catalog = Catalog(home, timeout=0.05)
    catalog.create("genes")
    with locked(home):
        results = at_once(lambda _: catalog.create("other"))
    assert all(isinstance(result, SpaceBusyError) for result in results)
    assert all(isinstance(result, TimeoutError) for result in results)


def test_the_lock_of_a_dead_holder_is_free(home: Path) -> None:
    catalog = Catalog(home, timeout=5.0)
    catalog.create("genes")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with locked(home):
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
    catalog = Catalog(home, timeout=60.0)
    catalog.create("genes")
    made: list[object] = []
    with locked(home):
        waiter = threading.Thread(target=lambda: made.append(catalog.create("other")))
        waiter.start()
        time.sleep(0.02)
        (home / "lock" / "catalog.lock").unlink()
        catalog.create("third")
    waiter.join()
    assert len(made) == 1
    assert files_of(home) == expected_files("genes", "other", "third")


def test_a_wait_ends_with_the_signal_that_interrupts_it(home: Path) -> None:
    def ring(*_: object) -> None:
        raise InterruptedError

    catalog = Catalog(home, timeout=60.0)
    catalog.create("genes")
    old = signal.signal(signal.SIGALRM, ring)
    try:
        with locked(home):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(InterruptedError):
                catalog.create("other")
    finally:
        signal.signal(signal.SIGALRM, old)
    assert catalog.names() == ["genes"]
