# SPDX-License-Identifier: Apache-2.0
"""The command `spacejmp`: what it is made of, and how it ends (`spacejmp.apps.exits`)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

import spacejmp as sj
from spacejmp.apps import items, load, mmu, salvage, segments, spaces, stores, versions
from spacejmp.apps.exits import MEANINGS, Code, failures, usage_errors
from spacejmp.apps.gups.command import gups
from spacejmp.apps.settings import AsJson, Settings
from spacejmp.apps.switch.command import switch

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["app", "main"]


def _skip_conversion(parameter: Any, hints: dict[str, Any]) -> None:
    """Let an argument that is text, or missing, go as it is.

    Some versions of typer load a validation library, in 150 ms, to make a str of a str.
    """
    if "process_value" in vars(parameter):
        return
    text = hints.get(parameter.name) in (str, str | None)
    usual = parameter.process_value

    def process_value(context: Any, value: Any) -> Any:
        if (text and isinstance(value, str)) or (value is None and not parameter.required):
            callback = parameter.callback
            return value if callback is None else callback(context, parameter, value)
        return usual(context, value)

    parameter.process_value = process_value


class _Command(TyperCommand):
    """A command that does not convert what needs no conversion."""

    def get_params(self, context: Any) -> Any:
        found = super().get_params(context)
        hints = get_type_hints(self.callback)
        for parameter in found:
            _skip_conversion(parameter, hints)
        return found


class _Commands(TyperGroup):
    """A group whose failures are told in a line, and end with a code that says their kind."""

    def get_params(self, context: Any) -> Any:
        found = super().get_params(context)
        hints = {} if self.callback is None else get_type_hints(self.callback)
        for parameter in found:
            _skip_conversion(parameter, hints)
        return found

    def main(self, *args: Any, **extra: Any) -> Any:
        extra["standalone_mode"] = False
        with usage_errors():
            code = super().main(*args, **extra)
        raise SystemExit(code or Code.OK)

    def invoke(self, context: Any) -> Any:
        with failures():
            super().invoke(context)
            sys.stdout.flush()

    def list_commands(self, _: Any) -> list[str]:
        return list(self.commands)


_EPILOG = "Exit codes: " + ", ".join(
    f"[bold]{int(code)}[/] {meaning}" for code, meaning in MEANINGS.items()
)

app = typer.Typer(
    name="spacejmp",
    cls=_Commands,
    epilog=_EPILOG,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"spacejmp {sj.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    home: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="The directory of the stores; else $SPACEJMP_HOME, else the XDG data directory.",
        ),
    ] = None,
    timeout: Annotated[
        str, typer.Option(metavar="SECONDS", help="How long to wait for others; inf: for ever.")
    ] = "30",
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Named stores that outlive their processes: look at them, load them, check them."""
    context.obj = Settings.of(home, timeout)
    if context.invoked_subcommand is None:
        print(context.get_help())


_COMMANDS: dict[str, Callable[..., None]] = {
    "ls": stores.ls,
    "info": stores.info,
    "get": items.get,
    "scan": items.scan,
    "put": items.put,
    "rm-key": items.rm_key,
    "load": load.load,
    "check": stores.check,
    "collect": stores.collect,
    "clone": versions.clone,
    "snapshot": versions.snapshot,
    "versions": versions.versions,
    "mmu": mmu.mmu,
    "gups": gups,
    "salvage": salvage.salvage,
    "drop": stores.drop,
    "rm": stores.rm,
}
for name, function in _COMMANDS.items():
    app.command(name, cls=_Command)(function)

_GROUPS = {
    "vas": (spaces.COMMANDS, "Virtual address spaces of segments: make, join, clone, set, show."),
    "seg": (segments.COMMANDS, "Segments: make, clone, set, show, remove."),
}
for group, (functions, text) in _GROUPS.items():
    sub = typer.Typer(cls=_Commands, help=text, no_args_is_help=True)
    for name, function in functions.items():
        sub.command(name, cls=_Command)(function)
    app.add_typer(sub, name=group)


bench = typer.Typer(cls=TyperGroup, help="Measure what things cost on this machine.")
bench.command("switch", cls=_Command)(switch)


@bench.callback(invoke_without_command=True)
def _bench(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


app.add_typer(bench, name="bench")


@app.command(cls=_Command)
def demo(
    context: typer.Context,
    keep: Annotated[
        str | None,
        typer.Option("--keep", metavar="DIR", help="Leave the store in this home; else --home's."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=60, help="How long two processes share the tree.")
    ] = 1.5,
    as_json: AsJson = False,
) -> None:
    """Build, kill, recover and share a store: every named character of Unicode."""
    from spacejmp.apps.demo import run

    raise typer.Exit(run(keep or context.obj.home, seconds, as_json))


def main() -> None:
    """Run the command; the entry point of `spacejmp` and of ``python -m spacejmp``."""
    app(prog_name="spacejmp")
