# SPDX-License-Identifier: Apache-2.0
"""Stores: opening, naming, dropping, closing, sharing, sending to other processes."""

from __future__ import annotations

import ctypes
import gc
import mmap
import multiprocessing
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from children import in_child, run_python
from homes import expected_files, files_of
from spawned import describe, double

import spacejmp as sj
from spacejmp.arena import GIB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

BASE = 0x4000_0000_0000


# --- flags --------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["r", "w"])
def test_flags_r_and_w_need_a_store_that_exists(home: Path, flag: Any) -> None:
    for error in (sj.NotFoundError, FileNotFoundError, KeyError):
        with pytest.raises(error, match="genes"):
            sj.open("genes", flag, home=home)
    assert not list(home.iterdir())


def test_flag_c_makes_a_store_and_opens_it_again(home: Path) -> None:
    for count in range(3):
        with sj.open("genes", home=home) as store:
            tree = store.btree("t", key="int")
            assert len(tree) == count
            tree[count] = "x"


def test_flag_n_makes_an_empty_store_whatever_was_there(home: Path) -> None:
    for _ in range(2):
        with sj.open("genes", "n", home=home) as store:
            assert len(store.roots) == 0
            store.btree("t")[1] = 1
    with sj.open("genes", "w", home=home) as store:
        assert store["t"][1] == 1


def test_other_flags_are_refused(home: Path) -> None:
    for flag in ("", "rw", "x", None):
        with pytest.raises(sj.InvalidArgumentError, match="flag"):
            sj.open("genes", flag, home=home)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a/b", "..", ".x", "-x", "ä", "x" * 129])
def test_names_that_are_no_file_names_are_refused(home: Path, name: str) -> None:
    with pytest.raises(sj.InvalidNameError):
        sj.open(name, home=home)


def test_a_store_says_where_it_is(home: Path) -> None:
    with sj.open("genes", home=home, base=BASE, reserve=2 * GIB, mode=0o640) as store:
        assert (store.name, store.home, store.flag) == ("genes", str(home), "c")
        assert (store.base, store.reserve, store.domain) == (BASE, 2 * GIB, "shm")
        assert not store.readonly
        assert [store.closed] == [False]
        assert repr(store) == f"<Store 'genes' at {BASE:#x}, flag 'c', home {str(home)!r}>"
        (file,) = (home / "seg").iterdir()
        assert store.path == str(file)
        assert file.stat().st_mode & 0o777 == 0o640
    assert bool(store.closed)
    assert repr(store) == "<Store 'genes', closed>"


def test_a_store_on_an_ordinary_filesystem_is_of_the_file_domain(disk_home: Path) -> None:
    with sj.open("genes", home=disk_home) as store:
        assert store.domain == "file"
        store.btree("t")[1] = 1
        store.sync()
    with sj.open("genes", "r", home=disk_home) as store:
        assert store["t"][1] == 1


def test_a_store_keeps_the_durability_that_it_was_made_with(home: Path) -> None:
    with sj.open("genes", home=home) as store:
        assert store.durability == "process"
    with sj.open("genes", home=home, durability="process") as store:
        assert store.durability == "process"
    for durability, message in (
        ("power", "made with 'process'"),
        ("fsync", "durability: expected"),
    ):
        with pytest.raises(sj.InvalidArgumentError, match=message):
            sj.open("genes", home=home, durability=durability)  # type: ignore[arg-type]
    with sj.open("genes", "r", home=home) as store:
        assert len(store.roots) == 0


@pytest.mark.parametrize("options", [{"base": 1}, {"base": GIB}, {"base": BASE + 4096}])
def test_a_base_outside_the_arena_is_refused(home: Path, options: dict[str, int]) -> None:
    with pytest.raises(sj.InvalidArgumentError):
        sj.open("genes", home=home, **options)  # type: ignore[arg-type]
    with pytest.raises(sj.NotFoundError):
        sj.open("genes", "r", home=home)


@pytest.mark.parametrize("reserve", [0, -GIB, 1, GIB + 1, 1 << 60])
def test_a_reserve_that_is_not_whole_gib_is_refused(home: Path, reserve: int) -> None:
    with pytest.raises((sj.InvalidArgumentError, sj.SpaceFullError)):
        sj.open("genes", home=home, reserve=reserve)


