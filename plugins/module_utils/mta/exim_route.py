# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Exim's routers do with an address, in their order. Exim itself expands their strings (`exim4 -be`).

Understood are the drivers redirect, accept, manualroute, dnslookup and ipliteral, with the preconditions that do not
depend on a message: domains, local_parts, affixes, check_local_user, condition and require_files.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ..aliases.expand import Destination, Edge, Step, stopped
from ..aliases.sources import Source, forward, include, members
from ..errors import UserError
from ..verdict import FAIL, INCONCLUSIVE, WARN, Problem
from .exim_domains import NOT_SHOWN, kinds, varying
from .exim_syntax import Driver, affixes, escaped, filled, items_of, lookups, question, redirections, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .._system.host import Account, Host
    from ..aliases.sources import Forward

COMPILED = ("cdb", "dbm")
PROMPT = "> "
PORTS = {"smtp": "25", "smtps": "465", "submissions": "465", "submission": "587", "lmtp": "24"}
HOST = re.compile(r"\$(?:host(?:_address)?(?![a-z_])|\{host(?:_address)?\})")  # what a transport knows alone
FORCED = '"fail" requested'  # what Exim says of an expansion that shall fail
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
MARK = f"--- end of one expansion {os.urandom(8).hex()} ---"  # nobody who writes what is looked up can know it
SKIPPED = frozenset(("verify_only", "no_address_test"))


@dataclass(frozen=True)
class Address:
    """An address in the hands of the routers. ``again``: it is its own ancestor, so that the router which expanded it
    is passed over. ``line``: the addresses that it comes from; they are no part of what it is.
    """

    text: str
    again: bool = False
    line: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Include:
    """An ``:include:`` file, read for one address, as one account (None: root)."""

    path: str
    address: Address
    router: Driver = field(compare=False)
    reader: Account | None = field(compare=False)
    via: str = field(compare=False)

    def __str__(self) -> str:
        return f":include:{self.path}"


@dataclass(frozen=True)
class Case:
    """One address before one router: the values of its variables, and the account where the router wants one."""

    router: Driver
    address: Address
    values: Mapping[str, str]
    account: Account | None


class Listed(NamedTuple):
    """What a redirect router finds: items, each with the place where it stands; what is wrong with it; and where an
    entry stands that says nothing."""

    members: list[tuple[str, str]]
    problem: Problem | None = None
    blank: str = ""


