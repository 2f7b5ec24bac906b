# SPDX-License-Identifier: Apache-2.0
"""A record file gives its record back, is refused when newer, and is damaged else: no crash."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacejmp.arena import ARENA_END, ARENA_START, GIB
from spacejmp.persistence.errors import CorruptError, VersionError
from spacejmp.records import (
    RECORD_BYTES_MAX,
    SegmentRecord,
    VasRecord,
    decode_record,
    encode_record,
)

SEGMENT = SegmentRecord("genes", b"u" * 16, "seg/genes.seg", ARENA_START, 64 * GIB)
RECORD = VasRecord("genes", b"u" * 16, 1_700_000_000_000_000_000, (SEGMENT,))

MSGPACK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


def fields() -> dict[str, Any]:
    unpacked: dict[str, Any] = msgpack.unpackb(encode_record(RECORD))
    return unpacked


def decode(data: bytes) -> VasRecord:
    return decode_record(data, "genes", "vas/genes.vas")


def test_gives_back_what_was_written() -> None:
    assert decode(encode_record(RECORD)) == RECORD


@given(st.binary(max_size=300))
def test_any_bytes_are_damage(data: bytes) -> None:
    with pytest.raises(CorruptError, match=r"vas/genes\.vas"):
        decode(data)


@given(st.integers(0, 8 * len(encode_record(RECORD)) - 1))
def test_a_flipped_bit_is_damage_or_a_valid_record(bit: int) -> None:
    data = bytearray(encode_record(RECORD))
    data[bit // 8] ^= 1 << bit % 8
    try:
        record = decode(bytes(data))
    except (CorruptError, VersionError):
        return
    assert record.name == record.segment.name == "genes"
    assert record.segment.file == "seg/genes.seg"
    assert ARENA_START <= record.segment.base <= ARENA_END - record.segment.reserved


@given(st.sampled_from(["format", "name", "uuid", "created_ns", "segments"]), MSGPACK)
def test_other_types_are_damage(key: str, value: object) -> None:
    changed = fields()
    if type(value) is int and key in ("format", "created_ns"):
        return
    changed[key] = value
    with pytest.raises(CorruptError):
        decode(msgpack.packb(changed))


@given(st.sampled_from(SegmentRecord._fields), MSGPACK)
def test_other_types_in_a_segment_are_damage(key: str, value: object) -> None:
    changed = fields()
    if value == changed["segments"][0][key] or (type(value) is bytes and len(value) == 16):
        return
    changed["segments"][0][key] = value
    with pytest.raises(CorruptError):
        decode(msgpack.packb(changed))


@pytest.mark.parametrize("key", ["format", "name", "uuid", "created_ns", "segments"])
def test_missing_fields_are_damage(key: str) -> None:
    changed = fields()
    del changed[key]
    with pytest.raises(CorruptError, match=key):
        decode(msgpack.packb(changed))


@pytest.mark.parametrize("file", ["/etc/passwd", "../seg/genes.seg", "seg/other.seg", "genes.seg"])
def test_a_record_cannot_lead_elsewhere(file: str) -> None:
    changed = fields()
    changed["segments"][0]["file"] = file
    with pytest.raises(CorruptError):
        decode(msgpack.packb(changed))


@pytest.mark.parametrize("version", [2, 3, 2**40])
def test_later_formats_are_refused(version: int) -> None:
    later = msgpack.packb({"format": version, "whatever": [1, 2]})
    with pytest.raises(VersionError, match=f"expected format 1, found {version}"):
        decode(later)


@pytest.mark.parametrize("version", [0, -1, True, "1", 1.0])
def test_impossible_formats_are_damage(version: object) -> None:
    with pytest.raises(CorruptError):
        decode(msgpack.packb({**fields(), "format": version}))


def test_huge_files_and_deep_nesting_are_damage() -> None:
    for data in (
        encode_record(RECORD) + b"\0" * RECORD_BYTES_MAX,
        b"\x91" * 5000,
        b"\xdd\xff\xff\xff\xff",
        b"\xc7\x0c\xff" + b"\xff" * 12,
    ):
        with pytest.raises(CorruptError):
            decode(data)
