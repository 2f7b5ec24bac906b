// SPDX-License-Identifier: Apache-2.0
/*
 * people.c: a list of people that C and Python programs share: people.py does the same.
 *
 *   cc people.c -I$(python -c 'import spacejmp; print(spacejmp.get_include())') \
 *      $(python -c 'import spacejmp; print(spacejmp.get_library())') -o people
 *   people add NAME TEXT
 *   people list
 *
 * It is in a virtual address space of two segments: persons in one, what is said of them in the
 * other. The pointers between them are plain pointers, the same in every process.
 *
 *   root "people" ─→ person ─→ person ─→ 0        segment people.persons
 *                      ↓          ↓
 *                     note       note             segment people.notes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spacejmp/spacejmp.h"

struct note {
    uint64_t bytes;
    char text[];
};

struct person {
    struct person *next;
    struct note *note;
    char name[48];
};

static void check(int error)
{
    if (error == SJ_OK)
        return;
    fprintf(stderr, "people: %s: %s\n", sj_error_text(error), sj_error_detail());
    exit(1);
}

/* The space, made if it is missing. */
static struct sj_vid find_people(void)
{
    static const char *const names[] = {"people.persons", "people.notes"};
    struct sj_vid people;
    int error = sj_vas_create("people", 0600, &people);
    if (error == SJ_EEXISTS)
        error = sj_vas_find("people", &people);
    check(error);
    for (int i = 0; i < 2; i++) {
        struct sj_sid segment;
        error = sj_seg_alloc(names[i], 0, SJ_GIB, 0600, &segment);
        if (error == SJ_EEXISTS)
            error = sj_seg_find(names[i], &segment);
        check(error);
        check(sj_seg_attach(&people, &segment, SJ_RIGHT_READ | SJ_RIGHT_WRITE));
    }
    return people;
}

static struct person *first_of(struct sj_vas *people)
{
    void *first = NULL;
    int error = sj_vas_root_get(people, "people", &first);
    if (error != SJ_ENOTFOUND)
        check(error);
    return first;
}

static void add(struct sj_vas *people, const char *name, const char *text)
{
    struct person *person;
    struct note *note;
    size_t bytes = strlen(text);
    check(sj_seg_malloc(people, "people.persons", sizeof *person, (void **)&person));
    check(sj_seg_malloc(people, "people.notes", sizeof *note + bytes, (void **)&note));
    check(sj_seg_change(people, person, sizeof *person)); /* before storing by a pointer */
    check(sj_seg_change(people, note, sizeof *note + bytes));
    note->bytes = bytes;
    memcpy(note->text, text, bytes);
    *person = (struct person){.next = first_of(people), .note = note};
    strncpy(person->name, name, sizeof person->name - 1);
    check(sj_vas_root_set(people, "people", person));
}

static void list(struct sj_vas *people)
{
    for (const struct person *person = first_of(people); person != NULL; person = person->next)
        printf("%s: %.*s\n", person->name, (int)person->note->bytes, person->note->text);
}

int main(int count, char **arguments)
{
    const struct sj_wait wait = {.timeout_s = 60};
    bool adds = count == 4 && strcmp(arguments[1], "add") == 0;
    struct sj_vas *people;
    if (!adds && (count != 2 || strcmp(arguments[1], "list") != 0)) {
        fprintf(stderr, "usage: people add NAME TEXT | people list\n");
        return 2;
    }
    struct sj_vid vid = find_people();
    check(sj_vas_attach(&vid, SJ_RIGHT_READ | (adds ? SJ_RIGHT_WRITE : 0), &wait, &people));
    check(sj_vas_switch(people, 0, &wait));
    if (adds)
        add(people, arguments[2], arguments[3]);
    else
        list(people);
    check(sj_vas_switch(NULL, 0, &wait));
    check(sj_vas_detach(people, &wait));
    return 0;
}
