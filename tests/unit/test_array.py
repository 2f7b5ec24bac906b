# SPDX-License-Identifier: Apache-2.0
"""`Array`: numbers of a store that NumPy looks at where they lie."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spacejmp as sj
from spacejmp._space import attached_spaces

if TYPE_CHECKING:
    from pathlib import Path

DTYPES = [
    "?",
    "i1",
    ">u4",
    "f2",
    "c16",
    "S7",
    "U3",
    "M8[ns]",
    "m8[s]",
    "V5",
    [("x", "<i4"), ("y", ">f8", (2, 3)), ("z", [("s", "S3")])],
    np.dtype([("a", "u1"), ("b", "f8")], align=True),
    np.dtype({"names": ["p", "q"], "formats": ["u2", "u2"], "offsets": [4, 10], "itemsize": 16}),
]


def test_is_zeros_at_first_aligned_and_there_when_it_is_opened_again(home: Path) -> None:
    with sj.open("s", home=home) as store:
        a = store.array("a", (3, 4), "u2")
        assert isinstance(a, np.ndarray)
        assert (a.shape, a.dtype, a.flags.writeable) == ((3, 4), np.dtype("u2"), True)
        assert not a.any()
        assert a.ctypes.data % 64 == 0
        address = a.ctypes.data
        a[:] = np.arange(12).reshape(3, 4)
        del a
    with sj.open("s", "r", home=home) as store:
        a = store.array("a")
        assert a.ctypes.data == address
        assert a.tolist() == np.arange(12).reshape(3, 4).tolist()
        assert not a.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            a[0] = 1
        del a


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_has_every_type_of_fixed_size(home: Path, dtype: Any) -> None:
    wanted = np.dtype(dtype)
    fill = np.frombuffer(bytes(i % 2 for i in range(5 * wanted.itemsize)), wanted)
    with sj.open("s", home=home) as store:
        a = store.array("a", 5, dtype)
        a[:] = fill
        expected = np.array(a).tobytes()
        del a
    with sj.open("s", home=home) as store:
        a = store.array("a", 5, dtype)
        assert a.dtype == wanted
        assert np.array(a).tobytes() == expected
        del a
        assert store.check().leaked_blocks == 0


@pytest.mark.parametrize("shape", [(), 0, (0,), (3, 0, 2), (1,) * 32, 70_000])
def test_has_every_shape(store: sj.Store, shape: Any) -> None:
    a = store.array("a", shape, "i8")
    assert a.shape == np.empty(shape).shape
    assert not a.any()
    a[...] = 3
    assert a.sum() == 3 * a.size
    handle = store["a"]
    assert (handle.shape, handle.size, handle.nbytes) == (a.shape, a.size, a.nbytes)
    assert store.check().items == a.size


def test_memory_that_was_in_use_before_is_zeros(store: sj.Store) -> None:
    for size in (100, 5000, 3_000_000):
        a = store.array("a", size, "u1")
        a[:] = 255
        del a
        store.drop("a")
        a = store.array("a", size + 100, "u1")
        assert not a.any()
        del a
        store.drop("a")


def test_what_cannot_be(store: sj.Store) -> None:
    with pytest.raises(TypeError, match="refers to Python objects"):
        store.array("a", 3, "O")
    with pytest.raises(TypeError, match="refers to Python objects"):
        store.array("a", 3, [("x", "i4"), ("y", "O")])
    with pytest.raises(TypeError, match="0 bytes"):
        store.array("a", 3, "S0")
    with pytest.raises(TypeError, match="cannot be kept"):
        store.array("a", 3, {"names": ["p", "q"], "formats": ["u4", "u2"], "offsets": [0, 2]})
    with pytest.raises(ValueError, match="≥ 0"):
        store.array("a", -1)
    with pytest.raises(TypeError):
        store.array("a", 2.5)  # type: ignore[arg-type]
    with pytest.raises(sj.InvalidArgumentError, match="at most 32"):
        store.array("a", (1,) * 33)
    with pytest.raises(sj.TooLargeError):
        store.array("a", (2**40, 2**40), "f8")
    with pytest.raises((sj.TooLargeError, sj.SpaceFullError)):
        store.array("a", 2**29, "f8")
    with pytest.raises(sj.NotFoundError):
        store.array("a")
    assert "a" not in store
    assert store.check().leaked_blocks == 0


def test_another_shape_type_or_kind_is_told(store: sj.Store) -> None:
    assert store.array("a", (2, 3), "f4").shape == (2, 3)
    with pytest.raises(sj.CodecMismatchError, match=r"shape \(3, 2\), found \(2, 3\)"):
        store.array("a", (3, 2))
    with pytest.raises(sj.CodecMismatchError, match="dtype float64, found float32"):
        store.array("a", None, "f8")
    store.btree("tree")
    with pytest.raises(sj.StructureTypeError, match="expected an array"):
        store.array("tree", 3)
    with pytest.raises(sj.StructureTypeError):
        store.btree("a")
    assert store.roots["a"].kind == "array"


# -- views hold what they look at -------------------------------------------------------------


def test_a_view_keeps_the_store_open_and_the_array(store: sj.Store) -> None:
    a = store.array("a", 100, "i4")
    part = a[10:20].view("u2")
    del a
    for action in (store.close, lambda: store.drop("a"), lambda: store["a"].resize(200)):
        with pytest.raises(BufferError) as caught:
            action()
        assert isinstance(caught.value, sj.LiveViewsError)
        assert "drop them first" in str(caught.value)
    part[:] = 1
    assert store["a"][9:12].tolist() == [0, 65537, 65537]
    del part
    store["a"].resize(200)
    store.drop("a")
    assert store.check().leaked_blocks == 0


def test_the_end_of_the_block_is_a_buffer_error_and_what_was_raised_in_it_is_not_hidden(
    home: Path,
) -> None:
    with pytest.raises(BufferError), sj.open("s", home=home) as store:
        kept = store.array("a", 3)
    assert not store.closed
    assert kept.tolist() == [0, 0, 0]
    del kept
    store.close()
    with pytest.raises(KeyError, match="mine"), sj.open("s", home=home) as store:
        kept = store.array("a", 3)
        raise KeyError("mine")
    del kept, store
    gc.collect()
    assert attached_spaces() == []


def test_memoryviews_and_torn_off_parts_keep_it_too(store: sj.Store) -> None:
    raw = store.array("a", 8, "u1").data
    with pytest.raises(BufferError):
        store.close()
    raw[3] = 7
    raw.release()
    del raw
    cycle: list[Any] = [store.array("a").data]
    cycle.append(cycle)
    del cycle
    gc.collect()
    item = store.array("a").reshape(2, 2, 2).T[1:]
    with pytest.raises(BufferError):
        store.drop("a")
    del item
    assert store["a"][:].tolist() == [0, 0, 0, 7, 0, 0, 0, 0]


def test_the_array_of_a_dropped_or_undone_one_is_gone(store: sj.Store) -> None:
    with store.transaction() as transaction:
        with pytest.raises(sj.HoldError, match="was made by the transaction"):
            store.array("a", 4, "i4")
        store["a"][...] = 5
        store["a"][1] = 6
        assert store["a"][:].tolist() == [5, 6, 5, 5]
        transaction.abort()
    assert "a" not in store
    handle = store.new_array(3)
    store["b"] = handle
    store.drop("b")
    with pytest.raises(sj.HoldError), store.transaction():
        store.array("c", 2)
    assert "c" not in store


def test_a_read_hold_gives_a_read_only_view(store: sj.Store) -> None:
    store.array("a", 3)
    with store.read():
        assert not store.array("a").flags.writeable
    with store.write():
        assert store.array("a").flags.writeable


def test_overlapping_stores_do_not_take_each_others_addresses(home: Path) -> None:
    base = 0x3400_0000_0000
    with (
        sj.open("one", home=home, base=base, reserve=1 << 30) as one,
        sj.open("two", home=home, base=base, reserve=1 << 30) as two,
    ):
        two.array("b", 1000, "i4")[:] = 2
        a = one.array("a", 1000, "i4")
        a[:] = 1
        with pytest.raises(sj.SpaceBusyError, match="live views"):
            two.array("b")
        with pytest.raises(sj.SpaceBusyError, match="live views"), two.transaction():
            pass
        assert a.sum() == 1000
        with one.read():
            assert a.sum() == 1000
        del a
        assert two["b"][:].sum() == 2000
        with two.read(), one.read(), pytest.raises(sj.SpaceBusyError, match="inside of"):
            one.array("a")
        with one.read():
            a = one.array("a")
            with pytest.raises(sj.SpaceBusyError, match="live views"), two.read():
                pass
            assert a.sum() == 1000
            del a


def test_a_store_that_is_looked_at_makes_no_clone_but_versions(store: sj.Store) -> None:
    a = store.array("a", 1000, "i4")
    a[:] = 1
    with pytest.raises(sj.SpaceBusyError, match="live views"):
        store.clone("twin")
    store.snapshot("before")
    before = f"{store.name}@before"
    a[:] = 2
    assert a.sum() == 2000
    with pytest.raises(sj.SpaceBusyError, match="live views"):
        sj.open(before, "r", home=store.home)
    del a
    with store.clone("twin") as twin, sj.open(before, "r", home=store.home) as version:
        assert twin["a"][:].sum() == 2000
        assert version["a"][:].sum() == 1000
        assert version.check().leaked_blocks == twin.check().leaked_blocks == 0


# -- touch ------------------------------------------------------------------------------------


def test_what_was_touched_is_undone_and_what_was_not_is_not(store: sj.Store) -> None:
    a = store.array("a", (10, 10), "i4")
    with store.transaction() as transaction:
        column = a[:, 3]
        assert transaction.touch(column) is column
        column[:] = 7
        a[0, 0] = 1
        transaction.abort()
    assert (a[:, 3] == 0).all()
    assert a[0, 0] == 1
    with store.transaction() as transaction:
        transaction.touch(a[::-2, ::3])[:] = 5
    assert a.sum() == 1 + 5 * 20
    with store.transaction() as outer:
        outer.touch(a)[0] = 8
        with store.transaction() as inner:
            inner.touch(a)[1] = 9
            inner.abort()
        assert a[0].tolist() == [8] * 10
        assert (a[1] != 9).all()
    with pytest.raises(sj.HoldError):
        transaction.touch(a)
    with store.transaction() as transaction:
        with pytest.raises(sj.InvalidArgumentError, match="a copy"):
            transaction.touch(a.copy())
        with pytest.raises(sj.InvalidArgumentError, match="a copy"):
            transaction.touch([1, 2])  # type: ignore[arg-type]
        transaction.touch(a[:0])
    del a, column


def test_a_group_touches_arrays_of_all_its_stores(home: Path) -> None:
    with sj.open("one", home=home) as one, sj.open("two", home=home) as two:
        a, b = one.array("a", 4, "i4"), two.array("b", 4, "i4")
        with sj.transaction(one, two) as transaction:
            transaction.touch(b)[:] = 2
            transaction.touch(a)[:] = 1
            transaction.abort()
        assert not a.any()
        assert not b.any()
        with sj.transaction(one, two) as transaction:
            transaction.touch(a)[:] = 1
            transaction.touch(b)[:] = 2
        assert a.sum() + b.sum() == 12
        del a, b


def test_a_store_that_survives_power_loss_has_read_only_views_but_for_touch(
    disk_home: Path,
) -> None:
    with sj.open("p", home=disk_home, durability="power", reserve=1 << 30) as store:
        a = store.array("a", 10, "i4")
        assert not a.flags.writeable
        with store.transaction() as transaction:
            part = transaction.touch(a[2:4])
            part[:] = 5
            assert a.tolist() == [0, 0, 5, 5, 0, 0, 0, 0, 0, 0]
        assert not part.flags.writeable
        with store.transaction() as transaction:
            transaction.touch(a)[:] = 9
            transaction.abort()
        store["a"][7:] = 3
        del a, part
    with sj.open("p", "r", home=disk_home) as store:
        assert store["a"][:].tolist() == [0, 0, 5, 5, 0, 0, 0, 3, 3, 3]


# -- the handle -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "index",
    [3, -1, slice(2, 7), slice(None, None, -2), ..., [1, 3, 3], np.array([True, False] * 5), ()],
    ids=str,
)
def test_the_handle_assigns_as_numpy_does(store: sj.Store, index: Any) -> None:
    model = np.zeros((10, 2), "i4")
    handle = store.new_array((10, 2), "i4")
    model[index] = 7
    handle[index] = 7
    assert np.array_equal(handle[:], model)
    assert np.array_equal(handle[index], model[index])
    model[2, 1] = 9
    handle[2, 1] = 9
    assert np.array_equal(np.asarray(handle), model)
    assert handle[2, 1] == 9
    with pytest.raises(IndexError):
        handle[10] = 1
    with pytest.raises(ValueError, match="broadcast"):
        handle[...] = [1, 2, 3]
    assert np.array_equal(handle[:], model)


def test_structs_are_assigned_by_field(store: sj.Store) -> None:
    handle = store.new_array(3, [("x", "i4"), ("y", "f8")])
    handle["x"] = [1, 2, 3]
    handle[1] = (5, 2.5)
    assert handle[:].tolist() == [(1, 0.0), (5, 2.5), (3, 0.0)]


def test_resizing_keeps_items_in_order_and_adds_zeros(store: sj.Store) -> None:
    store.array("a", (2, 3), "i4")[:] = [[1, 2, 3], [4, 5, 6]]
    handle = store["a"]
    for shape, expected in [
        ((4, 3), [1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0]),
        ((2, 2), [1, 2, 3, 4]),
        ((0, 5), []),
        ((3, 1), [0, 0, 0]),
    ]:
        handle.resize(shape)
        assert handle.shape == shape
        assert handle[:].ravel().tolist() == expected
        assert store.check().leaked_blocks == 0
    with pytest.raises(sj.InvalidArgumentError, match="2 dimensions"):
        handle.resize(3)
    with store.transaction() as transaction:
        handle.resize((9, 9))
        handle[...] = 1
        transaction.abort()
    assert handle[:].tolist() == [[0], [0], [0]]


def test_an_array_lives_in_other_structures(store: sj.Store) -> None:
    layers = store.hashmap("layers", key="str")
    layers["first"] = store.new_array((2, 2), "f4")
    view = layers["first"].view()
    view[0] = 1.5
    del layers["first"]
    assert store.collect().freed_blocks > 0
    assert view.tolist() == [[1.5, 1.5], [0, 0]]  # nobody has its memory but those who look at it
    other = store.array("other", 4, "f4")
    assert other.ctypes.data != view.ctypes.data
    del view, other
    store.collect()
    assert store.check().leaked_blocks == 0


def test_syncs_and_checks_with_live_views_report_no_damage(disk_home: Path) -> None:
    with sj.open("s", home=disk_home, reserve=1 << 30) as store:
        a = store.array("a", 100_000, "i4")
        store.hashmap("h")["x"] = 1
        for value in range(3):
            a[:] = value
            store.sync()
            a[::1000] = value + 1
            assert store.check().verified_pages > 10
            assert store.check().unverified_pages > 90
        del a
        store.sync()
        assert store.check().unverified_pages < 40
    with sj.open("s", "r", home=disk_home) as store:
        assert store.check().unverified_pages == 0
        assert store["a"][:2].tolist() == [3, 2]
