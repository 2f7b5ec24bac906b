# SPDX-License-Identifier: Apache-2.0
"""`BTree` and `HashMap`: sizes, refusals that change nothing, live iterators and views."""

from __future__ import annotations

import math
from collections.abc import ItemsView, KeysView, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Any

import pytest
from children import Child, forked, in_child

import spacejmp as sj

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

MIB = 1 << 20
KINDS = ["btree", "hashmap"]


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, store: sj.Store) -> Callable[..., Any]:
    """Makes a structure of either kind: make(name, key=…, value=…)."""
    made: Callable[..., Any] = getattr(store, request.param)
    return made


class Unchanged:
    """Asserts that the block changes nothing of a store."""

    def __init__(self, store: sj.Store) -> None:
        self.store = store

    def state(self) -> tuple[Any, ...]:
        contents = {name: list(self.store[name].items()) for name in self.store.roots}
        return contents, dict(self.store.roots), self.store.stats().live_bytes

    def __enter__(self) -> None:
        self.before = self.state()

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        if kind is not None:
            return
        assert self.state() == self.before
        assert self.store.check().leaked_blocks == 0


# --- what they are ------------------------------------------------------------------------------


def test_mappings_are_mutable_mappings(make: Callable[..., Any]) -> None:
    mapping = make("m")
    assert issubclass(type(mapping), MutableMapping)
    assert isinstance(mapping.keys(), KeysView)
    assert isinstance(mapping.items(), ItemsView)
    assert isinstance(mapping.values(), ValuesView)
    assert mapping == {}
    assert not mapping
    mapping.update({1: "a"}, b="c")
    mapping |= {3: 4}
    mapping |= [(5, 6)]
    assert mapping
    assert mapping == {1: "a", "b": "c", 3: 4, 5: 6}
    with pytest.raises(TypeError, match="unhashable"):
        hash(mapping)


def test_update_takes_all_that_dict_takes(make: Callable[..., Any]) -> None:
    class Keyed:
        def keys(self) -> list[str]:
            return ["x", "y"]

        def __getitem__(self, key: str) -> str:
            return key * 2

    mapping = make("m", key="str")
    mapping.update(Keyed())
    mapping.update(iter([("z", 1)]), w=2)
    mapping.update(mapping)
    mapping.update()
    assert mapping == {"x": "xx", "y": "yy", "z": 1, "w": 2}
    for wrong in (3, [1], [(1, 2, 3)]):
        with pytest.raises((TypeError, ValueError)):
            mapping.update(wrong)
    assert len(mapping) == 4


# --- what does not fit --------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["bytes", "str", "any"])
def test_a_key_of_one_mebibyte_is_the_longest(
    store: sj.Store, make: Callable[..., Any], codec: str
) -> None:
    mapping = make("m", key=codec, value="bytes")
    unit: Any = "k" if codec == "str" else b"k"
    longest = MIB if codec != "any" else MIB - 64  # the kind of key takes some room as well
    mapping[unit * longest] = b"v"
    mapping[unit * 3] = b"w"
    assert mapping[unit * longest] == b"v"
    with Unchanged(store):
        for put in (mapping.__setitem__, mapping.setdefault):
            for error in (sj.TooLargeError, ValueError):
                with pytest.raises(error, match="longer"):
                    put(unit * (MIB + 1), b"")
    del mapping[unit * longest]
    assert list(mapping) == [unit * 3]


def test_keys_that_differ_only_at_their_far_end_are_told_apart(make: Callable[..., Any]) -> None:
    mapping = make("m", key="bytes", value="int")
    keys = [b"k" * (MIB - 1) + bytes([n]) for n in range(8)]
    for n, key in enumerate(keys):
        mapping[key] = n
    assert [mapping[key] for key in keys] == list(range(8))
    assert mapping.get(keys[0][:-1]) is None
    assert sorted(mapping) == keys


@pytest.mark.parametrize("key", ["int", "str"])
def test_a_value_larger_than_the_store_is_refused_before_any_change(
    store: sj.Store, make: Callable[..., Any], key: str
) -> None:
    mapping = make("m", key=key, value="bytes")
    place: Any = 1 if key == "int" else "1"
    mapping[place] = b"old"
    size = store.stats().file_bytes
    large = bytes(1 << 30)
    with Unchanged(store):
        with pytest.raises(sj.TooLargeError):
            mapping[place] = large
        with pytest.raises(ValueError, match="limit"):
            mapping.setdefault(place * 2, large)
    assert store.stats().file_bytes == size


