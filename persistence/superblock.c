// SPDX-License-Identifier: Apache-2.0
/*
 * superblock.c: reading, checking and replacing superblocks.
 *
 *   A(n) B(n−1)  ──sj_super_update──→  A(n) B(n+1)      the one that does not count is overwritten
 *
 * Crash rule: a torn superblock fails its checksum, and the other one counts. The checksum goes
 * before the rest is overwritten: two torn updates that took the same number could together look
 * like one that is whole. sums.h is told which one is going to be written, so that it can tell a
 * torn one from a damaged one.
 */
#include "persistence/superblock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "persistence/checksum.h"
#include "persistence/seam.h"
#include "persistence/sums.h"

#ifdef SJ_SEAM /* tests make the machine start anew */
#define BOOT_MAY_CHANGE true
#else
#define BOOT_MAY_CHANGE false
#endif

/* Asks the kernel; whether it told. */
static bool read_boot_id(uint8_t id[16])
{
    static const char hex[] = "0123456789abcdef";
    char text[64] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got;
    do
        got = read(fd, text, sizeof text - 1);
    while (got < 0 && errno == EINTR);
    close(fd);
    unsigned digits = 0;
    for (ssize_t i = 0; i < got && digits < 32; i++) {
        const char *digit = memchr(hex, text[i], 16);
        if (digit != NULL) {
            unsigned value = (unsigned)(digit - hex);
            id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | value);
            digits++;
        }
    }
    return digits == 32;
}

/* What it told is kept: a process that has no descriptor left would stamp a superblock with zeros,
 * and if it died then, the store would seem to be of an earlier boot. */
void sj_boot_id(uint8_t id[16])
{
    static uint64_t words[2];
    static bool known;
    uint64_t found[2] = {0, 0};
    if (__atomic_load_n(&known, __ATOMIC_ACQUIRE)) {
        memcpy(id, words, sizeof words);
        return;
    }
    if (!read_boot_id((uint8_t *)found))
        memset(found, 0, sizeof found);
    memcpy(id, found, sizeof found);
    if ((found[0] | found[1]) == 0 || BOOT_MAY_CHANGE)
        return;
    __atomic_store_n(&words[0], found[0], __ATOMIC_RELAXED);
    __atomic_store_n(&words[1], found[1], __ATOMIC_RELAXED);
    __atomic_store_n(&known, true, __ATOMIC_RELEASE);
}

uint64_t sj_super_checksum(const struct sj_super *super)
{
    return sj_checksum(SJ_MAGIC, (const uint64_t *)super,
                       offsetof(struct sj_super, checksum) / sizeof(uint64_t));
}

void sj_super_init(struct sj_super *super, const struct sj_segment_spec *spec,
                   const uint8_t uuid[16], uint64_t features_incompat)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    memset(super, 0, sizeof *super);
    super->magic = SJ_MAGIC;
    super->sequence = 1;
    super->byte_order = SJ_BYTE_ORDER_MARK;
    super->version = SJ_FORMAT_VERSION;
    super->page_bytes = SJ_PAGE;
    super->features_incompat = features_incompat;
    super->log_epoch = 1;
    memcpy(super->uuid, uuid, sizeof super->uuid);
    super->base = spec->base;
    super->reserved = spec->reserved;
    if (spec->durability == SJ_DURABILITY_POWER)
        super->features_incompat |= SJ_FEATURE_POWER;
    super->state = SJ_STATE_CLEAN;
    sj_boot_id(super->boot_id);
    super->created_ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
    super->name_bytes = (uint32_t)strlen(spec->name);
    memcpy(super->name, spec->name, super->name_bytes);
    super->checksum = sj_super_checksum(super);
}

static bool is_whole(const struct sj_super *super)
{
    return super->magic == SJ_MAGIC && super->checksum == sj_super_checksum(super);
}

/* What this version cannot work with, although the superblock is whole. */
static int check_fields(const char *path, const struct sj_super *super)
{
    if (super->byte_order != SJ_BYTE_ORDER_MARK)
        return sj_error(SJ_EVERSION, "%s: written on a machine of the other byte order", path);
    if (super->version != SJ_FORMAT_VERSION)
        return sj_error(SJ_EVERSION,
                        "%s: format version %u, this library reads version %u: use the spacejmp "
                        "version that wrote it",
                        path, super->version, SJ_FORMAT_VERSION);
    if ((super->features_incompat & ~SJ_FEATURES_INCOMPAT) != 0)
        return sj_error(SJ_EVERSION, "%s: uses features 0x%llx that this version does not know",
                        path, (unsigned long long)super->features_incompat);
    if (super->page_bytes != SJ_PAGE)
        return sj_error(SJ_EVERSION, "%s: pages of %u bytes, expected %llu", path,
                        super->page_bytes, SJ_PAGE);
    if (!sj_range_is_valid(super->base, super->reserved))
        return sj_error(SJ_ECORRUPT, "%s: base 0x%llx and reserve 0x%llx are outside the arena",
                        path, (unsigned long long)super->base, (unsigned long long)super->reserved);
    if (super->name_bytes == 0 || super->name_bytes > SJ_NAME_MAX ||
        strnlen(super->name, sizeof super->name) != super->name_bytes)
        return sj_error(SJ_ECORRUPT, "%s: the superblock's name is damaged", path);
    return SJ_OK;
}

