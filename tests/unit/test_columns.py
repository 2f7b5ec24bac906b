# SPDX-License-Identifier: Apache-2.0
"""`Columns`: a table of columns that NumPy looks at where they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPEC: dict[str, Any] = {"flag": "u2", "pos": "i4", "name": "S5", "at": ("f4", (2,))}


def some_rows(count: int) -> list[tuple[Any, ...]]:
    return [(i % 7, -i, b"n%d" % i, [i, i / 2]) for i in range(count)]


def listed(table: Any) -> list[tuple[Any, ...]]:
    return [(*row[:3], list(row[3])) for row in table[:].tolist()]


def expected(count: int) -> list[tuple[Any, ...]]:
    return [(flag, pos, name, [float(x) for x in at]) for flag, pos, name, at in some_rows(count)]


def test_is_there_when_it_is_opened_again(home: Path) -> None:
    with sj.open("s", home=home) as store:
        table = store.columns("t", SPEC)
        assert (len(table), table.names) == (0, ("flag", "pos", "name", "at"))
        table.extend(some_rows(300))
        table.append((1, 2, b"x", [3, 4]))
        table.append(flag=5, pos=6, name=b"y", at=[7, 8])
        table.append({"pos": 6, "flag": 5, "name": b"z", "at": (7, 8)})
    with sj.open("s", "r", home=home) as store:
        table = store.columns("t", SPEC)
        assert listed(table)[:300] == expected(300)
        assert listed(table)[300:] == [
            (1, 2, b"x", [3, 4]),
            (5, 6, b"y", [7, 8]),
            (5, 6, b"z", [7, 8]),
        ]
        assert not table["flag"].flags.writeable
        with pytest.raises(sj.ReadOnlyError):
            table.append((1, 2, b"x", [3, 4]))
        assert store.check().unverified_pages == 0


def test_columns_rows_and_slices(store: sj.Store) -> None:
    table = store.columns("t", SPEC)
    table.extend(some_rows(10))
    assert table["flag"].tolist() == table.flag.tolist() == [i % 7 for i in range(10)]
    assert table["at"].shape == (10, 2)
    assert table[3].pos == table[-7].pos == -3
    assert table[3]._fields == ("flag", "pos", "name", "at")
    for cut in (slice(2, 5), slice(None, None, -1), slice(8, 2, -3), slice(5, 5), slice(-3, 99)):
        assert [row[1] for row in table[cut].tolist()] == list(range(0, -10, -1))[cut]
    assert [row.pos for row in table] == list(range(0, -10, -1))
    assert np.asarray(table).tobytes() == table[:].tobytes()
    for wrong in (10, -11):
        with pytest.raises(IndexError):
            table[wrong]
    with pytest.raises(KeyError, match="no column 'none'"):
        table["none"]
    with pytest.raises(AttributeError, match="no column or attribute"):
        _ = table.none
    table[4] = (9, 9, b"new", [9, 9])
    table[-1] = {"flag": 8, "pos": 8, "name": b"", "at": [8, 8]}
    assert (table[4].name, table[9].flag, table[5].pos) == (b"new", 8, -5)
    table.flag[:] = 1
    assert set(table.flag.tolist()) == {1}


def test_extend_takes_what_holds_columns_or_rows(store: sj.Store) -> None:
    table = store.columns("t", {"a": "u1", "b": "f8"})
    table.extend({"a": [1, 2], "b": np.array([1, 2], "f4")})
    table.extend({"b": np.arange(6.0)[::-3], "a": np.array([3, 4], "i8")})
    table.extend(np.array([(5, 5.5)], dtype=[("a", "i4"), ("b", "f4")]))
    table.extend(np.array([(6.5, 6)], dtype=[("b", "f4"), ("a", "u1")]))
    table.extend({"a": i, "b": i} for i in (7, 8))
    table.extend(table)
    table.extend([])
    table.extend({"a": [], "b": []})
    assert table["a"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8] * 2
    assert table["b"].tolist() == [1, 2, 5, 2, 5.5, 6.5, 7, 8] * 2
    wrong: list[tuple[type[Exception], Any]] = [
        (TypeError, {"a": [1]}),
        (TypeError, {"a": [1], "b": [1], "c": [1]}),
        (ValueError, {"a": [1], "b": [1, 2]}),
        (ValueError, {"a": [[1]], "b": [1]}),
        (ValueError, {"a": 1, "b": 1}),
        (OverflowError, {"a": np.array([256]), "b": [1]}),
        (OverflowError, {"a": np.array([-1]), "b": [1]}),
        (TypeError, {"a": np.array([1.5]), "b": [1]}),
        (ValueError, [(1,)]),
        (ValueError, [("x", 1)]),
    ]
    for error, rows in wrong:
        with pytest.raises(error):
            table.extend(rows)
    with pytest.raises(TypeError):
        table.append(a=1)
    with pytest.raises(TypeError):
        table.append((1, 2), a=1)
    assert len(table) == 16


def test_growing_is_a_buffer_error_while_somebody_looks(store: sj.Store) -> None:
    table = store.columns("t", {"a": "i4"}, reserve=4)
    assert table.capacity == 4
    table.extend({"a": [1, 2]})
    view = table["a"]
    table.append(a=3)
    assert (view.tolist(), len(table["a"])) == ([1, 2], 3)
    table.append(a=4)
    actions: list[Callable[[], object]] = [
        lambda: table.append(a=5),
        lambda: table.reserve(100),
        lambda: table.sort_by("a"),
        lambda: table.extend({"a": range(100)}),
    ]
    for action in actions:
        with pytest.raises(BufferError, match=r"reserve\(rows\)"):
            action()
    with pytest.raises(BufferError):
        store.drop("t")
    assert table["a"].tolist() == [1, 2, 3, 4]
    del view
    table.reserve(100)
    view = table["a"]
    table.extend({"a": range(96)})
    assert view.tolist() == [1, 2, 3, 4]
    table.truncate(2)
    table.clear()
    assert (len(table), table.capacity) == (0, 100)
    del view
    assert store.check().leaked_blocks == 0


def test_sorting_is_stable_in_both_directions(store: sj.Store) -> None:
    table = store.columns("t", {"k": "i4", "m": "f4", "i": "i8"})
    rows = [(i * 7 % 5, i * 11 % 3, i) for i in range(50)]
    table.extend(rows)
    table.sort_by("k")
    rows.sort(key=lambda row: row[0])
    assert [tuple(row) for row in table] == rows
    table.sort_by("m", "k", reverse=True)
    rows.sort(key=lambda row: (row[1], row[0]), reverse=True)
    assert [tuple(row) for row in table] == rows
    with pytest.raises(KeyError):
        table.sort_by("none")
    with store.transaction() as transaction:
        table.sort_by("i")
        assert table["i"].tolist() == list(range(50))
        transaction.abort()
    assert [tuple(row) for row in table] == rows
    store.columns("empty", {"a": "f8"}).sort_by("a")
    assert store.check().leaked_blocks == 0


def test_transactions_undo_rows_also_those_that_were_given_up(store: sj.Store) -> None:
    table = store.columns("t", {"a": "u2"})
    table.extend({"a": range(20)})
    with store.transaction() as transaction:
        table.truncate(5)
        table.extend({"a": [99] * 10})
        assert table["a"].tolist() == [0, 1, 2, 3, 4] + [99] * 10
        transaction.abort()
    assert table["a"].tolist() == list(range(20))
    with store.transaction():
        table.append(a=20)
        with store.transaction() as inner:
            table.clear()
            table.extend({"a": range(100, 300)})
            moved = table["a"]
            assert (len(moved), moved.flags.writeable) == (200, False)
            inner.abort()
        assert table["a"].tolist() == list(range(21))
    assert table["a"].tolist() == list(range(21))
    assert moved.tolist() == list(range(100, 300))
    assert store.check().leaked_blocks == 0


def test_what_cannot_be(store: sj.Store) -> None:
    table = store.columns("t", {"a": "i4", "b": "i4"})
    with pytest.raises(sj.CodecMismatchError, match="expected columns"):
        store.columns("t", {"a": "i8", "b": "i4"})
    with pytest.raises(sj.CodecMismatchError, match="in the order"):
        store.columns("t", [("b", "i4"), ("a", "i4")])
    assert store.columns("t") is table
    for wrong in ({}, {"": "i4"}, [("a", "i4"), ("a", "i4")]):
        with pytest.raises(sj.InvalidArgumentError):
            store.columns("u", wrong)
    with pytest.raises(TypeError, match="Python objects"):
        store.columns("u", {"a": "O"})
    with pytest.raises(sj.NotFoundError):
        store.columns("u")
    with pytest.raises(sj.TooLargeError):
        store.columns("u", {"a": "i4"}, reserve=2**62)
    with pytest.raises(sj.InvalidArgumentError, match="1 to 1024"):
        store.columns("u", {f"c{i}": "i4" for i in range(1025)})
    for call in (table.reserve, table.truncate):
        with pytest.raises(ValueError, match="≥ 0"):
            call(-1)
    store.drop("t")
    with pytest.raises(sj.NotFoundError):
        table.append(a=1, b=1)
    fresh = store.columns("t", {"z": "f8"})
    assert fresh is not table
    table.append(z=1.5)  # by its name, what has that now
    assert fresh["z"].tolist() == [1.5]


def test_pandas_looks_at_the_same_memory(store: sj.Store) -> None:
    table = store.columns("t", {"a": "i4", "b": "f8"})
    table.extend({"a": range(10), "b": range(10)})
    first = table["a"].ctypes.data
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = table.to_pandas()
    assert frame["a"].to_numpy().ctypes.data == first
    assert isinstance(frame, pandas.DataFrame)
    with pytest.raises(BufferError):
        table.reserve(1000)
    del frame


def test_arrow_looks_at_the_same_memory(store: sj.Store) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = store.columns("t", {"a": "i4", "b": "f8"})
    table.extend({"a": range(10), "b": range(10)})
    arrow = table.to_arrow()
    assert arrow["a"].chunk(0).buffers()[1].address == table["a"].ctypes.data
    assert pyarrow.table(table).equals(arrow)
    with pytest.raises(BufferError):
        table.reserve(1000)
    del arrow
