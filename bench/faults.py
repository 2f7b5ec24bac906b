# SPDX-License-Identifier: Apache-2.0
"""Faults, done to one store at a time: a bit flips, the file is cut, the disk is full, kill -9.

Whatever touches a damaged store is a forked child (`bench.fault_children`): it may die of it. All
draws come from a seed.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.fault_children import WALL_SECONDS, Child
from bench.fault_stores import STORES
from bench.harness import expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from bench.fault_stores import Change, FaultyStore

__all__ = ["Kills", "cut", "fill_disk", "flip_bits", "kill_again_and_again", "on_full_disk"]

PAGE = 4096
VALUE_BYTES_MAX = 200

Pairs = dict[int, bytes]


# --- contents -----------------------------------------------------------------------------------


def pairs_of(n: int, seed: int) -> Pairs:
    """Entries to begin with."""
    rng = random.Random(seed)
    return {rng.getrandbits(62): rng.randbytes(rng.randrange(VALUE_BYTES_MAX)) for _ in range(n)}


def make(name: str, directory: Path, pairs: Mapping[int, bytes]) -> None:
    """Make a store with these entries, and close it."""

    def fill(_: Child) -> None:
        store = STORES[name](directory)
        store.open()
        store.commit(list(pairs.items()))
        store.close()

    expect(Child(fill).end().fate is None, f"{name}: it could not be made")


@contextmanager
def copied(source: Path, to: Path) -> Iterator[Path]:
    """A copy of a store's files, removed at the end."""
    shutil.copytree(source, to)
    try:
        yield to
    finally:
        shutil.rmtree(to)


def used_pages(file: Path) -> list[int]:
    """The pages in which there is something: a byte that is not zero."""
    data = file.read_bytes()
    return [at for at in range(0, len(data), PAGE) if data[at : at + PAGE].strip(b"\0")]


# --- what a store says of itself ----------------------------------------------------------------


@dataclass
class Findings:
    """What came of using a store that may be damaged."""

    errors: dict[str, str] = field(default_factory=dict)
    """By what it was doing: errors with a name."""
    strange: dict[str, str] = field(default_factory=dict)
    """Exceptions that no caller expects."""
    wrong: int | None = None
    """Keys that have another value, are missing, or too many; None: it could not be read."""

    def attempt(self, store: FaultyStore, what: str, action: Callable[[], Any]) -> Any:
        """Do it, and note the exception; None then."""
        try:
            return action()
        except store.errors as error:
            self.errors[what] = type(error).__name__
        except Exception as error:  # noqa: BLE001 (that is the question)
            self.strange[what] = type(error).__name__
        return None

    @property
    def clean(self) -> bool:
        """Whether nothing was said."""
        return not self.errors and not self.strange

    @property
    def said(self) -> str:
        """The first exception, or what the contents were like."""
        for name in (*self.errors.values(), *self.strange.values()):
            return name
        return "nothing lost" if not self.wrong else f"silent: {self.wrong} entries wrong"


def differences(found: Mapping[int, bytes], expected: Mapping[int, bytes]) -> int:
    """How many keys differ."""
    return len({key for key, _ in found.items() ^ expected.items()})


def read_all(store: FaultyStore, expected: Mapping[int, bytes], findings: Findings) -> None:
    """Scan, and look every key up."""
    found = findings.attempt(store, "scan", lambda: dict(store.items()))
    got = findings.attempt(
        store, "get", lambda: {k: v for k in expected if (v := store.get(k)) is not None}
    )
    counts = [differences(pairs, expected) for pairs in (found, got) if pairs is not None]
    findings.wrong = max(counts, default=None)


def examine(name: str, directory: Path, expected: Mapping[int, bytes]) -> Findings:
    """Open a store, let it check itself, read everything, close it."""
    store, findings = STORES[name](directory), Findings()
    findings.attempt(store, "open", store.open)
    if findings.clean:
        findings.attempt(store, "check", store.check)
        read_all(store, expected, findings)
        findings.attempt(store, "close", store.close)
    return findings


def examined(name: str, directory: Path, expected: Mapping[int, bytes]) -> str | Findings:
    """`examine` in a child; the signal that ended it, or "hang"."""
    ending = Child(lambda _: asdict(examine(name, directory, expected))).end()
    return ending.fate or Findings(**ending.result)


