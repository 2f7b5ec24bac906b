# SPDX-License-Identifier: Apache-2.0
"""The sites of the C core that a mutant takes away, found in the sources.

A site is a flush, a fence, a sync, a step that has an order or that makes something of the log or
of the checksums stale, all of them calls; or one condition of a check: `a` or `b` of

    if (a || b) return <damage>;      return a && b;      return a ? <what was read> : NULL;

A check is known by what follows it. So a new one is found without being listed, and whatever else
is changed around it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = (
    "persistence/domain.c",
    "persistence/heap.c",
    "persistence/heap_check.c",
    "persistence/log.c",
    "persistence/log_group.c",
    "persistence/pages.c",
    "persistence/roots.c",
    "persistence/segment.c",
    "persistence/segment.h",
    "persistence/segment_file.c",
    "persistence/slab.h",
    "persistence/sums*.c",
    "persistence/superblock.c",
    "persistence/tx.c",
    "persistence/tx_group.c",
    "persistence/wal_*.c",
    "structures/btree*.c",
    "structures/btree_node.h",
    "structures/btree_search.h",
    "structures/census.c",
    "structures/check.c",
    "structures/collect.c",
    "structures/deque*.c",
    "structures/deque_ends.h",
    "structures/entry.c",
    "structures/entry.h",
    "structures/hashmap*.c",
    "structures/hashmap_search.h",
    "structures/list*.c",
    "structures/list_node.h",
    "structures/queue.c",
    "structures/record*.c",
    "structures/reference.c",
    "structures/structure.c",
)

CALLS = {
    "flush": ("sj_flush", "sj_log_flush", "sj_log_flush_ranges", "flush_fresh"),
    "fence": ("sj_fence", "fence_log"),
    "order": ("sj_tx_settle", "sj_tx_ready", "sj_segment_forget_hints"),
    "mark": (
        "set_bits",
        "sj_sums_mark",
        "sj_sums_mark_pages",
        "sj_sums_mark_word",
        "sj_segment_sums_begin",
        "sj_segment_sums_begun",
        "sj_segment_sums_finish",
        "sj_segment_sums_refresh",
    ),
    "invalidation": (
        "forget_entries",
        "note_forgotten",
        "release_extents",
        "sj_chunks_clear_log",
        "sj_log_commit",
        "sj_log_note_removal",
        "sj_log_record_end",
        "sj_log_retire",
        "sj_log_undo",
        "sj_log_withdraw",
        "sj_segment_sums_settle",
        "sj_sums_settle",
        "sj_tx_forget",
        "store_extents",
        "store_generation",
        "undo_entry",
    ),
}
SYNC = re.compile(
    r"(?<![\w>])(?:[\w>-]+->sync|fsync|fdatasync|sj_sums_sync|flush_left|sj_wal_file_settle"
    r"|sj_segment_sync_directory)\s*\("
)
DAMAGE = (
    r"(?:NULL|false|0|text|DAMAGED|SJ_ECORRUPT|SJ_ENOTFOUND)\s*;"
    r"|(?:(?:list_)?damaged\w*|bad|sj_segment_damaged|hashmap_table_damaged|deque_chunk_damaged"
    r"|state_damaged|look_behind|not_there)\s*\("
    r"|sj_error\(\s*SJ_E(?:CORRUPT|FORMAT|VERSION|TRUNCATED|UNCLEAN)\b"
)
REFUSES = re.compile(rf"\s*\{{?\s*(?:return|error\s*=)\s*(?:{DAMAGE})")
SKIPS = re.compile(r"\s*\{?\s*(?:return\s+SJ_OK|continue)\s*;")  # of what has no magic number
REFUSAL = re.compile(rf"\s*(?:{DAMAGE})")
HINTS = re.compile(r"(SJ_LIKELY|SJ_UNLIKELY)\s*\(")
BLANKED = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\])\'|^\s*#(?:\\\n|[^\n])*',
    re.DOTALL | re.MULTILINE,
)
# Conditions that are not about what was read from media.
NO_CHECKS = {
    "btree_plain",
    "btree_separator_make",
    "btree_skip",
    "hashmap_compare",
    "hashmap_is_fresh",
    "hinted_end",
    "image_fill",
    "is_above_last",
    "is_last",
    "list_plain",
    "may_lose",
    "new_epoch",
    "one",
    "run_kind",
    "sj_btree_bulk_begin",
    "sj_list_locate",
    "sj_segment_damaged",
    "sj_segment_failed",
    "sj_wal_is_awaited",
    "sj_wal_pending",
}


@dataclass(frozen=True)
class Site:
    """A piece of a file, and what a mutant has in its place."""

    file: str
    function: str
    kind: str
    text: str  # on one line
    cuts: tuple[tuple[int, int, str], ...]  # from, to, the new text; ascending
    number: int = 1  # of those that are the same in one function

    @property
    def name(self) -> str:
        """What tells the site from all others, as long as the function is the same."""
        again = f" #{self.number}" if self.number > 1 else ""
        return f"{self.file} | {self.function} | {self.text}{again}"

    def apply(self, text: str) -> str:
        """Return the file's text without the site."""
        for start, end, new in reversed(self.cuts):
            text = text[:start] + new + text[end:]
        return text