def test_a_negative_timeout_is_refused(home: Path) -> None:
    with pytest.raises(ValueError, match="timeout"):
        sj.open("genes", home=home, timeout=-1.0)
    with pytest.raises(sj.InvalidArgumentError, match="timeout: expected None or seconds"):
        sj.open("genes", home=home, timeout="1")  # type: ignore[arg-type]
    with pytest.raises(sj.InvalidArgumentError, match="mode: expected permission bits"):
        sj.open("genes", home=home, mode="0600")  # type: ignore[arg-type]
    with sj.open("genes", home=home) as store, pytest.raises(ValueError, match="timeout"):
        store.read(timeout=float("nan"))


def test_two_homes_have_stores_of_the_same_name(home: Path) -> None:
    sj.open("x", home=home / "a", base=BASE).close()
    sj.open("x", home=home / "b", base=BASE + 64 * GIB).close()
    with sj.open("x", home=home / "a") as one, sj.open("x", home=home / "b") as other:
        one.btree("t")[1] = "one"
        other.btree("t")[1] = "other"
        assert (one["t"][1], other["t"][1]) == ("one", "other")
        assert one.base != other.base


def test_the_home_comes_from_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACEJMP_HOME", str(home / "there"))
    with sj.open("x") as store:
        assert store.home == str(home / "there")


def test_taken_addresses_are_a_conflict_that_names_the_occupant(home: Path, tmp_path: Path) -> None:
    sj.open("genes", home=home, base=BASE, reserve=GIB).close()
    occupant = tmp_path / "the-occupant"
    occupant.write_bytes(bytes(4096))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    map_fixed = 0x10
    with occupant.open("r+b") as file:
        at = BASE + 12345 * 4096
        flags = mmap.MAP_SHARED | map_fixed
        assert libc.mmap(at, 4096, mmap.PROT_READ, flags, file.fileno(), 0) == at
    with pytest.raises(sj.AddressConflictError, match="the-occupant") as caught:
        sj.open("genes", home=home)
    assert isinstance(caught.value, OSError)
    assert ctypes.string_at(at, 16) == bytes(16), "the occupant is untouched"
    libc.munmap(at, 4096)
    with sj.open("genes", home=home) as store:
        assert store.base == BASE


# --- a new one in the place of an old one -------------------------------------------------------


def test_a_store_that_is_open_can_be_made_anew_elsewhere(home: Path) -> None:
    with sj.open("store", home=home) as old:
        old.btree("t", key="int")[1] = "old"
        with sj.open("store", "n", home=home) as new:
            assert new.base >= old.base + old.reserve or old.base >= new.base + new.reserve
            assert list(new.roots) == []
            new.btree("t", key="int")[1] = "new"
            assert (old["t"][1], new["t"][1]) == ("old", "new")
    with sj.open("store", home=home) as store:
        assert store["t"][1] == "new"


def test_removed_is_gone_with_its_write_ahead_log(disk_home: Path) -> None:
    """A log that stayed behind was the successor's: two open stores wrote to it."""
    with sj.open("genes", home=disk_home, durability="power") as old:
        old.hashmap("h", key="int")[1] = 1
        with sj.open("genes", "n", home=disk_home, durability="power") as new:
            new.hashmap("h", key="int")[1] = 2
            assert old["h"][1] == 1
    with sj.open("genes", home=disk_home) as store:
        assert store["h"][1] == 2
    sj.Catalog(disk_home).remove("genes")
    assert files_of(disk_home) == expected_files()


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": BASE + 1},
        {"reserve": GIB + 1},
        {"mode": 0o077},
        {"durability": "power"},  # not to be had in memory
        {"durability": "forever"},
        {"timeout": -1},
    ],
)
def test_a_new_store_that_cannot_be_made_leaves_the_old_one(
    home: Path, wrong: dict[str, Any]
) -> None:
    with sj.open("store", home=home, base=BASE, reserve=GIB) as old:
        old.btree("t", key="int")[1] = "old"
        with pytest.raises((ValueError, sj.AddressConflictError)):
            sj.open("store", "n", home=home, **wrong)
    with sj.open("store", home=home) as store:
        assert store["t"][1] == "old"


# --- structures by name -------------------------------------------------------------------------


def test_structures_are_opened_with_the_codecs_they_have(store: sj.Store) -> None:
    store.btree("t", key="int", value="bytes")
    again = store.btree("t")
    assert (again.key, again.value, again.name) == ("int", "bytes", "t")
    assert again.store is store
    for codecs in ({"key": "str"}, {"value": "any"}, {"key": "int", "value": "int"}):
        for error in (sj.CodecMismatchError, TypeError, ValueError):
            with pytest.raises(error, match="codec"):
                store.btree("t", **codecs)
    with pytest.raises(ValueError, match="codec 'complex'"):
        store.btree("u", key="complex")
    with pytest.raises(ValueError, match="codec 'pickle'"):
        store.btree("u", key="pickle")
    assert list(store.roots) == ["t"]


