# SPDX-License-Identifier: Apache-2.0
"""Records: fields as attributes, pointers, freeing, transactions, and what is refused."""

from __future__ import annotations

import ctypes
import gc
import pickle
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from cffi import FFI

import spacejmp as sj

if TYPE_CHECKING:
    import random
    from pathlib import Path


@sj.record
class Node:
    key: sj.i64
    name: sj.str_
    left: sj.Ptr[Node]
    weights: sj.FixedArray[sj.f32, Literal[8]]
    raw: sj.bytes_

    def twice(self) -> int:
        """A method, as in any class."""
        return 2 * self.key


@sj.record
class Numbers:
    a: sj.i8
    b: sj.i64
    c: sj.u8
    d: sj.i16
    e: sj.u16
    f: sj.bool_
    g: sj.u32
    h: sj.i32
    i: sj.u64
    j: sj.f32
    k: sj.f64
    m: sj.FixedArray[sj.u16, Literal[3]]
    n: sj.FixedArray[sj.bool_, Literal[2]]


@sj.record
class Holder:
    to: sj.Ptr[Any]


def raises_and_changes_nothing(kind: type[BaseException], node: Any, **fields: object) -> str:
    before = repr(node)
    with pytest.raises(kind) as caught:
        for name, value in fields.items():
            setattr(node, name, value)
    assert repr(node) == before
    return str(caught.value)


# --- fields -------------------------------------------------------------------------------------


def test_fields_lie_where_c_has_them(store: sj.Store) -> None:
    c = FFI()
    cls: Any = Numbers
    c.cdef(cls.c_declaration().replace("bool", "_Bool"))
    assert c.sizeof("struct Numbers") == cls.dtype.itemsize
    for field in cls.fields:
        assert (
            c.offsetof("struct Numbers", field.name)
            == field.offset
            == cls.dtype.fields[field.name][1]
        )
    numbers = store.new(Numbers, b=-5, k=0.5, m=(1, 2, 3), n=[True, False])
    with store.read():
        seen = c.cast("struct Numbers *", sj.address_of(numbers))
        assert (seen.b, seen.k, list(seen.m), list(seen.n)) == (-5, 0.5, [1, 2, 3], [True, False])


@pytest.mark.parametrize("field", "abcdeghi")
def test_integers_have_their_range(store: sj.Store, field: str) -> None:
    numbers: Any = store.new(Numbers)
    of: Any = getattr(Numbers, field).type.dtype
    low, high = np.iinfo(of).min, np.iinfo(of).max
    others = repr(numbers).replace(f"{field}=0", f"{field}=?")
    for value in (low, high, low + 1, 0, 1, True, np.int8(7), of.type(high)):
        setattr(numbers, field, value)
        assert getattr(numbers, field) == value
        assert type(getattr(numbers, field)) is int
    setattr(numbers, field, 0)
    for value in (int(low) - 1, int(high) + 1, 1 << 70, -(1 << 70)):
        raises_and_changes_nothing(OverflowError, numbers, **{field: value})
    for wrong in (1.0, "1", None, b"1", [1]):
        assert f"Numbers.{field}: expected" in raises_and_changes_nothing(
            TypeError, numbers, **{field: wrong}
        )
    assert repr(numbers).replace(f"{field}=0", f"{field}=?") == others


def test_floats_and_bools(store: sj.Store) -> None:
    numbers: Any = store.new(Numbers)
    for value in (0.1, -0.0, float("inf"), 5e-324, 3, np.float32(0.5)):
        numbers.k = value
        assert struct.pack("d", numbers.k) == struct.pack("d", value)
    numbers.k = float("nan")
    assert numbers.k != numbers.k
    numbers.j = 0.1
    assert numbers.j == np.float32(0.1)
    raises_and_changes_nothing(OverflowError, numbers, j=1e39)
    numbers.j = float("-inf")
    raises_and_changes_nothing(TypeError, numbers, j="0.1")
    raises_and_changes_nothing(TypeError, numbers, k=None)
    for value in (True, 1, np.True_):
        numbers.f = value
        assert numbers.f is True
    numbers.f = False
    raises_and_changes_nothing(TypeError, numbers, f=2)
    raises_and_changes_nothing(TypeError, numbers, f="x")


