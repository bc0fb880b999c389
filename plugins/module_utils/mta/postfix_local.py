# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Postfix's local delivery agent, local(8), does with a recipient.

In its order: alias_maps, the recipient's .forward, the mailbox of the account (mailbox_transport, mailbox_command,
home_mailbox, mail_spool_directory), and for an unknown recipient fallback_transport and luser_relay. Then Postfix
discards mail for postmaster, and bounces any other.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Union

from .._system.host import Account
from ..aliases.expand import Destination, Edge, Step, stopped
from ..aliases.sources import Forward, forward, include, members
from ..verdict import FAIL, INCONCLUSIVE, WARN, Problem
from .postfix_route import LOCAL, ROUTING, Address, Route, Router
from .postfix_syntax import Key, addresses, elements, expand, split, split_extension, with_extension
from .postfix_tables import POSTALIAS, described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._system.reader import Content

ALIAS, INCLUDE, FORWARD = "alias", "include", "forward"
DISCARDED = ("postmaster", "mailer-daemon")
PROCMAIL = "procmail"
AT_ONCE = 2000


@dataclass(frozen=True)
class Way:
    """What local(8) remembers of the way to a recipient.

    ``name`` is the alias, or the user of the .forward, that was expanded last: it is not expanded again by itself.
    ``owner`` is who answers for the list: other recipients than that one are submitted anew. ``forwarded`` is the user
    whose .forward was read, ``rights`` as whom files and programs are used (empty: root), ``kind`` the last expansion.
    """

    name: str = ""
    owner: str = ""
    forwarded: str = ""
    rights: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Local:
    """A recipient in the hands of local(8)."""

    address: str
    way: Way = Way()

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True)
class Include:
    """An ``:include:`` file, as it is read on the way from one recipient."""

    path: str
    recipient: str
    way: Way
    via: str

    def __str__(self) -> str:
        return f":include:{self.path}"


Node = Union[Address, Local, Include]