def blank(text: str) -> str:
    """Return the text with spaces for comments, strings and directives."""
    return BLANKED.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def closing(code: str, opening: int) -> int:
    """Return where the parenthesis that opens there is closed."""
    depth = 0
    for at in range(opening, len(code)):
        depth += (code[at] in "([{") - (code[at] in ")]}")
        if depth == 0:
            return at
    raise ValueError(f"a parenthesis is not closed: {code[opening : opening + 60]}")


def functions(code: str) -> Iterator[tuple[str, str, int, int]]:
    """Find the functions: name, all before it, and the body's place."""
    at = head = 0
    while (brace := code.find("{", at)) >= 0:
        end = closing(code, brace)
        before = re.sub(r"__attribute__\s*\(\(.*?\)\)", "", code[head:brace])
        before = re.split(r"[;}]", before)[-1]
        named = re.search(r"(\w+)\s*\(", before)
        if named and "=" not in before:
            yield named[1], before[: named.start()], brace, end
        at = head = end + 1


def split(code: str, start: int, end: int, operator: str) -> list[tuple[int, int]]:
    """Split a condition at an operator outside of parentheses; looks through hints."""
    while True:
        while start < end and code[start].isspace():
            start += 1
        while end > start and code[end - 1].isspace():
            end -= 1
        hint = HINTS.match(code, start, end)
        if hint and closing(code, hint.end() - 1) == end - 1:
            start, end = hint.end(), end - 1
        else:
            break
    parts, at, begin = [], start, start
    while at < end:
        if code[at] in "([{":
            at = closing(code, at)
        elif code.startswith(operator, at):
            parts.append((begin, at))
            begin = at = at + 2
            continue
        at += 1
    parts.append((begin, end))
    trimmed = []
    for first, last in parts:
        while code[first].isspace():
            first += 1
        while code[last - 1].isspace():
            last -= 1
        trimmed.append((first, last))
    return trimmed


def has_top(code: str, start: int, end: int, operator: str) -> bool:
    """Whether the operator is there outside of parentheses."""
    return len(split(code, start, end, operator)) > 1