# --- one bit ------------------------------------------------------------------------------------


def outcome_of(found: str | Findings) -> str:
    """Which column of the table it counts in."""
    if isinstance(found, str):
        return found if found == "hang" else "signal"
    if found.strange:
        return "strange exception"
    if found.errors:
        return "reported"
    return "silently wrong" if found.wrong else "harmless"


def flip_bits(name: str, scratch: Path, n: int, flips: int, seed: int) -> dict[str, Any]:
    """Flip one bit in a copy, again and again; says how often what came of it."""
    pairs = pairs_of(n, seed)
    original = scratch / "original"
    make(name, original, pairs)
    pages = used_pages(STORES[name](original).data_file)
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    first: Counter[str] = Counter()
    for _ in range(flips):
        at, bit = rng.choice(pages) + rng.randrange(PAGE), rng.randrange(8)
        with copied(original, scratch / "copy") as directory:
            with STORES[name](directory).data_file.open("r+b") as file:
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ 1 << bit]))
            found = examined(name, directory, pairs)
        counts[outcome_of(found)] += 1
        if not isinstance(found, str):
            first.update([f"{what}: {error}" for what, error in found.errors.items()][:1])
    shutil.rmtree(original)
    return {"flips": flips, "pages": len(pages), "outcomes": counts, "first_error": first}


# --- cut short ----------------------------------------------------------------------------------


