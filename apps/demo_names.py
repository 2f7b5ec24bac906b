# SPDX-License-Identifier: Apache-2.0
"""The data of the demo: every named character of Unicode, as this Python knows it."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

__all__ = ["STORE", "TREE", "UNICODE", "entries"]

STORE = "unicode"
TREE = "names"
UNICODE = unicodedata.unidata_version


def entries() -> list[tuple[str, dict[str, Any]]]:
    """List name and properties of each character that has a name, in code point order.

    Examples
    --------
    >>> name, properties = entries()[33]
    >>> name, properties["code"], properties["category"]
    ('LATIN CAPITAL LETTER A', 65, 'Lu')
    """
    found = []
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        name = unicodedata.name(char, "")
        if name:
            properties: dict[str, Any] = {
                "code": code,
                "char": char,
                "category": unicodedata.category(char),
                "bidi": unicodedata.bidirectional(char),
                "width": unicodedata.east_asian_width(char),
            }
            if number := unicodedata.numeric(char, None):
                properties["numeric"] = number
            found.append((name, properties))
    return found
