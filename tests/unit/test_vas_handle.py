# SPDX-License-Identifier: Apache-2.0
"""Attached VASes: switching, pointers from segment to segment, what stores do inside of them."""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from children import in_child
from vases import BASE, GIB, in_thread, make, uuid_at

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def vas(home: Path) -> sj.Vas:
    return make(home, "graph", "nodes", "edges")


@pytest.fixture
def vh(vas: sj.Vas) -> Iterator[sj.VasHandle]:
    handle = sj.vas_attach(vas, timeout=10)
    yield handle
    sj.vas_switch(None)
    handle.detach()


# --- attaching ----------------------------------------------------------------------------------


def test_a_handle_says_what_it_has(vh: sj.VasHandle, vas: sj.Vas) -> None:
    assert [segment.name for segment in vh.segments] == ["nodes", "edges"]
    assert [segment.base for segment in vh.segments] == [BASE, BASE + GIB]
    assert {segment.rights for segment in vh.segments} == {"rw"}
    assert (vh.windows, vh.isolation, vh.name, vh.vas) == (1, "shared", "graph", vas)
    assert repr(vh).startswith("<VasHandle 'graph', rights 'rw'")


def test_a_process_has_one_handle_for_a_vas_and_its_rights(vas: sj.Vas, home: Path) -> None:
    first = sj.vas_attach(vas)
    assert sj.vas_attach("graph", home=home) is first is vas.attach()
    reader = sj.vas_attach(vas, "r")
    assert reader is not first
    assert {segment.rights for segment in reader.segments} == {"r"}
    for _ in range(2):
        sj.vas_detach(first)
        assert not first.detached
    first.detach()
    assert first.detached
    first.detach()
    with pytest.raises(sj.DetachedError):
        first.switch()
    reader.detach()
    assert sj.vas_attach(vas).segments
    gc.collect()  # the last one goes with its object
    assert not any(name in ("nodes", "edges") for name, _, _ in attached())


def attached() -> list[tuple[str, int, int]]:
    from spacejmp._space import attached_spaces

    return attached_spaces()


def test_a_segment_is_a_vas(home: Path) -> None:
    with sj.open("alone", home=home) as store:
        store.btree("t", key="int")[1] = "one"
    handle = sj.vas_attach("alone", home=home)
    with handle:
        assert handle.store("alone")["t"][1] == "one"
    handle.detach()


def test_what_is_not_there_is_not_attached(home: Path, vas: sj.Vas) -> None:
    with pytest.raises(sj.NotFoundError, match="there is no VAS 'grraph'"):
        sj.vas_attach("grraph", home=home)
    with pytest.raises(sj.InvalidArgumentError, match="rights"):
        sj.vas_attach(vas, "w")  # type: ignore[arg-type]
    with pytest.raises(sj.InvalidArgumentError, match="timeout"):
        sj.vas_attach(vas, timeout=-1)
    sj.vas_delete(vas)
    with pytest.raises(sj.NotFoundError):
        vas.attach()


def test_a_handle_is_pickled_as_a_reference(vh: sj.VasHandle) -> None:
    copy = pickle.loads(pickle.dumps(vh))
    assert copy is vh
    copy.detach()
    assert not vh.detached


# --- switching ----------------------------------------------------------------------------------


def test_a_switch_makes_it_current(vh: sj.VasHandle, home: Path) -> None:
    other = make(home, "other", "more", base=BASE + 8 * GIB).attach()
    assert sj.current() is None
    vh.switch()
    assert sj.current() is vh
    assert sj.vas_switchm(other) is vh
    assert sj.current() is other
    with pytest.raises(sj.SpaceBusyError):
        other.detach()
    assert not other.detached
    assert sj.vas_switchm(None) is other
    assert sj.vas_switchm(None) is None
    other.detach()

    def there_and_back() -> None:
        vh.switch()
        sj.vas_switch(None)

    in_thread(there_and_back)
    with vh:
        assert sj.current() is vh
        with vh, vh.inside():
            pass
        with pytest.raises(sj.SpaceBusyError, match="leave them first"):
            vh.switch()
    assert sj.current() is None


