# SPDX-License-Identifier: Apache-2.0
"""A graph with cycles, of records; walked by Python, by C (graph.c) and by Numba.

::

    python graph.py make COUNT
    python graph.py walk
    python graph.py walk-c ./libgraph.so
    python graph.py walk-numba

All of them print the length of the roads that can be reached from the first city.
"""

from __future__ import annotations

import sys
from typing import Any

import spacejmp as sj


@sj.record
class City:
    """A place, and the first of its roads."""

    number: sj.i64
    roads: sj.Ptr[Road]


@sj.record
class Road:
    """One way to another city, and the next road of the city that it begins in."""

    length: sj.f64
    to: sj.Ptr[City]
    next: sj.Ptr[Road]


def make(store: sj.Store, count: int) -> None:
    """A ring of cities, and one more road from every third."""
    with store.transaction():
        cities = [store.new(City, number=number) for number in range(count)]
        for city in cities:
            connect(store, city, cities[(city.number + 1) % count])
            if city.number % 3 == 0:
                connect(store, city, cities[city.number * 7 % count])
        store["first city"] = cities[0]


def connect(store: sj.Store, city: City, to: City) -> None:
    """Put a road before the others of its city."""
    length = abs(to.number - city.number) + 0.5
    city.roads = store.new(Road, length=length, to=to, next=city.roads)


def walk(first: City) -> tuple[float, int]:
    """The length of all roads, and the number of cities."""
    length, seen, open_ones = 0.0, {first}, [first]
    while open_ones:
        road = open_ones.pop().roads
        while road is not None:
            length += road.length
            assert road.to is not None
            if road.to not in seen:
                seen.add(road.to)
                open_ones.append(road.to)
            road = road.next
    return length, len(seen)


def walk_in_c(first: City, count: int, library: str) -> float:
    """The same in C: a pointer on the media is a pointer there."""
    from cffi import FFI

    c = FFI()
    c.cdef("struct City; double graph_length(const struct City *first, int64_t count);")
    address = c.cast("struct City *", sj.address_of(first))
    return float(c.dlopen(library).graph_length(address, count))


def walk_in_numba(first: City, count: int) -> float:
    """The same in Numba, which loads from addresses with the layouts that NumPy has."""
    import numba
    import numpy as np
    from numba.core import cgutils, types
    from numba.extending import intrinsic

    @intrinsic  # type: ignore[untyped-decorator,unused-ignore]
    def pointer(_context: Any, _address: Any) -> Any:
        """An address as a pointer."""

        def generate(_inside: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], cgutils.voidptr_t)

        return types.voidptr(types.int64), generate

    cities: Any = City
    roads: Any = Road
    city_type, road_type = cities.dtype, roads.dtype

    @numba.njit  # type: ignore[untyped-decorator,unused-ignore]
    def length_of(first: int, count: int) -> float:
        length = 0.0
        open_ones = np.empty(count, np.int64)
        seen = np.zeros(count, np.bool_)
        open_ones[0] = first
        top = 1
        seen[numba.carray(pointer(first), 1, city_type)[0].number] = True
        while top > 0:
            top -= 1
            at = np.int64(numba.carray(pointer(open_ones[top]), 1, city_type)[0].roads)
            while at != 0:
                road = numba.carray(pointer(at), 1, road_type)[0]
                length += road.length
                to = np.int64(road.to)
                number = numba.carray(pointer(to), 1, city_type)[0].number
                if not seen[number]:
                    seen[number] = True
                    open_ones[top] = to
                    top += 1
                at = np.int64(road.next)
        return length

    return float(length_of(sj.address_of(first), count))


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    with sj.open("graph") as store:
        if arguments[:1] == ["make"] and len(arguments) == 2:
            make(store, int(arguments[1]))
            return
        with store.read():  # whoever follows pointers by himself holds the store
            first = store["first city"]
            length, count = walk(first)
            match arguments:
                case ["walk-c", library]:
                    length = walk_in_c(first, count, library)
                case ["walk-numba"]:
                    length = walk_in_numba(first, count)
                case ["walk"]:
                    pass
                case _:
                    sys.exit("usage: graph.py make COUNT | walk | walk-c LIBRARY | walk-numba")
            print(length)


if __name__ == "__main__":
    main(sys.argv[1:])
