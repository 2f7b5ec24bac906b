# SPDX-License-Identifier: Apache-2.0
"""PMDK: libpmem and libpmem2, bound through cffi, for those who run on persistent memory.

The libraries are opened when the first function of this module needs them. spacejmp never does: the
``dax`` domain flushes by itself. What they add is what a device says of itself (bad blocks, unsafe
shutdowns, its id), deep flushes, and `use_in_core`, after which the ``dax`` domain asks libpmem2
what a file's granularity is, and flushes with its functions. The core calls these directly.

Emulation, for tests: with ``PMEM2_FORCE_GRANULARITY=CACHE_LINE`` in the environment (and
``PMEM_IS_PMEM_FORCE=1``, which tells libpmem the same) ``spacejmp.open(…, durability="power")``
gives the ``dax`` domain on tmpfs. All is flushed and fenced as it would be on DAX; yet nothing of
it survives power loss.

Errors: what libpmem2 answers becomes an exception of `spacejmp.persistence.errors`, with the
message that the library has left.
"""

from __future__ import annotations

import enum
import errno
import functools
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from spacejmp.persistence.errors import (
    AddressConflictError,
    DetachedError,
    InvalidArgumentError,
    LibraryMissingError,
    StoreIOError,
    StorePermissionError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = [
    "BadBlock",
    "Granularity",
    "Map",
    "Source",
    "available",
    "has_auto_flush",
    "has_hw_drain",
    "is_pmem",
    "use_builtin",
    "use_in_core",
    "version",
]

_LIBPMEM = "libpmem.so.1"
_LIBPMEM2 = "libpmem2.so.1"
_PACKAGES = {_LIBPMEM: "libpmem1", _LIBPMEM2: "libpmem2"}
_CORE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "libspacejmp.so")

_CDEF = """
const char *pmem_check_version(unsigned major_required, unsigned minor_required);
int pmem_is_pmem(const void *addr, size_t len);
int pmem_has_auto_flush(void);
int pmem_has_hw_drain(void);

struct pmem2_source;
struct pmem2_config;
struct pmem2_map;
struct pmem2_badblock_context;
struct pmem2_badblock { size_t offset; size_t length; };
int pmem2_source_from_fd(struct pmem2_source **, int);
int pmem2_source_delete(struct pmem2_source **);
int pmem2_source_size(const struct pmem2_source *, size_t *);
int pmem2_source_alignment(const struct pmem2_source *, size_t *);
int pmem2_source_numa_node(const struct pmem2_source *, int *);
int pmem2_source_device_id(const struct pmem2_source *, char *, size_t *);
int pmem2_source_device_usc(const struct pmem2_source *, uint64_t *);
int pmem2_config_new(struct pmem2_config **);
int pmem2_config_delete(struct pmem2_config **);
int pmem2_config_set_required_store_granularity(struct pmem2_config *, int);
int pmem2_config_set_offset(struct pmem2_config *, size_t);
int pmem2_config_set_length(struct pmem2_config *, size_t);
int pmem2_config_set_protection(struct pmem2_config *, unsigned);
int pmem2_map_new(struct pmem2_map **, const struct pmem2_config *, const struct pmem2_source *);
int pmem2_map_from_existing(struct pmem2_map **, const struct pmem2_source *, void *, size_t, int);
int pmem2_map_delete(struct pmem2_map **);
void *pmem2_map_get_address(struct pmem2_map *);
size_t pmem2_map_get_size(struct pmem2_map *);
int pmem2_map_get_store_granularity(struct pmem2_map *);
typedef void (*pmem2_persist_fn)(const void *, size_t);
typedef void (*pmem2_drain_fn)(void);
pmem2_persist_fn pmem2_get_persist_fn(struct pmem2_map *);
pmem2_persist_fn pmem2_get_flush_fn(struct pmem2_map *);
pmem2_drain_fn pmem2_get_drain_fn(struct pmem2_map *);
int pmem2_deep_flush(struct pmem2_map *, void *, size_t);
int pmem2_badblock_context_new(struct pmem2_badblock_context **, const struct pmem2_source *);
int pmem2_badblock_next(struct pmem2_badblock_context *, struct pmem2_badblock *);
int pmem2_badblock_clear(struct pmem2_badblock_context *, const struct pmem2_badblock *);
void pmem2_badblock_context_delete(struct pmem2_badblock_context **);
const char *pmem2_errormsg(void);

struct sj_dax_library {
    void *source_from_fd, *source_delete, *config_new, *config_delete, *config_set_granularity,
         *config_set_length, *config_set_protection, *map_new, *map_delete, *map_granularity,
         *map_flush, *map_drain;
};
void sj_dax_use(const struct sj_dax_library *library);
"""

