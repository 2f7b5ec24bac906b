# SPDX-License-Identifier: Apache-2.0
"""The house style, as far as a program can see it: one test a rule.

Each message names the place and says what to do. The rules themselves are explained in
CONTRIBUTING.md.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent

FLOORS = ("persistence", "spacejmp", "structures", "apps")
"""From the ground up: a floor uses itself and those before it."""

FACES = {"spacejmp.h", "spacejmp/spacejmp.h", "spacejmp/__init__.py", "spacejmp/__main__.py"}
"""Re-export the public names of all floors; nothing of the floors may use them."""

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100

C_SUFFIXES = {".c", ".h"}
CYTHON_SUFFIXES = {".pyx", ".pxd"}
PYTHON_SUFFIXES = {".py", ".pyi"}
CODE_SUFFIXES = C_SUFFIXES | CYTHON_SUFFIXES | PYTHON_SUFFIXES
BINARY_SUFFIXES = {".so", ".png", ".jpg", ".pdf", ".bam", ".bai", ".gz", ".npy"}
SKIPPED_FOLDERS = {"build", "dist", "__pycache__"}
KEPT_HIDDEN = {".ci", ".clang-format", ".pre-commit-config.yaml", ".gitignore", ".editorconfig"}


# --- what there is to look at -------------------------------------------------------------------


def walk(folder: Path) -> Iterator[Path]:
    """Yield the project's own text files; links are not followed, built things are left out."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_symlink() or (entry.name.startswith(".") and entry.name not in KEPT_HIDDEN):
            continue
        if entry.is_dir():
            if entry.name not in SKIPPED_FOLDERS:
                yield from walk(Path(entry.path))
        elif Path(entry.name).suffix not in BINARY_SUFFIXES:
            yield Path(entry.path)


TEXTS = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in walk(ROOT)}
CODE = {path: text for path, text in TEXTS.items() if path.suffix in CODE_SUFFIXES}


def code(suffixes: set[str]) -> Iterator[tuple[Path, str]]:
    return ((path, text) for path, text in CODE.items() if path.suffix in suffixes)


def floor_of(path: Path) -> str | None:
    return path.parts[0] if len(path.parts) > 1 and path.parts[0] in FLOORS else None


def line_at(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def expect_none(found: Iterable[str], remedy: str) -> None:
    places = list(found)
    if places:
        pytest.fail(f"{remedy}\n  " + "\n  ".join(places), pytrace=False)


# --- reading C ----------------------------------------------------------------------------------

C_NOISE = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
C_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE)


def blank(pattern: re.Pattern[str], text: str) -> str:
    """Overwrite what matches with spaces, so that offsets and line numbers stay."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def c_bare(text: str) -> str:
    """Return C without comments, strings and preprocessor lines."""
    text = blank(re.compile(r'extern\s+"C"\s*\{'), text)
    return blank(C_DIRECTIVE, blank(C_NOISE, text))


def c_blocks(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield (what names it, first line, last line) of each outermost braced block.

    The name may stand before the braces, or after, as in `typedef struct {…} name;`.
    """
    bare = c_bare(text)
    depth = head_at = body_at = 0
    for match in re.finditer(r"[{};]", bare):
        if match[0] == "{":
            body_at = match.start() if depth == 0 else body_at
            depth += 1
        elif match[0] == "}" and depth > 0:
            depth -= 1
            if depth == 0:
                head = bare[head_at:body_at]
                first = body_at - len(head.lstrip())
                tail = re.match(r"\s*(\w*)\s*(?:;|__attribute__)", bare[match.end() :])
                name = f"{head.strip()} {tail[1] if tail else ''}".strip()
                yield name, line_at(bare, first), line_at(bare, match.start())
        if depth == 0:
            head_at = match.end()


C_TYPE = re.compile(r"(?:typedef\s+)?(?:struct|union|enum)\b[^()=]*(?:__attribute__.*)?")


def c_functions(text: str) -> Iterator[tuple[str, int, int]]:
    for head, first, last in c_blocks(text):
        name = re.search(r"(\w+)\s*\(", head)
        if name and "=" not in head and not C_TYPE.fullmatch(head):
            yield name[1], first, last


# --- reading Python and Cython ------------------------------------------------------------------


