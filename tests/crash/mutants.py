# SPDX-License-Identifier: Apache-2.0
"""The mutation gate: every rule of the core that a crash or damage depends on is broken in turn.

Most mutants are made of the sources: `sites.py` finds each flush, fence, sync, mark and
invalidation, and each condition of a check, and one of them is missing in each mutant.
`mutants.txt` lists what has no such shape: orders and the fields of checksums; and the sites that
no test can tell from what is left, with the reason. A mutant is built in a copy of the tree, only
what it changes, and native tests run on it, the likeliest first, until one fails by its exit code
or a signal. A mutant that survives is a rule that nothing tests, or a line that nothing needs.

    cd tests && python -m crash.mutants [--jobs 2] [--only TEXT] [--list] [--into FILE]
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from crash.sites import find_sites

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("mutants.txt")
WHERE = ROOT / "build" / "mutants"
COPIED = ("persistence", "spacejmp", "structures", "apps", "tests/native")
SECONDS_MAX = {
    "explore": 120,
    "fuzz": 120,
    "sums_crash": 90,
    "wal_crash": 90,
    "wal_kill": 90,
    "btree_crash": 60,
    "catalog_crash": 90,
}
SECONDS_MAX_ELSE = 30
NO_END = "no end"
BEGIN, END = (f"<!-- {edge} of what `make mutants` printed -->" for edge in ("begin", "end"))

Killer = tuple[str, ...]

POWER: Killer = ("explore", "--mode", "power-line", "--cap", "16", "--deep", "1", "--looks", "1")
SHORT: Killer = ("explore", "--cap", "16", "--deep", "1", "--looks", "1")
HEAP: Killer = ("explore", "--world", "heap", "--cap", "64", "--looks", "50", "--random", "12")
GROUP: Killer = ("explore", "--world", "group", "--cap", "64", "--looks", "40")
SEQUENCE = ("--cap", "16", "--deep", "1", "--looks", "4", "--mode", "power-line")
DEQUE: Killer = ("explore", "--world", "deque", *SEQUENCE)
LISTS: Killer = ("explore", "--world", "list", *SEQUENCE)
RECORDS: Killer = ("explore", "--world", "records", *SEQUENCE)
REFERENCES: Killer = ("explore", "--world", "references", *SEQUENCE)
LONG: Killer = ("explore", "--cap", "64", "--looks", "50", "--random", "12")
FUZZ: Killer = ("fuzz", "--images", "4000")
FUZZ_TREES: Killer = ("fuzz", "--images", "4000", "--of", "tree")
FUZZ_MAPS: Killer = ("fuzz", "--images", "4000", "--of", "map")
FUZZ_DEQUES: Killer = ("fuzz", "--images", "3000", "--of", "deque")
FUZZ_LISTS: Killer = ("fuzz", "--images", "3000", "--of", "list")
FUZZ_RECORDS: Killer = ("fuzz", "--images", "3000", "--of", "records")
FUZZ_REFERENCES: Killer = ("fuzz", "--images", "3000", "--of", "references")
FUZZ_LONG: Killer = ("fuzz", "--images", "60000")


def tests(names: str) -> tuple[Killer, ...]:
    """Return killers that are whole tests."""
    return tuple((name,) for name in names.split())


# What may notice a mutant, in the order to try: by a word in the file's name, and whether it is a
# check that is missing.
KILLERS: tuple[tuple[str, bool | None, tuple[Killer, ...]], ...] = (
    ("/lock", None, tests("lock")),
    ("group", None, (*tests("group group_doubt"), GROUP)),
    ("/clone", None, tests("clone private")),
    ("catalog_vas_clone", None, (("catalog_crash", "vas_clone"), *tests("catalog_crash"))),
    ("/segment_move", None, tests("private")),
    ("wal_sums", None, tests("wal_sums sums_crash")),
    ("wal_", True, tests("wal_damage wal_crash wal_sums")),
    ("wal_", None, tests("wal_damage wal_crash wal_log wal_kill syncs wal_sums sums_crash")),
    ("sums", True, tests("sums syncs wal_sums sums_crash segment dax")),
    ("sums", None, (*tests("sums syncs wal_sums sums_crash segment dax"), POWER, HEAP)),
    (
        "superblock",
        None,
        (*tests("damage syncs sums dax wal_sums"), POWER, HEAP, *tests("wal_crash")),
    ),
    ("btree", True, (*tests("tree_damage hostile btree_damage"), FUZZ_TREES, *tests("btree"))),
    ("hashmap", True, (*tests("hashmap_damage hostile"), FUZZ_MAPS, *tests("hashmap"))),
    ("deque", True, (*tests("deque_damage deque"), FUZZ_DEQUES)),
    ("structures/list", True, (*tests("list_damage list"), FUZZ_LISTS)),
    ("btree", None, (POWER, *tests("btree btree_crash"))),
    ("deque", None, (*tests("deque deque_crash"), DEQUE)),
    ("structures/list", None, (*tests("list list_crash"), LISTS)),
    ("queue", None, tests("queue deque")),
    ("hashmap", None, (POWER, *tests("hashmap hashmap_crash"))),
    ("structures/record", True, (*tests("record_damage record_types record"), FUZZ_RECORDS)),
    ("structures/record", None, (*tests("record record_crash"), RECORDS)),
    ("structures/reference", None, tests("structure")),
    ("structures/structure", None, (*tests("structure damage"), REFERENCES)),
    (
        "census",
        None,
        (
            *tests("structure user damage hostile tree_damage hashmap_damage"),
            REFERENCES,
            FUZZ_REFERENCES,
        ),
    ),
    ("collect", None, (*tests("structure"), REFERENCES)),
    (
        "structures",
        None,
        (
            *tests("damage tree_damage hashmap_damage hostile entry btree_damage sums"),
            FUZZ,
            POWER,
            *tests("hashmap_crash"),
        ),
    ),
    (
        "",
        True,
        (
            *tests("damage log_damage segment heap hostile sums tree_damage hashmap_damage syncs"),
            FUZZ,
        ),
    ),
    (
        "",
        None,
        (
            *tests("heap log_damage syncs damage"),
            (*HEAP, "--mode", "power-line"),
            *tests("sums dax"),
            POWER,
            HEAP,
            *tests("tx fences group group_doubt"),
        ),
    ),
)
PROGRAMS = (
    *tests("btree btree_crash btree_damage catalog_crash clone damage dax deque deque_crash"),
    *tests("deque_damage entry explore fences group list list_crash list_damage queue structure"),
    *tests("group_doubt hashmap hashmap_crash hashmap_damage heap hostile lock log_damage private"),
    *tests("record record_crash record_damage record_types"),
    *tests("segment sums sums_crash syncs tree_damage tx user"),
    *tests("wal_crash wal_damage wal_kill wal_sums"),
)


# A killer gets /dev/shm, /tmp, /var/tmp and process numbers of its own: nothing stays behind.
ROOM = """mount -t tmpfs -o size=4g tmpfs /dev/shm && mount -t tmpfs -o size=1g tmpfs /tmp &&
mount --bind "$1" /var/tmp && shift && "$@"
code=$?; exit $code"""


class ListError(Exception):
    """The list does not fit the sources."""


class Change(Protocol):
    """What makes a mutant of a file."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def file(self) -> str:
        """Which file it changes."""

    @property
    def kind(self) -> str:
        """What it takes away."""

    def apply(self, text: str) -> str:
        """Return the file's text with the change made."""