static int read_both(int fd, const char *path, struct sj_super *a, struct sj_super *b)
{
    ssize_t got = sj_segment_read(fd, a, sizeof *a, SJ_SUPER_A);
    if (got >= 0 && (size_t)got == sizeof *a)
        got = sj_segment_read(fd, b, sizeof *b, SJ_SUPER_B);
    if (got < 0)
        return sj_error(SJ_EIO, "%s: read: %s", path, strerror(errno));
    if ((size_t)got < sizeof *b)
        return sj_error(SJ_EFORMAT, "%s: too short for a segment: it has no two superblocks", path);
    return SJ_OK;
}

int sj_super_copies(int fd, const char *path, enum sj_super_copy copies[2])
{
    static const struct sj_super empty;
    struct sj_super super[2];
    int error = read_both(fd, path, &super[0], &super[1]);
    for (int i = 0; error == SJ_OK && i < 2; i++)
        copies[i] = is_whole(&super[i])                            ? SJ_SUPER_WHOLE
                    : memcmp(&super[i], &empty, sizeof empty) == 0 ? SJ_SUPER_EMPTY
                                                                   : SJ_SUPER_DAMAGED;
    return error;
}

int sj_super_read(int fd, const char *path, struct sj_super *super, uint64_t *which)
{
    struct sj_super other;
    int error = read_both(fd, path, super, &other);
    if (error != SJ_OK)
        return error;
    bool a = is_whole(super), b = is_whole(&other);
    if (!a && !b) {
        if (super->magic != SJ_MAGIC && other.magic != SJ_MAGIC)
            return sj_error(SJ_EFORMAT, "%s: does not begin like a segment", path);
        return sj_error(SJ_ECORRUPT, "%s: both superblocks are damaged", path);
    }
    *which = SJ_SUPER_A;
    if (!a || (b && other.sequence > super->sequence)) {
        *super = other;
        *which = SJ_SUPER_B;
    }
    return check_fields(path, super);
}

/* Makes the superblock one that never was before, and has the checksums name it; if that fails, it
 * is one that they do not name. */
static int seal(struct sj_segment *segment, uint64_t present, struct sj_super *super)
{
    if ((segment->domain->sums || segment->wal != NULL) &&
        getrandom(&super->nonce, sizeof super->nonce, 0) != (ssize_t)sizeof super->nonce)
        super->nonce++;
    super->checksum = sj_super_checksum(super);
    int error = sj_segment_sums_announce(segment, present, super->checksum);
    if (error == SJ_OK)
        return SJ_OK;
    super->nonce++;
    super->checksum = sj_super_checksum(super);
    return (super->state & SJ_STATE_CLEAN) != 0 ? error : SJ_OK;
}

int sj_super_write(struct sj_segment *segment, int fd, struct sj_super *super, uint64_t which)
{
    uint64_t at = which == SJ_SUPER_A ? SJ_SUPER_B : SJ_SUPER_A, present = super->checksum;
    super->sequence++;
    (void)seal(segment, present, super); /* named or not: nothing fails for want of checksums */
    sj_disk_write(fd, super, sizeof *super, at);
    if (sj_segment_write(fd, super, sizeof *super, at) != 0 || fdatasync(fd) != 0)
        return sj_error(SJ_EIO, "'%s': writing a superblock: %s", segment->name, strerror(errno));
    sj_disk_sync(fd);
    sj_segment_sums_settle(segment, super->checksum);
    return SJ_OK;
}

int sj_super_update(struct sj_segment *segment, uint64_t state)
{
    struct sj_super super;
    uint64_t which;
    int error = sj_super_read(segment->fd, segment->name, &super, &which);
    if (error != SJ_OK)
        return error;
    uint64_t present = super.checksum;
    super.sequence++;
    super.state = state | (segment->accepted ? 0 : super.state & SJ_STATE_UNSYNCED);
    sj_boot_id(super.boot_id);
    int not_named = seal(segment, present, &super);
    void *at = segment->base + (which == SJ_SUPER_A ? SJ_SUPER_B : SJ_SUPER_A);
    sj_store(&((struct sj_super *)at)->checksum, 0);
    sj_flush(segment->domain, &((struct sj_super *)at)->checksum, sizeof super.checksum);
    sj_fence(segment->domain);
    sj_copy(at, &super, sizeof super);
    sj_flush(segment->domain, at, sizeof super);
    sj_fence(segment->domain);
    error = segment->domain->sync(segment);
    if (error != SJ_OK)
        return error;
    sj_segment_sums_settle(segment, super.checksum);
    return not_named;
}
