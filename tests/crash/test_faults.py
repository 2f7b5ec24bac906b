# SPDX-License-Identifier: Apache-2.0
"""Every system call of a store's life fails once, or it and all that follow: `fault_runs.py`.

In memory (domain `shm`) each call in turn; on a disk (`file`, `wal`) some, which the seed
chooses, or all with SPACEJMP_TEST_FAULTS=all (some minutes).

What this has found, and would again: a store that was closed with checksums of which some were
missing, when reading the superblock failed; a lock file that outlived its store; "960 threads use
the store" for a lock that the kernel refused; a store that seemed to be of another boot, because
its process had no descriptor left; a crash when a store with a log could not be mapped; reads that
were interrupted or short, taken for damage; an image in memory that nobody could find any more.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import random

HERE = Path(__file__).resolve().parent
PATIENCE = 1800
"""Seconds of all lives of a fault, until they count as hanging."""


@pytest.fixture(scope="module")
def injector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that lets calls fail."""
    compiler = shutil.which("cc")
    if compiler is None or os.confstr("CS_GNU_LIBC_VERSION") is None:
        pytest.skip("needs a C compiler, and glibc")
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    flags = ("-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror")
    subprocess.run([compiler, *flags, "-o", library, HERE / "faults.c", "-ldl"], check=True)
    return library


def lives(injector: Path, folder: Path, memory: Path, *options: str) -> dict[str, int]:
    """Run them; which calls failed how often."""
    environment = {**os.environ, "LD_PRELOAD": str(injector), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(HERE / "fault_runs.py"), str(folder), str(memory), *options]
    done = subprocess.run(
        command,
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert not found["wrong"], f"{' '.join(options)}\n" + "\n".join(found["wrong"])
    hits: dict[str, int] = found["hits"]
    return hits


@pytest.fixture
def memory(home: Path) -> Path:
    """Where working images go."""
    path = home / "images"
    path.mkdir()
    return path


def some(rng: random.Random, step: int) -> list[str]:
    """One call of so many, or all."""
    if os.environ.get("SPACEJMP_TEST_FAULTS") == "all":
        return []
    return ["--step", str(step), "--first", str(rng.randint(1, step))]


@pytest.mark.parametrize(
    ("fault", "calls"),
    [
        ("io", {"open64", "pread64", "fsync", "fstat", "fcntl", "flock", "mkdir"}),
        ("full", {"open64", "fallocate", "pwrite64", "mkdir", "linkat", "rename"}),
        ("memory", {"mmap", "calloc"}),
        ("descriptors", {"open64", "opendir"}),
        ("signals", {"pread64", "pwrite64"}),
        ("short", {"pread64", "pwrite64"}),
    ],
)
def test_each_call_of_a_store_in_memory_may_fail(
    injector: Path, home: Path, memory: Path, rng: random.Random, fault: str, calls: set[str]
) -> None:
    step = 2 if fault in ("signals", "short") else 1  # alike
    hits = lives(injector, home, memory, fault, *some(rng, step))
    assert calls <= hits.keys()


@pytest.mark.parametrize("fault", ["io", "full", "memory", "descriptors"])
def test_all_calls_of_a_store_in_memory_may_fail_from_one_on(
    injector: Path, home: Path, memory: Path, rng: random.Random, fault: str
) -> None:
    lives(injector, home, memory, fault, "--onwards", *some(rng, 6))


@pytest.mark.parametrize("onwards", [(), ("--onwards",)])
@pytest.mark.parametrize("fault", ["io", "full"])
def test_calls_of_a_store_on_a_disk_may_fail(
    injector: Path,
    disk_home: Path,
    memory: Path,
    rng: random.Random,
    fault: str,
    onwards: tuple[str, ...],
) -> None:
    lives(injector, disk_home, memory, fault, *onwards, *some(rng, 12))


@pytest.mark.parametrize("onwards", [(), ("--onwards",)])
@pytest.mark.parametrize(
    ("fault", "step"), [("io", 40), ("full", 20), ("memory", 8), ("signals", 60), ("short", 60)]
)
def test_calls_of_a_store_with_a_log_may_fail(
    injector: Path,
    disk_home: Path,
    memory: Path,
    rng: random.Random,
    fault: str,
    step: int,
    onwards: tuple[str, ...],
) -> None:
    if onwards and fault in ("signals", "short"):
        pytest.skip("would be tried for ever")
    lives(injector, disk_home, memory, fault, "--durability", "power", *onwards, *some(rng, step))
