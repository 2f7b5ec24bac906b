# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from typing import Any

from spacejmp.structures._btree import BTreeCore
from spacejmp.structures._column import Column

def bulk_load(
    tree: BTreeCore, items: Any, keys: Column | None, values: Column | None, fill: int
) -> None: ...
def read_arrays(
    tree: BTreeCore, first: int, count: int, key_rows: Any, value_rows: Any
) -> bool: ...
def join(tree: BTreeCore, other: BTreeCore, what: int) -> Iterator[Any]: ...