def test_misuse_is_refused(vh: sj.VasHandle) -> None:
    with pytest.raises(sj.HoldError):
        vh.__exit__(None, None, None)
    with pytest.raises(sj.InvalidArgumentError, match="no window 1"):
        vh.switch(1)
    with pytest.raises(sj.InvalidArgumentError):
        vh.switch(-1)
    with pytest.raises(TypeError, match="await"):
        vh.__aenter__()
    for act in (
        lambda: vh.malloc("nodes", 8),
        lambda: vh.read(BASE, 8),
        lambda: vh.write(BASE, b"x"),
        lambda: dict(vh.roots),
    ):
        with pytest.raises(sj.HoldError, match="not inside"):
            act()
    store = vh.store("nodes")
    with store.read(), pytest.raises(sj.HoldUpgradeError), vh:
        pass
    with vh, pytest.raises(sj.NotFoundError, match="it has 'nodes', 'edges'"):
        vh.store("leaves")


def test_stores_are_used_inside(vh: sj.VasHandle, home: Path) -> None:
    overlapping = sj.open("rival", home=home, base=BASE + GIB, reserve=GIB, timeout=10)
    nodes, edges = vh.store("nodes"), vh.store("edges")
    assert vh.store("nodes") is nodes
    with vh:
        tree, table = nodes.btree("t", key="int"), edges.hashmap("t", key="int")
        for key in range(100):
            tree[key] = str(key)
            table[key] = key
        with pytest.raises(ZeroDivisionError), nodes.transaction():
            tree.clear()
            1 / 0  # noqa: B018
        with overlapping.transaction():
            overlapping.btree("t", key="int")[1] = 1
            assert table[7] == 7  # edges comes home for that
        assert uuid_at(BASE + GIB) == edges_uuid(vh)
        assert len(tree) == len(table) == 100
    assert tree[5] == "5"
    overlapping.close()
    for store in (nodes, edges):
        store.check()


def edges_uuid(vh: sj.VasHandle) -> bytes:
    return vh.segments[1].uuid


def test_overlapping_vases_take_turns(vh: sj.VasHandle, home: Path) -> None:
    rival = make(home, "rival", "r1", "r2").attach()
    for number in range(5):
        for handle in (vh, rival):
            with handle:
                for segment in handle.segments:
                    assert uuid_at(segment.base) == segment.uuid
                handle.roots["it"] = pointer = handle.malloc(handle.segments[1].name, 16)
                handle.write(pointer, bytes([number] * 16))
        with vh:
            assert vh.read(vh.roots["it"], 16) == bytes([number] * 16)
    rival.detach()


def test_a_timeout_ends_a_wait(vh: sj.VasHandle) -> None:
    inside, over = threading.Event(), threading.Event()

    def hold() -> None:
        with vh.store("edges").write():
            inside.set()
            over.wait()

    vh.store("edges")
    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    try:
        with pytest.raises(sj.SpaceBusyError):
            vh.switch(timeout=0.02)
        with pytest.raises(sj.SpaceBusyError), vh.inside(timeout=0.02):
            pass
        assert sj.current() is None
        with vh.store("nodes").write():  # what was taken was given back
            pass
    finally:
        over.set()
        thread.join()
    with vh:
        pass


def test_a_signal_ends_a_wait(vh: sj.VasHandle) -> None:
    inside, over = threading.Event(), threading.Event()

    def hold() -> None:
        with vh:
            inside.set()
            over.wait()

    def interrupted(*_: object) -> None:
        raise InterruptedError("by a signal")

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    before = signal.signal(signal.SIGALRM, interrupted)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(InterruptedError), vh:
            pass
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(InterruptedError):
            vh.switch()
        with pytest.raises(sj.SpaceBusyError):
            vh.detach()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        over.set()
        thread.join()
    assert sj.current() is None


