# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof: what was resolved, what the server answered and what was found, added up for each domain. Pure.

Everything comes in as data or as a function, so that each of the three layers can be made on its own.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from .requirements import ACCEPTS, LANDS, RESOLVES
from .smtp.reply import for_good
from .verdict import EXEMPT, FAIL, INCONCLUSIVE, ORDER, PASS, SKIPPED, WARN, Check, add_up, weigh

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

BARE = "(no domain)"
QUIET = (PASS, EXEMPT, SKIPPED)  # what nobody has to look at
NO_OBJECTION = "Nothing speaks against mail for postmaster"
EXEMPTION = "The host takes no mail from others, and is exempt (RFC 5321 section 4.5.1); "
RELAYING = ("N1", "N4", "A15")  # what a client may do that the MTA trusts
PARTS = {RESOLVES: "addresses", ACCEPTS: "checks", LANDS: "messages"}  # of which a layer consists
WAITING = ("deferred", "queued", "unseen")  # states in which a message may arrive yet, or may have
PASSING = re.compile(r"\b(dot)?lock|busy|retry time", re.IGNORECASE)  # of a mailbox that can be used later
QUEUE = "the queue"
NOT_ACCEPTED = "not accepted: "  # of a message, before what the server has answered
PROVEN = ("mailbox", "file", "remote", "lmtp")
TAKEN = ("remote", "lmtp")  # ends at a server that says of each message whether it takes it
LOGGED = (*TAKEN, "pipe")  # ends of which the MTA alone knows what became of a message


@dataclass(frozen=True)
class Place:
    """A domain that is served, the bare form or a literal.

    ``kind``: local, virtual, relay, bare, literal, none, or unknown, and ``doubt`` is why it is not known.
    """

    name: str
    kind: str
    doubt: str = ""

    def address(self, local_part: str) -> str:
        return local_part if self.kind == "bare" else f"{local_part}@{self.name}"

    @property
    def domain(self) -> str:
        """How a check or message names this place."""
        return "" if self.kind == "bare" else self.name


@dataclass(frozen=True)
class Found:
    """How often a token is in a mailbox, and how long that took, in seconds."""

    count: int
    seconds: float
    headers: Mapping[str, Any]


@dataclass(frozen=True)
class Limit:
    """What no setting of an MTA can mend: the row of the catalogue, the command and the reply that show it (regular
    expressions), and the reason. The check still says ``fail``, and its domain passes: nobody can do anything about it.
    """

    id: str
    command: str
    reply: str
    reason: str

    def explains(self, check: Mapping[str, Any]) -> bool:
        reply = "{code} {text}".format(**check)
        shown = re.search(self.command, check["command"]) and re.match(self.reply, reply)
        return check["id"] == self.id and bool(shown)


@dataclass(frozen=True)
class HandedOn:
    """What became of a message that left for another host, or did not arrive: ``state`` and the MTA's words.

    ``state`` is sent, deferred, bounced, queued or unknown; or unseen, where the MTA could not be asked.
    """

    state: str
    text: str


def places(
    domains: Sequence[str], kinds: Mapping[str, str], literals: Sequence[str], doubts: Mapping[str, str] | None = None
) -> list[Place]:
    """What is proven, in the order in which a person expects it; a domain that is not served has the kind ``none``."""
    return [
        *(Place(name, kinds.get(name, "none"), (doubts or {}).get(name, "")) for name in domains),
        *(Place(literal, "literal") for literal in literals),
        Place(BARE, "bare"),
    ]


def resolves(place: Place, roles: Sequence[str], resolve: Callable[[str], Mapping[str, Any]]) -> dict[str, Any]:
    """The expansions of postmaster and of the other role addresses at one place."""
    expansions = [dict(resolve(place.address(role))) for role in ("postmaster", *roles)]
    first, others = expansions[0], expansions[1:]
    if place.kind == "none":
        problem = {
            "id": "R3",
            "verdict": FAIL,
            "message": f"the MTA does not serve {place.name}",
            "where": "",
            "remedy": "add it to the domains of the MTA, or leave it out of the proof",
        }
        first.update(verdict=FAIL, problems=[problem, *first["problems"]])
    if place.doubt:
        problem = {
            "id": "R10",
            "verdict": INCONCLUSIVE,
            "message": f"whether the MTA serves {place.name} is not known: {place.doubt}",
            "where": "",
            "remedy": "prove it again when the MTA can read its tables",
        }
        doubtful = add_up([INCONCLUSIVE, first["verdict"]])
        first.update(verdict=doubtful, problems=[problem, *first["problems"]])
    for other in others:
        if other["verdict"] == FAIL:
            reasons = "; ".join(problem["message"] for problem in other["problems"])
            problem = {
                "id": "R11",
                "verdict": FAIL,
                "message": "{} does not reach a person: {}".format(other["address"], reasons),
                "where": "",
                "remedy": "",
            }
            other.update(problems=[*other["problems"], problem], verdict=weigh("R11", FAIL))
    return {"verdict": add_up(item["verdict"] for item in expansions), "addresses": expansions}


