# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What smtpd makes of an address by aliases, virtual tables, included lists and .forward files.

It expands an address as a whole before it says 250, the nearest first: one branch that fails fails all of it, what it
has met before it lets go, and what lies ten steps away it refuses.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from ..aliases.expand import LIMIT, Destination, Edge, Step, stopped
from ..aliases.sources import include
from ..verdict import FAIL, INCONCLUSIVE, Problem
from .adapter import AliasFile
from .opensmtpd_deliver import deliver, next_hop
from .opensmtpd_forward import forward
from .opensmtpd_items import ADDRESS, ERROR, FILE, INCLUDE, LOCAL_PART, PROGRAM, USER, Item, items, split
from .opensmtpd_syntax import Action
from .opensmtpd_tables import foreign

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._system.host import Account
    from .opensmtpd_rules import Rules
    from .opensmtpd_syntax import Config, Table
    from .opensmtpd_tables import Tables

DEPTH = 10
DAEMON = "opensmtpd"
NO_ACTION = Action("", "")
A_PERSON = "name a person's account there"


@dataclass(frozen=True)
class Node:
    """A step of the expansion of ``start``; ``number`` tells those of one name apart."""

    text: str
    start: str
    number: int

    def __str__(self) -> str:
        return self.text


@dataclass
class Here:
    """What smtpd remembers of a node, and what follows it."""

    node: Node
    kind: str
    parent: Here | None = None
    action: Action = NO_ACTION
    via: str = ""
    same: bool = False  # it is the user that it was expanded from
    account: Account | None = None
    edges: list[Edge] = field(default_factory=list)
    ends: list[Destination] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def depth(self) -> int:
        return self.parent.depth + 1 if self.parent else 0

    def above(self, kind: str) -> Here | None:
        """The nearest node of a kind on the way here."""
        return self if self.kind == kind else self.parent and self.parent.above(kind)

    def fail(self, row: str, message: str, where: str = "", remedy: str = A_PERSON) -> None:
        self.problems.append(Problem(row, FAIL, message, where or self.via, remedy))
        self.ends = self.ends or [Destination("error", self.node.text)]


class Agent:
    """The lookup agent of one smtpd."""

    def __init__(self, config: Config, rules: Rules, tables: Tables, server: str) -> None:
        self.config, self.rules, self.tables, self.host = config, rules, tables, tables.host
        self._server = server
        self._steps: dict[Node, Step] = {}
        self._starts: dict[str, Node] = {}
        self.aliases = AliasFile("/etc/aliases")
        self.forward = lru_cache(None)(partial(forward, self.host))  # many addresses lead to one account

    def start(self, address: str) -> Node:
        """The node where the expansion of an address starts."""
        if address not in self._starts:
            session = Session(self, address, self._server)
            self._starts[address] = session.first.node
            self._steps.update(session.steps())
        return self._starts[address]

    def step(self, node: Node) -> Step:
        return self._steps[node]