class Routers:
    """The routers and transports of one Exim."""

    def __init__(
        self,
        host: Host,
        settings: Mapping[str, str],
        routers: Sequence[Driver],
        transports: Sequence[Driver],
        lists: Mapping[str, str] | None = None,
    ) -> None:
        self.host = host
        # asked once each: every address of a host passes the same routers
        self._account, self._stat_as = lru_cache(None)(host.account), lru_cache(None)(host.stat_as)
        self._lists = lists or {}  # the named domain lists
        self._settings = settings
        self._routers = routers
        self._transports = {transport.name: transport for transport in transports}
        # Exim is not asked again for the option that is a variable, too
        self._expanded: dict[str, str | None] = {"$primary_hostname": settings.get("primary_hostname")}
        self._failures: dict[str, str] = {}
        self._sources: dict[str, Source | None] = {}

    def address(self, text: str) -> Address:
        local, domain = split(text)
        return Address("{}@{}".format(local, domain or self._settings["qualify_recipient"].lower()))

    def step(self, address: Address) -> Step:
        """What the first router does that takes the address."""
        cases = list(self._cases(address))
        self._expand([text for case in cases for text in self._wanted(case)])
        blank, passed_over = "", False
        for case in cases:
            if not self._applies(case):
                continue
            if case.router.get("driver") == "redirect":
                if address.again and not passed_over and self._listed(case).members:
                    passed_over = True
                    continue
                step, emptied = self._redirect(case)
                blank = blank or emptied
            else:
                step = self._routed(case)
            if step is not None:
                return step
            if "no_more" in case.router.flags:
                break
        return self._nowhere(address, blank)

    def warm(self, addresses: Sequence[Address]) -> None:
        """Expand at once what the first look at many addresses needs."""
        self._expand([text for address in addresses for case in self._cases(address) for text in self._wanted(case)])

    def ways_out(self, address: Address) -> bool:
        """Whether any router takes an address that is its own ancestor."""
        return not any(end.kind == "error" for end in self.step(replace(address, again=True)).destinations)

    def expand(self, text: str) -> str | None:
        """What Exim makes of an expandable string; None where it fails."""
        self._expand([text])
        return self._expanded[text]

    def expanded(self, text: str) -> str | None:
        """The same, and nothing where the text itself says that it shall fail."""
        found = self.expand(text)
        return "" if found is None and FORCED in self._failures.get(text, "") else found

    def matches(self, what: str, value: str, items: str) -> bool:
        """Whether a domain or local part is in a list, as Exim sees it. Raises UserError where Exim cannot say that."""
        if what == "domain" and self._varies(items):
            return self._in_list(value, items)
        return self._one(_match(what, value, items), items)

    def _one(self, condition: str, items: str) -> bool:
        found = self.expand(condition)
        if found is None:
            raise self._cannot_tell(items, condition)
        return found == "1"

    def _cannot_tell(self, items: str, asked: str) -> UserError:
        """Without what Exim quotes: a query may hold a password."""
        why = re.sub('".*"', '"..."', self._failures.get(asked) or "it gave no answer", flags=re.DOTALL)
        return UserError(f"Exim cannot tell what is in a list ({kinds(items)}): {why}")

    def _varies(self, items: str, seen: tuple[str, ...] = ()) -> bool:
        """Whether a list of domains is another one for each address: then ``match_domain`` cannot be asked for it."""
        if "$" in items or items == NOT_SHOWN:
            return True
        named = [name for name in re.findall(r"\+(\w+)", items) if name in self._lists and name not in seen]
        return any(self._varies(self._lists[name], (*seen, name)) for name in named)

    def _in_list(self, domain: str, items: str) -> bool:
        """Whether a domain is in a list: the first item that matches says it, as in Exim."""
        text = asked = items
        if "$" in items:
            asked = filled(items, dict.fromkeys(("domain", "original_domain"), domain))
            made = self.expanded(asked)
            if made is None:
                raise self._cannot_tell(items, asked)
            text = made
        negated = False
        for item in items_of(text):
            name = item.lstrip("! ")
            negated = item.startswith("!")
            own = self._lists.get(name[1:]) if name.startswith("+") else None
            if own == NOT_SHOWN:
                found = self._hidden(domain, name)
            elif own is not None and self._varies(own):
                found = self._in_list(domain, own)
            elif re.fullmatch(r"[\w.-]+", name):
                found = name.lower() == domain.lower()
            else:
                found = self._one(_match("domain", domain, name.replace(":", "::")), name)
            if found:
                return not negated
        for unknown in varying(asked):
            raise UserError(f"what is in a list ({kinds(items)}) depends on ${unknown}, which no question to Exim has")
        return negated

    def _hidden(self, domain: str, name: str) -> bool:
        """Whether a domain is in a list that Exim does not show: a yes is one, a no may come from a variable in it."""
        if self._one(_match("domain", domain, name), name):
            return True
        raise UserError(f"only Exim knows what is in the list {name[1:]}, which is hidden")

    def stale(self, kind: str, path: str) -> str:
        """Why a table cannot be what its source says; empty where it can, or where Exim reads the source itself."""
        if not kind.startswith(COMPILED):
            return ""
        compiled, source = self.host.stat(path), self.host.stat(source_of(path))
        if not compiled:
            return f"{path} is missing"
        newer = source and source.mtime > compiled.mtime
        return (
            f"{path} is older than {source_of(path)}, so that Exim does not know what the file says now"
            if newer
            else ""
        )

    def source(self, path: str) -> Source | None:
        """The text of a table; None where it cannot be read."""
        if path not in self._sources:
            try:
                self._sources[path] = Source(path, self.host.read(path))
            except OSError:
                self._sources[path] = None
        return self._sources[path]

    def include(self, node: Include) -> Step:
        """What follows an ``:include:`` file."""
        text, problems = include(self.host, node.path, node.reader, node.via)
        if problems:
            return stopped(str(node), problems)
        case = Case(node.router, node.address, self._values(node.address, node.router) or {}, node.reader)
        places, problems = members(node.path, redirections(text))
        if not places:
            return Step((), (), (_nothing(str(node), node.path),))
        step = self._members(case, node, [(via, item) for item, via in places.items()])
        return replace(step, problems=problems + step.problems)

    def _cases(self, address: Address) -> Iterator[Case]:
        for router in self._routers:
            values = self._values(address, router)
            if values is None or SKIPPED & router.flags:
                continue
            account = self._account(values["local_part"])
            if account is None and "check_local_user" in router.flags:
                continue
            wants = account if "check_local_user" in router.flags else None
            yield Case(router, address, {**values, "home": account.home if account else ""}, wants)

    def _values(self, address: Address, router: Driver) -> dict[str, str] | None:
        local, _sign, domain = address.text.rpartition("@")
        parts = affixes(local, router)
        if parts is None:
            return None
        return {
            **dict.fromkeys(("local_part", "local_part_data"), parts[1]),
            **dict.fromkeys(("domain", "domain_data", "original_domain"), domain),
            "original_local_part": local,
            "local_part_prefix": parts[0],
            "local_part_suffix": parts[2],
        }

    def _wanted(self, case: Case) -> list[str]:
        """All that has to be expanded to say what a router does: one process answers for all routers."""
        values, router = case.values, case.router
        domains = router.get("domains")
        conditions = [
            "" if self._varies(domains) else _match("domain", values["domain"], domains),
            _match("local_part", values["local_part"], router.get("local_parts")),
        ]
        strings = [filled(router.get(name), values) for name in ("data", "file", "route_data")]
        return [text for text in (*conditions, *self._conditions(case), *strings) if text]

    def _conditions(self, case: Case) -> list[str]:
        condition = case.router.get("condition")
        return [f"${{if bool_lax{{{filled(condition, case.values)}}}{{1}}{{0}}}}"] if condition else []

    def _applies(self, case: Case) -> bool:
        router, values = case.router, case.values
        return (
            all(
                not router.get(option) or self.matches(what, values[what], router.get(option))
                for option, what in (("domains", "domain"), ("local_parts", "local_part"))
            )
            and all(self.expand(text) == "1" for text in self._conditions(case))
            and self._there(filled(item, values) for item in items_of(router.get("require_files")))
        )

    def _there(self, items: Iterable[str]) -> bool:
        """The items of require_files: paths, and before them the account as whom Exim looks for them."""
        account = None
        for item in items:
            text = self.expand(item) or ""
            found = re.search(r"(!?)\+?(/.*)$", text)
            if not found:
                account = self._account(text.partition(",")[0]) or account
            elif (self._stat_as(found.group(2), account) is not None) == bool(found.group(1)):
                return False
        return True

    def _redirect(self, case: Case) -> tuple[Step | None, str]:
        """What a redirect router leads to, None where it declines; and where an entry stands that says nothing."""
        listed = self._listed(case)
        problems = (listed.problem,) if listed.problem else ()
        if listed.members:
            step = self._members(case, case.address, listed.members)
            return replace(step, problems=problems + step.problems), ""
        if listed.problem and listed.problem.verdict == INCONCLUSIVE:
            return Step((), (), problems), ""
        if listed.problem:
            end = "error" if listed.problem.verdict == FAIL else "pipe"
            where = listed.problem.where
            return Step((), (Destination(end, where, where),), problems), ""
        return None, listed.blank

    def _listed(self, case: Case) -> Listed:
        """The items that a redirect router finds for an address."""
        router = case.router
        if router.get("file"):
            return self._forward(case)
        text = self.expand(filled(router.get("data"), case.values))
        via, entry = self._via(case)
        if text is None:
            message = f"Exim's router {router.name} cannot read what it looks up"
            return Listed([], Problem("R10", FAIL, message, via, f"mend the data of {router.name}, or what it reads"))
        stale = next(filter(None, (self.stale(*table) for table in lookups(router.get("data")))), "")
        found = [(via, item) for _line, item in redirections(text)]
        if stale:
            return Listed(found, Problem("R10", FAIL, stale, via, "compile it again with exim_dbmbuild, or cdb"))
        return Listed(found, blank=via if entry and not found else "")

    def _forward(self, case: Case) -> Listed:
        path = self.expand(filled(case.router.get("file"), case.values))
        if not path:
            return Listed([])
        reader = self._reader(case)
        found = forward(self.host, path, reader, follow=True)
        if not found.content:
            passed_over = not found.why or (found.denied and "ignore_eacces" in case.router.flags)
            return Listed([], None if passed_over else _unread(path, found, reader))
        text = found.content.text
        if re.match(r"#\s*(exim|sieve) filter", text, re.IGNORECASE):
            message = f"{path} is a filter, and what it does with a message cannot be told beforehand"
            return Listed([], Problem("R5", WARN, message, path, "write addresses into it"))
        places, problems = members(path, redirections(text))
        return Listed([(via, item) for item, via in places.items()], next(iter(problems), None))

    def _via(self, case: Case) -> tuple[str, bool]:
        """Where the entry stands that a router finds; and whether there is one at all."""
        values = case.values
        local, domain = values["local_part"], values["domain"]
        names = [local + values["local_part_suffix"], local]
        keys = dict.fromkeys([*(f"{name}@{domain}" for name in names), *names, "@" + domain, domain])
        for _kind, path in lookups(case.router.get("data")):
            source = self.source(path)
            for key in keys:
                entry = source.entry(key) if source else None
                if entry:
                    return f"{path}:{entry.line}", True
        return f"router {case.router.name}", False

    def _members(self, case: Case, node: Address | Include, listed: Sequence[tuple[str, str]]) -> Step:
        edges: list[Edge] = []
        ends: list[Destination] = []
        problems: list[Problem] = []
        for via, item in listed:
            special = re.match(r":(\w+):\s*(.*)", item)
            if special and special.group(1).lower() == "include":
                edges.append(
                    Edge(node, Include(special.group(2), case.address, case.router, self._reader(case), via), via)
                )
            elif special and special.group(1).lower() == "blackhole":
                ends.append(Destination("null", ":blackhole:", via))
            elif special:
                ends.append(Destination("error", item, via))
                problems.append(
                    Problem("R3", FAIL, f"Exim is told to refuse the mail: {item}", via, "name a person there")
                )
            elif item.startswith("|") or (item.startswith("/") and "@" not in item):
                end, wrong = self._file_or_program(case, item, via)
                ends.append(end)
                problems += wrong
            elif CONTROL.search(item):
                ends.append(Destination("error", item, via))
                message = f"{item} has a control character in it, and is no address"
                problems.append(Problem("R3", FAIL, message, via, "write the address without it"))
            else:
                self._onward(case, node, item, via, edges, problems)
        if len(edges) > 1:
            self.warm([edge.target for edge in edges if isinstance(edge.target, Address)])
        return Step(tuple(edges), tuple(ends), tuple(problems))

    def _onward(
        self, case: Case, node: Address | Include, item: str, via: str, edges: list[Edge], problems: list[Problem]
    ) -> None:
        """The address that a member stands for."""
        local, domain = split(item.removeprefix("\\"))
        own = case.values["domain"] if self._keeps_domain(case.router) or item.startswith("\\") else ""
        domain = domain or own or case.router.get("qualify_domain") or self._settings["qualify_recipient"]
        line = (*case.address.line, case.address.text)
        target = Address(f"{local}@{domain.lower()}", line=line)
        if target.text in line and not case.address.again and self.ways_out(target):
            target = replace(target, again=True)
        elif target.text == case.address.text and isinstance(node, Address):
            problems.append(_nothing(target.text, via))
            return
        edges.append(Edge(node, target, via))

    def _keeps_domain(self, router: Driver) -> bool:
        return "qualify_preserve_domain" in router.flags

    def _reader(self, case: Case) -> Account | None:
        name = case.router.get("user") or (case.account.name if case.account else "")
        return self._account(name) if name else None

    def _file_or_program(self, case: Case, item: str, via: str) -> tuple[Destination, list[Problem]]:
        kind, what = ("pipe", "program") if item.startswith("|") else ("file", "file")
        option = "directory_transport" if item.endswith("/") else f"{kind}_transport"
        account = self._reader(case)
        transport = self._transports.get(case.router.get(option), Driver(""))
        name = transport.get("user") or (account.name if account else "root")
        if item == "/dev/null":
            return Destination("null", item, via, name), []
        if "forbid_" + kind in case.router.flags or not case.router.get(option):
            row = "R5" if kind == "pipe" else "R3"
            message = f"Exim's router {case.router.name} delivers to no {what}: {item}"
            return Destination("error", item, via), [
                Problem(row, FAIL, message, via, f"set {option}, or name an account")
            ]
        root = self._account(case.values["local_part"])
        if kind == "file" and root and root.uid == 0:  # the mail of root, whom Exim delivers nothing as
            return Destination("mailbox", item, via, root.name), []
        return Destination(kind, item[1:].strip() if kind == "pipe" else item, via, name), []

    def _routed(self, case: Case) -> Step | None:
        """What a router does that is no redirect; None where it declines."""
        driver, address = case.router.get("driver"), case.address
        via = f"router {case.router.name}"
        if driver == "accept":
            return Step((), (self._delivered(case, via),))
        if driver == "manualroute":
            next_hop = self._next_hop(case)
            return Step((), (self._sent(case, via, next_hop),)) if next_hop else None
        if driver == "dnslookup" and not case.values["domain"].startswith("["):  # a literal is no name
            return Step((), (Destination("remote", address.text, via, next_hop=case.values["domain"]),))
        if driver == "ipliteral" and case.values["domain"].startswith("["):
            return Step((), (Destination("remote", address.text, via, next_hop=case.values["domain"]),))
        return None

    def _next_hop(self, case: Case) -> str:
        hosts = self.expand(filled(case.router.get("route_data"), case.values)) if case.router.get("route_data") else ""
        for rule in items_of("<;" + case.router.get("route_list")):
            pattern, _blank, rest = rule.partition(" ")
            if not hosts and self.matches("domain", case.values["domain"], pattern):
                hosts = self.expand(filled(rest, case.values)) or ""
        quoted = re.match(r'\s*"([^"]*)"', hosts or "")
        first = next(iter(items_of(quoted.group(1) if quoted else (hosts or "").split(" ")[0])), "")
        return _host(first)

    def _delivered(self, case: Case, via: str) -> Destination:
        transport = self._transports.get(case.router.get("transport"), Driver(""))
        name = case.values["local_part"]
        driver = transport.get("driver")
        if driver == "appendfile":
            file = self.expand(filled(transport.get("file"), case.values)) or ""
            folder = self.expand(filled(transport.get("directory"), case.values)) or ""
            return Destination("mailbox", file or folder.rstrip("/") + "/", via, name)
        if driver == "pipe":
            command = self.expand(filled(transport.get("command"), case.values)) or ""
            return Destination("pipe", command, via, name)
        if driver == "lmtp":
            way = transport.get("socket") or transport.get("command")
            return Destination("lmtp", self.expand(filled(way, case.values)) or transport.name, via)
        if driver == "smtp":
            hosts = self.expand(filled(transport.get("hosts"), case.values)) or ""
            return self._sent(case, via, _host(next(iter(items_of(hosts)), "")) or f"transport {transport.name}")
        return Destination("remote", case.address.text, via, next_hop=f"transport {transport.name}")

    def _sent(self, case: Case, via: str, next_hop: str) -> Destination:
        """Where an address ends that a transport gets which speaks SMTP or LMTP, at a port of its own."""
        transport = self._transports.get(case.router.get("transport"), Driver(""))
        port = self.expand(filled(transport.get("port"), case.values)) or ""
        port = PORTS.get(port, port) if port.isdigit() or port in PORTS else ""
        if port not in ("", "25") and not re.search(r":\d+$", next_hop.rpartition("]")[2]):
            next_hop += f":{port}"
        if transport.get("protocol") == "lmtp":
            return Destination("lmtp", next_hop, via)
        return Destination(
            "remote", case.address.text, via, next_hop=next_hop, login=self._logs_in(transport, next_hop)
        )

    def _logs_in(self, transport: Driver, next_hop: str) -> bool:
        """Whether a transport has a login for a host: its options name the host, or its address."""
        host = escaped(re.sub(r":\d+$", "", next_hop).strip("[]"))
        options = (transport.get(name) for name in ("hosts_require_auth", "hosts_try_auth"))
        return any(items_of(self.expand(HOST.sub(lambda _found: host, text)) or "") for text in options if text)

    def _nowhere(self, address: Address, blank: str) -> Step:
        if blank:
            return Step((), (), (_nothing(address.text, blank),))
        message = f"there is no mailbox {address.text}: no router of Exim takes it"
        remedy = "make it an account or an alias, or name another address where it stands"
        return Step((), (Destination("error", address.text),), (Problem("R3", FAIL, message, "", remedy),))

    def _expand(self, texts: Sequence[str]) -> None:
        wanted = [text for text in dict.fromkeys(texts) if text not in self._expanded]
        plain = [text for text in wanted if not re.search(r"[$\\\n]", text)]
        self._expanded.update({text: text for text in plain})
        asked = [text for text in wanted if text not in self._expanded]
        if not asked:
            return
        lines = {text: question(text) for text in asked}
        self._ask([text for text in asked if lines[text]], lines)
        self._expanded.update({text: None for text in asked if not lines[text]})

    def _ask(self, asked: Sequence[str], lines: Mapping[str, str], tries: int = 20) -> None:
        """Have Exim expand some texts, and once more those after the one that ended it."""
        if not asked:
            return
        # Everybody reads arguments in /proc, so that what is asked is none. A mark of our own, in a line by itself,
        # says where each answer ends, for one may have several lines.
        stdin = "".join(f"{lines[text]}\n{MARK}\n" for text in asked)
        done = self.host.ask(["exim4", "-be"], stdin=stdin, timeout=60.0)
        answers = done.out.split(f"{PROMPT}{MARK}\n")
        self._expanded.update(dict.fromkeys(asked))
        for text, answer in zip(asked, answers[:-1]):
            said = answer.removeprefix(PROMPT)
            failed = said.startswith("Failed: ")
            self._expanded[text] = None if failed else said.removesuffix("\n")
            if failed:
                self._failures[text] = said.removeprefix("Failed: ").strip()
        ended, rest = asked[len(answers) - 1 : len(answers)], asked[len(answers) :]
        self._failures.update(dict.fromkeys(ended, done.err.strip().rpartition("\n")[2] or "it gave no answer"))
        if tries:
            self._ask(rest, lines, tries - 1)


