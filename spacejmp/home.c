// SPDX-License-Identifier: Apache-2.0
/* home.c: the home directory (home.h says what lies in it). */
#include "spacejmp/home.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "persistence/media_layout.h"
#include "spacejmp/files.h"

/* ------------------------------------------------------------------ names and paths */

bool sj_name_is_valid(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "._-";
    size_t length = strspn(name, allowed);
    return name[length] == '\0' && length > 0 && length <= SJ_CATALOG_NAME_MAX && name[0] != '.' &&
           name[0] != '-';
}

bool sj_segment_name_is_valid(const char *name)
{
    char store[SJ_CATALOG_NAME_MAX + 1];
    const char *at = strchr(name, '@');
    if (at == NULL)
        return sj_name_is_valid(name);
    if (at - name > SJ_CATALOG_NAME_MAX || strlen(at + 1) > SJ_TAG_MAX)
        return false;
    snprintf(store, sizeof store, "%.*s", (int)(at - name), name);
    return sj_name_is_valid(store) && sj_name_is_valid(at + 1);
}

int sj_segment_name_check(const char *name)
{
    if (strchr(name, '@') == NULL)
        return sj_name_check(name);
    if (sj_segment_name_is_valid(name))
        return SJ_OK;
    return sj_error(SJ_ENAME,
                    "'%.200s': expected the name of a version, NAME@TAG, with a name of 1 to %d "
                    "and a tag of 1 to %d characters out of A-Z a-z 0-9 . _ -, neither beginning "
                    "with '.' or '-'; choose another name",
                    name, SJ_CATALOG_NAME_MAX, SJ_TAG_MAX);
}

int sj_name_check(const char *name)
{
    if (sj_name_is_valid(name))
        return SJ_OK;
    return sj_error(SJ_ENAME,
                    "'%.128s': expected 1 to %d characters out of A-Z a-z 0-9 . _ -, not beginning "
                    "with '.' or '-'; choose another name",
                    name, SJ_CATALOG_NAME_MAX);
}

void sj_home_part(const char *home, const char *part, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%.*s/%s", SJ_HOME_MAX, home, part);
}

void sj_home_segment(const char *home, const char *name, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%.*s/seg/%.*s.seg", SJ_HOME_MAX, home, SJ_NAME_MAX, name);
}

void sj_home_record(const char *home, const char *name, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%.*s/vas/%.*s.vas", SJ_HOME_MAX, home, SJ_NAME_MAX, name);
}

static void in_locks(const char *home, const uint8_t uuid[16], const char *suffix,
                     char path[PATH_MAX])
{
    char hex[33];
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", uuid[i]);
    snprintf(path, PATH_MAX, "%.*s/lock/%s%s", SJ_HOME_MAX, home, hex, suffix);
}

void sj_home_lock(const char *home, const uint8_t uuid[16], char path[PATH_MAX])
{
    in_locks(home, uuid, ".lock", path);
}

void sj_home_generation(const char *home, const uint8_t uuid[16], char path[PATH_MAX])
{
    in_locks(home, uuid, ".vas", path);
}

void sj_home_catalog_lock(const char *home, char path[PATH_MAX])
{
    sj_home_part(home, "lock/catalog.lock", path);
}

/* ------------------------------------------------------------------ where it is */

static pthread_mutex_t choosing = PTHREAD_MUTEX_INITIALIZER; /* guards `chosen` */
static char chosen[SJ_HOME_MAX + 1];                         /* "": the default */

static int absolute(const char *path, const char *below, char home[SJ_HOME_MAX + 1])
{
    char working[PATH_MAX] = "";
    if (path[0] == '~') { /* other users' are for the shell */
        const char *user = getenv("HOME");
        if (user != NULL && user[0] == '/' && (path[1] == '/' || path[1] == '\0'))
            snprintf(working, sizeof working, "%s%s", user, path + 1);
    } else if (path[0] == '/' || getcwd(working, sizeof working) == NULL) {
        snprintf(working, sizeof working, "%s", path[0] == '/' ? path : "");
    } else {
        size_t length = strlen(working);
        snprintf(working + length, sizeof working - length, "/%s", path);
    }
    size_t length = strlen(working);
    while (length > 1 && working[length - 1] == '/')
        working[--length] = '\0';
    if (path[0] == '\0' || length == 0)
        return sj_error(SJ_EINVAL,
                        "home: expected the path of a directory, found '%.200s'; give one, or set "
                        "SPACEJMP_HOME",
                        path);
    if ((size_t)snprintf(home, SJ_HOME_MAX + 1, "%s%s", working, below) > SJ_HOME_MAX)
        return sj_error(SJ_EINVAL, "home: expected a path of at most %d bytes", SJ_HOME_MAX);
    return SJ_OK;
}

int sj_home_use(const char *path)
{
    char home[SJ_HOME_MAX + 1] = "";
    int error = path == NULL ? SJ_OK : absolute(path, "", home);
    if (error != SJ_OK)
        return error;
    pthread_mutex_lock(&choosing);
    memcpy(chosen, home, sizeof chosen);
    pthread_mutex_unlock(&choosing);
    return SJ_OK;
}

