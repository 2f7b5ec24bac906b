// SPDX-License-Identifier: Apache-2.0
/*
 * faults.c: system calls that fail when a test says so; loaded with LD_PRELOAD.
 *
 *   spacejmp, Python ──open, pwrite, mmap …──→ here ──→ the C library
 *
 * A call counts when its kind is among those asked for, and it comes from libspacejmp.so, or from
 * anywhere else and is about a path, or an open file, below a watched folder. The `at`-th call that
 * counts fails with the error number, or all from it on; with the number SHORT it reads or writes
 * half of what it was asked to. Before faults_arm() nothing counts. Threads may call.
 *
 * Nobody looks at what a sync makes certain, and a life is faster without: syncs do nothing, and
 * files are opened without O_DIRECT. What is to be slow or lost is for test_power.py and the native
 * tests.
 *
 * fault_runs.py drives this and has the same numbers of kinds.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SHORT       (-1)
#define FDS         4096
#define FOLDERS_MAX 4

/* fault_runs.py has them in this order. */
enum kind {
    OPEN,
    CREATE,
    READ,
    WRITE,
    SYNC,
    ROOM,
    CUT,
    STATUS,
    LOCK,
    NAME,
    LIST,
    MAP,
    PROTECT,
    MEMORY,
    THREAD,
    RANDOM,
};

static long at;
static int number;
static bool armed, onwards;
static unsigned kinds;
static atomic_long seen;
static _Atomic(const char *) hit; /* the first call that failed */
static const char *folder[FOLDERS_MAX];
static atomic_bool watched[FDS], direct[FDS];
static uintptr_t library, library_bytes;

/* ------------------------------------------------------------------ which calls fail */

static bool from_library(const void *caller)
{
    return (uintptr_t)caller - library < library_bytes;
}

static bool is_below(const char *path)
{
    for (int i = 0; path != NULL && i < FOLDERS_MAX && folder[i] != NULL; i++)
        if (strncmp(path, folder[i], strlen(folder[i])) == 0)
            return true;
    return false;
}

static bool is_watched(int fd)
{
    return fd >= 0 && fd < FDS && watched[fd];
}

/* The error number that the call fails with; 0: it does not. */
static int fails(enum kind kind, bool ours, const char *name)
{
    if (!armed || !ours || (kinds >> kind & 1) == 0)
        return 0;
    long n = atomic_fetch_add(&seen, 1) + 1;
    if (n < at || (n > at && !onwards))
        return 0;
    const char *none = NULL;
    atomic_compare_exchange_strong(&hit, &none, name);
    return number;
}

/* ------------------------------------------------------------------ for fault_runs.py */

static int note_library(struct dl_phdr_info *info, size_t bytes, void *context)
{
    (void)bytes;
    (void)context;
    const char *slash = strrchr(info->dlpi_name, '/');
    if (slash == NULL || strcmp(slash, "/libspacejmp.so") != 0)
        return 0;
    library = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t end = info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && end > library_bytes)
            library_bytes = end;
    }
    return 1;
}

/* Whether the library is there; the string must stay. */
int faults_watch(const char *below)
{
    for (int i = 0; i < FOLDERS_MAX; i++)
        if (folder[i] == NULL) {
            folder[i] = below;
            break;
        }
    return dl_iterate_phdr(note_library, NULL);
}

void faults_arm(unsigned of, long k, int error, int and_all_later)
{
    kinds = of;
    at = k;
    number = error;
    onwards = and_all_later != 0;
    seen = 0;
    hit = NULL;
    armed = true;
}

/* What failed first; NULL: fewer calls than that were made. */
const char *faults_disarm(void)
{
    armed = false;
    return hit;
}

/* ------------------------------------------------------------------ the calls */

#define CALLER      __builtin_return_address(0)
#define REAL(name)  ((__typeof__(&name))real(#name))
#define OURS_FD(fd) (from_library(CALLER) || is_watched(fd))
#define OURS(path)  (from_library(CALLER) || is_below(path))

