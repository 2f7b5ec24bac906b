# SPDX-License-Identifier: Apache-2.0
"""Every exception of spacejmp, in one tree.

::

    SpaceJmpError
    ├── NotFoundError             FileNotFoundError, KeyError
    ├── AlreadyExistsError        FileExistsError
    ├── InvalidArgumentError      ValueError
    │   └── InvalidNameError
    ├── TooLargeError             ValueError
    ├── OrderError                ValueError
    ├── StructureTypeError        TypeError
    │   └── CodecMismatchError    ValueError
    ├── RecordTypeError           TypeError
    ├── HoldError                 RuntimeError
    │   └── HoldUpgradeError
    ├── DetachedError             ValueError, as a closed file
    ├── ReadOnlyError             io.UnsupportedOperation, as a file opened for reading
    ├── SpaceBusyError            TimeoutError
    ├── LiveViewsError            BufferError, as of an array that is being looked at
    ├── SpaceFullError            OSError       ENOSPC
    ├── StoreIOError              OSError       EIO
    │   └── SegmentDamagedError
    ├── StorePermissionError      PermissionError
    ├── AddressConflictError      OSError       EADDRINUSE
    ├── UncleanShutdownError      OSError       EUCLEAN
    │   └── InDoubtError
    ├── UnsupportedError          OSError       EOPNOTSUPP
    ├── LibraryMissingError       ImportError
    ├── IdentityError             ValueError
    ├── FormatError               ValueError
    ├── VersionError              ValueError
    └── CorruptError              ValueError
        └── TruncatedError

On the right stands the builtin that each class derives from as well, so that code which knows
nothing of spacejmp catches what it expects to. Those that are ``OSError`` carry an ``errno``.

Each is made from one message and prints as that message. A message says what was expected, what
was found and what to do about it. All can be pickled, so they cross process borders.

The C core names its exceptions in ``persistence/error.h``; `exception_for` makes them. Running
out of memory is the builtin ``MemoryError``, a signal that ends a wait ``KeyboardInterrupt``.
"""

from __future__ import annotations

import errno
import io
from typing import ClassVar

__all__ = [
    "AddressConflictError",
    "AlreadyExistsError",
    "CodecMismatchError",
    "CorruptError",
    "DetachedError",
    "FormatError",
    "HoldError",
    "HoldUpgradeError",
    "IdentityError",
    "InDoubtError",
    "InvalidArgumentError",
    "InvalidNameError",
    "LibraryMissingError",
    "LiveViewsError",
    "NotFoundError",
    "OrderError",
    "ReadOnlyError",
    "RecordTypeError",
    "SegmentDamagedError",
    "SpaceBusyError",
    "SpaceFullError",
    "SpaceJmpError",
    "StoreIOError",
    "StorePermissionError",
    "StructureTypeError",
    "TooLargeError",
    "TruncatedError",
    "UncleanShutdownError",
    "UnsupportedError",
    "VersionError",
    "exception_for",
]


class SpaceJmpError(Exception):
    """The root of all exceptions that spacejmp defines.

    Parameters
    ----------
    message : str
        What was expected, what was found, and the remedy.

    Examples
    --------
    >>> from spacejmp.persistence.errors import NotFoundError, SpaceJmpError
    >>> error = NotFoundError("there is no store 'genes'")
    >>> print(error)
    there is no store 'genes'
    >>> isinstance(error, SpaceJmpError), isinstance(error, FileNotFoundError)
    (True, True)
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    def __str__(self) -> str:
        # KeyError would print the repr, OSError its errno.
        return str(self.args[0]) if self.args else ""


class _SystemError(SpaceJmpError, OSError):
    """Those that are ``OSError``: each class has its ``errno``."""

    _errno: ClassVar[int]

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.errno = self._errno


class NotFoundError(_SystemError, FileNotFoundError, KeyError):
    """No store, segment or root has this name."""

    _errno = errno.ENOENT


class AlreadyExistsError(_SystemError, FileExistsError):
    """The name that something new was to have is taken."""

    _errno = errno.EEXIST


class InvalidArgumentError(SpaceJmpError, ValueError):
    """An argument is out of its range."""


class InvalidNameError(InvalidArgumentError):
    """A name breaks the rule for names (`spacejmp.names`)."""


class TooLargeError(SpaceJmpError, ValueError):
    """A key or a value is larger than a structure can hold."""


class OrderError(SpaceJmpError, ValueError):
    """Keys that had to ascend do not."""


class StructureTypeError(SpaceJmpError, TypeError):
    """The structure of this name is of another kind than the one asked for."""


class CodecMismatchError(StructureTypeError, ValueError):
    """The structure was made with other codecs than the ones it is opened with."""


class RecordTypeError(SpaceJmpError, TypeError):
    """The fields of a record are not those of its class, or not these values."""


class HoldError(SpaceJmpError, RuntimeError):
    """The calling thread does not have the hold that the operation needs."""


class HoldUpgradeError(HoldError):
    """A write hold was asked for inside a read hold of the same space."""


class DetachedError(SpaceJmpError, ValueError):
    """The space that the object belongs to is detached from this process."""


class ReadOnlyError(_SystemError, io.UnsupportedOperation):
    """The store is open for reading only."""

    _errno = errno.EROFS


class SpaceBusyError(_SystemError, TimeoutError):
    """Others held what was waited for until the time was up."""

    _errno = errno.ETIMEDOUT


class LiveViewsError(SpaceJmpError, BufferError):
    """Memory of the store is in use by arrays that look at it: drop them first."""


class SpaceFullError(_SystemError):
    """No room is left: on the disk, in the segment or in the address arena.

    Nothing has changed by the operation that raised it.
    """

    _errno = errno.ENOSPC


class StoreIOError(_SystemError):
    """A system call on the store's files failed."""

    _errno = errno.EIO


