// SPDX-License-Identifier: Apache-2.0
/*
 * error.h: every way in which an operation of the core can fail.
 *
 * One line an error: code, Python exception (errors.py has the tree), message. The line makes
 * the enum here and the text in error.c; tests/unit/test_errors.py holds it against errors.py.
 * A function of the core returns `int`: SJ_OK or one of these. What went wrong in detail (which
 * file, which address, what was expected and what was found) is left for the calling thread in
 * sj_error_detail().
 */
#ifndef SJ_PERSISTENCE_ERROR_H
#define SJ_PERSISTENCE_ERROR_H

#include <stdint.h>

#define SJ_API __attribute__((visibility("default")))

#define SJ_ERRORS(X)                                                                               \
    X(SJ_OK, 0, "", "success")                                                                     \
    X(SJ_ENOTFOUND, 1, "NotFoundError", "there is no such name")                                   \
    X(SJ_EEXISTS, 2, "AlreadyExistsError", "the name is taken")                                    \
    X(SJ_ENOMEM, 3, "MemoryError", "the process is out of memory")                                 \
    X(SJ_EFULL, 4, "SpaceFullError", "no room is left for the data")                               \
    X(SJ_EIO, 5, "StoreIOError", "a system call on the store's files failed")                      \
    X(SJ_EFORMAT, 6, "FormatError", "the file is not a segment this version can read")             \
    X(SJ_EVERSION, 7, "VersionError", "the segment was written by an incompatible version")        \
    X(SJ_ECORRUPT, 8, "CorruptError", "the segment is damaged")                                    \
    X(SJ_ETRUNCATED, 9, "TruncatedError", "the file is shorter than the segment in it")            \
    X(SJ_EADDRESS, 10, "AddressConflictError", "the segment's address range is taken")             \
    X(SJ_EUNCLEAN, 11, "UncleanShutdownError", "the machine stopped while the store was open")     \
    X(SJ_EREADONLY, 12, "ReadOnlyError", "the store is open for reading only")                     \
    X(SJ_EBUSY, 13, "SpaceBusyError", "the space is held by others")                               \
    X(SJ_EUPGRADE, 14, "HoldUpgradeError", "a read hold cannot become a write hold")               \
    X(SJ_ENOHOLD, 15, "HoldError", "the calling thread does not have the hold it needs")           \
    X(SJ_EDETACHED, 16, "DetachedError", "the space is detached")                                  \
    X(SJ_ETOOBIG, 17, "TooLargeError", "the key or value is larger than a structure can hold")     \
    X(SJ_ETYPE, 18, "StructureTypeError", "the structure is of another kind")                      \
    X(SJ_EINVAL, 19, "InvalidArgumentError", "an argument is out of its range")                    \
    X(SJ_EINTR, 20, "KeyboardInterrupt", "a signal ended the wait")                                \
    X(SJ_EORDER, 21, "OrderError", "keys were expected in ascending order")                        \
    X(SJ_EPERM, 22, "StorePermissionError", "the files do not grant the access asked for")         \
    X(SJ_EDAMAGED, 23, "SegmentDamagedError", "the store's files lost bytes while it was open")    \
    X(SJ_ENAME, 24, "InvalidNameError", "a name breaks the rule for names")                        \
    X(SJ_EIDENTITY, 25, "IdentityError", "the segment file was copied or renamed")                 \
    X(SJ_EUNSUPPORTED, 26, "UnsupportedError", "this machine does not have what was asked for")    \
    X(SJ_EINDOUBT, 27, "InDoubtError", "whether its last transaction was committed is not known")  \
    X(SJ_ERECORD, 28, "RecordTypeError", "the store has other fields of this type")                \
    X(SJ_EVIEWS, 29, "LiveViewsError", "there are live views of these bytes")

enum sj_error {
#define SJ_ERROR_ENUM(name, code, exception, text) name = (code),
    SJ_ERRORS(SJ_ERROR_ENUM)
#undef SJ_ERROR_ENUM
};

/* The message of a code; "unknown error" for any other number. Never NULL. */
SJ_API const char *sj_error_text(int code);

/* The name of the Python exception of a code. Never NULL. */
SJ_API const char *sj_error_exception(int code);

/* What the calling thread's last failure found; "" when there is nothing to add. */
SJ_API const char *sj_error_detail(void);

/* Sets the calling thread's detail (printf-like, cut at 1023 bytes) and returns `code`. */
SJ_API int sj_error(int code, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/* Damaged *code* ends the process here; damaged media never does (SJ_ECORRUPT). */
#define SJ_ASSERT(condition)                                                                       \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            sj_assert_failed(#condition, __FILE__, __LINE__);                                      \
    } while (0)
SJ_API _Noreturn void sj_assert_failed(const char *condition, const char *file, int line);

#define SJ_LIKELY(x)   __builtin_expect(!!(x), 1)
#define SJ_UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