# The members of struct sj_dax_library, in order.
_CORE_FUNCTIONS = (
    "pmem2_source_from_fd",
    "pmem2_source_delete",
    "pmem2_config_new",
    "pmem2_config_delete",
    "pmem2_config_set_required_store_granularity",
    "pmem2_config_set_length",
    "pmem2_config_set_protection",
    "pmem2_map_new",
    "pmem2_map_delete",
    "pmem2_map_get_store_granularity",
    "pmem2_get_flush_fn",
    "pmem2_get_drain_fn",
)

_PROT_READ = 1 << 30
_PROT_WRITE = 1 << 31

# What libpmem2 answers: PMEM2_E_… when it is its own, else a negative errno.
_NO_MORE_BAD_BLOCKS = -100029
_UNSUPPORTED = {
    -100001: "not supported",
    -100009: "the granularity is coarser than required",
    -100026: "the file is on no DAX region",
    -100036: "not supported by this kind of file",
}
_TAKEN = {-100007, -100034}
_NOT_ALLOWED = {-100032, -errno.EACCES, -errno.EPERM, -errno.EROFS}
_FAILED = {-100000, -100025, -100027, -100028, -100037}


class Granularity(enum.IntEnum):
    """The unit in which stores become durable: what has to be flushed after them."""

    BYTE = 0
    """Caches are in the persistence domain (eADR): a fence is enough."""
    CACHE_LINE = 1
    """Lines are flushed, then a fence."""
    PAGE = 2
    """An ordinary file: pages are written back by a system call."""


class BadBlock(NamedTuple):
    """A range of a file that cannot be read."""

    offset: int
    """Bytes from the beginning of the file."""
    length: int


@functools.cache
def _ffi() -> Any:
    import cffi

    ffi = cffi.FFI()
    ffi.cdef(_CDEF)
    return ffi


@functools.cache
def _library(name: str) -> Any:
    try:
        return _ffi().dlopen(name)
    except OSError as error:
        packages = " ".join(_PACKAGES.values())
        raise LibraryMissingError(
            f"expected the library {name} of PMDK, found: {error}; install what Debian calls "
            f"{_PACKAGES[name]} (apt-get install {packages}), or do without: spacejmp's 'dax' "
            f"domain needs no library"
        ) from None


def _error(call: str, code: int, before: bytes) -> Exception:
    """Make the exception for what a call has answered; `before`: the message before the call."""
    message: bytes = _ffi().string(_library(_LIBPMEM2).pmem2_errormsg())
    known = _UNSUPPORTED.get(code) or (os.strerror(-code) if code > -100000 else f"error {code}")
    found = message.decode(errors="replace") if message != before else known
    text = f"{call}: {found}"
    if code in _UNSUPPORTED or code == -errno.EOPNOTSUPP:
        return UnsupportedError(text)
    if code in _NOT_ALLOWED:
        return StorePermissionError(text)
    if code in _TAKEN:
        return AddressConflictError(text)
    if code == -errno.ENOMEM:
        return MemoryError(text)
    if code > -100000 or code in _FAILED:
        return StoreIOError(text)
    return InvalidArgumentError(text)


def _call(name: str, *arguments: Any) -> None:
    """Call a function of libpmem2; an exception when it fails."""
    library = _library(_LIBPMEM2)
    before: bytes = _ffi().string(library.pmem2_errormsg())
    code: int = getattr(library, name)(*arguments)
    if code != 0:
        raise _error(name, code, before)


def available() -> bool:
    """Whether both libraries can be loaded."""
    try:
        return _library(_LIBPMEM) is not None and _library(_LIBPMEM2) is not None
    except LibraryMissingError:
        return False


def version() -> tuple[int, int]:
    """The version of libpmem's interface that the machine has.

    Raises
    ------
    LibraryMissingError
        libpmem is not there; the message names the package.

    Examples
    --------
    >>> version() >= (1, 0)  # doctest: +SKIP
    True
    """
    library, minor = _library(_LIBPMEM), 0
    while not library.pmem_check_version(1, minor + 1):
        minor += 1
    return 1, minor


def is_pmem(address: int, length: int) -> bool:
    """Whether libpmem takes all of a range of this process for persistent memory.

    It knows only what it has mapped itself, and device DAX: a store on DAX says so by its domain.
    """
    return bool(_library(_LIBPMEM).pmem_is_pmem(_pointer(address), length))


