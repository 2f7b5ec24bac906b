# SPDX-License-Identifier: Apache-2.0
"""What switches cost, ours and others: `spacejmp bench switch`.

`spacejmp.apps.switch.run.run` measures; the loops are C (`costs.c`, `handover.c`), on the public
functions of the library.
"""