class Session:
    """The expansion of one address."""

    def __init__(self, agent: Agent, address: str, server: str) -> None:
        self._agent, self._host, self._config = agent, agent.host, agent.config
        user, domain = split(address)
        self._address = f"{user}@{domain or server}"
        self._all: list[Here] = []
        self._met: dict[tuple[object, ...], Here] = {}
        self._queue: deque[Here] = deque()
        self.first = self._made(self._address, ADDRESS)
        if LOCAL_PART.fullmatch(user):
            self._queue.append(self.first)
        else:
            self.first.fail("R3", f"smtpd takes no such local part: {user}", remedy="write it without quotes")
        expand = {ADDRESS: self._expand_address, USER: self._expand_user, FILE: self._write, PROGRAM: self._run}
        while self._queue:
            here = self._queue.popleft()
            if len(self._all) > LIMIT:
                message = f"the expansion has more than {LIMIT} members"
                self.first.problems.append(Problem("R1", INCONCLUSIVE, message))
                break
            if here.depth >= DEPTH:
                message = f"{here.node} lies {DEPTH} steps from {address}, and smtpd refuses what is that deep"
                here.fail("R1", message, remedy=f"let {address} lead there in fewer steps")
            else:
                expand[here.kind](here)

    def steps(self) -> dict[Node, Step]:
        return {here.node: Step(tuple(here.edges), tuple(here.ends), tuple(here.problems)) for here in self._all}

    def _made(self, text: str, kind: str, parent: Here | None = None, via: str = "") -> Here:
        action = parent.action if parent else NO_ACTION
        here = Here(Node(text, self._address, len(self._all)), kind, parent, action, via)
        self._all.append(here)
        return here

    def _add(self, parent: Here, item: Item, via: str, shown: Here) -> None:
        """Put what an entry names behind the nodes that wait; ``shown`` is the node that the entry is of."""
        same = item.kind == USER and parent.kind == USER and parent.node.text == item.text
        if same and not self._account(parent, item.text):
            if shown is parent:
                message = f"{item.text} leads to itself, and there is no such account: smtpd refuses the mail"
                parent.fail("R2", message, via)
            else:
                shown.edges.append(Edge(shown.node, parent.node, via))
            return
        shown.edges.append(Edge(shown.node, self._target(parent, item, same, via).node, via))

    def _target(self, parent: Here, item: Item, same: bool, via: str) -> Here:
        """The node of an item: an address on the way here (a loop), one that was met before, or a new one."""
        at = parent.above(ADDRESS)
        while at and item.kind == ADDRESS:
            if at.node.text == item.text:
                return at
            at = at.parent and at.parent.above(ADDRESS)
        owner = parent.above(USER) if item.kind in (FILE, PROGRAM) else None
        key = (item.kind, same, item.text, id(parent.above(ADDRESS)), id(owner))
        if key not in self._met:
            here = self._met[key] = self._made(item.text, item.kind, parent, via)
            here.same = same
            self._queue.append(here)
        return self._met[key]

    def _members(self, here: Here, members: Iterable[tuple[str, Item]]) -> int:
        """How many values there were, by smtpd's own count: a list that cannot be opened is none."""
        count = 0
        for via, item in members:
            if item.kind == INCLUDE:
                count += self._include(here, item.text, via)
            elif item.kind == ERROR:
                here.fail("R3", f"smtpd is told to refuse the mail: {item.text}", via)
                count += 1
            else:
                self._add(here, item, via, here)
                count += 1
        return count

    def _include(self, here: Here, path: str, via: str) -> int:
        shown = self._made(f":include:{path}", INCLUDE, here, via)
        here.edges.append(Edge(here.node, shown.node, via))
        daemon = self._host.account(DAEMON)
        text, problems = include(self._host, path, daemon, via)
        shown.problems += problems
        if problems:
            shown.ends += stopped(shown.node.text, problems).destinations
            return int(self._host.stat_as(path, daemon) is not None)
        for number, line in enumerate(text.split("\n"), 1):
            good, bad = items(line.strip())
            where = f"{path}:{number}"
            for item in good:
                if item.kind == INCLUDE:
                    bad = f"{item.text}, a list in a list"
                else:
                    self._add(here, item, where, shown)
            if bad and not bad.startswith("#"):
                shown.fail("R9", f"smtpd passes over what it cannot read in an included file: {bad}", where)
        if not shown.edges and not shown.problems:
            shown.fail("R2", f"{shown.node} leads to nobody: there is nothing in it", path)
        return 1

    def _expand_address(self, here: Here) -> None:
        user, _sign, domain = here.node.text.rpartition("@")
        rule = self._agent.rules.find(user, domain, internal=here.parent is not None)
        if rule is None or rule.action is None:
            why = "a rule rejects it" if rule else f"no rule of {self._config.files[0]} is for it"
            where = rule.where if rule else here.via
            here.fail("R3", f"smtpd refuses mail for {here.node}: {why}", where, "add a match for its domain")
            return
        here.action = rule.action
        virtual = rule.action.table("virtual")
        if rule.action.method == "relay":
            host = next_hop(self._agent.tables, rule.action, domain)
            here.ends.append(Destination("remote", here.node.text, rule.where, next_hop=host))
        elif virtual is None:
            self._add(here, Item(USER, user.lower()), rule.where, here)
        elif not (self._look_up(here, virtual, self._virtual_keys(user.lower(), domain.lower())) or self._lists(here)):
            name = virtual.path or f"the table {virtual.name}"
            here.fail("R3", f"{name} has no entry for {here.node}: smtpd refuses the mail", rule.where)

    def _expand_user(self, here: Here) -> None:
        name = here.node.text.lower()
        user = name.partition(self._config.delimiter)[0]
        action = here.action
        if not here.same:
            virtual = action.table("virtual")
            keys = self._virtual_keys(name, "") if virtual else list(dict.fromkeys((name, user)))
            if self._look_up(here, virtual or action.table("alias"), keys):
                return
        account = here.account = self._account(here, user)
        if account is None:
            if here.problems or self._lists(here):  # a list or a table that is broken is why: not a second finding
                here.ends.append(Destination("error", here.node.text))
                return
            aliases = self._agent.aliases
            rebuild = " and run `{}`".format(" ".join(aliases.rebuild)) if aliases.rebuild else ""
            remedy = f"add `{user}: <a person's account>` to {aliases.path}{rebuild}"
            here.fail("R3", f"{user} is neither an alias nor an account: smtpd refuses the mail", aliases.path, remedy)
        elif (here.same and here.parent and here.parent.account) or action.text("user") not in ("", user):
            deliver(here.ends, here.fail, self._config, action, account)
        else:
            self._forward(here, action, account)

    def _forward(self, here: Here, action: Action, account: Account) -> None:
        found = self._agent.forward(account)
        if found.unseen:
            message = f"{found.path} was not read, so that nobody knows where mail goes: it {found.unseen}"
            here.problems.append(Problem("R9", INCONCLUSIVE, message, found.path, f"correct or remove {found.path}"))
        elif found.refused:
            message = f"smtpd refuses mail for {account.name}: {found.path} {found.refused}"
            here.fail("R9", message, found.path, f"correct or remove {account.home}/.forward")
        elif not self._members(here, [member for member in found.members if member[1].kind != INCLUDE]):
            if action.method in ("expand-only", "forward-only"):
                message = f"{action.name} delivers to no mailbox, and {account.name} has no .forward file"
                here.fail("R3", message, action.where)
            else:
                deliver(here.ends, here.fail, self._config, action, account)

    def _look_up(self, here: Here, table: Table | None, keys: Sequence[str]) -> bool:
        """Follow the entry of the first key that is in a table; whether that was the end of it."""
        if table is None:
            return False
        here.problems += self._agent.tables.problems(table)
        content = self._agent.tables.content(table)
        if foreign(table):
            return True  # where the mail goes only smtpd knows
        if content.broken:
            here.ends.append(Destination("error", here.node.text))
            return True
        entry = next((content.entries[key] for key in keys if key in content.entries), None)
        if entry is None:
            return False
        good, bad = items(entry.value)
        if bad:
            here.fail("R3", f"smtpd cannot read the entry of {here.node}, and defers the mail: {bad}", entry.where)
            return True
        return self._members(here, [(entry.where, item) for item in good]) > 0

    def _lists(self, here: Here) -> list[Problem]:
        """What is wrong with the lists that a node includes."""
        return [problem for shown in self._all if shown.parent is here for problem in shown.problems]

    def _virtual_keys(self, name: str, domain: str) -> list[str]:
        user = name.partition(self._config.delimiter)[0]
        catch_all = [f"@{domain}", "@"] if domain else []
        return list(dict.fromkeys((f"{name}@{domain}", f"{user}@{domain}", name, user, *catch_all)))

    def _account(self, here: Here, name: str) -> Account | None:
        user = name.lower().partition(self._config.delimiter)[0]
        return self._agent.tables.account(here.action.table("userbase"), user)

    def _write(self, here: Here) -> None:
        owner = self._owner(here)
        kind = "null" if here.node.text == "/dev/null" else "file"
        if owner:
            here.ends.append(Destination(kind, here.node.text, here.via, owner))

    def _run(self, here: Here) -> None:
        owner = self._owner(here)
        if owner:
            here.ends.append(Destination("pipe", here.node.text, here.via, owner))

    def _owner(self, here: Here) -> str:
        """As whom a file is written or a program run: the account whose .forward names it, or smtpd's own."""
        account = here.parent.account if here.parent else None
        if account and account.uid == 0:
            message = f"smtpd defers the mail: root's .forward may name no file and no program: {here.node}"
            here.fail("R5" if here.kind == PROGRAM else "R3", message)
            return ""
        return account.name if account else DAEMON