def python_functions(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield (name, line, lines without docstring)."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            first = node.body[0]
            if ast.get_docstring(node, clean=False) is not None:
                lines -= (first.end_lineno or first.lineno) - first.lineno + 1
            yield node.name, node.lineno, lines


DOCSTRING = re.compile(r'^[ \t]*[rbu]?"""(?:.*?)"""[ \t]*\n', re.DOTALL | re.MULTILINE)
CYTHON_FUNCTION = re.compile(
    r"^([ \t]*)(?:def|cp?def)\b(?! class)[^\n=]*?(\w+)\s*\([^\n]*", re.MULTILINE
)


def cython_functions(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield (name, line, lines without docstring), told by indentation."""
    for match in CYTHON_FUNCTION.finditer(text):
        rest = text[match.start() :]
        end = re.compile(rf"^[ \t]{{0,{len(match[1])}}}[^\s)#]", re.MULTILINE).search(
            rest, len(match[0])
        )
        own = rest[: end.start()] if end else rest
        yield (
            match[2],
            line_at(text, match.start()),
            len(DOCSTRING.sub("", own).rstrip().split("\n")),
        )


CYTHON_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<source>[\w.]+)[ \t]+c?import[ \t]+(?P<names>\([^)]*\)|[^\n#]*)"
    r"|c?import[ \t]+(?P<plain>[\w.]+))",
    re.MULTILINE,
)


def imports(path: Path, text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Yield (line, module, names imported from it) of a Python or Cython file."""
    if path.suffix in CYTHON_SUFFIXES:
        for match in CYTHON_IMPORT.finditer(text):
            names = re.findall(r"[\w*]+", match["names"] or "")
            yield line_at(text, match.start()), match["source"] or match["plain"], names
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, []
        elif isinstance(node, ast.ImportFrom):
            yield (
                node.lineno,
                "." * node.level + (node.module or ""),
                [alias.name for alias in node.names],
            )


# --- size and form ------------------------------------------------------------------------------


def test_files_are_short() -> None:
    expect_none(
        (
            f"{path}: {lines} lines"
            for path, text in CODE.items()
            if (lines := text.count("\n")) > FILE_LINES_MAX
        ),
        f"A file has at most {FILE_LINES_MAX} lines: give its second concept a file of its own.",
    )


def test_lines_are_short() -> None:
    expect_none(
        (
            f"{path}:{number}: {len(line)} columns"
            for path, text in CODE.items()
            for number, line in enumerate(text.split("\n"), 1)
            if len(line) > COLUMNS_MAX
        ),
        f"A line has at most {COLUMNS_MAX} columns: `make format`, and wrap comments by hand.",
    )


def test_functions_are_short() -> None:
    def lengths() -> Iterator[tuple[Path, str, int, int]]:
        for path, text in CODE.items():
            if path.suffix in C_SUFFIXES:
                for name, first, last in c_functions(text):
                    yield path, name, first, last - first + 1
            else:
                reader = python_functions if path.suffix in PYTHON_SUFFIXES else cython_functions
                for name, line, lines in reader(text):
                    yield path, name, line, lines

    expect_none(
        (
            f"{path}:{line}: {name} has {lines} lines"
            for path, name, line, lines in lengths()
            if lines > FUNCTION_LINES_MAX
        ),
        f"A function has at most {FUNCTION_LINES_MAX} lines, docstring apart: name a step of it "
        "and call that.",
    )


def test_each_file_names_its_licence() -> None:
    mark = "SPDX-License" + "-Identifier: Apache-2.0"
    expect_none(
        (
            str(path)
            for path, text in CODE.items()
            if text.strip() and mark not in "\n".join(text.split("\n")[:3])
        ),
        f"The first lines of a source file say: {mark}",
    )


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
    expect_none(
        (
            f"{path}:{line_at(text, match.start())}: {match[0]}"
            for path, text in TEXTS.items()
            for match in marks.finditer(text)
        ),
        "Do it now, or say in plain words what is missing and what then happens.",
    )


def test_no_registry_is_named() -> None:
    hosts = ("pypi.", "pythonhosted.", "npmjs.", "crates.", "conda.ana", "deb.deb", "proxy.gol")
    pattern = re.compile("|".join(re.escape(host) + r"[a-z]+\b" for host in hosts))
    expect_none(
        (
            f"{path}:{line_at(text, match.start())}: {match[0]}"
            for path, text in TEXTS.items()
            for match in pattern.finditer(text)
        ),
        "Name a package, not the host it comes from: which one that is, each machine says.",
    )


# --- floors -------------------------------------------------------------------------------------


def forbidden_module(path: Path, module: str, names: list[str]) -> str | None:
    """Say why a file must not import this, or None."""
    own = FLOORS.index(path.parts[0])
    parts = module.split(".")
    if not parts[0]:
        return f"`{module}` is relative: write the whole name"
    if parts[0] in FLOORS[:1] + FLOORS[2:]:
        return f"`{module}` is imported as `spacejmp.{module}`"
    if parts[0] != "spacejmp":
        return None
    for name in names if len(parts) == 1 else parts[1:2]:
        if name in FLOORS:
            used = FLOORS.index(name)
        elif len(parts) > 1 or (ROOT / "spacejmp" / f"{name}.py").exists():
            used = FLOORS.index("spacejmp")
        else:
            used = FLOORS.index("apps")  # a name of the face
        if used > own:
            return f"`{module}{' import ' + name if len(parts) == 1 else ''}` lies above"
    if parts == ["spacejmp"] and not names and path.parts[0] != "apps":
        return "`spacejmp` is the face, above all floors"
    return None


def test_imports_go_down() -> None:
    expect_none(
        (
            f"{path}:{line}: {why}"
            for path, text in code(PYTHON_SUFFIXES | CYTHON_SUFFIXES)
            if floor_of(path) and str(path) not in FACES
            for line, module, names in imports(path, text)
            if (why := forbidden_module(path, module, names))
        ),
        f"A floor uses only what lies below it ({' < '.join(FLOORS)}): move what is shared down.",
    )


def test_includes_go_down() -> None:
    include = re.compile(
        r'^[ \t]*(?:#[ \t]*include|cdef[ \t]+extern[ \t]+from)[ \t]+"([^"]+)"', re.MULTILINE
    )

    def wrong(path: Path, target: str) -> str | None:
        folder, slash, _ = target.partition("/")
        if folder not in FLOORS or not slash:
            return "is not named from the root, as in `persistence/heap.h`"
        if FLOORS.index(folder) > FLOORS.index(path.parts[0]):
            return "lies above"
        return None

    expect_none(
        (
            f"{path}:{line_at(text, match.start())}: {match[1]} {why}"
            for path, text in code(C_SUFFIXES | CYTHON_SUFFIXES)
            if floor_of(path) and str(path) not in FACES
            for match in include.finditer(text)
            if (why := wrong(path, match[1]))
        ),
        f"A floor uses only what lies below it ({' < '.join(FLOORS)}): move what is shared down.",
    )


# --- media --------------------------------------------------------------------------------------

SIZE_ASSERT = re.compile(r"_Static_assert\s*\(\s*sizeof\s*\(\s*(?:(?:struct|union)\s+)?(\w+)\s*\)")
OFFSET_ASSERT = re.compile(r"_Static_assert\s*\(\s*offsetof\s*\(")
PACKED = re.compile(r"__attribute__\s*\(\([^;]*\bpacked\b")


def test_media_structs_live_in_layout_headers() -> None:
    signs = ((OFFSET_ASSERT, "an offset is pinned"), (PACKED, "a struct is packed"))
    expect_none(
        (
            f"{path}:{line_at(text, match.start())}: {what}"
            for path, text in code(C_SUFFIXES)
            if floor_of(path) and not path.name.endswith("_layout.h")
            for pattern, what in signs
            for match in pattern.finditer(blank(C_NOISE, text))
        ),
        "Only *_layout.h headers know what lies where on media: move the struct there.",
    )


def test_media_structs_have_their_size_pinned() -> None:
    def unpinned(text: str) -> Iterator[tuple[int, str]]:
        pinned = set(SIZE_ASSERT.findall(blank(C_NOISE, text)))
        for head, first, _ in c_blocks(text):
            words = set(re.findall(r"\w+", head))
            if C_TYPE.fullmatch(head) and "enum" not in words and pinned.isdisjoint(words):
                yield first, head

    expect_none(
        (
            f"{path}:{line}: {head}"
            for path, text in code({".h"})
            if path.name.endswith("_layout.h")
            for line, head in unpinned(text)
        ),
        "Pin each struct of a layout header: _Static_assert(sizeof(struct name) == bytes, …).",
    )


def test_layout_headers_have_no_behaviour() -> None:
    expect_none(
        (
            f"{path}:{first}: {name}"
            for path, text in code({".h"})
            if path.name.endswith("_layout.h")
            for name, first, _ in c_functions(text)
        ),
        "A layout header only says what lies where: move the function to the header of its .c.",
    )


# --- public names -------------------------------------------------------------------------------


def test_public_c_names_are_prefixed() -> None:
    declaration = re.compile(r"\bSJ_API\b([^;{=]*)")
    attribute = re.compile(r"__attribute__\s*\(\(.*?\)\)")
    # `(*name)` of a pointer to function, else the word before its arguments, or the last one.
    declared = re.compile(r"\(\s*\*\s*(\w+)|(\w+)\s*(?:\((?!\s*\*)|\[|$)")

    def name_of(text: str) -> str:
        match = declared.search(attribute.sub("", text).strip())
        return (match[1] or match[2]) if match else text

    expect_none(
        (
            f"{path}:{line_at(text, match.start())}: {name}"
            for path, text in code(C_SUFFIXES)
            for match in declaration.finditer(c_bare(text))
            if not (name := name_of(match[1])).startswith("sj_")
        ),
        "A function marked SJ_API is called sj_<noun>_<verb>.",
    )


def test_nothing_is_reexported_by_star() -> None:
    expect_none(
        (
            f"{path}:{line}: from {module} import *"
            for path, text in code(PYTHON_SUFFIXES | CYTHON_SUFFIXES)
            for line, module, names in imports(path, text)
            if "*" in names
        ),
        "Import the names that are meant.",
    )


def face_value(name: str) -> object:
    face = CODE.get(Path("spacejmp/__init__.py"), "")
    for node in ast.parse(face).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Name) and target.id == name:
                assert isinstance(node, ast.Assign | ast.AnnAssign)
                assert node.value is not None
                return ast.literal_eval(node.value)
    return None


def test_the_version_is_the_same_everywhere() -> None:
    match = re.search(r"^\s*version: '([^']+)'", TEXTS.get(Path("meson.build"), ""), re.MULTILINE)
    if match is None or "spacejmp/__init__.py" not in map(str, CODE):
        return
    assert face_value("__version__") in {None, match[1]}, (
        "spacejmp.__version__ and the version in meson.build must be the same."
    )
    assert f"## {match[1]}" in TEXTS[Path("CHANGELOG.md")], f"CHANGELOG.md has no part {match[1]}."


# --- the build ----------------------------------------------------------------------------------


def public_headers() -> set[Path]:
    """Return what spacejmp.h includes, directly or through another header."""
    found: set[Path] = set()
    todo = [Path("spacejmp/spacejmp.h")]
    while todo:
        path = todo.pop()
        if path in CODE and path not in found:
            found.add(path)
            todo += map(Path, re.findall(r'^#include "([^"]+)"', CODE[path], re.MULTILINE))
    return found


def test_every_source_is_built_or_installed() -> None:
    def missing(path: Path) -> bool:
        listing = TEXTS.get(path.parent / "meson.build", "")
        return not re.search(rf"['/]{re.escape(path.name)}'", listing)

    private = {".h", ".pxd"}
    wanted = {path for path in CODE if floor_of(path) and path.suffix not in private}
    expect_none(
        (str(path) for path in sorted(wanted | public_headers()) if missing(path)),
        "Add the file to the list in its folder's meson.build, or it is not in what users install.",
    )


def test_every_native_test_is_run() -> None:
    listing = TEXTS.get(Path("tests/native/meson.build"), "")
    expect_none(
        (
            str(path)
            for path in CODE
            if path.match("tests/native/test_*.c")
            and f"'{path.stem.removeprefix('test_')}'" not in listing
        ),
        "Add the test to the list in tests/native/meson.build.",
    )


def test_the_tree_looks_as_it_installs() -> None:
    for floor in FLOORS[:1] + FLOORS[2:]:
        link = ROOT / "spacejmp" / floor
        if (ROOT / floor).is_dir():
            assert link.is_symlink(), f"spacejmp/{floor} is a link to ../{floor}"
            assert link.readlink() == Path("..") / floor, f"spacejmp/{floor} links to ../{floor}"


def test_tools_are_pinned_once() -> None:
    """A formatter of another release would lay the tree out anew."""
    project = TEXTS.get(Path("pyproject.toml"))
    if project is None:
        return
    development = tomllib.loads(project)["project"]["optional-dependencies"]["dev"]
    pinned = {line.split(" == ")[0] for line in development if " == " in line}
    assert pinned >= {"ruff", "clang-format"}, "Pin ruff and clang-format with == in the dev extra."
