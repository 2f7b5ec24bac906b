# SPDX-License-Identifier: Apache-2.0
"""Closing stores: what is left of them says so; with anybody inside or waiting it is refused."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from children import Child, forked, in_child

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

BASE = 0x4000_0000_0000
GIB = 1 << 30


def test_everything_of_a_closed_store_raises_detached(home: Path) -> None:
    store = sj.open("genes", home=home)
    tree, table = store.btree("t", key="int"), store.hashmap("h", key="int")
    tree.update(dict.fromkeys(range(100)))
    table.update(dict.fromkeys(range(100)))
    iterators = [iter(tree), iter(table.items()), tree.irange(5), tree.islice(3), reversed(tree)]
    for each in iterators:
        next(each)
    views: list[Any] = [tree.keys(), tree.items(), table.values(), table.keys(), store.roots]
    hold, transaction = store.read(), store.transaction()
    store.close()
    store.close()
    uses: list[Callable[[], object]] = [
        *[lambda each=each: next(each) for each in iterators],
        *[lambda view=view: len(view) for view in views],
        *[lambda view=view: list(view) for view in views],
        lambda: tree.keys()[0],
        lambda: tree[1],
        lambda: table.pop(1),
        lambda: tree.clear(),
        lambda: tree.bulk_load([]),
        lambda: tree.setdefault(1),
        lambda: table.popitem(),
        hold.__enter__,
        transaction.__enter__,
        store.__enter__,
        store.check,
        store.stats,
        store.sync,
        store.read().__enter__,
        lambda: store.btree("t"),
        lambda: store["h"],
        lambda: store.drop("t"),
        lambda: store.base,
        lambda: store.domain,
        lambda: store.reserve,
    ]
    for use in uses:
        with pytest.raises(sj.DetachedError, match="closed"):
            use()
    with pytest.raises(ValueError, match="open it again"):
        tree[1]


def test_opening_twice_in_a_process_shares_the_space(home: Path) -> None:
    one, other = sj.open("genes", home=home), sj.open("genes", home=home)
    assert one.base == other.base
    tree, same = one.btree("t"), other.btree("t")
    with one.transaction():
        tree[1] = "one"
        assert same[1] == "one"
    one.close()
    with pytest.raises(sj.DetachedError):
        tree[1]
    assert same[1] == "one"
    same[2] = "two"
    other.close()


def test_a_store_that_nobody_refers_to_is_closed(home: Path) -> None:
    sj.open("genes", home=home, base=BASE, reserve=GIB).btree("t")[1] = 1
    gc.collect()
    with sj.open("other", home=home, base=BASE, reserve=GIB) as store:
        assert store.base == BASE


def test_closing_with_a_thread_inside_is_refused_and_changes_nothing(home: Path) -> None:
    store = sj.open("genes", home=home)
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with store.read():
            inside.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(60)
    with pytest.raises(sj.SpaceBusyError, match="thread"):
        store.close()
    assert not store.closed
    store.check()
    done.set()
    thread.join()
    store.close()
    assert store.closed


@pytest.mark.parametrize("how", ["read", "write", "transaction"])
def test_closing_inside_an_own_hold_is_refused(store: sj.Store, how: str) -> None:
    with getattr(store, how)():
        with pytest.raises(sj.SpaceBusyError):
            store.close()
        store.btree("t") if how != "read" else store.check()
    store.btree("t")[1] = 1


def test_closing_with_a_thread_waiting_is_refused(home: Path) -> None:
    store = sj.open("genes", home=home)
    tree = store.btree("t", key="int", value="int")
    failed: list[BaseException] = []

    def hold(child: Child) -> None:
        with store.write():
            child.say()
            child.hear()

    def put() -> None:
        try:
            tree[1] = 1
        except sj.DetachedError as error:  # it was too slow, and not waiting yet
            failed.append(error)

    with forked(hold) as child:
        child.hear()
        thread = threading.Thread(target=put)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        with contextlib.suppress(sj.SpaceBusyError):
            store.close()
        closed = store.closed
        child.say()
        thread.join()
        assert child.end() == 0
    assert closed == bool(failed)
    with sj.open("genes", home=home) as again:
        assert (1 in again.btree("t")) == (not closed)
    store.close()


class Closer:
    """A value that closes a store when it is read."""

    stores: ClassVar[list[sj.Store]] = []
    refused = 0

    def __reduce__(self) -> Any:
        return Closer.close, ()

    @staticmethod
    def close() -> str:
        try:
            Closer.stores[0].close()
        except sj.SpaceBusyError:
            Closer.refused += 1
        return "closed"


@pytest.mark.parametrize("handles", [1, 2])
@pytest.mark.parametrize("kind", ["btree", "hashmap"])
def test_a_value_that_closes_its_store_while_it_is_read_does_no_harm(
    home: Path, kind: str, handles: int
) -> None:
    """With another handle of the store open, the operation went on through a null pointer."""

    def uses(mapping: Any) -> list[Callable[[], object]]:
        def rows() -> Iterator[tuple[int, object]]:
            yield 1, "one"
            Closer.close()
            yield 2, "two"

        return [
            lambda: mapping[1],
            lambda: mapping.pop(1),
            lambda: mapping.setdefault(1, "x"),
            lambda: list(mapping.values()),
            lambda: list(mapping.items()),
            lambda: mapping.popitem(),
            *([lambda: mapping.clear() or mapping.bulk_load(rows())] if kind == "btree" else []),
            *([lambda: mapping.peekitem(0)] if kind == "btree" else []),
        ]

    def close_inside() -> None:
        number = 0
        while True:
            opened = [sj.open("genes", "n", home=home / f"{number}") for _ in range(1)]
            opened += [sj.open("genes", home=home / f"{number}") for _ in range(handles - 1)]
            mapping = getattr(opened[0], kind)("m", key="int", value="pickle")
            mapping[1] = Closer()
            Closer.stores, Closer.refused = opened[:1], 0
            every = uses(mapping)
            if number == len(every):
                break
            with contextlib.suppress(sj.DetachedError):
                every[number]()
            assert (opened[0].closed, Closer.refused > 0) == (handles == 2, handles == 1)
            for store in opened:
                store.close()
            number += 1

    in_child(close_inside)


def test_a_check_goes_on_while_another_handle_is_closed(home: Path) -> None:
    """Closing one of two handles made a check in another thread end through a null pointer."""

    def check_and_close() -> None:
        keeper = sj.open("genes", home=home)
        keeper.btree("t", key="int").bulk_load((n, n) for n in range(20_000))
        for n in range(120):
            store = sj.open("genes", home=home)
            use = (store.check, store.stats, store.sync)[n % 3]
            thread = threading.Thread(target=_until_detached, args=(use,))
            thread.start()
            time.sleep(0.0001 * (n % 20))
            store.close()
            thread.join()
        assert keeper.check().items == 20_000

    in_child(check_and_close)


def _until_detached(action: Callable[[], object]) -> None:
    with contextlib.suppress(sj.DetachedError):
        while True:
            action()


def test_a_child_forked_while_a_thread_waits_can_close_its_store(home: Path) -> None:
    """It was told for ever that the parent's thread waits."""
    store = sj.open("genes", home=home)
    tree = store.btree("t", key="int", value="int")

    def hold(child: Child) -> None:
        with store.write():
            child.say()
            child.hear()

    with forked(hold) as child:
        child.hear()
        thread = threading.Thread(target=tree.__setitem__, args=(1, 1))
        thread.start()
        thread.join(0.3)
        in_child(store.close)
        child.say()
        thread.join()
        assert child.end() == 0
    store.close()
