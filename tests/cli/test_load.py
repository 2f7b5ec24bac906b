# SPDX-License-Identifier: Apache-2.0
"""`load` streams rows in, by transactions, and names the line of whatever is wrong."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from typer.testing import CliRunner, Result

import spacejmp as sj
from spacejmp.apps import rows
from spacejmp.apps.cli import app
from spacejmp.apps.interrupts import interrupts_wait

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "spacejmp"]


def run(home: Path, *arguments: object, stdin: str | bytes | None = None) -> Result:
    command = ["--home", str(home), "load", "s", *map(str, arguments)]
    return CliRunner().invoke(app, command, input=stdin, prog_name="spacejmp")


def loaded(home: Path, *arguments: object, stdin: str | bytes | None = None) -> dict[str, Any]:
    result = run(home, *arguments, "--json", stdin=stdin)
    assert (result.exit_code, result.stderr) == (0, "")
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refused(
    home: Path, *arguments: object, stdin: str | bytes | None = None, code: int = 2
) -> tuple[str, str]:
    """The two lines that a load which fails says."""
    result = run(home, *arguments, stdin=stdin)
    assert result.exit_code == code, result.output
    message, note = result.stderr.splitlines()
    return message.removeprefix("spacejmp: "), note.strip()


def tree_of(home: Path, tree: str = "t") -> dict[Any, Any]:
    with sj.open("s", "r", home=home) as store:
        return dict(store[tree])


CSV = 'id,name,start\ng1,"one, first",17\n\ng2,"two\nlines",1e3\ng3,,007\n'


def test_rows_are_dicts_of_the_other_columns(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "genes.csv"
    file.write_text(CSV)
    found = loaded(home, file, "--key", "id")
    assert found == {
        "store": "s",
        "tree": "genes",
        "rows": 3,
        "replaced": 0,
        "kept": 0,
        "items": 3,
        "transactions": 1,
        "bytes_read": len(CSV),
        "seconds": found["seconds"],
        "rows_per_second": found["rows_per_second"],
    }
    assert tree_of(home, "genes") == {
        "g1": {"name": "one, first", "start": "17"},
        "g2": {"name": "two\nlines", "start": "1e3"},
        "g3": {"name": "", "start": "007"},
    }


def test_types_are_inferred_when_asked_for(home: Path) -> None:
    loaded(home, "-", "--format=csv", "--tree=t", "--key=start", "--types", stdin=CSV)
    assert tree_of(home) == {
        17: {"id": "g1", "name": "one, first"},
        1000.0: {"id": "g2", "name": "two\nlines"},
        "007": {"id": "g3", "name": None},
    }


def test_quotes_are_ordinary_in_tsv(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.tsv.gz"
    file.write_bytes(gzip.compress('\ufeffid\tname\r\na\t"b\r\n'.encode()))
    loaded(home, file, "--key", "id")
    assert tree_of(home, "x") == {"a": {"name": '"b'}}


def test_json_lines_keep_their_types(home: Path) -> None:
    text = '{"k": 1, "v": [1.5, null]}\n\n{"k": [2, "x"], "v": {"$bytes": "00"}, "w": true}\n'
    loaded(home, "-", "--format=jsonl", "--tree=t", "--key=k", stdin=text)
    assert tree_of(home) == {1: {"v": [1.5, None]}, (2, "x"): {"v": b"\0", "w": True}}


@pytest.mark.parametrize("types", [(), ("--types",)])
@pytest.mark.parametrize(
    ("codec", "expected"), [("int", 17), ("float", 17.0), ("str", "17"), ("bytes", b"\x17")]
)
def test_a_value_column_is_read_as_its_codec_says(
    home: Path, codec: str, expected: object, types: tuple[str, ...]
) -> None:
    codecs = ("--key-codec", codec, "--value-codec", codec, "--value=v")
    text = "k,v,w\n17,17,x\n"
    loaded(home, "-", "--format=csv", "--tree=t", "--key=k", *codecs, *types, stdin=text)
    ((key, value),) = tree_of(home).items()
    assert (key, value, type(value)) == (expected, expected, type(expected))


def test_a_scan_can_be_loaded_again(home: Path) -> None:
    items = {1: b"x", 2.5: (1, {2}), "a": {"b": None}, (1, "c"): float("inf")}
    with sj.open("s", home=home) as store:
        store.btree("t").update(items)
    scan = ["--home", str(home), "scan", "s", "t", "--json"]
    dump = CliRunner().invoke(app, scan).stdout
    form = ("--format=jsonl", "--key=key", "--value=value")
    loaded(home, "-", "--tree=again", "--hash", *form, stdin=dump)
    assert tree_of(home, "again") == items
    with sj.open("s", "r", home=home) as store:
        assert store.roots["again"].kind == "hashmap"


# --- keys that are there already ----------------------------------------------------------------

TWICE = "k,v\na,1\nb,2\na,3\n"
PLAIN = ("-", "--format=csv", "--tree=t", "--key=k", "--value=v")


def test_the_last_row_of_a_key_wins(home: Path) -> None:
    assert loaded(home, *PLAIN, stdin=TWICE)["replaced"] == 1
    assert tree_of(home) == {"a": "3", "b": "2"}
    assert loaded(home, *PLAIN, stdin=TWICE)["replaced"] == 3
    said = run(home, *PLAIN, stdin=TWICE).stdout
    assert "3 replaced an earlier value of their key; 2 items now" in said


def test_the_first_row_of_a_key_can_be_kept(home: Path) -> None:
    assert loaded(home, *PLAIN, "--on-duplicate=keep", stdin=TWICE)["kept"] == 1
    assert tree_of(home) == {"a": "1", "b": "2"}


def test_a_key_that_is_there_can_be_an_error(home: Path) -> None:
    message, note = refused(home, *PLAIN, "--on-duplicate=error", stdin=TWICE)
    assert message.startswith("stdin:4: expected new keys only")
    assert note == "nothing was changed"
    assert "t" not in sj.open("s", "r", home=home)


# --- what is wrong is named with its line -------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "text", "said"),
    [
        ("csv", "", "stdin:1: expected a row with the names of the columns, found no rows"),
        ("csv", "\n\n", "stdin:1: expected a row with the names"),
        ("csv", "a,b\n1,2\n", "stdin:1: expected a column 'k' (--key), found 'a', 'b'"),
        ("csv", "k,b\n1,2\n", "stdin:1: expected a column 'v' (--value), found 'k', 'b'"),
        ("csv", "\nk,v,k\n", "stdin:2: expected columns with names of their own, found 'k' twice"),
        ("csv", 'k,v\n1,"\n"\n2\n', "stdin:4: expected 2 fields, found 1"),
        ("tsv", "k\tv\n1\t2\t3\n", "stdin:2: expected 2 fields, found 3"),
        ("csv", 'k,v\n1,"2\n', "stdin:2: expected csv: unexpected end of data"),
        ("csv", 'k,v\n1,"2"x\n', "stdin:2: expected csv: "),
        ("csv", b"k,v\n\xff,1\n", "stdin:2: expected UTF-8, found byte 0xff at column 1"),
        ("csv", "k,v\nx,1\n", "stdin:2: key: expected a whole number (codec 'int'), found 'x'"),
        ("csv", f"k,v\n{1 << 70},1\n", "stdin:2: "),
        ("csv", "k,v\n1,x\n", "stdin:2: value: expected a whole number (codec 'int'), found 'x'"),
        ("jsonl", '{"k": 1,\n', "stdin:1: expected a JSON object in one line: "),
        ("jsonl", '{"k": 1, "v": 1}\n[]\n', "stdin:2: expected a JSON object, found list"),
        ("jsonl", '{"v": 1}\n', "stdin:1: expected a member 'k' (--key), found 'v'"),
        ("jsonl", '{"k": 1}\n', "stdin:1: expected a member 'v' (--value), found 'k'"),
        ("jsonl", '{"k": "x", "v": 1}\n', "stdin:1: "),
        ("jsonl", '{"k": 1, "v": {"$bytes": 5}}\n', "stdin:1: $bytes: "),
        ("jsonl", "[" * 100_000 + "\n", "stdin:1: expected a JSON object in one line: "),
    ],
)
def test_a_bad_row_is_named(home: Path, form: str, text: str | bytes, said: str) -> None:
    codecs = ("--key-codec=int", "--value-codec=int")
    names = ("--tree=t", "--key=k", "--value=v")
    message, note = refused(home, "-", "--format", form, *names, *codecs, stdin=text)
    assert message.startswith(said)
    assert note == "nothing was changed"


def test_a_file_that_cannot_be_read_makes_no_store(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    assert run(home, file, "--key=k").exit_code == 5
    file.write_text("a,b\n1,2\n")
    refused(home, file, "--key=k")
    assert sj.Catalog(home).names() == []


def test_a_gzip_file_that_is_cut_off_is_named(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.csv.gz"
    whole = gzip.compress(b"k,v\n" + b"".join(b"%d,1\n" % at for at in range(9999)))
    file.write_bytes(whole[: len(whole) // 2])
    assert "expected a whole gzip file" in refused(home, file, "--key=k")[0]
    file.write_bytes(b"k,v\n1,2\n")
    assert "expected a whole gzip file" in refused(home, file, "--key=k")[0]


def test_an_endless_line_is_not_read_whole(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LINE_BYTES_MAX", 1 << 20)
    message, _ = refused(home, *PLAIN, stdin="k,v\n" + "x" * (1 << 21))
    assert message.startswith("stdin:2: expected lines of at most 1 MiB")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x.txt", "--key=k"), "expected --format, or a name that ends in"),
        (("-", "--key=k", "--format=csv"), "expected --tree"),
        (("x.csv",), "--key"),
        (("x.csv", "--key=k", "--batch=0"), "--batch"),
        (("x.csv", "--key=k", "--format=xml"), "xml"),
        (("x.csv", "--key=k", "--on-duplicate=what"), "what"),
    ],
)
def test_usage_is_checked_first(home: Path, arguments: tuple[str, ...], said: str) -> None:
    result = run(home, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_one_value_needs_a_column(home: Path) -> None:
    form = ("-", "--format=csv", "--tree=t", "--key=k", "--value-codec=int")
    message, _ = refused(home, *form, stdin=TWICE)
    assert "expected --value COLUMN" in message


def test_codecs_of_an_old_tree_stay(home: Path) -> None:
    loaded(home, *PLAIN, "--key-codec=str", stdin=TWICE)
    message, _ = refused(home, *PLAIN, "--key-codec=int", stdin="k,v\n1,1\n")
    assert "expected the key codec 'int', found 'str'" in message
    loaded(home, *PLAIN, stdin="k,v\n1,1\n")
    assert tree_of(home)["1"] == "1"


# --- batches ------------------------------------------------------------------------------------

BAD_AT_8 = "k,v\n" + "".join(f"{at},{at}\n" for at in range(7)) + "bad\n9,9\n"


def test_a_bad_row_leaves_whole_batches(home: Path) -> None:
    message, note = refused(home, *PLAIN, "--batch=3", stdin=BAD_AT_8)
    assert message.startswith("stdin:9: expected 2 fields, found 1")
    assert note == "6 rows were committed, up to line 7; load it again to go on"
    assert tree_of(home) == {str(at): str(at) for at in range(6)}


def test_an_atomic_load_is_there_as_a_whole_or_not_at_all(home: Path) -> None:
    atomic = ("--batch=3", "--atomic")
    _, note = refused(home, *PLAIN, *atomic, stdin=BAD_AT_8)
    assert note == "nothing was changed"
    with sj.open("s", "r", home=home) as store:
        assert len(store.roots) == 0
    assert loaded(home, *PLAIN, *atomic, stdin=BAD_AT_8.replace("bad\n", ""))["items"] == 8


def test_no_rows_make_an_empty_structure(home: Path) -> None:
    assert loaded(home, *PLAIN, stdin="k,v\n")["items"] == 0
    assert tree_of(home) == {}


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a load from a pipe, in batches of 100 rows."""
    command = [*COMMAND, "--home", str(home), "load", "s", *PLAIN, "--batch=100", *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def feed(loading: subprocess.Popen[str], count: int) -> None:
    """Write rows, and do not end the file."""
    assert loading.stdin is not None
    loading.stdin.write("k,v\n")
    loading.stdin.writelines(f"{at},{at}\n" for at in range(count))
    loading.stdin.flush()


def wait_for_rows(home: Path, loading: subprocess.Popen[str], count: int) -> None:
    """Wait until so many rows are there, by looking at the store."""
    while loading.poll() is None:
        if "s" in sj.Catalog(home).names():
            with sj.open("s", "r", home=home) as store:
                if "t" in store and len(store["t"]) >= count:
                    return
    pytest.fail("the load ended before its rows were there")


def test_rows_are_there_while_the_file_goes_on(home: Path) -> None:
    with start(home) as loading:
        feed(loading, 20_000)
        wait_for_rows(home, loading, 10_000)
        out, error = loading.communicate()
    assert (loading.returncode, error) == (0, "")
    assert "20,000 rows" in out
    assert len(tree_of(home)) == 20_000


def test_a_load_that_is_killed_leaves_whole_batches_and_can_be_done_again(home: Path) -> None:
    with start(home) as loading:
        feed(loading, 20_000)
        wait_for_rows(home, loading, 2_000)
        loading.kill()
    there = tree_of(home)
    assert len(there) % 100 == 0
    assert there == {str(at): str(at) for at in range(len(there))}
    with sj.open("s", home=home) as store:
        store.check()
    text = "k,v\n" + "".join(f"{at},{at}\n" for at in range(20_000))
    assert loaded(home, *PLAIN, stdin=text)["replaced"] == len(there)
    assert len(tree_of(home)) == 20_000


def test_msgpack_maps_are_rows(home: Path, tmp_path: Path) -> None:
    when = dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc)
    rows = [{"k": n, "raw": b"\xff" * n, "when": when, "list": [1.5, None]} for n in range(3000)]
    packed = b"".join(msgpack.packb(row, datetime=True) for row in rows)
    file = tmp_path / "t.msgpack.gz"
    file.write_bytes(gzip.compress(packed))
    assert loaded(home, file, "--key=k")["rows"] == 3000
    loaded(home, "-", "--format=msgpack", "--tree=u", "--key=k", "--value=raw", stdin=packed)
    with sj.open("s", "r", home=home) as store:
        assert dict(store["t"].items()) == {
            row["k"]: {name: row[name] for name in ("raw", "when", "list")} for row in rows
        }
        assert store["u"][3] == b"\xff" * 3