@pytest.mark.parametrize("text", ["", "a", "é\U0001f600", "\udc80", "x" * 100_000, "nul\0"])
def test_texts(store: sj.Store, text: str) -> None:
    node = store.new(Node, name=text, raw=text.encode("utf-8", "surrogatepass"))
    assert node.name == text
    assert node.raw == text.encode("utf-8", "surrogatepass")
    node.name, node.raw = "other", bytearray(b"\0\1")  # type: ignore[assignment]
    assert (node.name, node.raw) == ("other", b"\0\1")
    node.name = text
    assert node.name == text
    blocks = store.stats().live_blocks
    node.name, node.raw = "", b""
    assert store.stats().live_blocks == blocks - 1 - (text != "")
    raises_and_changes_nothing(TypeError, node, name=b"bytes")
    raises_and_changes_nothing(TypeError, node, name=None)
    raises_and_changes_nothing(TypeError, node, raw="text")


def test_arrays_store_what_is_assigned_to_elements(store: sj.Store) -> None:
    numbers: Any = store.new(Numbers, m=[1, 2, 3])
    array = numbers.m
    array[1] = 60000
    array[-1] += 4
    assert (list(numbers.m), len(array), 7 in array, array.index(7)) == ([1, 60000, 7], 3, True, 2)
    assert (array == numbers.m, array == [1, 60000, 7], array == (1, 2)) == (True, True, False)
    array[::2] = [8, 9]
    assert array[:] == array.tolist() == list(reversed(list(reversed(array)))) == [8, 60000, 9]
    copied = np.asarray(array)
    assert copied.dtype == np.uint16
    copied[0] = 1
    assert numbers.m[0] == 8
    numbers.m = np.arange(3)
    assert numbers.m == [0, 1, 2]
    before = repr(numbers)
    for wrong in ([1, 2], [1, 2, 3, 4], [1, 2, 1 << 16], [1, 2, "3"], "123", 5):
        with pytest.raises((TypeError, ValueError, OverflowError)):
            numbers.m = wrong
        assert repr(numbers) == before
    for key, value in ((3, 1), (-4, 1), (0, -1), (slice(0, 2), [1]), (slice(0, 2), [1, -1])):
        with pytest.raises((IndexError, ValueError, OverflowError)):
            array[key] = value
        assert repr(numbers) == before
    assert hash(numbers) is not None
    with pytest.raises(TypeError):
        hash(array)
    assert pickle.loads(pickle.dumps(array)) == [0, 1, 2]


def test_defaults_and_zeros(store: sj.Store) -> None:
    @sj.record
    class Made:
        a: sj.i32 = 7
        b: sj.str_ = "text"
        c: sj.f64
        d: sj.FixedArray[sj.i8, Literal[2]] = (1, 2)  # type: ignore[assignment]

    made: Any = store.new(Made)  # type: ignore[call-arg,unused-ignore]
    assert (made.a, made.b, made.c, list(made.d)) == (7, "text", 0.0, [1, 2])
    assert list(store.new(Node).weights) == [0.0] * 8
    assert store.new(Node).left is None


def test_methods_properties_and_super(store: sj.Store) -> None:
    class Base:
        def hello(self) -> str:
            return "base"

    @sj.record
    class Made(Base):
        key: sj.i64

        def hello(self) -> str:
            return super().hello() + str(self.key)

        @property
        def next(self) -> int:
            assert isinstance(self, __class__)  # type: ignore[name-defined]
            return int(self.key) + 1

    made = store.new(Made, key=4)
    assert (made.hello(), made.next, isinstance(made, Made)) == ("base4", 5, True)
    assert store.new(Node, key=3).twice() == 6
    with pytest.raises(AttributeError):
        store.new(Node).other = 1  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        del made.key


# --- classes ------------------------------------------------------------------------------------


def test_annotations_that_are_no_fields_are_refused() -> None:
    for annotation in ("int", "sj.i65", "sj.str_[3]", "sj.f32[0]", "sj.f32[2][2]", "sj.Ptr[5]"):
        with pytest.raises(TypeError):
            exec(f"@sj.record\nclass Bad:\n    x: {annotation!r}", {"sj": sj})
    with pytest.raises(TypeError, match="at least one field"):

        @sj.record
        class Empty:
            pass

    with pytest.raises(TypeError, match="cannot be derived from"):

        @sj.record
        class Derived(Node):  # type: ignore[misc,unused-ignore]
            more: sj.i64

    with pytest.raises(OverflowError):

        @sj.record
        class Wide:
            small: sj.i8 = 1000


