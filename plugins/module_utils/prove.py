# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof of one mail host: the three layers, made on the host and put together."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from . import proof, stranger
from ._system.deadline import Deadline
from ._system.host import Host
from ._system.reader import Rights
from .checked import Checked, number, wait
from .mailbox.find import Search
from .mailbox.shares import Shares
from .mailbox.watched import Mailboxes
from .mta.present import KNOWN
from .mta.registry import adapter as adapter_for
from .mta.resolve import Unread, resolve
from .port_owner import LOOPBACK, Daemon, port_owner
from .requirements import ACCEPTS, LANDS, RESOLVES
from .smtp import names
from .smtp.callouts import Callouts
from .smtp.names import literal
from .smtp.probe import Options, hand_in, probe_each
from .transaction.crowd import STATES, Crowd
from .transaction.daemons import DAEMONS
from .unexpected import attempt
from .verdict import EXEMPT, FAIL, INCONCLUSIVE, SKIPPED, WARN, Check, add_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .aliases.expand import Destination
    from .mailbox.watched import Waiting
    from .mta.adapter import Adapter
    from .smtp.sending import Message

PORT = 25
ANYWHERE = ("*", "0.0.0.0", "::")
ROUND = 1.0  # seconds in which mail for this host should have arrived before the MTA is asked what became of it
SHORT, PAUSE = 0.02, 0.2  # seconds between two questions to the MTA: at first, and in the end
PATIENCE = 0.5  # seconds for one message to arrive before the next one is sent
LOOK = 0.005  # seconds between two looks at the mailbox that it comes to
SETTLED = ("bounced", "deferred")
FOR_SMTP = 0.5  # of the time that is left, for the dialogue: what was sent has to be found, too
STANDING = 2.0  # seconds after which what has not moved stands still
NOBODY = Rights(65534, 65534)  # Debian Policy 9.2.2
LOOK_BACK = 600.0  # seconds: messages of another host were sent before the proof began, and clocks differ