class LocalDelivery:
    """local(8) of one Postfix."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._host = router.host
        self._settings = router.settings
        self._tables = router.tables
        self._alias_maps = router.maps("alias_maps")
        self._ahead: set[str] = set()
        self._later: list[str] = []  # names that are asked with the next ones

    def recipient(self, node: Node, recipient: Local) -> Step:
        """What follows a recipient; ``node`` is the node that it is looked at for."""
        local, _dummy = split(recipient.address.lower())
        user, extension = split_extension(
            local, self._router.delimiters, self._settings["owner_request_special"] == "yes"
        )
        problems: tuple[Problem, ...] = ()
        blank = ""
        for name in dict.fromkeys((local, user)):
            if name == recipient.way.name:
                continue
            step, emptied = self._alias(node, recipient, name, extension if name != local else "")
            problems += step.problems
            blank = blank or emptied
            if step.edges or step.destinations:
                return replace(step, problems=problems)
        step = self._delivered(node, recipient, user, extension, blank)
        if any(problem.id == "R10" for problem in problems):
            # A table that is not what its source says is why there is no alias: not a second finding.
            step = replace(step, problems=tuple(problem for problem in step.problems if problem.id != "R3"))
        return replace(step, problems=problems + step.problems)

    def aliased(self, names: Sequence[str]) -> set[str]:
        keys = [Key(name.lower()) for name in names]
        self._tables.warm(self._alias_maps, keys, POSTALIAS)
        return {name for name, key in zip(names, keys) if self._tables.find(self._alias_maps, [key], POSTALIAS).found}

    def _alias(self, node: Node, recipient: Local, name: str, extension: str) -> tuple[Step, str]:
        self._look_ahead([name])
        keys = [Key(name), Key("owner-" + name)]
        answer = self._tables.find(self._alias_maps, keys[:1], POSTALIAS)
        if answer.failed:
            return Step((), (Destination("error", "alias_maps does not answer"),), answer.problems), ""
        if not answer.found:
            return Step((), (), answer.problems), answer.blank
        way = replace(recipient.way, name=name, kind=ALIAS, rights=self._table_owner(answer.found.table))
        if self._settings["owner_request_special"] == "yes":
            owner = self._tables.find(self._alias_maps, keys[1:], POSTALIAS)
            if owner.found:
                way = replace(way, owner=keys[1].text)
            elif self._settings["reset_owner_alias"] == "yes":
                way = replace(way, owner="")
        kept = extension if "alias" in self._router.propagated() else ""
        listed = [(member, answer.found.via) for member in addresses(answer.found.value)]
        if not listed:
            return Step((), (), (*answer.problems, _empty(name, answer.found.via))), ""
        step = self._members(node, recipient.address, listed, way, kept)
        return replace(step, problems=answer.problems + step.problems), ""

    def include(self, node: Include) -> Step:
        """What follows an ``:include:`` file."""
        rights = node.way.rights
        found = None if rights else self._host.stat(node.path)
        if found and found.uid:
            owner = self._host.account_of(found.uid)
            rights = owner.name if owner else ""
        reader = self._host.account(rights) if rights else None
        text, problems = include(self._host, node.path, reader, node.via)
        if problems:
            return stopped(str(node), problems)
        listed, problems = self._file_members(node.path, text)
        if not listed:
            return Step((), (), (_empty(str(node), node.path),))
        way = replace(
            node.way,
            name=split(node.recipient.lower())[0],
            owner=node.way.owner or node.recipient,
            rights=rights,
            kind=INCLUDE,
        )
        step = self._members(node, node.recipient, listed, way, "")
        return replace(step, problems=problems + step.problems)

    def _file_members(self, path: str, text: str) -> tuple[list[tuple[str, str]], tuple[Problem, ...]]:
        """The members of an included or .forward file, each with its place, and whether these are not all."""
        lines = enumerate(text.split("\n"), 1)
        found = ((number, name) for number, line in lines if not line.startswith("#") for name in addresses(line))
        places, problems = members(path, found)
        return list(places.items()), problems

    def _members(self, node: Node, recipient: str, listed: Sequence[tuple[str, str]], way: Way, extension: str) -> Step:
        """What the members of an alias, an included file or a .forward file lead to."""
        edges: list[Edge] = []
        ends: list[Destination] = []
        problems: list[Problem] = []
        for member, via in listed:
            if member.startswith(("/", "~/", "|")):
                end, wrong = self._file_or_program(member, via, way)
                ends.append(end)
                problems += wrong
            elif member.lower().startswith(":include:"):
                edges.append(Edge(node, Include(member[len(":include:") :], recipient, way, via), via))
            else:
                edges.append(Edge(node, self._member(member, way, extension), via))
        if len(edges) > 1:
            self._look_ahead([split(str(edge.target).lower())[0] for edge in edges])
        return Step(tuple(edges), tuple(ends), tuple(problems))

    def _member(self, member: str, way: Way, extension: str) -> Node:
        """The recipient that a member stands for: one for local(8) itself, or one that is submitted anew."""
        text = self._router.rewritten(member)[0]
        here = self._router.is_local(split(text)[1]) and not ROUTING.search(split(text)[0])
        text = with_extension(text, extension)
        if not here or self._router.agent(self._router.route(text).transport) != LOCAL:
            return Address(text)
        local = split(text.lower())[0]
        itself = way.name in (local, split_extension(local, self._router.delimiters)[0])
        return Local(text, replace(way, name=way.name if itself else ""))

    def _look_ahead(self, names: Sequence[str]) -> None:
        """Ask the tables for names, and for all that their sources say these lead to: one process answers for all."""
        wanted = [name for name in names if name not in self._ahead]
        if not wanted:
            return
        pending = [*self._later, *wanted]
        fresh: list[Key] = []
        while pending and len(fresh) < AT_ONCE:
            name = pending.pop()
            if name in self._ahead:
                continue
            self._ahead.add(name)
            fresh += [Key(name), Key("owner-" + name)]
            for table in self._alias_maps:
                entry = self._tables.written(table, name)
                found = addresses(entry.value) if entry else []
                pending += [member.lower().partition("@")[0] for member in found if member[0] not in "/|:"]
        self._later = pending
        self._tables.warm(self._alias_maps, fresh, POSTALIAS)
        self._router.warm_routes(self._router.rewritten(key.text)[0] for key in fresh[::2])

    def _file_or_program(self, member: str, via: str, way: Way) -> tuple[Destination, list[Problem]]:
        program = member.startswith("|")
        account = way.rights if way.rights not in ("", "root") else self._settings["default_privs"]
        allowed = elements(self._settings["allow_mail_to_commands" if program else "allow_mail_to_files"])
        if way.kind not in allowed:
            message = "Postfix delivers to no {} that stands in an {}: {}".format(
                "program" if program else "file",
                {INCLUDE: ":include: file", FORWARD: "account's .forward file"}.get(way.kind, way.kind),
                member,
            )
            remedy = "name it in the alias itself"
            problem = Problem("R5" if program else "R3", FAIL, message, via, remedy)
            return Destination("error", member, via), [problem]
        if program:
            return Destination("pipe", member[1:], via, account), []
        if member.startswith("~"):
            owner = self._host.account(way.forwarded)
            member = (owner.home if owner else "") + member[1:]
        return Destination("null" if member == "/dev/null" else "file", member, via, account), []

    def _delivered(self, node: Node, recipient: Local, user: str, extension: str, blank: str) -> Step:
        """What follows a recipient that is no alias."""
        way = recipient.way
        if way.kind == INCLUDE or (way.owner and way.owner.lower() != user):
            return self._router.step(
                Address(recipient.address), lambda _node, fresh: self.recipient(node, Local(fresh.text))
            )
        account = self._host.account(user)
        ignored: tuple[Problem, ...] = ()
        if account and way.forwarded != user:
            step, ignored = self._forward(node, recipient, account, extension)
            if step:
                return replace(step, problems=ignored + step.problems)
        step = self._mailbox(recipient, account, user) or self._unknown(node, recipient, user, blank)
        return replace(step, problems=ignored + step.problems)

    def _forward(
        self, node: Node, recipient: Local, account: Account, extension: str
    ) -> tuple[Step | None, tuple[Problem, ...]]:
        """What the recipient's .forward file leads to, and why one that is there is not used."""
        patterns = elements(self._settings["forward_path"])
        paths = filter(None, (expand(pattern, self._values(recipient, account, extension)) for pattern in patterns))
        looks = ((path, forward(self._host, path, account, follow=False)) for path in paths)
        path, found = next(((path, found) for path, found in looks if found != Forward()), ("", Forward()))
        if not found.seen:
            message = f"{path} was not read, so that nobody knows where mail for {account.name} goes: it {found.why}"
            return Step((), (), (Problem("R10", INCONCLUSIVE, message, path, f"correct or remove {path}"),)), ()
        if not found.content and not found.why:
            return None, ()
        why = found.why or _not_used(found.content, account)
        if why or not found.content:
            message = f"Postfix does not use {path}: it {why}"
            return None, (Problem("R10", WARN, message, path, f"correct or remove {path}"),)
        listed, problems = self._file_members(path, found.content.text)
        if not listed:
            return None, ()
        way = Way(split(recipient.address.lower())[0], account.name, account.name, account.name, FORWARD)
        kept = extension if "forward" in self._router.propagated() and extension not in path else ""
        return self._members(node, recipient.address, listed, way, kept), problems

    def _values(self, recipient: Local, account: Account, extension: str) -> dict[str, str | None]:
        local, domain = split(recipient.address)
        return {
            "user": account.name,
            "home": account.home,
            "shell": account.shell,
            "domain": domain,
            "local": local,
            "mailbox": local,
            "recipient": recipient.address,
            "extension": extension[1:] or None,
            "recipient_delimiter": extension[:1] or self._router.delimiters[:1] or None,
        }

    def _mailbox(self, recipient: Local, account: Account | None, user: str) -> Step | None:
        """Where the mail of an account is put; None where there is neither an account nor a transport for it."""
        passed = self._passed_on(recipient, "mailbox_transport_maps", "mailbox_transport", user)
        if passed or not account:
            return passed
        answer = self._tables.find(self._router.maps("mailbox_command_maps"), [Key(user)])
        command, via = self._settings["mailbox_command"], "mailbox_command"
        if answer.found:
            command, via = answer.found.value, answer.found.via
        spool, home = self._settings["mail_spool_directory"], self._settings["home_mailbox"]
        if command and not self._keeps_default(command, account):
            return Step((), (Destination("pipe", command, via, account.name),), answer.problems)
        if command:
            end = Destination("mailbox", f"/var/mail/{account.name}", via, account.name)
        elif home:
            end = Destination("mailbox", posixpath.join(account.home, home), "home_mailbox", account.name)
        else:
            slash = "/" if spool.endswith("/") else ""
            path = posixpath.join(spool, account.name) + slash
            end = Destination("mailbox", path, "mail_spool_directory", account.name)
        return Step((), (end,), answer.problems)

    def _keeps_default(self, command: str, account: Account) -> bool:
        """Whether a mailbox_command is procmail without any recipe, which then fills the system mailbox."""
        recipes = ("/etc/procmailrc", posixpath.join(account.home, ".procmailrc"))
        return posixpath.basename(command.split(maxsplit=1)[0]) == PROCMAIL and not any(map(self._host.stat, recipes))

    def _passed_on(self, recipient: Local, maps: str, setting: str, user: str) -> Step | None:
        """Delivery by another transport."""
        answer = self._tables.find(self._router.maps(maps), [Key(user)])
        value, via = self._settings[setting], setting
        if answer.found:
            value, via = answer.found.value, answer.found.via
        if not value:
            return Step((), (), answer.problems) if answer.failed else None
        transport, _dummy, next_hop = value.partition(":")
        route = Route(LOCAL, transport, next_hop or split(recipient.address)[1], via)
        step = self._router.handed_over(recipient.address, route)
        return replace(step, problems=answer.problems + step.problems)

    def _unknown(self, node: Node, recipient: Local, user: str, blank: str) -> Step:
        """What becomes of mail for a name that is neither an alias nor an account."""
        passed = self._passed_on(recipient, "fallback_transport_maps", "fallback_transport", user)
        if passed:
            return passed
        relay = expand(self._settings["luser_relay"], self._values(recipient, Account(user, 0, 0, "", ""), ""))
        if relay:
            member = self._member(relay, replace(recipient.way, name=""), "")
            if str(member).lower() != recipient.address.lower():
                return Step((Edge(node, member, "luser_relay"),))
        fate = "discards the mail after its 250" if user in DISCARDED else "refuses or bounces the mail"
        source = next((described(name).source for name in self._alias_maps if described(name).source), "the aliases")
        remedy = f"add `{user}: <a person's account>` to {source} and run newaliases"
        end = Destination("error", recipient.address)
        if blank:
            return Step((), (end,), (_empty(user, blank),))
        if recipient.way.name == user and recipient.way.kind == ALIAS:
            message = f"the alias {user} leads only to itself, and there is no account {user}: Postfix {fate}"
            return Step((), (end,), (Problem("R2", FAIL, message, source, remedy),))
        message = f"{user} is neither an alias nor an account: Postfix {fate}"
        return Step((), (end,), (Problem("R3", FAIL, message, source, remedy),))

    def _table_owner(self, table: str) -> str:
        """As whom files and programs of an alias are used: the owner of the table, unless that is root."""
        place = described(table)
        found = self._host.stat(place.compiled or place.source) if place.source else None
        owner = self._host.account_of(found.uid) if found and found.uid else None
        return owner.name if owner else ""


def _not_used(found: Content | None, account: Account) -> str:
    """Why Postfix does not use a .forward file that can be read; empty where it does."""
    if found and found.uid not in (0, account.uid):
        return "belongs to another account"
    return "can be written by everybody" if found and found.mode & 0o002 else ""


def _empty(name: str, where: str) -> Problem:
    return Problem(
        "R2", FAIL, f"{name} leads to nobody: there is nothing in it", where, "name a person's account there"
    )
