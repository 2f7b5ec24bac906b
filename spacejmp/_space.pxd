# SPDX-License-Identifier: Apache-2.0
"""_space.pxd: the core's spaces, holds and transactions as Cython sees them."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "persistence/error.h" nogil:
    enum:
        SJ_OK
        SJ_ENOTFOUND
        SJ_EEXISTS
        SJ_EBUSY
        SJ_EINTR
        SJ_ECORRUPT
        SJ_EDETACHED
        SJ_EINVAL
        SJ_ETYPE
        SJ_EREADONLY
        SJ_ENOHOLD
        SJ_EDAMAGED
    const char *sj_error_text(int code)
    const char *sj_error_detail()


cdef extern from "persistence/segment.h" nogil:
    enum sj_durability:
        SJ_DURABILITY_PROCESS
        SJ_DURABILITY_POWER

    struct sj_domain:
        const char *name
        sj_durability durability
        bint outlives_reboot

    struct sj_root_page:
        uint64_t root_count

    struct sj_segment:
        char *base
        sj_root_page *root_page
        const sj_domain *domain
        const void *wal
        uint64_t reserved
        bint is_private
        char *name
        uint8_t *uuid

    struct sj_segment_spec:
        const char *name
        uint64_t base
        uint64_t reserved
        uint32_t mode
        sj_durability durability

    struct sj_segment_info:
        char *name
        uint8_t *uuid
        uint64_t base
        uint64_t reserved
        uint64_t file_bytes
        uint64_t created_ns
        bint clean
        bint this_boot
        sj_durability durability
        bint frozen
        char *image

    int sj_segment_create(const char *path, const sj_segment_spec *spec)
    int sj_segment_inspect(const char *path, sj_segment_info *info)
    int sj_segment_sync(sj_segment *segment)
    uint64_t sj_segment_committed(const sj_segment *segment)
    bint sj_segment_is_damaged(const sj_segment *segment)


cdef extern from "persistence/tx.h" nogil:
    int sj_tx_begin(sj_segment *segment)
    int sj_tx_commit(sj_segment *segment)
    void sj_tx_abort(sj_segment *segment)
    uint32_t sj_tx_depth(const sj_segment *segment)
    int sj_tx_op_begin(sj_segment *segment)
    void sj_tx_ready(sj_segment *segment)
    int sj_tx_op_commit(sj_segment *segment)
    int sj_tx_op_abort(sj_segment *segment, int error)


cdef extern from "spacejmp/space.h" nogil:
    struct sj_wait:
        double timeout_s
        int (*poll)(void *context) noexcept nogil
        void *context

    struct sj_lock:
        pass

    struct sj_space:
        sj_segment *segment
        sj_lock *lock
        uint32_t references
        bint writable

    struct sj_attach_options:
        bint writable
        bint accept_unclean
        bint is_private
        const uint8_t *uuid
        sj_wait wait

    int sj_space_attach(const char *segment_path, const char *lock_path,
                        const sj_attach_options *options, sj_space **space)
    int sj_space_detach(sj_space *space, const sj_wait *wait)
    bint sj_space_nth(size_t index, char *name, uint64_t *base, uint64_t *reserved)
    uint64_t sj_space_changes(const sj_space *space)
    uint32_t sj_space_forks()
    void sj_lock_changed(sj_lock *lock)
    bint sj_lock_inside(sj_lock *lock)
    bint sj_lock_has_others(const char *path)


cdef extern from "spacejmp/hold.h" nogil:
    enum sj_hold_mode:
        SJ_HOLD_NONE
        SJ_HOLD_READ
        SJ_HOLD_WRITE

    sj_space *sj_current()
    sj_hold_mode sj_mode_in "sj_hold_mode"(const sj_space *space)
    int sj_enter_read(sj_space *space, const sj_wait *wait)
    int sj_enter_write(sj_space *space, const sj_wait *wait)
    int sj_leave(sj_space *space)
    int sj_return(const sj_wait *wait)


# Raises the exception of an error code of the core, with what the thread's last failure found.
cdef int raise_error(int code) except -1
cdef bytes path_of(path)
cdef object segment_info(const sj_segment_info *info)


# Of a wait: what a signal handler has raised goes to the list that is its context, and is raised.
cdef int poll_signals(void *context) noexcept nogil
cdef int raise_waited(int error, list raised) except -1

# Waits until the thread has the addresses of what it is in.
cdef int return_home() except -1


# A timeout: < 0 for None, which waits for ever. ValueError.
cdef double seconds_of(timeout) except? -2.0


# Waits until the space that the thread is in again has its addresses.
cdef int return_home() except -1


# The asyncio task that runs in this thread, or None.
cdef object current_task()


# Arrays that touch() has lent for a transaction cannot be written to any more.
cdef int end_loans(list lent) except -1


# What sj_leave has returned: waits for the space that is current again, or raises.
cdef int after_leaving(int error) except -1


# Warns of a hold or transaction that goes while it is entered.
cdef void warn_of_entered() noexcept


# Leaves a space whose changes have to reach the disk, without the GIL.
cdef int leave_and_wait(sj_space *space) except -1


cdef class Space:
    cdef sj_space *space  # NULL when detached
    cdef bint writes  # opened for writing; others of this process may do so when this one does not
    cdef double timeout  # of waits for the lock, in seconds; < 0: for ever
    cdef readonly int waiting  # threads that wait for the lock without the GIL
    cdef int views  # objects that keep memory of the space in use (_views.pyx)
    cdef uint32_t forks  # sj_space_forks() when `waiting` was true
    cdef object __weakref__

    cdef int enter_slowly(self, bint write, double timeout, int error) except -1
    cdef int refuse_write(self) except -1
    cdef void begin_waiting(self) noexcept

    cdef inline int enter_read(self) except -1:
        """One operation's read hold; ended by leave()."""
        if self.space is NULL:
            return raise_error(SJ_EDETACHED)
        cdef int error = sj_enter_read(self.space, NULL)
        if error != SJ_OK:
            return self.enter_slowly(False, self.timeout, error)
        return 0

    cdef inline int enter_write(self) except -1:
        """One operation's write hold; ended by leave()."""
        if self.space is NULL:
            return raise_error(SJ_EDETACHED)
        if not self.writes:
            return self.refuse_write()
        cdef int error = sj_enter_write(self.space, NULL)
        if error != SJ_OK:
            return self.enter_slowly(True, self.timeout, error)
        return 0

    # Python code that runs inside of an operation may detach this reference. The space itself
    # stays: it is the thread's current one, and is not unmapped while a thread is inside.
    # Raises when what was changed could not be made durable, or what was read does not count.
    cdef inline int leave(self) except -1:
        cdef sj_space *space = self.space if self.space is not NULL else sj_current()
        if space.segment.wal is not NULL:
            return leave_and_wait(space)
        cdef int error = sj_leave(space)
        if error != SJ_OK:
            return after_leaving(error)
        return 0

    cdef inline void changed(self) noexcept:
        """Says that this thread, which has the write hold, has changed the space."""
        sj_lock_changed((self.space if self.space is not NULL else sj_current()).lock)
