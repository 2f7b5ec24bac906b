# SPDX-License-Identifier: Apache-2.0
"""Memory of users in the segments of a VAS, and names for pointers."""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from children import in_child
from vases import BASE, GIB, make

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


def test_arguments_that_c_would_cut_are_refused(vh: Any) -> None:
    """A name was taken up to its first NUL, and a number with a fraction without that."""
    with vh:
        with pytest.raises(sj.NotFoundError, match="no segment"):
            vh.malloc("nodes\0edges", 8)
        for wrong in (1.5, None, "8"):
            with pytest.raises(TypeError, match="size: expected a whole number"):
                vh.malloc("nodes", wrong)
        for wrong in (-1, 1 << 64):
            with pytest.raises(sj.InvalidArgumentError, match="size: expected a number"):
                vh.malloc("nodes", wrong)
            with pytest.raises(sj.InvalidArgumentError, match="pointer: expected a number"):
                vh.read(wrong, 8)
        with pytest.raises(TypeError, match="pointer: expected a whole number"):
            vh.roots["it"] = None


def test_pointers_lead_from_segment_to_segment(vh: sj.VasHandle, vas: sj.Vas) -> None:
    with vh:
        first = 0
        for number in range(50):
            pointer = vh.malloc(("nodes", "edges")[number % 2], 16)
            assert pointer % 16 == 0
            vh.write(pointer, first.to_bytes(8, "little") + number.to_bytes(8, "little"))
            first = pointer
        vh.roots["list"] = first

    def walk() -> None:
        with vas.attach("r") as reader:
            found, at = [], reader.roots["list"]
            while at:
                raw = reader.read(at, 16)
                at = int.from_bytes(raw[:8], "little")
                found.append(int.from_bytes(raw[8:], "little"))
            assert found == list(range(49, -1, -1))

    in_child(walk)
    walk()
    with vh:
        del vh.roots["list"]
        while first:
            following = int.from_bytes(vh.read(first, 8), "little")
            sj.seg_free(vh, first)
            first = following
    for name in ("nodes", "edges"):
        assert vh.store(name).check().blocks == 0


def test_only_memory_of_the_user_is_written(vh: sj.VasHandle) -> None:
    with vh:
        pointer = sj.seg_malloc(vh, "nodes", 100)
        vh.write(pointer + 7, b"seven")
        assert vh.read(pointer + 7, 5) == b"seven"
        for at, data in ((pointer + 96, b"12345"), (BASE, b"x"), (BASE + 3 * GIB, b"x"), (0, b"x")):
            with pytest.raises(sj.InvalidArgumentError):
                vh.write(at, data)
        for at in (0, BASE + GIB - 1, BASE + 100 * GIB, (1 << 64) - 8):
            with pytest.raises(sj.InvalidArgumentError):
                vh.read(at, 8)
        for at in (pointer + 16, BASE, 0):
            with pytest.raises(sj.InvalidArgumentError):
                vh.free(at)
        with pytest.raises(sj.TooLargeError):
            vh.malloc("nodes", 1 << 62)
        vh.free(pointer)
        with pytest.raises(sj.InvalidArgumentError, match="freed"):
            vh.free(pointer)


def test_a_transaction_undoes_memory_too(vh: sj.VasHandle) -> None:
    store = vh.store("nodes")
    with vh:
        pointer = vh.malloc("nodes", 8)
        vh.write(pointer, b"before..")
        with pytest.raises(ZeroDivisionError), store.transaction():
            vh.write(pointer, b"while...")
            vh.change(pointer, 2)
            ctypes.memmove(pointer, b"!!", 2)
            vh.roots["gone"] = vh.malloc("nodes", 8)
            1 / 0  # noqa: B018
        assert vh.read(pointer, 8) == b"before.."
        assert "gone" not in vh.roots
        with store.transaction():
            vh.change(pointer, 8)
            ctypes.memmove(pointer, b"after...", 8)
        assert vh.read(pointer, 8) == b"after..."
    store.check()


