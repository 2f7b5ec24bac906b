# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""_mmu.pyx: binds spacejmp/mmu/mmu.h; what the numbers mean is said in `spacejmp.mmu.machine`."""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from spacejmp._space cimport SJ_OK, raise_error, sj_space_forks

from spacejmp.persistence.errors import InvalidArgumentError, SpaceBusyError


cdef extern from "spacejmp/mmu/mmu.h" nogil:
    enum:
        SJ_PAGE_LEVELS_MAX
        SJ_LOADS

    struct sj_page_work:
        uint64_t entries
        uint64_t links
        uint64_t tables_made
        uint64_t tables_freed

    struct sj_tlb_shape:
        uint32_t entries
        uint32_t ways

    struct sj_tlb_spec:
        sj_tlb_shape *first
        bint first_shared
        sj_tlb_shape *second
        uint8_t *second_sizes
        sj_tlb_shape *walk
        bint tags

    struct sj_mmu_costs:
        double access
        double second_hit
        double walk
        double *load
        double cr3_flush
        double cr3_tag

    struct sj_mmu_preset_t "sj_mmu_preset":
        const char *name
        const char *title
        double ghz
        sj_tlb_spec tlb
        sj_mmu_costs costs

    struct sj_mmu_system_t "sj_mmu_system":
        const char *name
        const char *title
        double call
        double bookkeeping
        uint32_t pages

    struct sj_mmu_counts:
        uint64_t accesses
        uint64_t writes
        uint64_t first_hits
        uint64_t second_hits
        uint64_t walks
        uint64_t faults
        uint64_t *loads
        uint64_t *walk_reads

    struct sj_mmu_switches:
        uint64_t flushing
        uint64_t tagged
        sj_mmu_counts touched

    struct sj_mmu_vas:
        sj_mmu_counts counts
        sj_mmu_switches switches
        sj_page_work built
        sj_page_work removed

    struct sj_mmu_segment:
        uint64_t bytes
        uint64_t reserved

    struct sj_mmu:
        sj_mmu_vas *vas
        uint32_t vases
        sj_mmu_segment *segment
        uint32_t segments
        uint32_t current
        uint32_t tag

    const sj_mmu_preset_t *c_preset "sj_mmu_preset"(size_t index)
    const sj_mmu_system_t *c_system "sj_mmu_system"(size_t index)
    int sj_mmu_create(const sj_mmu_preset_t *preset, const sj_mmu_system_t *system, uint32_t levels,
                      sj_mmu **machine)
    void sj_mmu_destroy(sj_mmu *machine)
    int sj_mmu_vas_create(sj_mmu *machine, uint32_t *vas)
    int sj_mmu_map(sj_mmu *machine, uint32_t vas, uint64_t base, uint64_t bytes, uint32_t level,
                   bint writable, sj_page_work *work)
    int sj_mmu_unmap(sj_mmu *machine, uint32_t vas, uint64_t base, uint64_t bytes,
                     sj_page_work *work)
    int sj_mmu_move(sj_mmu *machine, uint32_t vas, uint64_t start, uint64_t to, uint64_t bytes,
                    sj_page_work *work)
    int sj_mmu_segment_create(sj_mmu *machine, uint64_t base, uint64_t bytes, uint64_t reserved,
                              uint32_t level, uint32_t *segment)
    int sj_mmu_segment_grow(sj_mmu *machine, uint32_t segment, uint64_t bytes, sj_page_work *work)
    int sj_mmu_link(sj_mmu *machine, uint32_t vas, uint32_t segment, bint writable,
                    sj_page_work *work)
    int sj_mmu_switch(sj_mmu *machine, uint32_t vas, uint32_t tag)
    void sj_mmu_access_many(sj_mmu *machine, const uint64_t *address, size_t count, bint write)
    double sj_mmu_translation_cycles(const sj_mmu_costs *costs, const sj_mmu_counts *counts)
    double sj_mmu_access_cycles(const sj_mmu_costs *costs, const sj_mmu_counts *counts)
    double sj_mmu_switch_cycles(const sj_mmu_costs *costs, const sj_mmu_system_t *system,
                                const sj_mmu_switches *switches)
    double sj_mmu_map_ns(const sj_mmu_system_t *system, const sj_page_work *work)
    double sj_mmu_unmap_ns(const sj_mmu_system_t *system, const sj_page_work *work)
    void sj_mmu_census(const sj_mmu *machine, uint32_t vas, uint64_t *own, uint64_t *shared)
    void sj_mmu_tables(const sj_mmu *machine, uint64_t *tables)
    void sj_mmu_reset(sj_mmu *machine, bint cold)