def test_annotations_without_a_future_and_classes_to_come(store: sj.Store) -> None:
    names: dict[str, Any] = {"sj": sj}
    exec(
        "@sj.record\nclass Edge:\n    start: sj.Ptr['Vertex']\n    cost: sj.f32[2]\n"
        "@sj.record\nclass Vertex:\n    first: sj.Ptr[Edge]\n    any: sj.Ptr\n",
        names,
    )
    vertex = store.new(names["Vertex"])
    vertex.first = store.new(names["Edge"], start=vertex, cost=(1, 2))
    vertex.any = vertex.first
    assert vertex.first.start == vertex == vertex.any.start
    with pytest.raises(TypeError, match="expected a Edge or None, found a Vertex"):
        vertex.first = vertex


def test_records_are_made_by_stores_alone() -> None:
    cls: Any = Node
    for make in (cls, lambda: cls.__new__(cls), lambda: sj.Record(), cls.key.__class__):
        with pytest.raises(TypeError):
            make()


def test_new_refuses_what_does_not_fit(store: sj.Store) -> None:
    new: Any = store.new
    before = store.stats().live_blocks
    for wrong in ({"other": 1}, {"key": "x"}, {"name": 1}, {"left": 5}, {"weights": [1]}):
        with pytest.raises((TypeError, ValueError)):
            new(Node, **wrong)
    with pytest.raises(TypeError, match="made by record"):
        new(int)
    assert store.stats().live_blocks == before


# --- pointers, names, and what is gone ----------------------------------------------------------


def test_pointers_and_equality(store: sj.Store) -> None:
    one = store.new(Node, key=1)
    one.left = one
    assert one.left == one
    assert one.left is not None
    assert hash(one.left) == hash(one)
    one.left.key = 5
    assert one.key == 5
    assert one != store.new(Node, key=5)
    assert one.__eq__(5) is NotImplemented
    assert store.at(Node, sj.address_of(one)) == one
    assert f"left=<Node at {sj.address_of(one):#x}>" in repr(one)
    one.left = None
    assert one.left is None


def test_a_name_is_given_and_taken_by_another_record(store: sj.Store) -> None:
    store["first"] = store.new(Node, key=1)
    store["first"] = store.new(Node, key=2)
    assert store["first"].key == 2
    assert store.roots["first"] == sj.RootInfo("first", "record", "", "")
    assert list(store.roots) == ["first"]
    assert store.check().leaked_blocks > 0
    assert store.collect().freed_blocks == 1
    store.btree("tree")
    with pytest.raises(sj.StructureTypeError):
        store["tree"] = store["first"]
    with pytest.raises(sj.InvalidArgumentError, match="drop that"):
        store.free(store["first"])
    node = store["first"]
    store.drop("first")
    assert node.key == 2
    store.free(node)
    with pytest.raises(sj.NotFoundError):
        store["first"]


def test_what_was_freed_is_no_longer_there(store: sj.Store) -> None:
    one, two = store.new(Node, key=1, name="n" * 50), store.new(Node, key=2)
    two.left = one
    address = sj.address_of(one)
    blocks = store.stats().live_blocks
    store.free(one)
    assert store.stats().live_blocks == blocks - 2
    for use in (
        lambda: one.key,
        lambda: setattr(one, "key", 1),
        lambda: one.weights[0],
        lambda: setattr(two, "left", one),
        lambda: store.free(one),
        lambda: store.at(Node, address),
        lambda: two.left,
        lambda: store.new(Node, left=one),
    ):
        with pytest.raises(sj.NotFoundError):
            use()
    assert "no longer there" in repr(one)
    again = store.new(Node, key=3)  # where the old one was
    assert sj.address_of(again) == address
    with pytest.raises(sj.NotFoundError):
        _ = one.key
    assert again.key == 3