def test_the_child_of_a_fork_holds_nothing(vh: sj.VasHandle) -> None:
    with vh:
        pointer = vh.malloc("nodes", 8)
        vh.write(pointer, b"parent..")
        with pytest.raises(ZeroDivisionError), vh:
            pid = os.fork()
            if pid == 0:
                try:
                    assert sj.current() is None
                    with pytest.raises(sj.SpaceBusyError), vh.inside(timeout=0.01):
                        pass
                    vh.__exit__(None, None, None)
                    vh.__exit__(None, None, None)
                    with pytest.raises(sj.HoldError):
                        vh.__exit__(None, None, None)
                except BaseException:
                    os._exit(1)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            1 / 0  # noqa: B018
        assert vh.read(pointer, 8) == b"parent.."


# --- changes ------------------------------------------------------------------------------------


def test_changes_are_seen_at_the_next_switch(vh: sj.VasHandle, vas: sj.Vas, home: Path) -> None:
    sj.seg_alloc("labels", BASE + 4 * GIB, GIB, home=home)
    vh.switch()

    def change() -> None:
        vas.seg_attach("labels", "r")
        vas.seg_detach("nodes")

    in_thread(lambda: in_child(change))
    assert [segment.name for segment in vh.segments] == ["nodes", "edges"]
    assert uuid_at(BASE) == vh.segments[0].uuid
    vh.switch()
    assert [(each.name, each.rights) for each in vh.segments] == [("edges", "rw"), ("labels", "r")]
    with pytest.raises(sj.ReadOnlyError):
        vh.malloc("labels", 8)
    with pytest.raises(sj.NotFoundError, match="no segment 'nodes'"):
        vh.malloc("nodes", 8)
    assert "nodes" not in [name for name, _, _ in attached()]
    sj.vas_delete(vas)
    vh.switch()
    assert vh.malloc("edges", 8)


def test_a_private_segment_is_not_in_the_vas(vh: sj.VasHandle, vas: sj.Vas, home: Path) -> None:
    scratch = sj.seg_alloc("scratch", BASE + 4 * GIB, GIB, home=home)
    vh.seg_attach(scratch)
    assert [each.name for each in vh.segments if each.private] == ["scratch"]
    assert "scratch" not in [each.name for each in vas.segments]
    with vh:
        vh.roots["mine"] = vh.malloc("scratch", 8)
    with pytest.raises(sj.AlreadyExistsError):
        vh.seg_attach("scratch")
    with pytest.raises(sj.AlreadyExistsError):
        sj.seg_attach(vh, "nodes")
    with pytest.raises(sj.InvalidArgumentError):
        vh.seg_attach("scratch", window=-1)
    sj.seg_detach(vh, "scratch")
    with pytest.raises(sj.NotFoundError):
        vh.seg_detach("scratch")
    with pytest.raises(sj.NotFoundError):
        vh.seg_detach(vh.segments[0])
    sj.seg_alloc("taken", BASE, GIB, home=home)
    with pytest.raises(sj.AddressConflictError, match="overlap"):
        sj.seg_attach(vh, "taken")


def test_windows_reach_more_than_there_are_addresses(home: Path) -> None:
    vas = sj.vas_create("wide", home=home)
    for number in range(6):
        sj.seg_alloc(f"w{number}", BASE, GIB, home=home)
        vas.seg_attach(f"w{number}", window=number)
    sj.seg_alloc("all", BASE + GIB, GIB, home=home)
    vas.seg_attach("all")
    vh = vas.attach()
    assert vh.windows == 6
    pointers = []
    for number in range(6):
        with vh.inside(number):
            pointers.append(vh.malloc(f"w{number}", 1 << 20))
            vh.write(pointers[number], bytes([number]) * (1 << 20))
            vh.roots[f"r{number}"] = vh.malloc("all", 8)
    for number in range(6):
        vh.switch(number)
        assert uuid_at(BASE) == next(each.uuid for each in vh.segments if each.window == number)
        assert vh.read(pointers[number], 1 << 20) == bytes([number]) * (1 << 20)
        assert f"r{number}" in vh.roots
    sj.vas_switch(None)
    vh.detach()


