# SPDX-License-Identifier: Apache-2.0
"""What the options before the command say, and the store that a command works on."""

from __future__ import annotations

import math
import sys
from enum import Enum
from typing import TYPE_CHECKING, Annotated, NamedTuple, cast

import typer

import spacejmp as sj
from spacejmp.apps.exits import Code, CommandError

if TYPE_CHECKING:
    from spacejmp.structures.opening import Flag

__all__ = [
    "AsJson",
    "AsSet",
    "CloneDurability",
    "Durability",
    "KeyCodec",
    "NewDurability",
    "Settings",
    "StoreName",
    "TreeName",
    "ValueCodec",
    "Yes",
    "catalog",
    "confirm",
    "open_store",
    "settings_of",
]

# What many commands take.
StoreName = Annotated[str, typer.Argument(metavar="NAME", help="The store.")]
TreeName = Annotated[str, typer.Argument(metavar="TREE", help="The structure in the store.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
AsSet = Annotated[
    bool, typer.Option("--set", help="Make a set, which has keys only: sorted, but with --hash.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class KeyCodec(str, Enum):
    """The codecs that a key can have."""

    INT = "int"
    FLOAT = "float"
    BYTES = "bytes"
    STR = "str"
    ANY = "any"


class ValueCodec(str, Enum):
    """The codecs that a value can have, from the command line."""

    INT = "int"
    FLOAT = "float"
    BYTES = "bytes"
    STR = "str"
    ANY = "any"


class Durability(str, Enum):
    """What a new store survives."""

    PROCESS = "process"
    POWER = "power"


NewDurability = Annotated[
    Durability | None, typer.Option(help="What a new store survives; else process.")
]
CloneDurability = Annotated[
    Durability | None, typer.Option(help="What the clone survives; else what the original does.")
]


class Settings(NamedTuple):
    """The options before the command.

    Attributes
    ----------
    home : str or None
        The directory of the stores; None: the usual one.
    timeout : float or None
        Seconds to wait for others; None: for ever.
    """

    home: str | None
    timeout: float | None

    @classmethod
    def of(cls, home: str | None, timeout: str) -> Settings:
        """Check what was given."""
        try:
            seconds = float(timeout)
        except ValueError:
            seconds = math.nan
        if not seconds >= 0:
            raise CommandError(f"--timeout: expected seconds from 0 on, or inf, found {timeout!r}")
        return cls(home, None if math.isinf(seconds) else seconds)


def settings_of(context: typer.Context) -> Settings:
    """Give the options before the command."""
    return cast("Settings", context.obj)


def catalog(context: typer.Context) -> sj.Catalog:
    """Open the catalog of the home."""
    settings = settings_of(context)
    return sj.Catalog(settings.home, timeout=settings.timeout)


def open_store(
    context: typer.Context,
    name: str,
    flag: Flag = "r",
    *,
    accept_unclean: bool = False,
    durability: Durability | None = None,
) -> sj.Store:
    """Open a store as the options before the command say."""
    home, timeout = settings_of(context)
    return sj.open(
        name,
        flag,
        home=home,
        timeout=timeout,
        accept_unclean=accept_unclean,
        durability=None if durability is None else durability.value,
    )


def confirm(question: str, yes: bool) -> None:
    """Ask before something is lost; go on only after a yes, or with ``--yes``."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(
            "expected a terminal to ask on, found none: nothing was removed; give --yes to go on",
            Code.USAGE,
        )
    typer.confirm(question, abort=True, err=True)
