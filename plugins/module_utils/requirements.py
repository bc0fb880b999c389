# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of requirements: one row a check, its source and its level.

Pure data. Every finding of this collection carries the id of a row of this table.
"""

from __future__ import annotations

from dataclasses import dataclass

MUST, SHOULD, MAY, POLICY = "MUST", "SHOULD", "MAY", "policy"
RESOLVES, ACCEPTS, LANDS, BOUNCES = "resolves", "accepts", "lands", "bounces"
EVERY_RUN, TESTS = "every run", "the tests"


@dataclass(frozen=True)
class Requirement:
    """One row of the catalogue.

    ``layer`` is where the check is made, ``source`` the section that asks for it (of RFC 5321 unless another
    RFC is named), ``level`` how strongly, ``title`` what it asks for, in one line. ``weight`` is what a ``fail``
    of this check means for the domain: a MUST or a policy that is broken fails it, anything weaker warns. ``shown`` is
    who shows that it is kept: what makes a host write to strangers is no part of a run, but of this collection's tests.
    """

    id: str
    layer: str
    source: str
    level: str
    title: str
    weight: str = ""
    shown: str = EVERY_RUN

    def __post_init__(self) -> None:
        if not self.weight:
            object.__setattr__(self, "weight", "fail" if self.level in (MUST, POLICY) else "warn")


REQUIREMENTS: dict[str, Requirement] = {
    row.id: row
    for row in (
        Requirement("A1", ACCEPTS, "RFC 5321 4.5.1", MUST, "postmaster at every domain served is accepted"),
        Requirement("A2", ACCEPTS, "RFC 5321 2.3.5, 4.1.1.3", MUST, "postmaster without a domain is accepted"),
        Requirement("A3", ACCEPTS, "RFC 5321 4.1.1.3", MUST, "postmaster is accepted in any letter case"),
        Requirement("A4", ACCEPTS, "RFC 5321 4.1.2", MUST, "postmaster is accepted as a quoted string"),
        Requirement("A5", ACCEPTS, "RFC 5321 4.1.1.3, 3.6.1, C", MUST, "a source route is parsed"),
        Requirement("A6", ACCEPTS, "RFC 1123 5.2.9", MUST, "mail from the null sender is accepted"),
        Requirement("A7", ACCEPTS, "RFC 2505 2.6.2", MUST, "a sender in the domain itself is accepted"),
        Requirement("A8", ACCEPTS, "RFC 5321 4.5.1", SHOULD, "a sender whose domain does not exist is accepted"),
        Requirement("A9", ACCEPTS, "RFC 5321 4.5.1", SHOULD, "a client that a blocklist has is accepted", shown=TESTS),
        Requirement("A10", ACCEPTS, "RFC 5321 4.5.1, RFC 6647", POLICY, "greylisting spares postmaster", shown=TESTS),
        Requirement("A11", ACCEPTS, "RFC 5321 4.5.3.1, RFC 1870 6", MUST, "100 recipients are taken, SIZE is kept"),
        Requirement("A12", ACCEPTS, "RFC 1123 5.2.17", MUST, "postmaster at the address literal is accepted"),
        Requirement("A13", ACCEPTS, "RFC 5233", POLICY, "postmaster with a +tag is accepted", shown=TESTS),
        Requirement("A14", ACCEPTS, "RFC 3207 4", MUST, "port 25 asks for neither STARTTLS nor EHLO"),
        Requirement("A15", ACCEPTS, "RFC 6409 4.3", MUST, "the submission service takes no mail without AUTH"),
        Requirement("A16", ACCEPTS, "RFC 5321 3.5", SHOULD, "VRFY postmaster is answered"),
        Requirement("A17", ACCEPTS, "RFC 6531 3.2", MUST, "with SMTPUTF8, where it is offered, postmaster is accepted"),
        Requirement("A18", ACCEPTS, "RFC 3207 4, RFC 8996", MUST, "STARTTLS, where it is offered, works with TLS 1.2"),
        Requirement(
            "A19", ACCEPTS, "RFC 5280, RFC 6125", POLICY, "the certificate is valid, and for this host", "warn"
        ),
        Requirement("A20", ACCEPTS, "RFC 5321 4.5.3.1.7", MUST, "a message of 64 KiB is taken"),
        Requirement("L1", ACCEPTS, "RFC 5321 4.5.1", MUST, "the MTA itself listens at the port that is asked"),
        Requirement("B5", ACCEPTS, "RFC 3461 9.3", MUST, "postmaster at the Reporting-MTA of its DSNs is accepted"),
        Requirement("N1", ACCEPTS, "RFC 2505 2.1", MUST, "a foreign postmaster is not relayed, in any form"),
        Requirement(
            "N2", ACCEPTS, "RFC 5321 4.1.2", POLICY, "a name that does not exist is refused without a domain, too"
        ),
        Requirement("N3", ACCEPTS, "control", POLICY, "a name that does not exist is refused", "warn"),
        Requirement("N4", ACCEPTS, "RFC 2505 2.1", MUST, "a subdomain that is not served is not relayed"),
        Requirement(
            "N5", ACCEPTS, "RFC 5321 2.3.8, 4.1.1.4", MUST, "only CRLF, a dot and CRLF end a message", shown=TESTS
        ),
        Requirement(
            "E1",
            ACCEPTS,
            "RFC 5321 3.1, RFC 7504 3",
            MUST,
            "a closed host answers 554 or 521, and keeps to it",
        ),
        Requirement("R1", RESOLVES, "RFC 5321 6.3", MUST, "no alias loop"),
        Requirement("R2", RESOLVES, "RFC 822 6.3", POLICY, "no alias that leads only to itself, or to nothing"),
        Requirement("R3", RESOLVES, "RFC 5321 6.1", POLICY, "the chain ends at an account that exists"),
        Requirement("R4", RESOLVES, "RFC 5321 6.1, 6.2", POLICY, "the mail is not thrown away"),
        Requirement("R5", RESOLVES, "RFC 822 6.3", POLICY, "the mail reaches a mailbox and not a program"),
        Requirement("R6", RESOLVES, "RFC 822 6.3", POLICY, "the account belongs to a person"),
        Requirement("R7", RESOLVES, "RFC 822 6.3", POLICY, "mail for root is sent on to a person"),
        Requirement("R8", RESOLVES, "RFC 5321 3.9.1", POLICY, "an address off this host is accepted there"),
        Requirement("R9", RESOLVES, "policy", POLICY, "an included list can be read, and written only by its owner"),
        Requirement("R10", RESOLVES, "policy", POLICY, "the table in use says what its source says"),
        Requirement("R11", RESOLVES, "RFC 2142 1, 4, 5", SHOULD, "the other role addresses reach a person too"),
        Requirement("R12", RESOLVES, "RFC 822 6.3", POLICY, "somebody reads the mailbox", "warn"),
        Requirement("D1", LANDS, "RFC 5321 6.1", MUST, "a message with a fresh token is in the mailbox, once"),
        Requirement("D2", LANDS, "RFC 5321 6.1", MUST, "mail for a full mailbox waits or comes back", shown=TESTS),
        Requirement(
            "D3", LANDS, "RFC 5321 4.2.2, 6.1", MUST, "a full queue takes nothing that it would lose", shown=TESTS
        ),
        Requirement("D4", LANDS, "RFC 5321 6.1", MUST, "what was accepted outlives a kill", shown=TESTS),
        Requirement("D5", LANDS, "RFC 3848", SHOULD, "the trace says ESMTP, and ESMTPS after STARTTLS", shown=TESTS),
        Requirement("D6", LANDS, "RFC 5321 3.9.1", MUST, "the targets of a list see the sender as it was", shown=TESTS),
        Requirement("D7", LANDS, "RFC 3834 2", MUST, "no automatic reply to the null sender or a machine", shown=TESTS),
        Requirement("D8", LANDS, "RFC 5321 3.6.3, 4.5.5", MUST, "a message from the null sender is in the mailbox"),
        Requirement("D9", LANDS, "RFC 4155", POLICY, "a line of a body begins no message of its own in an mbox"),
        Requirement("D10", LANDS, "RFC 5321 6.1", MUST, "what delivers mail is neither stopped nor paused"),
        Requirement("B1", BOUNCES, "RFC 5321 6.1, RFC 3464 2", MUST, "a sender gets a DSN for lost mail", shown=TESTS),
        Requirement("B2", BOUNCES, "RFC 5321 6.1, 3.6.3", MUST, "no DSN for mail from nobody; no circle", shown=TESTS),
        Requirement("B3", BOUNCES, "RFC 3461 5.2", SHOULD, "postmaster is told of mail that nobody gets", shown=TESTS),
        Requirement(
            "B4", BOUNCES, "RFC 3461 4.3", POLICY, "RET=HDRS, and what postmaster is told: no body", shown=TESTS
        ),
        Requirement(
            "E2", BOUNCES, "RFC 7505 4.1", SHOULD, "mail for a domain with a null MX comes back at once", shown=TESTS
        ),
        Requirement("B6", BOUNCES, "RFC 5321 6.2", POLICY, "an unknown user is refused, not bounced", shown=TESTS),
    )
}
