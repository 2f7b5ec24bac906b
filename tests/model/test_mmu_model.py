# SPDX-License-Identifier: Apache-2.0
"""The MMU model against naive ones: page tables as a dict of pages, a TLB as lists."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from spacejmp.mmu import PAGE_SIZES, Machine, Vas, presets
from spacejmp.persistence.errors import AlreadyExistsError, InvalidArgumentError

GIB = 1 << 30
MIB2 = 2 << 20
BASE = 0x3000_0000_0000 + GIB - 4 * MIB2
"""Beside a border of tables of level 2."""


# --- page tables --------------------------------------------------------------------------------


class Pages:
    """A dict of pages: address to size."""

    def __init__(self) -> None:
        self.pages: dict[int, int] = {}

    def size_at(self, address: int) -> int:
        """The size of the page that maps the address; 0: none."""
        for size in PAGE_SIZES:
            if self.pages.get(address & -size) == size:
                return size
        return 0

    def tables(self) -> list[int]:
        """How many tables the pages need, by level from 1, the root apart."""
        needed = []
        for level in (1, 2, 3):
            span = 1 << (12 + 9 * level)
            needed.append(
                len({at // span for at, size in self.pages.items() if PAGE_SIZES[size] <= level})
            )
        return needed


def places(unit: int, window: int) -> st.SearchStrategy[int]:
    return st.integers(0, window // unit - 1).map(lambda index: BASE + index * unit)


operations = st.lists(
    st.one_of(
        st.tuples(st.just("map"), st.just(4096), places(4096, 8 * MIB2), st.integers(1, 1500)),
        st.tuples(st.just("map"), st.just(MIB2), places(MIB2, 8 * MIB2), st.integers(1, 3)),
        st.tuples(st.just("unmap"), st.just(4096), places(4096, 8 * MIB2), st.integers(1, 1500)),
        st.tuples(st.just("unmap"), st.just(MIB2), places(MIB2, 8 * MIB2), st.integers(1, 8)),
        st.tuples(st.just("move"), st.just(4096), places(4096, 8 * MIB2), st.integers(1, 1500)),
        st.tuples(st.just("move"), st.just(MIB2), places(MIB2, 8 * MIB2), st.integers(1, 8)),
    ),
    max_size=25,
)


def map_in(model: Pages, start: int, size: int, unit: int) -> type | None:
    """Map in the dict; the exception that it is. What comes before that is mapped."""
    for at in range(start, start + size, unit):
        inside = any(at <= page < at + unit for page in model.pages) if unit > 4096 else False
        if model.size_at(at) not in (0, unit) or (inside and model.size_at(at) == 0):
            return AlreadyExistsError
        model.pages[at] = unit
    return None


def unmap_in(model: Pages, start: int, end: int) -> type | None:
    for page, large in sorted(model.pages.items()):
        if page + large > start and page < end:
            if page < start or page + large > end:
                return InvalidArgumentError
            del model.pages[page]
    return None


def move_in(model: Pages, start: int, size: int, to: int) -> set[type | None]:
    moved = {}
    refused: set[type | None] = set()
    for page, large in model.pages.items():
        if page + large > to and page < to + size:
            refused.add(AlreadyExistsError)
        if page + large > start and page < start + size:
            if page < start or page + large > start + size or (to - start) % large:
                refused.add(InvalidArgumentError)
            moved[page] = large
    if not refused:
        for page in moved:
            model.pages[page - start + to] = model.pages.pop(page)
    return refused or {None}


def apply(model: Pages, name: str, start: int, size: int, unit: int, to: int) -> set[type | None]:
    """Do it to the dict; as what it may end."""
    if name == "map":
        return {map_in(model, start, size, unit)}
    if name == "unmap":
        return {unmap_in(model, start, start + size)}
    return move_in(model, start, size, to)


def do(vas: Vas, name: str, start: int, size: int, unit: int, to: int) -> type | None:
    try:
        if name == "map":
            vas.map(start, size, unit)
        elif name == "unmap":
            vas.unmap(start, size)
        else:
            vas.move(start, to, size)
    except (AlreadyExistsError, InvalidArgumentError) as error:
        return type(error)
    return None


@settings(max_examples=60, deadline=None)
@given(operations, st.sampled_from((4, 5)))
def test_page_tables_are_as_their_dict_of_pages(
    steps: list[tuple[str, int, int, int]], levels: int
) -> None:
    machine = Machine("m3", "bare", levels=levels)
    vas = machine.vas()
    model = Pages()
    away = BASE + (1 << 40)
    for name, unit, start, count in steps:
        size = min(count * unit, BASE + 8 * MIB2 - start)
        to = start + (1 << 40)
        wanted = apply(model, name, start, size, unit, to)
        assert do(vas, name, start, size, unit, to) in wanted, (name, unit, hex(start), size)
        own = vas.tables.own
        assert list(own[:3]) == model.tables()
        assert own[levels - 1] == 1
        assert machine.tables == own
    vas.switch()
    for address in (*range(BASE, BASE + 8 * MIB2, 250 * 4096), *range(away, away + 99999, 4096)):
        before = vas.counters.faults
        machine.access(address)
        assert vas.counters.faults - before == (model.size_at(address) == 0)


# --- TLB ----------------------------------------------------------------------------------------


class Lists:
    """A cache: for each set a list, newest first."""

    def __init__(self, entries: int, ways: int) -> None:
        self.ways = ways
        self.sets: list[list[Any]] = [[] for _ in range(entries // ways if ways else 0)]

    def use(self, number: int, key: Any) -> bool:
        """Whether it was there; then it is the newest."""
        if not self.sets:
            return False
        line = self.sets[number % len(self.sets)]
        if key not in line:
            return False
        line.remove(key)
        line.insert(0, key)
        return True

    def enter(self, number: int, key: Any) -> None:
        if self.sets:
            line = self.sets[number % len(self.sets)]
            line.insert(0, key)
            del line[self.ways :]

    def drop(self, tag: int) -> None:
        for line in self.sets:
            line[:] = [key for key in line if key[-1] != tag]


class NaiveTlb:
    """What tlb.h says, in lists."""

    def __init__(self, preset: str) -> None:
        spec = presets()[preset]
        self.first = [Lists(*shape) for shape in spec.first]
        self.second = [(Lists(entries, ways), sizes) for entries, ways, sizes in spec.second]
        self.walk = [Lists(*shape) for shape in spec.walk]
        self.counts = {"first": 0, "second": 0, "walks": 0}
        self.reads = [0] * 5

    def caches_of(self, level: int) -> list[Lists]:
        first = self.first[0 if len(self.first) == 1 else level - 1]
        second = [lists for lists, sizes in self.second if sizes >> (level - 1) & 1]
        return [first, *second[:1]]

    def access(self, address: int, level: int, tag: int) -> None:
        number = address >> (3 + 9 * level)
        caches = self.caches_of(level)
        key = (level, number, tag)
        if caches[0].use(number, key):
            self.counts["first"] += 1
        elif len(caches) > 1 and caches[1].use(number, key):
            caches[0].enter(number, key)
            self.counts["second"] += 1
        else:
            self.counts["walks"] += 1
            self.walk_to(address, level, tag)
            for cache in caches:
                cache.enter(number, key)

    def walk_to(self, address: int, level: int, tag: int) -> None:
        start = 4
        for above in (2, 3, 4):
            number = address >> (3 + 9 * above)
            if self.walk[above - 2].use(number, (above, number, tag)):
                start = above - 1
                break
        for at in range(start, level - 1, -1):
            self.reads[at - 1] += 1
            if at > level:
                number = address >> (3 + 9 * at)
                self.walk[at - 2].enter(number, (at, number, tag))

    def drop(self, tag: int) -> None:
        for cache in (*self.first, *(lists for lists, _ in self.second), *self.walk):
            cache.drop(tag)


@pytest.mark.parametrize("preset", ["m1", "m3", "skylake", "sapphire-rapids", "zen4"])
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from((90, 700, 3000)))
def test_a_tlb_is_as_its_lists(preset: str, seed: int, pages: int) -> None:
    machine = Machine(preset, "bare")
    naive = NaiveTlb(preset)
    random = np.random.default_rng(seed)
    small, large = 0x3000_0000_0000, 0x3100_0000_0000
    vases = [machine.vas() for _ in range(3)]
    owner: dict[int, int] = {}
    for vas in vases:
        vas.map(small, pages * 4096)
        vas.map(large, 40 * MIB2, MIB2)
        # While the caches are empty, so that no page of the one size makes room for the other.
        vas.switch(1 + vas.number)
        owner[1 + vas.number] = vas.number
        for address, level in ((small, 1), (large, 2)):
            machine.access([address])
            naive.access(address, level, 1 + vas.number)
    for _ in range(6):
        number, tag = int(random.integers(3)), int(random.integers(4))
        if tag == 0 or owner.get(tag) != number:
            naive.drop(tag)
        owner[tag] = number
        vases[number].switch(tag)
        which = random.random(400) < 0.8
        page = random.zipf(1.2, 400)
        addresses = np.where(
            which, small + page % pages * 4096 + 8, large + page % 40 * MIB2 + 4096
        ).astype(np.uint64)
        for address, level in zip(addresses.tolist(), np.where(which, 1, 2).tolist(), strict=True):
            naive.access(address, level, tag)
        machine.access(addresses)
        total = [vas.counters for vas in vases]
        assert sum(counts.first_hits for counts in total) == naive.counts["first"]
        assert sum(counts.second_hits for counts in total) == naive.counts["second"]
        assert sum(counts.walks for counts in total) == naive.counts["walks"]
        assert np.sum([counts.walk_reads for counts in total], axis=0).tolist() == naive.reads
        assert sum(counts.faults for counts in total) == 0
