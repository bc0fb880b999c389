# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Sendmail does with a recipient: ruleset 0, then for a local one its aliases, its .forward file, its mailbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Union

from ..aliases.expand import Destination, Edge, Step
from ..aliases.sources import include
from ..verdict import FAIL, Problem
from .sendmail_syntax import Map, forward_files, maps, members, option, ports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .evidence import Account, Host
    from .sendmail_tools import Tools

SPOOL = "/var/mail/"
LOCAL = "local"


@dataclass(frozen=True)
class Address:
    """An address that the rulesets have to look at."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Local:
    """A name in the hands of the local mailer. ``itself``: reached from itself, it is no alias a second time."""

    name: str
    itself: bool = False
    via: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Include:
    """An ``:include:`` file on the way from one name."""

    path: str
    name: str
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
        self._default_user = option(cf, "DefaultUser").partition(":")[0] or "mailnull"

    def step(self, node: Node) -> Step:
        if isinstance(node, Address):
            return self._routed(node)
        return self._include(node) if isinstance(node, Include) else self._local(node)

    def next_hop(self, mailer: str, host: str) -> str:
        """As the rest of the program writes it: a domain whose MX is asked, or ``[host]`` with its port."""
        port = self._ports.get(mailer, "")
        name = host.replace("[ipv6:", "[").replace("[IPv6:", "[")
        return f"{name}:{port}" if port else name

    def _routed(self, node: Address) -> Step:
        mailer, host, user = self._tools.route(node.text)
        via, problems = self._via(node.text)
        if mailer == "*error*":
            message = f"Sendmail refuses mail for {node.text}: {user}"
            problem = Problem("R3", FAIL, message, via, "list the address in the virtusertable, or make it an alias")
            return Step((), (Destination("error", node.text, via),), (*problems, problem))
        if mailer == LOCAL:
            name = user.lower()
            target: Node = Local(name.partition("@")[0], via=via)
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
        alias = None if node.itself else self._tools.alias(node.name)
        differs = None if node.itself else self._tools.differs(node.name)
        problems = (differs,) if differs else ()
        if alias:
            key, value = alias
            found = self._tools.written(key)
            via = found[0] if found else "AliasFile"
            step = self._members(node, node.name, [(via, member) for member in members(value)], self._default_user)
            return Step(step.edges, step.destinations, (*problems, *step.problems))
        user = node.name.partition("+")[0]
        account = self._host.account(user)
        if account is None:
            return self._nobody(node, problems)
        forward = None if node.itself else self._forward(node, account)
        if forward:
            return forward
        return Step((), (Destination("mailbox", SPOOL + user, node.via, user),), problems)

    def _nobody(self, node: Local, problems: tuple[Problem, ...]) -> Step:
        """A name that is neither an alias nor an account."""
        if any(problem.id == "R10" for problem in problems):
            return Step((), (Destination("error", node.name),), problems)
        blank = self._tools.written(node.name)
        if node.itself or blank:
            where = blank[0] if blank else node.via
            message = f"{node.name} leads to nothing but itself"
            return Step((), (), (*problems, Problem("R2", FAIL, message, where, "name a person's account there")))
        message = f"there is no account and no alias {node.name}, so that the mail comes back"
        remedy = "make it an account or an alias, or name another address where it stands"
        problem = Problem("R3", FAIL, message, node.via, remedy)
        return Step((), (Destination("error", node.name, node.via),), (*problems, problem))

    def _forward(self, node: Local, account: Account) -> Step | None:
        host = self._tools.route("postmaster").host
        for path in forward_files(option(self._cf, "ForwardPath"), account.home, host):
            found = self._host.stat(path)
            if found and found.is_file:
                lines = self._host.read(path).splitlines()
                listed = [
                    (f"{path}:{number}", member)
                    for number, line in enumerate(lines, 1)
                    if not line.startswith("#")
                    for member in members(line)
                ]
                return self._members(node, node.name, listed, account.name) if listed else None
        return None

    def _include(self, node: Include) -> Step:
        text, problems = include(self._host, node.path, None, node.via)
        if problems:
            return Step((), (Destination("error", str(node)),), problems)
        listed = [
            (f"{node.path}:{number}", member)
            for number, line in enumerate(text.splitlines(), 1)
            if not line.startswith("#")
            for member in members(line)
        ]
        if not listed:
            message = f"the included file {node.path} lists nobody"
            return Step((), (), (Problem("R2", FAIL, message, node.path, "name a person's account there"),))
        return self._members(node, node.name, listed, self._default_user)

    def _members(self, node: Node, name: str, listed: Sequence[tuple[str, str]], account: str) -> Step:
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
                edges.append(Edge(node, Include(member[len(":include:") :].strip(), name, via), via))
            elif member.lower().startswith("error:"):
                ends.append(Destination("error", member, via))
                message = f"the alias refuses the mail: {member}"
                problems.append(Problem("R3", FAIL, message, via, "name a person's account there"))
            elif "@" in member or "!" in member or "%" in member:
                edges.append(Edge(node, Address(member), via))
            else:
                target = member.lstrip("\\").lower()
                own = target == name and (isinstance(node, Local) or self._host.account(name) is not None)
                edges.append(Edge(node, Local(target, own or member.startswith("\\"), via), via))
        return Step(tuple(edges), tuple(ends), tuple(problems))