def _host(text: str) -> str:
    """An item of a list of hosts, as a next hop."""
    name, sign, port = text.rpartition(":") if re.search(r"(\]|^[^:]+):\d+$", text) else (text, "", "")
    name = name.strip("[]")
    return f"[{name}]{sign}{port}" if name else ""


def source_of(path: str) -> str:
    """The text that a table is compiled from, by the names that people give."""
    return re.sub(r"\.(db|cdb)$", "", path)


def _match(what: str, value: str, items: str) -> str:
    return f"${{if match_{what}{{{escaped(value)}}}{{{items}}}{{1}}{{0}}}}" if items else ""


def _unread(path: str, found: Forward, reader: Account | None) -> Problem:
    """What is wrong with a .forward file that is there, and cannot be read."""
    remedy = f"correct or remove {path}"
    if not found.seen:
        message = f"{path} was not read, so that nobody knows where the mail goes: it {found.why}"
        return Problem("R9", INCONCLUSIVE, message, path, remedy)
    name = reader.name if reader else "root"
    return Problem("R9", FAIL, f"Exim reads {path} as {name}, and defers the mail: it {found.why}", path, remedy)


def _nothing(name: str, where: str) -> Problem:
    return Problem("R2", FAIL, f"{name} leads to nothing but itself", where, "name a person's account there")
