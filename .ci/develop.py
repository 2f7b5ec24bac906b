# SPDX-License-Identifier: Apache-2.0
"""Make the tree importable where it lies, at the price of a plain import.

``pip install --editable`` leaves a hook that loads importlib.resources and runs ninja in every
process of the environment: 60 ms of each start, and a build in the midst of a test that is about
to be killed. The tree already looks as it installs, but for what is compiled. So this links what
was compiled to where it would be installed, and puts the tree itself on the path instead of the
hook. A change of a Python file counts at once, one of C or Cython after ``make build``.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = "{py_platlib}/"


def link_built(build: Path) -> None:
    """Link each built library and module to its place in the package."""
    plan = json.loads((build / "meson-info" / "intro-install_plan.json").read_text("utf-8"))
    wanted = {
        ROOT / target["destination"].removeprefix(SITE): Path(built)
        for built, target in plan["targets"].items()
    }
    linked = {path for deep in ("*", "*/*", "*/*/*") for path in ROOT.glob(f"spacejmp/{deep}.so")}
    for stale in linked - wanted.keys():
        if not stale.exists():
            stale.unlink()
    for link, built in wanted.items():
        target = os.path.relpath(built, link.parent.resolve())
        if not link.is_symlink() or link.readlink() != Path(target):
            link.unlink(missing_ok=True)
            link.symlink_to(target)


def replace_hook() -> None:
    """Put the tree on the path of this environment in place of the editable hook."""
    if sys.prefix == sys.base_prefix:
        sys.exit("develop.py: run it with the Python of a virtual environment")
    site = Path(sysconfig.get_path("platlib"))
    (site / "spacejmp-editable.start").unlink(missing_ok=True)
    (site / "spacejmp-editable.pth").write_text(f"{ROOT}\n", encoding="utf-8")


if __name__ == "__main__":
    link_built(Path(sys.argv[1]).resolve())
    replace_hook()
