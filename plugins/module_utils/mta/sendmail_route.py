# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Sendmail does with a recipient: ruleset 0, then for a local one its aliases, its .forward file, its mailbox."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Union

from ..aliases.expand import Destination, Edge, Step, stopped
from ..aliases.sources import forward, include
from ..aliases.sources import members as each_once
from ..verdict import FAIL, INCONCLUSIVE, WARN, Problem
from .sendmail_syntax import Map, Route, forward_files, maps, members, option, ports, relays_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._system.host import Account, Host
    from .sendmail_tools import Tools

SPOOL = "/var/mail/"
LOCAL = "local"


@dataclass(frozen=True)
class Way:
    """The accounts on the way whose alias, and those whose .forward file was expanded: neither is a second time."""

    aliased: frozenset[str] = frozenset()
    forwarded: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Address:
    """An address that the rulesets have to look at."""

    text: str
    way: Way = Way()

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Local:
    """A name in the hands of the local mailer. ``final``: with a backslash, or reached from itself; not expanded."""

    name: str
    final: bool = False
    way: Way = Way()
    via: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Include:
    """An ``:include:`` file on the way from one name; ``reader`` is the account as whom Sendmail opens it."""

    path: str
    name: str
    way: Way
    reader: str
    via: str = field(compare=False)

    def __str__(self) -> str:
        return f":include:{self.path}"


Node = Union[Address, Local, Include]