def test_a_pointer_notices_another_type(store: sj.Store) -> None:
    @sj.record
    class Same:  # as large as Holder
        x: sj.i64

    some = store.new(Holder)
    holder = store.new(Node)
    holder.left = store.new(Node)
    some.to = holder
    place = sj.address_of(some)
    keeper = store.new(Node)
    del keeper
    store.free(some)
    other = store.new(Same)
    assert sj.address_of(other) == place
    with pytest.raises(sj.NotFoundError):
        _ = some.to
    with pytest.raises(sj.RecordTypeError, match="expected a Holder, found a Same"):
        store.at(Holder, place)


def test_addresses_that_are_no_records(store: sj.Store) -> None:
    node = store.new(Node)
    tree = store.btree("tree")
    for address in (0, 1, 16, -16, 1 << 64, sj.address_of(node) + 8, tree.address, store.base):
        with pytest.raises(sj.NotFoundError):
            store.at(Node, address)
    with pytest.raises(TypeError):
        sj.address_of(tree)


def test_pointers_stay_inside_of_a_store(store: sj.Store, home: Path) -> None:
    node = store.new(Node)
    with sj.open("other", home=home, reserve=1 << 30) as other:
        stranger = other.new(Node)
        with pytest.raises(sj.InvalidArgumentError, match="same store"):
            node.left = stranger
        with pytest.raises(sj.InvalidArgumentError):
            store.new(Node, left=stranger)
        with pytest.raises(sj.InvalidArgumentError):
            store["name"] = stranger
        with pytest.raises(sj.NotFoundError):
            store.free(stranger)
        with sj.open("store", home=home) as again:
            same = again.at(Node, sj.address_of(node))
            assert same == node
            node.left = same  # another object of the same store
    with pytest.raises(sj.DetachedError):
        _ = stranger.key
    assert "closed store" in repr(stranger)
    assert node.left == node


def test_pointers_to_anything(store: sj.Store) -> None:
    tree = store.new_btree()
    some = store.new(Holder, to=tree)
    assert some.to is tree
    store["tree"] = tree
    store.drop("tree")
    some.to = store.new(Holder, to=some)
    assert some.to is not None
    assert some.to.to == some
    some.to = store.hashmap("map")
    assert some.to.address == store["map"].address
    raises_and_changes_nothing(TypeError, some, to=5)
    assert store.check().leaked_blocks >= 0


# --- references and the collector ---------------------------------------------------------------


def test_references_in_values_and_the_collector(store: sj.Store) -> None:
    rows = store.hashmap("rows", key="str")
    node = store.new(Node, key=1)
    node.left = store.new(Node, key=2, name="n" * 40)
    node.left.left = node
    rows["node"] = [node, {"again": node}]
    assert rows["node"][1]["again"].left.key == 2
    with pytest.raises(sj.InvalidArgumentError, match="collection"):
        store.free(node)
    del node
    gc.collect()
    assert store.collect().freed_blocks == 0
    left = rows["node"][0].left
    del rows["node"]
    assert store.collect().freed_blocks == 0  # `left` is in use, and leads to both
    del left
    gc.collect()
    assert store.collect().freed_blocks == 3
    assert store.check().leaked_blocks == 0


# --- transactions, processes, stores ------------------------------------------------------------


def test_an_abort_undoes_records_and_their_type(store: sj.Store) -> None:
    with store.transaction() as outer:
        lost = store.new(Node, key=1, name="lost")
        outer.abort()
    assert "no longer there" in repr(lost)
    assert store.stats().live_blocks == 0
    node = store.new(Node, key=1, name="kept")
    with store.transaction():
        node.key = 2
        with store.transaction() as inner:
            node.key, node.name, node.weights = 3, "undone", [1.0] * 8
            node.left = store.new(Node, key=9)
            store.free(node.left)
            inner.abort()
        node.weights[0] = 5.0  # type: ignore[index,unused-ignore]
        other = store.new(Node, key=4)
        node.left = other
    assert (node.key, node.name, list(node.weights)) == (2, "kept", [5.0] + [0.0] * 7)
    with store.transaction() as tx:
        store.free(other)
        assert "no longer there" in repr(other)
        tx.abort()
    assert other.key == 4
    assert node.left == other


