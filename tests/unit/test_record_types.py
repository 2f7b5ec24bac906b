# SPDX-License-Identifier: Apache-2.0
"""How the types of records may change: fields at the end, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

import spacejmp as sj

Fields = dict[str, str]


def make(name: str = "Pair", /, **fields: str) -> Any:
    """A class with those fields, and their defaults behind a =."""
    lines = [f"    {field}: sj." + of for field, of in fields.items()]
    names: dict[str, Any] = {"sj": sj}
    exec(f"@sj.record\nclass {name}:\n" + "\n".join(lines), names)
    return names[name]


OLD = {"a": "i32", "b": "i8", "t": "str_"}


def test_fields_may_be_added_at_the_end(store: sj.Store) -> None:
    old = make(**OLD)
    store["old"] = store.new(old, a=1, b=2, t="text")
    new = make(**OLD, c="i64 = 7", d="f32[2]", e="Ptr['Pair']", f="str_ = 'none'")
    record = store.at(new, sj.address_of(store["old"]))
    assert (record.a, record.t, record.c, list(record.d), record.e, record.f) == (
        *(1, "text", 7, [0.0, 0.0], None, "none"),
    )
    record.a = 5
    for field, value in (("c", 1), ("d", (1, 2)), ("e", record), ("f", "x")):
        with pytest.raises(sj.RecordTypeError, match="before its type had this field"):
            setattr(record, field, value)
    fresh = store.new(new, a=3, c=4, e=record)
    assert (fresh.c, fresh.e, fresh.e.a) == (4, record, 5)
    fresh.d[1] = 3
    assert "d=[0.0, 3.0]" in repr(fresh)
    assert "c=7" in repr(record)
    with pytest.raises(sj.RecordTypeError, match="field 4: expected 'c' i64"):
        store.at(old, sj.address_of(fresh))


def test_new_fields_in_old_padding_are_not_taken_for_stored(store: sj.Store) -> None:
    old = make(a="i64", b="i8")
    record = store.new(old, a=1, b=1)
    new = make(a="i64", b="i8", c="i8 = 9")
    found = store.at(new, sj.address_of(record))
    assert found.c == 9
    with pytest.raises(sj.RecordTypeError):
        found.c = 1


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"a": "i32", "b": "i8"}, "field 3: expected 't' str_.*found no more fields"),
        ({"a": "i32", "c": "i8", "t": "str_"}, "field 2: expected 'b' i8.*found 'c' i8"),
        ({"a": "i64", "b": "i8", "t": "str_"}, "field 1: expected 'a' i32.*found 'a' i64"),
        ({"b": "i8", "a": "i32", "t": "str_"}, "field 1: expected 'a' i32.*found 'b' i8"),
        ({"a": "i32", "b": "i8[1]", "t": "str_"}, r"expected 'b' i8.*found 'b' i8\[1\]"),
        ({"a": "i32", "b": "i8", "t": "Ptr['X']"}, r"expected 't' str_.*found 't' Ptr\[X\]"),
    ],
)
def test_all_else_is_refused(store: sj.Store, fields: Fields, told: str) -> None:
    address = sj.address_of(record := store.new(make(**OLD), a=1))
    changed = make(**fields)
    with pytest.raises(sj.RecordTypeError, match=told):
        store.new(changed)
    with pytest.raises(sj.RecordTypeError, match=told):
        store.at(changed, address)
    assert record.a == 1
    assert store.check().leaked_blocks <= 1


def test_types_have_names_of_their_own(store: sj.Store) -> None:
    store.new(make(**OLD))
    names: dict[str, Any] = {"sj": sj}
    exec("@sj.record(name='other.Pair')\nclass Pair:\n    x: sj.i64\n", names)
    other = store.new(names["Pair"], x=3)
    assert repr(other) == "other.Pair(x=3)"
    assert "struct other_Pair {" in names["Pair"].c_declaration()


def test_many_fields_and_types(store: sj.Store) -> None:
    wide = make("Wide", **{f"field_{n}": "u8" for n in range(1024)})
    record = store.new(wide, field_1023=5)
    assert (record.field_1023, wide.dtype.itemsize) == (5, 1024)
    with pytest.raises(TypeError, match="1024 fields"):
        make("Wider", **{f"field_{n}": "u8" for n in range(1025)})
    for number in range(40):
        kind = make(f"Kind{number}", x="i64")
        store[f"kind{number}"] = store.new(kind, x=number)
    for number in range(40):
        assert store[f"kind{number}"].x == number
    with pytest.raises(ValueError, match="too many fields, or too long ones"):
        make("Long", x="f64[100000000]")
