# SPDX-License-Identifier: Apache-2.0
"""What switches cost is measured with switches that are made, and told with what was measured."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import spacejmp as sj
from spacejmp._space import Space
from spacejmp.apps.cli import app
from spacejmp.apps.exits import CommandError
from spacejmp.apps.gups._gups import make_block
from spacejmp.apps.switch import _costs
from spacejmp.apps.switch.run import Plan, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def spaces(home: Path) -> Iterator[list[Space]]:
    """Two spaces that lie apart, and one at the addresses of the second."""
    catalog = sj.Catalog(home)
    with ExitStack() as exits:
        made: list[Space] = []
        for name in ("a", "b", "c"):
            base = made[1].base if name == "c" else None
            segment = catalog.create(name, base, 1 << 30).segment
            space = Space(catalog.segment_path(segment), catalog.lock_path(segment))
            exits.callback(space.detach)
            made.append(space)
        yield made


@pytest.mark.parametrize("how", ["read", "write", "held"])
def test_switches_end_where_they_began(spaces: list[Space], how: Any) -> None:
    for some in (spaces[:1], spaces[:2], spaces[1:], spaces):
        cost = _costs.in_turn(some, how, 30)
        assert cost.ns > 0
        assert [space.mode for space in spaces] == [None] * 3
    if how != "held":
        assert _costs.together(spaces[:2], how, 30).ns > 0
        assert [space.mode for space in spaces] == [None] * 3


def test_a_store_that_others_hold_is_an_error_and_nothing_stays_held(spaces: list[Space]) -> None:
    from spacejmp._space import Hold

    with Hold(spaces[0], False, False, None):  # it cannot be upgraded
        with pytest.raises(sj.HoldUpgradeError):
            _costs.together([spaces[1], spaces[0]], "write", 2)
        assert [space.mode for space in spaces] == ["r", None, None]
    assert [space.mode for space in spaces] == [None] * 3


def test_what_is_no_attached_space_is_refused(spaces: list[Space]) -> None:
    with pytest.raises(ValueError, match="expected 1 to 64 spaces, found 0"):
        _costs.in_turn([], "read", 2)
    address = make_block(spaces[0], 4096)
    _costs.touch(spaces[0], address, 4096)
    with pytest.raises(ValueError, match="expected a range of an attached space"):
        _costs.touch(spaces[0], address, 1 << 30)
    spaces[0].detach()
    with pytest.raises(ValueError, match="expected spaces that are attached"):
        _costs.in_turn(spaces, "read", 2)


def test_a_vas_is_left_at_the_end(home: Path) -> None:
    for name in ("a", "b"):
        vas = sj.vas_create(f"v{name}", home=home)
        vas.seg_attach(sj.seg_alloc(name, reserve=1 << 30, home=home), "rw")
    found = [sj.vas_find(name, home=home) for name in ("va", "vb")]
    attached = [_costs.Attached(str(home).encode(), vas.name.encode(), vas.uuid) for vas in found]
    for some in (attached[:1], attached):
        assert _costs.vases(some, 31).ns > 0
    for one in attached:
        one.detach()
    with pytest.raises(ValueError, match="expected VASes that are attached"):
        _costs.vases(attached, 2)
    with pytest.raises(sj.NotFoundError):
        _costs.Attached(str(home).encode(), b"vc", found[0].uuid)
    sj.vas_delete(found[0])
    sj.seg_delete("a", home=home)  # nobody has it open any more


@pytest.mark.parametrize("way", ["futex", "pipe"])
@pytest.mark.parametrize("one_cpu", [True, False])
def test_processes_hand_over_and_end(way: Any, one_cpu: bool) -> None:
    assert _costs.hand_over(way, one_cpu, 20).ns > 0


def test_the_command_tells_every_kind(tmp_path: Path) -> None:
    options = ["--sizes", "64K", "--segments", "1,2", "--rounds", "1", "--directory", str(tmp_path)]
    told = CliRunner().invoke(app, ["bench", "switch", *options, "--json"], prog_name="spacejmp")
    assert told.exit_code == 0, told.output
    rows = json.loads(told.stdout)["rows"]
    assert {row["group"] for row in rows} == {"hand-over", "in turn", "at once", "overlapping"}
    assert all(0 < row["ns_min"] <= row["ns"] for row in rows)
    moved = {(row["what"], row["reserved"] >> 30) for row in rows if row["group"] == "overlapping"}
    ways = ["C, write", "C, vas_switch", "C, locks held", "Python, write", "mprotect"]
    ways += ["munmap, mmap", "munmap, mmap, refault"]
    assert moved == {(way, reserved) for way in ways for reserved in (1, 8)}
    plain = CliRunner().invoke(app, ["bench", "switch", *options], prog_name="spacejmp")
    assert len(plain.stdout.splitlines()) == len(rows)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segments": (65,)}, "--segments: expected 1 to 64"),
        ({"sizes": (1,)}, "--sizes: expected 4K to 64G"),
    ],
)
def test_what_cannot_be_done_is_told(tmp_path: Path, change: Any, message: str) -> None:
    plan = Plan((1,), (4096,), 1 << 20, 1, tmp_path)._replace(**change)
    with pytest.raises(CommandError, match=message):
        run(plan)
