# SPDX-License-Identifier: Apache-2.0
"""The mutation gate: every rule of the core that a crash depends on is broken in turn.

`mutants.txt` lists the mutants: each takes a flush, a fence, an ordering, a field of a checksum, a
check or an invalidation away from the C core. A mutant is built in a copy of the tree, and the
crash explorer and the native tests run on it: one of them must fail, by its exit code or a signal.
A mutant that survives is a rule that nothing tests, or a line that nothing needs.

    python tests/crash/mutants.py [--jobs 2] [--only NAME] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("mutants.txt")
COPIED = ("persistence", "spacejmp", "structures", "apps", "tests/native")
EXPLORER = ("test_explore", "--seed", "1", "--cap", "64", "--looks", "50", "--random", "12")
EVERYTHING = (("explore",), ("test", "tx"), ("test", "heap"), ("test", "log_damage"))
SECONDS_MAX = 240


class ListError(Exception):
    """The list does not fit the sources."""


@dataclass(frozen=True)
class Mutant:
    """One change of one file, and what is expected to notice it."""

    name: str
    file: str
    killers: tuple[tuple[str, ...], ...]
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
class Verdict:
    """What became of a mutant."""

    mutant: Mutant
    killer: str  # "" when it survived
    seconds: float
    output: str


def read_list() -> list[Mutant]:
    """Parse mutants.txt, which says how it is written."""
    mutants = []
    for part in re.split(r"^== ", LIST.read_text(), flags=re.MULTILINE)[1:]:
        head, *lines = part.rstrip("\n").split("\n")
        name, file, *killers = (word.strip() for word in head.split("|"))
        anchor = "\n".join(line[2:] for line in lines if line.startswith("@ "))
        old = [line[1:] for line in lines if line[:1] in {" ", "-"}]
        new = [line[1:] for line in lines if line[:1] in {" ", "+"}]
        mutants.append(
            Mutant(
                name,
                file,
                tuple(tuple(killer.split()) for killer in killers),
                anchor,
                "\n".join(old),
                "\n".join(new),
            )
        )
    names = [mutant.name for mutant in mutants]
    if len(set(names)) != len(names):
        raise ListError("two mutants have the same name")
    return mutants


class Workshop:
    """A copy of the tree in which one mutant after the other is built."""

    def __init__(self, number: int) -> None:
        self.tree = ROOT / "build" / "mutants" / str(number)
        self.build = self.tree / "build"
        if self.tree.exists():
            shutil.rmtree(self.tree)
        skip = shutil.ignore_patterns("*.so", "__pycache__", *COPIED[:1], *COPIED[2:4])
        for folder in COPIED:
            ignore = skip if folder == "spacejmp" else shutil.ignore_patterns("*.so", "__pycache__")
            shutil.copytree(ROOT / folder, self.tree / folder, ignore=ignore)
        for file in ("meson.build", "meson.options"):
            shutil.copy(ROOT / file, self.tree / file)
        options = ("-Dnative_tests=true", "-Dseam=true", "-Doptimization=2", "-Ddebug=false")
        self.call("meson", "setup", str(self.build), str(self.tree), *options)
        self.make("test_explore", *(f"test_{name}" for _, name in EVERYTHING[1:]))

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

    def kills(self, killer: tuple[str, ...]) -> str | None:
        """Run a killer: what it prints when it fails, or None."""
        if killer[0] == "test":
            command: tuple[str, ...] = (f"test_{killer[1]}",)
        else:
            command = (*EXPLORER, *killer[1:])
        self.make(command[0])
        program = str(self.build / "tests" / "native" / command[0])
        try:
            done = subprocess.run(
                (program, *command[1:]),
                capture_output=True,
                text=True,
                check=False,
                errors="replace",
                timeout=SECONDS_MAX,
            )
        except subprocess.TimeoutExpired:
            return "no end"
        return None if done.returncode == 0 else done.stdout + done.stderr

    def judge(self, mutant: Mutant) -> Verdict:
        """Build the mutant and let the killers at it, the expected ones first."""
        path = self.tree / mutant.file
        whole = path.read_text()
        started = time.monotonic()
        try:
            path.write_text(mutant.apply(whole))
            for killer in (*mutant.killers, *EVERYTHING):
                output = self.kills(killer)
                if output is not None:
                    return Verdict(mutant, " ".join(killer), time.monotonic() - started, output)
            return Verdict(mutant, "", time.monotonic() - started, "")
        finally:
            path.write_text(whole)


def judge_all(mutants: list[Mutant], jobs: int, verbose: bool) -> list[Verdict]:
    """Judge the mutants, several at a time."""
    local = threading.local()
    numbers = iter(range(jobs))
    lock = threading.Lock()

    def judge(mutant: Mutant) -> Verdict:
        if not hasattr(local, "workshop"):
            with lock:
                number = next(numbers)
            local.workshop = Workshop(number)
        verdict: Verdict = local.workshop.judge(mutant)
        with lock:
            killer = verdict.killer or "SURVIVED"
            print(f"{verdict.seconds:6.1f} s  {mutant.name:34} {killer}", flush=True)
            if verbose:
                print(verdict.output)
        return verdict

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(judge, mutants))


def main() -> int:
    """Judge all mutants, or some."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="mutants whose names have this in them")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--verbose", action="store_true", help="print what the killers said")
    arguments = parser.parse_args()
    mutants = [mutant for mutant in read_list() if arguments.only in mutant.name]
    for mutant in mutants:
        mutant.apply((ROOT / mutant.file).read_text())
    started = time.monotonic()
    verdicts = judge_all(mutants, arguments.jobs, arguments.verbose)
    spent = time.monotonic() - started
    survivors = [verdict.mutant.name for verdict in verdicts if not verdict.killer]
    print(f"{len(verdicts)} mutants, {len(verdicts) - len(survivors)} killed, {spent:.0f} s")
    for name in survivors:
        print(f"survived: {name}")
    if arguments.json:
        table: dict[str, Any] = {verdict.mutant.name: verdict.killer for verdict in verdicts}
        arguments.json.write_text(json.dumps({"seconds": round(spent), "killed_by": table}) + "\n")
    return 1 if survivors or not verdicts else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ListError as error:
        sys.exit(f"mutants: {error}")