def has_auto_flush() -> bool:
    """Whether the platform flushes the CPU's caches itself at power loss (eADR).

    Raises
    ------
    LibraryMissingError
    StoreIOError
        The kernel does not tell.
    """
    answer: int = _library(_LIBPMEM).pmem_has_auto_flush()
    if answer < 0:
        raise StoreIOError("pmem_has_auto_flush: the kernel's list of regions cannot be read")
    return answer == 1


def has_hw_drain() -> bool:
    """Whether the CPU has an instruction that drains to persistent memory; none has now."""
    return bool(_library(_LIBPMEM).pmem_has_hw_drain())


def use_in_core() -> None:
    """Let the ``dax`` domain take libpmem2's word for a file's granularity, and its functions.

    Stores that are opened afterwards do so. May be called again.

    Raises
    ------
    LibraryMissingError
        libpmem2 is not there; the message names the package.
    """
    ffi, library = _ffi(), _library(_LIBPMEM2)
    functions = [
        ffi.cast("void *", ffi.addressof(library, function)) for function in _CORE_FUNCTIONS
    ]
    _core().sj_dax_use(ffi.new("struct sj_dax_library *", functions))


def use_builtin() -> None:
    """Undo `use_in_core`, for stores that are opened afterwards."""
    _core().sj_dax_use(_ffi().NULL)


@functools.cache
def _core() -> Any:
    return _ffi().dlopen(_CORE)


def _pointer(address: int) -> Any:
    return _ffi().cast("void *", address)


class Source:
    """An open file as libpmem2 sees it.

    Parameters
    ----------
    fd : int
        An open file descriptor of a regular file or of device DAX. It stays the caller's, and has
        to stay open as long as the source is used.

    Raises
    ------
    LibraryMissingError
        libpmem2 is not there; the message names the package.
    InvalidArgumentError
        No such file can be mapped: a directory, a pipe, a descriptor opened for writing only.

    Examples
    --------
    >>> with open("genes.seg", "rb") as file, Source(file.fileno()) as source:  # doctest: +SKIP
    ...     source.unsafe_shutdowns, source.bad_blocks()
    (0, [])
    """

    __slots__ = ("_at",)

    def __init__(self, fd: int) -> None:
        self._at: Any = _ffi().new("struct pmem2_source **")
        _call("pmem2_source_from_fd", self._at, fd)

    @property
    def _source(self) -> Any:
        if not self._at[0]:
            raise DetachedError("the source has been closed: make another one of the file")
        return self._at[0]

    def _number(self, function: str, kind: str) -> int:
        number = _ffi().new(kind)
        _call(function, self._source, number)
        return int(number[0])

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._number("pmem2_source_size", "size_t *")

    @property
    def alignment(self) -> int:
        """What offset and length of a map have to be multiples of, in bytes."""
        return self._number("pmem2_source_alignment", "size_t *")

    @property
    def numa_node(self) -> int:
        """The NUMA node of the device; `UnsupportedError` when the file is on none that has one."""
        return self._number("pmem2_source_numa_node", "int *")

    @property
    def device_id(self) -> str:
        """What identifies the device; `UnsupportedError` when it has nothing."""
        size = _ffi().new("size_t *")
        _call("pmem2_source_device_id", self._source, _ffi().NULL, size)
        text = _ffi().new("char[]", size[0])
        _call("pmem2_source_device_id", self._source, text, size)
        return str(_ffi().string(text).decode(errors="replace"))

    @property
    def unsafe_shutdowns(self) -> int:
        """How often the device lost power with data under way (the unsafe shutdown count).

        One that has risen since a store was written says that acknowledged changes may be lost.
        `UnsupportedError` when the device does not count.
        """
        return self._number("pmem2_source_device_usc", "uint64_t *")

    def bad_blocks(self) -> list[BadBlock]:
        """List the ranges of the file that cannot be read.

        Raises
        ------
        StorePermissionError
            The kernel shows them to the superuser only.
        UnsupportedError
            The kind of file has no such list.
        """
        with _BadBlocks(self._source) as context:
            return context.blocks()

    def clear(self, block: BadBlock) -> None:
        """Give the range of a bad block fresh storage; what was there is lost."""
        with _BadBlocks(self._source) as context:
            raw = _ffi().new("struct pmem2_badblock *", tuple(block))
            _call("pmem2_badblock_clear", context.at[0], raw)

    def close(self) -> None:
        """Give the source back; maps made of it stay."""
        if self._at[0]:
            _call("pmem2_source_delete", self._at)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _BadBlocks:
    """A walk over the bad blocks of a source."""

    def __init__(self, source: Any) -> None:
        self.at: Any = _ffi().new("struct pmem2_badblock_context **")
        _call("pmem2_badblock_context_new", self.at, source)

    def blocks(self) -> list[BadBlock]:
        found: list[BadBlock] = []
        block, library = _ffi().new("struct pmem2_badblock *"), _library(_LIBPMEM2)
        before: bytes = _ffi().string(library.pmem2_errormsg())
        while (code := library.pmem2_badblock_next(self.at[0], block)) == 0:
            found.append(BadBlock(block.offset, block.length))
        if code != _NO_MORE_BAD_BLOCKS:
            raise _error("pmem2_badblock_next", code, before)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _library(_LIBPMEM2).pmem2_badblock_context_delete(self.at)