@pytest.mark.slow
def test_a_value_that_does_not_fit_beside_others_is_space_full(
    store: sj.Store, make: Callable[..., Any]
) -> None:
    mapping = make("m", key="int", value="bytes")
    mapping[1] = b"1"
    mapping[2] = large = bytes(700 << 20)
    used = store.stats()
    for key in (3, 1, 2):
        for error in (sj.SpaceFullError, OSError):
            with pytest.raises(error, match="reserve"):
                mapping[key] = large
    assert store.stats() == used
    assert store.check().leaked_blocks == 0
    assert (mapping[1], len(mapping[2]), len(mapping)) == (b"1", len(large), 2)
    del mapping[2]
    mapping[3] = large
    assert sorted(mapping) == [1, 3]


def test_empty_keys_and_values_are_as_good_as_others(make: Callable[..., Any]) -> None:
    for codec, empty, other in (("bytes", b"", b"x"), ("str", "", "x"), ("any", (), "x")):
        mapping = make(codec, key=codec)
        values: list[Any] = [b"", "", None, 0, [], {}]
        for value in values:
            mapping[empty] = value
            mapping[other] = 1
            assert mapping[empty] == value
            assert empty in mapping
            assert mapping.pop(empty) == value
            assert empty not in mapping
        assert list(mapping) == [other]


REFUSED = [
    ("int", ["1", b"1", None, [1], (1,), 1j, object()], TypeError),
    ("int", [math.nan, 1.5], ValueError),
    ("int", [2**63, -(2**63) - 1, 1e30], OverflowError),
    ("float", ["1", b"1", None, [1], object()], TypeError),
    ("float", [math.nan, 2**53 + 1, 2**2000], ValueError),
    ("bytes", ["x", 1, None, [1]], TypeError),
    ("str", [b"x", 1, None, ("x",)], TypeError),
    ("any", [[1], {}, {1}, object(), 1j, (1, [2])], TypeError),
    ("any", [math.nan, (1, math.nan)], ValueError),
]


@pytest.mark.parametrize(("codec", "keys", "error"), REFUSED)
def test_keys_that_the_codec_cannot_hold_are_refused_and_change_nothing(
    store: sj.Store, make: Callable[..., Any], codec: str, keys: list[Any], error: type[Exception]
) -> None:
    mapping = make("m", key=codec)
    good: Any = {"int": 1, "float": 1.0, "bytes": b"x", "str": "x", "any": 1}[codec]
    mapping[good] = "good"
    for key in keys:
        with Unchanged(store):
            with pytest.raises(error):
                mapping[key] = 1
            with pytest.raises(error):
                mapping.setdefault(key, 1)
            with pytest.raises(error):
                mapping.update([(key, 1)])
        if error is TypeError:
            for look in (mapping.get, mapping.__contains__, mapping.__delitem__, mapping.pop):
                with pytest.raises(TypeError):
                    look(key)


@pytest.mark.parametrize(
    ("codec", "values", "error"),
    [
        ("int", ["1", None, 1.0, [1]], TypeError),
        ("int", [2**63, -(2**63) - 1], OverflowError),
        ("float", ["1", None, 1j], TypeError),
        ("bytes", ["x", 1, None], TypeError),
        ("str", [b"x", 1, None], TypeError),
        ("any", [object(), range(3), {1: object()}, [len]], TypeError),
    ],
)
def test_values_that_the_codec_cannot_hold_are_refused_and_change_nothing(
    store: sj.Store, make: Callable[..., Any], codec: str, values: list[Any], error: type[Exception]
) -> None:
    mapping = make("m", key="int", value=codec)
    mapping[1] = {"int": 1, "float": 1.0, "bytes": b"x", "str": "x", "any": 1}[codec]
    for value in values:
        with Unchanged(store):
            with pytest.raises(error):
                mapping[1] = value
            with pytest.raises(error):
                mapping.setdefault(2, value)


