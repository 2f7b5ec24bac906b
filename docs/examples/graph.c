// SPDX-License-Identifier: Apache-2.0
/*
 * graph.c: walks the graph that graph.py keeps in a store, by its pointers.
 *
 *   cc -shared -fPIC -O2 graph.c -o libgraph.so
 *
 * The structs are what City.c_declaration() and Road.c_declaration() say. Nothing of spacejmp is
 * needed to follow the pointers: graph.py holds the store meanwhile.
 */
#include <stdint.h>
#include <stdlib.h>

struct Road;

struct City {
    int64_t number;
    struct Road *roads;
};

struct Road {
    double length;
    struct City *to;
    struct Road *next;
};

/* The length of all roads that can be reached from a city; -1: no memory. `count`: of all cities,
 * whose numbers are below it. */
double graph_length(const struct City *first, int64_t count)
{
    const struct City **open = malloc((size_t)count * sizeof *open);
    char *seen = calloc((size_t)count, 1);
    double length = 0;
    int64_t top = 0;
    if (open == NULL || seen == NULL) {
        free(open);
        free(seen);
        return -1;
    }
    open[top++] = first;
    seen[first->number] = 1;
    while (top > 0) {
        const struct City *city = open[--top];
        for (const struct Road *road = city->roads; road != NULL; road = road->next) {
            length += road->length;
            if (seen[road->to->number] == 0) {
                seen[road->to->number] = 1;
                open[top++] = road->to;
            }
        }
    }
    free(open);
    free(seen);
    return length;
}