class Router:
    """The way of mail through one Sendmail."""

    def __init__(self, host: Host, cf: str, tools: Tools) -> None:
        self._host = host
        self._cf = cf
        self._tools = tools
        self._maps = {found.name: found for found in maps(cf)}
        self._ports = ports(cf)
        self._relays_names = relays_names(cf)
        self._default_user = option(cf, "DefaultUser").partition(":")[0] or "mailnull"

    def step(self, node: Node) -> Step:
        if isinstance(node, Address):
            return self._routed(node)
        return self._include(node) if isinstance(node, Include) else self._local(node)

    def next_hop(self, mailer: str, host: str) -> str:
        """As the rest of the program writes it: a domain whose MX is asked, or ``[host]`` with its port."""
        port = self._ports.get(mailer, "")
        name = host.replace("[ipv6:", "[").replace("[IPv6:", "[").rstrip(".")
        return f"{name}:{port}" if port else name

    def _routed(self, node: Address) -> Step:
        via, problems = self._via(node.text)
        return self._taken(node, node.text, self._tools.route(node.text), via, problems)

    def _taken(
        self, node: Address | Local, text: str, route: Route, via: str, problems: tuple[Problem, ...] = ()
    ) -> Step:
        """What follows from what a ruleset makes of an address."""
        mailer, host, user = route
        if mailer == "*error*":
            message = f"Sendmail refuses mail for {text}: {user}"
            problem = Problem("R3", FAIL, message, via, "list the address in the virtusertable, or make it an alias")
            return Step((), (Destination("error", text, via),), (*problems, problem))
        if mailer == LOCAL:
            name = user.lower()
            target: Node = Local(name.partition("@")[0], way=node.way, via=via)
            return Step((Edge(node, target, via),), (), problems)
        end = Destination("remote", user, via, next_hop=self.next_hop(mailer, host))
        return Step((), (end,), problems)

    def _via(self, address: str) -> tuple[str, tuple[Problem, ...]]:
        """Where an address is rewritten or routed, and whether the table there is what its source says."""
        domain = address.lower().rpartition("@")[2]
        tables = (("virtuser", (address.lower(), "@" + domain)), ("mailertable", (domain,)))
        problems: list[Problem] = []
        where = ""
        for name, wanted in tables:
            table = self._maps.get(name)
            if table:
                stale = self._tools.stale(table)
                if stale:
                    remedy = f"run `makemap {table.type} {table.path} <{table.path}`"
                    problems.append(Problem("R10", FAIL, stale, table.path, remedy))
                where = where or self._line(table, wanted)
        return where or "the rules of sendmail.cf", tuple(problems)

    def _line(self, table: Map, wanted: Sequence[str]) -> str:
        source = self._tools.source(table.path)
        entries = (source.entry(key) for key in wanted) if source else ()
        return next((f"{table.path}:{entry.line}" for entry in entries if entry), "")

    def _local(self, node: Local) -> Step:
        user = node.name.partition("+")[0]
        account = self._host.account(user)
        alias = None if node.final else self._tools.alias(node.name)
        differs = None if node.final else self._tools.differs(node.name)
        problems = (differs,) if differs else ()
        onward = self._tools.onward(user) if self._relays_names and not node.final else None
        if alias and alias[0] not in node.way.aliased:
            step = self._alias(node, *alias)
        elif onward:
            step = self._taken(node, node.name, onward, "ruleset 5 of sendmail.cf")
        elif account is None:
            return self._nobody(node, problems)
        else:
            step = self._account(node, account)
        return replace(step, problems=(*problems, *step.problems))

    def _alias(self, node: Local, key: str, value: str) -> Step:
        found = self._tools.written(key)
        via = found[0] if found else "AliasFile"
        way = node.way
        if self._host.account(key):
            way = replace(way, aliased=way.aliased | {key})
        return self._members(node, node.name, [(via, member) for member in members(value)], self._default_user, way)

    def _account(self, node: Local, account: Account) -> Step:
        """What follows an account: its .forward file, or its mailbox."""
        mailbox = Step((), (Destination("mailbox", SPOOL + account.name, node.via, account.name),))
        if node.final or account.name in node.way.forwarded:
            return mailbox
        path, listed, problems = self._forward(account)
        if not listed and any(problem.verdict == INCONCLUSIVE for problem in problems):
            return Step((), (), problems)
        if not listed:
            return replace(mailbox, problems=problems)
        if self._tools.stays(account.name):
            message = (
                f"mail for {account.name} stays in its own mailbox, whatever {path} says: others may write that file "
                "or a directory above it, or the account may not read it, or all of it leads back"
            )
            remedy = f"correct owners and modes until `sendmail -bv {account.name}` shows where it leads, or remove it"
            return replace(mailbox, problems=(*problems, Problem("R10", WARN, message, path, remedy)))
        way = replace(node.way, forwarded=node.way.forwarded | {account.name})
        step = self._members(node, node.name, listed, account.name, way)
        return replace(step, problems=(*problems, *step.problems))

    def _nobody(self, node: Local, problems: tuple[Problem, ...]) -> Step:
        """A name that is neither an alias nor an account."""
        if any(problem.id == "R10" for problem in problems):
            return Step((), (Destination("error", node.name),), problems)
        blank = self._tools.written(node.name)
        if node.final or blank:
            where = blank[0] if blank else node.via
            message = f"{node.name} leads to nothing but itself"
            return Step((), (), (*problems, Problem("R2", FAIL, message, where, "name a person's account there")))
        message = f"there is no account and no alias {node.name}, so that the mail comes back"
        remedy = "make it an account or an alias, or name another address where it stands"
        problem = Problem("R3", FAIL, message, node.via, remedy)
        return Step((), (Destination("error", node.name, node.via),), (*problems, problem))

    def _forward(self, account: Account) -> tuple[str, list[tuple[str, str]], tuple[Problem, ...]]:
        """The .forward file of an account, its members, each with its line, and what is wrong with it.

        There are no members where it names no other account.
        """
        host = self._tools.route("postmaster").host
        problems: list[Problem] = []
        for path in forward_files(option(self._cf, "ForwardPath"), account.home, host):
            found = forward(self._host, path, account, follow=True)
            if found.content:
                listed, more = _lines(path, found.content.text)
                names = {re.split(r"[+@]", member.lstrip("\\"))[0] for _via, member in listed}
                return path, [] if names == {account.name} else listed, (*problems, *more)
            if found.why:
                unseen = f"{path} was not read, so that nobody knows where mail for {account.name} goes"
                message = f"Sendmail passes over {path}" if found.seen else unseen
                verdict = WARN if found.seen else INCONCLUSIVE
                problems.append(
                    Problem("R10", verdict, f"{message}: it {found.why}", path, f"correct or remove {path}")
                )
        return "", [], tuple(problems)

    def _reader(self, name: str) -> Account | None:
        """The account of a name or number; None is root, who reads what others hold with their rights."""
        return self._host.account_of(int(name)) if name.isdigit() else self._host.account(name)

    def _include(self, node: Include) -> Step:
        text, problems = include(self._host, node.path, self._reader(node.reader), node.via)
        if problems:
            return stopped(str(node), problems)
        listed, problems = _lines(node.path, text)
        if not listed:
            message = f"the included file {node.path} lists nobody"
            return Step((), (), (Problem("R2", FAIL, message, node.path, "name a person's account there"),))
        step = self._members(node, node.name, listed, node.reader, node.way)
        return replace(step, problems=problems + step.problems)

    def _members(self, node: Node, name: str, listed: Sequence[tuple[str, str]], account: str, way: Way) -> Step:
        """What the members of an alias, an included file or a .forward file lead to."""
        edges: list[Edge] = []
        ends: list[Destination] = []
        problems: list[Problem] = []
        for via, member in listed:
            if member.startswith("|"):
                ends.append(Destination("pipe", member[1:].strip(), via, account))
            elif member == "/dev/null":
                ends.append(Destination("null", member, via))
            elif member.startswith("/"):
                ends.append(Destination("file", member, via, account))
            elif member.lower().startswith(":include:"):
                edges.append(Edge(node, Include(member[len(":include:") :].strip(), name, way, account, via), via))
            elif member.lower().startswith("error:"):
                ends.append(Destination("error", member, via))
                message = f"the alias refuses the mail: {member}"
                problems.append(Problem("R3", FAIL, message, via, "name a person's account there"))
            elif "@" in member or "!" in member or "%" in member:
                edges.append(Edge(node, Address(member, way), via))
            else:
                target = member.lstrip("\\").lower()
                own = target == name and isinstance(node, Local) and self._host.account(name) is None
                edges.append(Edge(node, Local(target, own or member.startswith("\\"), way, via), via))
        targets = [edge.target for edge in edges] if len(edges) > 1 else []
        self._tools.warm_routes(target.text for target in targets if isinstance(target, Address))
        self._tools.warm_aliases(target.name for target in targets if isinstance(target, Local) and not target.final)
        return Step(tuple(edges), tuple(ends), tuple(problems))


def _lines(path: str, text: str) -> tuple[list[tuple[str, str]], tuple[Problem, ...]]:
    """The members of a list, each with the place where it stands, and whether these are not all."""
    lines = enumerate(text.splitlines(), 1)
    found = ((number, name) for number, line in lines if not line.startswith("#") for name in members(line))
    places, problems = each_once(path, found)
    return [(via, member) for member, via in places.items()], problems
