# SPDX-License-Identifier: Apache-2.0
"""What is left of a damaged store comes back, and nothing else does."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from children import Child, forked, kill_inside
from media import PAGE, SUPERS, Field, patch, word
from places import Places, read_places

import spacejmp as sj
from spacejmp.structures.remains import Remains

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

GIB = 1 << 30
Damage = list[tuple[int, bytes]]


class Original(NamedTuple):
    """An undamaged store, closed, in its home."""

    home: Path
    file: Path
    raw: bytes
    items: dict[str, dict[Any, Any]]
    places: Places


def fill(store: sj.Store) -> None:
    """Structures of every kind, deep enough for inner nodes, and something that was deleted."""
    words = store.btree("words", key="int", value="int")
    words.update({n * 3: n * 7 for n in range(2600)})
    blobs = store.btree("blobs", key="int")
    blobs.update({n: "x" * (n % 40) for n in range(700)})
    texts = store.btree("texts", key="str")
    texts.update({f"key {n:05}": {"n": n} for n in range(900)})
    store.btree("one", key="any", value="bytes")[1, "a"] = b"\xff" * 9000
    store.hashmap("ints", key="int", value="int").update({n: -n for n in range(900)})
    store.hashmap("names", key="str", value="str").update({f"n{n}": f"{n}" * 3 for n in range(900)})
    gone = store.btree("gone", key="int", value="int")
    gone.update({n: n for n in range(-2000, 0)})
    del words[300], blobs[5], texts["key 00007"]
    for n in range(3000, 4200, 3):
        del words[n]
    store.drop("gone")


@pytest.fixture(scope="module")
def original() -> Iterator[Original]:
    home = Path("/dev/shm") / f"spacejmp-test-salvage-{os.getpid()}"
    with sj.open("genes", home=home, reserve=GIB) as store:
        fill(store)
        items = {name: dict(store[name].items()) for name in store.roots}
        path = Path(store.path)
    yield Original(home, path, path.read_bytes(), items, read_places(path, home))
    shutil.rmtree(home)


@pytest.fixture
def file(original: Original) -> Iterator[Path]:
    """Its file, which is put back after the test."""
    sums = original.file.with_name(original.file.name + ".sum")
    kept = sums.read_bytes()
    yield original.file
    original.file.write_bytes(original.raw)
    sums.write_bytes(kept)


def without_sums(file: Path) -> None:
    file.with_name(file.name + ".sum").unlink(missing_ok=True)


def read_all(home: Path, suspects: bool) -> dict[str, dict[Any, Any]]:
    with Remains("genes", home=home) as remains:
        return {root.name: dict(remains.items(root, suspects=suspects)) for root in remains.roots}


def survivors(original: Original, damage: Damage) -> dict[str, dict[Any, Any]]:
    """The entries none of whose bytes are damaged."""
    ranges = [(at, at + len(raw)) for at, raw in damage]

    def is_hit(places: list[tuple[int, int]]) -> bool:
        return any(a < end and first < b for a, b in places for first, end in ranges)

    return {
        name: {
            key: value
            for key, value in items.items()
            if not is_hit(original.places.entries[name][key])
        }
        for name, items in original.items.items()
    }


def examine(original: Original, damage: Damage, *, named: bool = True, sums: bool = True) -> None:
    """Do the damage, read what is left, put the bytes back."""
    for at, raw in damage:
        patch(original.file, at, raw)
    try:
        with Remains("genes", home=original.home) as remains:
            sound, everything = (
                {root.name: dict(remains.items(root, suspects=suspects)) for root in remains.roots}
                for suspects in (False, True)
            )
    finally:
        for at, raw in damage:
            patch(original.file, at, original.raw[at : at + len(raw)])
    left = survivors(original, damage)
    if not named:
        sound, everything, left = together(sound), together(everything), together(left)
    for name, items in left.items():
        found = everything.get(name, {})
        struck = [
            value for key, value in original.items.get(name, {}).items() if key not in left[name]
        ]
        missing = {
            key
            for key, value in items.items()
            # A flipped bit can make one key another one: both are suspect then, and one comes back.
            if found.get(key) != value and found.get(key) not in struck
        }
        assert not missing, f"{name}: {len(missing)} of {len(items)} did not come back"
    originals = original.items if named else together(original.items)
    for name, items in sound.items():
        wrong = [key for key, value in items.items() if originals.get(name, {}).get(key) != value]
        hit = len(originals.get(name, {})) - len(left.get(name, {}))
        assert len(wrong) <= (0 if sums else hit), f"{name}: {wrong[:5]} were never there"


def together(items: dict[str, dict[Any, Any]]) -> dict[str, dict[Any, Any]]:
    """Entries without the names of their structures, which a damaged root may have cost."""
    pairs = {(key, repr(value)): True for part in items.values() for key, value in part.items()}
    return {"": pairs}


def flips(original: Original, at: int, rng: random.Random, count: int) -> Damage:
    """Bits of a page that change, but for those of roots, which say what the bytes mean."""
    damage = []
    for _ in range(count):
        place = at + rng.randrange(PAGE)
        if not any(first <= place < end for first, end in original.places.roots.values()):
            damage.append((place, bytes([original.raw[place] ^ 1 << rng.randrange(8)])))
    return damage


def pages_in_use(raw: bytes) -> list[int]:
    return [at for at in range(0, len(raw), PAGE) if any(raw[at : at + PAGE])]


# --- damage -------------------------------------------------------------------------------------


def test_an_undamaged_store_comes_back_whole(original: Original, file: Path) -> None:
    report = sj.salvage("genes", "saved", home=original.home)
    try:
        assert {root.name for root in report.roots} == set(original.items)
        for root in report.roots:
            assert root.recovered == root.expected == len(original.items[root.name])
            assert (root.suspect, root.duplicates, root.undecodable, root.unreadable) == (0,) * 4
            assert not root.guessed
            assert not root.found
        assert (report.skipped, report.notes, report.suspect_pages) == ((), (), 0)
        assert file.read_bytes() == original.raw
        with sj.open("saved", "r", home=original.home) as store:
            store.check()
            assert {name: dict(store[name].items()) for name in store.roots} == original.items
            assert [root[1:] for root in sorted(store.roots.values())] == [
                (root.kind, root.key, root.value) for root in sorted(report.roots)
            ]
    finally:
        sj.Catalog(original.home).remove("saved")


@pytest.mark.parametrize("sums", [True, False])
def test_a_zeroed_page_costs_only_what_lies_in_it(
    original: Original, file: Path, sums: bool
) -> None:
    if not sums:
        without_sums(file)
    for at in pages_in_use(original.raw):
        examine(original, [(at, bytes(PAGE))], sums=sums, named=not holds_a_root(original, at))


def holds_a_root(original: Original, at: int) -> bool:
    """Whether damage of the page may cost a name."""
    return any(at <= root < at + PAGE for root in original.places.blocks.roots)


@pytest.mark.parametrize("sums", [True, False])
def test_flipped_bits_cost_only_what_has_them(
    original: Original, file: Path, rng: random.Random, sums: bool
) -> None:
    if not sums:
        without_sums(file)
    for at in pages_in_use(original.raw):
        damage = flips(original, at, rng, rng.choice((1, 1, 4, 16)))
        examine(original, damage, sums=sums, named=not holds_a_root(original, at))


def test_a_file_that_was_cut_short_keeps_what_lies_before_the_cut(
    original: Original, file: Path
) -> None:
    end = max(at for at in pages_in_use(original.raw)) + PAGE
    for cut in range(original.places.blocks.heads[0] + PAGE, end, 7 * PAGE + 100):
        os.truncate(file, cut)
        with pytest.raises(sj.TruncatedError):
            sj.open("genes", "r", home=original.home)
        found = read_all(original.home, True)
        file.write_bytes(original.raw)
        gone = [(cut // 8 * 8, bytes(len(original.raw) - cut // 8 * 8))]
        left = together(survivors(original, gone))[""]
        assert left.keys() <= together(found)[""].keys()
        assert together(found)[""].keys() <= together(original.items)[""].keys()


def test_a_file_with_nothing_in_it_is_refused(original: Original, file: Path) -> None:
    os.truncate(file, 90112)
    with pytest.raises(sj.TruncatedError):
        sj.salvage("genes", "saved", home=original.home)
    file.write_bytes(bytes(len(original.raw)))
    with pytest.raises(sj.FormatError):
        sj.salvage("genes", "saved", home=original.home)
    with pytest.raises(sj.NotFoundError, match="genes"):
        sj.salvage("gene", "saved", home=original.home)
    with pytest.raises(sj.AlreadyExistsError):
        sj.salvage("genes", "other", home=original.home) if make(original, "other") else None
    with pytest.raises(sj.InvalidArgumentError):
        sj.salvage("genes", "genes", home=original.home)
    assert sj.Catalog(original.home).names() == ["genes", "other"]
    sj.Catalog(original.home).remove("other")


def make(original: Original, name: str) -> bool:
    sj.Catalog(original.home).create(name, reserved=GIB)
    return True


@pytest.mark.parametrize("in_vas", [True, False])
def test_both_superblocks_may_be_gone(original: Original, file: Path, in_vas: bool) -> None:
    vas = sj.vas_create("panel", home=original.home)
    if in_vas:
        vas.seg_attach("genes")
    for superblock in SUPERS:
        patch(file, superblock, bytes(PAGE))
    with pytest.raises((sj.FormatError, sj.CorruptError)):
        sj.open("genes", home=original.home)
    damaged = file.read_bytes()
    report = sj.salvage("genes", "saved", home=original.home)
    assert file.read_bytes() == damaged
    assert any("superblock" in note for note in report.notes)
    with sj.open("saved", "r", home=original.home) as store:
        assert {name: dict(store[name].items()) for name in store.roots} == original.items
    sj.Catalog(original.home).remove("saved")
    vas.delete()


def test_one_superblock_may_be_damaged(original: Original, file: Path) -> None:
    for superblock in SUPERS:
        patch(file, superblock + 100, b"\xa5" * 6)
        assert read_all(original.home, False) == original.items
        file.write_bytes(original.raw)


def test_the_roots_directory_may_be_gone(original: Original, file: Path) -> None:
    patch(file, Field.ROOTS, bytes(8 * 64))
    assert read_all(original.home, True) == original.items
    patch(file, Field.ROOTS, b"\xff" * (8 * 64))
    assert read_all(original.home, True) == original.items


def test_a_structure_without_a_root_is_called_lost(original: Original, file: Path) -> None:
    for at in original.places.blocks.roots:
        patch(file, at, bytes(2))
    report = sj.salvage("genes", "saved", home=original.home)
    assert sorted(root.name for root in report.roots) == [f"lost-{n}" for n in range(1, 7)]
    assert not any(root.guessed for root in report.roots)
    with sj.open("saved", "r", home=original.home) as store:
        found = {name: dict(store[name].items()) for name in store.roots}
        assert ("int", "any") in {(root.key, root.value) for root in store.roots.values()}
        store.check()
    assert together(found) == together(original.items)
    sj.Catalog(original.home).remove("saved")


def lose_root_and_codecs(path: Path, home: Path) -> None:
    """Nothing but the kinds of its items is left in the head."""
    blocks = read_places(path, home).blocks
    patch(path, blocks.roots[0], bytes(2))
    for at in (blocks.heads[0] + 2, blocks.heads[0] + 3):
        patch(path, at, bytes([path.read_bytes()[at] & 1]))


def test_codecs_that_nothing_tells_are_guessed(original: Original, file: Path) -> None:
    blocks = original.places.blocks
    for at in blocks.roots:
        patch(file, at, bytes(2))
    for at in blocks.heads:
        patch(file, at + 2, bytes(byte & 1 for byte in original.raw[at + 2 : at + 4]))
    with Remains("genes", home=original.home) as remains:
        assert all(root.guessed for root in remains.roots)
        found = {root.name: dict(remains.items(root)) for root in remains.roots}
    assert together(found) == together(original.items)


def test_floats_of_which_nothing_tells_are_floats(home: Path) -> None:
    items = {n / 3 - 100: n * 2.5 for n in range(1000)}
    with sj.open("genes", home=home, reserve=GIB) as store:
        store.btree("t", key="float", value="float").update(items)
    path = Path(store.path)
    lose_root_and_codecs(path, home)
    assert read_all(home, True) == {"lost-1": items}


def test_sets_come_back_as_sets_with_their_root_or_without(home: Path) -> None:
    with sj.open("genes", home=home, reserve=GIB) as store:
        store.set("s", key="any").update({1, "a", (2, None)})
        store.sortedset("t", key="int").update(range(500))
    path = Path(store.path)
    for names in (["s", "t"], ["lost-1", "lost-2"]):
        sj.salvage("genes", "saved", home=home)
        with sj.open("saved", "r", home=home) as store:
            assert {type(store[name]) for name in names} == {sj.Set, sj.SortedSet}
            found = [set(store[name]) for name in names]
            assert {1, "a", (2, None)} in found
            assert set(range(500)) in found
        sj.Catalog(home).remove("saved")
        for at in read_places(path, home).blocks.roots if names[0] == "s" else ():
            patch(path, at, bytes(2))


def test_suspects_can_be_left_out(original: Original, file: Path) -> None:
    leaf = original.places.blocks.leaves[3]
    patch(file, leaf + 272, b"\x01")  # a value
    with_them = sj.salvage("genes", "saved", home=original.home)
    without = sj.salvage("genes", "saved2", home=original.home, suspects=False)
    assert with_them.suspect_pages == without.suspect_pages == 1
    pages = {(leaf // PAGE) * PAGE}
    assert {block.offset for block in without.skipped} == pages
    left_out = sum(root.suspect for root in without.roots)
    assert 0 < left_out == with_them.recovered - without.recovered
    with sj.open("saved2", "r", home=original.home) as store:
        for name in store.roots:
            assert dict(store[name].items()).items() <= original.items[name].items()
    for name in ("saved", "saved2"):
        sj.Catalog(original.home).remove(name)


# --- logs ---------------------------------------------------------------------------------------


def die_in_a_transaction(home: Path) -> Path:
    """A store whose process died while it replaced all values; the path of its file."""
    with sj.open("genes", home=home, reserve=GIB) as store:
        store.btree("t", key="int", value="int").update({n: n for n in range(500)})

    def change() -> None:
        opened = sj.open("genes", "w", home=home)
        with opened.transaction():
            opened["t"].update(dict.fromkeys(range(500), -1))
            os.kill(os.getpid(), 9)

    kill_inside(change)
    return Path(store.path)


def test_an_unfinished_transaction_is_undone_in_the_copy(home: Path) -> None:
    path = die_in_a_transaction(home)
    before = path.read_bytes()
    report = sj.salvage("genes", "saved", home=home)
    assert path.read_bytes() == before
    assert any("undone" in note for note in report.notes)
    with sj.open("saved", "r", home=home) as store:
        assert dict(store["t"].items()) == {n: n for n in range(500)}


def test_a_log_that_cannot_be_read_is_told(home: Path) -> None:
    path = die_in_a_transaction(home)
    patch(path, Field.EXTENT0, bytes(8))
    report = sj.salvage("genes", "saved", home=home)
    assert any("not undone" in note for note in report.notes)
    assert report.recovered == 500


def test_an_old_log_is_not_undone_in_a_store_that_was_closed(home: Path) -> None:
    with sj.open("genes", home=home, reserve=GIB) as store:
        tree = store.btree("t", key="int", value="int")
        tree[1] = 1
        tree[1] = 2
    path = Path(store.path)
    patch(path, Field.GENERATION, struct.pack("<Q", word(path, Field.GENERATION) - 1))
    with Remains("genes", home=home) as remains:
        assert dict(remains.items(remains.roots[0])) == {1: 2}


def test_a_write_ahead_log_is_applied(disk_home: Path) -> None:
    items = {n: n * n for n in range(800)}

    def change() -> None:
        store = sj.open("genes", home=disk_home, reserve=GIB, durability="power")
        store.btree("t", key="int", value="int").update(items)
        os.kill(os.getpid(), 9)

    kill_inside(change)
    path = disk_home / "seg" / "genes.seg"
    before = path.read_bytes()
    report = sj.salvage("genes", "saved", home=disk_home)
    assert path.read_bytes() == before
    with sj.open("saved", "r", home=disk_home) as store:
        assert dict(store["t"].items()) == items
        assert store.durability == "power"
    assert report.notes == ()
    path.with_name("genes.seg.log0").unlink()
    path.with_name("genes.seg.log1").unlink()
    with Remains("genes", home=disk_home) as remains:
        (told,) = (note for note in remains.notes if "write-ahead log" in note)
        assert ": 'genes': " in told  # and nothing of the path that the name has overwritten
    sj.Catalog(disk_home).remove("genes")


def test_a_store_that_is_open_here_has_its_addresses(home: Path) -> None:
    with sj.open("genes", home=home, reserve=GIB), pytest.raises(sj.AddressConflictError):
        sj.salvage("genes", "saved", home=home)
    assert sj.Catalog(home).names() == ["genes"]


def test_pickles_are_copied_and_not_run(home: Path) -> None:
    class Loud:
        def __reduce__(self) -> Any:
            return pytest.fail, ("a pickle was run",)

    with sj.open("genes", home=home, reserve=GIB) as store:
        store.btree("t", key="int", value="pickle")[1] = Loud()
    report = sj.salvage("genes", "saved", home=home)
    assert report.recovered == 1
    with sj.open("saved", "r", home=home) as store, pytest.raises(pytest.fail.Exception):
        assert store["t"][1]


def test_a_failure_leaves_no_new_store(original: Original) -> None:
    def stop(name: str, copied: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sj.salvage("genes", "saved", home=original.home, progress=stop)
    assert sj.Catalog(original.home).names() == ["genes"]


def test_a_file_that_is_cut_while_it_is_read_gives_nothing_wrong(
    original: Original, file: Path
) -> None:
    with Remains("genes", home=original.home) as remains:
        os.truncate(file, len(original.raw) // 3 // PAGE * PAGE)
        found = {root.name: dict(remains.items(root)) for root in remains.roots}
        report = remains.report("", remains.roots)
    assert report.lost_pages > 0
    assert sum(map(len, found.values())) > 100
    for name, items in found.items():
        assert items.items() <= original.items[name].items()
    assert sum(map(len, found.values())) < sum(map(len, original.items.values()))


def test_a_store_that_is_open_elsewhere_is_said_to_be(home: Path) -> None:
    """What came back of it was in part, and nothing said so."""
    with sj.open("genes", home=home, reserve=GIB) as store:
        store.btree("t", key="int")[1] = "one"

    def stay(child: Child) -> None:
        with sj.open("genes", home=home):
            child.say()
            child.hear()

    with forked(stay) as child:
        child.hear()
        assert "a process has the store open" in sj.salvage("genes", "saved", home=home).notes[0]
        child.say()
        assert child.end() == 0
    assert sj.salvage("genes", "again", home=home).notes == ()