class HostProof:
    """What is known of the host while its proof is made; nothing is asked twice."""

    def __init__(self, params: Mapping[str, Any], check_mode: bool) -> None:
        self.since = time.time() - (LOOK_BACK if params["probe"] else 0)
        self.params = params
        self.send = params["send"] and not check_mode
        self.deadline = Deadline(params["deadline"])
        self.host = Host(self.deadline)
        self.mta: Adapter = adapter_for(self.host, params["mta"])
        served = self.mta.served()
        self.kinds = {
            **dict.fromkeys(served.relay, "relay"),
            **dict.fromkeys(served.virtual, "virtual"),
            **dict.fromkeys((*served.local, served.hostname), "local"),
        }
        named = params["domains"]
        known = dict.fromkeys((*served.local, served.hostname, *served.virtual, *served.relay))
        self.domains = named or [name for name in known if "." in name]
        self.unlisted = [] if named else list(served.unlisted)
        self.doubts: dict[str, str] = {}
        for name in [name for name in named if name not in self.kinds]:
            self.kinds[name] = attempt(partial(self.mta.kind_of, name), partial(self._doubt, name))
        self.unsayable = {name: why for name in self.domains for why in _unsayable(name)}
        self.own = [] if params["probe"] else [(address, PORT) for address in self._addresses()]
        self._callouts = Callouts(served.hostname, self.deadline)
        self.mailboxes = Mailboxes(self.deadline, headers=False)
        self._shares = Shares(self.mailboxes.unread)
        self._expansions: dict[str, dict[str, Any]] = {}
        self._fates: dict[str, proof.HandedOn] = {}
        self._marks: dict[str, list[int]] = {}
        self._cut: set[str] = set()  # tokens that were still looked for when the time was over
        self.unseen: Mapping[str, str] = {}
        self._wanted: dict[str, list[str]] = {}  # by mailbox, the tokens that have to be there

    def _doubt(self, name: str, reason: str) -> str:
        self.doubts[name] = reason
        return "unknown"

    def expect(self) -> None:
        """What is about to be asked of the MTA's tables is asked at once."""
        literals = [literal(address) for address, _port in self.own] or _literals(self.params["probe"])
        places = proof.places(self.domains, self.kinds, literals)
        roles = ("postmaster", *self.params["role_addresses"])
        self.mta.expect([place.address(role) for place in places for role in roles])

    def expansion(self, address: str) -> dict[str, Any]:
        if address not in self._expansions:
            allowed = self.params["allowed_accounts"]
            days = self.params["unread_days"]
            unread = Unread(days, partial(self._waits, address)) if days else None
            found = resolve(self.host, self.mta, address, allowed, self._callouts, unread)
            for end in found.destinations:
                self._name(end)
            self._expansions[address] = found.as_dict()
        return self._expansions[address]

    def _waits(self, address: str, end: Destination) -> Waiting:
        self._name(end)
        return self._shares.unread(address, end.value)

    def _name(self, end: Destination) -> None:
        """Look at a file that somebody names with the rights of the account as which the MTA writes it: it may be any
        file of root's. The paths of mailboxes are settings of the MTA's."""
        rights = self._rights(end.account) if end.kind == "file" and end.account else None
        self.mailboxes.named(end.value, rights)

    def _rights(self, name: str) -> Rights | None:
        """Those of an account that is not root, which Exim may know by its number; of none that is known: nobody's."""
        account = self.host.account(name) or (self.host.account_of(int(name)) if name.isdecimal() else None)
        if account is None:
            return NOBODY
        return Rights.of(account) if account.uid else None

    def _boxes(self, address: str) -> list[str]:
        """The mailboxes of an address that are looked at."""
        return self._shares.of(address, proof.wanted_mailboxes([self.expansion(address)]))

    def handed_on(self, message: Mapping[str, Any]) -> proof.HandedOn:
        if message["token"] in self._cut:
            return proof.HandedOn("unseen", f"the deadline of {self.deadline.seconds:g} s was over before it was found")
        return self._fates.get(message["token"]) or self._ask_fate(message)

    def _ask_fate(self, message: Mapping[str, Any]) -> proof.HandedOn:
        return attempt(
            lambda: self.mta.handed_on(message["text"], self.since), lambda reason: proof.HandedOn("unseen", reason)
        )

    def moving(self) -> Check:
        """Row D10: whether all that works on the queue is free to do so. What stands still for a moment is: a restart
        stops some of it, and so may a person who looks at it."""
        still, end = _standing(self.host, self.mta), time.monotonic() + STANDING
        while any(still) and time.monotonic() < end:
            self.deadline.keep("the look at what does not move")
            time.sleep(PAUSE)
            still = [before & now for before, now in zip(still, _standing(self.host, self.mta))]
        return proof.moving(*map(sorted, still))

    def listens(self) -> Check:
        """Row L1."""
        known = DAEMONS.get(self.mta.name)
        # nobody but root is sure to see the processes of others
        running = not known or os.geteuid() != 0 or bool(known.among(self.host.processes(known.accounts)))
        asked = {server["port"] for server in self.params["probe"]}
        heard = any(check["code"] for server in self.params["probe"] for check in server["checks"])
        return port_owner(
            Daemon(self.mta.name, self.mta.listeners(), running, KNOWN[self.mta.name].processes if known else ()),
            asked or {PORT},
            self.host.listeners(),
            needed=not self.params["exempt"],
            heard=heard if asked else None,
        )

    def _addresses(self) -> list[str]:
        """The host's own addresses at which its MTA listens, but not those that no other host reaches."""
        listening = self._listening()
        addresses = self.host.addresses() if any(address in ANYWHERE for address in listening) else listening
        return [address for address in addresses if not address.startswith(LOOPBACK)]

    def _listening(self) -> list[str]:
        return [address for address, port in self.mta.listeners() if port == PORT]

    def alone(self, checks: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the server listens to its own host and to nobody else; what answered says that it does not."""
        if any(check["code"] for check in checks):
            return False
        listening = self._listening()
        return bool(listening) and all(address.startswith(LOOPBACK) for address in listening)

    def crowd(self, checks: Sequence[Mapping[str, Any]]) -> list[str]:
        """Who holds the connections of a server that has greeted nobody else: a sentence, or none."""
        unheard = [check for check in checks if check["command"] == "connect" and check["verdict"] == INCONCLUSIVE]
        if not unheard:
            return []
        found = Crowd.at(PORT, self.host.tcp(*STATES), self.host.account_name)
        if not any(found.explains(check["code"], check["text"]) for check in unheard):
            return []
        return [f"Others hold the connections of the MTA: {found}. Prove it again when these connections have ended"]

    def _arrived(self, message: Message) -> None:
        """Wait until a message is there: two that meet at one mailbox cost the second one a second, for the lock."""
        address = self.address(vars(message))
        boxes = [] if proof.leaves(self.expansion(address)) else self._boxes(address)
        end = time.monotonic() + self.deadline.within(PATIENCE)
        state = self.mailboxes.state
        while any(state(box) == self._marks.get(box) for box in boxes) and time.monotonic() < end:
            time.sleep(LOOK)
        self._marks.update({box: state(box) for box in boxes})

    def servers(self) -> list[dict[str, Any]]:
        """What was seen from another host, or else what the host sees of itself through its own addresses."""
        if self.params["probe"]:
            return list(self.params["probe"])
        relayed = [name for name in self.domains if self.kinds.get(name) == "relay" and name not in self.unsayable]
        served = self._served()
        found = probe_each(self.own, served, relayed, (), self.params["role_addresses"], self._options(served))
        seen = [server.as_dict() for server in found]
        if self.mta.trusts_itself:
            seen = [{**server, "checks": proof.own_view(server["checks"])} for server in seen]
        return seen

    def handed_in(self) -> list[dict[str, Any]]:
        """Token messages as programs of the host send theirs: through the listener on loopback."""
        inward = next((address for address in self._listening() if address in (*ANYWHERE, "127.0.0.1", "::1")), "")
        if not self.send or not inward:
            return []
        address = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(inward, inward)
        served = self._served()
        return [dict(vars(message)) for message in hand_in(address, PORT, served, self._options(served))]

    def _served(self) -> list[str]:
        return [name for name in self.domains if self.kinds.get(name) != "relay" and name not in self.unsayable]

    def _options(self, served: Sequence[str]) -> Options:
        """How to send. Only what comes into the mailboxes from now on is looked at."""
        places = [*(proof.Place(name, "") for name in served), proof.Place(proof.BARE, "bare")]
        roles = ("postmaster", *self.params["role_addresses"])
        addresses = [place.address(role) for place in places for role in roles] if self.send else []
        boxes = dict.fromkeys(box for address in addresses for box in self._boxes(address))
        self._marks = {box: self.mailboxes.mark(box) for box in boxes}
        return Options(
            send=self.send,
            send_forms=self.params["send_forms"],
            sent=self._arrived,
            deadline=self.deadline.left * FOR_SMTP,
        )

    def found(self, messages: Sequence[Mapping[str, Any]]) -> Mapping[str, Mapping[str, proof.Found]]:
        """By token and mailbox, once all have arrived, or the MTA has said of the rest that they do not."""
        sent = {message["token"]: message for message in messages if 200 <= message["code"] < 300}
        ends = {token: self.expansion(self.address(message)) for token, message in sent.items()}
        boxes = {token: self._boxes(self.address(message)) for token, message in sent.items()}
        leaving = {token for token, expansion in ends.items() if proof.leaves(expansion)}
        begun = time.time()
        wanted = self._wanted
        for token, found in boxes.items():
            for box in found:
                wanted.setdefault(box, []).append(token)
        since = min([self.since, *(float(message["sent"]) for message in sent.values())])
        search = Search(wanted, self.mailboxes, since - LOOK_BACK)

        def late(hits: Mapping[str, Mapping[str, proof.Found]]) -> set[str]:
            """Tokens that are not in every mailbox, or not with the next hop, and of which that may yet change."""
            return {
                token
                for token, found in boxes.items()
                if self._fate(token) not in SETTLED
                and (any(box not in hits.get(token, {}) for box in found) or self._left(token, leaving))
            }

        end = time.monotonic() + self.deadline.within(self.params["timeout"])
        hits = search.wait(self.deadline.within(ROUND), lambda hits: not late(hits) - leaving)
        pause = SHORT
        while late(hits) and time.monotonic() < end:
            for token in late(hits):
                self._fates[token] = self._ask_fate(sent[token])
            hits = search.wait(pause if late(hits) else 0, lambda hits: not late(hits))
            pause = min(2 * pause, PAUSE)
        self._cut = late(hits) if self.deadline.over else set()
        self.unseen = {**self._shares.left_out, **search.reasons}
        return {
            token: {box: replace(hit, seconds=_since(sent[token], begun + hit.seconds)) for box, hit in found.items()}
            for token, found in hits.items()
        }

    def remove(self) -> dict[str, Any]:
        """Remove the token messages that were found; how many, and why others are left."""
        done = [self.mailboxes.remove(box, tokens) for box, tokens in self._wanted.items()]
        return {
            "messages_removed": sum(removed for removed, _left in done),
            "messages_left": [left for _removed, left in done if left],
        }

    def _fate(self, token: str) -> str:
        return self._fates[token].state if token in self._fates else ""

    def _left(self, token: str, leaving: set[str]) -> bool:
        """Whether the next hop has still to say that it took the message."""
        return token in leaving and self._fate(token) != "sent"

    def address(self, message: Mapping[str, Any]) -> str:
        """The plain address behind the recipient of a message."""
        role, domain = proof.role_of(message["recipient"]), message["domain"]
        return f"{role}@{domain}" if domain else role


def _standing(host: Host, mta: Adapter) -> list[set[str]]:
    """The processes of an MTA that are stopped now, and what it says is paused."""
    daemon = DAEMONS.get(mta.name)
    everything = host.processes(daemon.accounts if daemon else ())
    found = daemon.family(daemon.among(everything), everything) if daemon else []
    return [{str(one) for one in found if one.stopped}, set(mta.paused())]


def _literals(servers: Sequence[Mapping[str, Any]]) -> list[str]:
    """The address literals that some servers were asked about."""
    asked = [item["domain"] for server in servers for item in (*server["checks"], *server["messages"])]
    return sorted({domain for domain in asked if domain.startswith("[")})


def _since(message: Mapping[str, Any], found: float) -> float:
    """Seconds from the server's yes to the look that found the message; two hosts' clocks may differ a little."""
    return max(0.0, round(found - float(message["sent"]), 2))


def _unsayable(name: str) -> Iterator[str]:
    """Why no SMTP server can be asked about a domain, where that is so."""
    try:
        if names.domain(name) != name.lower():
            yield f"{name} is not in the form that SMTP sends: {names.domain(name)}"
    except ValueError as error:
        yield f"{name!r} is not {error}"


def prove(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Prove the domains of ``params``, by the options of postmaster_check, and return its result.

    Whatever goes wrong is inconclusive for the part that it befell: an address, a server, a layer of a domain. Raises
    UserError where the options are wrong.
    """
    options = _checked(params)
    return attempt(lambda: _prove(options, check_mode), _not_proven)


def _checked(params: Mapping[str, Any]) -> dict[str, Any]:
    """The options in canonical form."""
    note = Checked(params)
    found = {
        "domains": note.each("domains", names.domain),
        "role_addresses": note.each("role_addresses", names.local_part, most=100),
        "timeout": note.one("timeout", wait),
        "unread_days": note.one("unread_days", number(0, 100_000)),
    }
    note.settle()
    return {**params, **found, "probe": stranger.servers(params["probe"])}


def _not_proven(reason: str) -> dict[str, Any]:
    """The result where there is none, not even in part."""
    summary = f"Mail for postmaster is not proven: {reason}"
    known = {"verdict": INCONCLUSIVE, "summary": summary, "findings": [reason], "limitations": [], "unlisted": []}
    return {**known, "domains": [], "stranger": False, "mta": "", "version": "", "failed": True, "msg": reason}


def _prove(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    host = HostProof(params, check_mode)
    try:
        return _proven(host, params)
    finally:
        attempt(host.mailboxes.close, lambda _reason: None)  # what ends that early does not cost the proof


def _proven(host: HostProof, params: Mapping[str, Any]) -> dict[str, Any]:
    attempt(host.expect, lambda _reason: None)  # what cannot be asked at once is asked one by one
    layers = params["layers"]
    looked = bool({ACCEPTS, LANDS} & set(layers))
    servers, unasked = attempt(lambda: (host.servers() if looked else [], ""), lambda reason: ([], reason))
    checks = [check for server in servers for check in server["checks"]]
    messages = [message for server in servers for message in server["messages"]]
    places = proof.places(host.domains, host.kinds, _literals(servers), host.doubts)
    exempt = bool(servers) and all(server["exempt"] for server in servers)
    if looked and not unasked and attempt(lambda: host.alone(checks), lambda _reason: False):
        exempt, checks = True, proof.unheard(places)
    if exempt and not params["exempt"]:
        checks = proof.not_exempt(checks)
    if exempt:
        messages, unasked = attempt(
            lambda: (host.handed_in() if LANDS in layers else [], unasked), lambda reason: ([], reason)
        )

    listens = attempt(
        lambda: [host.listens()] if looked else [],
        lambda reason: [Check("L1", INCONCLUSIVE, f"port {PORT}", message=reason)],
    )
    roles = params["role_addresses"]
    resolved = {
        place: attempt(partial(proof.resolves, place, roles, host.expansion), partial(proof.not_seen, RESOLVES))
        for place in places
    }
    found, lost = attempt(lambda: (host.found(messages) if LANDS in layers else {}, ""), lambda reason: ({}, reason))
    queue = attempt(
        lambda: [host.moving()] if LANDS in layers else [],
        lambda reason: [Check("D10", INCONCLUSIVE, proof.QUEUE, message=reason)],
    )
    asked, sent = _by_domain(checks), _by_domain(messages)

    def accepts(place: proof.Place) -> dict[str, Any]:
        reason = unasked or host.unsayable.get(place.name)
        if reason:
            return proof.with_checks(proof.not_seen(ACCEPTS, reason), listens)
        made = proof.accepts(place, asked.get(place.domain, ()), () if params["strict"] else host.mta.limits)
        return proof.with_checks(made, listens)

    def lands(place: proof.Place) -> dict[str, Any]:
        mine = sent.get(place.domain, ())
        if unasked or (lost and mine):
            return proof.with_checks(proof.not_seen(LANDS, unasked or lost), queue)
        made = proof.lands(place, mine, host.expansion, found, host.handed_on, host.unseen, queue)
        return {**made, "verdict": EXEMPT} if exempt and made["verdict"] == SKIPPED else made

    def judged() -> tuple[list[dict[str, Any]], str, str, list[str]]:
        domains = []
        for place in places:
            made = {
                RESOLVES: resolved[place],
                ACCEPTS: attempt(partial(accepts, place), partial(proof.not_seen, ACCEPTS)),
                LANDS: attempt(partial(lands, place), partial(proof.not_seen, LANDS)),
            }
            domains.append(proof.domain_result(place, {layer: made[layer] for layer in layers}))
        verdict = add_up([*(domain["verdict"] for domain in domains), *([INCONCLUSIVE] if host.unlisted else [])])
        summary = proof.summary(verdict, domains, bool(params["probe"]), host.unlisted)
        return domains, verdict, summary, [*proof.findings(domains), *map(proof.unlisted_words, host.unlisted)]

    # An alarm of the deadline may ring in the middle of this: then it is done once more, before the next one rings.
    domains, verdict, summary, findings = attempt(judged, lambda _reason: judged())
    failed = verdict == FAIL and not params["report_only"]
    removed = attempt(host.remove, _all_left) if params["remove_messages"] else {}
    return {
        "verdict": verdict,
        "summary": summary,
        "findings": findings,
        "limitations": proof.limitations(domains),
        "unlisted": host.unlisted,
        "stranger": bool(params["probe"]),
        "mta": host.mta.name,
        "version": attempt(host.mta.version, lambda _reason: ""),
        "domains": domains,
        **removed,
        "warnings": [
            *([summary] if verdict in (FAIL, INCONCLUSIVE, WARN) and not failed else []),
            *attempt(lambda: host.crowd(checks), lambda _reason: []),
            *(f"Token messages were not removed: {left}" for left in removed.get("messages_left", [])),
        ],
        **({"failed": True, "msg": "\n".join([summary, *findings])} if failed else {}),
    }


def _all_left(reason: str) -> dict[str, Any]:
    return {"messages_removed": 0, "messages_left": [reason]}


def _by_domain(items: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        found.setdefault(item["domain"], []).append(item)
    return found
