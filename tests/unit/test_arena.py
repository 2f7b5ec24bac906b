# SPDX-License-Identifier: Apache-2.0
"""New segments overlap nothing, whatever lies in the arena already."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacejmp._catalog import place
from spacejmp.arena import (
    ARENA_END,
    ARENA_START,
    DEFAULT_RESERVED,
    GIB,
    check_base,
    check_reserved,
    is_extent,
)
from spacejmp.persistence.errors import InvalidArgumentError

SLOTS = (ARENA_END - ARENA_START) // GIB
EXTENT = st.tuples(st.integers(0, SLOTS - 1), st.integers(1, SLOTS)).map(
    lambda e: (ARENA_START + e[0] * GIB, min(e[1], SLOTS - e[0]) * GIB)
)


def test_is_the_arena_of_the_core() -> None:
    header = (Path(__file__).parents[2] / "persistence" / "segment.h").read_text()
    found = re.findall(r"#define (SJ_ARENA_\w+)\s+(0x[0-9a-f]+)ull", header)
    assert {name: int(value, 16) for name, value in found} == {
        "SJ_ARENA_FIRST": ARENA_START,
        "SJ_ARENA_END": ARENA_END,
    }


@given(st.lists(EXTENT, max_size=12), st.integers(1, SLOTS), st.integers(0, 2**64 - 1))
def test_place_finds_a_free_range_if_there_is_one(
    taken: list[tuple[int, int]], gib: int, seed: int
) -> None:
    free = [True] * SLOTS
    for start, reserved in taken:
        first = (start - ARENA_START) // GIB
        free[first : first + reserved // GIB] = [False] * (reserved // GIB)
    longest = max(map(len, "".join(" x"[slot] for slot in free).split()), default=0)

    base = place(taken, gib * GIB, seed)

    assert (base is not None) == (gib <= longest)
    if base is not None:
        assert is_extent(base, gib * GIB)
        first = (base - ARENA_START) // GIB
        assert all(free[first : first + gib])


def test_default_segments_fill_the_arena_without_gaps() -> None:
    extents: list[tuple[int, int]] = []
    seed = 12345
    for _ in range((ARENA_END - ARENA_START) // DEFAULT_RESERVED):
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        base = place(extents, DEFAULT_RESERVED, seed)
        assert base is not None
        extents.append((base, DEFAULT_RESERVED))
    assert place(extents, GIB, seed) is None


def test_seeds_spread_over_the_arena() -> None:
    assert len({place([], DEFAULT_RESERVED, seed) for seed in range(512)}) == 512


@pytest.mark.parametrize("reserved", [0, -GIB, 1, GIB - 1, GIB + 1, (SLOTS + 1) * GIB])
def test_reserved_is_whole_gib(reserved: int) -> None:
    with pytest.raises(InvalidArgumentError, match="whole number of GiB"):
        check_reserved(reserved)


@pytest.mark.parametrize(
    "base", [0, GIB, ARENA_START - GIB, ARENA_START + 1, ARENA_END, ARENA_END - GIB, -ARENA_START]
)
def test_base_lies_in_the_arena(base: int) -> None:
    with pytest.raises(InvalidArgumentError, match="multiple of 1 GiB"):
        check_base(base, 2 * GIB)


def test_the_whole_arena_is_an_extent() -> None:
    assert check_reserved(SLOTS * GIB) == SLOTS * GIB
    assert check_base(ARENA_START, SLOTS * GIB) == ARENA_START
    assert check_base(ARENA_END - GIB, GIB) == ARENA_END - GIB


@pytest.mark.parametrize("value", ["64", 64.0, None])
def test_sizes_and_addresses_are_ints(value: object) -> None:
    with pytest.raises(TypeError):
        check_reserved(value)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        check_base(value, GIB)  # type: ignore[arg-type]
