# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exim's own word on addresses: `exim4 -bt`, many at a time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .adapter import Opinion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._system.host import Host

AT_ONCE = 200
SECONDS = 30.0  # for all that are asked about at once
UNDELIVERABLE = re.compile(r"^(.*?) is undeliverable:? ?(.*)$")
DEFERRED = re.compile(r"^(.*?) cannot be resolved at this time:? ?(.*)$")
# Any other deferral is a mistake on this host: a .forward file of the wrong mode, a table that cannot be read.
ELSEWHERE = re.compile(r"host lookup did not complete|lookup of host|DNS|retry time")
NOTES = re.compile(r"^mail to | is discarded$| -> .*$|(?<!\s)\s+\[duplicate, would not be delivered\]$")


PROMPT = re.compile(r"^> ", re.MULTILINE)
LINE = re.compile(
    r"[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\\\x00-\x1f\x7f])?"
)  # a backslash at its end continues a line


class Oracle:
    """What `exim4 -bt` says; no address is asked about twice."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: dict[str, Opinion] = {}

    def ask(self, addresses: Iterable[str]) -> None:
        """Ask about qualified addresses."""
        wanted = [address for address in dict.fromkeys(addresses) if address not in self._known]
        for address in wanted:
            self._known[address] = Opinion(None, f"exim4 -bt {address}", "no answer")
        asked = [address for address in wanted if LINE.fullmatch(address)]
        for start in range(0, len(asked), AT_ONCE):
            self._ask(asked[start : start + AT_ONCE])

    def _ask(self, part: list[str], tries: int = 2) -> None:
        """Ask about some, and once more about those after the one that Exim does not come back from."""
        # On standard input, for arguments can be read by everybody. Exim answers each line, after a prompt.
        done = self._host.run(["exim4", "-bt"], stdin="".join(f"{address}\n" for address in part), timeout=SECONDS)
        said = verdicts(PROMPT.sub("", done.out))
        answered = [address for address in part if address.lower() in said]
        for address in answered:
            deliverable, text = said[address.lower()]
            self._known[address] = Opinion(deliverable, f"exim4 -bt {address}", text)
        rest = part[part.index(answered[-1]) + 2 :] if answered else part[1:]
        if done.timed_out and rest and tries > 1:
            self._ask(rest, tries - 1)

    def opinion(self, address: str) -> Opinion:
        self.ask([address])
        return self._known[address]


def verdicts(text: str) -> dict[str, tuple[bool | None, str]]:
    """By address: whether all its mail is delivered (None: cannot be told now), and the reason where it is not."""
    found: dict[str, tuple[bool | None, str]] = {}
    for root, verdict, reason in _leaves(text.splitlines()):
        before = found.get(root, (True, ""))
        # False is worse than None, and that is worse than True
        if before[0] is True or (before[0] is None and verdict is False):
            found[root] = (verdict, reason)
    return found


def _leaves(lines: list[str]) -> Iterator[tuple[str, bool | None, str]]:
    """Each place where mail ends, as the address that was asked about, the verdict and the reason."""
    leaf: tuple[str, bool | None, str] | None = None
    for line in lines:
        if line.startswith("    <-- "):
            if leaf:
                leaf = (line[len("    <-- ") :].strip().lower(), *leaf[1:])
        elif line.startswith("  *** Error"):
            leaf = leaf and (leaf[0], False, line.strip())
        elif line and not line.startswith(" "):
            if leaf:
                yield leaf
            leaf = _leaf(line)
    if leaf:
        yield leaf


def _leaf(line: str) -> tuple[str, bool | None, str]:
    undeliverable, deferred = UNDELIVERABLE.match(line), DEFERRED.match(line)
    if undeliverable:
        return undeliverable.group(1).lower(), False, undeliverable.group(2) or "undeliverable"
    if deferred:
        reason = deferred.group(2) or "deferred"
        return deferred.group(1).lower(), None if ELSEWHERE.search(reason) else False, reason
    return NOTES.sub("", line).lower(), True, ""
