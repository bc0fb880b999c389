# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SMTP dialogue as data: what a server is asked, and what its answers mean (layer "accepts"). Pure.

``plan`` turns the facts of a server into transactions of steps; a step is one command and the rule by which its reply
is judged. How the transactions share connections is decided while they run, for each server has its own limits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..requirements import REQUIREMENTS
from ..verdict import EXEMPT, FAIL, INCONCLUSIVE, PASS, SKIPPED, WARN, Check
from .reply import Answer, NoReply, for_good

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EVERY_SIZE = 65536  # octets of a message that every server takes (RFC 5321 section 4.5.3.1.7)
LONGEST_PATH = 256  # octets (RFC 5321 section 4.5.3.1.3)
HOMES = ("A1", "A2", "A6")  # the plain addresses, whose answers others are compared with
CLOSED = (554, 521)  # a greeting that says: no mail here, for anybody

# FAIL, unless the control step was answered with the same code: then the cause is not what this step asks about.
UNLIKE_CONTROL = "unlike control"

# By rule: verdicts by the longest matching prefix of the code (0: no reply); what is not listed is inconclusive.
ACCEPT = {"2": PASS, "5": UNLIKE_CONTROL}
RULES: dict[str, dict[str, str]] = {
    "accept": ACCEPT,
    "second": {**ACCEPT, "452": FAIL},
    "plain": {**ACCEPT, **dict.fromkeys(("500", "501", "502", "503", "504", "530"), FAIL)},
    "parse": {"2": PASS, "5": PASS, **dict.fromkeys(("500", "501", "502", "503", "504", "530", "555"), FAIL)},
    "refuse": {"2": UNLIKE_CONTROL, "4": PASS, "421": INCONCLUSIVE, "5": PASS},
    "relay": {"2": FAIL, "4": PASS, "421": INCONCLUSIVE, "452": INCONCLUSIVE, "5": PASS},
    "deny": {"2": FAIL, "5": PASS},
    "unknown": {"2": FAIL, "5": PASS},
    "any": dict.fromkeys("0245", SKIPPED),
}
# The same where it was the HELO or MAIL before the step that was refused: then nothing was seen to be turned away.
REFUSED_BEFORE = {**RULES, "second": ACCEPT, "parse": ACCEPT, "refuse": {}, "relay": {}, "unknown": {}}
# A sender that is refused relays nothing.
REFUSED_SENDER = {**REFUSED_BEFORE, "relay": dict.fromkeys(("501", "550", "551", "553", "554"), PASS)}
NEGATIVE = ("refuse", "relay", "deny", "unknown", "any")

# Of these rows many steps are one question: the first that is not in order stands for all of them.
FOLDED = ("A11",)
SIZE = re.compile("[0-9]{1,20}")  # RFC 1870 section 6.1; others than ASCII digits are no number to a server
HUNDRED = 100  # RFC 5321 section 4.5.3.1.8: so many recipients every server takes in one transaction

# A refusal that is the domain owner's own wish, by row.
LATITUDE = {"A7": re.compile(r"\bSPF\b|\b5\.7\.2[3-6]\b", re.IGNORECASE)}

# What a token message is sent to: one for each place, or every form that was accepted.
PLACES = ("A1", "A2", "A12")
LITERALS = ("A12",)
FROM_NOBODY = ("A2",)
LANDING = {"one": (), "all": (*PLACES, "A3", "A4", "A6", "R11")}

