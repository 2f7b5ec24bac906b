# SPDX-License-Identifier: Apache-2.0
"""A model of address translation: page tables, TLBs, and what switching between VASes costs.

>>> from spacejmp.mmu import Machine
>>> machine = Machine("m2", "dragonfly")
>>> a, b = machine.vas("a"), machine.vas("b")
>>> for tag_a, tag_b in ((0, 0), (1, 2)):
...     machine.reset(cold=True)
...     for _ in range(100):
...         machine.switch(a, tag_a)
...         machine.switch(b, tag_b)
...     print(round(a.switches.cycles / 100))
1147
813

`docs/mmu.md` says what is modelled, and holds it against measurements.
"""

from spacejmp.mmu.machine import (
    PAGE_SIZES,
    Counters,
    Machine,
    Preset,
    Segment,
    Switches,
    System,
    Tables,
    Vas,
    Work,
    presets,
    systems,
)
from spacejmp.mmu.tracing import Events, Model, Trace, model, trace

__all__ = [
    "PAGE_SIZES",
    "Counters",
    "Events",
    "Machine",
    "Model",
    "Preset",
    "Segment",
    "Switches",
    "System",
    "Tables",
    "Trace",
    "Vas",
    "Work",
    "model",
    "presets",
    "systems",
    "trace",
]
