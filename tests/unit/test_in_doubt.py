# SPDX-License-Identifier: Apache-2.0
"""Stores whose process died while it committed several: they ask the one that decides.

A process dies inside of a transaction over two stores; then what it would have written at the end
is put into their files (`persistence/tx_group.h`): the vote of `member`, the record of `decider`.
"""

from __future__ import annotations

import os
import signal
import struct
from typing import TYPE_CHECKING

import pytest
from children import kill_inside
from media import Field, patch, seal_record, seal_vote, word
from typer.testing import CliRunner

import spacejmp as sj
from spacejmp.apps.cli import app

if TYPE_CHECKING:
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

GIB = 1 << 30


def path_of(home: Path, name: str) -> Path:
    return home / "seg" / f"{name}.seg"


def value(home: Path, name: str) -> object:
    with sj.open(name, "w", home=home) as store:
        store.check()
        return store["t"][0]


@pytest.fixture
def voted(home: Path) -> Path:
    """Both have voted, and the decider has not decided."""

    def die_inside() -> None:
        with sj.open("decider", home=home) as decider, sj.open("member", home=home) as member:
            sj.transaction(decider, member).__enter__()
            for store in (decider, member):
                store["t"][0] = "new"
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("decider", "member"):
        with sj.open(name, home=home, reserve=GIB) as store:
            store.btree("t", key="int")[0] = "old"
    kill_inside(die_inside)
    decider, member = path_of(home, "decider"), path_of(home, "member")
    generation = word(decider, Field.GENERATION)
    seal_vote(member, decider, generation)
    seal_record(decider, generation, member)
    return home


@pytest.fixture
def decided(voted: Path) -> Path:
    """The decider has decided, and the member does not know."""
    decider = path_of(voted, "decider")
    patch(decider, Field.GENERATION, struct.pack("<Q", word(decider, Field.GENERATION) + 1))
    return voted


ORDERS = [("decider", "member"), ("member", "decider")]


@pytest.mark.parametrize("order", ORDERS)
def test_nothing_is_there_when_it_was_not_decided(voted: Path, order: tuple[str, str]) -> None:
    assert [value(voted, name) for name in order] == ["old", "old"]


@pytest.mark.parametrize("order", ORDERS)
def test_all_is_there_when_it_was_decided(decided: Path, order: tuple[str, str]) -> None:
    assert [value(decided, name) for name in order] == ["new", "new"]
    assert value(decided, "decider") == "new"
    assert word(path_of(decided, "decider"), Field.RECORD) == 0


def test_the_decider_is_changed_in_between(decided: Path) -> None:
    with sj.open("decider", home=decided) as decider:
        for number in range(100):
            decider["t"][1] = number
        with sj.open("third", home=decided) as third, sj.transaction(decider, third):
            decider["t"][2] = "again"
            third.btree("t", key="int")[0] = "again"
        with sj.open("member", "r", home=decided) as member:
            assert member["t"][0] == "new"
        assert decider["t"][2] == "again"


def test_without_the_decider_a_member_is_in_doubt(decided: Path) -> None:
    path = path_of(decided, "decider")
    path.rename(decided / "away")
    for flag in ("r", "w"):
        with pytest.raises(sj.InDoubtError, match="check --accept member"):
            sj.open("member", flag, home=decided)
    (decided / "away").rename(path)
    assert value(decided, "member") == "new"


@pytest.mark.parametrize("state", ["voted", "decided"])
def test_a_store_that_decides_is_not_removed(state: str, request: pytest.FixtureRequest) -> None:
    """It was, and the other one was in doubt from then on."""
    home: Path = request.getfixturevalue(state)
    catalog, before = sj.Catalog(home), path_of(home, "decider").read_bytes()
    with pytest.raises(sj.SpaceBusyError, match="open 'member' once"):
        catalog.remove("decider")
    with pytest.raises(sj.SpaceBusyError, match="open 'member' once"):
        sj.open("decider", "n", home=home)
    refused = CliRunner().invoke(app, ["--home", str(home), "rm", "decider", "--yes"])
    assert (refused.exit_code, "open 'member' once" in refused.stderr) == (4, True)
    assert path_of(home, "decider").read_bytes() == before
    with sj.open("member", "r", home=home) as member:
        assert member["t"][0] == ("new" if state == "decided" else "old")
    catalog.remove("decider")
    assert value(home, "member") == ("new" if state == "decided" else "old")


def test_stores_that_wait_or_cannot_be_read_keep_no_other_one(decided: Path) -> None:
    catalog = sj.Catalog(decided)
    catalog.create("other")
    (decided / "seg" / "damaged.seg").write_bytes(b"no segment")
    catalog.remove("other")
    catalog.remove("member")
    catalog.remove("decider")


def test_another_store_of_that_name_does_not_decide(decided: Path) -> None:
    path_of(decided, "decider").rename(decided / "away")
    sj.open("decider", "n", home=decided, reserve=GIB).close()
    with pytest.raises(sj.InDoubtError, match="another segment"):
        sj.open("member", home=decided)


def test_the_command_undoes_what_is_in_doubt_when_that_is_accepted(decided: Path) -> None:
    path_of(decided, "decider").rename(decided / "away")
    run = CliRunner()
    found = run.invoke(app, ["--home", str(decided), "check", "member"])
    assert found.exit_code == 3
    assert run.invoke(app, ["--home", str(decided), "check", "member", "--accept"]).exit_code == 0
    assert value(decided, "member") == "old"


def test_what_is_in_doubt_can_be_salvaged(decided: Path) -> None:
    path_of(decided, "decider").rename(decided / "away")
    report = sj.salvage("member", "saved", home=decided)
    assert any("other stores" in note or "several stores" in note for note in report.notes)
    assert value(decided, "saved") in ("old", "new")


def test_processes_that_have_the_stores_open_ask_too(decided: Path) -> None:
    """The member was opened before: nobody finds a dead process's lock, but its log is pending."""
    with sj.open("member", home=decided) as member, sj.open("decider", home=decided) as decider:
        assert (member["t"][0], decider["t"][0]) == ("new", "new")
        with sj.transaction(member, decider):
            member["t"][0] = decider["t"][0] = "newer"
    assert value(decided, "member") == value(decided, "decider") == "newer"