def test_an_iterable_that_fails_leaves_what_came_before_or_nothing(store: sj.Store) -> None:
    def rows(count: int) -> Iterator[tuple[int, int]]:
        for n in range(count):
            yield n, n
        raise LookupError

    tree = store.btree("t", key="int", value="int")
    with pytest.raises(LookupError):
        tree.update(rows(3))
    assert dict(tree.items()) == {0: 0, 1: 1, 2: 2}
    with pytest.raises(LookupError), store.transaction():
        tree.update(rows(100))
    assert len(tree) == 3
    tree.clear()
    items: list[Any] = [rows(1000), [(1, 1), (1, 2)], [(2, 2), (1, 1)], [(1, "x")], [(1,)], [5]]
    for failing in items:
        with Unchanged(store), pytest.raises((LookupError, TypeError, ValueError)):
            tree.bulk_load(failing)

    def changing() -> Iterator[tuple[int, int]]:
        yield 1, 1
        tree[99] = 99
        yield 2, 2

    with Unchanged(store), pytest.raises(ValueError, match="while a bulk load"):
        tree.bulk_load(changing())
    with pytest.raises(ValueError, match="fill"):
        tree.bulk_load([], fill=49)
    with pytest.raises(sj.OrderError):
        tree.bulk_load([(2, 2), (1, 1)])
    tree.bulk_load({1: 1})
    assert dict(tree.items()) == {1: 1}


def test_a_bulk_load_may_look_at_the_store_while_it_reads(store: sj.Store) -> None:
    source, tree = store.btree("source", key="int"), store.btree("t", key="int")
    source.update({n: "x" * n for n in range(500)})
    tree.bulk_load(source)
    assert list(tree.items()) == list(source.items())
    other = store.btree("other", key="int")

    def rows() -> Iterator[tuple[int, str]]:
        for n in range(200):
            source[n] = "changed meanwhile"
            yield n, source[n]

    other.bulk_load(rows())
    assert set(other.values()) == {"changed meanwhile"}
    assert store.check().leaked_blocks == 0


def test_missing_keys_are_key_errors(make: Callable[..., Any]) -> None:
    mapping = make("m", key="int")
    for use in (mapping.__getitem__, mapping.__delitem__, mapping.pop):
        with pytest.raises(KeyError, match="7"):
            use(7)
    with pytest.raises(KeyError, match="empty"):
        mapping.popitem()
    assert mapping.pop(7, "default") == "default"
    assert mapping.get(7) is None
    assert mapping.get(7, 8) == 8


# --- reading only -------------------------------------------------------------------------------


@pytest.mark.parametrize("open_for_writing_too", [False, True])
def test_a_store_opened_for_reading_refuses_every_change(
    home: Path, open_for_writing_too: bool
) -> None:
    """One that the same process had opened for writing as well took changes."""
    writer = sj.open("genes", home=home)
    writer.btree("t", key="int").update({1: 1, 2: 2})
    writer.hashmap("h", key="int").update({1: 1, 2: 2})
    if not open_for_writing_too:
        writer.close()
    with sj.open("genes", "r", home=home) as store:
        assert store.readonly
        tree, table = store["t"], store["h"]
        assert isinstance(tree, sj.BTree)
        changes: list[Callable[[], object]] = [
            *[lambda m=m: m.__setitem__(1, 3) for m in (tree, table)],
            *[lambda m=m: m.__delitem__(1) for m in (tree, table)],
            *[lambda m=m: m.__delitem__(9) for m in (tree, table)],
            *[lambda m=m: m.pop(1, None) for m in (tree, table)],
            *[lambda m=m: m.setdefault(1, 1) for m in (tree, table)],
            *[lambda m=m: m.update({1: 1}) for m in (tree, table)],
            tree.popitem,
            table.popitem,
            tree.clear,
            table.clear,
            lambda: tree.bulk_load([]),
            lambda: store.drop("t"),
            store.write().__enter__,
            store.transaction().__enter__,
        ]
        with Unchanged(store):
            for change in changes:
                for error in (sj.ReadOnlyError, OSError):
                    with pytest.raises(error, match="'r'"):
                        change()
            with pytest.raises(sj.NotFoundError):
                store.btree("new")
        with store.read():
            assert dict(tree.items()) == dict(table.items()) == {1: 1, 2: 2}
    writer.close()


def test_a_process_writes_what_it_has_open_for_reading_too(home: Path) -> None:
    with sj.open("genes", home=home) as store:
        store.btree("t")[1] = "one"
    with sj.open("genes", "r", home=home) as reader:
        with sj.open("genes", "w", home=home) as writer:
            writer.btree("t")[2] = "two"
            assert dict(reader.btree("t").items()) == {1: "one", 2: "two"}
        with pytest.raises(sj.ReadOnlyError):
            reader.btree("t")[3] = "three"
        with pytest.raises(sj.ReadOnlyError), reader.write():
            pass