/* Fails when it is this call's turn. */
#define TURN(kind, ours, name, failure)                                                            \
    do {                                                                                           \
        int error_ = fails(kind, ours, name);                                                      \
        if (error_ > 0) {                                                                          \
            errno = error_;                                                                        \
            return failure;                                                                        \
        }                                                                                          \
    } while (0)

/* The same, or has half of `bytes` done. */
#define TURN_OR_HALF(kind, ours, name, fd, bytes)                                                  \
    do {                                                                                           \
        int error_ = fails(kind, ours, name);                                                      \
        if (error_ > 0) {                                                                          \
            errno = error_;                                                                        \
            return -1;                                                                             \
        }                                                                                          \
        if (error_ == SHORT)                                                                       \
            (bytes) = half(fd, bytes);                                                             \
    } while (0)

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* At least a byte; past the page cache whole pages, as the kernel does it. */
static size_t half(int fd, size_t bytes)
{
    bool pages = fd >= 0 && fd < FDS && direct[fd];
    size_t less = pages ? bytes / 2 / 4096 * 4096 : bytes / 2;
    return less == 0 ? bytes : less;
}

static int opened(int fd, bool ours, int flags)
{
    if (fd >= 0 && fd < FDS) {
        watched[fd] = ours;
        direct[fd] = (flags & O_DIRECT) != 0;
    }
    return fd;
}

