# SPDX-License-Identifier: Apache-2.0
"""A virtual machine with an NVDIMM: Debian's cloud kernel, an initramfs made here, QEMU.

::

    build/dax/packages/      the kernel, out of its package (make deps-dax)
    build/dax/initramfs      busybox, e2fsprogs, modules, and the programs that run in it
    nvdimm                   the file behind the NVDIMM, mapped shared: what the machine stores
                             there stays when QEMU is killed

QEMU emulates the processor (TCG), for KVM is not to be had or does not work on many machines that
are virtual themselves; SJ_QEMU_ACCEL=kvm asks for it. A boot takes about ten seconds without.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "dax"
MODULES = ("nfit", "nd_pmem")
NVDIMM_BYTES = 1536 << 20
CMDLINE = "quiet panic=-1 nokaslr mitigations=off no_timer_check apparmor=0 audit=0"
BOOT_TIMEOUT_S = 300.0


# --- the initramfs ------------------------------------------------------------------------------


def kernel() -> tuple[Path, Path]:
    """Return the kernel image and the folder of its modules."""
    images = sorted((BUILD / "packages").glob("boot/vmlinuz-*"))
    if not images:
        raise SystemExit("there is no kernel in build/dax/packages: run `make deps-dax`")
    version = images[-1].name.removeprefix("vmlinuz-")
    return images[-1], BUILD / "packages" / "lib" / "modules" / version


def module_order(folder: Path) -> list[Path]:
    """Return the modules to load, each after those that it depends on."""
    by_name = {path.name.split(".")[0].replace("-", "_"): path for path in folder.rglob("*.ko")}
    order: list[Path] = []

    def add(name: str) -> None:
        path = by_name[name]
        found = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        for needed in (found[1].decode() if found else "").split(","):
            if needed:
                add(needed.replace("-", "_"))
        if path not in order:
            order.append(path)

    for name in MODULES:
        add(name)
    return order


def libraries(program: Path) -> list[Path]:
    """Return the shared libraries, the loader among them, that a program needs."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", listing)]


class Cpio:
    """An archive as the kernel unpacks it (newc)."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._folders: set[str] = set()
        self._entries = 0

    def _entry(self, name: str, mode: int, data: bytes) -> None:
        self._entries += 1
        fields = (self._entries, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        self._parts += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]

    def folder(self, name: str) -> None:
        """Add a folder, and those above it."""
        if name not in self._folders and name not in ("", "."):
            self.folder(os.path.dirname(name))
            self._folders.add(name)
            self._entry(name, 0o040755, b"")

    def file(self, name: str, data: bytes, mode: int = 0o755) -> None:
        """Add a regular file."""
        self.folder(os.path.dirname(name))
        self._entry(name, 0o100000 | mode, data)

    def finish(self) -> bytes:
        """Return the whole archive."""
        self._entry("TRAILER!!!", 0, b"")
        return b"".join(self._parts)


def tool(name: str) -> Path:
    """Find a program of the machine that this runs on."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise SystemExit(f"{name} is not installed: run `make deps-dax`")
    return Path(path)


def build_initramfs(programs: list[Path]) -> Path:
    """Pack what the machine runs; `programs` are linked statically, and go to /programs."""
    _, modules = kernel()
    archive = Cpio()
    for folder in ("proc", "sys", "dev"):
        archive.folder(folder)
    archive.file("init", (HERE / "init.sh").read_bytes())
    archive.file("bin/busybox", tool("busybox").read_bytes())
    shared: set[Path] = set()
    for name in ("mke2fs", "e2fsck"):
        program = tool(name)
        archive.file(f"sbin/{name}", program.read_bytes())
        shared.update(libraries(program))
    for library in sorted(shared):
        archive.file(str(library).lstrip("/"), library.read_bytes())
    archive.file("etc/mke2fs.conf", Path("/etc/mke2fs.conf").read_bytes())
    order = module_order(modules)
    for path in order:
        archive.file(f"modules/{path.name}", path.read_bytes(), 0o644)
    archive.file("modules/order", "\n".join(path.name for path in order).encode(), 0o644)
    for path in programs:
        archive.file(f"programs/{path.name}", path.read_bytes())
    BUILD.mkdir(parents=True, exist_ok=True)
    target = BUILD / "initramfs"
    target.write_bytes(archive.finish())
    return target


# --- the machine --------------------------------------------------------------------------------


class Machine:
    """One boot of the machine; leaving the block kills it.

    Parameters
    ----------
    nvdimm : Path
        The file behind the NVDIMM; it is made when it is missing.
    run : str
        What a shell in the machine is given to run, with the filesystem at /mnt/dax.
    acknowledged : Path
        Where the bytes go that the machine writes to port 0xe9.
    persistence : {"mem-ctrl", "cpu"}
        What the platform drains at power loss: the memory controller's buffers, or the caches too.
    """

    def __init__(
        self, nvdimm: Path, run: str, acknowledged: Path, persistence: str = "mem-ctrl"
    ) -> None:
        if not nvdimm.exists():
            nvdimm.touch()
            os.truncate(nvdimm, NVDIMM_BYTES)
        image, _ = kernel()
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.log: list[str] = []
        command = [
            "qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot",
            "-machine", f"q35,nvdimm=on,nvdimm-persistence={persistence}",
            "-accel", os.environ.get("SJ_QEMU_ACCEL", "tcg"), "-cpu", "max",
            "-m", "512M,slots=2,maxmem=4G",
            "-object", f"memory-backend-file,id=nv,share=on,mem-path={nvdimm},size={NVDIMM_BYTES}",
            "-device", "nvdimm,id=nvdimm,memdev=nv",
            "-kernel", str(image), "-initrd", str(BUILD / "initramfs"),
            "-append", f'console=ttyS0 {CMDLINE} sj_run="{run}"',
            "-serial", "stdio",
            "-chardev", f"file,id=acknowledged,path={acknowledged}",
            "-device", "isa-debugcon,iobase=0xe9,chardev=acknowledged",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.strip())
        self.lines.put(None)

    def wait_for(self, wanted: str, timeout: float = BOOT_TIMEOUT_S) -> str:
        """Wait for a line that has `wanted` in it; what fails in the machine is an error here."""
        end = time.monotonic() + timeout
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise self.error(f"expected {wanted!r}, and it did not come")
            self.log.append(line)
            if wanted in line:
                return line
            if "FAILED" in line or "panic" in line:
                raise self.error(line)

    def error(self, what: str) -> AssertionError:
        """Make the error that says what the machine did."""
        tail = "\n".join(self.log[-40:])
        return AssertionError(f"{what}\n--- the machine's last words\n{tail}")

    def kill(self) -> None:
        """SIGKILL; what it had acknowledged is in its file."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