def test_a_structure_of_another_kind_is_a_type_error(store: sj.Store) -> None:
    store.btree("t")
    store.hashmap("h")
    with pytest.raises(sj.StructureTypeError, match="expected a hashmap, found a btree"):
        store.hashmap("t")
    with pytest.raises(TypeError, match="expected a btree, found a hashmap"):
        store.btree("h")
    assert isinstance(store["t"], sj.BTree)
    assert isinstance(store["h"], sj.HashMap)


def test_a_name_that_is_not_there_is_not_found(store: sj.Store) -> None:
    store.btree("there")
    for action in (store.__getitem__, store.drop, store.roots.__getitem__):
        with pytest.raises(sj.NotFoundError, match="missing"):
            action("missing")
    assert "missing" not in store
    assert "there" in store
    assert 3 not in store


@pytest.mark.parametrize("name", ["", "x" * 256, "a\0b", "\ud800"])
def test_root_names_that_cannot_be_stored_are_refused(store: sj.Store, name: str) -> None:
    with pytest.raises(sj.InvalidNameError):
        store.btree(name)


def test_roots_are_a_live_mapping(store: sj.Store) -> None:
    roots = store.roots
    assert dict(roots) == {}
    store.btree("b", key="int", value="float")
    store.hashmap("a\n ä", key="str")
    assert list(roots) == ["a\n ä", "b"]
    assert roots["b"] == sj.RootInfo("b", "btree", "int", "float")
    assert roots["a\n ä"] == sj.RootInfo("a\n ä", "hashmap", "str", "any")
    assert len(roots) == 2
    assert "RootInfo(name='b'" in repr(roots)
    store.drop("b")
    assert list(roots) == ["a\n ä"]


def test_a_store_is_a_mapping_of_its_structures(store: sj.Store) -> None:
    """It had `store[name]` alone, so that `list(store)` looked for a structure named 0."""
    assert (list(store), len(store), dict(store)) == ([], 0, {})
    assert store, "a store without structures is one all the same"
    tree, mapping = store.btree("b", key="int"), store.hashmap("a")
    assert list(store) == store.keys() == ["a", "b"]
    assert len(store) == 2
    assert dict(store) == {"a": mapping, "b": tree}
    for name in store:
        assert name in store
        store.drop(name)
    assert list(store) == []
    store.close()
    assert store
    for action in (store.keys, store.__iter__, store.__len__):
        with pytest.raises(sj.DetachedError):
            action()


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 256, "\ud800", 7, None])
def test_what_is_no_name_is_not_in_a_store(store: sj.Store, name: object) -> None:
    assert name not in store
    assert name not in store.roots


def test_many_structures_are_told_apart(store: sj.Store) -> None:
    for n in range(300):
        store.btree(f"t{n}", key="int", value="int")[n] = n
    assert len(store.roots) == 300
    for n in range(0, 300, 2):
        store.drop(f"t{n}")
    assert list(store.roots) == sorted(f"t{n}" for n in range(1, 300, 2))
    assert all(list(store[f"t{n}"].items()) == [(n, n)] for n in range(1, 300, 2))
    assert store.check().leaked_blocks == 0


def test_a_closed_container_says_what_it_was(store: sj.Store) -> None:
    tree, table = store.btree("t", key="int"), store.hashmap("h", value="str")
    tree[1] = 1
    assert repr(tree) == "<BTree 't', key 'int', value 'any', 1 items>"
    assert repr(table) == "<HashMap 'h', key 'any', value 'str', 0 items>"
    store.close()
    assert repr(tree) == "<BTree 't' of a closed store>"
    assert repr(table) == "<HashMap 'h' of a closed store>"


# --- dropping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["btree", "hashmap"])
def test_a_dropped_container_raises_and_gives_its_space_back(store: sj.Store, kind: str) -> None:
    make: Callable[..., Any] = getattr(store, kind)
    empty = store.stats().live_bytes
    container = make("t", key="int")
    container.update(dict.fromkeys(range(1000), "x" * 50))
    items, view = iter(container.items()), container.values()
    next(items)
    store.drop("t")
    assert store.stats().live_bytes == empty
    uses: list[Callable[[], object]] = [
        lambda: container[1],
        lambda: container.__setitem__(1, 2),
        lambda: len(container),
        lambda: list(view),
        lambda: list(items),
        lambda: 1 in container,
    ]
    for use in uses:
        with pytest.raises(sj.NotFoundError, match="dropped"):
            use()
    assert store.check().leaked_blocks == 0
    make("t", key="str")["new"] = 1
    with pytest.raises(sj.NotFoundError):
        container[1]