#define DEFINE_OPEN(name)                                                                          \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;             \
        va_end(rest);                                                                              \
        bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;                   \
        TURN(makes ? CREATE : OPEN, OURS(path), #name, -1);                                        \
        int wanted = armed ? flags & ~O_DIRECT : flags;                                            \
        return opened(REAL(name)(path, wanted, mode), is_below(path), flags);                      \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_FOPEN(name)                                                                         \
    FILE *name(const char *path, const char *mode)                                                 \
    {                                                                                              \
        TURN(OPEN, OURS(path), #name, NULL);                                                       \
        return REAL(name)(path, mode);                                                             \
    }
DEFINE_FOPEN(fopen)
DEFINE_FOPEN(fopen64)

int close(int fd)
{
    if (fd >= 0 && fd < FDS)
        watched[fd] = false;
    return REAL(close)(fd);
}

ssize_t read(int fd, void *buffer, size_t bytes)
{
    TURN_OR_HALF(READ, OURS_FD(fd), "read", fd, bytes);
    return REAL(read)(fd, buffer, bytes);
}

ssize_t write(int fd, const void *buffer, size_t bytes)
{
    TURN_OR_HALF(WRITE, OURS_FD(fd), "write", fd, bytes);
    return REAL(write)(fd, buffer, bytes);
}

#define DEFINE_AT(name, kind, pointer, offset_type)                                                \
    ssize_t name(int fd, pointer buffer, size_t bytes, offset_type offset)                         \
    {                                                                                              \
        TURN_OR_HALF(kind, OURS_FD(fd), #name, fd, bytes);                                         \
        return REAL(name)(fd, buffer, bytes, offset);                                              \
    }
DEFINE_AT(pread, READ, void *, off_t)
DEFINE_AT(pread64, READ, void *, off64_t)
DEFINE_AT(pwrite, WRITE, const void *, off_t)
DEFINE_AT(pwrite64, WRITE, const void *, off64_t)

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags)
{
    struct iovec part = parts[0];
    int error = fails(WRITE, OURS_FD(fd), "pwritev2");
    if (error > 0) {
        errno = error;
        return -1;
    }
    if (error == SHORT && count == 1)
        part.iov_len = half(fd, part.iov_len);
    flags &= armed ? ~RWF_DSYNC : -1;
    return REAL(pwritev64v2)(fd, count == 1 ? &part : parts, count, offset, flags);
}

int fsync(int fd)
{
    TURN(SYNC, OURS_FD(fd), "fsync", -1);
    return armed ? 0 : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    TURN(SYNC, OURS_FD(fd), "fdatasync", -1);
    return armed ? 0 : REAL(fdatasync)(fd);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t bytes)
{
    TURN(ROOM, OURS_FD(fd), "fallocate", -1);
    return REAL(fallocate64)(fd, mode, offset, bytes);
}

int ftruncate64(int fd, off64_t bytes)
{
    TURN(CUT, OURS_FD(fd), "ftruncate", -1);
    return REAL(ftruncate64)(fd, bytes);
}

#define DEFINE_STAT(name)                                                                          \
    int name(const char *path, struct stat64 *status)                                              \
    {                                                                                              \
        TURN(STATUS, OURS(path), #name, -1);                                                       \
        return REAL(name)(path, status);                                                           \
    }
DEFINE_STAT(stat64)
DEFINE_STAT(lstat64)

int fstat64(int fd, struct stat64 *status)
{
    TURN(STATUS, OURS_FD(fd), "fstat", -1);
    return REAL(fstat64)(fd, status);
}

int fstatat64(int fd, const char *path, struct stat64 *status, int flags)
{
    TURN(STATUS, OURS(path), "fstatat", -1);
    return REAL(fstatat64)(fd, path, status, flags);
}

int fstatfs64(int fd, struct statfs64 *status)
{
    TURN(STATUS, OURS_FD(fd), "fstatfs", -1);
    return REAL(fstatfs64)(fd, status);
}

/* Locks only: flags of descriptors never fail. A lock that is given back is not refused. */
int fcntl64(int fd, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    bool locks = command == F_OFD_SETLK || command == F_OFD_SETLKW;
    if (locks && ((const struct flock *)argument)->l_type != F_UNLCK)
        TURN(LOCK, OURS_FD(fd), "fcntl", -1);
    return REAL(fcntl64)(fd, command, argument);
}

int flock(int fd, int operation)
{
    if ((operation & LOCK_UN) == 0)
        TURN(LOCK, OURS_FD(fd), "flock", -1);
    return REAL(flock)(fd, operation);
}

int rename(const char *path, const char *target)
{
    TURN(NAME, OURS(path), "rename", -1);
    return REAL(rename)(path, target);
}

int linkat(int from, const char *path, int to, const char *target, int flags)
{
    TURN(NAME, OURS(target), "linkat", -1);
    return REAL(linkat)(from, path, to, target, flags);
}

int unlink(const char *path)
{
    TURN(NAME, OURS(path), "unlink", -1);
    return REAL(unlink)(path);
}

int mkdir(const char *path, mode_t mode)
{
    TURN(NAME, OURS(path), "mkdir", -1);
    return REAL(mkdir)(path, mode);
}

DIR *opendir(const char *path)
{
    TURN(LIST, OURS(path), "opendir", NULL);
    return REAL(opendir)(path);
}

void *mmap64(void *where, size_t bytes, int protection, int flags, int fd, off64_t offset)
{
    TURN(MAP, OURS_FD(fd), "mmap", MAP_FAILED);
    return REAL(mmap64)(where, bytes, protection, flags, fd, offset);
}

int mprotect(void *where, size_t bytes, int protection)
{
    TURN(PROTECT, from_library(CALLER), "mprotect", -1);
    return REAL(mprotect)(where, bytes, protection);
}

int madvise(void *where, size_t bytes, int advice)
{
    TURN(PROTECT, from_library(CALLER), "madvise", -1);
    return REAL(madvise)(where, bytes, advice);
}

ssize_t getrandom(void *buffer, size_t bytes, unsigned flags)
{
    TURN_OR_HALF(RANDOM, from_library(CALLER), "getrandom", -1, bytes);
    return REAL(getrandom)(buffer, bytes, flags);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument)
{
    int error = fails(THREAD, from_library(CALLER), "pthread_create");
    return error > 0 ? error : REAL(pthread_create)(thread, attributes, start, argument);
}

/* dlsym() allocates: these need the C library's own names for them. */
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *block, size_t bytes);

void *malloc(size_t bytes)
{
    TURN(MEMORY, from_library(CALLER), "malloc", NULL);
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    TURN(MEMORY, from_library(CALLER), "calloc", NULL);
    return __libc_calloc(count, bytes);
}

void *realloc(void *block, size_t bytes)
{
    TURN(MEMORY, from_library(CALLER), "realloc", NULL);
    return __libc_realloc(block, bytes);
}
