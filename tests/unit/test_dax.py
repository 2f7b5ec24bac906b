# SPDX-License-Identifier: Apache-2.0
"""Durability "power" through the dax domain, emulated on tmpfs with the real libpmem2."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import spacejmp as sj
from spacejmp.persistence import pmdk

if TYPE_CHECKING:
    from pathlib import Path

needs_pmdk = pytest.mark.skipif(
    not pmdk.available(), reason="libpmem1 and libpmem2 are not installed: make deps"
)


def run(
    home: Path, code: str, granularity: str | None = "CACHE_LINE", status: int = 0
) -> tuple[str, str]:
    """What a fresh process prints: libpmem2 reads its environment when it is loaded."""
    environment = {name: value for name, value in os.environ.items() if "PMEM" not in name}
    if granularity is not None:
        environment |= {"PMEM2_FORCE_GRANULARITY": granularity, "PMEM_IS_PMEM_FORCE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", f"import spacejmp as sj\nhome = {str(home)!r}\n{code}"],
        env=environment,
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout.strip(), done.stderr


MAKE = """
with sj.open("genes", home=home, durability="power", reserve=1 << 30) as store:
    print(store.domain, store.durability)
    for kind in (store.btree, store.hashmap):
        items = kind(kind.__name__, key="str")
        for i in range(3000):
            items[str(i)] = "x" * (i % 90)
        with store.transaction():
            for i in range(0, 3000, 3):
                del items[str(i)]
"""

READ = """
with sj.open("genes", "r", home=home) as store:
    print(store.domain, store.durability, store.check().items, len(store["btree"]))
"""


@needs_pmdk
@pytest.mark.parametrize("granularity", ["CACHE_LINE", "BYTE"])
def test_power_is_had_on_tmpfs_when_libpmem2_is_told_so(home: Path, granularity: str) -> None:
    assert run(home, MAKE, granularity)[0] == "dax power"
    assert run(home, READ, granularity)[0] == "dax power 4000 2000"
    with pytest.raises(sj.InvalidArgumentError, match="tmpfs"):
        sj.open("genes", "r", home=home)


@pytest.mark.parametrize("granularity", [None, "PAGE"])
def test_power_is_refused_where_the_kernel_does_not_say_so(
    home: Path, granularity: str | None
) -> None:
    if granularity is not None and not pmdk.available():
        pytest.skip("needs libpmem2")
    _, errors = run(home, MAKE, granularity, status=1)
    assert "InvalidArgumentError" in errors
    assert "durability='process'" in errors
    assert sj.Catalog(home).names() == []


@needs_pmdk
def test_a_forced_granularity_does_not_make_an_ordinary_file_dax(disk_home: Path) -> None:
    assert run(disk_home, MAKE)[0] == "wal power"


@needs_pmdk
def test_process_stores_stay_what_they_are(home: Path) -> None:
    code = 'print(sj.open("genes", home=home, reserve=1 << 30).domain)'
    assert run(home, code)[0] == "shm"
    with sj.open("genes", home=home) as store:
        assert store.durability == "process"
    _, errors = run(home, 'sj.open("genes", home=home, durability="power")', status=1)
    assert "made with 'process'" in errors


@needs_pmdk
def test_a_power_store_survives_the_death_of_its_process(home: Path) -> None:
    code = MAKE + (
        "import os, signal\n"
        'with sj.open("genes", home=home) as store:\n'
        '    store["btree"]["acknowledged"] = "x"\n'
        "    with store.transaction():\n"
        '        store["btree"].clear()\n'
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert run(home, code, status=-signal.SIGKILL)
    assert run(home, READ)[0] == "dax power 4001 2001"


@needs_pmdk
def test_the_core_takes_libpmem2_and_gives_it_back(home: Path) -> None:
    code = """
from spacejmp.persistence import pmdk
catalog = sj.Catalog(home)
catalog.create("one", durability="power")
print(catalog.names())
pmdk.use_builtin()
from spacejmp._space import segment_create, segment_inspect
try:
    segment_create(home + "/two.seg", "two", 0x300000000000, 1 << 30, power=True)
except sj.InvalidArgumentError:
    print("refused")
pmdk.use_in_core()
pmdk.use_in_core()
segment_create(home + "/two.seg", "two", 0x300000000000, 1 << 30, power=True)
print(segment_inspect(home + "/two.seg").durability)
"""
    assert run(home, code)[0].split("\n") == ["['one']", "refused", "power"]


@needs_pmdk
def test_an_open_store_can_be_flushed_deeply(home: Path) -> None:
    code = """
import os
from spacejmp.persistence.pmdk import Granularity, Map, Source
with sj.open("genes", home=home, durability="power") as store:
    store.btree("t")["key"] = "value"
    fd = os.open(store.path, os.O_RDWR)
    size = store.stats().file_bytes
    with Source(fd) as source, Map.existing(source, store.base, size, Granularity.CACHE_LINE) as m:
        m.deep_flush()
        print(m.address == store.base, m.granularity.name)
    store.sync()
    print(store["t"]["key"])
"""
    assert run(home, code)[0].split("\n") == ["True CACHE_LINE", "value"]
