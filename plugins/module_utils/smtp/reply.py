# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SMTP replies (RFC 5321 section 4.2): from bytes to data, whatever the server sends. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Union

MAX_LINE = 2048  # RFC 5321 section 4.5.3.1.5 says 512; real servers write more
MAX_REPLY = 65536
MAX_LINES = 512  # of one reply; the longest real ones are those to EHLO, of some twenty
BRIEF = 1000  # characters of a reply that are evidence

LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
ENHANCED = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?= |$)")
# What Postfix says by itself where it does not relay (`defer_unauth_destination`), and what others call the same.
# "Relaying temporarily denied" is none of them: Sendmail says that while it cannot look the client up.
NO_RELAY = re.compile(r"\brelay(?:ing)? (?:access )?(?:denied|not (?:permitted|allowed)|prohibited)", re.IGNORECASE)
LOGIN_WANTED = 530  # RFC 4954 section 6, RFC 3207 section 4
LOGIN_WORDS = re.compile(r"\bauth|\blog ?in\b|\brelay", re.IGNORECASE)  # in a refusal of who has not logged in
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Reply:
    """One whole reply: the code, and the text of each line without it."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(line for line in self.lines if line)

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463), where the text begins with one of the reply's own class."""
        found = ENHANCED.match(self.lines[0])
        return found.group() if found and found.group(1) == str(self.code)[0] else ""

    @property
    def positive(self) -> bool:
        return 200 <= self.code < 400

    @property
    def brief(self) -> Reply:
        """The reply as it is kept: servers may write whole books, and each is asked a thousand questions."""
        if len(self.text) <= BRIEF:
            return self
        return replace(self, lines=(self.text[:BRIEF] + f" [cut here, of {len(self.text)} characters]",))


@dataclass(frozen=True)
class NoReply:
    """Why there is no reply. ``closed``: the server hung up; ``unknown_host``: there is no server of that name;
    ``late``: it did nothing at all in the time that it had; ``verify``: what is wrong with its certificate, as a number
    of OpenSSL's (X509_STORE_CTX_get_error(3))."""

    text: str
    closed: bool = False
    unknown_host: bool = False
    code: int = 0
    positive: bool = False
    late: bool = False
    verify: int = 0


Answer = Union[Reply, NoReply]


def for_good(code: int, text: str) -> bool:
    """Whether a reply is a refusal that no later attempt changes: a 5xx, and a 4xx that says that there is no relay."""
    return code >= 500 or (400 <= code < 500 and bool(NO_RELAY.search(text)))


LONG_LINE = NoReply(f"a reply line is longer than {MAX_LINE} bytes")
LONG_REPLY = NoReply(f"a reply is longer than {MAX_REPLY} bytes")
MANY_LINES = NoReply(f"a reply has more than {MAX_LINES} lines")


@dataclass(frozen=True)
class Taken:
    """What ``take`` found: a reply, or why there is none; nothing yet where both are empty. ``size`` in bytes."""

    answer: Answer | None = None
    size: int = 0


def take(data: bytes) -> Taken:
    """The first reply in ``data`` and how many bytes it is long; an end of line may be a bare LF."""
    lines: list[str] = []
    code, start = b"", 0
    while True:
        end = data.find(b"\n", start)
        if end < 0:
            return Taken(LONG_LINE) if len(data) - start > MAX_LINE else Taken()
        raw, start = data[start:end].rstrip(b"\r"), end + 1
        if len(raw) > MAX_LINE:
            return Taken(LONG_LINE, start)
        if start > MAX_REPLY:
            return Taken(LONG_REPLY, start)
        if len(lines) == MAX_LINES:
            return Taken(MANY_LINES, start)
        found = LINE.fullmatch(raw)
        if not found:
            return Taken(NoReply("not an SMTP reply: {}".format(printable(raw[:80]) or "an empty line")), start)
        if code and found.group(1) != code:
            words = "a reply of several lines changes its code from {} to {}"
            return Taken(NoReply(words.format(code.decode(), found.group(1).decode())), start)
        code = found.group(1)
        lines.append(printable(found.group(3) or b""))
        if found.group(2) != b"-":
            return Taken(Reply(int(code), tuple(lines)), start)


def printable(raw: bytes) -> str:
    """Text that can be shown to a person and stored: what is not text is written as an escape."""
    text = raw.decode("utf-8", "backslashreplace")
    return UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)