@pytest.mark.parametrize(
    ("packed", "says"),
    [
        (b"\x81\xa1k\x01\x05", "stdin:2: expected a map, found int"),
        (b"\x81\xa1k\x01\x82\xa1k", "stdin:2: expected a whole msgpack map, found the end"),
        (b"\x81\xa1k\x01\xc1", "stdin:2: expected a msgpack map: "),
        (b"\x81\xa1k\xa1\xff", "stdin:1: expected a msgpack map: "),
        (b"\x81\xa1x\x01", "stdin:1: expected a member 'k' (--key), found 'x'"),
        (b"\x81\xa1k\xc7\x01\x05\x00", "stdin:1: "),
    ],
)
def test_msgpack_that_is_damaged_names_the_object(home: Path, packed: bytes, says: str) -> None:
    message, _ = refused(home, "-", "--format=msgpack", "--tree=t", "--key=k", stdin=packed)
    assert message.startswith(says)


def test_ctrl_c_waits_until_what_is_committed_is_counted() -> None:
    """It came between the two: the command told of one batch less than it had stored."""
    counted = []
    with pytest.raises(KeyboardInterrupt), interrupts_wait():
        os.kill(os.getpid(), signal.SIGINT)
        counted.append(1)
    assert counted == [1]
    with pytest.raises(KeyboardInterrupt):  # and from then on it comes at once
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
        counted.append(2)
    assert counted == [1]


def test_ctrl_c_says_how_far_it_came(home: Path) -> None:
    with start(home) as loading:
        feed(loading, 20_000)
        wait_for_rows(home, loading, 2_000)
        loading.send_signal(signal.SIGINT)
        _, error = loading.communicate()
    assert loading.returncode == 130
    message, note = error.splitlines()
    assert message == "spacejmp: interrupted"
    assert f"{len(tree_of(home)):,} rows were committed" in note