@dataclass(frozen=True)
class Listed:
    """A change of one file that is written down in mutants.txt."""

    name: str
    file: str
    kind: str
    anchor: str  # the old text is the first one behind it
    old: str
    new: str

    def apply(self, text: str) -> str:
        """Return the file's text with the change made."""
        start = text.find(self.anchor)
        if start < 0:
            raise ListError(f"{self.name}: {self.file} does not have `{self.anchor}`")
        at = text.find(self.old, start)
        if at < 0:
            where = f"{self.name}: {self.file}, behind `{self.anchor}`"
            raise ListError(f"{where}, does not have:\n{self.old}")
        if not self.anchor and text.find(self.old, at + 1) >= 0:
            raise ListError(f"{self.name}: say where in {self.file}, which has twice:\n{self.old}")
        return text[:at] + self.new + text[at + len(self.old) :]


@dataclass(frozen=True)
class Spared:
    """Mutants that no test can tell from what is left, and why."""

    patterns: tuple[str, ...]
    reason: str

    def has(self, mutant: Change) -> bool:
        """Whether the mutant is one of them."""
        return any(fnmatch.fnmatchcase(mutant.name, pattern) for pattern in self.patterns)


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant."""

    mutant: Change
    killer: Killer | None  # None when it survived
    seconds: float
    output: str


def read_list() -> tuple[list[Listed], list[Spared]]:
    """Parse mutants.txt, which says how it is written."""
    listed: list[Listed] = []
    spared: list[Spared] = []
    for part in re.split(r"^(?===|--) ?", LIST.read_text(), flags=re.MULTILINE)[1:]:
        lines = [line for line in part.rstrip("\n").split("\n") if not line.startswith("#")]
        if part.startswith("-- "):
            patterns = tuple(
                re.sub(r"[][]", "[\\g<0>]", line[3:]) for line in lines if line.startswith("-- ")
            )
            reason = " ".join(line.strip() for line in lines if not line.startswith("-- "))
            if not spared or spared[-1].reason:
                spared.append(Spared(patterns, reason))
            else:
                spared[-1] = Spared((*spared[-1].patterns, *patterns), reason)
            continue
        head, *lines = lines
        name, file, kind = (word.strip() for word in head[3:].split("|"))
        anchor = "\n".join(line[2:] for line in lines if line.startswith("@ "))
        old = [line[1:] for line in lines if line[:1] in {" ", "-"}]
        new = [line[1:] for line in lines if line[:1] in {" ", "+"}]
        listed.append(Listed(name, file, kind, anchor, "\n".join(old), "\n".join(new)))
    if len({mutant.name for mutant in listed}) != len(listed):
        raise ListError("two mutants have the same name")
    return listed, spared


def killers_of(mutant: Change) -> tuple[Killer, ...]:
    """Return what may notice the mutant."""
    return next(
        killers
        for word, check, killers in KILLERS
        if word in mutant.file and check in {None, mutant.kind == "check"}
    )


class Workshop:
    """A copy of the tree in which one mutant after the other is built."""

    def __init__(self, number: int) -> None:
        self.tree = WHERE / str(number)
        self.build = self.tree / "build"
        self.disk = self.tree / "disk"
        self.trusted: set[Killer] = set()
        if self.tree.exists():
            shutil.rmtree(self.tree)
        skip = shutil.ignore_patterns("*.so", "__pycache__", *COPIED[:1], *COPIED[2:4])
        for folder in COPIED:
            ignore = skip if folder == "spacejmp" else shutil.ignore_patterns("*.so", "__pycache__")
            shutil.copytree(ROOT / folder, self.tree / folder, ignore=ignore)
        for file in ("meson.build", "meson.options"):
            shutil.copy(ROOT / file, self.tree / file)
        options = ("-Dnative_tests=true", "-Dseam=true", "-Doptimization=1", "-Ddebug=false")
        self.call("meson", "setup", str(self.build), str(self.tree), *options)
        self.make("fuzz", *(f"test_{name}" for (name,) in PROGRAMS))

    def call(self, *words: str) -> None:
        """Run a tool that must succeed."""
        tools = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, env=os.environ | tools
        )
        if done.returncode != 0:
            raise ListError(f"{' '.join(words)}:\n{done.stdout}{done.stderr}")

    def make(self, *programs: str) -> None:
        """Build native test programs."""
        targets = [f"tests/native/{program}" for program in programs]
        self.call("ninja", "--quiet", "-j", "1", "-C", str(self.build), *targets)

    def kills(self, killer: Killer) -> str | None:
        """Run a killer: what it prints when it fails, or None.

        From one seed, so that the same tree always comes to the same figures.
        """
        name, *arguments = killer
        if name in {"explore", "fuzz"}:
            arguments = ["--seed", "1", *arguments]
        if name == "fuzz":
            arguments += ["--workers", "1", "--failures", "1"]
        else:
            name = f"test_{name}"
        self.make(name)
        program = str(self.build / "tests" / "native" / name)
        shutil.rmtree(self.disk, ignore_errors=True)
        self.disk.mkdir()
        room = "unshare --map-root-user --mount --pid --fork --kill-child --mount-proc sh -c"
        process = subprocess.Popen(
            (*room.split(), ROOM, "sh", str(self.disk), program, *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=os.environ | {"SJ_SEED": "1"},
        )
        try:
            output, _ = process.communicate(timeout=SECONDS_MAX.get(killer[0], SECONDS_MAX_ELSE))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return NO_END
        return None if process.returncode == 0 else output

    def trust(self, killer: Killer) -> None:
        """See to it that a killer lets the unchanged core live.

        All of a tree below /tmp "killed", for there it is not to be seen (`ROOM`).
        """
        if killer not in self.trusted:
            output = self.kills(killer)
            if output is not None:
                raise ListError(f"{' '.join(killer)} fails on the core as it is:\n{output}")
            self.trusted.add(killer)

    def judge(self, mutant: Change, likely: Killer | None, thorough: bool) -> Verdict:
        """Build the mutant and let the killers at it, the one of last time first."""
        path = self.tree / mutant.file
        whole = path.read_text()
        started = time.monotonic()
        killers = list(killers_of(mutant))
        if thorough and "wal_" not in mutant.file:
            killers += [SHORT, FUZZ_LONG, LONG]
        if likely is not None:
            killers = [likely, *(killer for killer in killers if killer != likely)]
        try:
            path.write_text(mutant.apply(whole))
            for killer in killers:
                output = self.kills(killer)
                if output is not None:
                    path.write_text(whole)
                    if output == NO_END:  # or the machine is slow just now
                        self.trusted.discard(killer)
                    self.trust(killer)
                    return Verdict(mutant, killer, time.monotonic() - started, output)
            return Verdict(mutant, None, time.monotonic() - started, "")
        finally:
            path.write_text(whole)


class Memory:
    """Which killer noticed a mutant last time."""

    FILE = WHERE / "killers.json"

    def __init__(self) -> None:
        try:
            self.killer: dict[str, list[str] | None] = json.loads(self.FILE.read_text())
        except FileNotFoundError:
            self.killer = {}

    def of(self, mutant: Change) -> Killer | None:
        """Return the killer to try first."""
        known = self.killer.get(mutant.name)
        return None if known is None else tuple(known)

    def keep(self, verdict: Verdict) -> None:
        """Remember a verdict, also when the run is broken off."""
        self.killer[verdict.mutant.name] = None if verdict.killer is None else [*verdict.killer]
        self.FILE.parent.mkdir(parents=True, exist_ok=True)
        self.FILE.write_text(json.dumps(self.killer, indent=0) + "\n")


def judge_all(mutants: list[Change], arguments: argparse.Namespace) -> list[Verdict]:
    """Judge the mutants, several at a time."""
    local = threading.local()
    numbers = iter(range(arguments.jobs))
    lock = threading.Lock()
    memory = Memory()

    def judge(mutant: Change) -> Verdict:
        if not hasattr(local, "workshop"):
            with lock:
                number = next(numbers)
            local.workshop = Workshop(number)
        verdict: Verdict = local.workshop.judge(mutant, memory.of(mutant), arguments.thorough)
        with lock:
            memory.keep(verdict)
            killer = "SURVIVED" if verdict.killer is None else " ".join(verdict.killer)
            print(f"{verdict.seconds:6.1f} s  {killer:20} {mutant.name}", flush=True)
            if arguments.verbose:
                print(verdict.output)
        return verdict

    with ThreadPoolExecutor(arguments.jobs) as pool:
        return list(pool.map(judge, mutants))


def markdown(verdicts: list[Verdict], spared: dict[str, list[Change]], seconds: float) -> str:
    """Return what docs/reliability.md says of a run."""
    kinds = ("flush", "fence", "sync", "order", "checksum", "mark", "invalidation", "check")
    made = Counter(verdict.mutant.kind for verdict in verdicts)
    killed = Counter(verdict.mutant.kind for verdict in verdicts if verdict.killer is not None)
    left = Counter(mutant.kind for mutants in spared.values() for mutant in mutants)
    by = Counter(verdict.killer[0] for verdict in verdicts if verdict.killer is not None)
    whole = f"{len(verdicts)} mutants, {killed.total()} killed"
    if seconds > 0:
        whole += f", in {seconds / 60:.0f} minutes"
    survivors = [verdict.mutant.name for verdict in verdicts if verdict.killer is None]
    lines = [
        f"{whole}; {left.total()} more are justified.",
        "",
        "| what is missing | mutants | killed | justified |",
        "| --- | ---: | ---: | ---: |",
        *(f"| {kind} | {made[kind]} | {killed[kind]} | {left[kind]} |" for kind in kinds),
        "",
        "The first to notice: "
        + ", ".join(
            f"{name if name == 'fuzz' else f'test_{name}'} {count}"
            for name, count in by.most_common()
        )
        + ".",
        "",
        "| justified, because | mutants |",
        "| --- | ---: |",
        *(f"| {reason} | {len(mutants)} |" for reason, mutants in spared.items()),
    ]
    if survivors:
        lines += ["", "Not noticed, and not justified:", ""]
        lines += [f"- `{name}`" for name in survivors]
    return "\n".join(lines)


def tell(into: Path, text: str) -> None:
    """Put the text into a document, between the marks."""
    document = into.read_text()
    before, rest = document.split(BEGIN, 1)
    into.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END, 1)[1]}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="mutants whose names have this in them")
    parser.add_argument("--list", action="store_true", help="names alone")
    parser.add_argument("--kind", default="", help="kinds of mutants, with commas; -check: others")
    parser.add_argument("--survivors", action="store_true", help="those that survived last time")
    parser.add_argument("--spared", action="store_true", help="the justified ones, too")
    parser.add_argument("--thorough", action="store_true", help="more of the explorer and fuzzer")
    parser.add_argument("--into", type=Path, help="a document that gets the figures")
    parser.add_argument("--verbose", action="store_true", help="print what the killers said")
    return parser.parse_args()


def choose(arguments: argparse.Namespace) -> tuple[list[Change], dict[str, list[Change]]]:
    """Return the mutants that are asked for, and those that are justified, by reason."""
    listed, groups = read_list()
    spared: dict[str, list[Change]] = {group.reason: [] for group in groups}
    mutants: list[Change] = []
    everything: list[Change] = [*find_sites(ROOT), *listed]
    for mutant in everything:
        reason = next((group.reason for group in groups if group.has(mutant)), None)
        if reason is not None:
            spared[reason].append(mutant)
        if reason is None or arguments.spared:
            mutants.append(mutant)
    for reason, found in spared.items():
        if not found:
            raise ListError(f"nothing is there any more for: {reason}")
    for mutant in mutants:
        mutant.apply((ROOT / mutant.file).read_text())
    mutants = [mutant for mutant in mutants if arguments.only in mutant.name]
    if arguments.kind:
        others, kinds = arguments.kind.startswith("-"), arguments.kind.lstrip("-").split(",")
        mutants = [mutant for mutant in mutants if (mutant.kind in kinds) != others]
    if arguments.survivors:
        memory = Memory()
        mutants = [mutant for mutant in mutants if memory.of(mutant) is None]
    return mutants, spared


def main() -> int:
    """Judge all mutants, or some."""
    arguments = parse()
    mutants, spared = choose(arguments)
    if arguments.list:
        for mutant in mutants:
            print(f"{mutant.kind:13} {mutant.name}")
        return 0
    started = time.monotonic()
    verdicts = judge_all(mutants, arguments)
    spent = time.monotonic() - started
    survivors = [verdict.mutant.name for verdict in verdicts if verdict.killer is None]
    print(f"{len(verdicts)} mutants, {len(verdicts) - len(survivors)} killed, {spent:.0f} s")
    for name in survivors:
        print(f"survived: {name}")
    if arguments.into is not None:
        tell(arguments.into, markdown(verdicts, spared, spent))
    return 1 if survivors or not verdicts else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ListError as error:
        sys.exit(f"mutants: {error}")