@pytest.mark.parametrize("kind", ["btree", "hashmap"])
def test_a_container_that_another_process_drops_raises(store: sj.Store, kind: str) -> None:
    make: Callable[..., Any] = getattr(store, kind)
    container = make("t", key="int")
    container[1] = "one"
    in_child(lambda: store.drop("t"))
    with pytest.raises(sj.NotFoundError, match="dropped"):
        container[1]
    assert "t" not in store


@pytest.mark.parametrize("kind", ["btree", "hashmap"])
def test_a_container_remade_elsewhere_with_other_codecs_can_be_opened(
    store: sj.Store, kind: str
) -> None:
    """It was given out again from a cache, with the codecs that it had before."""
    make: Callable[..., Any] = getattr(store, kind)
    old = make("t", key="int")
    old[1] = "one"

    def remake() -> None:
        store.drop("t")
        make("t", key="str")["new"] = 1

    in_child(remake)
    new = make("t")
    assert (new.key, new["new"]) == ("str", 1)
    with pytest.raises(sj.NotFoundError):
        old[1]


@pytest.mark.parametrize("kind", ["btree", "hashmap"])
def test_a_container_made_in_an_aborted_transaction_is_not_there(
    store: sj.Store, kind: str
) -> None:
    make: Callable[..., Any] = getattr(store, kind)
    with store.transaction() as tx:
        container = make("t", key="int")
        container.update({n: n for n in range(500)})
        tx.abort()
    assert "t" not in store
    with pytest.raises(sj.NotFoundError, match="undone"):
        container[1]
    again = make("t", key="str")
    assert len(again) == 0
    assert store.check().leaked_blocks == 0


def test_a_drop_in_an_aborted_transaction_did_not_happen(store: sj.Store) -> None:
    tree = store.btree("t", key="int")
    tree.update({n: "x" * n for n in range(300)})
    with store.transaction() as tx:
        store.drop("t")
        assert "t" not in store
        tx.abort()
    assert dict(tree.items()) == {n: "x" * n for n in range(300)}
    tree[1] = "changed"
    assert store["t"][1] == "changed"
    assert store.check().leaked_blocks == 0


# --- other processes ----------------------------------------------------------------------------


def test_another_interpreter_sees_what_was_stored(home: Path) -> None:
    with sj.open("genes", home=home) as store:
        store.btree("t", key="str")["BRCA1"] = {"start": 43044295}
    code = """
import sys, spacejmp as sj
with sj.open("genes", "w", home=sys.argv[1]) as store:
    print(hex(store.base), store["t"]["BRCA1"])
    store["t"]["TP53"] = 17
"""
    out = run_python(code, str(home))
    with sj.open("genes", "r", home=home) as store:
        assert out == f"{store.base:#x} {{'start': 43044295}}\n"
        assert store["t"]["TP53"] == 17


def test_stores_and_containers_travel_to_spawned_processes(home: Path) -> None:
    with sj.open("genes", home=home) as store:
        tree = store.btree("t", key="int")
        table = store.hashmap("h", key="int")
        tree[1] = table[2] = 21
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            jobs = [pool.apply_async(double, (tree, 1)), pool.apply_async(double, (table, 2))]
            assert [job.get(120) for job in jobs] == [1, 2]
            assert pool.apply(describe, (store,)) == ("genes", "['h', 't']", False)
            with sj.open("genes", "r", home=home) as reader:
                assert pool.apply(describe, (reader,)) == ("genes", "['h', 't']", True)
            pool.close()
            pool.join()
        assert (tree[1], table[2]) == (42, 42)


def test_a_pickled_container_is_a_reference(store: sj.Store) -> None:
    tree = store.btree("t", key="int")
    tree[1] = "x" * 10_000
    raw = pickle.dumps(tree)
    assert len(raw) < 500
    copy = pickle.loads(raw)
    copy[2] = "from the copy"
    assert tree[2] == "from the copy"
    copy.store.close()
    dropped = pickle.dumps(tree)
    store.drop("t")
    with pytest.raises(sj.NotFoundError):
        pickle.loads(dropped)
    gc.collect()  # the store that it had opened on its way
