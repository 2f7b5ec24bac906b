// SPDX-License-Identifier: Apache-2.0
/*
 * test_private.c: versions, which nobody changes, and private segments, whose changes nobody sees.
 */
#include "clone_world.h"

#include <sys/mman.h>

static int clone_as(struct sj_segment *source, const char *name, bool frozen)
{
    struct sj_clone_spec spec = {
        .name = name, .path = path_of(name), .durability = SJ_CLONE_KEEPS, .frozen = frozen};
    struct sj_clone *clone;
    int error = sj_segment_clone(source, &spec, &clone);
    return error == SJ_OK ? sj_clone_publish(clone, path_of(name)) : error;
}

static uint64_t file_digest(const char *path)
{
    uint64_t sum = 1;
    char page[SJ_PAGE];
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    while (read(fd, page, sizeof page) == sizeof page)
        sum = sj_checksum(sum, (const uint64_t *)page, SJ_PAGE / 8);
    close(fd);
    return sum;
}

static void a_version_never_changes(void)
{
    struct model model;
    struct sj_segment *source = make_source(SJ_DURABILITY_PROCESS, &model), *segment;
    CHECK_OK(clone_as(source, "version", true));
    CHECK_OK(sj_segment_close(source, true));
    uint64_t before = file_digest(path_of("version"));
    CHECK(sj_segment_open(path_of("version"), true, true, false, &segment) == SJ_EREADONLY);
    CHECK(chmod(path_of("version"), 0600) == 0); /* it is not the mode that decides */
    CHECK(sj_segment_open(path_of("version"), true, true, true, &segment) == SJ_EREADONLY);
    segment = reopen("version", false);
    CHECK(!segment->rw_possible && sj_tx_begin(segment) == SJ_EREADONLY);
    sound(segment, &model);
    CHECK_OK(sj_segment_close(segment, true));
    CHECK(file_digest(path_of("version")) == before);
    remove_files("version");
}

static struct sj_segment *open_private(const char *name, bool writable)
{
    struct sj_segment *segment;
    int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_OK(sj_segment_open_private(fd, path_of(name), NULL, writable, &segment));
    return segment;
}

/* It grows beyond its file, its page tables move, it is cloned: and the file stays as it was. */
static void a_private_segment_keeps_its_changes_to_itself(void)
{
    struct model model, before;
    struct world world;
    struct sj_segment *segment = make_source(SJ_DURABILITY_PROCESS, &model);
    CHECK_OK(clone_as(segment, "version", true));
    CHECK_OK(sj_segment_close(segment, true));
    uint64_t digest = file_digest(path_of("version"));
    before = model;
    segment = open_private("version", true);
    uint64_t committed = sj_segment_committed(segment);
    for (uint32_t round = 0; round < 6; round++) {
        CHECK(world_find(&world, segment));
        for (uint32_t i = 0; i < 100; i++)
            CHECK_OK(world_change_any(&world, &model));
        CHECK_OK(world_transaction(&world, &model, 30, round % 2 == 0));
        CHECK_OK(sj_segment_commit(segment, sj_segment_committed(segment) + (16 << 20)));
        uint64_t away = 0x680000000000ull + round * SJ_GIB;
        CHECK_OK(sj_segment_move(segment, away, false));
        CHECK_OK(sj_segment_move(segment, TEST_BASE, round % 2 == 0));
        sound(segment, &model);
        CHECK_OK(sj_segment_sync(segment));
    }
    CHECK(sj_segment_committed(segment) > committed && segment->own_from == committed);
    CHECK_OK(clone_as(segment, "kept", false));
    CHECK_OK(sj_segment_close(segment, true));
    CHECK(file_digest(path_of("version")) == digest);
    segment = open_private("version", false);
    sound(segment, &before);
    CHECK(sj_tx_begin(segment) == SJ_EREADONLY);
    CHECK_OK(sj_segment_close(segment, true));
    segment = reopen("kept", true);
    sound(segment, &model);
    CHECK_OK(sj_segment_close(segment, true));
    remove_files("kept");
    remove_files("version");
}

/* The target of a move is taken in its second half: nothing has moved then. */
static void a_move_that_fails_leaves_a_private_segment_where_it_was(void)
{
    struct model model;
    struct sj_segment *segment = make_source(SJ_DURABILITY_PROCESS, &model);
    CHECK_OK(clone_as(segment, "version", true));
    CHECK_OK(sj_segment_close(segment, true));
    segment = open_private("version", true);
    const uint64_t to = 0x680000000000ull;
    void *taken = (void *)(to + SJ_GIB / 2);
    CHECK(mmap(taken, SJ_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
               0) == taken);
    CHECK(sj_segment_move(segment, to, false) == SJ_EADDRESS);
    sound(segment, &model);
    CHECK(munmap(taken, SJ_PAGE) == 0);
    CHECK_OK(sj_segment_move(segment, to, false));
    CHECK_OK(sj_segment_move(segment, TEST_BASE, false));
    sound(segment, &model);
    CHECK_OK(sj_segment_close(segment, true));
    remove_files("version");
}

static void a_private_segment_whose_file_is_cut_short_is_damaged(void)
{
    struct model model;
    struct sj_segment *segment = make_source(SJ_DURABILITY_PROCESS, &model);
    CHECK_OK(clone_as(segment, "version", true));
    CHECK_OK(sj_segment_close(segment, true));
    segment = open_private("version", true);
    CHECK(chmod(path_of("version"), 0600) == 0 && truncate(path_of("version"), 256 << 10) == 0);
    volatile const char *last = segment->base + segment->own_from - SJ_PAGE;
    CHECK(*last == 0 && sj_segment_is_damaged(segment));
    CHECK(sj_tx_begin(segment) == SJ_EDAMAGED);
    CHECK(clone_as(segment, "clone", false) == SJ_EDAMAGED);
    (void)sj_segment_close(segment, true);
    remove_files("version");
}

int main(void)
{
    test_begin();
    snprintf(directory, sizeof directory, "%s", test_directory);
    a_version_never_changes();
    a_private_segment_keeps_its_changes_to_itself();
    a_move_that_fails_leaves_a_private_segment_where_it_was();
    a_private_segment_whose_file_is_cut_short_is_damaged();
    printf("versions and private segments keep what they have\n");
    return 0;
}