def test_a_transaction_over_the_stores_of_a_vas(vh: sj.VasHandle) -> None:
    nodes, edges = vh.store("nodes"), vh.store("edges")
    tree = nodes.btree("t", key="int")
    with vh:
        one, two = vh.malloc("nodes", 8), vh.malloc("edges", 8)
        vh.roots["it"] = one
        with pytest.raises(ZeroDivisionError), sj.transaction(nodes, edges):
            vh.roots["it"] = two  # in two segments
            vh.write(two, b"undone..")
            tree[1] = 1
            1 / 0  # noqa: B018
        assert (vh.roots["it"], len(tree)) == (one, 0)
        with sj.transaction(nodes, edges):
            vh.roots["it"] = two
            vh.write(two, b"together")
            tree[1] = 1
        assert (vh.roots["it"], vh.read(two, 8), tree[1]) == (two, b"together", 1)
    with sj.transaction(edges, nodes):
        with vh:
            vh.write(two, b"nested..")
        tree[2] = 2


def test_a_store_is_opened_inside_of_a_vas_that_is_in_its_way(vh: sj.VasHandle, home: Path) -> None:
    with vh:
        pointer = vh.malloc("edges", 8)
        vh.write(pointer, b"edges...")
        with sj.open("rival", home=home, base=BASE, reserve=2 * GIB, timeout=10) as rival:
            assert vh.read(pointer, 8) == b"edges..."
            rival.btree("t", key="int")[1] = 1
            assert vh.read(pointer, 8) == b"edges..."
        assert ctypes.string_at(pointer, 8) == b"edges..."


def test_what_is_written_has_any_shape_but_lies_together(vh: sj.VasHandle) -> None:
    """An empty array of two dimensions was a TypeError, for it cannot be cast."""
    with vh:
        pointer = vh.malloc("nodes", 8)
        square: Any = np.arange(4, dtype="<u2").reshape(2, 2)
        everything: list[Any] = [square, b"", np.empty((0, 3)), np.empty((3, 0), dtype="<u8")]
        for data in everything:
            vh.write(pointer, data)
        assert vh.read(pointer, 8) == bytes.fromhex("0000010002000300")
        with pytest.raises(sj.InvalidArgumentError, match="lie together"):
            vh.write(pointer, square[:, ::2])


def test_names_are_a_mapping(vh: sj.VasHandle) -> None:
    store = vh.store("nodes")
    store.btree("tree", key="int")
    with vh:
        one, two = vh.malloc("nodes", 8), vh.malloc("edges", 8)
        vh.roots["b"], vh.roots["a"] = one, two
        assert dict(vh.roots) == {"a": two, "b": one}
        vh.roots["a"] = one  # it moves to the other segment
        assert (list(vh.roots), len(vh.roots)) == (["a", "b"], 2)
        assert "tree" not in vh.roots
        assert 5 not in vh.roots  # type: ignore[comparison-overlap]
        with pytest.raises(KeyError, match="it has 'a', 'b'"):
            vh.roots["c"]
        with pytest.raises(sj.StructureTypeError):
            vh.roots["tree"] = one
        with pytest.raises(sj.InvalidArgumentError):
            vh.roots["d"] = 17
    assert store.roots["b"] == sj.RootInfo("b", "pointer", "", "")
    with pytest.raises(sj.StructureTypeError, match="pointer"):
        store["b"]
    assert "b" not in store
    assert (list(store), list(store.roots)) == (["tree"], ["a", "b", "tree"])
    store.drop("b")
    with vh:
        del vh.roots["a"]
        assert not vh.roots
    assert "tree" in store.roots


def test_many_threads_lose_no_update(vh: sj.VasHandle, home: Path) -> None:
    rival = make(home, "rival", "r1", "r2").attach(timeout=30)
    pointers = {}
    for handle in (vh, rival):
        with handle:
            pointers[handle.name] = [handle.malloc(each.name, 8) for each in handle.segments]
            for pointer in pointers[handle.name]:
                handle.write(pointer, bytes(8))
    raised: list[BaseException] = []

    def work(handle: sj.VasHandle) -> None:
        try:
            for _ in range(100):
                with handle:
                    for pointer in pointers[handle.name]:
                        value = int.from_bytes(handle.read(pointer, 8), "little") + 1
                        handle.write(pointer, value.to_bytes(8, "little"))
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=work, args=(each,)) for each in (vh, rival) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not raised
    for handle in (vh, rival):
        with handle:
            for pointer in pointers[handle.name]:
                assert int.from_bytes(handle.read(pointer, 8), "little") == 200
    rival.detach()
