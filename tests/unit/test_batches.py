# SPDX-License-Identifier: Apache-2.0
"""Many keys at once: what goes in and comes out, all or nothing, and the same as one by one."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from children import kill_inside

import spacejmp as sj

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

KINDS = ("btree", "hashmap")
INT64 = np.iinfo(np.int64)


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, store: sj.Store) -> Callable[..., Any]:
    """Make a mapping of each kind."""

    def made(**codecs: str) -> Any:
        return getattr(store, request.param)("m", **codecs)

    return made


# --- get and contains ---------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 31, 32, 33, 127, 128, 129, 3000])
def test_values_come_in_the_order_of_the_keys(
    make: Callable[..., Any], count: int, rng: random.Random
) -> None:
    table = make(key="int", value="int")
    model = {rng.randrange(-(2**63), 2**63): rng.randrange(-(2**63), 2**63) for _ in range(count)}
    assert table.put_many(model) == count
    keys = rng.sample([*model], count) + [n for n in range(40) if n not in model]
    expected = [model.get(key) for key in keys]
    assert table.get_many(keys) == expected
    assert table.get_many(iter(keys), "none") == [model.get(key, "none") for key in keys]
    assert table.contains_many(keys) == [key in model for key in keys]
    found = table.get_many(np.array(keys, np.int64), -1)
    assert found.dtype == np.int64
    assert found.tolist() == [model.get(key, -1) for key in keys]
    there = table.contains_many(np.array(keys, np.int64))
    assert there.dtype == np.bool_
    assert there.tolist() == [key in model for key in keys]


@pytest.mark.parametrize(
    "dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", ">i8", "f8", "O", "?"]
)
def test_arrays_of_any_dtype_mean_their_numbers(make: Callable[..., Any], dtype: str) -> None:
    table = make(key="int", value="int")
    table.put_many(np.arange(-5, 100), np.arange(105))
    keys = np.array([1, 0, 1], dtype)
    assert table.get_many(keys).tolist() == [6, 5, 6]
    assert table.put_many(keys, np.array([4, 3, 2], "i4")) == 0
    assert (table[0], table[1]) == (3, 2)
    assert table.delete_many(keys) == 2


def test_arrays_may_have_strides_and_gaps(make: Callable[..., Any]) -> None:
    table = make(key="int", value="float")
    numbers = np.arange(1000)
    assert table.put_many(numbers[::-3], numbers[::3] / 2) == 334
    rows = np.zeros(1000, np.dtype([("a", "i1"), ("key", "i8")]))
    rows["key"] = numbers
    expected = {n: m / 2 for n, m in zip(range(999, -1, -3), range(0, 1000, 3), strict=True)}
    found = table.get_many(rows["key"], np.nan)
    assert found.dtype == np.float64
    np.testing.assert_equal(found, [expected.get(n, np.nan) for n in range(1000)])
    numbers.flags.writeable = False
    assert table.contains_many(numbers[::2]).tolist() == [n in expected for n in range(0, 1000, 2)]


def test_float_keys(make: Callable[..., Any]) -> None:
    table = make(key="float", value="float")
    keys = np.array([1.5, -0.0, -np.inf, 1e300])
    assert table.put_many(keys, keys * 2) == 4
    assert table.get_many(keys).tolist() == [3.0, -0.0, -np.inf, 2e300]
    assert table.get_many([1.5, 0, 7, 2**60 + 1]) == [3.0, 0.0, None, None]
    assert table.get_many(np.array([1.5], "f2")).tolist() == [3.0]
    with pytest.raises(ValueError, match="NaN"):
        table.get_many(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="NaN"):
        table.put_many(np.array([1.0, np.nan]), np.zeros(2))
    assert len(table) == 4


def test_bytes_of_a_fixed_size(make: Callable[..., Any]) -> None:
    table = make(key="bytes", value="bytes")
    keys = np.array([b"a", b"bcd", b"", b"e\0f"], "S5")
    assert table.put_many(keys, np.array([b"1", b"22", b"333", b""])) == 4
    assert dict(table.items()) == {b"a": b"1", b"bcd": b"22", b"": b"333", b"e\0f": b""}
    assert table.get_many(keys[::-1]) == [b"", b"333", b"22", b"1"]
    assert table.contains_many(np.array([b"bcd", b"bc"])).tolist() == [True, False]


@pytest.mark.parametrize(
    ("key", "value"), [("str", "str"), ("any", "any"), ("str", "int"), ("int", "bytes")]
)
def test_codecs_of_objects(make: Callable[..., Any], key: str, value: str) -> None:
    table = make(key=key, value=value)

    def key_of(n: int) -> Any:
        return n if key == "int" else f"é{n}" * (1 + n % 40) if n % 3 else f"ascii {n}"

    def value_of(n: int) -> Any:
        return n if value == "int" else (b"v" if value == "bytes" else "ü") * (n % 50)

    model = {key_of(n): value_of(n) for n in range(700)}
    assert table.put_many(list(model), (value_of(n) for n in range(700))) == 700
    keys = [key_of(n) for n in range(900)]
    assert table.get_many(keys) == [model.get(k) for k in keys]
    if key != "int":
        assert list(table.get_many(np.array(keys[:700]))) == [model[k] for k in keys[:700]]
    assert table.contains_many(keys) == [True] * 700 + [False] * 200
    assert table.delete_many(keys[350:]) == 350
    assert (
        list(table.get_many(keys[340:360])) == [value_of(n) for n in range(340, 350)] + [None] * 10
    )


def test_a_key_that_is_missing(make: Callable[..., Any]) -> None:
    table = make(key="int", value="int")
    table.update({1: 10, INT64.max: 20})
    assert table.get_many([1, 2, 2**64, 1.5, 1.0]) == [10, None, None, None, 10]
    with pytest.raises(KeyError) as caught:
        table.get_many(np.array([1, 7, 8]))
    assert caught.value.args == (7,)
    beyond = np.array([1, 2**63], np.uint64)
    assert table.get_many(beyond, -5).tolist() == [10, -5]
    assert table.contains_many(beyond).tolist() == [True, False]
    assert table.contains_many(np.array([1.5, 1.0])).tolist() == [False, True]
    assert table.delete_many([2**63, 1.5]) == 0
    with pytest.raises(OverflowError):
        table.put_many(beyond, np.arange(2))
    assert dict(table.items()) == {1: 10, INT64.max: 20}


def test_what_does_not_fit_is_said(make: Callable[..., Any]) -> None:
    table = make(key="int", value="int")
    table[1] = 1
    for wrong in ([1, "x"], np.array(["x"]), np.ma.masked_equal([1, 2], 2)):
        with pytest.raises(TypeError):
            table.get_many(wrong)
        with pytest.raises(TypeError):
            table.delete_many(wrong)
    with pytest.raises(ValueError, match="1 dimension"):
        table.get_many(np.zeros((2, 2), int))
    with pytest.raises(ValueError, match="2 keys and 3 values"):
        table.put_many([1, 2], [1, 2, 3])
    with pytest.raises(TypeError):
        table.get_many(np.array([1]), "x")
    with pytest.raises(OverflowError):
        table.get_many(np.array([1]), 2**63)
    with pytest.raises(TypeError):
        table.put_many([2, 3], [1, "x"])
    assert dict(table.items()) == {1: 1}


# --- put and delete: all or nothing --------------------------------------------------------------


def test_a_batch_that_fails_changes_nothing(make: Callable[..., Any], store: sj.Store) -> None:
    table = make(key="bytes", value="bytes")
    table.update({b"%d" % n: bytes(n) for n in range(50)})
    before = dict(table.items())

    def failing() -> Iterator[tuple[bytes, bytes]]:
        yield from ((b"%d" % n, b"x") for n in range(300))
        raise LookupError

    with pytest.raises(LookupError):
        table.put_many(failing())
    keys = np.array([*(b"%d" % n for n in range(40, 60)), b"k" * ((1 << 20) + 1)])
    with pytest.raises(sj.TooLargeError):
        table.put_many(keys, [b"new"] * 21)
    assert dict(table.items()) == before
    assert store.check().leaked_blocks == 0


def test_in_a_transaction_a_batch_is_part_of_it(make: Callable[..., Any], store: sj.Store) -> None:
    table = make(key="int", value="int")
    table.put_many(np.arange(100), np.arange(100))
    with pytest.raises(LookupError), store.transaction():
        table.put_many(np.arange(50, 5000), np.zeros(4950, int))
        table.delete_many(np.arange(40))
        with pytest.raises(OverflowError):
            table.put_many([7, 2**70], [1, 2])
        assert len(table) == 4960
        raise LookupError
    assert sorted(table.items()) == [(n, n) for n in range(100)]
    with store.transaction():
        assert table.delete_many(range(0, 200, 2)) == 50
        assert table.put_many([(2, 3), (2, 4)]) == 1
    assert table[2] == 4
    assert len(table) == 51
    assert store.check().leaked_blocks == 0


def test_a_store_for_reading_takes_no_batch(make: Callable[..., Any], store: sj.Store) -> None:
    table = make(key="int", value="int")
    table[1] = 1
    with sj.open("store", "r", home=store.home) as reading:
        mine = reading["m"]
        assert mine.get_many(np.array([1])).tolist() == [1]
        for change in (lambda: mine.put_many([1], [1]), lambda: mine.delete_many([1])):
            with pytest.raises(sj.ReadOnlyError):
                change()  # type: ignore[no-untyped-call]
    with pytest.raises(sj.DetachedError):
        mine.get_many([1])


def test_a_killed_batch_leaves_all_or_nothing(
    make: Callable[..., Any], store: sj.Store, rng: random.Random
) -> None:
    table = make(key="int", value="int")
    table.put_many(np.arange(2000), np.arange(2000))
    keys = np.arange(0, 6000, 2)

    def in_transaction() -> None:
        hold = store.transaction()
        hold.__enter__()
        table.put_many(keys, -keys)
        table.delete_many(np.arange(0, 2000, 3))  # and dies before the commit

    kill_inside(in_transaction)
    assert sorted(table.items()) == [(n, n) for n in range(2000)]
    assert store.check().leaked_blocks == 0
    kill_inside(lambda: table.put_many(keys, -keys))
    expected = {**{n: n for n in range(2000)}, **{n: -n for n in range(0, 6000, 2)}}
    assert dict(table.items()) == expected


# --- threads ------------------------------------------------------------------------------------


def test_threads_share_a_mapping_with_batches(make: Callable[..., Any], store: sj.Store) -> None:
    """The GIL is released in batches: no thread sees half of one."""
    table = make(key="int", value="int")
    keys = np.arange(3000)
    table.put_many(keys, np.zeros(3000, int))
    failures: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            values = table.get_many(keys)
            if values.min() != values.max():
                failures.append(f"{values.min()} and {values.max()}")
            len(table)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 30):
            table.put_many(keys, np.full(3000, number))
            other = store.hashmap("other", key="int")  # roots change: the table is looked up again
            other[number] = number
            store.drop("other")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []


def test_a_store_is_not_closed_under_a_batch(make: Callable[..., Any], store: sj.Store) -> None:
    table = make(key="int", value="int")
    keys = np.arange(100_000)
    table.put_many(keys, keys)
    wrong: list[int] = []

    def read() -> None:
        with contextlib.suppress(sj.DetachedError):
            for _ in range(30):
                wrong.extend(keys[table.get_many(keys) != keys])

    thread = threading.Thread(target=read)
    thread.start()
    while thread.is_alive() and not store.closed:
        with contextlib.suppress(sj.SpaceBusyError):
            store.close()
    thread.join()
    assert wrong == []


def test_values_may_refer_to_containers(make: Callable[..., Any], store: sj.Store) -> None:
    table = make(key="int", value="any")
    inner = [store.new_hashmap(key="int", value="int") for _ in range(3)]
    for number, mapping in enumerate(inner):
        mapping[0] = number
    assert table.put_many(range(3), inner) == 3
    assert [mapping[0] for mapping in table.get_many([2, 0, 1])] == [2, 0, 1]
    store.collect()
    assert store.check().leaked_blocks == 0
    assert table.delete_many([1, 2]) == 2
    store.collect()
    assert table.get_many([0])[0][0] == 0


# --- bulk loads, arrays, two trees ---------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 29, 30, 31, 1000, 70_000])
def test_bulk_loads_take_columns(store: sj.Store, count: int) -> None:
    tree = store.btree("t", key="int", value="int")
    keys = np.arange(count) * 3 - 50
    tree.bulk_load(keys, keys[::-1], fill=70)
    assert store.check().items == count
    np.testing.assert_array_equal(tree.keys_array(), keys)
    np.testing.assert_array_equal(tree.values_array(), keys[::-1])
    text = store.btree("text", key="str", value="any")
    names = [f"{number:06d}" for number in range(count)]
    text.bulk_load(iter(names), keys.tolist())
    assert list(text.items()) == list(zip(names, keys.tolist(), strict=True))
    assert store.check().leaked_blocks == 0


def test_a_bulk_load_out_of_order_names_the_place(store: sj.Store) -> None:
    tree = store.btree("t", key="int", value="int")
    keys = np.arange(100_000)
    for wrong in (70_000, 69_998):
        keys[70_000] = wrong - (wrong == 70_000)
        with pytest.raises(sj.OrderError, match="70000"):
            tree.bulk_load(keys, keys)
    with pytest.raises(ValueError, match="3 keys and 2 values"):
        tree.bulk_load([1, 2, 3], [1, 2])
    with pytest.raises(OverflowError):
        tree.bulk_load([1, 2**63], [1, 2])
    with pytest.raises(ValueError, match="fill"):
        tree.bulk_load([1], [1], fill=49)
    assert len(tree) == 0
    assert store.check().leaked_blocks == 0
    tree[1] = 1
    with pytest.raises(sj.InvalidArgumentError, match="empty"):
        tree.bulk_load(keys[:10], keys[:10])


def test_arrays_of_all_items(make: Callable[..., Any], rng: random.Random) -> None:
    table = make(key="float", value="int")
    assert table.keys_array().dtype == np.float64
    assert table.values_array().tolist() == []
    model = {rng.uniform(-9, 9): rng.randrange(-(2**63), 2**63) for _ in range(3000)}
    table.update(model)
    assert table.keys_array().tolist() == list(table)
    assert table.values_array().tolist() == list(table.values())


def test_arrays_of_bytes(make: Callable[..., Any]) -> None:
    table = make(key="bytes", value="bytes")
    assert table.keys_array().tolist() == []
    for number in range(300):
        table[b"%04d" % number] = b"value %03d" % number
    assert table.keys_array().tolist() == list(table)
    assert table.values_array().dtype == "S9"
    assert table.values_array().tolist() == list(table.values())
    for other in (b"00", b"", b"0001\0", b"000\0"):
        table[other] = b"value 000"
        with pytest.raises(TypeError, match="one size"):
            table.keys_array()
        del table[other]
    table[b"0001"] = b""
    assert len(table.keys_array()) == 300
    with pytest.raises(TypeError, match="one size"):
        table.values_array()


def test_objects_have_no_arrays(make: Callable[..., Any]) -> None:
    table = make(key="str", value="any")
    with pytest.raises(TypeError, match=r"codec 'str'.*list\("):
        table.keys_array()
    with pytest.raises(TypeError, match="codec 'any'"):
        table.values_array()


def test_ranges_as_arrays(store: sj.Store, rng: random.Random) -> None:
    tree = store.btree("t", key="int", value="float")
    tree.put_many({n: n / 2 for n in range(0, 5000, 5)})
    bounds: list[float | None] = [None, -7, 0, 0.5, 4995, 10**30]
    bounds += [rng.randrange(5000) for _ in range(20)]
    for low in bounds:
        for high in bounds:
            for inclusive in ((True, True), (False, True), (True, False), (False, False)):
                keys, values = tree.range_array(low, high, inclusive)
                expected = list(tree.irange(low, high, inclusive))
                assert keys.tolist() == expected
                assert values.tolist() == [n / 2 for n in expected]


SIDES = [([], []), ([1], []), ([], [1]), ([1, 2], [2, 3]), (range(1000), range(500, 1500))]
SIDES += [(range(3000), [7, 2999, 5000]), ([7, 2999, 5000], range(3000)), (range(70), range(70))]
SIDES += [(range(0, 3000, 2), range(1, 3000, 2)), (range(0, 9000, 100), range(0, 9000, 150))]


@pytest.mark.parametrize(("left", "right"), SIDES)
@pytest.mark.parametrize("key", ["int", "str", "any"])
@pytest.mark.parametrize("apart", [False, True])
def test_two_trees_side_by_side(
    store: sj.Store, left: Any, right: Any, key: str, apart: bool
) -> None:
    def key_of(n: int) -> Any:
        return n if key == "int" or (key == "any" and n % 2) else f"a common prefix {n:05d}"

    one, two = {key_of(n) for n in left}, {key_of(n) for n in right}
    with sj.open("apart", home=store.home) as far:
        a = store.btree("a", key=key)
        b = (far if apart else store).btree("b", key=key)
        a.put_many((k, None) for k in one)
        b.put_many((k, None) for k in two)
        both, alone, either = (list(f(b)) for f in (a.intersection, a.difference, a.union))
        model = list(store.btree("model", key=key).union(a))
        assert set(model) == one
        assert both == [k for k in a if k in two]
        assert alone == [k for k in a if k not in two]
        assert set(either) == one | two
        assert len(either) == len(one | two)
        model_tree = store.btree("sorted", key=key)
        model_tree.put_many((k, None) for k in one | two)
        assert either == list(model_tree)


def test_trees_may_change_while_they_are_merged(store: sj.Store) -> None:
    a, b = store.btree("a", key="int"), store.btree("b", key="int")
    a.put_many((n, None) for n in range(2000))
    b.put_many((n, None) for n in range(0, 2000, 2))
    found = []
    for key in a.intersection(b):
        found.append(key)
        b.pop(key + 2, None)
        a.pop(key + 4, None)
    assert found == list(range(0, 2000, 6))


def test_trees_of_other_codecs_are_refused(store: sj.Store) -> None:
    tree = store.btree("a", key="int")
    for other in (store.btree("b", key="str"), store.hashmap("h", key="int"), [1]):
        for method in (tree.intersection, tree.difference, tree.union):
            with pytest.raises(TypeError, match="'int'"):
                method(other)  # type: ignore[arg-type]


def test_an_empty_tree_is_updated_by_a_bulk_load(store: sj.Store) -> None:
    source, tree = store.btree("a", key="int"), store.btree("b", key="int", value="str")
    source.put_many((n, str(n)) for n in range(3000))
    tree.update(source)
    assert list(tree.items()) == list(source.items())
    source[1], source[5000] = "one", "new"
    tree.update(source)
    assert list(tree.items()) == list(source.items())
    source[7] = 7
    tree.clear()
    with pytest.raises(TypeError):
        tree.update(source)
    assert len(tree) == 0
    source.update(source)
    assert len(source) == 3001