def cut(name: str, scratch: Path, n: int, seed: int) -> dict[str, str]:
    """Cut the file where half of its used pages are behind: closed, and while it is open."""
    pairs = pairs_of(n, seed)
    original = scratch / "original"
    make(name, original, pairs)
    pages = used_pages(STORES[name](original).data_file)
    middle = pages[len(pages) // 2]
    told: dict[str, str] = {}
    with copied(original, scratch / "copy") as directory:
        os.truncate(STORES[name](directory).data_file, middle)
        told["before it is opened"] = describe(examined(name, directory, pairs))
    new = pairs_of(n // 8, seed + 1)
    for what in ("read", "written"):
        with copied(original, scratch / "copy") as directory:
            change = new if what == "written" else {}
            told[f"while open, then {what}"] = cut_while_open(
                name, directory, middle, pairs, change
            )
            if what == "written":
                reopened = examined(name, directory, {**pairs, **new})
                told["opened afterwards"] = describe(reopened)
    shutil.rmtree(original)
    return told


def describe(found: str | Findings) -> str:
    """The signal, or what it said."""
    return found if isinstance(found, str) else found.said


def cut_while_open(name: str, directory: Path, middle: int, pairs: Pairs, new: Pairs) -> str:
    """A child opens, the file is cut, the child writes what is new, or reads everything."""

    def use(child: Child) -> dict[str, Any]:
        store, findings = STORES[name](directory), Findings()
        store.open()
        store.get(next(iter(pairs)))
        child.say("open")
        child.hear()
        for change in new.items():
            findings.attempt(store, "write", partial(store.commit, [change]))
            if not findings.clean:
                break
        if not new:
            read_all(store, pairs, findings)
        findings.attempt(store, "close", store.close)
        return asdict(findings)

    child = Child(use)
    expect(child.line() == "open", f"{name}: a child did not come up")
    os.truncate(STORES[name](directory).data_file, middle)
    child.go()
    ending = child.end()
    return ending.fate or Findings(**ending.result).said


# --- a full disk --------------------------------------------------------------------------------

DISK_BYTES = 64 << 20
BALLAST_BYTES = 8 << 20
FULL_VALUE_BYTES = 4000
FULL_CHANGES = 10


def on_full_disk(name: str, filesystem: str, scratch: Path) -> dict[str, Any]:
    """`fill_disk` in a mount namespace of its own, on a new filesystem of 64 MiB."""
    program = [sys.executable, "-m", "bench.bench_reliability", "--fill-disk"]
    namespace = ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else [])]
    try:
        done = subprocess.run(
            [*namespace, *program, name, filesystem, str(scratch)],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        return {"impossible": str(error)}
    if done.returncode != 0:
        return {"impossible": (done.stderr.strip().splitlines() or ["it failed"])[-1]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def mount(filesystem: str, scratch: Path) -> Path:
    """Mount a new filesystem; it goes with the namespace."""
    point = scratch / "disk"
    point.mkdir()
    if filesystem == "tmpfs":
        how = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs"]
    else:
        image = scratch / "disk.image"
        image.touch()
        os.truncate(image, DISK_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
        how = ["-o", "loop", str(image)]
    subprocess.run(["mount", *how, str(point)], check=True)
    return point


def changes_when_full(number: int) -> list[Change]:
    """Commit number `number`: new keys all."""
    rng = random.Random(number)
    value = number.to_bytes(4, "little").ljust(FULL_VALUE_BYTES, b"f")
    return [(rng.getrandbits(62), value) for _ in range(FULL_CHANGES)]


def contents_when_full(commits: int) -> Pairs:
    """What is there after so many commits."""
    return {k: v for i in range(commits) for k, v in changes_when_full(i) if v is not None}


def fill_disk(name: str, filesystem: str, scratch: Path) -> dict[str, Any]:
    """Insert until it fails; make room; go on; reopen."""
    point = mount(filesystem, scratch)
    ballast, more_ballast = point / "ballast", point / "more"
    for file in (ballast, more_ballast):
        file.write_bytes(os.urandom(BALLAST_BYTES))
    directory = point / "store"
    shared = memoryview(mmap.mmap(-1, PAGE)).cast("Q")

    def insert(_: Child) -> dict[str, Any]:
        store, full, more = STORES[name](directory), Findings(), Findings()
        store.open()
        while full.clean:
            full.attempt(store, "commit", lambda: store.commit(changes_when_full(shared[0])))
            shared[0] += full.clean
        acknowledged = shared[0]
        same = Findings()
        read_all(store, contents_when_full(acknowledged), same)
        ballast.unlink()
        more.attempt(store, "commit", lambda: store.commit(changes_when_full(acknowledged)))
        shared[0] += more.clean
        more.attempt(store, "close", store.close)
        return {"full": full.said, "same": same.said, "more": "yes" if more.clean else more.said}

    ending = Child(insert).end()
    acknowledged = shared[0]
    result = {"commits": acknowledged, **(ending.result or {"full": ending.fate})}
    expected = contents_when_full(acknowledged), contents_when_full(acknowledged + 1)
    fill_up(ballast)
    result["nothing free"] = reopened(name, directory, *expected)
    ballast.unlink()
    more_ballast.unlink()
    result["reopened"] = reopened(name, directory, *expected)
    return result


def fill_up(file: Path) -> None:
    """Write to it until the disk has nothing left."""
    with file.open("ab", buffering=0) as filler, suppress(OSError):
        while filler.write(bytes(PAGE)):
            pass


def reopened(name: str, directory: Path, expected: Pairs, one_more: Pairs) -> str:
    """How it is in a new process; the commit in flight may be there, whole."""
    found = examined(name, directory, expected)
    if isinstance(found, Findings) and found.wrong == FULL_CHANGES:
        found = examined(name, directory, one_more)
    return describe(found)


# --- kill -9 ------------------------------------------------------------------------------------

KEYS = 1000
ACKNOWLEDGED, VERDICT, LOST, HALF_DONE = range(4)
"""Words that parent and child share."""
NOT_YET, AS_ACKNOWLEDGED, ONE_MORE, BROKEN = range(4)
"""Verdicts of the child on what the last one left."""


@dataclass
class Kills:
    """What came of many kills."""

    kills: int = 0
    while_recovering: int = 0
    """Killed before the child had opened, checked and read the store."""
    acknowledged: int = 0
    lost: int = 0
    """Keys that have another value than the last acknowledged one."""
    half_done: int = 0
    """Commits of which a part was there."""
    refused: int = 0
    """Times that the store could not be opened and read, or its check reported damage."""
    unusual: list[str] = field(default_factory=list)
    """Ends of children by themselves."""

    @property
    def good(self) -> bool:
        """Whether nothing is amiss."""
        return not (self.lost or self.half_done or self.refused or self.unusual)


def changes_of(seed: int, number: int) -> list[Change]:
    """Commit number `number`: one to four puts, or here and there a deletion."""
    rng = random.Random(seed << 40 | number)
    changes: list[Change] = []
    for _ in range(rng.randrange(1, 5)):
        key = rng.randrange(KEYS) * 0x1E3779B97F4A7C15 % (1 << 62)
        value = b"%d/" % number + rng.randbytes(rng.randrange(VALUE_BYTES_MAX))
        changes.append((key, None if rng.random() < 0.2 else value))
    return changes


def apply(changes: list[Change], state: Pairs) -> Pairs:
    """Do the changes to the state, and give it back."""
    for key, value in changes:
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value
    return state


class KillCycle:
    """A store, what must be in it, and children that commit to it until they are killed."""

    def __init__(self, name: str, scratch: Path, seed: int, images: Path | None) -> None:
        self._name, self._scratch, self._seed = name, scratch, seed
        self._images = images
        self._rng = random.Random(seed)
        self._shared = memoryview(mmap.mmap(-1, PAGE)).cast("Q")
        self._stores = 0
        self.told = Kills()
        self._anew()

    def _anew(self) -> None:
        self._directory = self._scratch / f"store{self._stores}"
        self._stores += 1
        self._number = 0
        self._state: Pairs = {}

    def _work(self, _: Child) -> None:
        """The child: judge what is there, then commit for ever."""
        shared, store = self._shared, STORES[self._name](self._directory)
        number, verdict = self._number, BROKEN
        try:
            store.open()
            store.check()
            verdict = self._judge(dict(store.items()))
        finally:
            shared[VERDICT] = verdict
        number += verdict == ONE_MORE
        while verdict != BROKEN:
            store.commit(changes_of(self._seed, number))
            shared[ACKNOWLEDGED] += 1
            number += 1

    def _judge(self, found: Pairs) -> int:
        if found == self._state:
            return AS_ACKNOWLEDGED
        more = apply(changes_of(self._seed, self._number), dict(self._state))
        if found == more:
            return ONE_MORE
        keys = found.keys() | self._state.keys() | more.keys()
        lost = [k for k in keys if found.get(k) not in (self._state.get(k), more.get(k))]
        self._shared[LOST] = len(lost)
        self._shared[HALF_DONE] = not lost
        return BROKEN

    def once(self) -> None:
        """A child, a kill, and what follows from the words that it left."""
        for word in (ACKNOWLEDGED, VERDICT, LOST, HALF_DONE):
            self._shared[word] = NOT_YET
        child = Child(self._work)
        try:
            if self._rng.random() < 0.2:
                time.sleep(self._rng.uniform(0, 0.01))
            else:
                self._wait(child, self._rng.randrange(40))
            if child.ended and self._shared[VERDICT] != BROKEN:
                self.told.unusual.append("a child ended by itself; its traceback is above")
        finally:
            child.kill()
        self._count()
        if self._images:
            for image in self._images.iterdir():
                image.unlink()

    def _wait(self, child: Child, commits: int) -> None:
        """Until the child has done so many commits, or will never."""
        deadline = time.monotonic() + WALL_SECONDS
        shared = self._shared
        while shared[VERDICT] == NOT_YET or shared[ACKNOWLEDGED] < commits:
            if shared[VERDICT] == BROKEN or child.ended:
                return
            if time.monotonic() > deadline:
                self.told.unusual.append(f"a child hung before its commit number {commits}")
                return
            time.sleep(0.0002)

    def _count(self) -> None:
        told, shared = self.told, self._shared
        verdict, acknowledged = shared[VERDICT], shared[ACKNOWLEDGED]
        told.kills += 1
        told.while_recovering += verdict == NOT_YET
        told.acknowledged += acknowledged
        if verdict == BROKEN:
            told.lost += shared[LOST]
            told.half_done += shared[HALF_DONE]
            told.refused += not (shared[LOST] or shared[HALF_DONE])
            self._anew()
            return
        for _ in range(acknowledged + (verdict == ONE_MORE)):
            apply(changes_of(self._seed, self._number), self._state)
            self._number += 1


def kill_again_and_again(
    name: str, scratch: Path, kills: int, seed: int, images: Path | None = None
) -> Kills:
    """Kill children that commit; `images`: what is in there is lost as well, at each kill."""
    cycle = KillCycle(name, scratch, seed, images)
    for _ in range(kills):
        cycle.once()
    return cycle.told
