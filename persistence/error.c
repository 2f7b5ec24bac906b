// SPDX-License-Identifier: Apache-2.0
/* error.c: the texts of errors, and what a thread's last failure found. */
#include "persistence/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static __thread char detail[1024];

const char *sj_error_text(int code)
{
    switch (code) {
#define SJ_ERROR_TEXT(name, number, exception, text)                                               \
    case name:                                                                                     \
        return text;
        SJ_ERRORS(SJ_ERROR_TEXT)
#undef SJ_ERROR_TEXT
    }
    return "unknown error";
}

const char *sj_error_exception(int code)
{
    switch (code) {
#define SJ_ERROR_EXCEPTION(name, number, exception, text)                                          \
    case name:                                                                                     \
        return exception;
        SJ_ERRORS(SJ_ERROR_EXCEPTION)
#undef SJ_ERROR_EXCEPTION
    }
    return "SpaceJmpError";
}

const char *sj_error_detail(void)
{
    return detail;
}

int sj_error(int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    return code;
}

void sj_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "spacejmp: %s:%d: assertion failed: %s\n", file, line, condition);
    abort();
}
