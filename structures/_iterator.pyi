# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from typing import Any

class BatchIterator(Iterator[Any]):
    def __next__(self) -> Any: ...
