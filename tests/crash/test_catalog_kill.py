# SPDX-License-Identifier: Apache-2.0
"""Whoever is killed in create or remove leaves the whole store or none of it.

A child process is traced, stopped after each of its system calls in turn, and killed there: between
two system calls nothing that others can see changes. Then another process goes on as if nothing
had happened, and finds each store whole or not there, nothing in its way and nothing left over.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from homes import expected_files, files_of
from traced import killed_after

from spacejmp._space import segment_inspect
from spacejmp.catalog import Catalog
from spacejmp.persistence.errors import AlreadyExistsError, NotFoundError

if TYPE_CHECKING:
    import random

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def prepared(home: Path, operation: str) -> Catalog:
    """A home with a store that must not be touched, and one to remove."""
    catalog = Catalog(home)
    catalog.create("kept")
    if operation == "remove":
        record = catalog.create("genes")
        Path(catalog.lock_path(record.segment)).touch()
    if operation == "rebuild":
        catalog.create("genes")
        (home / "vas" / ".new-dead").touch()
        (home / "seg" / f".removed-{'0' * 32}-reads").touch()
    return catalog


def act(catalog: Catalog, operation: str) -> None:
    if operation == "rebuild":
        catalog.rebuild()
    else:
        getattr(catalog, operation)("genes")


def check(catalog: Catalog, home: Path) -> bool:
    """Whether "genes" is there, whole; then removes and makes it, so that nothing is in the way."""
    kept = catalog.lookup("kept")
    assert segment_inspect(catalog.segment_path(kept.segment)).uuid == kept.uuid
    there = "genes" in catalog.names()
    if there:
        record = catalog.lookup("genes")
        info = segment_inspect(catalog.segment_path(record.segment))
        assert (info.uuid, info.base) == (record.uuid, record.segment.base)
        with pytest.raises(AlreadyExistsError):
            catalog.create("genes")
        catalog.remove("genes")
    with pytest.raises(NotFoundError):
        catalog.lookup("genes")
    assert catalog.create("genes") == catalog.lookup("genes")
    assert files_of(home) == expected_files("genes", "kept")
    return there


@pytest.mark.parametrize("operation", ["create", "remove", "rebuild"])
def test_killed_after_any_system_call_leaves_all_or_nothing(home: Path, operation: str) -> None:
    act(prepared(home / "warm-up", operation), operation)  # lazy imports are done here
    found = set()
    calls, killed = 0, True
    while killed:
        where = home / str(calls)
        catalog = prepared(where, operation)
        killed = killed_after(calls, lambda: act(catalog, operation))  # noqa: B023
        there = check(catalog, where)
        found.add(there)
        if not killed:
            assert there == (operation != "remove"), "it was acknowledged"
        shutil.rmtree(where)
        calls += 1
    assert calls > 20
    assert found == ({True} if operation == "rebuild" else {True, False})


def test_killed_again_while_clearing_up_leaves_all_or_nothing(
    home: Path, rng: random.Random
) -> None:
    for operation in ("create", "remove"):
        act(prepared(home / f"warm-up-{operation}", operation), operation)
    for number in range(150):
        where = home / str(number)
        first, second = rng.choices(("create", "remove"), k=2)
        catalog = prepared(where, first)

        def either(operation: str = second, catalog: Catalog = catalog) -> None:
            with contextlib.suppress(AlreadyExistsError, NotFoundError):
                act(catalog, operation)

        killed_after(rng.randrange(140), lambda: act(catalog, first))  # noqa: B023
        killed_after(rng.randrange(180), either)
        check(catalog, where)
        shutil.rmtree(where)


def churn(catalog: Catalog) -> None:
    """Create and remove the same few stores for ever."""
    while True:
        for name in ("genes", "reads"):
            for action in (catalog.create, catalog.lookup, catalog.remove):
                with contextlib.suppress(AlreadyExistsError, NotFoundError):
                    action(name)


@pytest.mark.parametrize("kind", ["home", "disk_home"])
def test_killed_at_random_among_others_leaves_all_or_nothing(
    kind: str, request: pytest.FixtureRequest, rng: random.Random
) -> None:
    where: Path = request.getfixturevalue(kind)
    catalog = Catalog(where, timeout=60.0)
    catalog.create("kept")
    children: list[int] = []
    try:
        for _ in range(40):
            while len(children) < 3:
                child = os.fork()
                if child == 0:
                    try:
                        churn(catalog)
                    finally:
                        os._exit(1)
                children.append(child)
            time.sleep(rng.random() * 0.02)
            victim = children.pop(rng.randrange(len(children)))
            os.kill(victim, signal.SIGKILL)
            _, status = os.waitpid(victim, 0)
            assert os.WIFSIGNALED(status), "a child failed by itself"
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    if "reads" in catalog.names():
        catalog.remove("reads")
    check(catalog, where)
