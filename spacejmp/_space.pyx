# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_space.pyx: attaching spaces, and the holds and transactions of the calling thread.

Binds persistence/segment.h, spacejmp/space.h and spacejmp/hold.h; every wait releases the GIL and
looks for signals about twenty times a second.
"""

import sys
from collections import namedtuple

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals, PyErr_WarnEx

from spacejmp.persistence.errors import (
    HoldError,
    LiveViewsError,
    ReadOnlyError,
    SpaceBusyError,
    exception_for,
)

SegmentInfo = namedtuple(
    "SegmentInfo",
    "name uuid base reserved file_bytes created_ns clean this_boot durability image frozen",
)

_DURABILITIES = ("process", "power")

cdef enum:
    NAME_BYTES = 256


cdef int raise_error(int code) except -1:
    cdef bytes text = sj_error_text(code)
    cdef bytes detail = sj_error_detail()
    if code == SJ_EDETACHED:
        detail = b"the store has been closed: open it again with spacejmp.open()"
    raise exception_for(code, text.decode(), detail.decode("utf-8", "replace"))


cdef int poll_signals(void *context) noexcept nogil:
    """Between two slices of a wait: 1 when a signal handler has raised."""
    with gil:
        try:
            PyErr_CheckSignals()
        except BaseException as raised:
            (<list>context).append(raised)
            return 1
    return 0


cdef int raise_waited(int error, list raised) except -1:
    if raised:
        raise raised[0]
    return raise_error(error)


cdef int return_home() except -1:
    """Waits until the space that the thread is in again has its addresses."""
    cdef list raised = []
    cdef sj_wait wait = sj_wait(-1.0, poll_signals, <void *>raised)
    cdef int error
    with nogil:
        error = sj_return(&wait)
    return 0 if error == SJ_OK else raise_waited(error, raised)


cdef int after_leaving(int error) except -1:
    if error == SJ_EBUSY:
        return return_home()
    return raise_error(error) if error == SJ_EDAMAGED else 0


cdef int leave_and_wait(sj_space *space) except -1:
    cdef int error
    with nogil:
        error = sj_leave(space)
    if error == SJ_EBUSY:
        return return_home()
    return 0 if error == SJ_OK else raise_error(error)


def segment_create(path, str name, base, reserved, mode=0o600, *, power=False):
    """Make a segment file; it is complete when it appears under its name."""
    cdef bytes c_path = path_of(path)
    cdef bytes c_name = name.encode()
    cdef sj_segment_spec spec = sj_segment_spec(
        c_name, base, reserved, mode, SJ_DURABILITY_POWER if power else SJ_DURABILITY_PROCESS
    )
    cdef const char *at = c_path
    cdef int error
    with nogil:
        error = sj_segment_create(at, &spec)
    if error != SJ_OK:
        raise_error(error)


def segment_inspect(path):
    """Read what a segment file says of itself, without mapping it."""
    cdef bytes c_path = path_of(path)
    cdef sj_segment_info info
    cdef int error = sj_segment_inspect(c_path, &info)
    if error != SJ_OK:
        raise_error(error)
    return segment_info(&info)


cdef object segment_info(const sj_segment_info *info):
    return SegmentInfo(
        (<bytes>info.name).decode("utf-8", "replace"),
        PyBytes_FromStringAndSize(<char *>info.uuid, 16),
        info.base,
        info.reserved,
        info.file_bytes,
        info.created_ns,
        bool(info.clean),
        bool(info.this_boot),
        _DURABILITIES[info.durability],
        (<bytes>info.image).decode(sys.getfilesystemencoding(), "surrogateescape"),
        bool(info.frozen),
    )


def is_open_somewhere(lock_path):
    """Whether a process has the space of that lock file open."""
    cdef bytes c_path = path_of(lock_path)
    return bool(sj_lock_has_others(c_path))


def attached_spaces():
    """The name, base and reserve of each space that this process has attached."""
    cdef char[NAME_BYTES] name
    cdef uint64_t base = 0, reserved = 0
    cdef list found = []
    while sj_space_nth(<size_t>len(found), name, &base, &reserved):
        found.append(((<bytes>name).decode("utf-8", "replace"), base, reserved))
    return found


cdef bytes path_of(path):
    return path if isinstance(path, bytes) else str(path).encode(
        sys.getfilesystemencoding(), "surrogateescape"
    )


cdef double seconds_of(timeout) except? -2.0:
    if timeout is None:
        return -1.0
    cdef double seconds = timeout
    if not seconds >= 0.0:
        raise ValueError(f"timeout must be None or seconds ≥ 0, found {timeout!r}")
    return seconds


cdef void warn_of_entered() noexcept:
    if sys.is_finalizing():
        return
    PyErr_WarnEx(
        ResourceWarning,
        b"a hold or transaction was dropped that had been entered and not left: its stores stay "
        b"held, and cannot be closed, until its thread ends, which undoes it; use a 'with' block",
        1,
    )


cdef class Space:
    """One reference of this process to an attached space."""

    def __cinit__(self, segment_path, lock_path, *, bytes uuid=None, writable=True,
                  accept_unclean=False, private=False, timeout=None):
        cdef bytes c_segment = path_of(segment_path)
        cdef bytes c_lock = path_of(lock_path)
        cdef list raised = []
        cdef sj_attach_options options
        cdef sj_space *space = NULL
        cdef const char *segment_at = c_segment
        cdef const char *lock_at = c_lock
        cdef int error
        self.timeout = seconds_of(timeout)
        options.writable = writable
        options.accept_unclean = accept_unclean
        options.is_private = private
        options.uuid = NULL
        if uuid is not None:
            options.uuid = <const uint8_t *>PyBytes_AS_STRING(uuid)
        options.wait = sj_wait(self.timeout, poll_signals, <void *>raised)
        with nogil:
            error = sj_space_attach(segment_at, lock_at, &options, &space)
        if error != SJ_OK:
            raise_waited(error, raised)
        self.space = space
        self.writes = writable

    def __dealloc__(self):
        cdef sj_space *space = self.space
        cdef sj_wait wait = sj_wait(self.timeout, NULL, NULL)
        if space is not NULL:
            self.space = NULL
            with nogil:
                sj_space_detach(space, &wait)

    def detach(self):
        """Give the reference back; does nothing when that was done before."""
        cdef sj_space *space = self.space
        cdef list raised = []
        cdef sj_wait wait = sj_wait(self.timeout, poll_signals, <void *>raised)
        cdef int error
        if space is NULL:
            return
        if self.views != 0:
            raise LiveViewsError(
                f"arrays look at the store's memory ({self.views} views): drop them first (del, "
                "and gc.collect() if they are in a cycle), then close it"
            )
        if self.waiting != 0 and self.forks == sj_space_forks():
            raise SpaceBusyError(
                f"{self.waiting} threads of this process wait for the store: close it when they "
                "are done"
            )
        # Asked with the GIL: no thread of Python is on its way out, still looking at the lock.
        if space.references == 1 and sj_lock_inside(space.lock):
            raise SpaceBusyError("a thread of this process is inside of the store: leave it first")
        self.space = NULL
        with nogil:
            error = sj_space_detach(space, &wait)
        if error == SJ_EBUSY or error == SJ_EINTR:
            self.space = space
        if error != SJ_OK:
            raise_waited(error, raised)

    cdef int enter_slowly(self, bint write, double timeout, int error) except -1:
        """Waits for the lock, or says why it is not to be had."""
        cdef list raised = []
        cdef sj_wait wait = sj_wait(timeout, poll_signals, <void *>raised)
        if error != SJ_EBUSY:
            return raise_error(error)
        self.begin_waiting()
        with nogil:
            if write:
                error = sj_enter_write(self.space, &wait)
            else:
                error = sj_enter_read(self.space, &wait)
        self.waiting -= 1
        if error != SJ_OK:
            return raise_waited(error, raised)
        return 0

    cdef void begin_waiting(self) noexcept:
        """A thread waits for the lock without the GIL, until it lowers `waiting` again."""
        if self.forks != sj_space_forks():  # those who waited then do so in the parent
            self.forks = sj_space_forks()
            self.waiting = 0
        self.waiting += 1

    cdef int refuse_write(self) except -1:
        raise ReadOnlyError(
            "the store is open for reading only: it was opened with flag 'r'; open it with 'w'"
        )

    def sync(self):
        """Write everything to the file's storage."""
        cdef sj_segment *segment
        cdef int error
        self.enter_read()
        segment = self.space.segment  # with the GIL: another thread may detach this reference
        try:
            with nogil:
                error = sj_segment_sync(segment)
        finally:
            self.leave()
        if error != SJ_OK:
            raise_error(error)

    @property
    def looked_at(self):
        """How many objects keep memory of the space in use, and so the space at its addresses."""
        return self.views

    @property
    def attached(self):
        return self.space is not NULL

    @property
    def writable(self):
        return self.space is not NULL and self.writes

    @property
    def changes(self):
        """A number that is different after every change of the space by anyone."""
        if self.space is NULL:
            raise_error(SJ_EDETACHED)
        return sj_space_changes(self.space)

    @property
    def base(self):
        if self.space is NULL:
            raise_error(SJ_EDETACHED)
        return <uint64_t>self.space.segment.base

    @property
    def reserved(self):
        if self.space is NULL:
            raise_error(SJ_EDETACHED)
        return self.space.segment.reserved

    @property
    def committed(self):
        """Bytes that the file backs."""
        self.enter_read()
        cdef uint64_t bytes = sj_segment_committed(self.space.segment)
        self.leave()
        return bytes

    @property
    def seconds(self):
        """How long operations wait for others; None: for ever."""
        return None if self.timeout < 0 else self.timeout

    @property
    def private(self):
        """Whether its changes are seen by this attachment alone."""
        return self.space is not NULL and bool(self.space.segment.is_private)

    @property
    def domain(self):
        """The persistence domain's name."""
        if self.space is NULL:
            raise_error(SJ_EDETACHED)
        return (<bytes>self.space.segment.domain.name).decode()

    @property
    def durability(self):
        """What acknowledged changes survive: 'process' or 'power'."""
        if self.space is NULL:
            raise_error(SJ_EDETACHED)
        return _DURABILITIES[self.space.segment.domain.durability]

    @property
    def mode(self):
        """How the calling thread is inside: None, 'r' or 'w'."""
        if self.space is NULL:
            return None
        return (None, "r", "w")[<int>sj_mode_in(self.space)]

    @property
    def is_current(self):
        """Whether this is the calling thread's current space."""
        return self.space is not NULL and sj_current() is self.space


