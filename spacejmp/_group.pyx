# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_group.pyx: one transaction over several spaces. Binds spacejmp/group.h."""

from libc.stdint cimport uint32_t

from spacejmp._space cimport (
    SJ_EDAMAGED,
    SJ_EDETACHED,
    SJ_OK,
    Space,
    current_task,
    end_loans,
    poll_signals,
    raise_error,
    raise_waited,
    return_home,
    seconds_of,
    sj_current,
    sj_space,
    sj_space_forks,
    sj_wait,
    warn_of_entered,
)

from spacejmp.persistence.errors import HoldError, InvalidArgumentError


cdef extern from "spacejmp/group.h" nogil:
    enum:
        SJ_TX_GROUP_MAX

    struct sj_tx_group:
        uint32_t count

    struct sj_group:
        sj_tx_group tx
        sj_space *space[64]

    int sj_tx_group_check(const sj_tx_group *group)
    int sj_group_begin(sj_group *group, sj_space **spaces, uint32_t count, const sj_wait *wait)
    int sj_group_commit(sj_group *group)
    int sj_group_abort(sj_group *group)


cdef class Group:
    """A transaction over several spaces, for one `with` block of one thread."""

    cdef tuple owners
    cdef sj_group group
    cdef bint entered
    cdef bint doomed
    cdef uint32_t forks
    cdef double timeout
    cdef object task
    cdef list lent  # arrays that may be written to until the transaction ends

    def __cinit__(self, tuple owners, timeout):
        cdef Space owner
        self.owners = owners
        self.timeout = seconds_of(timeout)
        if not 0 < len(owners) <= SJ_TX_GROUP_MAX:
            raise InvalidArgumentError(
                f"a transaction is over 1 to {SJ_TX_GROUP_MAX} stores, found {len(owners)}"
            )
        if timeout is None:  # the shortest one
            for owner in owners:
                if owner.timeout >= 0 and (self.timeout < 0 or owner.timeout < self.timeout):
                    self.timeout = owner.timeout

    def __dealloc__(self):
        if self.entered and self.forks == sj_space_forks():
            warn_of_entered()

    def __enter__(self):
        cdef sj_space *spaces[64]
        cdef uint32_t count = 0
        cdef list raised = []
        cdef sj_wait wait = sj_wait(self.timeout, poll_signals, <void *>raised)
        cdef Space owner
        cdef int error
        if self.entered:
            raise HoldError("a transaction was entered a second time: make another one")
        for owner in self.owners:
            if owner.space is NULL:
                raise_error(SJ_EDETACHED)
            if not owner.writes:
                owner.refuse_write()
            spaces[count] = owner.space
            count += 1
        for owner in self.owners:
            owner.begin_waiting()
        with nogil:
            error = sj_group_begin(&self.group, spaces, count, &wait)
        for owner in self.owners:
            owner.waiting -= 1
        if error != SJ_OK:
            raise_waited(error, raised)
        self.entered = True
        self.doomed = False
        self.forks = sj_space_forks()
        self.task = current_task()
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        cdef int error
        cdef bint undo = self.doomed or exc_type is not None
        if not self.entered:
            raise HoldError("a transaction was left that had not been entered")
        if self.forks != sj_space_forks():
            self.entered = False
            return False  # the child of a fork holds nothing
        if (
            sj_current() is not self.group.space[self.group.tx.count - 1]
            or self.task is not current_task()
            or sj_tx_group_check(&self.group.tx) != SJ_OK
        ):
            raise HoldError(
                "a transaction belongs to one thread and one task, and what is entered inside of "
                "it is left before it ends: do not hold a store across an await or a yield; this "
                "one goes on until it is left in order, or its thread ends"
            )
        self.entered = False
        if self.lent is not None:
            end_loans(self.lent)
        with nogil:
            error = sj_group_abort(&self.group) if undo else sj_group_commit(&self.group)
        if sj_current() is not NULL:
            return_home()
        # What is raised in the block is not about what was lost: each operation has looked.
        if error != SJ_OK and (exc_type is None or error != SJ_EDAMAGED):
            raise_error(error)
        return False

    def abort(self):
        """Let the end of the block undo the transaction instead of committing it."""
        if not self.entered:
            raise HoldError("only an open transaction can be aborted")
        self.doomed = True

    def touch(self, view):
        """Make stores into an array of one of them belong to the transaction (`Hold.touch`)."""
        if not self.entered:
            raise HoldError("only an open transaction can be touched for")
        if self.lent is None:
            self.lent = []
        from spacejmp._views import touch

        return touch(self.owners, view, self.lent)

    def __aenter__(self):
        raise TypeError(
            "stores cannot be held across an await: other tasks of the thread would run inside of "
            "the hold; use 'with' around code that does not await, or asyncio.to_thread()"
        )

    def __aexit__(self, *details):
        raise TypeError("stores cannot be held across an await")
