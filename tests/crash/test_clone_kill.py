# SPDX-License-Identifier: Apache-2.0
"""Whoever is killed while making a clone or a version leaves the whole of it or none.

As test_catalog_kill.py: a child dies after each of its system calls in turn.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from homes import files_of
from traced import killed_after

import spacejmp as sj

if TYPE_CHECKING:
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

ITEMS = {n: f"value {n}" for n in range(500)}
MADE = {"clone": "copy", "snapshot": "genes@tag"}


def prepared(home: Path) -> sj.Catalog:
    with sj.open("genes", home=home, reserve=1 << 30) as store:
        store.btree("t", key="int").update(ITEMS)
    return sj.Catalog(home)


def act(catalog: sj.Catalog, operation: str) -> None:
    getattr(catalog, operation)("genes", MADE[operation].rpartition("@")[2])


def check(catalog: sj.Catalog, home: Path, operation: str) -> bool:
    """Whether it is there, whole; then removes and makes it, so that nothing is in the way."""
    made = MADE[operation]
    names = {*catalog.names(), *(version.name for version in catalog.versions())}
    if made in names:
        with sj.open(made, "r", home=home) as found:
            assert dict(found["t"].items()) == ITEMS
            found.check()
        with pytest.raises(sj.AlreadyExistsError):
            act(catalog, operation)
        catalog.remove(made)
    with pytest.raises(sj.NotFoundError):
        catalog.lookup(made)
    act(catalog, operation)
    with sj.open(made, "r", home=home) as found:
        assert found.check().unverified_pages == 0
    catalog.remove(made)
    catalog.remove("genes")
    assert files_of(home) == {"lock/catalog.lock"}
    return made in names


@pytest.mark.parametrize("operation", ["clone", "snapshot"])
def test_killed_after_any_system_call_leaves_all_or_nothing(home: Path, operation: str) -> None:
    act(prepared(home / "warm-up"), operation)  # lazy imports are done here
    found = set()
    calls, killed = 0, True
    while killed:
        where = home / str(calls)
        catalog = prepared(where)
        killed = killed_after(calls, lambda: act(catalog, operation))  # noqa: B023
        there = check(catalog, where, operation)
        found.add(there)
        assert killed or there, "it was acknowledged"
        shutil.rmtree(where)
        calls += 1
    assert calls > 40
    assert found == {True, False}
