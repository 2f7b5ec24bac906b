# SPDX-License-Identifier: Apache-2.0
"""`Set` and `SortedSet`: what they are and are not, what is refused, atomicity; `increment`."""

from __future__ import annotations

import pickle
import struct
from collections import Counter
from collections.abc import Mapping, MutableSet, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import spacejmp as sj
from spacejmp.structures._mapping import MappingMethods, SetMethods

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = ["set", "sortedset"]
MAPPINGS = ["btree", "hashmap"]


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, store: sj.Store) -> Callable[..., Any]:
    """Makes a set of either kind: make(name, key=…)."""
    made: Callable[..., Any] = getattr(store, request.param)
    return made


@pytest.fixture(params=MAPPINGS)
def mapping(request: pytest.FixtureRequest, store: sj.Store) -> Callable[..., Any]:
    """Makes a mapping of either kind: mapping(name, key=…, value=…)."""
    made: Callable[..., Any] = getattr(store, request.param)
    return made


# --- what they are ------------------------------------------------------------------------------


def test_sets_are_mutable_sets_and_no_mappings(store: sj.Store, make: Callable[..., Any]) -> None:
    found = make("s", key="int")
    assert isinstance(found, MutableSet)
    assert not isinstance(found, Mapping)
    assert isinstance(found, Sequence) == isinstance(found, sj.SortedSet)
    for name in ("get", "setdefault", "increment", "items", "values", "value"):
        assert not hasattr(found, name)
    assert len(found) == 0
    with pytest.raises(TypeError, match="unhashable"):
        hash(found)
    found |= {2, 1}
    assert len(found) == 2
    assert repr(found) == f"<{type(found).__name__} 's', key 'int', 2 items>"
    assert pickle.loads(pickle.dumps(found)) == {1, 2}
    same: Any = store["s"]
    assert same is found


def test_a_set_is_told_as_one(store: sj.Store, home: Path) -> None:
    store.set("u", key="str")
    store.sortedset("o")
    assert store.roots["u"] == sj.RootInfo("u", "set", "str", "")
    assert store.roots["o"] == sj.RootInfo("o", "sortedset", "any", "")
    for name, wrong in (("u", "hashmap"), ("u", "sortedset"), ("o", "btree"), ("o", "set")):
        with pytest.raises(sj.StructureTypeError, match=f"expected a {wrong}, found a "):
            getattr(store, wrong)(name)
    store.hashmap("h")
    with pytest.raises(sj.StructureTypeError, match="expected a set, found a hashmap"):
        store.set("h")
    with pytest.raises(sj.CodecMismatchError):
        store.set("u", key="int")
    with sj.open("store", "r", home=home) as reader, pytest.raises(sj.NotFoundError):
        reader.set("none")


def test_sets_without_a_name_are_values(store: sj.Store) -> None:
    groups = store.hashmap("groups", key="str")
    groups["odd"] = store.new_set(key="int")
    groups["even"] = store.new_sortedset(key="int")
    for n in range(10):
        groups["odd" if n % 2 else "even"].add(n)
    assert groups["odd"] == {1, 3, 5, 7, 9}
    assert list(groups["even"]) == [0, 2, 4, 6, 8]
    assert isinstance(groups["even"], sj.SortedSet)
    assert store.check().leaked_blocks == 0


def test_methods_alone_are_nothing() -> None:
    for methods in (MappingMethods, SetMethods):
        with pytest.raises(TypeError):
            methods()


# --- what no element can be ---------------------------------------------------------------------


def test_what_no_element_can_be_is_not_in_it(make: Callable[..., Any]) -> None:
    found = make("s", key="int")
    found.update([1, 2, 3])
    with pytest.raises(TypeError):
        found.add("a")
    with pytest.raises(TypeError):
        "a" in found  # noqa: B015
    with pytest.raises(OverflowError):
        found.add(1 << 70)
    assert 1 << 70 not in found
    assert found & {"a", 1, 1.5} == {1}
    assert {"a", 1} - found == {"a"}
    assert found != {"a", "b", "c"}
    assert not found >= {"a"}
    assert found.isdisjoint(["a", float("nan"), []])
    found -= {"a", 3}
    found.difference_update([[], 2])
    assert found == {1}
    with pytest.raises(TypeError):
        found |= {"a"}
    with pytest.raises(TypeError):
        found |= [4]
    with pytest.raises(TypeError):
        found & [1]
    assert found.intersection([1, 9]) == {1}


def test_a_failed_exchange_changes_nothing(make: Callable[..., Any]) -> None:
    found = make("s", key="int")
    found.update(range(10))
    with pytest.raises(TypeError):
        found ^= {1, 2, "a"}
    assert found == set(range(10))


def test_a_set_with_itself(make: Callable[..., Any]) -> None:
    found = make("s", key="int")
    found.update(range(100))
    found.update(found)
    found |= found
    found &= found
    assert found == found.union(found) == found.intersection(found) == set(range(100))
    assert found <= found
    assert not found < found
    assert found - found == set()
    found.difference_update(found)
    assert not found
    found.update(range(5))
    found ^= found
    assert not found


