# SPDX-License-Identifier: Apache-2.0
"""The bindings of libpmem and libpmem2, run against the libraries themselves."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from spacejmp.persistence import pmdk
from spacejmp.persistence.errors import (
    AddressConflictError,
    DetachedError,
    InvalidArgumentError,
    LibraryMissingError,
    StorePermissionError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

needs_pmdk = pytest.mark.skipif(
    not pmdk.available(), reason="libpmem1 and libpmem2 are not installed: make deps"
)

SIZE = 4 << 20
EMULATION = {"PMEM2_FORCE_GRANULARITY": "CACHE_LINE", "PMEM_IS_PMEM_FORCE": "1"}


def run(code: str, **environment: str) -> str:
    """What a fresh process prints: the libraries read their variables when they are loaded."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    return done.stdout.strip()


@pytest.fixture
def file(home: Path) -> Iterator[int]:
    fd = os.open(home / "file", os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(fd, SIZE)
    yield fd
    os.close(fd)


def test_cffi_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, spacejmp, spacejmp.persistence.pmdk; print('_cffi_backend' in sys.modules)"
    assert run(code) == "False"


def test_a_missing_library_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(pmdk, "_LIBPMEM", "libpmem.so.991")
    monkeypatch.setattr(pmdk, "_LIBPMEM2", "libpmem2.so.992")
    monkeypatch.setattr(
        pmdk, "_PACKAGES", {"libpmem.so.991": "libpmem1", "libpmem2.so.992": "libpmem2"}
    )
    assert not pmdk.available()
    with pytest.raises(LibraryMissingError) as caught:
        pmdk.version()
    assert "libpmem.so.991" in str(caught.value)
    assert "Debian calls libpmem1 " in str(caught.value)
    with pytest.raises(ImportError, match=r"libpmem2\.so\.992.* Debian calls libpmem2 ") as other:
        pmdk.Source(0)
    assert "apt-get install libpmem1 libpmem2" in str(other.value)


@needs_pmdk
def test_libpmem_tells_its_version_and_what_the_machine_has() -> None:
    assert pmdk.version() >= (1, 0)
    assert pmdk.has_hw_drain() is False
    assert pmdk.has_auto_flush() in {False, True}


@needs_pmdk
def test_memory_is_pmem_only_when_that_is_forced(file: int) -> None:
    with mmap.mmap(file, SIZE) as memory:
        view = ctypes.c_char.from_buffer(memory)
        assert not pmdk.is_pmem(ctypes.addressof(view), SIZE)
        del view
    code = "from spacejmp.persistence import pmdk; print(pmdk.is_pmem(4096, 4096))"
    assert run(code) == "False"
    assert run(code, **EMULATION) == "True"


@needs_pmdk
def test_a_source_says_what_its_file_is(file: int) -> None:
    with pmdk.Source(file) as source:
        assert source.size == SIZE
        assert source.alignment % mmap.PAGESIZE == 0
        assert source.bad_blocks() == []
    source.close()
    with pytest.raises(DetachedError):
        _ = source.size


@needs_pmdk
def test_what_a_device_does_not_have_is_unsupported(file: int) -> None:
    with pmdk.Source(file) as source:
        with pytest.raises(UnsupportedError, match=r"pmem2_source_device_usc: .+"):
            _ = source.unsafe_shutdowns
        with pytest.raises(UnsupportedError, match=r"pmem2_source_device_id: .+"):
            _ = source.device_id
        with pytest.raises(UnsupportedError, match=r"pmem2_map_new: .*granularity"):
            pmdk.Map(source, pmdk.Granularity.CACHE_LINE)


@needs_pmdk
def test_files_that_cannot_be_mapped_are_refused(home: Path, file: int) -> None:
    with pytest.raises(InvalidArgumentError, match=r"pmem2_source_from_fd: .+"):
        pmdk.Source(987654)
    directory = os.open(home, os.O_RDONLY)
    try:
        with pytest.raises(InvalidArgumentError):
            pmdk.Source(directory)
    finally:
        os.close(directory)
    with pmdk.Source(file) as source, pytest.raises(InvalidArgumentError, match="pmem2_map_new"):
        pmdk.Map(source, offset=SIZE, length=4096)
    reader = os.open(home / "file", os.O_RDONLY)
    try:
        with pmdk.Source(reader) as source, pytest.raises(StorePermissionError):
            pmdk.Map(source)
        with pmdk.Source(reader) as source, pmdk.Map(source, writable=False) as mapped:
            assert mapped.size == SIZE
    finally:
        os.close(reader)


@needs_pmdk
def test_what_is_stored_to_a_map_is_in_the_file(file: int) -> None:
    with pmdk.Source(file) as source, pmdk.Map(source) as mapped:
        assert mapped.size == SIZE
        assert mapped.granularity is pmdk.Granularity.PAGE
        ctypes.memmove(mapped.address + 4096, b"persistent", 10)
        mapped.persist(4096, 10)
        mapped.deep_flush()
        mapped.deep_flush(4096, 10)
        assert os.pread(file, 10, 4096) == b"persistent"
        for offset, length in ((-1, 1), (0, SIZE + 1), (SIZE, 1), (0, -1)):
            with pytest.raises(InvalidArgumentError, match=f"offset {offset} and length"):
                mapped.deep_flush(offset, length)
    with pytest.raises(DetachedError):
        _ = mapped.address


@needs_pmdk
def test_a_mapping_that_is_there_is_made_known_and_stays(file: int) -> None:
    with mmap.mmap(file, SIZE) as memory, pmdk.Source(file) as source:
        view = ctypes.c_char.from_buffer(memory)
        where = ctypes.addressof(view), SIZE, pmdk.Granularity.PAGE
        with pmdk.Map.existing(source, *where) as mapped:
            assert (mapped.address, mapped.size, mapped.granularity) == where
            mapped.deep_flush()
            with pytest.raises(AddressConflictError):
                pmdk.Map.existing(source, *where)
        memory[:2] = b"ok"
        assert os.pread(file, 2, 0) == b"ok"
        del view


@needs_pmdk
@pytest.mark.parametrize("forced", ["BYTE", "CACHE_LINE", "PAGE"])
def test_granularity_is_what_the_library_says(file: int, home: Path, forced: str) -> None:
    code = (
        "import os\n"
        "from spacejmp.persistence.pmdk import Map, Source\n"
        f"fd = os.open({str(home / 'file')!r}, os.O_RDWR)\n"
        "with Source(fd) as source, Map(source) as mapped:\n"
        "    mapped.persist()\n"
        "    print(mapped.granularity.name)\n"
    )
    assert run(code, PMEM2_FORCE_GRANULARITY=forced) == forced
