# SPDX-License-Identifier: Apache-2.0
"""Faults: what is lost, what is noticed, what dies of it.

Question    A bit flips, the file is cut short, the disk is full, a writer is killed, the power
            fails: is anything lost that was acknowledged, is damage noticed, does the program
            go on?
Workload    Stores of n entries, 62-bit int → up to 200 random bytes. A flip hits a random bit of a
            random page that has something in it; the store was closed in peace. A cut takes away
            half of those pages. A child opens the store, lets it check itself, reads everything.
            The full disk: 64 MiB in a mount namespace of its own; commits of ten values of
            4000 bytes until one fails, then 8 MiB are made free and taken again. Kills: a child
            commits one to four random changes at a time, counts each commit in shared memory once
            it is acknowledged, and is killed after a random number of them, or while it recovers.
            The next child compares all that is there with the commits up to the count; the one in
            flight may be there, whole. "Power" takes the store's image in memory as well; what
            was written to a file and not synced stays, for a program cannot take that away: the
            crash explorer does (docs/reliability.md).
Peers       LMDB as it comes, and with sync=False, writemap=True, which promises as much as
            "process" durability does; it has no check. SQLite in WAL mode, synchronous FULL and
            OFF; its check is PRAGMA integrity_check.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.bench_durability import is_tmpfs
from bench.fault_stores import is_ours
from bench.faults import Kills, cut, fill_disk, flip_bits, kill_again_and_again, on_full_disk
from bench.harness import VerificationError, machine, say
from bench.report import Table, put_into

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BEGIN = "<!-- begin of what `python -m bench.bench_reliability --markdown` printed -->"

TMPFS, DISK = "tmpfs", "disk"
OUTCOMES = ("reported", "silently wrong", "harmless", "strange exception", "signal", "hang")
CUTS = (
    "before it is opened",
    "while open, then read",
    "while open, then written",
    "opened afterwards",
)

CLOSED = ("BTree", "HashMap", "BTree, power", "LMDB", "SQLite, FULL")
CUT = ("BTree", "HashMap", "LMDB", "LMDB, writemap, no sync", "SQLite, FULL")
FULL = (
    ("BTree", "tmpfs"),
    ("BTree", "ext4"),
    ("HashMap", "ext4"),
    ("BTree, power", "ext4"),
    ("LMDB, writemap, no sync", "tmpfs"),
    ("LMDB, writemap, no sync", "ext4"),
    ("LMDB", "ext4"),
    ("SQLite, FULL", "ext4"),
)
KILLED = (
    ("BTree", TMPFS),
    ("BTree", DISK),
    ("HashMap", TMPFS),
    ("HashMap", DISK),
    ("BTree, power", DISK),
    ("LMDB, writemap, no sync", TMPFS),
    ("LMDB", DISK),
    ("SQLite, OFF", TMPFS),
    ("SQLite, FULL", DISK),
)

Figures = dict[str, Any]


# --- the faults ---------------------------------------------------------------------------------


class Run:
    """Directories, and which stores take part."""

    def __init__(self, arguments: argparse.Namespace, disk: Path, memory: Path) -> None:
        self.arguments = arguments
        self._folders = {DISK: disk, TMPFS: memory}
        self.images = memory / "images"
        self.images.mkdir()
        os.environ["SPACEJMP_SHM"] = str(self.images)

    def wants(self, name: str) -> bool:
        """Whether a store takes part."""
        who = self.arguments.who
        return not who or any(name.startswith(word) for word in who)

    def scratch(self, where: str = DISK) -> Path:
        """A new directory there."""
        return Path(tempfile.mkdtemp(dir=self._folders[where]))

    def flips(self) -> Figures:
        """Single bits, in copies of closed stores."""
        found = {}
        for name in filter(self.wants, CLOSED):
            say(f"{name}: {self.arguments.flips} bit flips")
            options = self.arguments
            found[name] = flip_bits(name, self.scratch(), options.n, options.flips, options.seed)
        return found

    def cuts(self) -> Figures:
        """Files cut short."""
        options = self.arguments
        return {
            name: cut(name, self.scratch(), options.n, options.seed)
            for name in filter(self.wants, CUT)
        }

    def full(self) -> list[Figures]:
        """Full disks."""
        found = []
        for name, filesystem in FULL:
            if self.wants(name):
                say(f"{name}: a full {filesystem}")
                told = on_full_disk(name, filesystem, self.scratch())
                found.append({"store": name, "filesystem": filesystem, **told})
        return found

    def kills(self) -> list[Figures]:
        """Kill -9."""
        return [self._kill(*case) for case in KILLED if self.wants(case[0])]

    def losses(self) -> list[Figures]:
        """Kill -9 and the loss of the image."""
        name = "BTree, power"
        return [self._kill(name, DISK, self.images)] if self.wants(name) else []

    def _kill(self, name: str, where: str, images: Path | None = None) -> Figures:
        options = self.arguments
        count = options.losses if images else options.kills
        say(f"{name}, {where}: {count} {'power failures' if images else 'kills'}")
        begun = time.monotonic()
        kills = kill_again_and_again(name, self.scratch(where), count, options.seed, images)
        seconds = time.monotonic() - begun
        return {"store": name, "where": where, "seconds": round(seconds, 1), **asdict(kills)}


FAULTS: dict[str, Callable[[Run], Any]] = {
    "flip": Run.flips,
    "cut": Run.cuts,
    "full": Run.full,
    "kill": Run.kills,
    "power": Run.losses,
}


def bad(figures: Figures) -> list[str]:
    """What must not be, of ours: anything lost, half-done, dead or hanging."""
    found = []
    for name, told in figures.get("flip", {}).items():
        outcomes = told["outcomes"]
        if is_ours(name) and any(outcomes.get(key) for key in OUTCOMES[3:]):
            found.append(f"{name}: a flipped bit: {outcomes}")
    for name, cuts in figures.get("cut", {}).items():
        found += [
            f"{name}: cut {what}: {told}"
            for what, told in cuts.items()
            if is_ours(name) and (told.startswith(("SIG", "silent")) or told == "hang")
        ]
    for told in figures.get("full", []):
        if is_ours(told["store"]) and "impossible" not in told:
            good = (told["full"], told.get("same"), told.get("more"), told["reopened"])
            if good != ("SpaceFullError", "nothing lost", "yes", "nothing lost"):
                found.append(f"{told['store']}: a full {told['filesystem']}: {good}")
    for told in (*figures.get("kill", []), *figures.get("power", [])):
        kills = Kills(**{key: told[key] for key in Kills.__dataclass_fields__})
        if is_ours(told["store"]) and not kills.good:
            found.append(f"{told['store']}, {told['where']}: kills: {kills}")
    return found


# --- tables -------------------------------------------------------------------------------------


def flip_table(figures: Figures) -> Table:
    """What single bits did."""
    table = Table("One bit flipped in a closed store", ["store", "flips", *OUTCOMES])
    for name, told in figures.items():
        outcomes = told["outcomes"]
        counts = [str(outcomes.get(outcome, 0)) for outcome in OUTCOMES]
        table.rows.append([name, str(told["flips"]), *counts])
    return table


def cut_table(figures: Figures) -> Table:
    """What a cut did."""
    table = Table("The file cut short: half of its pages gone", ["store", *CUTS])
    table.rows = [[name, *(told[what] for what in CUTS)] for name, told in figures.items()]
    return table


def full_table(figures: list[Figures]) -> Table:
    """What a full disk did."""
    headers = ["store", "on", "when full", "then read", "8 MiB free: goes on"]
    headers += ["opened with nothing free", "opened with 8 MiB free"]
    table = Table("The disk is full", headers)
    for told in figures:
        if "impossible" in told:
            cells = [f"could not be run here: {told['impossible']}", *["–"] * 4]
        else:
            keys = ("full", "same", "more", "nothing free", "reopened")
            cells = [told.get(key, "–") for key in keys]
        table.rows.append([told["store"], told["filesystem"], *cells])
    return table


def kill_table(title: str, figures: list[Figures]) -> Table:
    """What kills did."""
    headers = ["store", "on", "kills", "in recovery", "commits", "lost", "half-done", "refused"]
    table = Table(title, headers)
    keys = ("kills", "while_recovering", "acknowledged", "lost", "half_done", "refused")
    for told in figures:
        table.rows.append([told["store"], told["where"], *(str(told[key]) for key in keys)])
    return table


def tables(figures: Figures) -> list[Table]:
    """All that was done."""
    power = "Power lost: kill -9, and the image in memory is gone"
    every: dict[str, Callable[[Any], Table]] = {
        "flip": flip_table,
        "cut": cut_table,
        "full": full_table,
        "kill": lambda told: kill_table("A writer ended by kill -9", told),
        "power": lambda told: kill_table(power, told),
    }
    found = [every[key](figures[key]) for key in every if key in figures]
    return [table for table in found if table.rows]


def markdown(figures: Figures) -> str:
    """The tables, and where they were made."""
    about = figures["machine"]
    versions = ", ".join(f"{name} {v}" for name, v in about["versions"].items() if v)
    head = f"Linux {about['kernel']}, {versions}, SQLite {about['sqlite']}; n = {figures['n']}, "
    head += f"seed {figures['seed']}."
    return "\n\n".join([head, *(table.markdown() for table in tables(figures))])


# --- the program --------------------------------------------------------------------------------


def arguments_of(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.bench_reliability",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--n", type=int, default=1500, help="entries (1500)")
    add("--flips", type=int, default=300, help="bit flips, for each store (300)")
    add("--kills", type=int, default=20, help="kills, for each store (20)")
    add("--losses", type=int, default=20, help="simulated power failures (20)")
    add("--long", action="store_true", help="3000 flips, 2000 kills, 500 power failures")
    add("--seed", type=int, default=1)
    add("--only", type=lambda text: text.split(","), default=list(FAULTS), metavar="FAULTS",
        help=f"some faults only, of: {','.join(FAULTS)}")  # fmt: skip
    add("--who", type=lambda text: text.split(","), metavar="STORES",
        help="stores whose names begin so: BTree,LMDB")  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="write all figures there")
    add("--tell", type=Path, nargs="+", metavar="FILE",
        help="tell what earlier runs found; of each fault, what the last one did")  # fmt: skip
    add("--markdown", action="store_true", help="print the tables as Markdown")
    add("--into", type=Path, metavar="DOCUMENT", help="put the tables between its marks")
    add("--directory", default="/var/tmp", help="where files go: no tmpfs (/var/tmp)")
    arguments = parser.parse_args(words)
    if arguments.long:
        arguments.flips, arguments.kills, arguments.losses = 3000, 2000, 500
    if unknown := set(arguments.only) - FAULTS.keys():
        parser.error(f"--only: expected some of {', '.join(FAULTS)}, found {unknown}")
    return arguments


def run(arguments: argparse.Namespace) -> Figures:
    """Do all the faults that are wanted."""
    figures: Figures = {"machine": machine(), "n": arguments.n, "seed": arguments.seed}
    prefix = "spacejmp-faults-"
    with (
        tempfile.TemporaryDirectory(prefix=prefix, dir=arguments.directory) as disk,
        tempfile.TemporaryDirectory(prefix=prefix, dir="/dev/shm") as memory,
    ):
        told = Run(arguments, Path(disk), Path(memory))
        for name, fault in FAULTS.items():
            if name in arguments.only:
                figures[name] = fault(told)
    return figures


def tell(files: Sequence[Path]) -> Figures:
    """What earlier runs found, a later one before an earlier one."""
    figures: Figures = {}
    for file in files:
        figures.update(json.loads(file.read_text(encoding="utf-8")))
    return figures


def main(words: Sequence[str] | None = None) -> int:
    """Do the faults, report; 1 if a store of ours lost something, or died."""
    words = sys.argv[1:] if words is None else words
    if words[:1] == ["--fill-disk"]:
        name, filesystem, scratch = words[1:]
        print(json.dumps(fill_disk(name, filesystem, Path(scratch))))
        return 0
    arguments = arguments_of(words)
    if is_tmpfs(arguments.directory):
        print(f"{arguments.directory} is a tmpfs: name another directory by --directory")
        return 2
    if not arguments.markdown:
        print(__doc__)
        sys.stdout.flush()
    try:
        figures = tell(arguments.tell) if arguments.tell else run(arguments)
    except VerificationError as error:
        print(f"verification failed: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if arguments.into:
        put_into(arguments.into, markdown(figures), BEGIN)
    elif arguments.markdown:
        print(markdown(figures))
    else:
        for table in tables(figures):
            table.print()
    found = bad(figures)
    for line in found:
        print(f"must not be: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
