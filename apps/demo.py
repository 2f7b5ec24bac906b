# SPDX-License-Identifier: Apache-2.0
"""The demo: a B-tree that outlives its processes, one of them killed in the midst of a change.

It runs in five processes that share nothing but the store (`spacejmp.apps.demo_worker`):

1. One inserts named characters of Unicode and acknowledges them, until it is killed with SIGKILL
   inside a transaction.
2. One opens the store after that, compares every entry with the source, and loads the rest.
3. One opens it after a clean close, and asks for ranges, neighbours and counts.
4. Two have the tree at the same address; one writes, the other reads.

Every promise on the way is checked; when one does not hold, the exit code is 3.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

import spacejmp as sj
from spacejmp.apps import report
from spacejmp.apps.demo_child import Child
from spacejmp.apps.demo_names import STORE, TREE, UNICODE
from spacejmp.apps.demo_report import Quiet, Show
from spacejmp.apps.exits import Code, CommandError, tell
from spacejmp.apps.interrupts import signals_unwind

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["run"]

SINGLY = 2_000
BATCH = 5_000
STOP = SINGLY + 18 * BATCH
CHANGES = 3_000
SHM = "/dev/shm"
SHM_FREE_MIN = 256 << 20


def run(home: str | None = None, seconds: float = 1.5, as_json: bool = False) -> int:
    """Run the demo.

    Parameters
    ----------
    home : str, optional
        Where the store is made, and left; else a temporary directory, in memory if possible.
    seconds : float
        How long two processes share the tree.
    as_json : bool
        Print all figures as JSON, and nothing else.

    Returns
    -------
    int
        The exit code: 0 when all promises held, else 3.

    Raises
    ------
    CommandError
        A process of the demo failed, or `home` has a store of that name already.
    """
    begun = perf_counter()
    with _home_at(home) as place:
        demo = _Demo(place, Quiet() if as_json else Show(), seconds)
        demo.play()
        figures = demo.figures
        figures["kept"] = home is not None
        figures["seconds"] = perf_counter() - begun
    broken = [promise["promise"] for promise in figures["promises"] if not promise["held"]]
    figures["ok"] = not broken
    if as_json:
        report.emit_json(figures)
    else:
        held = len(figures["promises"]) - len(broken)
        text = f"{held} of {len(figures['promises'])} promises held, in {figures['seconds']:.1f} s"
        if home is not None:
            text += f"; the store stays: spacejmp --home {place} info {STORE}"
        demo.show.end(text, not broken)
    for text in broken:
        tell(f"demo: this does not hold: {text}")
    return int(Code.DAMAGED if broken else Code.OK)


@contextmanager
def _home_at(home: str | None) -> Iterator[str]:
    """Give the home to work in; a temporary one goes at the end."""
    if home is not None:
        place = sj.Catalog(home).home
        if STORE in sj.Catalog(place).names():
            raise CommandError(
                f"demo: expected no store {STORE!r} in {place!r}, found one; choose another home, "
                f"or remove it: spacejmp --home {place} rm {STORE}"
            )
        yield place
        return
    with signals_unwind():
        place = tempfile.mkdtemp(prefix="spacejmp-demo-", dir=_memory())
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _memory() -> str | None:
    """Find a directory in memory with room; None: there is none."""
    try:
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            if not any(line.split()[1:3] == [SHM, "tmpfs"] for line in mounts):
                return None
        room = os.statvfs(SHM)
    except OSError:
        return None
    usable = os.access(SHM, os.W_OK | os.X_OK) and room.f_bavail * room.f_frsize >= SHM_FREE_MIN
    return SHM if usable else None


def _milliseconds(value: float) -> str:
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"


def _rate(number: int, seconds: float) -> float:
    return number / seconds if seconds > 0 else 0.0


class _Demo:
    """The parts, in order; each adds to `figures` what it found."""

    def __init__(self, home: str, show: Show, seconds: float) -> None:
        self.home = home
        self.show = show
        self.seconds = seconds
        self.figures: dict[str, Any] = {
            "home": home,
            "store": STORE,
            "tree": TREE,
            "unicode": UNICODE,
            "promises": [],
        }

    def play(self) -> None:
        """Play all parts."""
        self.show.title(
            f"{STORE}/{TREE}: a B-tree of every named character of Unicode {UNICODE}",
            f"home {self.home}",
        )
        self.build()
        self.recover()
        self.query()
        self.share()

    def promise(self, text: str, held: bool, figure: str = "") -> None:
        """Note a promise, and whether it holds."""
        self.figures["promises"].append({"promise": text, "held": held})
        self.show.promise(text, held, figure)

    def build(self) -> None:
        """Write, and die inside a transaction."""
        show = self.show
        show.part(1, "A process inserts entries, and is killed inside a transaction")
        job = {"singly": SINGLY, "batch": BATCH, "stop": STOP, "changes": CHANGES}
        acknowledged = 0
        with Child("build", home=self.home, **job) as child:
            opened = child.expect("opened")
            self.figures["base"], self.figures["domain"] = opened["base"], opened["domain"]
            while (event := child.hear())["event"] == "committed":
                acknowledged = event["entries"]
            singly = _rate(SINGLY, event["singly_seconds"])
            batches = _rate(STOP - SINGLY, event["batches_seconds"])
            show.line(
                f"process {child.pid} inserts {SINGLY:,} entries one by one, acknowledging each",
                f"{singly:,.0f}/s",
            )
            show.line(f"then {STOP - SINGLY:,} in transactions of {BATCH:,}", f"{batches:,.0f}/s")
            changed = child.expect("open")["changed"]
            ended = child.kill()
            show.line(
                f"then overwrites, deletes and adds {changed:,} each, but gets to no commit",
                "kill -9",
            )
        self.figures["build"] = {
            "pid": child.pid,
            "inserted_singly": SINGLY,
            "singly_per_second": singly,
            "inserted_in_transactions": STOP - SINGLY,
            "in_transactions_per_second": batches,
            "acknowledged": acknowledged,
            "uncommitted_changes": 3 * changed,
            "exit_code": ended,
        }
        self.promise("the process died of SIGKILL, its transaction open", ended == -9)

    def recover(self) -> None:
        """Open after the kill, compare, finish."""
        show = self.show
        show.part(2, "Another process opens the store by name, and finds it as acknowledged")
        acknowledged = self.figures["build"]["acknowledged"]
        with Child("recover", home=self.home, acknowledged=acknowledged, batch=BATCH) as child:
            opened = child.expect("opened")
            show.line(
                f"process {child.pid} opens it, undoes the open transaction, gets its first value",
                _milliseconds(opened["total_ms"]),
            )
            found = child.expect("compared")
            lost = found["missing"] + found["different"]
            self.promise(
                f"all {acknowledged:,} acknowledged entries are there, with their values",
                lost == 0 and found["items"] == acknowledged,
            )
            self.promise(
                "nothing of the open transaction is", lost == 0 and found["uncommitted"] == 0
            )
            check = found["check"]
            self.promise(
                f"the check of all {check['blocks']:,} blocks, "
                f"{report.human_bytes(check['bytes'])}, finds them whole",
                check["items"] == acknowledged,
                _milliseconds(check["ms"]),
            )
            finished = child.expect("finished")
        rate = _rate(finished["loaded"], finished["seconds"])
        show.line(f"it loads the other {finished['loaded']:,} entries", f"{rate:,.0f}/s")
        self.figures["entries"] = finished["items"]
        self.figures["recover"] = {
            "pid": child.pid,
            **{name: opened[name] for name in ("open_ms", "first_get_us", "total_ms")},
            **{name: found[name] for name in ("missing", "different", "uncommitted", "check")},
            "loaded": finished["loaded"],
            "loaded_per_second": rate,
        }

    def query(self) -> None:
        """Open after a clean close; look around."""
        show = self.show
        show.part(3, "A third one opens it after a clean close, and looks around")
        entries = self.figures["entries"]
        answers = []
        with Child("query", home=self.home) as child:
            opened = child.expect("opened")
            show.line(
                f"process {child.pid} opens it and gets its first value out of {entries:,}",
                _milliseconds(opened["total_ms"]),
            )
            found = child.expect("compared")
            self.promise(
                f"all {entries:,} names are there, in order",
                found["ordered"] and found["items"] == entries,
            )
            for _ in range(4):
                answer = child.expect("answer")
                answers.append({name: answer[name] for name in ("question", "answer", "us")})
                show.line(
                    f"[dim]{answer['question']}[/]\n{answer['answer']}", f"{answer['us']:.0f} µs"
                )
        self.figures["query"] = {
            "pid": child.pid,
            **{name: opened[name] for name in ("open_ms", "first_get_us", "total_ms")},
            "answers": answers,
        }

    def share(self) -> None:
        """Two processes, one tree."""
        show = self.show
        show.part(4, "Two processes have the tree at once: one writes, the other reads")
        job = {"home": self.home, "seconds": self.seconds, "seed": 2016}
        with Child("write", **job) as writer:
            bases = [writer.expect("ready")["base"]]  # it has given out the credit
            with Child("read", **job) as reader:
                bases.append(reader.expect("ready")["base"])
                for child in (writer, reader):
                    child.tell("go")
                wrote, saw = writer.expect("done"), reader.expect("done")
        commits = _rate(wrote["transactions"], wrote["seconds"])
        gets = _rate(saw["gets"], saw["seconds"])
        show.line(
            f"process {writer.pid} at {report.address(bases[0])} writes: "
            f"{wrote['transactions']:,} transactions",
            f"{commits:,.0f}/s",
        )
        show.line(
            f"process {reader.pid} at {report.address(bases[1])} reads: "
            f"{saw['gets']:,} values, {saw['holds']:,} holds",
            f"{gets:,.0f}/s",
        )
        self.promise("the tree has the same address in both", len(set(bases)) == 1)
        self.promise(
            f"the reader saw {saw['changes']:,} changes while they were made", saw["changes"] > 0
        )
        self.promise(
            f"what is moved from entry to entry adds up in each of the {saw['holds']:,} holds",
            saw["broken"] == 0,
        )
        self.figures["share"] = {
            "writer": {
                "pid": writer.pid,
                "base": bases[0],
                "transactions": wrote["transactions"],
                "transactions_per_second": commits,
                "writes": 2 * wrote["transactions"],
            },
            "reader": {
                "pid": reader.pid,
                "base": bases[1],
                "holds": saw["holds"],
                "reads": saw["gets"],
                "reads_per_second": gets,
                "changes_seen": saw["changes"],
                "wrong_sums": saw["broken"],
            },
        }


if __name__ == "__main__":
    from spacejmp.apps.cli import app

    app(["demo", *sys.argv[1:]], prog_name="spacejmp")
