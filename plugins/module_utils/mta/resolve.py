# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layer "resolves": the expansion of an address, and whether each place where it ends will do.

The MTA says where mail ends; whether a person reads it there is judged here, for every MTA alike (rows R1, R3 to R8).
"""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Callable, Protocol

from ..aliases.expand import Destination, Expansion, Step, walk
from ..smtp.reply import LOGIN_WANTED, LOGIN_WORDS
from ..unexpected import attempt
from ..verdict import FAIL, INCONCLUSIVE, PASS, SKIPPED, WARN, Problem, add_up
from .written import Written

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterator

    from .._system.host import Host
    from .adapter import Adapter, Opinion


KEPT = ("mailbox", "file", "remote", "lmtp")  # ends that are no program
NAME_MAX = 255  # octets of a file's name on every file system of Linux
CONTROL = re.compile(r"[\x00-\x20\x7f]")


class Waiting(Protocol):
    """How many ``days`` mail has waited in a mailbox; None where that is not known, and the ``reason``."""

    @property
    def days(self) -> int | None: ...

    @property
    def reason(self) -> str: ...


class FarEnd(Protocol):
    """The answer of another host to a RCPT: the verdict on it, and the evidence."""

    @property
    def verdict(self) -> str: ...

    @property
    def server(self) -> str: ...

    @property
    def command(self) -> str: ...

    @property
    def code(self) -> int: ...

    @property
    def text(self) -> str: ...


@dataclass(frozen=True)
class Unread:
    """``most``: days that mail may wait; ``waits(end)``: how many it does in a mailbox."""

    most: int
    waits: Callable[[Destination], Waiting]


class AskFarEnd(Protocol):
    """Asks other hosts, each about a recipient that it gets; those that are expected are asked at the same time."""

    def __call__(self, next_hop: str, recipient: str, /) -> FarEnd: ...

    def expect(self, pairs: list[tuple[str, str]], /) -> None: ...


def resolve(
    host: Host,
    adapter: Adapter,
    address: str,
    allowed: Collection[str] = (),
    far_end: AskFarEnd | None = None,
    unread: Unread | None = None,
) -> Expansion:
    """Follow ``address`` through the MTA's own tables to where its mail ends.

    ``allowed`` are accounts that are no person's and are read all the same. ``far_end(next_hop, recipient)`` asks the
    host that gets a remote address; without it such an address is not judged. ``unread`` says how long mail may wait in
    a mailbox that nobody reads; without it that is not asked.
    """
    return attempt(
        lambda: _resolve(Judge(host, adapter, allowed, far_end, unread), host, adapter, address, far_end),
        partial(not_walked, address),
    )


def _resolve(judge: Judge, host: Host, adapter: Adapter, address: str, far_end: AskFarEnd | None) -> Expansion:
    steps: dict[Hashable, Step] = {}

    def look(node: Any) -> Step:
        steps[node] = attempt(partial(adapter.step, node), lambda reason: _unseen(str(node), reason))
        if host.deadline and host.deadline.over:
            # the same words for all nodes that are left, which is one finding
            steps[node] = _unseen(f"mail for {address}", f"there was no time for it in {host.deadline.seconds:g} s")
        return steps[node]

    def judged(node: Any) -> Step:
        here = steps[node]
        found = [problem for end in here.destinations for problem in judge.judged(end)]
        if beside:  # a program that answers or counts is no end where another one keeps the mail
            found = [problem for problem in found if (problem.id, problem.verdict) != ("R5", WARN)]
        return replace(here, problems=tuple(written.named(node, problem) for problem in (*here.problems, *found)))

    start = adapter.node(address)
    first = walk(start, look, address=address)
    ends, written = first.destinations, Written(first.edges)
    beside = any(end.kind in KEPT for end in ends)
    if far_end:
        far_end.expect([(end.next_hop, end.value) for end in ends if judge.asks(end)])
    walked = walk(start, judged, address=address)
    return attempt(
        lambda: with_opinion(walked, adapter.opinion(address)),
        lambda reason: _with(walked, Problem("R10", INCONCLUSIVE, f"the MTA was not asked about {address}: {reason}")),
    )


def not_walked(address: str, reason: str) -> Expansion:
    """The expansion of an address that could not be expanded at all."""
    problems = _unseen(address, reason).problems
    return Expansion(address, INCONCLUSIVE, (), (), problems)


def _unseen(what: str, reason: str) -> Step:
    return Step(problems=(Problem("R2", INCONCLUSIVE, f"where {what} leads cannot be seen: {reason}", what),))


def _with(walked: Expansion, problem: Problem) -> Expansion:
    return replace(walked, problems=(*walked.problems, problem), verdict=add_up([walked.verdict, problem.weight]))


def with_opinion(walked: Expansion, opinion: Opinion | None) -> Expansion:
    """The walk beside what the MTA says itself: where they disagree, something is not what the tables say (row R10)."""
    ids = {problem.id for problem in walked.problems if problem.verdict == FAIL}
    missed = "R9" not in ids and any(end.kind == "error" for end in walked.destinations)
    lost = missed or (bool(ids & {"R1", "R2"}) and not walked.destinations)
    if opinion is None or not (lost if opinion.deliverable else opinion.deliverable is False and not ids):
        return walked
    tables = "broken" if lost else "whole"
    says = "delivers" if opinion.deliverable else "does not deliver"
    problem = Problem(
        "R10",
        FAIL,
        f"by its tables {walked.address} is {tables}, but the MTA {says} mail for it: {opinion.text}",
        opinion.command,
        "run that command, and look for a setting or a table that is not among those of mta_info",
    )
    return _with(walked, problem)


class Judge:
    """What is wrong with the places where mail ends."""

    def __init__(
        self,
        host: Host,
        adapter: Adapter,
        allowed: Collection[str],
        far_end: AskFarEnd | None,
        unread: Unread | None = None,
    ) -> None:
        self._host = host
        self._adapter = adapter
        self._allowed = allowed
        self._far_end = far_end
        self._unread = unread

    def judged(self, end: Destination) -> list[Problem]:
        """What is wrong with where mail ends, or why that cannot be known."""
        return attempt(
            lambda: list(self.problems(end)),
            lambda reason: [Problem("R3", INCONCLUSIVE, f"{end.value} cannot be judged: {reason}", end.via)],
        )

    def problems(self, end: Destination) -> Iterator[Problem]:
        judges = {
            "mailbox": self._mailbox,
            "remote": self._remote,
            "file": self._file,
            "pipe": self._program,
            "null": self._nothing,
        }
        if end.kind in judges:
            yield from judges[end.kind](end)
        if end.kind in ("mailbox", "file") and self._unread:
            yield from self._waiting(end, self._unread)

    def _waiting(self, end: Destination, unread: Unread) -> Iterator[Problem]:
        mailbox, found = end.value, unread.waits(end)
        if found.days is None:
            message = f"whether anybody reads {mailbox} is not known: it {found.reason}"
            yield Problem("R12", SKIPPED, message, mailbox)
        elif found.days > unread.most:
            message = f"mail has waited in {mailbox} for {found.days} days, and nobody has read it"
            yield Problem("R12", WARN, message, mailbox, "read it, or name a person who does in mta_postmaster")

    def _to_a_person(self, name: str) -> str:
        aliases = self._adapter.aliases()
        rebuild = " and run `{}`".format(" ".join(aliases.rebuild)) if aliases.rebuild else ""
        return f"add `{name}: <a person's account>` to {aliases.path}{rebuild}"

    def _mailbox(self, end: Destination) -> Iterator[Problem]:
        account = self._host.account(end.account) if end.account else None
        if account is None or account.name in self._allowed:
            return
        if account.uid == 0:
            message = f"the mail ends at {account.name}, in {end.value}, and {account.name} has no alias"
            yield Problem("R7", WARN, message, end.value, self._to_a_person(account.name))
        elif not account.human:
            message = f"the mail ends in {end.value}, the mailbox of {account.name}: {account.why}"
            remedy = f"{self._to_a_person(account.name)}, or list {account.name} in allowed_accounts"
            yield Problem("R6", WARN, message, end.via, remedy)

    def _nothing(self, end: Destination) -> Iterator[Problem]:
        message = f"the mail is thrown away: it ends in {end.value}"
        yield Problem("R4", FAIL, message, end.via, "name a person's account there")

    def _file(self, end: Destination) -> Iterator[Problem]:
        account = self._host.account(end.account)
        path, is_folder = end.value.rstrip("/"), end.value.endswith("/")
        found, above = self._host.stat_as(path, account), posixpath.dirname(path)
        if len(os.fsencode(posixpath.basename(path))) > NAME_MAX:
            reason = f"its name is longer than {NAME_MAX} octets"
        elif "\0" in path:
            reason = "there is a NUL in its name"
        elif found and found.is_dir and not is_folder:
            reason = "it is a directory"
        elif found and not found.is_dir and is_folder:
            reason = "it is no directory"
        elif found and not found.is_dir and found.mode & 0o111:
            reason = "it is executable"
        elif not self._host.stat_as(above, account):
            reason = f"there is no directory {above}" + (f" that {end.account} can see" if end.account else "")
        elif not self._host.may(account, path if found else above, os.W_OK):
            reason = f"{end.account}, as whom the MTA writes it, may not write there"
        else:
            if found and not found.is_dir and not found.is_file:
                message = f"the mail ends in {end.value}, which is no regular file: what becomes of it cannot be seen"
                yield Problem("R3", WARN, message, end.via, "name a person's account there")
            return
        message = f"the mail ends in the file {end.value}, and cannot be written to it: {reason}"
        yield Problem("R3", FAIL, message, end.via, "name a person's account in its place")

    def _program(self, end: Destination) -> Iterator[Problem]:
        remedy = "name a person's account there, beside the program or in its place"
        account = self._host.account(end.account)
        words = re.findall(r'"[^"]*"|\'[^\']*\'|\S+', end.value)
        program = words[0].strip("\"'") if words else ""
        path = program if program.startswith("/") else ""
        plain = not re.search(r"[;&|<>$`(){}\\]", end.value) and ":" not in program
        if plain and program and not path:
            path = "" if "/" in program else self._host.which(program) or ""
        if (plain and not path) or (path and not self._host.stat_as(path, account)):
            yield Problem("R5", FAIL, f"the mail ends in the program {program}, which is missing", end.via, remedy)
        elif path and not self._host.may(account, path, os.X_OK):
            message = f"the mail ends in the program {path}, which {end.account} may not execute"
            yield Problem("R5", FAIL, message, end.via, remedy)
        else:
            message = f"the mail ends in a program, and what becomes of it there cannot be seen: {end.value}"
            yield Problem("R5", WARN, message, end.via, remedy)

    def asks(self, end: Destination) -> bool:
        """Whether another host is asked about where mail ends."""
        return end.kind == "remote" and not self._is_own(end.next_hop)

    def _is_own(self, next_hop: str) -> bool:
        literal = re.fullmatch(r"\[(?:IPv6:)?([0-9a-fA-F.:]+)\](?::25)?", next_hop)
        return literal is not None and literal.group(1).lower() in self._own

    @cached_property
    def _own(self) -> tuple[str, ...]:
        return ("127.0.0.1", "::1", *self._host.addresses())

    def _remote(self, end: Destination) -> Iterator[Problem]:
        if self._is_own(end.next_hop):
            message = f"mail for {end.value} is handed to {end.next_hop}, which is this host itself"
            yield Problem("R1", FAIL, message, end.via, "name another host there, or serve the domain here")
            return
        if CONTROL.search(end.value + end.next_hop):
            message = f"{end.value} has control characters in it, so that no other host can be asked for it"
            yield Problem("R8", INCONCLUSIVE, message, end.via, "write the address without them")
            return
        if not self._far_end:
            message = f"{end.value} is not on this host, and the host that gets it was not asked"
            yield Problem("R8", SKIPPED, message, end.via)
            return
        answer = self._far_end(end.next_hop, end.value)
        if answer.verdict == PASS:
            return
        if answer.verdict == INCONCLUSIVE and not answer.command:
            # the same words for all of them, which is one finding
            yield Problem("R8", INCONCLUSIVE, f"not all addresses off this host were asked about: {answer.text}")
            return
        words = "{}: {} -> {} {}".format(answer.server or end.next_hop, answer.command, answer.code or "", answer.text)
        stranger = end.login and answer.code and LOGIN_WORDS.search(answer.text)  # the MTA itself is none there
        if answer.code == LOGIN_WANTED or stranger:
            message = f"{end.value} is not on this host, and the host that gets it wants a login first"
            remedy = "send a token message, which the MTA hands over with its own login (layer lands)"
            yield Problem("R8", INCONCLUSIVE, message, words.strip(), remedy)
        elif answer.verdict == INCONCLUSIVE:
            message = f"{end.value} is not on this host, and the host that gets it does not say whether it takes it"
            yield Problem("R8", INCONCLUSIVE, message, words.strip(), "try again when that host answers")
        elif not answer.code:
            message = f"{end.value} is not on this host, and there is no host that gets it"
            yield Problem("R8", answer.verdict, message, words.strip(), f"name a host that exists in {end.via}")
        else:
            message = f"{end.value} is not on this host, and the host that gets it refuses it"
            yield Problem("R8", answer.verdict, message, words.strip(), f"make {end.value} exist on that host")
