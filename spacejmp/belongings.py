# SPDX-License-Identifier: Apache-2.0
"""What belongs to a segment and lies elsewhere: files beside it, its working image in memory.

NAME.seg.sum                checksums of its pages
NAME.seg.log0, NAME.seg.log1    write-ahead log, of a store with durability "power"
/dev/shm/spacejmp-…         working image of such a store, while it is open
"""

from __future__ import annotations

import contextlib
import os

from spacejmp._space import segment_inspect
from spacejmp.files import sync_directory, unlink_if_there
from spacejmp.persistence.errors import SpaceJmpError

__all__ = ["clear_belongings", "clear_image"]

_SUFFIXES = (".log0", ".log1", ".sum")


def clear_belongings(segment: str) -> None:
    """Remove the files beside a segment that is gone.

    They would be taken for those of the next segment with that name, so their removal is durable
    before one can appear.
    """
    if sum([unlink_if_there(segment + suffix) for suffix in _SUFFIXES]):
        sync_directory(os.path.dirname(segment))


def clear_image(segment: str) -> None:
    """Remove the image of a segment that nobody can open any more.

    Who has it open keeps it. Otherwise it would take memory until the machine is restarted.
    """
    with contextlib.suppress(SpaceJmpError):  # it is damaged, or the image somebody else's
        image = segment_inspect(segment).image
        if image:
            unlink_if_there(image)