cdef extern from "persistence/touch.h" nogil:
    struct sj_touch:
        pass

    struct sj_touch_trace:
        sj_touch *record
        size_t used
        size_t room
        uint64_t lost


cdef extern from "spacejmp/space.h" nogil:
    struct sj_space:
        pass


cdef extern from "spacejmp/mmu/model.h" nogil:
    struct sj_mmu_space:
        const sj_space *space
        uint32_t vas
        uint32_t segment
        uint32_t tag
        char *name

    struct sj_mmu_model:
        uint32_t process
        int error
        uint64_t *events
        uint32_t spaces
        sj_mmu_space *space

    int sj_mmu_model_begin(sj_mmu *machine, bint tagged, sj_mmu_model **model)
    int sj_mmu_model_end(sj_mmu_model *model)
    void sj_mmu_model_destroy(sj_mmu_model *model)
    void sj_mmu_model_drain(sj_mmu_model *model)
    int sj_mmu_trace_begin(sj_touch_trace *trace)
    int sj_mmu_trace_end(sj_touch_trace *trace)


cdef tuple _shape(sj_tlb_shape shape):
    return (shape.entries, shape.ways or shape.entries)


def presets():
    """Each CPU: name, title, GHz, the shapes of its caches as (entries, ways), and costs."""
    cdef const sj_mmu_preset_t *preset
    cdef list found = []
    cdef int i
    while c_preset(<size_t>len(found)) is not NULL:
        preset = c_preset(<size_t>len(found))
        found.append((
            preset.name.decode(),
            preset.title.decode(),
            preset.ghz,
            [_shape(preset.tlb.first[i]) for i in range(1 if preset.tlb.first_shared else 3)],
            [(*_shape(preset.tlb.second[i]), preset.tlb.second_sizes[i]) for i in range(2)],
            [_shape(preset.tlb.walk[i]) for i in range(4)],
            bool(preset.tlb.tags),
            (
                preset.costs.access, preset.costs.second_hit, preset.costs.walk,
                preset.costs.load[0], preset.costs.load[1], preset.costs.load[2],
                preset.costs.cr3_flush, preset.costs.cr3_tag,
            ),
        ))
    return found


def systems():
    """Each system: name, title, cycles of a call, of bookkeeping, and pages that a switch touches.
    """
    cdef const sj_mmu_system_t *system
    cdef list found = []
    while c_system(<size_t>len(found)) is not NULL:
        system = c_system(<size_t>len(found))
        found.append((system.name.decode(), system.title.decode(), system.call,
                      system.bookkeeping, system.pages))
    return found


cdef const sj_mmu_preset_t *_find_preset(str name) except NULL:
    cdef size_t i = 0
    while c_preset(i) is not NULL:
        if c_preset(i).name.decode() == name:
            return c_preset(i)
        i += 1
    raise InvalidArgumentError(
        f"expected a preset of {', '.join(found[0] for found in presets())}, found {name!r}"
    )


cdef const sj_mmu_system_t *_find_system(str name) except NULL:
    cdef size_t i = 0
    while c_system(i) is not NULL:
        if c_system(i).name.decode() == name:
            return c_system(i)
        i += 1
    raise InvalidArgumentError(
        f"expected a system of {', '.join(found[0] for found in systems())}, found {name!r}"
    )


cdef tuple _counts(const sj_mmu_counts *counts):
    cdef int i
    return (
        counts.accesses, counts.writes, counts.first_hits, counts.second_hits, counts.walks,
        counts.faults, tuple([counts.loads[i] for i in range(SJ_LOADS)]),
        tuple([counts.walk_reads[i] for i in range(1, SJ_PAGE_LEVELS_MAX + 1)]),
    )


