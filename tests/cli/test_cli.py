# SPDX-License-Identifier: Apache-2.0
"""The command says what it did, and ends with the code that scripts rely on."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import spacejmp as sj
from spacejmp.apps import items
from spacejmp.apps.cli import app

COMMAND = [sys.executable, "-m", "spacejmp"]


def run(home: Path, *arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(
        app, ["--home", str(home), *arguments], input=stdin, prog_name="spacejmp"
    )


def ran(home: Path, *arguments: str) -> str:
    """Run a command that succeeds; what it prints."""
    result = run(home, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def failed(home: Path, code: int, *arguments: str, stdin: str | None = None) -> str:
    """Run a command that fails with this code; what it says, in at most two lines."""
    result = run(home, *arguments, stdin=stdin)
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("spacejmp: ")
    assert result.stderr.count("\n") <= 2
    assert "Traceback" not in result.output
    return result.stderr


@pytest.fixture
def genes(home: Path) -> Path:
    """A home with a store `genes`: a tree `t` of strings, a tree `n` of ints, a hash map `h`."""
    with sj.open("genes", home=home) as store:
        store.btree("t", key="str").update({f"g{at}": {"at": at} for at in range(10)})
        store.btree("n", key="int", value="int").update({at: at * at for at in range(-3, 4)})
        store.hashmap("h", key="str", value="str")["a"] = "b"
    return home


# --- the command itself -------------------------------------------------------------------------


def test_help_names_the_commands_and_the_exit_codes(home: Path) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        shown = ran(home, *arguments)
        for word in ("ls", "info", "check", "rm", "load", "get", "scan", "put", "drop", "demo"):
            assert word in shown
        assert "Exit codes: 0 done, 1 no such store" in " ".join(shown.split())


def test_each_command_has_help(home: Path) -> None:
    for command in ("ls", "info", "check", "rm", "load", "get", "scan", "put", "rm-key", "drop"):
        assert f"spacejmp {command}" in ran(home, command, "--help")


def test_version_is_that_of_the_package(home: Path) -> None:
    expected = f"spacejmp {sj.__version__}\n"
    assert ran(home, "--version") == expected
    assert subprocess.check_output([*COMMAND, "--version"], text=True) == expected


def test_a_get_loads_nothing_that_it_does_not_need(genes: Path) -> None:
    program = (
        "import sys\n"
        "from spacejmp.apps.cli import main\n"
        "try: main()\n"
        "finally: print(*({'numpy', 'pydantic', 'rich', 'sortedcontainers'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--home", str(genes), "get", "genes", "t", "g3"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout == '{"at": 3}\n\n'


def test_tables_escape_what_the_encoding_of_the_output_lacks(home: Path) -> None:
    ran(home, "put", "s", "日本", "k", "1", "--create")
    shown = subprocess.check_output(
        [*COMMAND, "--home", str(home), "info", "s"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        text=True,
    )
    assert r"\u65e5\u672c" in shown


def test_home_is_taken_from_the_environment(genes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACEJMP_HOME", str(genes))
    assert CliRunner().invoke(app, ["ls"]).stdout == "genes\n"


# --- stores -------------------------------------------------------------------------------------


def test_ls_lists_names(genes: Path) -> None:
    ran(genes, "put", "alleles", "t", "1", "2", "--create")
    assert ran(genes, "ls") == "alleles\ngenes\n"


def test_ls_of_an_empty_home_lists_nothing(home: Path) -> None:
    assert ran(home, "ls") == ""
    assert ran(home, "ls", "--json") == f'{{"home": "{home}", "stores": [], "vases": []}}\n'


def test_ls_json_has_a_stable_shape(genes: Path) -> None:
    listed = json.loads(ran(genes, "ls", "--json"))
    (entry,) = listed["stores"]
    with sj.open("genes", "r", home=genes) as store:
        assert (entry["base"], entry["reserved_bytes"]) == (store.base, store.reserve)
    assert entry["file_bytes"] == os.stat(entry["path"]).st_size
    assert list(entry) == [
        "name",
        "path",
        "uuid",
        "base",
        "reserved_bytes",
        "file_bytes",
        "created",
        "error",
    ]
    assert (entry["name"], entry["error"]) == ("genes", None)
    name, size, _, base, created, error = ran(genes, "ls", "--long").rstrip("\n").split("\t")
    assert (name, int(size), int(base, 16)) == ("genes", entry["file_bytes"], entry["base"])
    assert (created, error) == (entry["created"], "")


def test_ls_shows_a_damaged_store_beside_the_others(genes: Path) -> None:
    (genes / "seg" / "broken.seg").write_bytes(b"nothing" * 4096)
    broken, whole = json.loads(ran(genes, "ls", "--json"))["stores"]
    assert (whole["name"], whole["error"]) == ("genes", None)
    assert (broken["name"], broken["error"]["code"]) == ("broken", 3)
    assert ran(genes, "ls", "-l").startswith("broken\t-\t-\t-\t-\t")


def test_info_json_has_a_stable_shape(genes: Path) -> None:
    facts = json.loads(ran(genes, "info", "genes", "--json"))
    assert facts.keys() == {
        *("name", "home", "path", "uuid", "created", "domain", "durability"),
        *("base", "reserved_bytes", "fragmentation", "slab_free_bytes"),
        *("file_bytes", "live_bytes", "live_blocks", "free_bytes", "meta_bytes", "structures"),
    }
    assert facts["structures"] == [
        {"name": "h", "kind": "hashmap", "key": "str", "value": "str", "items": 1},
        {"name": "n", "kind": "btree", "key": "int", "value": "int", "items": 7},
        {"name": "t", "kind": "btree", "key": "str", "value": "any", "items": 10},
    ]


def test_info_shows_the_structures(genes: Path) -> None:
    shown = ran(genes, "info", "genes")
    assert "memory (tmpfs)" in shown
    assert ["t", "btree", "str", "any", "10"] in [line.split() for line in shown.splitlines()]


def test_check_says_what_it_went_through(genes: Path) -> None:
    assert ran(genes, "check", "genes").startswith("genes is whole: 3 structures, 18 items, ")
    found = json.loads(ran(genes, "check", "genes", "--json"))
    assert (found["name"], found["structures"], found["items"]) == ("genes", 3, 18)
    assert found.keys() == {
        *("name", "structures", "items", "blocks", "bytes"),
        *("leaked_blocks", "leaked_bytes", "freed_blocks", "freed_bytes"),
        *("verified_pages", "unverified_pages", "accepted", "seconds"),
    }


def test_check_repairs(genes: Path) -> None:
    ran(genes, "put", "genes", "h", "key", "a needle, and more than fits into a word")
    segment = genes / "seg" / "genes.seg"
    segment.write_bytes(segment.read_bytes().replace(b"a needle", b"A needle"))
    assert "checksum" in failed(genes, 3, "check", "genes")
    repaired = ran(genes, "check", "genes", "--repair").splitlines()
    assert repaired[0].startswith("genes is whole: 3 structures, 19 items, ")
    assert repaired[1].startswith("taken as it is: ")
    assert "pages verified" in ran(genes, "check", "genes")


def test_put_and_load_make_stores_that_survive_power_loss(disk_home: Path) -> None:
    ran(disk_home, "put", "genes", "t", "a", "1", "--create", "--durability", "power")
    assert "survives power loss" in ran(disk_home, "info", "genes")
    rows = "key,value\na,1\n"
    options = ("--format", "csv", "--key", "key", "--tree", "t", "--durability", "power")
    assert run(disk_home, "load", "more", "-", *options, stdin=rows).exit_code == 0
    assert json.loads(ran(disk_home, "info", "more", "--json"))["domain"] == "wal"
    assert run(disk_home, "put", "genes", "t", "a", "1", "--durability", "disk").exit_code == 2
    assert ran(disk_home, "get", "genes", "t", "a") == "1\n"


def test_rm_and_drop_ask_and_refuse_where_they_cannot(genes: Path) -> None:
    assert "--yes" in failed(genes, 2, "rm", "genes")
    assert "--yes" in failed(genes, 2, "drop", "genes", "t")
    with sj.open("genes", "r", home=genes) as store:
        assert list(store.roots) == ["h", "n", "t"]
    ran(genes, "drop", "genes", "t", "--yes")
    with sj.open("genes", "r", home=genes) as store:
        assert list(store.roots) == ["h", "n"]
    ran(genes, "rm", "genes", "--yes")
    assert sj.Catalog(genes).names() == []


@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, []), ("n", 130, ["genes"])])
def test_rm_goes_by_the_answer(genes: Path, answer: str, code: int, left: list[str]) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run(
        [*COMMAND, "--home", str(genes), "rm", "genes"],
        check=False,
        stdin=theirs,
        capture_output=True,
        text=True,
    )
    os.close(ours)
    os.close(theirs)
    assert (done.returncode, sj.Catalog(genes).names()) == (code, left)
    assert "Remove the store genes (" in done.stderr


# --- items --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "key", "value", "stored", "shown"),
    [
        ("int", "-17", "0x10", (-17, 16), "16"),
        ("float", "1e3", "-0.5", (1000.0, -0.5), "-0.5"),
        ("str", "17", '"x"', ("17", '"x"'), '"x"'),
        ("bytes", "00ff", "ab", (b"\x00\xff", b"\xab"), '{"$bytes": "ab"}'),
        ("any", "17", '[1, {"a": null}]', (17, [1, {"a": None}]), '[1, {"a": null}]'),
        ("any", "x y", '"text"', ("x y", "text"), "text"),
        ("any", '["a", [1]]', '{"$tuple": [1]}', (("a", (1,)), (1,)), '{"$tuple": [1]}'),
    ],
)
def test_put_and_get_read_keys_and_values_as_the_codec_says(
    home: Path, codec: str, key: str, value: str, stored: tuple[Any, Any], shown: str
) -> None:
    codecs = ("--create", "--key-codec", codec, "--value-codec", codec)
    ran(home, "put", *codecs, "--", "s", "t", key, value)
    with sj.open("s", "r", home=home) as store:
        assert list(store["t"].items()) == [stored]
    assert ran(home, "get", "--", "s", "t", key) == f"{shown}\n"
    found = json.loads(ran(home, "get", "--json", "--", "s", "t", key))
    assert found.keys() == {"key", "value"}
    ran(home, "rm-key", "--", "s", "t", key)
    with sj.open("s", "r", home=home) as store:
        assert len(store["t"]) == 0


def test_put_makes_a_structure_only_when_asked_to(genes: Path) -> None:
    assert "no structure named 'new'" in failed(genes, 1, "put", "genes", "new", "k", "1")
    assert "no store 'new'" in failed(genes, 1, "put", "new", "t", "k", "1")
    assert "expected JSON" in failed(genes, 2, "put", "genes", "new", "k", "{", "--create")
    with sj.open("genes", "r", home=genes) as store:
        assert "new" not in store.roots
    ran(genes, "put", "genes", "new", "k", "1", "--create", "--hash")
    with sj.open("genes", "r", home=genes) as store:
        assert store.roots["new"].kind == "hashmap"


def lines(home: Path, *arguments: str) -> list[str]:
    return ran(home, "scan", *arguments).splitlines()


def test_scan_prints_keys_and_values_in_order(genes: Path) -> None:
    assert lines(genes, "genes", "n") == [f"{at}\t{at * at}" for at in range(-3, 4)]
    assert lines(genes, "genes", "t", "--limit", "1") == ['g0\t{"at": 0}']
    assert lines(genes, "genes", "h") == ["a\tb"]


def test_scan_bounds_are_both_included(genes: Path) -> None:
    bounds = ("genes", "n", "--from", "-1", "--to", "2", "--keys")
    assert lines(genes, *bounds) == ["-1", "0", "1", "2"]
    assert lines(genes, *bounds, "--reverse", "--limit", "2") == ["2", "1"]
    assert lines(genes, *bounds, "--count") == ["4"]
    assert lines(genes, "genes", "n", "--from", "9", "--to", "-9", "--count") == ["0"]
    assert lines(genes, "genes", "h", "--count", "--json") == ['{"count": 1}']


@pytest.mark.parametrize("codec", ["str", "any", "bytes"])
def test_scan_prefix_finds_what_begins_so(home: Path, codec: str) -> None:
    words = ["", "a", "ab", "ab\U0010ffff", "abc", "ac", "b", "\ud7ff", "\ud7ffx", "\ue000"]
    with sj.open("s", home=home) as store:
        tree = store.btree("t", key=codec)
        for word in words:
            tree[word.encode() if codec == "bytes" else word] = 1
        if codec == "any":
            tree.update({b"ab": 1, 5: 1})
    for prefix in ("", "a", "ab", "b", "x", "\ud7ff", "\U0010ffff"):
        text = prefix.encode().hex() if codec == "bytes" else prefix
        expected = sum(word.startswith(prefix) for word in words)
        for order in ((), ("--reverse",)):
            found = lines(home, "s", "t", "--keys", "--prefix", text, *order)
            assert len(found) == expected
        assert lines(home, "s", "t", "--count", "--prefix", text) == [str(expected)]


def test_scan_json_is_a_line_for_each_item(genes: Path) -> None:
    found = [json.loads(line) for line in lines(genes, "genes", "t", "--json")]
    assert found == [{"key": f"g{at}", "value": {"at": at}} for at in range(10)]
    assert lines(genes, "genes", "n", "--json", "--keys", "--limit", "1") == ['{"key": -3}']


def test_order_is_not_asked_of_a_hash_map(genes: Path) -> None:
    for option in (("--from", "a"), ("--to", "a"), ("--prefix", "a"), ("--reverse",)):
        assert "no order" in failed(genes, 2, "scan", "genes", "h", *option)


def test_control_characters_do_not_reach_the_terminal(home: Path) -> None:
    with sj.open("s", home=home) as store:
        tree = store.btree("t", key="str")
        tree["\x1b[31m"] = {"\x9b": "a\nb"}
    assert lines(home, "s", "t") == [r'"\u001b[31m"' + "\t" + r'{"\u009b": "a\nb"}']


# --- exit codes ---------------------------------------------------------------------------------


def test_1_what_is_not_there(genes: Path) -> None:
    assert "did you mean 'genes'?" in failed(genes, 1, "get", "gene", "t", "g1")
    assert "it has 'h', 'n', 't'" in failed(genes, 1, "get", "genes", "u", "g1")
    assert "no key 'g99'" in failed(genes, 1, "get", "genes", "t", "g99")
    assert "no key 'g99'" in failed(genes, 1, "rm-key", "genes", "t", "g99")
    for command in ("info", "check", "rm"):
        failed(genes, 1, command, "nothing")
    failed(genes, 1, "drop", "genes", "nothing")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("foo",), "No such command 'foo'"),
        (("ls", "--foo"), "No such option"),
        (("get", "genes"), "Missing argument"),
        (("get", "genes", "n", "x"), "expected a whole number (codec 'int'), found 'x'"),
        (("get", "genes", "n", "-5"), "goes after --"),
        (("put", "genes", "t", "k", "{a: 1}"), "expected JSON"),
        (("put", "genes", "t", "k", '{"$bytes": "zz"}'), "$bytes"),
        (("put", "genes", "n", "1", "x"), "expected a whole number"),
        (("put", "genes", "n", "1", "1", "--create", "--key-codec", "str"), "codec 'str'"),
        (("put", "genes", "t", "k", "1", "--create", "--hash"), "expected a hashmap"),
        (("put", "genes", "t", "k", "1", "--key-codec", "nope"), "nope"),
        (("info", "../x"), "try 'x'"),
        (("scan", "genes", "n", "--from", "x"), "--from: expected"),
        (("scan", "genes", "n", "--prefix", "1"), "--prefix: expected"),
        (("scan", "genes", "t", "--prefix", "g", "--from", "g"), "--prefix: expected"),
        (("scan", "genes", "t", "--limit", "x"), "--limit"),
        (("--timeout", "soon", "ls"), "--timeout: expected"),
        (("--timeout", "nan", "ls"), "--timeout: expected"),
        (("--timeout", "-1", "ls"), "--timeout: expected"),
        (("--home", "", "ls"), "home: expected"),
    ],
)
def test_2_what_is_not_acceptable(genes: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in failed(genes, 2, *arguments)


def damage(home: Path, how: str) -> None:
    path = home / "seg" / "genes.seg"
    if how == "truncated":
        os.truncate(path, 65536)
    elif how == "overwritten":
        path.write_bytes(b"This is no segment. " * 4096)
    else:
        (home / "seg" / "copy.seg").write_bytes(path.read_bytes())


@pytest.mark.parametrize(
    ("how", "name"), [("truncated", "genes"), ("overwritten", "genes"), ("copied", "copy")]
)
def test_3_what_is_damaged(genes: Path, how: str, name: str) -> None:
    damage(genes, how)
    for command in (("info",), ("check",), ("get", "t", "g1")):
        failed(genes, 3, command[0], name, *command[1:])


OTHER_BOOT = 'mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec "$@"'


def after_a_reboot(boot: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command where the machine seems to have been started anew."""
    boot.write_text("11111111-2222-3333-4444-555555555555\n")
    command = [*COMMAND, "--home", str(home), *arguments]
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", OTHER_BOOT, "sh", str(boot), *command],
        check=False,
        capture_output=True,
        text=True,
    )