def test_sets_of_two_stores_compare(store: sj.Store, home: Path, make: Callable[..., Any]) -> None:
    found = make("s", key="int")
    found.update(range(5))
    with sj.open("other", home=home) as other:
        same = other.set("s", key="any")
        same.update(range(5))
        assert found == same
        assert same == found
        assert found & same == set(range(5))
        same.add("more")
        assert found < same
        assert not same < found
        found |= {7}
        same |= found
        assert same == {0, 1, 2, 3, 4, 7, "more"}


# --- pop ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["int", "str"])
def test_popping_empties_and_finds_what_is_added_meanwhile(store: sj.Store, key: str) -> None:
    make: Any = int if key == "int" else str
    found = store.set("s", key=key)
    expected = {make(n) for n in range(3000)}
    found.update(expected)
    popped = []
    while found:
        popped.append(found.pop())
        if len(popped) in (10, 1500, 2900):
            more = {make(10_000 * len(popped) + n) for n in range(50)}
            found |= more
            expected |= more
    assert set(popped) == expected
    assert len(popped) == len(expected)
    with pytest.raises(KeyError):
        found.pop()
    assert store.check().items == 0


def test_an_undone_pop_is_found_again(store: sj.Store) -> None:
    found = store.set("s", key="int")
    found.update(range(200))
    with store.transaction() as tx:
        for _ in range(150):
            found.pop()
        tx.abort()
    assert {found.pop() for _ in range(200)} == set(range(200))


# --- increment, setdefault ----------------------------------------------------------------------


def test_increment_adds(mapping: Callable[..., Any]) -> None:
    for value, step, result in (("int", 2, 7), ("float", 0.5, 5.5), ("any", 0.5, 5.5)):
        m = mapping(value, key="str", value=value)
        assert m.increment("a") == 1
        assert m.increment("a", 4) == 5
        assert m.increment("a", step) == result
        assert m["a"] == result
        assert type(m.increment("b", default=10)) is (float if value == "float" else int)
        assert m["b"] == 11
    counts = mapping("counts", key="str", value="int")
    counts.update(Counter("abracadabra"))
    assert counts == Counter("abracadabra")
    for letter in "abba":
        counts.increment(letter)
    assert counts == Counter("abracadabraabba")


def test_increment_refuses_and_changes_nothing(mapping: Callable[..., Any]) -> None:
    m = mapping("int", key="int", value="int")
    m[1] = (1 << 63) - 1
    for by, error in ((1, OverflowError), (1 << 64, OverflowError), (0.5, TypeError)):
        with pytest.raises(error):
            m.increment(1, by)
    with pytest.raises(OverflowError):
        m.increment(2, -1, -(1 << 63))
    assert dict(m.items()) == {1: (1 << 63) - 1}
    assert m.increment(1, -1) == (1 << 63) - 2
    for codec in ("str", "bytes", "pickle"):
        with pytest.raises(TypeError, match="increment"):
            mapping(codec, value=codec).increment(1)
    anything = mapping("any")
    anything["a"] = "text"
    anything["big"] = 1 << 80
    with pytest.raises(TypeError, match="number"):
        anything.increment("a")
    with pytest.raises(TypeError, match="number"):
        anything.increment("b", "1")
    assert anything.increment("big", -1) == (1 << 80) - 1
    assert anything == {"a": "text", "big": (1 << 80) - 1}
    with pytest.raises(TypeError):
        m.increment("no int")


def test_increment_of_values_of_every_size(store: sj.Store, mapping: Callable[..., Any]) -> None:
    m = mapping("any", key="int")
    expected = {n: 1 << n for n in range(0, 120, 7)}
    m.update(expected)
    with store.transaction():
        for n, value in expected.items():
            assert m.increment(n, 2 * value) == 3 * value
    assert m == {n: 3 * value for n, value in expected.items()}
    assert store.check().leaked_blocks == 0


def test_setdefault_of_structures(store: sj.Store, mapping: Callable[..., Any]) -> None:
    m = mapping("m", key="str")
    first = m.setdefault("a", store.new_set(key="int"))
    first.add(1)
    assert m.setdefault("a", store.new_set(key="int")) == {1}
    assert m["a"] == {1}
    assert m.setdefault("b", [1]) == [1]
    assert m.setdefault("b", object()) == [1]


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*KINDS, *MAPPINGS])
@pytest.mark.parametrize("codecs", [(4, 0), (1, 0), (4, 1), (1, 1), (5, 5), (1, 3)])
def test_a_root_with_other_codecs_than_the_items_is_damage(
    home: Path, kind: str, codecs: tuple[int, int]
) -> None:
    is_set = kind in KINDS
    with sj.open("s", home=home) as store:
        made = getattr(store, kind)("name", key="str")
        for n in range(100):
            made.add(f"{n}") if is_set else made.setdefault(f"{n}", [n])
        path = Path(store.path)
    block = 7 if kind in ("set", "hashmap") else 4
    image = bytearray(path.read_bytes())
    root = struct.pack("<HHBBH", 1, block, 4, 0 if is_set else 5, 4)
    at = image.index(root)
    image[at + 4 : at + 6] = bytes(codecs)
    path.write_bytes(image)
    same_kinds = codecs in (((4, 0), (4, 1)) if is_set else ((5, 5),))
    with sj.open("s", home=home) as store:
        if same_kinds:
            assert len(store["name"]) == 100  # what its items are cannot be told from them
        else:
            with pytest.raises(sj.CorruptError, match="none of its codecs"):
                store["name"]