class SegmentDamagedError(StoreIOError):
    """The store's files were cut short, or could not be read, while the store was open.

    The operation that raises it has changed nothing, and nor does any later one: close the store.
    """


class StorePermissionError(_SystemError, PermissionError):
    """The files or directories do not grant the access asked for."""

    _errno = errno.EACCES


class AddressConflictError(_SystemError):
    """Something else lies in the address range that belongs to the segment."""

    _errno = errno.EADDRINUSE


class UncleanShutdownError(_SystemError):
    """The machine stopped while the store was open, so its bytes cannot be trusted unchecked."""

    _errno = errno.EUCLEAN


class InDoubtError(UncleanShutdownError):
    """A process died in a transaction over several stores, and the one that decides is not there.

    Until it is, nobody knows whether this store's part was committed.
    """


class UnsupportedError(_SystemError):
    """The kernel, the filesystem or the device does not have what was asked for."""

    _errno = errno.EOPNOTSUPP


class LibraryMissingError(SpaceJmpError, ImportError):
    """A library that is loaded on request is not on this machine."""


class IdentityError(SpaceJmpError, ValueError):
    """A segment file was copied or renamed: it is not the segment that its place says it is."""


class FormatError(SpaceJmpError, ValueError):
    """The file is not a segment, or is one of another kind of machine."""


class VersionError(SpaceJmpError, ValueError):
    """The file was written by an incompatible version of spacejmp."""


class CorruptError(SpaceJmpError, ValueError):
    """What the media hold is damaged."""


class TruncatedError(CorruptError):
    """The file is shorter than the segment in it."""


_CLASSES: dict[int, type[BaseException]] = {
    1: NotFoundError,
    2: AlreadyExistsError,
    3: MemoryError,
    4: SpaceFullError,
    5: StoreIOError,
    6: FormatError,
    7: VersionError,
    8: CorruptError,
    9: TruncatedError,
    10: AddressConflictError,
    11: UncleanShutdownError,
    12: ReadOnlyError,
    13: SpaceBusyError,
    14: HoldUpgradeError,
    15: HoldError,
    16: DetachedError,
    17: TooLargeError,
    18: StructureTypeError,
    19: InvalidArgumentError,
    20: KeyboardInterrupt,
    21: OrderError,
    22: StorePermissionError,
    23: SegmentDamagedError,
    24: InvalidNameError,
    25: IdentityError,
    26: UnsupportedError,
    27: InDoubtError,
    28: RecordTypeError,
    29: LiveViewsError,
}


def exception_for(code: int, text: str, detail: str = "") -> BaseException:
    """Make the exception that stands for an error code of the core.

    Parameters
    ----------
    code : int
        An ``enum sj_error`` other than ``SJ_OK``.
    text : str
        What the code means, from ``sj_error_text``.
    detail : str
        What was found, from ``sj_error_detail``; empty when there is nothing to add.

    Returns
    -------
    BaseException
        Not raised yet. For a code that `error.h` does not know, a plain `SpaceJmpError`.

    Examples
    --------
    >>> exception_for(1, "there is no such name", "root 'genes'")
    NotFoundError("there is no such name: root 'genes'")
    """
    message = f"{text}: {detail}" if detail else text
    if code not in _CLASSES:
        return SpaceJmpError(f"error {code} of the core: {message}")
    return _CLASSES[code](message)
