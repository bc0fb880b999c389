# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows A18 and A19: whether what a server offers by STARTTLS (RFC 3207) works, and what certificate it shows.

A client that is offered STARTTLS and cannot use it sends nothing at all, if it is careful. Most others use it whoever
signed the certificate (RFC 7435): that is not asked about here.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from ..verdict import FAIL, INCONCLUSIVE, PASS, Check
from .dialogue import FINDINGS
from .reply import NoReply
from .transport import connect

if TYPE_CHECKING:
    from .dialogue import Target
    from .reply import Answer
    from .transport import Connection, Limits, Transcript

STARTTLS = "STARTTLS"
# What OpenSSL calls it: a certificate is its own proof, whoever has signed it (X509_VERIFY_PARAM_set_flags(3)).
PARTIAL_CHAIN = 0x80000
# What is wrong with a certificate that vouches for itself (X509_STORE_CTX_get_error(3)).
OTHER_NAME = 62
WRONG = {9: "is not valid yet", 10: "has expired", OTHER_NAME: "is not for {name}"}


def ask_tls(
    server: str, port: int, limits: Limits, target: Target, recipient: str, transcript: Transcript
) -> list[Check]:
    """Row A18, and A19 where the handshake succeeds. ``recipient`` is one that the server takes without TLS, if any."""
    context = _context()
    connection, command, answer = _start(server, port, limits, target, transcript, context)
    if not connection:
        return [_a18(command, answer, encrypted=False)]
    certificate = connection.certificate
    steps = [f"EHLO {target.helo}"]
    if recipient:
        steps += [f"MAIL FROM:<{target.sender}>", f"RCPT TO:<{recipient}>"]
    for command in steps:
        answer = connection.command(command)
        if not answer.positive:
            break
    connection.quit()
    return [_a18(command, answer, encrypted=True), *_a19(server, port, limits, target, certificate, transcript)]


def _context(certificate: bytes = b"") -> ssl.SSLContext:
    """TLS 1.2 or later, otherwise as weak as the server likes; with a ``certificate``, that one alone is trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.check_hostname = bool(certificate)
    context.verify_mode = ssl.CERT_REQUIRED if certificate else ssl.CERT_NONE
    if certificate:
        context.verify_flags |= PARTIAL_CHAIN
        context.load_verify_locations(cadata=certificate)
    return context


def _start(
    server: str, port: int, limits: Limits, target: Target, transcript: Transcript, context: ssl.SSLContext
) -> tuple[Connection | None, str, Answer]:
    """A connection that speaks TLS; or None, with the command that failed and what was said to it."""
    connection = connect(server, port, limits, transcript)
    if isinstance(connection, NoReply):
        return None, "connect", connection
    command, answer = "connect", connection.greeting()
    if answer.positive:
        command, answer = f"EHLO {target.helo}", connection.hello("EHLO", target.helo)
    if answer.positive:
        command, answer = STARTTLS, connection.command(STARTTLS)
    if answer.positive:
        lost = connection.secure(context, target.name)
        if not lost:
            return connection, command, answer
        answer = lost
    connection.quit()
    return None, command, answer


def _a18(command: str, answer: Answer, encrypted: bool) -> Check:
    if answer.positive:
        return Check("A18", PASS, "", command, answer.code, answer.text)
    said = f"{command} is answered with {answer.code}: {answer.text}" if answer.code else answer.text
    if _refuses(command, answer, encrypted):
        message, remedy = (words.format(said=said) for words in FINDINGS["A18"])
        return Check("A18", FAIL, "", command, answer.code, answer.text, message, remedy)
    message = f"STARTTLS could not be tried: {said}"
    return Check(
        "A18", INCONCLUSIVE, "", command, answer.code, answer.text, message, "probe again when the server answers"
    )


def _refuses(command: str, answer: Answer, encrypted: bool) -> bool:
    """Whether it is TLS that the server does not get done; it may put off mail for other reasons."""
    if isinstance(answer, NoReply):
        return (encrypted or command == STARTTLS) and not answer.late
    return command == STARTTLS or (encrypted and answer.code >= 500)


def _a19(
    server: str, port: int, limits: Limits, target: Target, certificate: bytes, transcript: Transcript
) -> list[Check]:
    """What the handshake says of the dates and the name where the certificate itself is what is trusted."""
    if not certificate or not target.name:
        return []
    try:
        context = _context(certificate)
    except ssl.SSLError as error:
        return [_bad(f"cannot be read: {error.reason or error}", target)]
    wrong = []
    for context.check_hostname in (True, False):  # OpenSSL looks at the name first, and then at nothing more
        connection, _command, answer = _start(server, port, limits, target, transcript, context)
        if connection:
            connection.quit()
        code = answer.verify if isinstance(answer, NoReply) else 0
        wrong += [WRONG[code].format(name=target.name)] if code in WRONG else []
        if code != OTHER_NAME:
            break
    if wrong:
        return [_bad(", and ".join(reversed(wrong)), target)]
    return [Check("A19", PASS, "", STARTTLS, answer.code, answer.text)] if connection else []


def _bad(said: str, target: Target) -> Check:
    message, remedy = (words.format(said=said, name=target.name) for words in FINDINGS["A19"])
    return Check("A19", FAIL, "", STARTTLS, 220, "", message, remedy)
