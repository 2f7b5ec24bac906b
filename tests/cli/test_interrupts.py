# SPDX-License-Identifier: Apache-2.0
"""Commands that make a home of their own leave none behind, whichever signal ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from spacejmp.apps.interrupts import signals_unwind

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "spacejmp"]
GUPS = ["gups", "--windows=4", "--window-bytes=1M", "--rounds=1000", "--directory"]
SWITCH = ["bench", "switch", "--segments=1,2", "--sizes=1M", "--rounds=20", "--directory"]


def wait_for_files(folder: Path, running: subprocess.Popen[bytes], pattern: str) -> None:
    while not list(folder.glob(pattern)):
        assert running.poll() is None, "it ended before anything was made"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("arguments", [GUPS, SWITCH], ids=["gups", "switch"])
def test_a_benchmark_that_is_ended_leaves_no_home(
    home: Path, arguments: list[str], number: signal.Signals
) -> None:
    with subprocess.Popen([*COMMAND, *arguments, str(home)], start_new_session=True) as running:
        wait_for_files(home, running, "*/lock/*")
        os.killpg(running.pid, number)  # its own processes too, as a terminal does
        os.killpg(running.pid, number)
    assert running.returncode == -number
    assert list(home.iterdir()) == []


def test_a_demo_that_is_ended_leaves_no_home(home: Path) -> None:
    code = "import sys, spacejmp.apps.demo as demo; from spacejmp.apps.cli import main\n"
    code += "home = sys.argv.pop(); demo._memory = lambda: home; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "demo", str(home)], stdout=subprocess.DEVNULL
    ) as running:
        wait_for_files(home, running, "*/seg/*.seg")
        running.terminate()
    assert running.returncode == -signal.SIGTERM
    assert list(home.iterdir()) == []


def test_a_signal_that_is_ignored_or_handled_stays_so() -> None:
    seen = []
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN), signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
        with signals_unwind():
            for number in (signal.SIGHUP, signal.SIGTERM):
                os.kill(os.getpid(), number)
        assert seen == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before[0])
        signal.signal(signal.SIGTERM, before[1])


def test_a_block_that_ends_leaves_the_signals_as_they_were() -> None:
    with pytest.raises(KeyError), signals_unwind():
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        raise KeyError
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
