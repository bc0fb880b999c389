# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Row A15: what the submission service (RFC 6409) takes from a client that has not authenticated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..verdict import FAIL, INCONCLUSIVE, PASS, SKIPPED, Check
from .dialogue import FINDINGS
from .reply import NoReply
from .transport import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .transport import Limits, Transcript


def ask_submission(
    server: str, port: int, limits: Limits, helo: str, recipients: Sequence[str], transcript: Transcript
) -> Check:
    """Whether one of ``recipients``, of whom none is postmaster, is taken without AUTH."""
    connection = connect(server, port, limits, transcript)
    if isinstance(connection, NoReply):
        return Check("A15", SKIPPED, message=f"there is no submission service at port {port}: {connection.text}")
    command, answer = "connect", connection.greeting()
    if answer.positive:
        command, answer = f"EHLO {helo}", connection.hello("EHLO", helo)
    for asked in (f"MAIL FROM:<postmaster@{helo}>", *(f"RCPT TO:<{recipient}>" for recipient in recipients)):
        before_recipients = not command.startswith("RCPT")
        if answer.positive != before_recipients:
            break
        command, answer = asked, connection.command(asked)
    connection.quit()
    return _judge(command, answer.code, answer.text)


def _judge(command: str, code: int, text: str) -> Check:
    if command.startswith("RCPT") and 200 <= code < 300:
        address = command[len("RCPT TO:<") : -1]
        message, remedy = (words.format(address=address) for words in FINDINGS["A15"])
        return Check("A15", FAIL, address, command, code, text, message, remedy)
    if code >= 500:
        return Check("A15", PASS, "", command, code, text)
    message = f"the submission service answers {command} with {code or 'nothing'}: {text}"
    return Check("A15", INCONCLUSIVE, "", command, code, text, message, "probe again when the server answers")
