# SPDX-License-Identifier: Apache-2.0
"""The processes of the demo: each has one role, and shares nothing with the others but the store.

``python -m spacejmp.apps.demo_worker ROLE`` reads its job from stdin, a line of JSON, and reports
on stdout, a line of JSON for each event. What it times lies in its own process: no start of an
interpreter and no import is in any figure.

=========  =====================================================================================
role       what it does
=========  =====================================================================================
build      inserts, acknowledging what is committed; ends inside a transaction, waiting for death
recover    opens the store after that, compares all of it, loads the rest, closes
query      opens it after a clean close, and looks around
write      moves credit between characters, in transactions that leave its sum as it is
read       reads those characters meanwhile, under `read()`, and checks the sum
=========  =====================================================================================
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from time import perf_counter
from typing import TYPE_CHECKING, Any

import spacejmp as sj
from spacejmp.apps.demo_names import STORE, TREE, entries
from spacejmp.apps.items import successor

if TYPE_CHECKING:
    from collections.abc import Callable

Job = dict[str, Any]

PREFIX = "GREEK SMALL LETTER"
CREDIT = 1000
"""What each of the characters of `PREFIX` has at first, in the last part."""


def say(**event: Any) -> None:
    """Report an event to the parent."""
    print(json.dumps(event), flush=True)


def build(job: Job) -> None:
    """Insert one by one, then in transactions; then die inside one."""
    rows = entries()
    singly, batch, stop = job["singly"], job["batch"], job["stop"]
    store = sj.open(STORE, "c", home=job["home"])
    tree = store.btree(TREE, key="str")
    say(event="opened", base=store.base, domain=store.domain)
    begun = perf_counter()
    for at in range(singly):
        tree[rows[at][0]] = rows[at][1]
        say(event="committed", entries=at + 1)
    singly_seconds = perf_counter() - begun
    begun = perf_counter()
    for at in range(singly, stop, batch):
        with store.transaction():
            tree.update(rows[at : at + batch])
        say(event="committed", entries=at + batch)
    say(event="built", singly_seconds=singly_seconds, batches_seconds=perf_counter() - begun)
    with store.transaction():
        for at in range(stop):
            tree[rows[at][0]] = {"lost": at}
            del tree[rows[stop - 1 - at][0]]
            if stop + at < len(rows):
                tree[rows[stop + at][0]] = {"lost": at}
            if at + 1 == job["changes"]:
                say(event="open", changed=at + 1)
            if 2 * at + 3 > stop:
                break
        time.sleep(60)  # the parent has all the time it needs


def _opened(job: Job, key: str) -> tuple[sj.Store, sj.BTree | sj.HashMap]:
    """Open the store, get one value, and say how long that took."""
    begun = perf_counter()
    store = sj.open(STORE, "w", home=job["home"])
    opened = perf_counter()
    tree = store[TREE]
    tree[key]
    got = perf_counter()
    say(
        event="opened",
        open_ms=(opened - begun) * 1e3,
        first_get_us=(got - opened) * 1e6,
        total_ms=(got - begun) * 1e3,
        base=store.base,
    )
    return store, tree


def recover(job: Job) -> None:
    """Open after the kill, compare everything, finish the load."""
    rows = entries()
    there = job["acknowledged"]
    store, tree = _opened(job, rows[there // 2][0])
    with store:
        missing = sum(name not in tree for name, _ in rows[:there])
        different = sum(tree.get(name) != value for name, value in rows[:there])
        uncommitted = sum(name in tree for name, _ in rows[there:])
        begun = perf_counter()
        checked = store.check()
        say(
            event="compared",
            items=len(tree),
            missing=missing,
            different=different - missing,
            uncommitted=uncommitted,
            check={**checked._asdict(), "ms": (perf_counter() - begun) * 1e3},
        )
        begun = perf_counter()
        for at in range(there, len(rows), job["batch"]):
            with store.transaction():
                tree.update(rows[at : at + job["batch"]])
        seconds = perf_counter() - begun
        say(event="finished", items=len(tree), loaded=len(rows) - there, seconds=seconds)


def query(job: Job) -> None:
    """Open after a clean close; ask what only an ordered tree with positions answers."""
    store, tree = _opened(job, "SNOWMAN")
    assert isinstance(tree, sj.BTree)
    with store:
        names = sorted(name for name, _ in entries())
        say(event="compared", items=len(tree), ordered=list(tree) == names)
        for question, ask in _QUESTIONS:
            ask(tree)  # the pages that it touches are mapped now
            begun = perf_counter()
            answer = ask(tree)
            seconds = perf_counter() - begun
            say(event="answer", question=question, answer=answer, us=seconds * 1e6)


def _count(tree: sj.BTree, prefix: str) -> int:
    return tree.bisect_left(successor(prefix)) - tree.bisect_left(prefix)


def _begins(tree: sj.BTree) -> str:
    some = tree.irange_items(PREFIX, successor(PREFIX), (True, False))
    shown = " ".join(value["char"] for _, value in (next(some) for _ in range(12)))
    return f"{_count(tree, PREFIX):,} names: {shown} …"


def _nearest(tree: sj.BTree) -> str:
    at = tree.bisect("SNOWMEN")
    near = [tree.peekitem(at + offset) for offset in (-2, -1, 0, 1)]
    return ", ".join(f"{name} {value['char']}" for name, value in near)


def _scripts(tree: sj.BTree) -> str:
    scripts = ("LATIN", "GREEK", "CYRILLIC", "HANGUL", "CUNEIFORM")
    return ", ".join(f"{_count(tree, script + ' '):,} {script.title()}" for script in scripts)


def _middle(tree: sj.BTree) -> str:
    return f"{tree.peekitem(len(tree) // 2)[0]}, at position {len(tree) // 2:,}"


_QUESTIONS: tuple[tuple[str, Callable[[sj.BTree], str]], ...] = (
    (f"names that begin with {PREFIX}", _begins),
    ("names nearest to SNOWMEN", _nearest),
    ("how many names of each script", _scripts),
    ("the name in the middle of all", _middle),
)


def _pairs(tree: sj.BTree) -> list[tuple[str, str]]:
    """Pair the first names of `PREFIX`: credit moves between the two of a pair."""
    some = tree.irange(PREFIX, successor(PREFIX), (True, False))
    names = [next(some) for _ in range(128)]
    return list(zip(names[::2], names[1::2], strict=True))


def _ready(store: sj.Store) -> None:
    """Wait for the parent's word, so that both begin at the same time."""
    say(event="ready", base=store.base)
    sys.stdin.readline()