FINDINGS: dict[str, tuple[str, str]] = {
    "A1": ("mail for {address} is refused", "accept postmaster at {domain}: an alias, a virtual entry or an account"),
    "A2": ("mail for postmaster without a domain is refused", "take a bare <postmaster> for the local one"),
    "A3": ("postmaster is refused in this letter case", "compare the local part postmaster without regard to case"),
    "A4": ("postmaster is refused as a quoted string", "take quotes and backslashes off before comparing (4.1.2)"),
    "A5": ("a source route is a syntax error to this server", "parse the route and ignore it, or refuse it with 550"),
    "A6": ("mail from the null sender is refused, so bounces are lost", "accept MAIL FROM:<> for all recipients"),
    "A7": (
        "mail for {address} is refused{from_whom}",
        "refuse no sender only because its domain is one's own, or because it does not exist there",
    ),
    "A8": (
        "mail for {address} is refused where the sender's domain does not exist",
        "spare postmaster from what is asked of senders",
    ),
    "A11": ("{command} is answered with {code}", "take 100 recipients; refuse with 552 what is larger than SIZE says"),
    "A12": ("mail for postmaster at the address literal is refused", "count {domain} among the local domains"),
    "A14": ("port 25 demands STARTTLS or EHLO", "offer STARTTLS on port 25 without demanding it; take HELO"),
    "A15": (
        "{address} is taken without AUTH by the submission service",
        "demand AUTH there for all mail but postmaster's (RFC 6409 section 4.3)",
    ),
    "A16": ("VRFY postmaster is refused", "answer VRFY with 252 where it shall tell nothing"),
    "A17": (
        "SMTPUTF8 is offered, and {address} refused with it",
        "take mail for postmaster with SMTPUTF8, or offer none",
    ),
    "A18": (
        "STARTTLS is offered and does not work: {said}",
        "give the MTA a certificate, a key that it can read, and TLS 1.2 or later; or offer no STARTTLS",
    ),
    "A19": ("the certificate of the server {said}", "renew the certificate, for the name {name}"),
    "A20": ("a message of 64 KiB is refused with {code}", "take messages of 65536 octets and more"),
    "B5": (
        "{address} is refused, and the host's own bounces name that as theirs",
        "count the host's name among its domains",
    ),
    "N1": ("{address} is accepted{from_whom}: an open relay", "accept foreign domains from trusted networks only"),
    "N2": ("a made-up name without a domain is accepted", "refuse recipients that do not exist"),
    "N3": (
        "a made-up name at {domain} is accepted: what RCPT says of other addresses there tells nothing",
        "refuse recipients that do not exist, unless {domain} is a catch-all on purpose",
    ),
    "N4": (
        "{address} is accepted: mail for each subdomain of {domain} is relayed",
        "relay for {domain} alone (in Postfix parent_domain_matches_subdomains has relay_domains unless it is set)",
    ),
    "R11": ("mail for {address} is refused", "accept {address}: an alias, a virtual entry or an account"),
    "E1": ("the server greets with {code}, and then does not keep to it", "after 554 wait for QUIT, answer 503"),
}
REMEDIES = {530: "do not demand STARTTLS or AUTH on port 25 (RFC 3207 section 4)"}


@dataclass(frozen=True)
class Target:
    """What is known of a server: the domains that it serves and those that it relays, its own address literals in
    brackets, the role addresses besides postmaster, its own name and what it offers after EHLO; and how the probe
    introduces itself, with a ``bad_sender`` whose domain does not exist. ``limits``: whether to ask how much it takes,
    and from whom, which is the same at each address of one server."""

    served: tuple[str, ...] = ()
    relayed: tuple[str, ...] = ()
    literals: tuple[str, ...] = ()
    role_addresses: tuple[str, ...] = ("abuse",)
    name: str = ""
    extensions: Mapping[str, str] = field(default_factory=dict)
    foreign_domain: str = "foreign.invalid"
    helo: str = "localhost"
    sender: str = "postmaster@localhost"
    bad_sender: str = "probe@nonexistent.invalid"
    limits: bool = True


@dataclass(frozen=True)
class Step:
    """One command, and the row and rule by which its reply is judged. ``control`` is the step to compare it with, and
    ``sender`` the one that this is about, if it is about one."""

    check: str
    command: str
    address: str
    domain: str = ""
    rule: str = "accept"
    control: Step | None = None
    sender: str | None = None

    @property
    def from_whom(self) -> str:
        return "" if self.sender is None else f" from the sender <{self.sender}>"

    @property
    def negative(self) -> bool:
        return self.rule in NEGATIVE


@dataclass(frozen=True)
class Transaction:
    """Steps in one mail transaction, with the ``parameters`` of its MAIL; without a ``sender`` they stand outside."""

    steps: tuple[Step, ...]
    sender: str | None
    hello: str = "EHLO"
    parameters: str = ""

    @property
    def begins(self) -> bool:
        """Whether there is a MAIL in it."""
        return self.sender is not None or self.steps[0].command.startswith("MAIL ")


@dataclass(frozen=True)
class Heard:
    """The answer that settled a step, and the command that got it: the step's own, or one before it."""

    command: str
    answer: Answer