def test_they_outlive_processes_and_can_be_pickled(home: Path) -> None:
    with sj.open("s", home=home) as store:
        store["first"] = store.new(Node, key=1, name="one")
        store["first"].left = store.new(Node, key=2)
        pickled = pickle.dumps(store["first"])
        gone = pickle.dumps(temporary := store.new(Node))
        store.free(temporary)
        with pytest.raises(sj.NotFoundError):
            pickle.loads(gone)
        store.new(Node)
        with pytest.raises(sj.NotFoundError):
            pickle.loads(gone)
    with sj.open("s", "r", home=home) as store:
        assert (store["first"].name, store["first"].left.key) == ("one", 2)
        with pytest.raises(sj.ReadOnlyError):
            store["first"].key = 3
        with pytest.raises(sj.ReadOnlyError):
            store.new(Node)
    found = pickle.loads(pickled)
    assert (found.key, type(found)) == (1, Node)
    found.store.close()


def test_a_process_without_the_class_makes_one(home: Path) -> None:
    with sj.open("s", home=home) as store:
        store["first"] = store.new(Node, key=1, name="one", weights=range(8))
        store["first"].left = store["first"]
    program = (
        "import sys, pickle, spacejmp as sj\n"
        "with sj.open('s', home=sys.argv[1]) as store:\n"
        "    node = store['first']\n"
        "    node.left.key += 1\n"
        "    node.weights[1] = 50\n"
        "    assert pickle.loads(pickle.dumps(node)) == node\n"
        "    print(node.key, node.name, node.weights[1:3], type(node).c_declaration().count(';'))\n"
    )
    command = [sys.executable, "-c", program, str(home)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == (
        "2 one [50.0, 2.0] 6\n"
    )
    with sj.open("s", home=home) as store:
        assert store.at(Node, sj.address_of(store["first"])).key == 2


@pytest.mark.parametrize("durability", ["process", "power"])
def test_on_disk_with_a_log(disk_home: Path, durability: Any) -> None:
    with sj.open("s", home=disk_home, durability=durability, reserve=1 << 30) as store:
        store["first"] = store.new(Node, key=1, name="n" * 100)
        store["first"].key += 1
        store["first"].weights[3] = 4
    with sj.open("s", home=disk_home) as store:
        node = store["first"]
        assert (node.key, node.name, node.weights[3]) == (2, "n" * 100, 4.0)
        assert store.check().leaked_blocks == 0


def test_c_programs_may_store_into_what_they_announce(store: sj.Store, home: Path) -> None:
    store["first"] = store.new(Numbers, b=1)
    place = sj.address_of(store["first"]) + Numbers.b.offset  # type: ignore[attr-defined]
    vas = sj.vas_find("store", home=home).attach("rw")
    with vas:
        assert vas.read(place, 8) == (1).to_bytes(8, "little")
        vas.write(place, (7).to_bytes(8, "little"))
    vas.detach()
    assert store["first"].b == 7
    with store.read():
        assert ctypes.c_int64.from_address(place).value == 7


def test_damage_is_an_error_and_no_crash(store: sj.Store, rng: random.Random) -> None:
    store["first"] = node = store.new(Node, key=1, name="n" * 30, raw=b"raw")
    node.left = store.new(Node, key=2)
    start = sj.address_of(node) - 16
    image = ctypes.string_at(store.base, store.stats().file_bytes)
    uses: list[Any] = [
        *(lambda name=name: getattr(store["first"], name) for name in ("key", "name", "raw")),
        *(lambda: node.key, lambda: node.name, lambda: node.left, lambda: list(node.weights)),
        *(lambda: setattr(node, "name", "x"), lambda: setattr(node, "key", 3)),
        *(lambda: store.new(Node), lambda: store.at(Node, start + 16), lambda: repr(node)),
        *(lambda: store.check(), lambda: store.free(node)),
    ]
    failed = 0
    for _ in range(400):
        use = rng.choice(uses)
        with store.write():
            at = start + rng.randrange(200)  # both records, and the text
            ctypes.c_uint8.from_address(at).value ^= rng.choice((0xFF, 1 << rng.randrange(8)))
            try:
                use()
            except sj.SpaceJmpError:
                failed += 1
            ctypes.memmove(store.base, image, len(image))
    assert failed > 20
    assert store["first"].name == "n" * 30
