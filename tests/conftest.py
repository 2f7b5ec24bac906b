# SPDX-License-Identifier: Apache-2.0
"""What all tests share: homes to work in, and a printed seed."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import spacejmp as sj

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = int(os.environ.get("SPACEJMP_TEST_SEED") or random.SystemRandom().getrandbits(32))


def pytest_report_header() -> str:
    return f"spacejmp: SPACEJMP_TEST_SEED={SEED}"


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers that the printed seed and the test's name decide."""
    print(f"SPACEJMP_TEST_SEED={SEED}")
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture
def home() -> Iterator[Path]:
    """A fresh home in shared memory."""
    yield from _directory("/dev/shm")


@pytest.fixture
def store(home: Path) -> Iterator[sj.Store]:
    """An open store in shared memory."""
    with sj.open("store", home=home, reserve=1 << 30) as opened:
        yield opened


@pytest.fixture
def disk_home() -> Iterator[Path]:
    """A fresh home on an ordinary filesystem."""
    for parent in (tempfile.gettempdir(), "/var/tmp", str(Path.cwd())):
        if os.access(parent, os.W_OK) and _filesystem(parent) not in ("tmpfs", "ramfs"):
            yield from _directory(parent)
            return
    pytest.skip("no ordinary filesystem to write to")


def _directory(parent: str) -> Iterator[Path]:
    path = tempfile.mkdtemp(prefix="spacejmp-test-", dir=parent)
    yield Path(path)
    shutil.rmtree(path, ignore_errors=True)


def _filesystem(path: str) -> str:
    """The type of the filesystem that a path is on."""
    best, kind = "", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, its_kind = line.split()[:3]
        inside = os.path.commonpath([mount, os.path.realpath(path)]) == mount
        if inside and len(mount) >= len(best):
            best, kind = mount, its_kind
    return kind
