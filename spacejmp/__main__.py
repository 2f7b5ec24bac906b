# SPDX-License-Identifier: Apache-2.0
"""``python -m spacejmp`` is the command `spacejmp`."""

from spacejmp.apps.cli import main

if __name__ == "__main__":
    main()
