# SPDX-License-Identifier: Apache-2.0
"""Where the C core is: for programs in C, and in other languages, that share stores with Python."""

from __future__ import annotations

import os

__all__ = ["__version__", "get_include", "get_library", "use_forced_granularity"]

__version__ = "0.1.0"


def get_include() -> str:
    """The directory to compile C programs with: ``#include <spacejmp/spacejmp.h>``."""
    package = os.path.dirname(os.path.abspath(__file__))
    installed = os.path.join(package, "include")
    return installed if os.path.isdir(installed) else os.path.dirname(package)


def get_library() -> str:
    """The path of ``libspacejmp.so``, as it is loaded in this process."""
    import spacejmp._space  # noqa: F401  (loads the library)

    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            if line.endswith("/libspacejmp.so\n"):
                return line.split(maxsplit=5)[5].rstrip("\n")
    raise FileNotFoundError("libspacejmp.so is not loaded from a file of its own")


def use_forced_granularity() -> None:
    """Let libpmem2 say which files are persistent memory, when its environment forces an answer.

    So is the ``dax`` domain emulated on tmpfs, for tests (`spacejmp.persistence.pmdk`).
    """
    if "PMEM2_FORCE_GRANULARITY" in os.environ:
        from spacejmp.persistence import pmdk

        pmdk.use_in_core()