def test_a_strict_vas_leads_nowhere_when_it_is_left(vas: sj.Vas) -> None:
    vas.ctl("isolation", "strict")
    vh = vas.attach()
    assert vh.isolation == "strict"

    def stray() -> None:
        uuid_at(BASE)

    with vh:
        pid = os.fork()
        if pid == 0:
            stray()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        stray()
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGSEGV
    vh.detach()


# --- the rest of the system ---------------------------------------------------------------------


def test_a_model_follows_a_thread_into_a_vas(vh: sj.VasHandle) -> None:
    store = vh.store("nodes")
    store.btree("t", key="int")[1] = "one"
    with sj.mmu.model() as model:
        vh.switch()
        assert store["t"][1] == "one"
        sj.vas_switch(None)
        with vh, store.read():
            pass
    assert model.events.switched >= 6


def test_what_is_no_handle_and_one_that_is_detached_are_told(vas: Any) -> None:
    """It was an AttributeError, and the advice to open a store again."""
    wrong: Any
    for wrong in (vas, vas.name, 1):
        with pytest.raises(TypeError, match="expected what vas_attach has returned"):
            sj.vas_switch(wrong)
    vh = vas.attach()
    for wrong in ("fit", None, 1.5):
        with pytest.raises(TypeError, match="window: expected a whole number"):
            vh.seg_attach("nodes", window=wrong)
        with pytest.raises(TypeError, match="window: expected a whole number"):
            sj.vas_switch(vh, wrong)
    with pytest.raises(TypeError, match="expected a segment, or its name"):
        vh.seg_detach(None)
    vh.detach()
    with pytest.raises(sj.DetachedError, match=r"vas_attach\(\)"):
        sj.vas_switch(vh)


def test_a_segment_that_is_cut_short_is_noticed(vh: sj.VasHandle, home: Path) -> None:
    with vh:
        pointer = vh.malloc("edges", 1 << 20)
        vh.write(pointer, bytes(1 << 20))
    with pytest.raises(sj.SegmentDamagedError), vh:
        os.truncate(home / "seg" / "edges.seg", 1 << 18)
        with pytest.raises(sj.SegmentDamagedError):  # it gave zeros
            vh.read(pointer, 1 << 20)
        with pytest.raises(sj.SegmentDamagedError):  # it was "not allocated"
            vh.write(pointer + (1 << 19), b"change")
    with pytest.raises(sj.SegmentDamagedError):
        vh.switch()
    assert sj.current() is None
    with vh.store("nodes").write():
        pass


def test_durability_power_needs_a_transaction_for_direct_stores(tmp_path: Path) -> None:
    home = tmp_path / "home"
    vas = sj.vas_create("safe", home=home)
    for name in ("one", "two"):
        vas.seg_attach(sj.seg_alloc(name, reserve=GIB, durability="power", home=home))
    vh = vas.attach(timeout=10)
    with vh:
        pointer = vh.malloc("one", 8)
        vh.roots["it"] = pointer
        vh.write(vh.malloc("two", 8), b"another.")
        with pytest.raises(sj.InvalidArgumentError, match="transaction"):
            vh.change(pointer, 8)
        with vh.store("one").transaction():
            vh.change(pointer, 8)
            ctypes.memmove(pointer, b"directly", 8)
    vh.detach()
    vh = vas.attach("r")
    with vh:
        assert vh.read(vh.roots["it"], 8) == b"directly"
    vh.detach()
