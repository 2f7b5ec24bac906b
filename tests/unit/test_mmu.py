# SPDX-License-Identifier: Apache-2.0
"""Machines of the MMU model: page tables against the kernel's, switches, tags, what is refused."""

from __future__ import annotations

import ctypes
import mmap
import re
import threading
from pathlib import Path

import numpy as np
import pytest

from spacejmp.mmu import Machine, presets, systems
from spacejmp.persistence.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    SpaceBusyError,
)

GIB = 1 << 30
BASE = 0x3000_0000_0000


def kernel_table_bytes() -> int:
    """What the kernel counts as page tables of this process, the root apart."""
    match = re.search(r"^VmPTE:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024


@pytest.mark.parametrize("step", [1, 7, 700])
def test_table_bytes_are_the_kernels(step: int) -> None:
    """VmPTE of a mapping of which every n-th page was touched, far from all others."""
    base, pages = 0x5000_0000_0000 + 5 * 4096, 64 * 512
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    fixed = 0x100000  # MAP_FIXED_NOREPLACE
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | fixed
    assert libc.mmap(base, pages * 4096, mmap.PROT_READ, flags, -1, 0) == base
    libc.madvise(base, pages * 4096, mmap.MADV_NOHUGEPAGE)
    before = kernel_table_bytes()
    for page in range(0, pages, step):
        assert ctypes.c_ubyte.from_address(base + page * 4096).value == 0
    found = kernel_table_bytes() - before
    libc.munmap(base, pages * 4096)
    vas = Machine("m3", "bare").vas()
    for page in range(0, pages, step):
        vas.map(base + page * 4096, 4096)
    assert found > 40 * 4096
    assert vas.tables.own_bytes - 4096 == pytest.approx(found, rel=0.02)  # the root is not in it


def test_linking_costs_the_same_whatever_the_size() -> None:
    machine = Machine("m2")
    for number, size in enumerate((1 << 20, GIB, 64 * GIB)):
        base = BASE + number * 512 * GIB
        segment = machine.segment(base, size)
        linked, mapped = machine.vas().link(segment), Machine("m2").vas().map(base, size)
        assert linked.links == 1
        assert linked.entries == 0
        assert linked.tables_made <= 2
        assert mapped.entries == size // 4096
        assert linked.ns < 2100 < mapped.ns


def test_a_segment_counts_once_however_many_link_it() -> None:
    machine = Machine("m3", "bare")
    segment = machine.segment(BASE, GIB)
    before = machine.table_bytes
    vases = [machine.vas() for _ in range(5)]
    for vas in vases:
        vas.link(segment)
    assert before == 513 * 4096
    assert machine.table_bytes == before + 5 * 2 * 4096
    assert vases[0].tables.shared == (512, 1, 0, 0, 0)
    assert vases[0].tables.own == (0, 0, 1, 1, 0)
    vases[0].unlink(segment)
    assert vases[0].tables.bytes == 4096
    assert vases[1].tables.shared == (512, 1, 0, 0, 0)


def test_growth_is_seen_by_all_who_link_the_segment() -> None:
    machine = Machine()
    segment = machine.segment(BASE, 1 << 20, reserve=64 * GIB)
    a, b = machine.vas("a"), machine.vas("b")
    for vas in (a, b):
        vas.link(segment)
    last = [BASE + 3 * GIB - 8]
    b.switch()
    machine.access(last)
    assert b.counters.faults == 1
    assert segment.grow(3 * GIB).entries == (3 * GIB - (1 << 20)) // 4096
    machine.access(last)
    assert b.counters.faults == 1
    a.switch()
    machine.access(last)
    assert a.counters.faults == 0
    with pytest.raises(InvalidArgumentError, match="reserves"):
        segment.grow(segment.reserved + 4096)


def test_growth_beyond_a_table_links_the_next_one() -> None:
    base = BASE + GIB
    machine = Machine("m3", "bare")
    segment = machine.segment(base, 4096, reserve=64 * GIB)
    vas, late = machine.vas(), machine.vas()
    assert vas.link(segment).links == 1
    assert machine.table_bytes == (2 + 1 + 3) * 4096 - 4096  # two roots, and three tables
    work = segment.grow(2 * GIB + 4096)
    assert (work.links, work.entries) == (2, 2 * GIB // 4096)
    late.link(segment)
    for each in (vas, late):
        each.switch()
        machine.access([base + 2 * GIB, base + GIB])
        assert each.counters.faults == 0
    vas.unlink(segment)
    segment.grow(3 * GIB + 4096)
    vas.switch()
    machine.access([base + 3 * GIB])
    assert vas.counters.faults == 1
    late.switch()
    machine.access([base + 3 * GIB])
    assert late.counters.faults == 0


def test_parking_moves_tables_not_pages() -> None:
    machine = Machine("m3", "bare")
    vas, parked = machine.vas(), BASE + 0x3000 * GIB
    vas.map(BASE, 4 * GIB)
    vas.switch()
    machine.access([BASE])
    work = vas.move(BASE, parked, 4 * GIB)
    assert (work.entries, work.links, work.tables_made) == (0, 4, 1)
    machine.access([BASE])
    assert vas.counters.faults == 1
    machine.access([parked, parked + 4 * GIB - 1])
    assert vas.counters.faults == 1


@pytest.mark.parametrize("preset", sorted(presets()))
def test_tags_keep_what_a_flush_forgets(preset: str) -> None:
    walks = {}
    pages = np.arange(BASE, BASE + 32 * 4096, 4096, dtype=np.uint64)
    for tagged in (False, True):
        machine = Machine(preset)
        segment = machine.segment(BASE, 32 * 4096)
        vases = [machine.vas() for _ in range(2)]
        for vas in vases:
            vas.link(segment)
        for _ in range(10):
            for vas in vases:
                vas.switch(vas.number + 1 if tagged else 0)
                machine.access(pages)
        walks[tagged] = vases[0].counters.walks + vases[1].counters.walks
        assert vases[0].switches.tagged == 10 * tagged
        assert vases[0].switches.flushing == 10 * (not tagged)
    assert walks == {False: 2 * 10 * 32, True: 2 * 32}


def test_a_tag_that_is_given_away_is_forgotten() -> None:
    machine = Machine("m3", "bare")
    a, b = machine.vas(), machine.vas()
    a.map(BASE, 4096)
    a.switch(7)
    machine.access([BASE])
    b.switch(7)
    machine.access([BASE])
    assert b.counters.faults == 1
    a.switch(7)
    machine.access([BASE])
    assert a.counters.walks == 2


def test_five_levels_walk_one_entry_more() -> None:
    reads = []
    for levels in (4, 5):
        machine = Machine("m3", "bare", levels=levels)
        vas = machine.vas()
        vas.map(BASE, 4096)
        vas.switch()
        machine.access([BASE])
        reads.append(vas.counters.walk_reads)
    assert reads == [(1, 1, 1, 1, 0), (1, 1, 1, 1, 1)]
    high = 0x00F0_0000_0000_0000
    Machine(levels=5).vas().map(high, 4096)
    with pytest.raises(InvalidArgumentError, match="4 levels"):
        Machine(levels=4).vas().map(high, 4096)


def test_large_pages_need_fewer_walks() -> None:
    rng = np.random.default_rng(5)
    addresses = BASE + rng.integers(0, GIB, 20000, dtype=np.uint64)
    walks = []
    for size in (4096, 2 << 20, 1 << 30):
        machine = Machine("m3")
        vas = machine.vas()
        vas.map(BASE, GIB, size)
        vas.switch()
        machine.access(addresses)
        assert vas.counters.faults == 0
        walks.append(vas.counters.walks)
    assert walks[0] > 19000
    assert walks[1] == 512
    assert walks[2] == 1


def test_counts_do_not_depend_on_how_accesses_are_batched() -> None:
    rng = np.random.default_rng(6)
    addresses = BASE + rng.integers(0, 16 << 20, 3000, dtype=np.uint64)
    found = []
    for batch in (1, 64, 3000):
        machine = Machine("zen4")
        vas = machine.vas()
        vas.map(BASE, 16 << 20)
        vas.switch(1)
        for at in range(0, len(addresses), batch):
            machine.access(addresses[at : at + batch], write=True)
        found.append(vas.counters)
    assert found[0] == found[1] == found[2]
    assert found[0].writes == 3000


def test_a_write_to_what_may_not_be_written_is_a_fault() -> None:
    machine = Machine()
    segment = machine.segment(BASE, 4096)
    vas = machine.vas()
    vas.link(segment, writable=False)
    vas.switch()
    machine.access([BASE], write=True)
    assert vas.counters.faults == 1
    machine.access([BASE])
    assert vas.counters.faults == 1


@pytest.mark.parametrize("system", sorted(systems()))
def test_a_switch_with_a_tag_needs_no_walk(system: str) -> None:
    machine = Machine("m2", system)
    a, b = machine.vas(), machine.vas()
    for vas in (a, b):
        vas.switch(vas.number + 1)
    machine.reset()
    for vas in (a, b, a, b):
        vas.switch(vas.number + 1)
    assert a.switches.walks == 0
    for vas in (a, b, a, b):
        vas.switch(0)
    assert a.switches.walks == 2 * systems()[system].pages


def test_what_makes_no_sense_is_refused() -> None:
    machine = Machine()
    vas = machine.vas()
    with pytest.raises(InvalidArgumentError, match="no VAS is the current one"):
        machine.access([BASE])
    with pytest.raises(InvalidArgumentError, match="preset of m1"):
        Machine("m4")
    with pytest.raises(InvalidArgumentError, match="system of dragonfly"):
        Machine("m3", "plan9")
    with pytest.raises(InvalidArgumentError, match="4 or 5 levels"):
        Machine(levels=3)
    with pytest.raises(InvalidArgumentError, match="page size"):
        vas.map(BASE, 8192, 8192)
    with pytest.raises(InvalidArgumentError, match="whole pages"):
        vas.map(BASE + 1, 4096)
    with pytest.raises(InvalidArgumentError, match="4 levels"):
        vas.map((1 << 47) - 4096, 8192)
    with pytest.raises(InvalidArgumentError, match="tag below 4096"):
        vas.switch(4096)
    with pytest.raises(InvalidArgumentError, match="overlap"):
        vas.move(BASE, BASE + 4096, 8192)
    vas.map(BASE, 2 << 20, 2 << 20)
    with pytest.raises(AlreadyExistsError):
        vas.map(BASE, 4096)
    with pytest.raises(InvalidArgumentError, match="inside of the page"):
        vas.unmap(BASE, 4096)
    with pytest.raises(AlreadyExistsError):
        vas.link(machine.segment(BASE, 4096))


def test_one_thread_at_a_time() -> None:
    machine = Machine()
    vas = machine.vas()
    vas.map(BASE, 64 << 20)
    vas.switch()
    rng = np.random.default_rng(7)
    addresses = BASE + rng.integers(0, 64 << 20, 1_000_000, dtype=np.uint64)
    refused = threading.Event()
    rounds: list[int] = []

    def run() -> None:
        while not refused.is_set() and len(rounds) < 1000:
            machine.access(addresses)
            rounds.append(1)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive() and not refused.is_set():
        try:
            vas.switch()
        except SpaceBusyError:
            refused.set()
    thread.join()
    assert refused.is_set()
    assert vas.counters.accesses == len(rounds) * len(addresses)


def test_a_stream_of_random_pages_misses_as_often_as_it_must() -> None:
    """Uniform accesses to n pages find what fits into the second level: 1024 of m3, 512 of m1."""
    for preset, entries in (("m1", 512), ("m3", 1024)):
        machine = Machine(preset, "bare")
        vas = machine.vas()
        vas.map(BASE, 4096 * 4096)
        vas.switch()
        rng = np.random.default_rng(8)
        addresses = BASE + 4096 * rng.integers(0, 4096, 100_000, dtype=np.uint64)
        machine.access(addresses[:20_000])
        machine.reset()
        machine.access(addresses[20_000:])
        counters = vas.counters
        assert counters.walks / counters.accesses == pytest.approx(1 - entries / 4096, abs=0.01)
