# SPDX-License-Identifier: Apache-2.0
"""Damaged, foreign, full, forbidden: always an exception that says so, never a signal or a hang."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from children import in_child, kill_inside, wait_for
from media import MAGIC, PAGE, SUPERS, Field, checksum, patch, seal, word

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

GIB = 1 << 30
ITEMS = {n: "x" * (n % 40) for n in range(400)}
DAMAGE_SEED = 20240607


def make_store(home: Path) -> Path:
    """A store "genes" with a tree and a map in it; the path of its file."""
    with sj.open("genes", home=home, reserve=GIB) as store:
        store.btree("t", key="int").update(ITEMS)
        store.hashmap("h", key="str").update({str(n): n for n in ITEMS})
    return Path(store.path)


def read_all(home: Path, flag: Any = "r") -> None:
    """Open, check and read a store, whose contents must be right."""
    with sj.open("genes", flag, home=home) as store:
        store.check()
        tree, table = store["t"], store["h"]
        assert dict(tree.items()) == ITEMS
        assert dict(table.items()) == {str(n): n for n in ITEMS}


@pytest.fixture
def file(home: Path) -> Path:
    return make_store(home)


# --- headers ------------------------------------------------------------------------------------


def test_the_checksum_of_the_tests_is_that_of_the_library(file: Path) -> None:
    for superblock in SUPERS:
        image = file.read_bytes()[superblock : superblock + PAGE]
        if image.count(0) < PAGE:
            expected = struct.unpack("<Q", image[Field.CHECKSUM :])[0]
            assert checksum(MAGIC, image[: Field.CHECKSUM]) == expected


@pytest.mark.parametrize("superblock", SUPERS)
@pytest.mark.parametrize("at", [0, 8, 72, 200, 4000, 4090])
def test_one_damaged_superblock_is_survived(
    home: Path, file: Path, superblock: int, at: int
) -> None:
    seal(file, Field.STATE, struct.pack("<Q", 1))  # both are whole now
    patch(file, superblock + at, b"\xa5" * 6)
    with sj.open("genes", "r", home=home) as store:
        assert dict(store["t"].items()) == ITEMS
        with pytest.raises(sj.CorruptError, match=f"superblock {'AB'[superblock // PAGE]}"):
            store.check()
    with sj.open("genes", "w", home=home) as store:
        store["t"][0] = ITEMS[0]  # the damaged one is made anew
    read_all(home)
    read_all(home, "w")


def test_two_damaged_superblocks_are_corrupt(home: Path, file: Path) -> None:
    for superblock in SUPERS:
        patch(file, superblock + 500, b"x")
    for error in (sj.CorruptError, ValueError):
        with pytest.raises(error, match="superblock"):
            sj.open("genes", home=home)


@pytest.mark.parametrize("content", [b"", b"hello", b"#!/bin/sh\n" * 5000, bytes(600_000)])
def test_a_file_that_is_no_segment_is_a_format_error(
    home: Path, file: Path, content: bytes
) -> None:
    file.write_bytes(content)
    for error in (sj.FormatError, ValueError):
        with pytest.raises(error, match="genes"):
            sj.open("genes", home=home)
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("at", "raw"),
    [
        (Field.VERSION, struct.pack("<I", 2)),
        (Field.VERSION, struct.pack("<I", 0)),
        (Field.BYTE_ORDER, struct.pack(">Q", 0x0102030405060708)),
        (Field.INCOMPAT, struct.pack("<Q", 1 << 63)),
        (Field.PAGE_BYTES, struct.pack("<I", 16384)),
    ],
)
def test_a_segment_of_another_version_is_refused(
    home: Path, file: Path, at: int, raw: bytes
) -> None:
    seal(file, at, raw)
    before = file.read_bytes()
    for error in (sj.VersionError, ValueError):
        with pytest.raises(error, match=r"version|byte order|features|pages"):
            sj.open("genes", home=home)
    assert file.read_bytes() == before


def test_an_unknown_feature_that_readers_may_ignore_opens_for_reading(
    home: Path, file: Path
) -> None:
    seal(file, Field.RO_COMPAT, struct.pack("<Q", 4))
    with pytest.raises(sj.VersionError, match="'r' only"):
        sj.open("genes", "w", home=home)
    read_all(home)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (Field.BASE, 0),
        (Field.BASE, 0x4000_0000_0001),
        (Field.BASE, 0x7FFF_C000_0000),
        (Field.RESERVED, 0),
        (Field.RESERVED, 1 << 62),
        (Field.RESERVED, GIB + 1),
        (Field.NAME_BYTES, 0),
        (Field.NAME_BYTES, 5000),
    ],
)
def test_a_header_that_makes_no_sense_is_corrupt(
    home: Path, file: Path, at: int, value: int
) -> None:
    seal(file, at, struct.pack("<Q", value))
    with pytest.raises(sj.CorruptError):
        sj.open("genes", home=home)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (Field.COMMITTED, 0),
        (Field.COMMITTED, 1 << 63),
        (Field.COMMITTED, 2 * GIB),
        (Field.CHUNKS, 1 << 40),
        (Field.GENERATION, 0),
        (Field.EXTENTS, 0),
        (Field.EXTENTS, 17),
        (Field.EXTENTS, 16),
        (Field.EXTENT0, 0x1234),
        (Field.ROOT_COUNT, 0),
        (Field.ROOT_COUNT, 1 << 63),
    ],
)
def test_a_root_page_or_log_that_makes_no_sense_is_corrupt(
    home: Path, file: Path, at: int, value: int
) -> None:
    patch(file, at, struct.pack("<Q", value))
    with pytest.raises(sj.CorruptError):
        in_child(lambda: read_all(home))


def test_roots_in_a_circle_are_corrupt_however_many_there_may_be(home: Path) -> None:
    """With a damaged count of roots as well, looking for one never came to an end."""
    with sj.open("genes", home=home, reserve=GIB) as store:
        for n in range(400):
            store.btree(f"t{n}")
    file, base = Path(store.path), word(Path(store.path), Field.BASE)
    chains = [at for at in range(Field.ROOTS, Field.ROOT_COUNT, 8) if word(file, at)]
    for at in chains:
        first = word(file, at)
        last = first
        while following := word(file, last - base + 8):
            last = following
        patch(file, last - base + 8, struct.pack("<Q", first))
    patch(file, Field.ROOT_COUNT, struct.pack("<Q", MAGIC))

    def use(action: Callable[[sj.Store], object]) -> None:
        with sj.open("genes", "r", home=home) as store:
            action(store)

    actions: list[Callable[[sj.Store], object]] = [
        lambda store: store["missing"],
        lambda store: store["t5"].get(1),
        lambda store: store.check(),
        lambda store: list(store.roots),
    ]
    for action in actions[:3]:
        try:
            in_child(lambda: use(action), 60)  # noqa: B023
        except sj.CorruptError:
            continue
        assert action is actions[1]
    in_child(lambda: use(actions[3]), 60)


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [PAGE, 3 * PAGE, 17000, 100_000, -PAGE, -1])
def test_a_truncated_file_is_refused_before_it_is_mapped(home: Path, file: Path, left: int) -> None:
    os.truncate(file, left if left > 0 else file.stat().st_size + left)
    with pytest.raises((sj.TruncatedError, sj.FormatError), match=r"genes.*(bytes|short)"):
        sj.open("genes", home=home)


def test_what_is_not_a_regular_file_is_refused(home: Path, file: Path) -> None:
    content = file.read_bytes()
    aside = home / "aside"
    file.rename(aside)
    file.symlink_to(aside)
    with pytest.raises(sj.SpaceJmpError, match="link"):
        sj.open("genes", home=home)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(sj.SpaceJmpError, match="genes"):
        sj.open("genes", home=home)
    file.unlink()
    file.mkdir()
    with pytest.raises(sj.SpaceJmpError, match="genes"):
        sj.open("genes", home=home)
    assert aside.read_bytes() == content


def as_nobody(home: Path, code: str) -> str:
    """Run code with the rights of a user that owns nothing; the name of its exception."""
    if os.getuid() != 0:
        pytest.skip("only root can act as another user")
    program = f"""