def rcpt(check: str, address: str, domain: str = "", rule: str = "accept", control: Step | None = None) -> Step:
    return Step(check, f"RCPT TO:<{address}>", address, domain, rule, control)


def plan(target: Target, nonce: str) -> list[Transaction]:
    """Everything that a server is asked. ``nonce`` is a local part that exists nowhere."""
    domains = (*target.served, *target.relayed)
    homes = [*(rcpt("A1", f"postmaster@{domain}", domain) for domain in domains), rcpt("A2", "Postmaster")]
    positives = [
        *homes,
        *(rcpt("A3", name, control=homes[-1]) for name in ("POSTMASTER", "PoStMaStEr")),
        *(rcpt("A12", f"postmaster@{literal}", literal) for literal in target.literals),
    ]
    for domain, home in zip(domains, homes):
        positives += (
            rcpt("A3", f"POSTMASTER@{domain}", domain, control=home),
            rcpt("A3", f"PoStMaStEr@{domain}", domain, control=home),
            rcpt("A4", f'"postmaster"@{domain}', domain, control=home),
            rcpt("A4", f'"post\\master"@{domain}', domain, control=home),
            rcpt("A5", f"@x.example:postmaster@{domain}", domain, "parse"),
        )
        for role in target.role_addresses:
            positives += (rcpt("R11", f"{name}@{domain}", domain) for name in dict.fromkeys((role, role.upper())))
    bounces = [
        rcpt("A6", home.address, home.domain, "second" if number else "accept", home)
        for number, home in enumerate(homes)
    ]
    bounces.append(_relayed(target, ""))
    if target.name:
        positives.append(rcpt("B5", f"Postmaster@{target.name}", target.name if target.name in domains else ""))
    return [
        *_transactions(positives, target.sender),
        *_transactions(bounces, ""),
        Transaction((Step("A16", "VRFY postmaster", "postmaster"),), None),
        *(_once(target, homes, nonce) if target.limits else ()),
        *_transactions(_negatives(target, nonce), target.sender),
        Transaction((rcpt("A14", homes[0].address, "", "plain", homes[0]),), target.sender, "HELO"),
    ]


def judge(step: Step, heard: Heard, control: Check | None = None) -> Check:
    """The verdict on one step; ``control`` is that on the step's control."""
    answer = heard.answer
    rules = _rules(step, heard)[step.rule]
    code = "554" if answer.code < 500 and for_good(answer.code, answer.text) else str(answer.code)
    verdict = rules.get(code, rules.get(code[0], INCONCLUSIVE))
    message, remedy = "", ""
    if verdict == UNLIKE_CONTROL:
        same = control is not None and control.code == answer.code
        verdict = SKIPPED if same else FAIL
    if verdict == FAIL and step.check in LATITUDE and LATITUDE[step.check].search(answer.text):
        verdict, message = PASS, "refused as the domain's own policy asks (SPF)"
    elif verdict == FAIL:
        words = {**vars(step), "from_whom": step.from_whom, "code": answer.code}
        message, remedy = (text.format(**words) for text in FINDINGS[step.check])
        remedy = REMEDIES.get(answer.code, remedy)
    elif verdict == INCONCLUSIVE:
        message = _why_inconclusive(step, heard)
        remedy = "probe again when the server answers"
    elif verdict == SKIPPED and step.rule == "any":
        message = "a backup MX need not know the recipients: this is the primary's to answer"
    elif verdict == SKIPPED and control:
        message = f"answered as {control.address} was (row {control.id}), so it says nothing of its own"
    return Check(
        step.check, verdict, step.address, heard.command, answer.code, answer.text, message, remedy, step.domain
    )


def _rules(step: Step, heard: Heard) -> Mapping[str, dict[str, str]]:
    if heard.command == step.command:
        return RULES
    return REFUSED_SENDER if heard.command.startswith("MAIL ") else REFUSED_BEFORE


def verdicts(transactions: Sequence[Transaction], heard: Mapping[Step, Heard]) -> list[Check]:
    """The checks of a plan, in its order, from what was heard to each step."""
    checks: dict[Step, Check] = {}

    def check(step: Step) -> Check:
        if step not in checks:
            made = judge(step, heard[step], check(step.control) if step.control else None)
            checks[step] = _no_more_than_refused(step, made)
        return checks[step]

    checks_of = [check(step) for transaction in transactions for step in transaction.steps]
    return [made for made in checks_of if made.id not in FOLDED or made is _first(checks_of, made)]


