# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of the log that the MTA itself has written.

Anybody can write what he likes into a log, under any name (logger -t postfix/smtp). So a line counts where journald
says by which uid it was written (``_UID``, which comes from the kernel; systemd.journal-fields(7)), or where nobody but
the MTA can write into the file.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from .._system.host import Host

LINES = 10_000
SECONDS = 10.0
FIELDS = "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_UID"
# time, host and program, which are in front of all that a message can hold
SYSLOG = re.compile(r"(?:\w{3} [ \d]\d [\d:]{8}|\d{4}-\d\d-\d\dT\S+) \S+ ([^\s\[:]+)\[\d+\]: (.*)")
SHARED = "/var/log/mail.log"  # the file of the system logger


class Line(NamedTuple):
    """A message, and the name under which a program wrote it."""

    program: str
    text: str


def accounts(host: Host, *names: str) -> frozenset[str]:
    """The uids of root and of the accounts that there are."""
    found = (host.account(name) for name in names)
    return frozenset({"0", *(str(account.uid) for account in found if account)})


def journal(host: Host, uids: Collection[str], since: float, words: str) -> list[Line]:
    """What processes of these uids have logged since then, oldest first; ``words`` is a pattern of journalctl."""
    # with --grep the last lines come in reverse, whether that is asked for or not
    command = ["journalctl", "--quiet", "--output=json", FIELDS, "--reverse", f"--lines={LINES}"]
    matches = [f"--since=@{int(since)}", f"--grep={words}", *(f"_UID={uid}" for uid in sorted(uids))]
    said = host.ask([*command, *matches], timeout=SECONDS).out.splitlines()
    return list(_entries(reversed(said), uids))


def _entries(said: Iterable[str], uids: Collection[str]) -> Iterator[Line]:
    for line in said:
        entry: dict[str, Any] = json.loads(line)
        if entry.get("_UID") in uids:
            yield Line(str(entry.get("SYSLOG_IDENTIFIER")), _text(entry.get("MESSAGE")))


def _text(message: Any) -> str:
    """journald gives what is no UTF-8 as a list of octets."""
    return bytes(message).decode("utf-8", "surrogateescape") if isinstance(message, list) else str(message or "")


def own_file(host: Host, path: str, uids: Collection[str]) -> str:
    """The end of a log file of the MTA's own; empty where it is none, belongs to others, or others can write to it."""
    return host.tail(path, {int(uid) for uid in uids})


def messages(text: str) -> Iterator[Line]:
    """The messages of a log file in the form of syslog."""
    return (Line(*found.groups()) for found in map(SYSLOG.match, text.splitlines()) if found)


def hearsay(host: Host, words: str) -> str:
    """What a file says that others can write as well: no evidence, but a hint for who reads it; empty without one."""
    found = [line for line in host.tail(SHARED).splitlines() if words in line]
    return f"; {SHARED}, which not only the MTA writes, says: {found[-1]}" if found else ""