class Finder:
    """Finds the sites of one file."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.code = blank(text)

    def site(self, function: str, kind: str, *cuts: tuple[int, int, str]) -> Site:
        """Make a site; its text is that of the first piece cut."""
        start, end, _ = cuts[0]
        text = " ".join(self.code[start:end].split())
        return Site(self.file, function, kind, text, tuple(sorted(cuts)))

    def calls(self, function: str, start: int, end: int) -> Iterator[Site]:
        """Find calls that are statements."""
        for kind, names in CALLS.items():
            for found in re.finditer(
                rf"(?<![\w.>])(?:{'|'.join(names)})\s*\(", self.code[start:end]
            ):
                at = start + found.start()
                close = closing(self.code, start + found.end() - 1)
                before = self.code[:at].rstrip()
                if self.code[close + 1 : close + 2] == ";" and (
                    before[-1] in ";{})" or before.endswith("else")
                ):
                    yield self.site(function, kind, (at, close + 1, "(void)0"))

    def syncs(self, function: str, start: int, end: int) -> Iterator[Site]:
        """Find syncs; the event that tells the tests of one goes with it."""
        found_one = re.search(r"sj_disk_sync\([^;]*;", self.code[start:end])
        event = (
            []
            if found_one is None
            else [(start + found_one.start(), start + found_one.end(), "(void)0;")]
        )
        if function == "sj_disk_sync":
            return
        for found in SYNC.finditer(self.code, start, end):
            close = closing(self.code, found.end() - 1)
            yield self.site(function, "sync", (found.start(), close + 1, "0"), *event)
        flag = self.code.find("RWF_DSYNC", start, end)
        if flag >= 0:
            yield self.site(function, "sync", (flag, flag + len("RWF_DSYNC"), "0"), *event)

    def checks(self, function: str, start: int, end: int) -> Iterator[Site]:
        """Find the conditions after which damage is told."""
        for found in re.finditer(r"(?<!\w)if\s*\(", self.code[start:end]):
            opening = start + found.end() - 1
            close = closing(self.code, opening)
            has_magic = re.search(r"!=\s*\w+_MAGIC", self.code[opening:close])
            if not REFUSES.match(self.code, close + 1) and not (
                has_magic and SKIPS.match(self.code, close + 1)
            ):
                continue
            for first, last in split(self.code, opening + 1, close, "||"):
                yield self.site(function, "check", (first, last, "0"))

    def answers(self, function: str, start: int, end: int, is_bool: bool) -> Iterator[Site]:
        """Find checks that are what a function returns or what a flag becomes."""
        pattern = r"(?<!\w)(?:return|\*?(?:there|more|whole)\s*=(?!=))(?!\w)"
        for found in re.finditer(pattern, self.code[start:end]):
            at = start + found.end()
            semicolon = self.code.index(";", at)
            question = self.code.find("?", at, semicolon)
            if question >= 0:
                colon = self.code.rfind(":", question, semicolon)
                if not REFUSAL.match(self.code, colon + 1):
                    continue
                parts = split(self.code, at, question, "&&")
            elif (is_bool or found[0] != "return") and has_top(self.code, at, semicolon, "&&"):
                if has_top(self.code, at, semicolon, "||"):
                    continue
                parts = split(self.code, at, semicolon, "&&")
            else:
                continue
            for first, last in parts:
                yield self.site(function, "check", (first, last, "1"))

    def sites(self) -> Iterator[Site]:
        """Find all sites, in the order of the file."""
        for function, before, start, end in functions(self.code):
            found = [
                *self.calls(function, start, end),
                *self.syncs(function, start, end),
                *(() if function in NO_CHECKS else self.checks(function, start, end)),
                *(
                    ()
                    if function in NO_CHECKS
                    else self.answers(function, start, end, "bool" in before.split())
                ),
            ]
            seen: dict[str, int] = {}
            for site in sorted(found, key=lambda site: site.cuts):
                number = seen[site.text] = seen.get(site.text, 0) + 1
                yield Site(site.file, site.function, site.kind, site.text, site.cuts, number)


def find_sites(root: Path) -> list[Site]:
    """Find the sites of all files."""
    sites: list[Site] = []
    for pattern in FILES:
        for path in sorted(root.glob(pattern)):
            file = path.relative_to(root).as_posix()
            sites += Finder(file, path.read_text()).sites()
    return sites