def test_a_copy_is_in_memory_and_has_the_order_of_the_tree(home: Path) -> None:
    with sj.open("genes", home=home) as store:
        tree, table = store.btree("any"), store.hashmap("map", key="int")
        tree.update({(1, "a"): 1, None: 2, 3: 4, "z": 5, b"q": 6, 2.5: 7})
        table.update({5: "five", 1: "one"})
        copy, plain = tree.copy(), table.copy()
        assert type(plain) is dict
        assert plain == {5: "five", 1: "one"}
        assert list(copy.items()) == list(tree.items())
        copy[1] = 0
        assert copy.peekitem(1) == (1, 0)
        assert 1 not in tree
        numbers = store.btree("numbers", key="float")
        numbers.update({2.5: 1, -1.0: 2})
        assert list(numbers.copy()) == [-1.0, 2.5]
    assert next(iter(copy)) is None


# --- iterators and views are live ---------------------------------------------------------------


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_tree_iterator_goes_on_after_its_last_key(
    store: sj.Store, rng: random.Random, backward: bool, elsewhere: bool
) -> None:
    tree = store.btree("t", key="str", value="int")
    name = "k{:04d}".format

    def change(at: int) -> None:
        """Removes the key given and its neighbours, adds some before and after."""
        for n in (at - 1, at, at + 1, at + 2):
            tree.pop(name(n), None)
        tree[name(at - 3)] = tree[name(at + 3)] = -1

    for trial in range(2 if elsewhere else 20):
        tree.clear()
        tree.update({name(n): n for n in range(10, 300)})
        expected = {key: value for key, value in tree.items()}
        steps = sorted(rng.sample(range(200), 4), reverse=True)
        given: list[str] = []
        step = -1 if backward else 1
        iterator = reversed(tree.items()) if backward else iter(tree.items())
        for count, (key, value) in enumerate(iterator):
            assert tree[key] == value
            given.append(key)
            if steps and count == steps[-1]:
                steps.pop()
                at = int(key[1:])
                if elsewhere:
                    in_child(lambda: change(at))  # noqa: B023
                else:
                    change(at)
        assert given == sorted(given)[::step]
        assert len(set(given)) == len(given)
        stayed = {key for key in expected if key in tree and tree[key] == expected[key]}
        assert stayed <= set(given), f"trial {trial}"


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_map_iterator_gives_what_stays_once(
    store: sj.Store, rng: random.Random, elsewhere: bool
) -> None:
    """A batch that a change made shorter was forgotten: items behind its end came a second time."""
    table = store.hashmap("h", key="int", value="int")

    def change(base: int) -> None:
        for n in range(base, base + 30):
            table.pop(n, None)
        for n in range(60):
            table[100_000 + base * 100 + n] = -1

    for _ in range(2 if elsewhere else 10):
        table.clear()
        table.update({n: n for n in range(2000)})
        given: list[int] = []
        for count, key in enumerate(table):
            given.append(key)
            if count % 400 == 7:
                base = rng.randrange(1500)
                if elsewhere:
                    in_child(lambda: change(base))  # noqa: B023
                else:
                    change(base)
        assert len(set(given)) == len(given)
        stayed = {key for key, value in table.items() if value >= 0}
        assert stayed <= set(given)


@pytest.mark.parametrize("backward", [False, True])
def test_deleting_all_while_iterating_ends(make: Callable[..., Any], backward: bool) -> None:
    mapping = make("m", key="int", value="int")
    mapping.update({n: n for n in range(500)})
    if backward and isinstance(mapping, sj.HashMap):
        with pytest.raises(TypeError):
            reversed(mapping)
        return
    seen = 0
    for key in reversed(mapping) if backward else mapping:
        del mapping[key]
        seen += 1
    assert (seen, len(mapping)) == (500, 0)


def test_inserting_while_iterating_ends(make: Callable[..., Any]) -> None:
    mapping = make("m", key="int", value="int")
    mapping.update({n: n for n in range(100)})
    for key in mapping:
        mapping[-key - 1] = key
        mapping[key] = -key
    assert len(mapping) == 200


def test_an_iterator_that_has_ended_stays_at_its_end(make: Callable[..., Any]) -> None:
    mapping = make("m", key="int", value="int")
    mapping[1] = 1
    iterator = iter(mapping)
    assert list(iterator) == [1]
    assert list(iterator) == []
    empty = iter(make("empty"))
    assert list(empty) == []