def write(job: Job) -> None:
    """Move credit between the two characters of a pair, in a transaction each."""
    random_pair = random.Random(job["seed"])
    with sj.open(STORE, "w", home=job["home"]) as store:
        tree = store[TREE]
        assert isinstance(tree, sj.BTree)
        pairs = _pairs(tree)
        with store.transaction():
            for name in (name for pair in pairs for name in pair):
                tree[name] = {**tree[name], "credit": CREDIT}
        _ready(store)
        transactions = 0
        begun = perf_counter()
        end = begun + job["seconds"]
        while perf_counter() < end:
            source, target = random_pair.choice(pairs)
            with store.transaction():
                giver, taker = tree[source], tree[target]
                amount = random_pair.randrange(-50, 50)
                giver["credit"] -= amount
                taker["credit"] += amount
                tree[source] = giver
                tree[target] = taker
            transactions += 1
        say(event="done", transactions=transactions, seconds=perf_counter() - begun)


def read(job: Job) -> None:
    """Read pairs, and now and then all of them; count the sums that are not what they must be."""
    random_pair = random.Random(job["seed"] + 1)
    with sj.open(STORE, "r", home=job["home"]) as store:
        tree = store[TREE]
        assert isinstance(tree, sj.BTree)
        pairs = _pairs(tree)
        last_seen = dict.fromkeys(pairs, CREDIT)
        holds = gets = changes = broken = 0
        _ready(store)
        begun = perf_counter()
        end = begun + job["seconds"]
        while perf_counter() < end:
            pair = random_pair.choice(pairs)
            with store.read():
                credit, other = (tree[name]["credit"] for name in pair)
            broken += credit + other != 2 * CREDIT
            changes += credit != last_seen[pair]
            last_seen[pair] = credit
            holds += 1
            gets += 2
            if holds % 256 == 0:
                with store.read():
                    total = sum(tree[name]["credit"] for pair in pairs for name in pair)
                broken += total != 2 * CREDIT * len(pairs)
                holds += 1
                gets += 2 * len(pairs)
        seconds = perf_counter() - begun
        say(event="done", holds=holds, gets=gets, changes=changes, broken=broken, seconds=seconds)


_ROLES: dict[str, Callable[[Job], None]] = {
    "build": build,
    "recover": recover,
    "query": query,
    "write": write,
    "read": read,
}


def main(role: str) -> None:
    """Play a role; what goes wrong is an event too."""
    try:
        _ROLES[role](json.loads(sys.stdin.readline()))
    except BrokenPipeError:
        os._exit(1)  # the parent is gone
    except Exception as error:  # told to the parent, then shown in full
        say(event="failed", message=f"{type(error).__name__}: {error}")
        raise


if __name__ == "__main__":
    main(sys.argv[1])