def _no_more_than_refused(step: Step, made: Check) -> Check:
    """A check of a SHOULD that the server puts off is a warning, as it would be if the server refused it.

    421 is no answer to a command (RFC 5321 section 3.8): it tells nothing about the row.
    """
    put_off = 400 <= made.code < 500 and made.code != 421 and made.verdict == INCONCLUSIVE
    about_it = made.command == step.command or made.command.startswith("MAIL ")
    optional = REQUIREMENTS[made.id].weight == WARN
    return replace(made, verdict=WARN) if put_off and about_it and optional else made


def closed(transactions: Sequence[Transaction], greeting: Answer, command: str, answer: Answer) -> list[Check]:
    """The checks of a server that greeted with 554 or 521, and answered ``command`` after that."""
    shut = isinstance(answer, NoReply) and answer.closed
    if answer.code == 503 or (greeting.code == 521 and (answer.code == 521 or shut)):
        verdict = EXEMPT
    elif isinstance(answer, NoReply) and not shut:
        verdict = INCONCLUSIVE
    elif answer.code >= 500:
        verdict = WARN
    else:
        verdict = FAIL
    message, remedy = (text.format(code=greeting.code) for text in FINDINGS["E1"])
    if verdict == EXEMPT:
        message, remedy = f"the server greets with {greeting.code}: it takes no mail, at least not from here", ""
    words = f"{greeting.text}; then: {answer.text}"
    places = [step for transaction in transactions for step in transaction.steps if step.check in PLACES]
    return [
        Check("E1", verdict, "", command, greeting.code, words, message, remedy),
        *(
            Check(step.check, EXEMPT, step.address, "connect", greeting.code, greeting.text, domain=step.domain)
            for step in places
        ),
    ]


def letters(
    transactions: Sequence[Transaction], checks: Sequence[Check], forms: str, places: Sequence[str] = PLACES
) -> list[tuple[str, Step]]:
    """The sender and step of each token message: one for each place, and for ``all`` every form that was accepted.

    ``places`` are the rows whose places still want one. The place that every host has gets its message from the null
    sender (row D8): some servers refuse that only when they have read the message.
    """
    passed = {(check.id, check.address) for check in checks if check.verdict == PASS}
    return [
        ("" if step.check in FROM_NOBODY else transaction.sender or "", step)
        for transaction in transactions
        for step in transaction.steps
        if step.check in places or (step.check in LANDING[forms] and (step.check, step.address) in passed)
    ]


def _negatives(target: Target, nonce: str) -> list[Step]:
    foreign = target.foreign_domain
    bare = rcpt("N2", nonce, "", "refuse")
    steps = [
        bare,
        rcpt("N1", f"postmaster@{foreign}", "", "refuse"),
        rcpt("N1", f"{foreign}!postmaster", "", "refuse", bare),
    ]
    for domain in (*target.served, *target.relayed):
        rule = "unknown" if domain in target.served else "any"
        control = rcpt("N3", f"{nonce}@{domain}", domain, rule)
        steps += (
            control,
            rcpt("N1", f"postmaster%{foreign}@{domain}", domain, "refuse", control),
            rcpt("N1", f"@{domain}:postmaster@{foreign}", domain, "refuse"),
            rcpt("N1", f'"postmaster@{foreign}"@{domain}', domain, "refuse", control),
            # a backup MX takes every name at the domain itself, and that says nothing of others
            rcpt("N4", f"{nonce}@{nonce}.{domain}", domain, "refuse", control if rule == "unknown" else None),
        )
    return steps


def _relayed(target: Target, sender: str, domain: str = "") -> Step:
    """Row N1 for a sender that a server may take for one of its own people."""
    address = f"postmaster@{target.foreign_domain}"
    return Step("N1", f"RCPT TO:<{address}>", address, domain, "relay", sender=sender)


def _once(target: Target, homes: Sequence[Step], nonce: str) -> list[Transaction]:
    """What is the same at each address of a server: the senders that it takes mail from, and how much it takes."""
    bad_sender = [rcpt("A8", home.address, home.domain, "accept", home) for home in homes]
    return [
        *_own_senders(target, homes, nonce),
        *_transactions(bad_sender, target.bad_sender),
        *_limits(target, homes[0]),
    ]


