# SPDX-License-Identifier: Apache-2.0
"""Names obey one rule; what breaks it is told the rule and a name that is usable."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacejmp.names import NAME_MAX, ROOT_NAME_MAX, check_name, check_root_name
from spacejmp.persistence.errors import InvalidNameError

RULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
VALID = st.from_regex(RULE, fullmatch=True)
WILD = st.one_of(
    st.text(st.characters(codec=None), max_size=300),
    st.text("aB9._-/ \n\0é", max_size=140),
    VALID.map(lambda name: name + "\n"),
)


@given(VALID)
def test_valid_names_pass_unchanged(name: str) -> None:
    assert check_name(name) is name


@given(WILD)
def test_exactly_the_names_of_the_rule_pass(name: str) -> None:
    if RULE.fullmatch(name):
        assert check_name(name) == name
        return
    with pytest.raises(InvalidNameError) as raised:
        check_name(name)
    message = str(raised.value)
    assert "A-Z a-z 0-9 . _ -" in message
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 1500
    suggestion = message.rpartition("; try ")[2].strip("'")
    assert check_name(suggestion) == suggestion


@pytest.mark.parametrize(
    ("name", "found", "suggestion"),
    [
        ("", "an empty name", "store"),
        (".", "'.' at its beginning", "store"),
        ("..", "'.' at its beginning", "store"),
        ("../etc/passwd", "'.' at its beginning", "etc_passwd"),
        ("-rf", "'-' at its beginning", "rf"),
        ("a/b", "'/' at position 1", "a_b"),
        ("a\0b", r"'\x00' at position 1", "a_b"),
        ("genes\n", r"'\n' at position 5", "genes"),
        ("Bjørn's café", r"'\xf8' at position 2", "Bj_rn_s_cafe"),
        ("\u212b", r"'\u212b' at position 0", "A"),
        ("a" * 129, "129 characters", "a" * 128),
        ("a\ud800", r"'\ud800' at position 1", "a"),
    ],
)
def test_says_what_was_found_and_a_way_out(name: str, found: str, suggestion: str) -> None:
    with pytest.raises(InvalidNameError, match="expected") as raised:
        check_name(name, "store")
    assert f"found {found}; try {suggestion!r}" in str(raised.value)


def test_longest_name_fits_in_a_file_name() -> None:
    assert check_name("a" * NAME_MAX)
    assert len(".removed-" + 32 * "0" + "-" + NAME_MAX * "a" + ".seg") <= 255


@pytest.mark.parametrize("name", [None, 1, b"genes", ["genes"]])
def test_other_types_are_type_errors(name: object) -> None:
    with pytest.raises(TypeError, match="expected a str"):
        check_name(cast("Any", name))
    with pytest.raises(TypeError, match="expected a str"):
        check_root_name(cast("Any", name))


@given(st.text(st.characters(codec=None), max_size=300))
def test_root_names_are_any_text_that_the_media_can_hold(name: str) -> None:
    encoded = name.encode("utf-8", "surrogatepass")
    surrogate = any("\ud800" <= c <= "\udfff" for c in name)
    if 1 <= len(encoded) <= ROOT_NAME_MAX and b"\0" not in encoded and not surrogate:
        assert check_root_name(name).decode() == name
    else:
        with pytest.raises(InvalidNameError) as raised:
            check_root_name(name)
        assert str(raised.value).isascii()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("", "0 bytes"),
        ("é" * 128, "256 bytes"),
        ("a\0", "a NUL"),
        ("ab\udcff", "a lone surrogate at position 2"),
    ],
)
def test_root_name_errors_say_what_was_found(name: str, found: str) -> None:
    with pytest.raises(InvalidNameError, match=f"found {found}"):
        check_root_name(name)
