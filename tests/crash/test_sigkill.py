# SPDX-License-Identifier: Apache-2.0
"""Writers and readers are killed at random moments: what was acknowledged is there, all of it.

`kills.py` says how it is done; here are the changes of BTree and HashMap.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from children import wait_for
from crash.kills import Change, UndoError, World, anew, cycles, killed

import spacejmp as sj

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

STRUCTURES: dict[str, tuple[str, str, str]] = {
    "tree-int": ("btree", "int", "bytes"),
    "tree-str": ("btree", "str", "any"),
    "tree-any": ("btree", "any", "int"),
    "map-int": ("hashmap", "int", "int"),
    "map-bytes": ("hashmap", "bytes", "bytes"),
    "map-float": ("hashmap", "float", "str"),
}
KEYS: dict[str, Callable[[int], Any]] = {
    "int": lambda n: n * 5,
    "str": "a key that is long {:05d}".format,
    "any": lambda n: (n % 5, str(n)) if n % 2 else n,
    "bytes": lambda n: b"%d" % n * (1 + n % 9),
    "float": lambda n: n / 3,
}
VALUES: dict[str, Callable[[int], Any]] = {
    "int": lambda n: n,
    "bytes": lambda n: b"v%d" % n * (n % 40),
    "str": lambda n: f"v{n}" * (n % 9),
    "any": lambda n: {"n": n, "list": list(range(n % 9))},
}

State = dict[str, dict[Any, Any]]


# --- the plan -----------------------------------------------------------------------------------


def some_change(rng: random.Random, depth: int = 0) -> Change:
    """One change of the plan, made of plain data."""
    name = rng.choice(list(STRUCTURES))
    kind = rng.choices(
        ("put", "delete", "pop", "group", "undone", "clear", "drop", "load", "large"),
        (40, 20, 5, 0 if depth > 1 else 14, 0 if depth > 1 else 4, 1, 1, 2, 1),
    )[0]
    if kind in ("group", "undone"):
        return kind, [some_change(rng, depth + 1) for _ in range(rng.randrange(1, 12))]
    if kind == "load":
        return kind, name, sorted(rng.sample(range(400), rng.randrange(1, 300)))
    return kind, name, rng.randrange(400), rng.randrange(10_000)


def key_of(name: str, n: int) -> Any:
    return KEYS[STRUCTURES[name][1]](n)


def value_of(name: str, n: int) -> Any:
    return VALUES[STRUCTURES[name][2]](n)


def apply_to_model(state: State, change: Change) -> State:
    """The state after a change; a new one, so that the old one stays."""
    kind, name, *rest = change
    if kind == "undone":
        return state
    if kind == "group":
        for each in name:
            state = apply_to_model(state, each)
        return state
    old = state.get(name, {})
    if kind == "drop":
        return {**state, name: {}}
    if kind == "clear":
        return {**state, name: {}}
    if kind == "load":
        loaded = {key_of(name, n): value_of(name, n) for n in rest[0]}
        return {**state, name: loaded}
    key, value = key_of(name, rest[0]), value_of(name, rest[1])
    if kind in ("put", "large"):
        return {**state, name: {**old, key: value}}
    return {**state, name: {k: v for k, v in old.items() if k != key}}


def apply_to_store(store: sj.Store, change: Change) -> None:
    kind, name, *rest = change
    if kind in ("group", "undone"):
        with contextlib.suppress(UndoError), store.transaction():
            for each in name:
                apply_to_store(store, each)
            if kind == "undone":
                raise UndoError
        return
    mapping = open_structure(store, name)
    if kind == "put":
        mapping[key_of(name, rest[0])] = value_of(name, rest[1])
    elif kind == "delete":
        with contextlib.suppress(KeyError):
            del mapping[key_of(name, rest[0])]
    elif kind == "pop":
        mapping.pop(key_of(name, rest[0]), None)
    elif kind == "clear":
        mapping.clear()
    else:
        with store.transaction():
            apply_large(store, mapping, kind, rest)


def apply_large(store: sj.Store, mapping: Any, kind: str, rest: list[Any]) -> None:
    """The changes that need a transaction to be one."""
    name = mapping.name
    if kind == "drop":
        store.drop(name)
        open_structure(store, name)
    elif kind == "load":
        mapping.clear()
        items = {key_of(name, n): value_of(name, n) for n in rest[0]}
        if STRUCTURES[name][:2] in (("btree", "int"), ("btree", "str")):
            mapping.bulk_load(items)
        else:
            mapping.update(items)
    else:  # more than the first part of the log has room for
        for n in range(rest[0], rest[0] + 300):
            mapping[key_of(name, n + 1000)] = value_of(name, n)
        for n in range(rest[0], rest[0] + 300):
            del mapping[key_of(name, n + 1000)]
        mapping[key_of(name, rest[0])] = value_of(name, rest[1])


def open_structure(store: sj.Store, name: str) -> Any:
    kind, key, value = STRUCTURES[name]
    return getattr(store, kind)(name, key=key, value=value)


# --- writing, dying, verifying ------------------------------------------------------------------


def contents(store: sj.Store) -> State:
    """Everything, read in both ways: by iterating, and key by key."""
    state: State = {}
    with store.read():
        for name in store.roots:
            mapping = store[name]
            state[name] = dict(mapping.items())
            assert len(mapping) == len(state[name])
            assert all(mapping[key] == value for key, value in state[name].items())
            if isinstance(mapping, sj.BTree):
                assert list(reversed(mapping)) == list(mapping)[::-1]
        report = store.check()
    assert report.leaked_blocks == 0
    assert report.items == sum(map(len, state.values()))
    return state


def full(state: State) -> State:
    return {name: items for name, items in state.items() if items}


WORLD = World(
    empty=State(),
    some_change=some_change,
    apply_to_model=lambda state, change: full(apply_to_model(state, change)),
    apply_to_store=apply_to_store,
    contents=lambda store: full(contents(store)),
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["home", "disk_home"])
def test_acknowledged_changes_survive_sigkill_of_the_only_process(
    kind: str, request: pytest.FixtureRequest, rng: random.Random
) -> None:
    home: Path = request.getfixturevalue(kind)
    count = 120 if kind == "home" else 30
    changes = list(cycles(WORLD, count, rng, lambda: anew(home)))
    print(f"{count} kills among {changes[-1]} changes")
    assert changes[-1] > count


@pytest.mark.slow
def test_acknowledged_changes_survive_sigkill_beside_a_process_that_goes_on(
    store: sj.Store, rng: random.Random
) -> None:
    """The parent has the store open all the time: it finds the lock of a dead writer."""
    changes = list(cycles(WORLD, 120, rng, lambda: contextlib.nullcontext(lambda: store)))
    print(f"120 kills among {changes[-1]} changes")
    assert changes[-1] > 120


def read_for_ever(store: sj.Store) -> None:
    while True:
        with store.read():
            assert sum(store["pairs"].values()) == 0
            for _ in store["pairs"]:
                pass


@pytest.mark.slow
def test_killed_readers_and_writers_never_block_the_others(
    store: sj.Store, rng: random.Random
) -> None:
    """Readers die inside of read(), writers inside of transactions; a writer here goes on."""
    pairs = store.btree("pairs", key="int", value="int")
    pairs.update(dict.fromkeys(range(100), 0))

    def transfer() -> None:
        while True:
            with store.transaction():
                one, other = rng.sample(range(100), 2)
                pairs[one] += 1
                for _ in range(rng.randrange(50)):
                    pass
                pairs[other] -= 1

    children: list[int] = []
    for _ in range(60):
        while len(children) < 4:
            pid = os.fork()
            if pid == 0:
                rng.seed(os.getpid())
                try:
                    (read_for_ever if len(children) % 2 else lambda _: transfer())(store)
                finally:
                    os._exit(1)
            children.append(pid)
        time.sleep(rng.random() * 0.01)
        victim = children.pop(rng.randrange(4))
        os.kill(victim, signal.SIGKILL)
        assert wait_for(victim) == -signal.SIGKILL, "a child failed by itself"
        with store.transaction(timeout=60):
            pairs[1], pairs[2] = pairs[1] + 1, pairs[2] - 1
        with store.read(timeout=60):
            assert sum(pairs.values()) == 0
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        assert wait_for(pid) == -signal.SIGKILL
    report = store.check()
    assert (report.items, report.leaked_blocks) == (100, 0)


@pytest.mark.slow
def test_killed_while_opening_and_closing_leaves_a_store_that_opens(
    home: Path, rng: random.Random
) -> None:
    with sj.open("genes", home=home) as store:
        store.btree("t", key="int")[0] = 0

    def churn() -> None:
        while True:
            with sj.open("genes", home=home) as store:
                tree = store["t"]
                tree[0] += 1

    seen = 0
    for _ in range(60):
        killed(churn, rng.random() * 0.01)
        with sj.open("genes", home=home, timeout=60) as store:
            assert store["t"][0] >= seen
            seen = store["t"][0]
            assert store.check().leaked_blocks == 0
    assert seen > 0