class Map:
    """A mapping of a file, made by libpmem2, or one that is there and made known to it.

    Parameters
    ----------
    source : Source
    granularity : Granularity
        The coarsest that will do; `UnsupportedError` when the file has a coarser one.
    offset, length : int
        The part of the file, in multiples of `Source.alignment`; all of it when left out.
    writable : bool

    Raises
    ------
    UnsupportedError, InvalidArgumentError, StorePermissionError, StoreIOError
    """

    __slots__ = ("_at",)

    def __init__(
        self,
        source: Source,
        granularity: Granularity = Granularity.PAGE,
        *,
        offset: int = 0,
        length: int = 0,
        writable: bool = True,
    ) -> None:
        self._at: Any = _ffi().new("struct pmem2_map **")
        config = _ffi().new("struct pmem2_config **")
        _call("pmem2_config_new", config)
        try:
            protection = _PROT_READ | _PROT_WRITE if writable else _PROT_READ
            _call("pmem2_config_set_required_store_granularity", config[0], int(granularity))
            _call("pmem2_config_set_offset", config[0], offset)
            _call("pmem2_config_set_length", config[0], length)
            _call("pmem2_config_set_protection", config[0], protection)
            _call("pmem2_map_new", self._at, config[0], source._source)
        finally:
            _call("pmem2_config_delete", config)

    @classmethod
    def existing(cls, source: Source, address: int, length: int, granularity: Granularity) -> Self:
        """Make a mapping that is there already, as that of an open store, known to libpmem2.

        Parameters
        ----------
        source : Source
            The file that is mapped.
        address, length : int
            The mapping, in whole pages.
        granularity : Granularity
            What it has: a store of domain ``dax`` has cache lines.

        Raises
        ------
        AddressConflictError
            libpmem2 knows a mapping there.
        """
        made = cls.__new__(cls)
        made._at = _ffi().new("struct pmem2_map **")
        where = _pointer(address)
        _call("pmem2_map_from_existing", made._at, source._source, where, length, int(granularity))
        return made

    @property
    def _map(self) -> Any:
        if not self._at[0]:
            raise DetachedError("the map has been closed: make another one")
        return self._at[0]

    @property
    def address(self) -> int:
        """Where it begins."""
        address = _library(_LIBPMEM2).pmem2_map_get_address(self._map)
        return int(_ffi().cast("uintptr_t", address))

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return int(_library(_LIBPMEM2).pmem2_map_get_size(self._map))

    @property
    def granularity(self) -> Granularity:
        """What has to be flushed after stores to it."""
        return Granularity(_library(_LIBPMEM2).pmem2_map_get_store_granularity(self._map))

    def persist(self, offset: int = 0, length: int | None = None) -> None:
        """Make what was stored to a part of the map durable: flush and fence."""
        at, length = self._part(offset, length)
        _library(_LIBPMEM2).pmem2_get_persist_fn(self._map)(_pointer(at), length)

    def deep_flush(self, offset: int = 0, length: int | None = None) -> None:
        """Write a part of the map to the storage itself, past the buffers of the platform.

        It survives then even when the platform's own energy store fails (ADR). Slow: for rare use.

        Raises
        ------
        StoreIOError
        """
        at, length = self._part(offset, length)
        _call("pmem2_deep_flush", self._map, _pointer(at), length)

    def _part(self, offset: int, length: int | None) -> tuple[int, int]:
        size = self.size
        length = size - offset if length is None else length
        if offset < 0 or length < 0 or offset + length > size:
            raise InvalidArgumentError(
                f"expected a part of the map of {size} bytes, found offset {offset} and length "
                f"{length}"
            )
        return self.address + offset, length

    def close(self) -> None:
        """Unmap it; one that was there before stays, and libpmem2 forgets it."""
        if self._at[0]:
            _call("pmem2_map_delete", self._at)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