cdef dict _modules = sys.modules
cdef object _running_loop = None  # asyncio's functions, once they are there
cdef object _running_task = None


cdef object current_task():
    """The asyncio task that runs in this thread, or None."""
    global _running_loop, _running_task
    if _running_task is None:
        asyncio = _modules.get("asyncio")
        if asyncio is None:
            return None
        # While it is being imported it may lack them, but then nothing of it runs.
        _running_loop = getattr(asyncio, "_get_running_loop", None)
        _running_task = getattr(asyncio, "current_task", None)
    if _running_loop is None or _running_task is None or _running_loop() is None:
        return None
    return _running_task()


cdef int end_loans(list lent) except -1:
    """The transaction is over: what is stored from now on is in none."""
    for array in lent:
        array.flags.writeable = False
    lent.clear()
    return 0


@cython.freelist(8)
cdef class Hold:
    """A read or write hold, or a transaction, for one `with` block of one thread."""

    cdef Space owner
    cdef sj_space *space
    cdef bint write
    cdef bint transaction
    cdef bint doomed
    cdef uint32_t forks
    cdef uint32_t depth  # of the segment's transactions, with this one
    cdef double timeout
    cdef object task
    cdef list lent  # arrays that may be written to until the transaction ends

    def __cinit__(self, Space owner, bint write, bint transaction, timeout):
        self.owner = owner
        self.write = write
        self.transaction = transaction
        self.timeout = owner.timeout if timeout is None else seconds_of(timeout)

    def __dealloc__(self):
        if self.space is not NULL and self.forks == sj_space_forks():
            warn_of_entered()

    def __enter__(self):
        cdef Space owner = self.owner
        cdef int error
        if self.space is not NULL:
            raise HoldError("a hold was entered a second time: ask the store for another one")
        if owner.space is NULL:
            raise_error(SJ_EDETACHED)
        if self.write and not owner.writes:
            owner.refuse_write()
        if self.write:
            error = sj_enter_write(owner.space, NULL)
        else:
            error = sj_enter_read(owner.space, NULL)
        if error != SJ_OK:
            owner.enter_slowly(self.write, self.timeout, error)
        if self.transaction:
            error = sj_tx_begin(owner.space.segment)
            if error != SJ_OK:
                sj_leave(owner.space)
                raise_error(error)
            self.depth = sj_tx_depth(owner.space.segment)
        self.space = owner.space
        self.forks = sj_space_forks()
        self.doomed = False
        self.task = current_task()
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        cdef sj_space *space = self.space
        cdef int left, error = SJ_OK
        if space is NULL:
            raise HoldError("a hold was left that had not been entered")
        if self.forks != sj_space_forks():
            self.space = NULL
            return False  # the child of a fork holds nothing
        if (
            sj_current() is not space
            or self.task is not current_task()
            or (self.transaction and sj_tx_depth(space.segment) > self.depth)
        ):
            raise HoldError(
                "a hold belongs to one thread and one task, and holds end in the order opposite to "
                "that in which they began: do not hold a store across an await or a yield; this "
                "one goes on until it is left in order, or its thread ends"
            )
        self.space = NULL
        if self.lent is not None:
            end_loans(self.lent)
        if self.transaction:
            sj_lock_changed(space.lock)
            if self.doomed or exc_type is not None:
                sj_tx_abort(space.segment)
            else:
                error = sj_tx_commit(space.segment)
        if space.segment.wal is NULL or error != SJ_OK:
            left = sj_leave(space)
        else:
            with nogil:
                left = sj_leave(space)
        if left == SJ_EBUSY:
            return_home()
            left = SJ_OK
        if error == SJ_OK or left == SJ_EDAMAGED:
            error = left
        # What is raised in the block is not about what was lost: each operation has looked.
        if error != SJ_OK and (exc_type is None or error != SJ_EDAMAGED):
            raise_error(error)
        return False

    def abort(self):
        """Let the end of the block undo the transaction instead of committing it."""
        if not self.transaction or self.space is NULL:
            raise HoldError("only an open transaction can be aborted")
        self.doomed = True

    def touch(self, view):
        """Make stores into an array of the store, or into a part of one, belong to the transaction.

        What it looks like now goes to the transaction's log. So whatever is stored into it by NumPy
        or C until the transaction ends is undone with it, also when the process is killed, and as
        durable as the rest of it. Inside of a savepoint touch it again: the savepoint's end undoes
        what was touched inside.

        Parameters
        ----------
        view : numpy.ndarray
            One that `Store.array` or a column of `Store.columns` gave, or any view of it.

        Returns
        -------
        numpy.ndarray
            The array itself, or, if that is read-only, one of the same memory that can be written
            to until the transaction ends.

        Raises
        ------
        HoldError
            The transaction is not open.
        InvalidArgumentError
            The array is a copy, or of another store.
        SpaceFullError
            There is no room for its old bytes; nothing has changed.

        Complexity
        ----------
        O(bytes); rows that lie far apart are logged one by one.

        Examples
        --------
        >>> with sj.open("demo") as store:
        ...     a = store.array("a", 3, "i4")
        ...     with store.transaction() as tx:
        ...         tx.touch(a)[:] = 7
        ...         tx.abort()
        ...     a.tolist()
        ...     del a
        [0, 0, 0]
        """
        if not self.transaction or self.space is NULL:
            raise HoldError("only an open transaction can be touched for")
        if self.lent is None:
            self.lent = []
        from spacejmp._views import touch

        return touch((self.owner,), view, self.lent)

    def __aenter__(self):
        raise TypeError(
            "a store cannot be held across an await: other tasks of the thread would run inside of "
            "the hold; use 'with' around code that does not await, or asyncio.to_thread()"
        )

    def __aexit__(self, *details):
        raise TypeError("a store cannot be held across an await")