cdef class MachineCore:
    """A machine of mmu.h; one thread at a time."""

    cdef sj_mmu *machine
    cdef const sj_mmu_preset_t *cpu
    cdef const sj_mmu_system_t *os
    cdef bint running
    cdef unsigned long owner  # the thread whose model drives it; 0: none

    def __cinit__(self, str preset, str system, uint32_t levels):
        self.cpu = _find_preset(preset)
        self.os = _find_system(system)
        cdef int error = sj_mmu_create(self.cpu, self.os, levels, &self.machine)
        if error != SJ_OK:
            raise_error(error)

    def __dealloc__(self):
        if self.machine is not NULL:
            sj_mmu_destroy(self.machine)

    cdef int enter(self) except -1:
        """Nothing else is using it."""
        if self.running or self.owner not in (0, PyThread_get_thread_ident()):
            raise SpaceBusyError("another thread is using the machine: give each one its own")
        return 0

    cdef sj_mmu_vas *vas_at(self, uint32_t vas) except NULL:
        if vas >= self.machine.vases:
            raise InvalidArgumentError(f"expected a VAS below {self.machine.vases}, found {vas}")
        return &self.machine.vas[vas]

    cdef tuple done(self, int error, const sj_page_work *work, bint removed):
        if error != SJ_OK:
            raise_error(error)
        cdef double ns
        ns = sj_mmu_unmap_ns(self.os, work) if removed else sj_mmu_map_ns(self.os, work)
        return work.entries, work.links, work.tables_made, work.tables_freed, ns

    def vas_create(self):
        cdef uint32_t vas = 0
        self.enter()
        cdef int error = sj_mmu_vas_create(self.machine, &vas)
        if error != SJ_OK:
            raise_error(error)
        return vas

    def map(self, uint32_t vas, uint64_t base, uint64_t size, uint32_t level, bint writable):
        cdef sj_page_work work
        self.enter()
        return self.done(sj_mmu_map(self.machine, vas, base, size, level, writable, &work), &work,
                         False)

    def unmap(self, uint32_t vas, uint64_t base, uint64_t size):
        cdef sj_page_work work
        self.enter()
        return self.done(sj_mmu_unmap(self.machine, vas, base, size, &work), &work, True)

    def move(self, uint32_t vas, uint64_t start, uint64_t to, uint64_t size):
        cdef sj_page_work work
        self.enter()
        return self.done(sj_mmu_move(self.machine, vas, start, to, size, &work), &work, False)

    def segment_create(self, uint64_t base, uint64_t size, uint64_t reserved, uint32_t level):
        cdef uint32_t segment = 0
        self.enter()
        cdef int error = sj_mmu_segment_create(self.machine, base, size, reserved, level, &segment)
        if error != SJ_OK:
            raise_error(error)
        return segment

    def segment_grow(self, uint32_t segment, uint64_t size):
        cdef sj_page_work work
        self.enter()
        return self.done(sj_mmu_segment_grow(self.machine, segment, size, &work), &work, False)

    def segment_bytes(self, uint32_t segment):
        """What is mapped of a segment, and what its linked tables cover."""
        if segment >= self.machine.segments:
            raise InvalidArgumentError(f"there is no segment {segment}")
        return self.machine.segment[segment].bytes, self.machine.segment[segment].reserved

    def link(self, uint32_t vas, uint32_t segment, bint writable):
        cdef sj_page_work work
        self.enter()
        return self.done(sj_mmu_link(self.machine, vas, segment, writable, &work), &work, False)

    def switch(self, uint32_t vas, uint32_t tag):
        self.enter()
        cdef int error = sj_mmu_switch(self.machine, vas, tag)
        if error != SJ_OK:
            raise_error(error)

    def access(self, addresses, bint write):
        """Access a contiguous buffer of 64-bit addresses in the current VAS; without the GIL."""
        cdef Py_buffer view
        self.enter()
        if self.machine.current >= self.machine.vases:
            raise InvalidArgumentError("no VAS is the current one: switch to one first")
        PyObject_GetBuffer(addresses, &view, PyBUF_C_CONTIGUOUS)
        self.running = True
        try:
            with nogil:
                sj_mmu_access_many(self.machine, <const uint64_t *>view.buf,
                                   <size_t>view.len // 8, write)
        finally:
            self.running = False
            PyBuffer_Release(&view)

    def counts(self, uint32_t vas):
        """The counts of a VAS, and their cycles without and with the accesses themselves."""
        self.enter()
        cdef const sj_mmu_counts *counts = &self.vas_at(vas).counts
        return (*_counts(counts), sj_mmu_translation_cycles(&self.cpu.costs, counts),
                sj_mmu_access_cycles(&self.cpu.costs, counts))

    def switches(self, uint32_t vas):
        """Switches to a VAS: flushing, tagged, walks in them, and cycles of all of it."""
        self.enter()
        cdef const sj_mmu_switches *switches = &self.vas_at(vas).switches
        return (switches.flushing, switches.tagged, switches.touched.walks,
                sj_mmu_switch_cycles(&self.cpu.costs, self.os, switches))

    def census(self, uint32_t vas):
        """Tables of a VAS by level, from 1: its own, and those that others link too."""
        cdef uint64_t[6] own
        cdef uint64_t[6] shared
        cdef int i
        self.enter()
        self.vas_at(vas)
        sj_mmu_census(self.machine, vas, own, shared)
        return (tuple([own[i] for i in range(1, 6)]), tuple([shared[i] for i in range(1, 6)]))

    def tables(self):
        """All tables of the machine by level, each once."""
        cdef uint64_t[6] tables
        cdef int i
        self.enter()
        sj_mmu_tables(self.machine, tables)
        return tuple([tables[i] for i in range(1, 6)])

    @property
    def current(self):
        if self.machine.current >= self.machine.vases:
            return None
        return self.machine.current, self.machine.tag

    def reset(self, bint cold):
        self.enter()
        sj_mmu_reset(self.machine, cold)


cdef class ModelCore:
    """A machine driven by the events of the thread that begins it."""

    cdef MachineCore owner
    cdef sj_mmu_model *model  # NULL before it began; kept after its end, to be asked
    cdef bint active
    cdef uint32_t forks

    def __cinit__(self, MachineCore machine):
        self.owner = machine

    def __dealloc__(self):
        if self.model is not NULL and not self.active:  # an active one is still the thread's
            sj_mmu_model_destroy(self.model)

    def begin(self, bint tagged):
        self.owner.enter()
        if self.model is not NULL or self.owner.owner != 0:
            raise SpaceBusyError("the machine has been driven by a model: make another one")
        cdef int error = sj_mmu_model_begin(self.owner.machine, tagged, &self.model)
        if error != SJ_OK:
            raise_error(error)
        self.active = True
        self.forks = sj_space_forks()
        self.owner.owner = PyThread_get_thread_ident()

    def end(self):
        cdef int error
        if self.forks != sj_space_forks():
            self.active = False
            return
        error = sj_mmu_model_end(self.model)
        if error != SJ_OK:
            raise_error(error)
        self.active = False
        self.owner.owner = 0

    def drain(self):
        """Bring the machine up to date with what was touched."""
        self.owner.enter()
        if self.active and self.forks == sj_space_forks():
            sj_mmu_model_drain(self.model)

    def spaces(self):
        """Each space that it has seen: name, number of the VAS, and whether it is attached."""
        cdef uint32_t i
        cdef list found = []
        for i in range(self.model.spaces):
            found.append((
                (<bytes>self.model.space[i].name).decode("utf-8", "replace"),
                self.model.space[i].vas, self.model.space[i].space is not NULL,
            ))
        return found

    @property
    def process(self):
        return self.model.process

    @property
    def events(self):
        """How many attached, detached, switched, parked and grew."""
        cdef int i
        if self.model.error != SJ_OK:
            raise_error(self.model.error)
        return tuple([self.model.events[i] for i in range(5)])


cdef class TraceCore:
    """A trace of what the thread that begins it touches."""

    cdef sj_touch_trace trace
    cdef bint active
    cdef uint32_t forks

    def __cinit__(self, size_t limit):
        self.trace.room = limit
        self.trace.record = <sj_touch *>PyMem_RawMalloc(limit * sizeof(sj_touch))
        if self.trace.record is NULL:
            raise MemoryError

    def __dealloc__(self):
        if not self.active:  # an active one is still the thread's
            PyMem_RawFree(self.trace.record)

    def begin(self):
        if self.active:
            raise SpaceBusyError("the trace has begun already")
        cdef int error = sj_mmu_trace_begin(&self.trace)
        if error != SJ_OK:
            raise_error(error)
        self.active = True
        self.forks = sj_space_forks()

    def end(self):
        cdef int error
        if self.forks == sj_space_forks():
            error = sj_mmu_trace_end(&self.trace)
            if error != SJ_OK:
                raise_error(error)
        self.active = False

    def clear(self):
        self.trace.used = 0
        self.trace.lost = 0

    @property
    def lost(self):
        return self.trace.lost

    def records(self):
        """A copy of the records, as struct sj_touch lies in memory."""
        return PyBytes_FromStringAndSize(<char *>self.trace.record,
                                         self.trace.used * sizeof(sj_touch))
