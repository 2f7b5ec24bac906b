# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_queue.pyx: the queue kernel for Python: putting, taking, and waiting without the GIL."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from spacejmp._space cimport (
    SJ_EBUSY,
    SJ_OK,
    poll_signals,
    raise_error,
    raise_waited,
    sj_lock,
    sj_wait,
)
from spacejmp.structures._codec cimport sj_value, value_decode, value_encode
from spacejmp.structures._codec_tools cimport sj_buffer
from spacejmp.structures._deque cimport (
    SJ_KIND_QUEUE,
    ChunkedCore,
    EncodedValues,
    encode_all,
    sj_deque,
    sj_deque_count,
    sj_deque_get,
    sj_deque_limit,
)

from queue import Empty, Full

from spacejmp.persistence.errors import HoldError


cdef extern from "structures/queue.h" nogil:
    struct sj_bell:
        pass

    enum sj_queue_bell:
        SJ_QUEUE_ITEMS
        SJ_QUEUE_ROOM

    const int64_t SJ_WAIT_NEVER

    bint sj_hold_any()
    sj_bell sj_bell_of "sj_queue_bell"(const sj_deque *queue, sj_queue_bell bell)
    bint sj_queue_has_room(const sj_deque *queue, uint64_t count)
    int sj_queue_put(sj_deque *queue, const sj_value *values, uint64_t count)
    int sj_queue_drop(sj_deque *queue, uint64_t count)
    uint32_t sj_bell_arm(sj_lock *lock, sj_bell bell)
    int sj_bell_wait(sj_lock *lock, sj_bell bell, uint32_t rings, int64_t deadline,
                     const sj_wait *wait)
    int64_t sj_wait_deadline(const sj_wait *wait)


cdef int64_t deadline_of(bint block, timeout) except? -1:
    """When a wait is over; 0: at once."""
    cdef double seconds
    cdef sj_wait wait
    if not block:
        return 0
    if timeout is None:
        return SJ_WAIT_NEVER
    seconds = timeout
    if not seconds >= 0.0:
        raise ValueError("'timeout' must be a non-negative number")
    wait = sj_wait(seconds, NULL, NULL)
    return sj_wait_deadline(&wait)


cdef class QueueCore(ChunkedCore):
    """The operations of `Queue` that need the kernel."""

    cdef int c_type(self) noexcept:
        return SJ_KIND_QUEUE

    cdef int wait(self, sj_queue_bell which, int64_t deadline) except -1:
        """Ends the write hold and waits until it is worth looking again; 0: the time is over."""
        cdef list raised = []
        cdef sj_wait wait = sj_wait(-1.0, poll_signals, <void *>raised)
        cdef sj_bell bell = sj_bell_of(&self.deque, which)
        cdef sj_lock *lock = self.space.space.lock
        cdef uint32_t rings
        cdef int error
        if deadline == 0:
            self.space.leave()
            return 0
        rings = sj_bell_arm(lock, bell)
        self.space.begin_waiting()  # nobody closes the store meanwhile
        try:
            self.space.leave()
            if sj_hold_any():
                raise HoldError(
                    f"{self._title()}: nobody can put or get anything while this thread waits "
                    "inside of a hold or a transaction: wait outside of it; Queue.taking() gets an "
                    "item in a transaction that begins when there is one"
                )
            with nogil:
                error = sj_bell_wait(lock, bell, rings, deadline, &wait)
        finally:
            self.space.waiting -= 1
        if error == SJ_EBUSY:
            return 0
        return 1 if error == SJ_OK else raise_waited(error, raised)

    cdef object decode(self, uint64_t index):
        """An item; the write hold is ended when this raises."""
        cdef sj_value v
        cdef int error = sj_deque_get(&self.deque, index, &v)
        if error == SJ_OK:
            try:
                return value_decode(self.value_codec, &v, self)
            except:
                self.space.leave()
                raise
        self.space.leave()
        raise_error(error)

    def _get(self, bint block, timeout):
        cdef int64_t deadline = deadline_of(block, timeout)
        while True:
            self.enter_write()
            if sj_deque_count(&self.deque) > 0:
                item = self.decode(0)
                self.finish(sj_queue_drop(&self.deque, 1))
                return item
            if not self.wait(SJ_QUEUE_ITEMS, deadline):
                raise Empty

    def _get_many(self, uint64_t most, bint block, timeout):
        cdef int64_t deadline = deadline_of(block, timeout)
        cdef uint64_t i, count
        cdef list items = []
        while most > 0:
            self.enter_write()
            count = min(most, sj_deque_count(&self.deque))
            if count > 0:
                for i in range(count):
                    items.append(self.decode(i))
                self.finish(sj_queue_drop(&self.deque, count))
                break
            if not self.wait(SJ_QUEUE_ITEMS, deadline):
                raise Empty
        return items

    def _put(self, item, bint block, timeout):
        cdef int64_t deadline = deadline_of(block, timeout)
        cdef sj_value v
        cdef sj_buffer buffer
        keep = value_encode(self.value_codec, item, &v, &buffer, self)
        while True:
            self.enter_write()
            if sj_queue_has_room(&self.deque, 1):
                if buffer.references:
                    self.adopt(&v)
                self.finish(sj_queue_put(&self.deque, &v, 1))
                return
            if not self.wait(SJ_QUEUE_ROOM, deadline):
                raise Full

    def _put_many(self, list items, bint block, timeout):
        cdef int64_t deadline = deadline_of(block, timeout)
        cdef EncodedValues encoded = encode_all(self, items)
        cdef uint64_t limit
        while encoded.count > 0:
            self.enter_write()
            limit = sj_deque_limit(&self.deque)
            if encoded.count > limit:
                self.space.leave()
                raise ValueError(
                    f"{encoded.count} items never fit into {self._title()}, whose maxsize is "
                    f"{limit}: put fewer at a time"
                )
            if sj_queue_has_room(&self.deque, encoded.count):
                self.adopt_all(encoded)
                self.finish(sj_queue_put(&self.deque, encoded.values, encoded.count))
                return
            if not self.wait(SJ_QUEUE_ROOM, deadline):
                raise Full

    def _wait_for_item(self, int64_t deadline):
        """Waits until there may be an item; false when the time is over."""
        self.enter_write()
        if sj_deque_count(&self.deque) > 0:
            self.space.leave()
            return True
        return bool(self.wait(SJ_QUEUE_ITEMS, deadline))

    def _deadline(self, timeout):
        return deadline_of(True, timeout)

    def clear(self):
        """Remove all items, as one atomic operation. O(n)."""
        self.enter_write()
        self.finish(sj_queue_drop(&self.deque, sj_deque_count(&self.deque)))

    def _free(self):
        """How many items more there is room for."""
        self.enter_read()
        cdef uint64_t limit = sj_deque_limit(&self.deque), count = sj_deque_count(&self.deque)
        self.space.leave()
        return limit - count if count < limit else 0