def test_an_iterator_that_could_not_wait_goes_on_where_it_was(
    make: Callable[..., Any],
) -> None:
    mapping = make("m", key="int", value="int")
    mapping.update({n: n for n in range(600)})
    expected = list(mapping)

    def hold(child: Child) -> None:
        with mapping.store.write():
            child.say()
            child.hear()

    with sj.open("store", home=mapping.store.home, timeout=0.01) as store:
        hasty = store["m"]
        iterators = [iter(hasty)]
        if isinstance(hasty, sj.BTree):
            iterators += [hasty.islice(0, 600), hasty.islice(0, 600, reverse=True)]
        given: list[list[int]] = [[next(iterator)] for iterator in iterators]
        with forked(hold) as child:
            child.hear()
            for found, iterator in zip(given, iterators, strict=True):
                for _ in range(3):
                    with pytest.raises(sj.SpaceBusyError):
                        found.extend(iterator)
            child.say()
            child.end()
        for found, iterator in zip(given, iterators, strict=True):
            found.extend(iterator)
        assert given[0] == expected
        assert given[1:2] in ([], [expected])
        assert given[2:] in ([], [expected[::-1]])


def test_views_are_live(make: Callable[..., Any]) -> None:
    mapping = make("m", key="int", value="int")
    keys, items, values = mapping.keys(), mapping.items(), mapping.values()
    for n in range(3):
        mapping[n] = n * n
        assert sorted(keys) == list(range(n + 1))
        assert (len(keys), len(items), len(values)) == (n + 1,) * 3
        assert (n, n * n) in items
        assert n * n in values
    assert (2, 5) not in items
    assert (9, 9) not in items
    assert keys == {0, 1, 2}
    assert items == {(0, 0), (1, 1), (2, 4)}
    in_child(mapping.clear)
    assert (list(keys), list(items), list(values)) == ([], [], [])


def test_views_of_a_tree_have_positions(store: sj.Store) -> None:
    tree = store.btree("t", key="str", value="int")
    tree.update({"a": 1, "b": 2, "c": 3, "d": 2})
    assert tree.keys()[-1] == "d"
    assert tree.keys()[1:3] == ["b", "c"]
    assert tree.items()[::-2] == [("d", 2), ("b", 2)]
    assert tree.values()[2] == 3
    assert (tree.keys().index("c"), tree.values().index(2), tree.values().count(2)) == (2, 1, 2)
    assert (tree.keys().count("a"), tree.keys().count("x")) == (1, 0)
    assert tree.items().index(("c", 3)) == 2
    for wrong in (4, -5, 10**6):
        with pytest.raises(IndexError):
            tree.keys()[wrong]
        with pytest.raises(IndexError):
            tree.peekitem(wrong)
    with pytest.raises(TypeError):
        tree.keys()["a"]  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="'x' is not a key"):
        tree.index("x")
    with pytest.raises(ValueError, match="range of positions"):
        tree.index("a", 1)


def test_ranges_take_numbers_that_are_no_keys(store: sj.Store) -> None:
    tree = store.btree("t", key="int", value="int")
    tree.update({n: n for n in range(10)})
    assert list(tree.irange(2.5, 4.5)) == [3, 4]
    assert list(tree.irange(-math.inf, 1)) == [0, 1]
    assert list(tree.irange(8, 2**70, reverse=True)) == [9, 8]
    assert (tree.bisect_left(2.5), tree.bisect_right(2.5), tree.bisect(math.inf)) == (3, 3, 10)
    assert 2.5 not in tree
    assert 2.0 in tree
    assert tree.get(2**70) is None
    for wrong in (math.nan, (ValueError)), ("x", TypeError):
        with pytest.raises(wrong[1]):
            tree.irange(wrong[0])


def test_a_range_across_an_empty_side_is_empty(store: sj.Store) -> None:
    tree = store.btree("t", key="int", value="int")
    assert list(tree.irange(1, 5)) == list(tree.islice(0, 5)) == []
    assert (tree.bisect_left(1), tree.bisect_right(1)) == (0, 0)
    tree[3] = 3
    assert list(tree.irange(5, 1)) == []
    assert list(tree.irange(5, 1, reverse=True)) == []
    assert list(tree.irange(3, 3, (False, True))) == []
    assert list(tree.irange(3, 3)) == [3]


def test_setdefault_of_a_key_that_is_there_takes_any_default(make: Callable[..., Any]) -> None:
    """It once refused a default that does not fit the value codec, though none was stored."""
    mapping = make("m", key="int", value="int")
    mapping[1] = 5
    assert mapping.setdefault(1) == 5
    with pytest.raises(TypeError):
        mapping.setdefault(2)
    assert dict(mapping.items()) == {1: 5}