import os, sys, tempfile, spacejmp as sj
warm = tempfile.mkdtemp()  # all is imported while it can be read
sj.open("warm", home=warm).btree("t")[1] = "one"
try:
    sj.open("arm", "r", home=warm)
except sj.NotFoundError:
    sj.open("warm", "n", home=warm).close()
    import shutil
    shutil.rmtree(warm)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    {code}
except sj.SpaceJmpError as error:
    print(type(error).__name__)
else:
    print("done")
"""
    environment = {**os.environ, "SPACEJMP_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_the_rights_it_is_a_permission_error(home: Path, file: Path) -> None:
    for code in ("sj.open('genes')", "sj.open('new')", "sj.open('genes', 'r')"):
        assert as_nobody(home, code) == "StorePermissionError"
    for path in (home, home / "seg", home / "vas", home / "lock"):
        path.chmod(0o755)
    for code in ("sj.open('genes')", "sj.open('new')", "sj.open('genes', 'r')"):
        assert as_nobody(home, code) == "StorePermissionError"
    read_all(home)


def test_who_may_only_read_reads(home: Path) -> None:
    for path in (home, home / "seg", home / "vas", home / "lock"):
        path.mkdir(exist_ok=True)
        path.chmod(0o755)
    with sj.open("genes", home=home, reserve=GIB, mode=0o644) as store:
        store.btree("t")[1] = "one"
    assert as_nobody(home, "assert sj.open('genes', 'r')['t'][1] == 'one'") == "done"
    assert as_nobody(home, "sj.open('genes', 'w')") == "StorePermissionError"


# --- full disks ---------------------------------------------------------------------------------


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """A filesystem of 3 MiB."""
    if os.getuid() != 0:
        pytest.skip("only root can mount; test_a_file_size_limit… covers this for others")
    place = home / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3M", "none", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill_up(store: sj.Store) -> int:
    """Insert until the disk is full; what had been acknowledged is there, and only that."""
    tree = store.btree("t", key="int", value="bytes")
    table = store.hashmap("h", key="int", value="bytes")
    count = 0
    with pytest.raises(sj.SpaceFullError) as caught:
        while True:
            tree[count] = bytes([count % 256]) * 2000
            table[count] = bytes([count % 256]) * 200
            count += 1
    assert isinstance(caught.value, OSError)
    assert len(tree) in (count, count + 1)
    assert len(table) == count
    assert all(tree[n] == bytes([n % 256]) * 2000 for n in range(count))
    assert store.check().leaked_blocks == 0
    return count


def use_again(store: sj.Store, count: int) -> None:
    """A store on a full disk still takes deletions, and what they make room for."""
    tree, table = store["t"], store["h"]
    with pytest.raises(sj.SpaceFullError), store.transaction():
        del tree[0]
        for n in range(count, 3 * count):
            tree[n] = bytes(2000)
    assert tree[0] == bytes(2000)
    for n in range(0, count, 2):
        del tree[n], table[n]
    for n in range(0, count, 2):
        tree[n] = b"again" * 400
        table[n] = b"again"
    assert len(table) == count
    assert all(tree[n] == b"again" * 400 for n in range(0, count, 2))
    assert store.check().leaked_blocks == 0
    with pytest.raises(sj.SpaceFullError):
        store.btree("bulk", value="bytes").bulk_load((n, bytes(3000)) for n in range(3000))
    assert "bulk" not in store or len(store["bulk"]) == 0
    assert store.check().leaked_blocks == 0


def test_a_full_disk_is_an_error_before_any_change(small_disk: Path) -> None:
    with sj.open("genes", home=small_disk, reserve=GIB) as store:
        count = fill_up(store)
        assert count > 100
        use_again(store, count)
    with sj.open("genes", home=small_disk) as store:
        assert store.check().leaked_blocks == 0
        with pytest.raises(sj.SpaceFullError):
            sj.open("other", home=small_disk)
        assert sj.Catalog(small_disk).names() == ["genes"]


def test_a_file_size_limit_is_an_error_before_any_change(home: Path) -> None:
    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))
        with sj.open("genes", home=home, reserve=GIB) as store:
            use_again(store, fill_up(store))

    in_child(limited)
    with sj.open("genes", home=home) as store:
        assert store.check().leaked_blocks == 0
        store["t"][10**6] = bytes(1 << 20)


# --- the machine stopped ------------------------------------------------------------------------


def stop_the_machine(file: Path) -> None:
    """Make a file look as if it had been open when the machine stopped."""
    seal(file, Field.BOOT_ID, bytes(range(16)))
    seal(file, Field.STATE, bytes(8))


def test_a_store_that_was_open_when_the_machine_stopped_is_noticed(disk_home: Path) -> None:
    file = make_store(disk_home)
    stop_the_machine(file)
    for flag in ("r", "w", "c"):
        for error in (sj.UncleanShutdownError, OSError):
            with pytest.raises(error, match="machine stopped"):
                sj.open("genes", flag, home=disk_home)
    with sj.open("genes", home=disk_home, accept_unclean=True) as store:
        store.check()
        store["t"][1000] = "new"
        del store["t"][1000]
    read_all(disk_home)


def test_a_store_that_was_closed_before_the_machine_stopped_is_fine(disk_home: Path) -> None:
    file = make_store(disk_home)
    seal(file, Field.BOOT_ID, bytes(range(16)))
    read_all(disk_home)
    read_all(disk_home, "w")


def test_a_store_only_read_when_the_machine_stopped_is_fine(disk_home: Path) -> None:
    file = make_store(disk_home)
    kill_inside(lambda: sj.open("genes", "r", home=disk_home)["t"][1])
    kill_inside(lambda: sj.open("genes", "w", home=disk_home)["t"][1])
    seal(file, Field.BOOT_ID, bytes(range(16)))
    read_all(disk_home)


def test_a_process_that_dies_without_closing_is_no_unclean_shutdown(disk_home: Path) -> None:
    make_store(disk_home)

    def change() -> None:
        sj.open("genes", home=disk_home)["t"][1] = ITEMS[1]

    kill_inside(change)
    read_all(disk_home)


# --- flipped bits -------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_flipped_bit_is_found_wherever_it_is(
    disk_home: Path, durability: Literal["process", "power"]
) -> None:
    """In every page that has something in it, at a random place; nothing is found before."""
    with sj.open("genes", home=disk_home, reserve=GIB, durability=durability) as store:
        store.btree("t", key="int").update(ITEMS)
        store.hashmap("h", key="str").update({str(n): n for n in ITEMS})
    file = Path(store.path)
    files = {path: path.read_bytes() for path in file.parent.iterdir()}
    image = files[file]
    with sj.open("genes", "r", home=disk_home) as store:
        report = store.check()
        assert (report.verified_pages, report.unverified_pages) == (len(image) // PAGE, 0)
    rng = random.Random(DAMAGE_SEED)
    for page in range(0, len(image), PAGE):
        if not any(image[page : page + PAGE]):
            continue
        for path, content in files.items():
            path.write_bytes(content)
        at, bit = page + rng.randrange(PAGE), rng.randrange(8)
        patch(file, at, bytes([image[at] ^ 1 << bit]))
        with pytest.raises(sj.SpaceJmpError):
            with sj.open("genes", "r", home=disk_home) as store:
                store.check()
            pytest.fail(f"bit {bit} of the byte at {at:#x}, seed {DAMAGE_SEED}")


# --- random damage ------------------------------------------------------------------------------

SCRAPS: list[Callable[[random.Random, bytearray, int], None]] = [
    lambda rng, raw, at: raw.__setitem__(at, raw[at] ^ 1 << rng.randrange(8)),
    lambda rng, raw, at: raw.__setitem__(at, rng.randrange(256)),
    lambda rng, raw, at: raw.__setitem__(slice(at & ~7, (at & ~7) + 8), rng.randbytes(8)),
    lambda rng, raw, at: raw.__setitem__(slice(at & ~7, (at & ~7) + 8), bytes(8)),
    lambda rng, raw, at: raw.__setitem__(slice(at & ~7, (at & ~7) + 8), b"\xff" * 8),
    lambda rng, raw, at: raw.__setitem__(
        slice(at & ~7, (at & ~7) + 8), raw[(at + 8) & ~7 : ((at + 8) & ~7) + 8]
    ),
]


def damaged(rng: random.Random, image: bytes, used: list[int]) -> bytes:
    """A copy with one to three places damaged, where the store has something."""
    raw = bytearray(image)
    for _ in range(rng.randrange(1, 4)):
        rng.choice(SCRAPS)(rng, raw, rng.choice(used))
    return bytes(raw)


def use_damaged(home: Path) -> None:
    """Do everything with a damaged store; only our exceptions may come of it."""
    actions: list[Callable[[sj.Store], object]] = [
        lambda store: store.check(),
        lambda store: store.stats(),
        lambda store: list(store.roots.items()),
        lambda store: [store[name].get(key) for name, key in (("t", 7), ("h", "7"), ("b", b"7"))],
        lambda store: [list(store[name].items()) for name in ("t", "h", "b")],
        lambda store: list(reversed(store["b"].items())),
        lambda store: list(store["b"].irange(b"2", b"5")),
        lambda store: [store["t"].peekitem(n) for n in (0, 100, -1)],
        lambda store: [store["t"].index(n) for n in (0, 100)],
        lambda store: store["t"].update(dict.fromkeys(range(0, 900, 7), "changed" * 9)),
        lambda store: store["h"].update({str(n): "changed" for n in range(0, 900, 7)}),
        lambda store: store["b"].update({b"%d" % n: b"changed" for n in range(0, 900, 7)}),
        lambda store: [store[name].popitem() for name in ("t", "h", "b")],
        lambda store: store.btree("new").update({n: n for n in range(100)}),
        lambda store: store["h"].clear(),
        lambda store: store.drop("t"),
        lambda store: store.drop("b"),
    ]
    try:
        store = sj.open("genes", home=home, accept_unclean=True)
    except sj.SpaceJmpError:
        return
    for action in actions:
        try:
            action(store)
        except (sj.SpaceJmpError, KeyError, ValueError, IndexError, AttributeError):
            pass  # ValueError: an index, or a codec's text, that is not there any more
    try:
        store.close()
    except sj.SpaceJmpError:
        pass


def used_places(image: bytes) -> list[int]:
    """Offsets of bytes that mean something: all but long stretches of zeros and the old log."""
    words = struct.unpack(f"<{len(image) // 8}Q", image)
    places = {8 * n for n, found in enumerate(words) if found}
    places -= set(range(24576, 90112, 8))
    places |= {8 * n + 8 for n in range(len(words) - 1) if 8 * n in places}
    return [at + byte for at in sorted(places) for byte in (0, 1, 2, 5, 7) if at + 16 < len(image)]


@pytest.mark.slow
def test_random_damage_is_an_exception_never_a_signal_or_a_hang(home: Path) -> None:
    """Some thousand copies of a small store, each damaged elsewhere, used by children."""
    with sj.open("genes", home=home, reserve=GIB) as store:
        store.btree("t", key="int").update(ITEMS)
        store.hashmap("h", key="str").update({str(n): n for n in ITEMS})
        store.btree("b", key="bytes", value="bytes").update({b"%d" % n: b"v" * n for n in ITEMS})
    file = Path(store.path)
    image = file.read_bytes()
    used = used_places(image)
    rng = random.Random(DAMAGE_SEED)
    print(f"DAMAGE_SEED={DAMAGE_SEED}, {len(used)} places")
    batch = 50
    for first in range(0, 3000, batch):
        images = [damaged(rng, image, used) for _ in range(batch)]
        note = home / "at"
        pid = os.fork()
        if pid == 0:
            try:
                for number, each in enumerate(images):
                    note.write_text(f"{first + number}")
                    file.write_bytes(each)
                    use_damaged(home)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        code = wait_for(pid)
        if code != 0:
            at = int(note.read_text())
            kept = Path(f"/tmp/spacejmp-damaged-{DAMAGE_SEED}-{at}.seg")
            shutil.copy(file, kept)
            pytest.fail(f"damaged copy {at} ended a process with {code}; kept as {kept}")
