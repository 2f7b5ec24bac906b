# SPDX-License-Identifier: Apache-2.0
"""Writers of lists, deques, queues, sets and nested structures are killed at random moments.

What must be there then, `kills.py` says. Nested structures are in the values of a BTree, several of
its keys may lead to the same one, and what has been replaced is left to the collector: after each
kill the store is whole, and a collection leaves nothing that is lost.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from crash.kills import Change, UndoError, World, anew, cycles

import spacejmp as sj

if TYPE_CHECKING:
    import random
    from pathlib import Path

# Libraries start threads of their own; the children here use none of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

SEQUENCES = {
    "deque-int": ("deque", "int"),
    "deque-any": ("deque", "any"),
    "list-int": ("list", "int"),
    "list-str": ("list", "str"),
    "queue": ("queue", "str"),
}
SETS = {
    "set-int": ("set", "int"),
    "set-str": ("set", "str"),
    "sorted": ("sortedset", "bytes"),
    "bag": ("sortedlist", "int"),  # which has equal ones
}
NESTED = ("deque", "set", "hashmap", "list")
KEYS = 8
VALUES: dict[str, Any] = {
    "int": lambda n: n,
    "str": lambda n: f"v{n}" * (n % 9),
    "bytes": lambda n: b"v%d" % n * (n % 40),
    "any": lambda n: [n, {"n": "v" * (n % 70)}],
}

# "tree" has for each key the number of a structure, "nested" for each number what is in it.
State = dict[str, Any]
EMPTY: State = {
    **{name: [] for name in SEQUENCES},
    **{name: [] if name == "bag" else frozenset() for name in SETS},
    "tree": {},
    "nested": {},
}


# --- the plan -----------------------------------------------------------------------------------


def some_change(rng: random.Random, depth: int = 0) -> Change:
    """One change of the plan, made of plain data."""
    kind = rng.choices(
        ("ends", "middle", "set", "nest", "group", "undone", "clear"),
        (30, 10, 20, 30, 0 if depth > 1 else 14, 0 if depth > 1 else 4, 1),
    )[0]
    if kind in ("group", "undone"):
        return kind, [some_change(rng, depth + 1) for _ in range(rng.randrange(1, 12))]
    n = rng.randrange(400)
    if kind == "ends":
        what = rng.choice(("append", "append", "appendleft", "pop", "popleft", "extend", "rotate"))
        return what, rng.choice(list(SEQUENCES)), n
    if kind == "middle":
        name = rng.choice(("deque-any", "list-int", "list-str"))
        return rng.choice(("insert", "delete", "put", "slice")), name, n, rng.randrange(10_000)
    if kind == "set":
        return rng.choice(("add", "add", "discard")), rng.choice(list(SETS)), n
    if kind == "nest":
        what = rng.choice(("plant", "grow", "grow", "grow", "alias", "uproot"))
        return what, rng.randrange(KEYS), rng.randrange(KEYS), rng.choice(NESTED), n
    return kind, rng.choice([*SEQUENCES, *SETS]), 0


def value_of(name: str, n: int) -> Any:
    return VALUES[(SEQUENCES.get(name) or SETS[name])[1]](n)


def changed_sequence(items: list[Any], change: Change) -> list[Any]:
    """A sequence after a change; a queue has those of its two ends alone."""
    kind, name, n, *more = change
    turned = name != "queue"
    if kind == "append" or (kind in ("appendleft", "rotate") and not turned):
        return [*items, value_of(name, n)]
    if kind == "appendleft":
        return [value_of(name, n), *items]
    if kind == "extend":
        return [*items, *(value_of(name, n + i) for i in range(n % 90))]
    if kind == "pop" and turned:
        return items[:-1]
    if kind in ("pop", "popleft"):
        return items[1:]
    if SEQUENCES[name][0] == "list" and kind == "rotate":
        return items[::-1]
    if SEQUENCES[name][0] == "list" and kind == "slice":
        at = n % (len(items) + 1)
        return [*items[:at], *(value_of(name, n + i) for i in range(3)), *items[at + n % 7 :]]
    if kind == "rotate" and items:
        at = -(n % 20) % len(items)
        return [*items[at:], *items[:at]]
    if kind == "insert":
        at = n % (len(items) + 1)
        return [*items[:at], value_of(name, more[0]), *items[at:]]
    if items and kind in ("delete", "put"):
        at = n % len(items)
        return [*items[:at], *([value_of(name, more[0])] * (kind == "put")), *items[at + 1 :]]
    return items


def changed_bag(items: list[int], kind: str, n: int) -> list[int]:
    if kind == "add":
        return sorted([*items, n])
    return items if n not in items else [*items[: items.index(n)], *items[items.index(n) + 1 :]]


def changed_nested(state: State, change: Change) -> State:
    """The tree and the structures in it after a change."""
    kind, key, other, made, n = change
    tree, nested = state["tree"], state["nested"]
    if kind == "plant":
        number = len(nested)
        nested = {**nested, number: (made, [(key, n)])}
        tree = {**tree, key: number}
    elif kind == "uproot":
        tree = {k: number for k, number in tree.items() if k != key}
    elif key not in tree:
        return state
    elif kind == "alias":
        tree = {**tree, other: tree[key]}
    else:
        found, items = nested[tree[key]]
        nested = {**nested, tree[key]: (found, [*items, (key, n)])}
    return {**state, "tree": tree, "nested": nested}


def apply_to_model(state: State, change: Change) -> State:
    """The state after a change; a new one, so that the old one stays."""
    kind, name, *rest = change
    if kind == "undone":
        return state
    if kind == "group":
        for each in name:
            state = apply_to_model(state, each)
        return state
    if kind in ("plant", "grow", "alias", "uproot"):
        return changed_nested(state, change)
    if kind == "clear":
        return {**state, name: EMPTY[name]}
    if name == "bag":
        return {**state, name: changed_bag(state[name], kind, rest[0])}
    if kind == "add":
        return {**state, name: state[name] | {value_of(name, rest[0])}}
    if kind == "discard":
        return {**state, name: state[name] - {value_of(name, rest[0])}}
    return {**state, name: changed_sequence(state[name], change)}


# --- the store ----------------------------------------------------------------------------------


def open_structure(store: sj.Store, name: str) -> Any:
    if name in SETS:
        kind, key = SETS[name]
        return getattr(store, kind)(name, key=key)
    kind, value = SEQUENCES[name]
    return getattr(store, kind)(name, value=value)


def take_all(queue: sj.Queue) -> list[Any]:
    return queue.get_many(queue.qsize(), block=False) if not queue.empty() else []


def change_queue(queue: sj.Queue, kind: str, n: int) -> None:
    if kind in ("append", "appendleft", "rotate"):
        queue.put(value_of("queue", n))
    elif kind == "extend":
        queue.put_many([value_of("queue", n + i) for i in range(n % 90)])
    elif kind == "clear":
        take_all(queue)
    elif not queue.empty():
        queue.get_nowait()


def change_deque(deque: sj.Deque, change: Change) -> None:
    kind, name, n, *rest = change
    size = len(deque)
    if kind in ("append", "appendleft"):
        getattr(deque, kind)(value_of(name, n))
    elif kind in ("pop", "popleft") and size > 0:
        getattr(deque, kind)()
    elif kind == "extend":
        deque.extend(value_of(name, n + i) for i in range(n % 90))
    elif kind == "rotate":
        deque.rotate(n % 20)
    elif kind == "insert":
        deque.insert(n % (size + 1), value_of(name, rest[0]))
    elif kind == "delete" and size > 0:
        del deque[n % size]
    elif kind == "put" and size > 0:
        deque[n % size] = value_of(name, rest[0])
    elif kind == "clear":
        deque.clear()


def add_to(structure: Any, item: tuple[int, int]) -> None:
    """Adds something that tells how many there were before it, whatever the structure is."""
    if isinstance(structure, (sj.Deque, sj.List)):
        structure.append(item)
    elif isinstance(structure, sj.Set):
        structure.add((len(structure), *item))
    else:
        structure[len(structure)] = item


def change_tree(store: sj.Store, change: Change) -> None:
    kind, key, other, made, n = change
    tree = store.btree("tree", key="int", value="any")
    if kind == "plant":
        with store.transaction():
            structure = getattr(store, f"new_{made}")()
            add_to(structure, (key, n))
            tree[key] = structure
    elif kind == "uproot":
        tree.pop(key, None)
    elif key in tree and kind == "alias":
        tree[other] = tree[key]
    elif key in tree:
        add_to(tree[key], (key, n))


def change_list(items: sj.List, change: Change) -> None:
    kind, name, n, *more = change
    size = len(items)
    if kind in ("append", "appendleft", "insert"):
        at = {"append": size, "appendleft": 0}.get(kind, n % (size + 1))
        items.insert(at, value_of(name, more[0] if more else n))
    elif kind in ("pop", "popleft", "delete") and size > 0:
        del items[{"pop": -1, "popleft": 0}.get(kind, n % size)]
    elif kind == "extend":
        items.extend([value_of(name, n + i) for i in range(n % 90)])
    elif kind == "rotate":
        items.reverse()
    elif kind == "slice":
        at = n % (size + 1)
        items[at : at + n % 7] = [value_of(name, n + i) for i in range(3)]
    elif kind == "put" and size > 0:
        items[n % size] = value_of(name, more[0])
    elif kind == "clear":
        items.clear()


def apply_to_store(store: sj.Store, change: Change) -> None:
    kind, name, *rest = change
    if kind in ("group", "undone"):
        with contextlib.suppress(UndoError), store.transaction():
            for each in name:
                apply_to_store(store, each)
            if kind == "undone":
                raise UndoError
    elif kind in ("plant", "grow", "alias", "uproot"):
        change_tree(store, change)
    elif name in SETS:
        found = open_structure(store, name)
        if kind == "clear":
            found.clear()
        else:
            getattr(found, kind)(value_of(name, rest[0]))
    elif name == "queue":
        with store.transaction():
            change_queue(open_structure(store, name), kind, rest[0])
    else:
        changed = change_list if SEQUENCES[name][0] == "list" else change_deque
        with store.transaction():
            changed(open_structure(store, name), change)


# --- what is there ------------------------------------------------------------------------------


def items_of(structure: Any) -> list[tuple[int, int]]:
    if isinstance(structure, (sj.Deque, sj.List)):
        return [tuple(item) for item in structure]
    if isinstance(structure, sj.Set):
        return [tuple(item[1:]) for item in sorted(structure)]
    return [tuple(structure[i]) for i in range(len(structure))]


def view(state: State) -> State:
    """Without what only the model has: each key with its structure and the first key of it."""
    tree, nested = state["tree"], state["nested"]
    first = {number: key for key, number in sorted(tree.items(), reverse=True)}
    return {
        **{name: items for name, items in state.items() if name not in ("tree", "nested")},
        "tree": {key: (first[number], *nested[number]) for key, number in tree.items()},
    }


def read_queue(store: sj.Store) -> list[Any]:
    """What is in a queue, which only gives what it loses."""
    items: list[Any] = []
    with contextlib.suppress(UndoError), store.transaction():
        items = take_all(store["queue"])
        raise UndoError
    return items


def read_all(store: sj.Store) -> State:
    state = dict(EMPTY)
    numbers: dict[int, int] = {}
    nested = {}
    for name in [*SEQUENCES, *SETS]:
        if name in store:
            state[name] = read_queue(store) if name == "queue" else list(store[name])
            assert name == "queue" or len(state[name]) == len(store[name])
            if name in SETS and name != "bag":
                state[name] = frozenset(state[name])
    if "tree" in store:
        for key, structure in store["tree"].items():
            number = numbers.setdefault(structure.address, len(numbers))
            nested[number] = (type(structure).__name__.lower(), items_of(structure))
            state["tree"] = {**state["tree"], key: number}
    return view({**state, "nested": nested})


def contents(store: sj.Store) -> State:
    """Everything, twice: before what is lost was collected, and after it."""
    store.check()
    found = read_all(store)
    store.collect()
    report = store.check()
    assert report.leaked_blocks == 0
    assert read_all(store) == found
    return found


class Model:
    """A state, compared by what can be seen of it."""

    def __init__(self, state: State) -> None:
        self.state = state

    def __eq__(self, other: object) -> bool:
        return view(self.state) == other

    __hash__ = None  # type: ignore[assignment]


WORLD = World(
    empty=Model(EMPTY),
    some_change=some_change,
    apply_to_model=lambda model, change: Model(apply_to_model(model.state, change)),
    apply_to_store=apply_to_store,
    contents=contents,
)


@pytest.mark.slow
def test_structures_in_structures_survive_sigkill_of_the_only_process(
    home: Path, rng: random.Random
) -> None:
    changes = list(cycles(WORLD, 60, rng, lambda: anew(home)))
    print(f"60 kills among {changes[-1]} changes")
    assert changes[-1] > 60


@pytest.mark.slow
def test_structures_in_structures_survive_sigkill_beside_a_process_that_goes_on(
    store: sj.Store, rng: random.Random
) -> None:
    """The parent has the store open all the time: it finds the lock of a dead writer."""
    changes = list(cycles(WORLD, 60, rng, lambda: contextlib.nullcontext(lambda: store)))
    print(f"60 kills among {changes[-1]} changes")
    assert changes[-1] > 60