def _own_senders(target: Target, homes: Sequence[Step], nonce: str) -> list[Transaction]:
    """Rows A7 and N1 for senders of the server's own: one that exists, and a made-up one, for some servers look it up.

    Each transaction with a recipient that is accepted can slow down a Postfix for all (in_flow_delay). So two domains
    stand for all: the first, which is a local one, and the last, which is a virtual one, where there are both.
    """
    served = [home for home in homes if home.domain in target.served]
    domains = dict.fromkeys(home.domain for home in (*served[:1], *served[-1:]))
    senders = [(f"{local}@{domain}", domain) for domain in domains for local in ("postmaster", nonce)]
    found = []
    for sender, domain in senders:
        asked = [replace(rcpt("A7", home.address, home.domain, "accept", home), sender=sender) for home in served]
        found += _transactions([_relayed(target, sender, domain), *asked], sender)
    return found


def _first(checks: Sequence[Check], like: Check) -> Check:
    """The check that stands for all of its row and domain."""
    same = [check for check in checks if (check.id, check.domain) == (like.id, like.domain)]
    return next((check for check in same if check.verdict != PASS), same[0])


def _limits(target: Target, home: Step) -> list[Transaction]:
    """Rows A11, A17 and A20: what every server takes, what it says that it does not, and SMTPUTF8 if it is offered."""
    local, _at, domain = home.address.partition("@")
    places = range(len(local))
    spellings = (
        "".join(letter.upper() if number >> place & 1 else letter for place, letter in zip(places, local.lower()))
        for number in range(HUNDRED)
    )
    many = [rcpt("A11", f"{spelling}{_at}{domain}", home.domain, "second", home) for spelling in spellings]
    found = _transactions(many, target.sender)
    if "SMTPUTF8" in target.extensions:
        utf8 = rcpt("A17", home.address, home.domain, "accept", home)
        found.append(Transaction((utf8,), target.sender, parameters=" SMTPUTF8"))
    return [*found, *_too_large(target)]


def _too_large(target: Target) -> list[Transaction]:
    """Where sizes are announced (RFC 1870), row A20: a message that every server takes; and row A11: one that is larger
    than the server takes any."""
    if "SIZE" not in target.extensions:
        return []
    most = SIZE.fullmatch(target.extensions["SIZE"])
    found = [Step("A20", f"MAIL FROM:<{target.sender}> SIZE={EVERY_SIZE}", target.sender)]
    if most and int(most.group()):
        command = f"MAIL FROM:<{target.sender}> SIZE={int(most.group()) + 1}"
        found.append(Step("A11", command, target.sender, "", "deny"))
    return [Transaction((step,), None) for step in found]


def not_offered(target: Target) -> list[Check]:
    """The rows that are about what the server does not offer."""
    rows = {"A17": "SMTPUTF8", "A20": "SIZE"}
    missing = {row: keyword for row, keyword in rows.items() if keyword not in target.extensions}
    return [Check(row, SKIPPED, message=f"the server does not offer {word}") for row, word in missing.items()]


def _transactions(steps: Sequence[Step], sender: str, size: int = 100) -> list[Transaction]:
    """RFC 5321 section 4.5.3.1.8: every server takes 100 recipients in one transaction.

    No server has to take a path of more than 256 octets (section 4.5.3.1.3): at a domain with a long name, some forms
    are longer than that, and are not asked for.
    """
    fit = [step for step in steps if step.check in HOMES or len(f"<{step.address}>") <= LONGEST_PATH]
    return [Transaction(tuple(fit[start : start + size]), sender) for start in range(0, len(fit), size)]


def _why_inconclusive(step: Step, heard: Heard) -> str:
    if heard.command == "connect":
        greets = f"serves no further client now: it greets with {heard.answer.code}"
        return f"the server {greets if heard.answer.code else f'does not answer a new connection: {heard.answer.text}'}"
    if isinstance(heard.answer, NoReply):
        return f"no reply to {heard.command}: {heard.answer.text}"
    if heard.answer.code >= 500 or heard.command != step.command:
        return f"could not be asked, for {heard.command} was answered with {heard.answer.code}"
    return "the server puts it off (a temporary refusal)"