def leave_open(home: Path) -> None:
    """Leave a store as a process does that the machine stops under."""
    program = (
        "import os, sys, spacejmp as sj\n"
        "tree = sj.open('s', home=sys.argv[1]).btree('t')\n"
        "tree.update(dict.fromkeys(range(1000)))\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, str(home)], check=True)


def test_3_a_store_that_the_machine_stopped_under_until_it_is_accepted(
    disk_home: Path, tmp_path: Path
) -> None:
    leave_open(disk_home)
    boot = tmp_path / "boot_id"
    refused = after_a_reboot(boot, disk_home, "get", "s", "t", "1")
    if refused.returncode not in (0, 3):
        pytest.skip(f"no namespaces here: {refused.stderr}")
    assert refused.returncode == 3
    assert "spacejmp check --accept s" in refused.stderr
    assert after_a_reboot(boot, disk_home, "check", "s").returncode == 3
    assert after_a_reboot(boot, disk_home, "check", "s", "--accept").returncode == 0
    assert after_a_reboot(boot, disk_home, "get", "s", "t", "1").stdout == "null\n"


def test_3_a_store_that_is_not_whole_is_not_accepted(disk_home: Path, tmp_path: Path) -> None:
    leave_open(disk_home)
    with sj.open("s", home=disk_home) as store:
        live = store.stats().meta_bytes
    leave_open(disk_home)
    path = disk_home / "seg" / "s.seg"
    with path.open("r+b") as segment:
        segment.seek(live)
        size = path.stat().st_size - live
        segment.write(b"\xa5" * size)
    boot = tmp_path / "boot_id"
    refused = after_a_reboot(boot, disk_home, "check", "s", "--accept")
    if refused.returncode not in (0, 3):
        pytest.skip(f"no namespaces here: {refused.stderr}")
    assert refused.returncode == 3
    assert "Traceback" not in refused.stderr
    assert "check --accept" in after_a_reboot(boot, disk_home, "info", "s").stderr


def test_4_what_others_hold(genes: Path) -> None:
    program = (
        "import sys, spacejmp as sj\n"
        "with sj.open('genes', home=sys.argv[1]) as store, store.write():\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(genes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        failed(genes, 4, "--timeout", "0.05", "get", "genes", "t", "g1")
        failed(genes, 4, "--timeout", "0", "put", "genes", "t", "g1", "1")
        holder.communicate(b"\n")
    assert ran(genes, "get", "genes", "t", "g1") == '{"at": 1}\n'


def test_5_what_the_system_refuses(genes: Path) -> None:
    (genes / "file").write_text("")
    failed(genes / "file", 5, "put", "s", "t", "k", "1", "--create")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "--home", str(genes), "scan", "genes", "t"],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (5, "spacejmp: No space left on device\n")


def test_70_a_bug_is_told_in_a_line(genes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object, **__: object) -> None:
        raise RuntimeError("something is wrong here")

    monkeypatch.setattr(items, "open_store", bug)
    assert "SPACEJMP_TRACEBACK=1" in failed(genes, 70, "get", "genes", "t", "g1")
    monkeypatch.setenv("SPACEJMP_TRACEBACK", "1")
    assert isinstance(run(genes, "get", "genes", "t", "g1").exception, RuntimeError)


def test_130_ctrl_c(genes: Path) -> None:
    command = [*COMMAND, "--home", str(genes), "load", "genes", "-", "--tree=n", "--key=k"]
    with subprocess.Popen(
        [*command, "--format=csv"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as loading:
        assert loading.stdin is not None
        assert loading.stderr is not None
        # More than a pipe holds, so it has begun to read; less than a batch.
        loading.stdin.write("k,v\n")
        loading.stdin.writelines(f"{at},{at}\n" for at in range(100_000, 109_000))
        loading.stdin.flush()
        loading.send_signal(signal.SIGINT)
        assert loading.wait() == 130
        assert loading.stderr.read() == "spacejmp: interrupted\n  nothing was changed\n"


def test_141_a_reader_that_goes_away(home: Path) -> None:
    with sj.open("s", home=home) as store:
        store.btree("t", key="int").update(dict.fromkeys(range(50_000), "x" * 50))
    with subprocess.Popen(
        [*COMMAND, "--home", str(home), "scan", "s", "t"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as scan:
        assert scan.stdout is not None
        assert scan.stderr is not None
        assert scan.stdout.readline() == b"0\t" + b"x" * 50 + b"\n"
        scan.stdout.close()
        assert scan.wait() == 141
        assert scan.stderr.read() == b""


# --- mmu ----------------------------------------------------------------------------------------


def test_mmu_tells_what_gets_would_cost(genes: Path) -> None:
    found = json.loads(ran(genes, "mmu", "genes", "--gets", "200", "--json"))
    assert [structure["name"] for structure in found["structures"]] == ["h", "n", "t"]
    for structure in found["structures"]:
        modes = structure["modes"]
        assert modes["held"]["walks_per_get"] == modes["tagged"]["walks_per_get"] == 0
        assert modes["flushing"]["walks_per_get"] >= 1
        assert modes["flushing"]["cycles_per_get"] > modes["tagged"]["cycles_per_get"]
        assert modes["flushing"]["cycles_per_switch"] > modes["tagged"]["cycles_per_switch"] == 807
        assert [modes[mode]["switches"] for mode in modes] == [400, 400, 2]
        assert modes["held"]["table_bytes"] % 4096 == 0
    fewer = json.loads(ran(genes, "mmu", "genes", "--gets", "200", "--switches", "50", "--json"))
    assert fewer["structures"][0]["modes"]["flushing"]["switches"] == 8
    lines = ran(genes, "mmu", "genes", "--gets", "9", "--preset", "zen4", "--levels", "5")
    assert lines.startswith("zen4, 2.4 GHz, dragonfly, 5 levels: page tables ")
    assert len(lines.splitlines()) == 1 + 3 * 3


def test_mmu_of_what_is_not_there(genes: Path) -> None:
    assert "expected one of m1, m2, m3" in failed(genes, 2, "mmu", "genes", "--preset", "m9")
    assert "expected one of dragonfly" in failed(genes, 2, "mmu", "genes", "--system", "plan9")
    failed(genes, 1, "mmu", "nothing")
    sj.open("empty", home=genes).close()
    assert "nothing to get in empty" in ran(genes, "mmu", "empty")


# --- clones and versions ------------------------------------------------------------------------


def test_clone_snapshot_and_versions(genes: Path) -> None:
    assert "copy is a clone of genes at 0x" in ran(genes, "clone", "genes", "copy")
    assert ran(genes, "snapshot", "genes") == "genes@1\n"
    ran(genes, "put", "genes", "t", "g3", '"changed"')
    made = json.loads(ran(genes, "snapshot", "genes", "later", "--json"))
    assert (made["name"], made["tag"]) == ("genes@later", "later")
    assert made["file_bytes"] > 0
    lines = [line.split("\t") for line in ran(genes, "versions").splitlines()]
    assert [line[0] for line in lines] == ["genes@1", "genes@later"]
    shown = json.loads(ran(genes, "versions", "genes", "--json"))
    assert shown["versions"][1] == made
    assert ran(genes, "versions", "copy") == ""
    assert ran(genes, "get", "genes@1", "t", "g3") == ran(genes, "get", "copy", "t", "g3")
    assert ran(genes, "get", "genes@later", "t", "g3") == "changed\n"
    assert ran(genes, "ls") == "copy\ngenes\n"
    assert "genes@1 is whole" in ran(genes, "check", "genes@1")
    assert json.loads(ran(genes, "info", "genes@1", "--json"))["name"] == "genes@1"
    facts = json.loads(ran(genes, "clone", "genes@1", "old", "--json"))
    assert (facts["name"], facts["path"]) == ("old", str(genes / "seg" / "old.seg"))
    ran(genes, "rm", "genes@1", "--yes")
    assert len(ran(genes, "versions").splitlines()) == 1


def test_what_clone_and_snapshot_refuse(genes: Path) -> None:
    ran(genes, "snapshot", "genes", "a")
    assert "found one" in failed(genes, 2, "snapshot", "genes", "a")
    assert "found one" in failed(genes, 2, "clone", "genes", "genes")
    assert "no store 'other'" in failed(genes, 1, "clone", "other", "copy")
    assert "is a version" in failed(genes, 5, "put", "genes@a", "t", "g3", "1")
    assert "expected 1 to 128 characters" in failed(genes, 2, "clone", "genes", "genes@b")
    assert "not to be had" in failed(genes, 2, "clone", "genes", "p", "--durability", "power")