int sj_home_path(char path[SJ_HOME_MAX + 1])
{
    pthread_mutex_lock(&choosing);
    memcpy(path, chosen, SJ_HOME_MAX + 1);
    pthread_mutex_unlock(&choosing);
    if (path[0] != '\0')
        return SJ_OK;
    const char *wanted = getenv("SPACEJMP_HOME");
    if (wanted != NULL && wanted[0] != '\0')
        return absolute(wanted, "", path);
    const char *data = getenv("XDG_DATA_HOME");
    return absolute(data != NULL && data[0] == '/' ? data : "~/.local/share", "/spacejmp", path);
}

/* ------------------------------------------------------------------ how it is made */

int sj_home_exists(const char *home)
{
    char path[PATH_MAX];
    bool there;
    sj_home_part(home, "seg", path);
    int error = sj_file_status(path, NULL, &there);
    return error != SJ_OK || there ? error : sj_error(SJ_ENOTFOUND, "'%s'", path);
}

int sj_home_mode(const char *home, uint32_t *mode)
{
    struct stat status;
    if (stat(home, &status) != 0)
        return sj_file_failed("use", home);
    *mode = status.st_mode & 07777;
    return SJ_OK;
}

/* Makes a directory and those above it, with mode 0700. */
static int make_all(const char *home)
{
    char path[PATH_MAX], above[PATH_MAX];
    snprintf(path, sizeof path, "%s", home);
    for (char *slash = path; slash != NULL;) {
        slash = strchr(slash + 1, '/');
        if (slash != NULL)
            *slash = '\0';
        if (mkdir(path, 0700) != 0) {
            struct stat status;
            int number = errno;
            bool known = stat(path, &status) == 0;
            if (!known || !S_ISDIR(status.st_mode)) {
                errno = known ? ENOTDIR : number == EEXIST ? errno : number;
                return sj_file_failed("make", home);
            }
        }
        if (slash != NULL)
            *slash = '/';
    }
    snprintf(above, sizeof above, "%s", home);
    char *last = strrchr(above, '/');
    last[last == above ? 1 : 0] = '\0';
    return sj_file_sync_directory(above);
}

/* One that all can write is refused; it may be a link to another filesystem. */
static int make_part(const char *home, const char *part, uint32_t mode)
{
    char path[PATH_MAX];
    struct stat status;
    sj_home_part(home, part, path);
    if (mkdir(path, mode) == 0) {
        int error = sj_file_sync_directory(home);
        if (error != SJ_OK)
            return error;
    } else if (errno != EEXIST) {
        return sj_file_failed("make", path);
    }
    if (stat(path, &status) != 0)
        return sj_file_failed("use", path);
    if ((status.st_mode & S_IWOTH) != 0)
        return sj_error(SJ_EPERM,
                        "cannot use '%s': expected a directory that only its owner and group can "
                        "write, found mode %o; run: chmod o-w %s",
                        path, status.st_mode & 07777, path);
    return SJ_OK;
}

int sj_home_make(const char *home)
{
    static const char *const parts[] = {"vas", "seg", "lock"};
    struct stat status;
    uint32_t mode = 0;
    int error = SJ_OK;
    if (stat(home, &status) != 0 || !S_ISDIR(status.st_mode))
        error = make_all(home);
    if (error == SJ_OK)
        error = sj_home_mode(home, &mode);
    for (int i = 0; error == SJ_OK && i < 3; i++)
        error = make_part(home, parts[i], 0700 | (mode & 070));
    return error;
}

/* ------------------------------------------------------------------ what is in it */

struct gathering {
    const char *suffix;
    size_t suffix_bytes;
    char *text; /* names, each with its NUL */
    size_t bytes, room, count;
};

static int gather(void *context, const char *name, bool is_directory)
{
    struct gathering *all = context;
    char stem[SJ_CATALOG_NAME_MAX + 1];
    size_t bytes = strlen(name);
    if (is_directory || bytes <= all->suffix_bytes ||
        bytes - all->suffix_bytes > SJ_CATALOG_NAME_MAX ||
        strcmp(name + bytes - all->suffix_bytes, all->suffix) != 0)
        return SJ_OK;
    bytes -= all->suffix_bytes;
    memcpy(stem, name, bytes);
    stem[bytes++] = '\0';
    if (!sj_name_is_valid(stem))
        return SJ_OK;
    if (all->bytes + bytes > all->room) {
        size_t room = 2 * all->room + 4096;
        char *larger = realloc(all->text, room);
        if (larger == NULL)
            return sj_error(SJ_ENOMEM, "%zu bytes for names", room);
        all->text = larger;
        all->room = room;
    }
    memcpy(all->text + all->bytes, stem, bytes);
    all->bytes += bytes;
    all->count++;
    return SJ_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int sj_home_names(const char *home, const char *part, const char *suffix, struct sj_names *names)
{
    char path[PATH_MAX];
    struct gathering all = {.suffix = suffix, .suffix_bytes = strlen(suffix)};
    names->count = 0;
    names->name = NULL;
    sj_home_part(home, part, path);
    int error = sj_file_each(path, gather, &all);
    size_t table = (all.count + 1) * sizeof *names->name;
    if (error == SJ_OK && (names->name = malloc(table + all.bytes)) == NULL)
        error = sj_error(SJ_ENOMEM, "%zu bytes for names", table + all.bytes);
    if (error == SJ_OK) {
        char *text = (char *)names->name + table;
        if (all.bytes > 0)
            memcpy(text, all.text, all.bytes);
        for (; names->count < all.count; text += strlen(text) + 1)
            names->name[names->count++] = text;
        names->name[all.count] = NULL;
        qsort(names->name, all.count, sizeof *names->name, by_text);
    }
    free(all.text);
    return error;
}
