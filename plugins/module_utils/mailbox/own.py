# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a message is one that a proof has sent, as it sent it. Pure.

Only such a message is removed. Its text has to be the known one to the last word: where a program has added to it, or
where the message of somebody else begins unseen within it, it is another message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..smtp.message import HEADER, body
from .message import END_OF_HEADERS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

FIELD = f"{HEADER}:".lower().encode()
SENDERS = ("", "somebody")  # what a message says depends on whether it has a sender


def is_own(message: bytes, tokens: Collection[str]) -> bool:
    """Whether it carries one of the tokens in its own field and says nothing but the text of a token message."""
    end = END_OF_HEADERS.search(message)
    if not end:
        return False
    fields = message[: end.start()].replace(b"\r\n", b"\n").split(b"\n")
    named = {
        line.partition(b":")[2].strip() for line in fields if line.lower().startswith(HEADER.lower().encode() + b":")
    }
    inner = any(line.startswith(b"From ") for line in fields[1:])
    text = message[end.end() :].replace(b"\r\n", b"\n").rstrip(b"\n")
    mine = [token for token in tokens if named == {token.encode()}]
    return not inner and text in {known for token in mine for known in _texts(token)}


def _texts(token: str) -> Iterator[bytes]:
    """All that a message with this token may say; an mbox may have quoted a line."""
    for sender in SENDERS:
        text = "\n".join(body(token, sender)).encode()
        yield text
        yield text.replace(b"\nFrom ", b"\n>From ")