def accepts(place: Place, checks: Iterable[Mapping[str, Any]], limits: Sequence[Limit] = ()) -> dict[str, Any]:
    """The checks that asked about one place; ``limit`` says why a failure is one that no setting can mend."""
    mine = [dict(check, limit=_limit(check, limits)) for check in checks if check["domain"] == place.domain]
    weights = [PASS if check["limit"] else weigh(check["id"], check["verdict"]) for check in mine]
    return {"verdict": add_up(weights), "checks": mine}


def not_seen(layer: str, reason: str) -> dict[str, Any]:
    """A layer at one place that could not be looked at, and why."""
    return {"verdict": INCONCLUSIVE, PARTS[layer]: [], "reason": reason}


def unheard(places: Iterable[Place]) -> list[dict[str, Any]]:
    """The checks of a server that listens to its own host alone: it serves nobody who could ask it for postmaster."""
    message = "the server listens on loopback alone, and takes mail from no other host"
    rows = {"bare": "A2", "literal": "A12"}
    return [
        Check(
            rows.get(place.kind, "A1"), EXEMPT, place.address("postmaster"), "connect", 0, "", message, "", place.domain
        ).as_dict()
        for place in places
    ]


def not_exempt(checks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The checks of a server that takes no mail where it is meant to: what would exempt another one is its failure."""
    words = {
        "verdict": FAIL,
        "message": "the host is meant to take mail, and takes none from others",
        "remedy": "let the MTA listen, and greet with 220, where other hosts can reach it",
    }
    return [{**check, **(words if check["verdict"] == EXEMPT else {})} for check in checks]


def own_view(checks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a host sees of an MTA that relays for its own host: it cannot tell that MTA from an open relay."""
    message = "the MTA relays for its own host: only another host can tell whether it does so for strangers"
    blind = {"verdict": SKIPPED, "message": message, "remedy": ""}
    return [{**check, **(blind if check["id"] in RELAYING and check["verdict"] == FAIL else {})} for check in checks]


def _limit(check: Mapping[str, Any], limits: Iterable[Limit]) -> str:
    return next((limit.reason for limit in limits if check["verdict"] == FAIL and limit.explains(check)), "")


def lands(
    place: Place,
    messages: Iterable[Mapping[str, Any]],
    expansion: Callable[[str], Mapping[str, Any]],
    found: Mapping[str, Mapping[str, Found]],
    handed_on: Callable[[Mapping[str, Any]], HandedOn],
    unseen: Mapping[str, str] | None = None,
    checks: Sequence[Check] = (),
) -> dict[str, Any]:
    """Rows D1, D8 and D9 for every token message to one place; ``found`` is by token and then by mailbox.

    ``unseen`` says of each mailbox that could not be looked at, or not as a whole, why. ``checks`` are of the queue:
    that nothing is wrong with it is no evidence that mail arrives.
    """
    judged, whole = [], []
    for message in messages:
        if message["domain"] == place.domain:
            known = expansion(place.address(role_of(message["recipient"])))
            hits = dict(found.get(message["token"], {}))
            if not message["sender"]:
                split = _split(message["token"], found)
                whole += [_whole(box, box in split) for box in hits if not box.endswith("/")]
                hits.update((box, replace(hits[box], count=1)) for box in split)
            judged.append(_judge(message, known, hits, handed_on, unseen or {}))
    made = {"verdict": add_up(item["verdict"] for item in judged), "messages": judged}
    return with_checks(made, [*whole, *checks])


def with_checks(made: Mapping[str, Any], checks: Sequence[Check]) -> dict[str, Any]:
    """A layer with checks of the host as a whole, which can only make it worse: of the queue, or of the listener."""
    verdicts = [made["verdict"], *(check.weight for check in checks if check.verdict not in (PASS, SKIPPED))]
    own = made.get("checks", ())
    return {**made, "verdict": add_up(verdicts), "checks": [*own, *(check.as_dict() for check in checks)]}


def _split(token: str, found: Mapping[str, Mapping[str, Found]]) -> set[str]:
    """The mailboxes that hold the message twice in whose body another one seems to begin, and each other one once."""
    others = [hits for other, hits in found.items() if other != token]
    twice = {box for box, hit in found.get(token, {}).items() if hit.count == 2}
    return {box for box in twice if all(hits[box].count == 1 for hits in others if box in hits)}


def _whole(box: str, split: bool) -> Check:
    """Row D9, for an mbox."""
    if not split:
        return Check("D9", PASS, box)
    message = f"in {box} a line of a body was taken for the beginning of another message, so that anybody can forge one"
    remedy = "let what delivers the mail quote lines that begin with From (in Sendmail: the mailer flag E)"
    return Check("D9", FAIL, box, message=message, remedy=remedy)


def moving(stopped: Sequence[str], paused: Sequence[str]) -> Check:
    """Row D10: the processes of the MTA that are stopped, and what it says is paused."""
    words = [f"{process} is stopped" for process in stopped] + [f"{name} is paused" for name in paused]
    if not words:
        return Check("D10", PASS, QUEUE)
    message = f"mail is accepted and not delivered: {'; '.join(words)}"
    ways = ["kill -CONT"] * bool(stopped) + ["smtpctl resume"] * bool(paused)
    remedy = f"let it go on ({', '.join(ways)}), or restart the MTA"
    return Check("D10", FAIL, QUEUE, message=message, remedy=remedy)


def role_of(recipient: str) -> str:
    """The local part behind any form of an address: quoted, escaped, in capitals, with a source route."""
    path = recipient.strip("<>")
    mailbox = path.partition(":")[2] if path.startswith("@") else path
    return mailbox.split("@")[0].replace("\\", "").strip('"').lower()


def leaves(expansion: Mapping[str, Any]) -> bool:
    """Whether mail goes on to another server, or to a program: where it is then is seen in the log alone."""
    return any(end["kind"] in LOGGED for end in expansion["destinations"])


def wanted_mailboxes(expansions: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every file or Maildir in which a message may have to be found."""
    ends = (end for expansion in expansions for end in expansion["destinations"])
    return list(dict.fromkeys(end["value"] for end in ends if end["kind"] in ("mailbox", "file")))


def _judge(
    message: Mapping[str, Any],
    expansion: Mapping[str, Any],
    found: Mapping[str, Found],
    handed_on: Callable[[Mapping[str, Any]], HandedOn],
    unseen: Mapping[str, str],
) -> dict[str, Any]:
    ends: Sequence[Mapping[str, Any]] = expansion["destinations"]
    boxes = [end["value"] for end in ends if end["kind"] in ("mailbox", "file")]
    hits = {box: found[box] for box in boxes if box in found}
    verdicts, words, remedies = [], [], []
    if not 200 <= message["code"] < 300:
        verdicts.append(FAIL if for_good(message["code"], message["text"]) else INCONCLUSIVE)
        words.append(NOT_ACCEPTED + (_reply(message) or "no reply"))
    else:
        for box in boxes:
            count = hits[box].count if box in hits else 0
            if count == 1:
                verdicts.append(PASS)
            elif count:
                verdicts.append(FAIL)
                words.append(f"{count} times in {box}")
                remedies.append(f"find the second way to {box} (an alias, a .forward, a filter), and remove it")
            else:
                fate = handed_on(message)
                stuck = _stuck(fate, ends)
                open_yet = fate.state in WAITING or (box in unseen and fate.state != "bounced")
                verdicts.append(INCONCLUSIVE if open_yet and not stuck else FAIL)
                words.append(unseen.get(box) or f"not in {box}: {fate.text or fate.state}")
                remedies.append(_remedy(fate, box, stuck))
        kinds = {end["kind"] for end in ends}
        fate = handed_on(message) if kinds & {*LOGGED} else HandedOn("unknown", "")
        if kinds & {*TAKEN} or fate.state in ("bounced", "deferred"):
            verdicts.append({"sent": PASS, "bounced": FAIL}.get(fate.state, INCONCLUSIVE))
            words.append(f"{fate.state}: {fate.text}")
        elif "pipe" in kinds and not kinds & {*PROVEN}:
            verdicts.append(INCONCLUSIVE)
            words.append("handed to a program, where it cannot be found again")
        if not ends and expansion["verdict"] == INCONCLUSIVE:
            verdicts.append(INCONCLUSIVE)
            words.append("accepted, and where it ends is not known")
        elif not any(end["kind"] in (*PROVEN, "pipe") for end in ends):
            verdicts.append(FAIL)
            words.append(f"accepted, and there is no mailbox at the end: {handed_on(message).text}")
    return {
        "id": "D1" if message["sender"] else "D8",
        "verdict": add_up(verdicts),
        "token": message["token"],
        "recipient": message["recipient"],
        "message": "; ".join(words),
        "remedy": "; ".join(dict.fromkeys(filter(None, remedies))),
        "mailboxes": sorted(hits),
        "count": sum(hit.count for hit in hits.values()),
        "seconds": max((hit.seconds for hit in hits.values()), default=None),
    }


def _stuck(fate: HandedOn, ends: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the MTA has tried to write into a mailbox, and could not; of other ends it may say that of those."""
    here = all(end["kind"] in ("mailbox", "file") for end in ends)
    return here and fate.state == "deferred" and not PASSING.search(fate.text)


def _remedy(fate: HandedOn, box: str, stuck: bool) -> str:
    """What can be done about a message that is not in a mailbox."""
    if stuck:
        return f"let the MTA write to {box} (owner, mode, room, quota), and flush the queue"
    if fate.state == "sent":
        return f"look where the MTA has put it (its log): that is not {box}, which its settings name"
    return "look at the queue, and prove it again when that is empty" if fate.state in ("queued", "deferred") else ""


def domain_result(place: Place, layers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One domain's verdict and evidence; a layer that was not asked for is ``skipped``."""
    parts = {layer: dict(layers.get(layer, {"verdict": SKIPPED})) for layer in (RESOLVES, ACCEPTS, LANDS)}
    verdict = add_up(part["verdict"] for part in parts.values())
    if verdict == PASS and parts[ACCEPTS]["verdict"] == EXEMPT:
        verdict = EXEMPT
    return {"domain": place.name, "kind": place.kind, "verdict": verdict, **parts}


class Finding(NamedTuple):
    """What something that is not in order counts for its domain, its row, and the line for the person who mends it.

    Of several with the same ``cause`` one line is enough. ``answer``: whether it is what was heard at the port.
    """

    weight: str
    row: str
    line: str
    cause: str = ""
    answer: bool = False


def findings(domains: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for everything that is not in order, for the person who has to mend it; the worst first.

    What does not answer does so to every question. And where another program has the port, what that one answers says
    nothing of the MTA (row L1).
    """
    found = sorted(
        (item for domain in domains for item in _findings(domain)), key=lambda item: ORDER.index(item.weight)
    )
    if any((item.row, item.weight) == ("L1", FAIL) for item in found):
        found = [item for item in found if not item.answer]
    first: dict[str, str] = {}
    for item in found:
        first.setdefault(item.cause or item.line, item.line)
    more = Counter(item.cause for item in found if item.cause)
    return [
        f"{line} ({more[key] - 1} more for the same reason)" if more[key] > 1 else line for key, line in first.items()
    ]


def _findings(domain: Mapping[str, Any]) -> Iterator[Finding]:
    for layer in PARTS:
        if domain[layer].get("reason"):
            line = f"{layer} inconclusive: {domain['domain']}: {domain[layer]['reason']}"
            yield Finding(INCONCLUSIVE, "", line)
    expansions = domain["resolves"].get("addresses", [])
    for number, expansion in enumerate(expansions):
        for problem in expansion["problems"]:
            row = "R11" if number else problem["id"]  # postmaster is the first
            weight = weigh(row, problem["verdict"])
            line = _finding(problem["id"], weight, expansion["address"], problem)
            yield Finding(weight, row, line, _broken(expansion) if problem["id"] == "R11" else _cause(problem))
    answers = domain["accepts"].get("checks", [])
    for check in [*answers, *domain["lands"].get("checks", [])]:
        if check["verdict"] not in QUIET and not check.get("limit"):
            answer = check in answers and check["id"] != "L1"
            unheard = check["verdict"] == INCONCLUSIVE and check["command"] == "connect"
            cause = "connect {code} {text}".format(**check) if unheard else ""
            weight = weigh(check["id"], check["verdict"])
            line = _finding(check["id"], weight, check["address"], _words(check))
            yield Finding(weight, check["id"], line, cause, answer)
    for message in domain["lands"].get("messages", []):
        if message["verdict"] not in QUIET:
            whence = "" if message["id"] == "D1" else " from the null sender"
            role = role_of(message["recipient"])
            broken = (_broken(expansion) for expansion in expansions if role_of(expansion["address"]) == role)
            cause = next(filter(None, broken), message["message"])
            line = _finding(message["id"], message["verdict"], message["recipient"] + whence, message)
            yield Finding(message["verdict"], message["id"], line, cause)


def _cause(problem: Mapping[str, Any]) -> str:
    """What is wrong, and where: the same for all addresses that lead there."""
    return "{id} {message} ({where})".format(**problem)


def _broken(expansion: Mapping[str, Any]) -> str:
    """The first cause for which mail to an address does not arrive; empty where none is seen."""
    return next((_cause(problem) for problem in expansion["problems"] if problem["verdict"] == FAIL), "")


def unlisted_words(table: str) -> str:
    """The finding on a table that may hold domains which nobody has proven."""
    told = f"the domains of {table} cannot be listed, and were not proven"
    return f"{INCONCLUSIVE}: {told}. To mend it: name them (verify_domains, or the option domains)"


def limitations(domains: Iterable[Mapping[str, Any]]) -> list[str]:
    """What does not count, for no setting of the MTA mends it: the rows, and the reasons."""
    checks = (check for domain in domains for check in domain["accepts"].get("checks", []))
    return sorted({f"{check['id']}: {check['limit']}" for check in checks if check.get("limit")})


def _words(check: Mapping[str, Any]) -> dict[str, Any]:
    """A check, with where it was made and what can be done about it."""
    found = dict(check)
    if check["command"]:
        reply = _reply(check)
        found["where"] = f"{check['command']} -> {reply}" if reply else check["command"]
    return found


def _reply(answer: Mapping[str, Any]) -> str:
    """The code and the text, as far as there are any."""
    return " ".join(str(part) for part in (answer["code"], answer["text"]) if part)


def _finding(row: str, weight: str, address: str, words: Mapping[str, Any]) -> str:
    text = ": ".join(part for part in (f"{row} {weight}", address, words["message"]) if part)
    if words.get("where"):
        text += " ({})".format(words["where"])
    return text + (". To mend it: {}".format(words["remedy"]) if words.get("remedy") else "")


def summary(verdict: str, domains: Sequence[Mapping[str, Any]], stranger: bool, unlisted: Sequence[str] = ()) -> str:
    """One sentence that a person can act on; it claims no more than what was looked at."""
    unseen = [
        layer for layer in (RESOLVES, ACCEPTS, LANDS) if all(domain[layer]["verdict"] == SKIPPED for domain in domains)
    ]
    notes = [] if stranger or ACCEPTS in unseen else ["seen from the host itself, which is not a stranger's view"]
    notes += [f"not looked at: {', '.join(unseen)}"] if unseen else []
    view = f" ({'; '.join(notes)})" if notes else ""
    fine = [domain for domain in domains if domain["verdict"] in (PASS, WARN, EXEMPT)]
    rest = [domain["domain"] for domain in domains if domain["verdict"] not in (PASS, WARN, EXEMPT)]
    if not rest and unlisted:
        told = f"{unlisted[0]} (and {len(unlisted) - 1} more)" if unlisted[1:] else unlisted[0]
        where = f"of {told}, which cannot be listed{view}"
        return f"Mail for postmaster is not proven at the domains {where}; name them, in verify_domains."
    if not rest:
        passed = ", ".join(domain["domain"] for domain in fine)
        landed = any(domain[LANDS]["verdict"] in (PASS, WARN) for domain in domains)
        claim = "Mail for postmaster reaches a person" if landed and not unseen else NO_OBJECTION
        if all(domain[ACCEPTS]["verdict"] == EXEMPT for domain in domains):
            claim = EXEMPTION + claim.replace("Mail", "its own mail").replace("Nothing", "nothing")
        return f"{claim} at all of {passed}{view}{_worst(domains, 'but ') if verdict == WARN else '.'}"
    names = set(rest)
    worst = _worst([domain for domain in domains if domain["domain"] in names], "")
    return f"Mail for postmaster is not proven at {', '.join(rest)}{view}{worst}"


def _worst(domains: Sequence[Mapping[str, Any]], joint: str) -> str:
    """The end of a summary: the worst finding, and how many more there are."""
    first, *others = findings(domains) or [""]
    more = f" (and {len(others)} more)" if others else ""
    return f"; {joint}{first}{more}" if first else "."
