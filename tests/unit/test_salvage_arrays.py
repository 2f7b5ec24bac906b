# SPDX-License-Identifier: Apache-2.0
"""Arrays and tables of columns of a damaged store come back with all that is not damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media import PAGE, patch

import spacejmp as sj
from spacejmp.structures.remains import Remains
from spacejmp.structures.salvage_arrays import rows_of

GIB = 1 << 30
GRID = np.arange(60_000, dtype="i4").reshape(200, 300)
READS = {"flag": np.arange(20_000, dtype="u2"), "score": np.arange(20_000) / 7}
WORDS = np.array(["a", "bc", ""], dtype="U4")


def fill(store: sj.Store) -> None:
    store.array("grid", GRID.shape, "i4")[...] = GRID
    store.array("words", 3, "U4")[...] = WORDS
    store.array("point", (), "f8")[...] = 2.5
    store.array("empty", (0, 3), "f8")
    store.columns("reads", {"flag": "u2", "score": "f8"}).extend(READS)
    layers = store.hashmap("layers", key="str")
    layers["first"] = store.new_array(5, "i8")
    layers["first"][...] = range(5)
    layers["table"] = store.new_columns({"x": "i1"})
    layers["table"].extend({"x": [1, 2]})


def assert_filled(store: sj.Store) -> None:
    assert np.array_equal(store["grid"][:], GRID)
    assert store["words"][:].tolist() == WORDS.tolist()
    assert store["point"][()] == 2.5
    assert (store["empty"].shape, store["empty"].dtype) == ((0, 3), np.dtype("f8"))
    assert np.array_equal(store["reads"].flag, READS["flag"])
    assert np.array_equal(store["reads"].score, READS["score"])
    assert store["layers"]["first"][:].tolist() == list(range(5))
    assert store["layers"]["table"].x.tolist() == [1, 2]


@pytest.fixture
def path(home: Path) -> Path:
    """The file of a closed store."""
    with sj.open("genes", home=home, reserve=GIB) as store:
        fill(store)
    return Path(store.path)


def place_of(path: Path, values: np.ndarray) -> int:
    return path.read_bytes().index(values.tobytes())


def test_an_undamaged_store_comes_back_whole(path: Path, home: Path) -> None:
    report = sj.salvage("genes", "saved", home=home)
    for root in report.roots:
        assert root.recovered == root.expected
        assert (root.suspect, root.unreadable, root.guessed) == (0, 0, False)
    assert (report.skipped, report.notes) == ((), ())
    with sj.open("saved", home=home) as store:
        assert_filled(store)
        assert store.keys() == ["empty", "grid", "layers", "point", "reads", "words"]
        store.check()


@pytest.mark.parametrize("suspects", [True, False])
def test_a_damaged_page_is_counted(path: Path, home: Path, suspects: bool) -> None:
    at = place_of(path, GRID) // PAGE * PAGE + 3 * PAGE
    patch(path, at, b"\xff" * 4)
    report = sj.salvage("genes", "saved", home=home, suspects=suspects)
    (root,) = (root for root in report.roots if root.name == "grid")
    assert (root.recovered, root.unreadable) == (GRID.size, 0)
    assert PAGE // 4 <= root.suspect <= PAGE // 4 + 1
    with sj.open("saved", "r", home=home) as store:
        found = store["grid"][:]
        differ = np.flatnonzero(found != GRID)
        assert len(differ) == 1 if suspects else PAGE // 4 - 1 <= len(differ) <= PAGE // 4 + 1
        assert not found.reshape(-1)[differ].any() or suspects


def test_the_end_of_a_file_that_was_cut_is_zero(path: Path, home: Path) -> None:
    at = place_of(path, READS["score"]) // PAGE * PAGE + 4 * PAGE
    raw = path.read_bytes()[:at]
    path.write_bytes(raw)
    report = sj.salvage("genes", "saved", home=home)
    (root,) = (root for root in report.roots if root.name == "reads")
    assert 0 < root.unreadable < 20_000
    with sj.open("saved", "r", home=home) as store:
        scores = store["reads"].score.copy()
        whole = 20_000 - root.unreadable
        assert np.array_equal(scores[:whole], READS["score"][:whole])
        assert not scores[whole + 1 :].any()


def test_without_its_name_or_the_head_of_its_items_an_array_is_found(
    path: Path, home: Path
) -> None:
    with sj.open("genes", "r", home=home) as store:
        base, grid = store.base, store["grid"].address
    raw = path.read_bytes()
    data = int.from_bytes(raw[grid - base + 8 : grid - base + 16], "little") - base
    patch(path, data, bytes(64))
    with Remains("genes", home=home) as remains:
        (root,) = (root for root in remains.roots if root.name == "grid")
        assert list(rows_of(root, remains.parts(root), True)) == GRID.reshape(-1).tolist()
        assert not any(rows_of(root, remains.parts(root), False))


def test_every_zeroed_page_leaves_the_rest(path: Path, home: Path) -> None:
    raw = path.read_bytes()
    for at in range(0, len(raw), PAGE):
        if not any(raw[at : at + PAGE]):
            continue
        patch(path, at, bytes(PAGE))
        with Remains("genes", home=home) as remains:
            for root in remains.roots:
                if root.kind not in ("array", "columns"):
                    continue
                rows = list(rows_of(root, remains.parts(root), True))
                if root.name == "grid" and rows:
                    assert sum(a != b for a, b in zip(rows, GRID.flat, strict=True)) <= PAGE // 4
        path.write_bytes(raw)
