# SPDX-License-Identifier: Apache-2.0
"""Kill a machine with persistent memory again and again: is what was acknowledged there?

What is proved: stores of domain ``dax`` are mapped with MAP_SYNC on a real DAX filesystem, their
files grow there, and whenever the machine stops, also in recovery, the next boot finds every
acknowledged operation, nothing half-done and no damage (`survivor.c`). What is not: the file
behind the NVDIMM lies in the page cache of the host, which keeps stores in the order of the
program, flushed or not; that nothing is acknowledged before it is flushed is what
``tests/native/test_dax.c`` and the explorer show.

::

    python -m dax.kills --kills 20 --seed 7
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dax.machine import BUILD, HERE, Machine, build_initramfs

ROOT = HERE.parents[1]
LIBRARY = ROOT / "build" / "werror" / "libspacejmp.a"
NATIVE_TESTS = ("entry", "heap", "tx")
SECONDS_MAX = 4.0
FLUSHES = {"mem-ctrl": "lines are flushed", "cpu": "nothing is to be flushed"}


def compile_program(source: Path) -> Path:
    """Link a C program with the core, statically."""
    BUILD.mkdir(parents=True, exist_ok=True)
    target = BUILD / source.stem
    options = ["-static", "-O2", "-D_GNU_SOURCE", "-fno-strict-aliasing", "-Wall", "-Wextra"]
    subprocess.run(
        ["cc", *options, "-Werror", f"-I{ROOT}", source, LIBRARY, "-lpthread", "-o", target],
        check=True,
    )
    return target


def last_acknowledged(path: Path, before: int) -> int:
    """Return the last whole number in the file, or what had been acknowledged before."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return int(lines[-1]) if lines else before


def run_native_tests(folder: Path) -> None:
    """Run tests of the suite on the DAX filesystem, their segments with durability "power"."""
    names = " ".join(f"/programs/test_{name}" for name in NATIVE_TESTS)
    run = (
        "export SJ_TEST_DIRECTORY=/mnt/dax SJ_TEST_POWER=1; "
        f"for t in {names}; do $t || echo FAILED $t; done; echo native tests passed"
    )
    with Machine(folder / "nvdimm", run, folder / "none") as machine:
        machine.wait_for("native tests passed")
    print(f"native tests on MAP_SYNC: {', '.join(NATIVE_TESTS)}: passed", flush=True)


class Survivor:
    """The store in the machine, from boot to boot.

    Parameters
    ----------
    folder : Path
        Where the file behind the NVDIMM is.
    seed : int
        Decides what each operation does.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.seed = seed
        self.acknowledged = -1
        self.boots = 0

    def boot(self, persistence: str, more: int = 0) -> Machine:
        """Boot; the program in it expects `more` operations than were acknowledged."""
        self.boots += 1
        run = f"/programs/survivor /mnt/dax {self.seed} {self.acknowledged + more}"
        return Machine(self.folder / "nvdimm", run, self._acknowledgements, persistence)

    @property
    def _acknowledgements(self) -> Path:
        return self.folder / f"acknowledged-{self.boots}"

    def killed(self, machine: Machine) -> int:
        """Kill the machine; how many operations it had acknowledged."""
        machine.kill()
        before = self.acknowledged
        self.acknowledged = last_acknowledged(self._acknowledgements, before)
        return self.acknowledged - before


def kill_and_verify(survivor: Survivor, kills: int) -> None:
    """Boot, change, kill; then verify once more, and that what is lost would be noticed."""
    rng = random.Random(survivor.seed)
    early = 0
    for number in range(1, kills + 2):
        persistence = rng.choice(tuple(FLUSHES))
        with survivor.boot(persistence) as machine:
            machine.wait_for("init: mounted")
            if 1 < number <= kills and rng.random() < 0.25:
                early += 1
                when = "while it looked at the store"
                time.sleep(rng.uniform(0.0, 0.5))
            else:
                when = "after it had verified the store"
                machine.wait_for(f", {FLUSHES[persistence]}")
                time.sleep(rng.uniform(0.1, SECONDS_MAX) if number <= kills else 0.0)
            news = survivor.killed(machine)
        print(
            f"boot {number} ({persistence}), killed {when}: {news} operations acknowledged, "
            f"{survivor.acknowledged + 1} in all",
            flush=True,
        )
    with survivor.boot("mem-ctrl", more=20) as machine:
        machine.wait_for("FAILED acknowledged changes are lost")
    print(
        f"{kills} kills ({early} of them before the store was verified), "
        f"{survivor.acknowledged + 1} operations acknowledged, 0 lost; with twenty more expected, "
        "the loss is noticed"
    )


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(31))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    tests = [ROOT / "tests" / "native" / f"test_{name}.c" for name in NATIVE_TESTS]
    build_initramfs([compile_program(source) for source in (HERE / "survivor.c", *tests)])
    with tempfile.TemporaryDirectory(prefix="spacejmp-dax-") as folder:
        run_native_tests(Path(folder))
        kill_and_verify(Survivor(Path(folder), options.seed), options.kills)
    return 0


if __name__ == "__main__":
    sys.exit(main())
