# SPDX-License-Identifier: Apache-2.0
"""The exceptions are those of error.h, derive from the builtins, and say what they were given."""

from __future__ import annotations

import builtins
import copy
import pickle
import re
from pathlib import Path

import pytest

from spacejmp.persistence import errors
from spacejmp.persistence.errors import SpaceJmpError, exception_for

HEADER = Path(__file__).parents[2] / "persistence" / "error.h"
LINES = re.findall(
    r'X\((SJ_\w+),[\s\\]*(\d+),[\s\\]*"(\w*)",[\s\\]*"([^"]*)"\)', HEADER.read_text()
)
CLASSES = [getattr(errors, name) for name in errors.__all__ if name != "exception_for"]

BUILTINS = {
    "NotFoundError": (FileNotFoundError, KeyError, OSError, LookupError),
    "AlreadyExistsError": (FileExistsError,),
    "InvalidArgumentError": (ValueError,),
    "InvalidNameError": (ValueError,),
    "TooLargeError": (ValueError,),
    "OrderError": (ValueError,),
    "RecordTypeError": (TypeError,),
    "StructureTypeError": (TypeError,),
    "CodecMismatchError": (TypeError, ValueError),
    "HoldError": (RuntimeError,),
    "HoldUpgradeError": (RuntimeError,),
    "DetachedError": (ValueError,),
    "ReadOnlyError": (OSError, ValueError),
    "SpaceBusyError": (TimeoutError,),
    "LiveViewsError": (BufferError,),
    "SpaceFullError": (OSError,),
    "StoreIOError": (OSError,),
    "SegmentDamagedError": (OSError,),
    "StorePermissionError": (PermissionError,),
    "AddressConflictError": (OSError,),
    "UncleanShutdownError": (OSError,),
    "InDoubtError": (OSError,),
    "UnsupportedError": (OSError,),
    "LibraryMissingError": (ImportError,),
    "IdentityError": (ValueError,),
    "FormatError": (ValueError,),
    "VersionError": (ValueError,),
    "CorruptError": (ValueError,),
    "TruncatedError": (ValueError,),
}


def test_error_h_is_understood() -> None:
    assert len(LINES) == HEADER.read_text().count("X(SJ_") > 20
    assert LINES[0] == ("SJ_OK", "0", "", "success")


@pytest.mark.parametrize(("constant", "code", "name", "text"), LINES[1:])
def test_every_code_of_the_core_has_its_exception(
    constant: str, code: str, name: str, text: str
) -> None:
    expected = getattr(errors, name, None) or getattr(builtins, name)
    raised = exception_for(int(code), text, "found something else")
    assert type(raised) is expected, constant
    assert str(raised) == f"{text}: found something else"
    assert str(exception_for(int(code), text, "")) == text


def test_codes_that_error_h_does_not_know_are_plain_errors() -> None:
    known = {int(code) for _, code, _, _ in LINES}
    for code in (-1, 0, max(known) + 1):
        raised = exception_for(code, "unknown error", "")
        assert type(raised) is SpaceJmpError
        assert str(code) in str(raised)


@pytest.mark.parametrize("kind", CLASSES)
def test_prints_its_message_plainly(kind: type[SpaceJmpError]) -> None:
    message = "expected 'a', found \"b\"\nnothing more"
    assert str(kind(message)) == message
    assert kind(message).args == (message,)
    assert kind.__doc__


@pytest.mark.parametrize("kind", CLASSES)
def test_survives_pickle_and_copy(kind: type[SpaceJmpError]) -> None:
    error = kind("expected 'a', found 'b'")
    copies = [pickle.loads(pickle.dumps(error, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)]
    for again in [*copies, copy.copy(error)]:
        assert type(again) is kind
        assert str(again) == str(error)
        assert getattr(again, "errno", None) == getattr(error, "errno", None)


def test_derive_from_what_users_catch() -> None:
    assert set(BUILTINS) == {kind.__name__ for kind in CLASSES} - {"SpaceJmpError"}
    for name, bases in BUILTINS.items():
        kind = getattr(errors, name)
        assert issubclass(kind, (SpaceJmpError,))
        for base in bases:
            assert issubclass(kind, base), (name, base)


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if issubclass(kind, OSError)])
def test_system_errors_have_an_errno(kind: type[OSError]) -> None:
    assert isinstance(kind("text").errno, int)


def test_the_drawn_tree_is_the_tree() -> None:
    drawn: list[tuple[str, str]] = []
    parents = ["SpaceJmpError"]
    assert errors.__doc__ is not None
    for line in errors.__doc__.splitlines():
        if match := re.match(r"    ([│ ]*)[├└]── (\w+)", line):
            depth = 1 + len(match[1]) // 4
            parents[depth:] = [match[2]]
            drawn.append((match[2], parents[depth - 1]))
    actual = {kind.__name__: kind for kind in CLASSES if kind is not SpaceJmpError}
    assert {name for name, _ in drawn} == set(actual)
    for name, parent in drawn:
        own = [c for c in actual[name].__mro__[1:] if issubclass(c, SpaceJmpError)]
        assert next(c.__name__ for c in own if not c.__name__.startswith("_")) == parent


def test_export_list_is_sorted_and_complete() -> None:
    public = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, SpaceJmpError) and not name.startswith("_")
    }
    assert errors.__all__ == [*sorted(public), "exception_for"]
