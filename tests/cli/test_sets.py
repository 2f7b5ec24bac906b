# SPDX-License-Identifier: Apache-2.0
"""What the command says of sets, and does with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cli.test_cli import failed, ran

import spacejmp as sj

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tags(home: Path) -> Path:
    """A home with a store `tags`: a sorted set `o` of strings, a set `u` of ints."""
    with sj.open("tags", home=home) as store:
        store.sortedset("o", key="str").update(["a", "ab", "b", "c"])
        store.set("u", key="int").update([1, 2])
    return home


def test_info_says_what_they_are(tags: Path) -> None:
    found = json.loads(ran(tags, "info", "tags", "--json"))["structures"]
    assert [(s["name"], s["kind"], s["key"], s["value"], s["items"]) for s in found] == [
        ("o", "sortedset", "str", "", 4),
        ("u", "set", "int", "", 2),
    ]
    assert "sortedset" in ran(tags, "info", "tags")


def test_get_says_whether_a_key_is_there(tags: Path) -> None:
    assert ran(tags, "get", "tags", "o", "ab") == "ab\n"
    assert json.loads(ran(tags, "get", "tags", "u", "2", "--json")) == {"key": 2}
    assert "has no key" in failed(tags, 1, "get", "tags", "u", "3")


def test_scan_prints_keys(tags: Path) -> None:
    assert ran(tags, "scan", "tags", "o") == "a\nab\nb\nc\n"
    assert ran(tags, "scan", "tags", "o", "--prefix", "a", "--reverse") == "ab\na\n"
    assert ran(tags, "scan", "tags", "o", "--from", "b", "--count") == "2\n"
    lines = ran(tags, "scan", "tags", "u", "--json").splitlines()
    assert sorted(map(json.loads, lines), key=str) == [{"key": 1}, {"key": 2}]
    assert "set and has no order" in failed(tags, 2, "scan", "tags", "u", "--reverse")


def test_put_takes_no_value_for_them(tags: Path) -> None:
    ran(tags, "put", "tags", "u", "3")
    ran(tags, "put", "tags", "new", "x", "--create", "--set")
    ran(tags, "put", "tags", "new hash", "5", "--create", "--set", "--hash", "--key-codec", "int")
    assert "expected no VALUE" in failed(tags, 2, "put", "tags", "u", "3", "4")
    assert "expected a VALUE" in failed(tags, 2, "put", "tags", "map", "3", "--create")
    ran(tags, "rm-key", "tags", "o", "a")
    assert "has no key" in failed(tags, 1, "rm-key", "tags", "o", "a")
    with sj.open("tags", home=tags) as store:
        assert store["u"] == {1, 2, 3}
        assert store["new"] == {"x"}
        assert isinstance(store["new"], sj.SortedSet)
        assert store["new hash"] == {5}
        assert list(store["o"]) == ["ab", "b", "c"]
        assert "map" not in store


def test_load_takes_the_keys(tags: Path) -> None:
    file = tags / "rows.csv"
    file.write_text("id,name\n7,x\n8,y\n7,z\n")
    told = json.loads(ran(tags, "load", "tags", str(file), "--key", "id", "--tree", "u", "--json"))
    assert (told["rows"], told["replaced"], told["items"]) == (3, 1, 4)
    ran(tags, "load", "tags", str(file), "--key", "name", "--set")
    assert "is a set" in failed(
        tags, 2, "load", "tags", str(file), "--key", "id", "--value", "name", "--tree", "u"
    )
    with sj.open("tags", home=tags) as store:
        assert store["u"] == {1, 2, 7, 8}
        assert list(store["rows"]) == ["x", "y", "z"]


def test_salvage_brings_them_back(tags: Path) -> None:
    told = ran(tags, "salvage", "tags", "saved")
    assert "saved/o: 4 of 4 entries, sortedset, key str\n" in told
    with sj.open("saved", home=tags) as store:
        assert list(store["o"]) == ["a", "ab", "b", "c"]
        assert store["u"] == {1, 2}
    ran(tags, "salvage", "tags", str(tags / "u.jsonl"), "--format", "jsonl", "--tree", "u")
    lines = (tags / "u.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["key"] for line in lines) == [1, 2]
