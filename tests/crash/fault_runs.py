# SPDX-License-Identifier: Apache-2.0
"""A store's whole life, again and again, with another system call failing each time.

Runs with `faults.c` loaded (LD_PRELOAD); `test_faults.py` starts it. Each life is that of a child
that was forked from this process, which has everything imported; another child then looks at what
is left. What a life must be like:

- Each operation succeeds, or raises the exception that its fault asks for. Tried once more, when
  only one call fails, it succeeds; but a `wal` store whose disk has failed takes no more changes.
- A closed store leaves no descriptor open and nothing mapped.
- The next process finds what was acknowledged, or that and the operation that failed, whole; the
  store is sound, nothing leaked, and takes changes. A store that is removed leaves nothing.

A line of JSON tells how many lives there were, which calls failed, and what was wrong.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import faulthandler
import gc
import json
import mmap
import os
import shutil
import signal
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import spacejmp as sj
from spacejmp.persistence.errors import StoreIOError

if TYPE_CHECKING:
    from collections.abc import Callable

GIB = 1 << 30
PATIENCE = 60
"""Seconds of a life; a hang ends it."""

KINDS = (
    *("OPEN", "CREATE", "READ", "WRITE", "SYNC", "ROOM", "CUT", "STATUS", "LOCK", "NAME", "LIST"),
    *("MAP", "PROTECT", "MEMORY", "THREAD", "RANDOM"),
)
"""In the order of `faults.c`."""

SHORT = -1


class Fault(NamedTuple):
    """What fails, how, and what it may become."""

    number: int
    kinds: tuple[str, ...]
    errors: tuple[type[BaseException], ...]


FILES = ("OPEN", "CREATE", "READ", "WRITE", "SYNC", "ROOM", "CUT", "STATUS", "LOCK", "NAME", "LIST")

FAULTS = {
    "io": Fault(errno.EIO, (*FILES, "RANDOM"), (StoreIOError,)),
    "full": Fault(
        errno.ENOSPC, ("CREATE", "WRITE", "SYNC", "ROOM", "NAME"), (sj.SpaceFullError, StoreIOError)
    ),
    "memory": Fault(errno.ENOMEM, ("MAP", "PROTECT", "MEMORY"), (MemoryError, StoreIOError)),
    "threads": Fault(errno.EAGAIN, ("THREAD",), ()),
    "descriptors": Fault(errno.EMFILE, ("OPEN", "CREATE", "LIST"), (StoreIOError,)),
    "signals": Fault(errno.EINTR, ("READ", "WRITE", "ROOM"), ()),
    "short": Fault(SHORT, ("READ", "WRITE"), ()),
}

faults = ctypes.CDLL(None)
faults.faults_disarm.restype = ctypes.c_char_p
faults.faults_arm.argtypes = [ctypes.c_uint, ctypes.c_long, ctypes.c_int, ctypes.c_int]

Contents = dict[str, dict[Any, Any]]
State = Contents | None
"""What a store holds; None when there is no store."""


# --- the life -------------------------------------------------------------------------------------


class WrongError(Exception):
    """What should not have happened."""


class Step(NamedTuple):
    """One operation, and the state after it."""

    act: Callable[[Life], object]
    state: State
    replaces: bool = False


class Life:
    """The steps, and how far the child has come, which it writes into shared memory."""

    BEGUN, DONE = 0, 1

    def __init__(self, durability: Any) -> None:
        self.home = Path()
        self.durability = durability
        self.store: Any = None
        self.steps: list[Step] = []
        self.progress = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        self._plan()

    @property
    def possible(self) -> list[State]:
        """What the next process may find."""
        states = [None, *(step.state for step in self.steps)]
        done, begun = self.progress[self.DONE], self.progress[self.BEGUN]
        between = [None] if self.steps[begun - 1].replaces else []
        return states[done : begun + 1] + between

    def _plan(self) -> None:
        """Make, fill, grow, group, sync, close, open again, replace, remove."""
        state: Contents = {}

        def step(act: Callable[[Life], object], changes: State = None) -> None:
            nonlocal state
            if changes is not None:
                state = {name: {**state.get(name, {}), **items} for name, items in changes.items()}
            self.steps.append(Step(act, state))

        def put(items: Contents) -> None:
            full = {name: items.get(name, {}) for name in ("t", "h")}

            def act(life: Life) -> None:
                for name, pairs in items.items():
                    for key, value in pairs.items():
                        life.store[name][key] = value

            step(act, full)

        def group(items: Contents) -> None:
            def act(life: Life) -> None:
                with life.store.transaction():
                    for name, pairs in items.items():
                        life.store[name].update(pairs)

            step(act, {name: items.get(name, {}) for name in ("t", "h")})

        step(lambda life: life.open("c"), {})
        step(lambda life: life.store.btree("t", key="int", value="bytes"), {"t": {}})
        step(lambda life: life.store.hashmap("h", key="str", value="any"), {"t": {}, "h": {}})
        put({"t": {1: b"one"}})
        put({"h": {"two": 2}})
        put({"t": {2: b"large" * 30_000}})
        put({"t": {3: b"larger" * 30_000}})
        many = range(40)
        group({"t": {10 + n: b"%d" % n * 9 for n in many}, "h": {f"k{n}": n for n in many}})
        step(lambda life: life.store.sync())
        put({"h": {"three": [1, 2, 3]}})
        step(lambda life: life.check())
        step(lambda life: life.close())
        step(lambda life: life.open("w"))
        put({"t": {1: b"uno"}})
        step(lambda life: life.close())
        step(lambda life: life.open("r"))
        step(lambda life: life.check())
        step(lambda life: life.close())
        self.steps.append(Step(lambda life: life.open("n"), {}, replaces=True))
        self.steps.append(Step(lambda life: life.close(), {}))
        self.steps.append(Step(lambda life: life.remove(), None))

    def open(self, flag: Any) -> None:
        """Open the store, whose reserve is small."""
        options: Any = {"reserve": GIB, "durability": self.durability, "timeout": 30}
        try:
            self.store = sj.open("genes", flag, home=self.home, **options)
        except sj.UncleanShutdownError as error:  # a sync has failed: it is checked first
            if "to its disk failed" not in str(error):
                raise
            accept(self.home)
            self.store = sj.open("genes", flag, home=self.home, **options)

    def check(self) -> None:
        """Find it whole, with the contents that it should have."""
        self.store.check()
        found, expected = contents(self.store), self.steps[self.progress[self.BEGUN] - 1].state
        if found != expected:
            raise WrongError(f"expected {brief(expected)}, found {brief(found)}")

    def close(self) -> None:
        """Close it, and leave nothing."""
        self.store.close()

    def remove(self) -> None:
        """Remove it."""
        sj.Catalog(self.home).remove("genes")

    def live(self, fault: Fault, *, onwards: bool) -> None:
        """Take all steps; in the child, armed."""
        for number, step in enumerate(self.steps, 1):
            self.progress[self.BEGUN] = number
            try:
                step.act(self)
            except Exception as error:
                unreadable = isinstance(error, sj.CorruptError) and "cannot be read" in str(error)
                if not unreadable and not isinstance(error, fault.errors):
                    raise
                if onwards:
                    return
                if "nothing more can be changed" in str(error):
                    self._live_with_failed_disk()
                    break
                self._again(step)
            self.progress[self.DONE] = number
        faults.faults_disarm()
        self.store = None
        left_behind(self.home)

    def _again(self, step: Step) -> None:
        """Try once more."""
        try:
            step.act(self)
        except sj.NotFoundError:  # its name was gone, and only then something failed
            if step is not self.steps[-1]:
                raise

    def _live_with_failed_disk(self) -> None:
        """Reading works, nothing else does; the store can be closed."""
        if self.store.closed:
            return
        contents(self.store)
        for change in (lambda: self.store.btree("new")[1], self.store.sync):
            try:
                change()
            except StoreIOError:
                continue
            raise WrongError("no error after the disk had failed")
        try:
            self.store.close()
        except StoreIOError:
            pass
        else:
            raise WrongError("closed as if all were well")


def contents(store: Any) -> Contents:
    """Everything that is in a store."""
    return {name: dict(store[name].items()) for name in store.roots}


def brief(state: State) -> str:
    """Say what a state is in a few words."""
    if state is None:
        return "no store"
    return ", ".join(f"{name}: {len(items)} items" for name, items in state.items()) or "nothing"


def left_behind(home: Path) -> None:
    """WrongError when descriptors or mappings of the store are there."""
    gc.collect()
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            continue
        if target.startswith((str(home), os.environ["SPACEJMP_SHM"])):
            raise WrongError(f"a descriptor is open: {target}")
    for line in Path("/proc/self/maps").read_text().splitlines():
        if str(home) in line or os.environ["SPACEJMP_SHM"] in line:
            raise WrongError(f"something is mapped: {line}")


# --- what is left ---------------------------------------------------------------------------------


def accept(home: Path) -> None:
    """As `spacejmp check --accept` does."""
    with sj.open("genes", "r", home=home, accept_unclean=True) as store:
        store.check()
    sj.open("genes", "w", home=home, accept_unclean=True).close()


def examine(home: Path, life: Life) -> None:
    """In another child, with nothing failing."""
    possible = life.possible
    faults.faults_arm(0, 0, 0, 0)
    there = "genes" in sj.Catalog(home).names()
    if not there and None not in possible:
        raise WrongError("the store is not there")
    if there and all(state is None for state in possible):
        raise WrongError("the store is there")
    if there:
        try:
            sj.open("genes", "w", home=home).close()
        except sj.UncleanShutdownError as error:
            if "to its disk failed" not in str(error):
                raise
            accept(home)
        with sj.open("genes", "w", home=home) as store:
            if store.check().leaked_blocks != 0:
                raise WrongError("blocks have leaked")
            found = contents(store)
            if found not in possible:
                raise WrongError(f"expected {' or '.join(map(brief, possible))}: {brief(found)}")
            store.btree("another", key="int")[1] = 1
        with sj.open("genes", "r", home=home) as store:
            if contents(store) != {**found, "another": {1: 1}}:
                raise WrongError("it was not what it had just been")
        sj.Catalog(home).remove("genes")
    sj.open("genes", "c", home=home, reserve=GIB).close()
    sj.Catalog(home).remove("genes")
    left = {str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir()}
    left |= set(os.listdir(os.environ["SPACEJMP_SHM"]))
    if left != {"lock/catalog.lock"}:
        raise WrongError(f"left over: {sorted(left)}")


def in_child(action: Callable[[], object]) -> str:
    """Run it; what was wrong with it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        wrong = ""
        try:
            os.close(reader)
            signal.alarm(PATIENCE)
            action()
        except BaseException:
            faults.faults_disarm()
            wrong = traceback.format_exc(limit=-8)
        os.write(writer, wrong[-4000:].encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        wrong = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return wrong or ("" if code == 0 else f"the child ended with {code}")


def run(options: argparse.Namespace, life: Life, fault: Fault, k: int) -> tuple[str, str, bool]:
    """One life: which call failed, what was wrong, whether it was the last."""
    home = life.home = options.folder / str(k)
    life.progress[Life.BEGUN] = life.progress[Life.DONE] = 0
    hits = mmap.mmap(-1, mmap.PAGESIZE)
    mask = sum(1 << KINDS.index(kind) for kind in fault.kinds)

    def live() -> None:
        faults.faults_arm(mask, k, fault.number, options.onwards)
        try:
            life.live(fault, onwards=options.onwards)
        finally:
            name = faults.faults_disarm() or b""
            hits[: len(name)] = name

    wrong = in_child(live)
    hit = hits[:].rstrip(b"\0").decode()
    if k % 2 and options.durability == "power":  # as if the machine had been started again
        for image in Path(os.environ["SPACEJMP_SHM"]).iterdir():
            image.unlink()
    if not wrong:
        wrong = in_child(lambda: examine(home, life))
    shutil.rmtree(home, ignore_errors=True)
    for image in Path(os.environ["SPACEJMP_SHM"]).iterdir():
        image.unlink()
    step = life.progress[Life.BEGUN]
    return hit, wrong and f"k {k}, {hit}, step {step}: {wrong}", not hit


def main() -> int:
    """All lives of one fault."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("memory", type=Path)
    parser.add_argument("fault", choices=FAULTS)
    parser.add_argument("--durability", default="process")
    parser.add_argument("--onwards", action="store_true")
    parser.add_argument("--step", type=int, default=1, help="every so many calls")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    faulthandler.disable()
    os.environ["SPACEJMP_SHM"] = str(options.memory)
    with sj.open("warm", home=options.folder / "warm", reserve=GIB) as store:  # all is imported
        store.btree("t", key="int")[1] = {"a": 1}
        store.check()
    shutil.rmtree(options.folder / "warm")
    folders = [os.fsencode(folder) for folder in (options.folder, options.memory)]
    if not all(map(faults.faults_watch, folders)):
        sys.exit("libspacejmp.so is not loaded")
    life = Life(options.durability)
    gc.freeze()  # what is here is no garbage, and need not be looked at in each child
    hits: Counter[str] = Counter()
    wrongs: list[str] = []
    k, last = options.only or options.first, False
    lives = 0
    while not last and len(wrongs) < 10:
        hit, wrong, last = run(options, life, FAULTS[options.fault], k)
        hits[hit] += 1
        lives += 1
        if wrong:
            wrongs.append(wrong)
        last |= options.only is not None
        k += options.step
    print(json.dumps({"lives": lives, "hits": hits, "wrong": wrongs}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
