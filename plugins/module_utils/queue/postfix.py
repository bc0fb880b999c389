# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of Postfix: files of records, each a letter, a length and data."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from .._system.names import seen, there
from .spool import Entry, Queued, Spool, UnreadableError, text, without_blind

if TYPE_CHECKING:
    from collections.abc import Iterator

MAILDROP = "maildrop"  # what local programs have sent, as they wrote it
FOLDERS = (MAILDROP, "incoming", "active", "deferred", "hold")
BOUNCED = "bounce"
LOGS = (BOUNCED, "defer", "trace")
END, POINTER, MESSAGE, MESSAGE_END = "E", "p", "M", "X"
SENDER, RECIPIENT, REDIRECT, LINE, PART = "S", "R", ">", "N", "L"
POINTED = re.compile(rb" *\d{1,15}")  # where the next record is
LENGTH = 5  # bytes of a length at the most, of seven bits each
DEPTH = 4  # of directories in directories, for which Postfix has one by itself
# a long id has the microseconds in these digits, before the last z; a short one begins with them, in hexadecimal
DIGITS = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
LONG = re.compile(rf".{{6,}}([{DIGITS}]{{4}})z[^z]*")
ATOM = r'[^\s\x00-\x1f\x7f"(),.:;<>@\[\\\]]+'
DOT_STRING = re.compile(rf"{ATOM}(\.{ATOM})*")


def records(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """The records of a queue file, up to its end, in the order in which Postfix reads them. They do not overlap: those
    that are together longer than the file go round in a circle, or share their bytes."""
    at, left, kind = 0, len(raw), ""
    while kind != END:
        start = at
        kind, data, at = _record(raw, at)
        left -= at - start
        if left < 0:
            raise UnreadableError("its records go round in a circle")
        if kind != POINTER:
            yield kind, data
            continue
        if not POINTED.fullmatch(data):
            raise UnreadableError("a pointer is no number")
        at = int(data) or at


def _record(raw: bytes, at: int) -> tuple[str, bytes, int]:
    """The kind and the data of a record, and where the next one is; of the length, each byte has seven bits."""
    head = raw[at : at + 1 + LENGTH]
    size = 0
    for place, byte in enumerate(head[1:]):
        size |= (byte & 0x7F) << 7 * place
        if byte <= 0x7F:
            start = at + 2 + place
            data = raw[start : start + size]
            if len(data) == size:
                return chr(head[0]), data, start + size
            break
    raise UnreadableError("the file has no end")


def address(raw: bytes) -> str:
    """An address as SMTP has it: Postfix keeps local parts without their quotes (RFC 5321 section 4.1.2)."""
    found = text(raw)
    local = found[: found.rfind("@")] if "@" in found else found
    if not found or DOT_STRING.fullmatch(local):
        return found
    return '"{}"'.format(re.sub(r'(["\\])', r"\\\1", local)) + found[len(local) :]


def parse(raw: bytes) -> tuple[str, list[str], bytes]:
    """Sender, recipients who have not got it, and content."""
    sender, redirect, inside = None, "", False
    recipients: list[str] = []
    content: list[bytes] = []
    for kind, data in records(raw):
        if kind in (MESSAGE, MESSAGE_END):
            inside = kind == MESSAGE
        elif inside and kind in (LINE, PART):
            content += [data, b"\n"] if kind == LINE else [data]
        elif kind == SENDER:
            sender = address(data)
        elif kind == RECIPIENT:
            recipients.append(address(data))
        elif kind == REDIRECT:
            redirect = address(data)
    if sender is None:
        raise UnreadableError("the file names no sender")
    return sender, [redirect] if redirect and recipients else recipients, b"".join(content)


def read(entry: Entry) -> Queued | None:
    if not seen(entry.path).st_mode & stat.S_IXUSR:
        return None  # nobody was told yet that it was taken
    sender, recipients, content = parse(entry.data(entry.path))
    for path in _logs(entry, BOUNCED):
        # of these the sender is still to be told: they will fail once more, and then that is done
        recipients += map(address, re.findall(rb"^recipient=(.+)$", entry.data(path), re.MULTILINE))
    if os.path.basename(os.path.dirname(entry.key)) == MAILDROP:
        content = without_blind(content)
    unique = tuple(dict.fromkeys(recipients))
    return Queued(SPOOL.mta, entry.id, sender, unique, content) if unique else None


def others(entry: Entry) -> list[str]:
    return _logs(entry, *LOGS)


def _logs(entry: Entry, *names: str) -> list[str]:
    """What Postfix has noted of the recipients of a message. No directory is listed for it, however full it is."""
    top = entry.key[: max(entry.key.rfind(f"/{folder}/") for folder in FOLDERS)]
    letters = directories(entry.id)
    places = ["/".join([top, name, *letters[:depth], entry.id]) for name in names for depth in range(DEPTH)]
    return [path for path in places if there(path)]


def directories(name: str) -> str:
    """The letters of the directories in which Postfix has the files of a message, from the outermost."""
    found = LONG.fullmatch(name)
    if not found:
        return name
    number = 0
    for digit in found.group(1):
        number = number * len(DIGITS) + DIGITS.index(digit)
    return f"{number:05X}"


# A stop interrupts deliveries, which are then made twice. So the queue manager is held: by a unit of systemd that lets
# it go on when the process that has started this one is gone, and after 20 s. It knows both by number and start. The
# queue is the account postfix's, who can exchange each file of it: what is there is locked with its rights, and no link
# is followed. That account can stop and trace these processes: they hold nothing of root's, and are killed in time.
DRAIN = r"""same='same() { test "$(cut -d " " -f 22 /proc/$1/stat 2>/dev/null)" = "$2"; }'
since() { cut -d ' ' -f 22 /proc/$1/stat 2>/dev/null; }
set -- $(cat /var/spool/postfix/pid/master.pid 2>/dev/null)
for pid in $(cat /proc/$1/task/$1/children 2>/dev/null); do
  grep --quiet --line-regexp qmgr /proc/$pid/comm || continue
  there="same $pid $(since $pid) && same $PPID $(since $PPID)"
  systemd-run --quiet --collect --description='Hold the queue manager of Postfix' --property=RuntimeMaxSec=20 \
    --property="ExecStopPost=/bin/sh -c '$same; ! same $pid $(since $pid) || kill -CONT $pid'" \
    /bin/sh -c "$same; kill -STOP $pid; while $there; do sleep 0.2; done" || break
  timeout 2 sh -c "until grep --quiet '^State:.T' /proc/$pid/status; do sleep 0.05; done"
done
timeout --kill-after=0.5 2 setpriv --reuid=postfix --regid=postfix --clear-groups \
  find /var/spool/postfix/active -type f -exec perl -MFcntl=:DEFAULT,:flock -e \
  'sysopen(F, $_, O_RDONLY | O_NOFOLLOW | O_NONBLOCK) && flock(F, LOCK_EX) for @ARGV' {} + \
  </dev/null >/dev/null 2>&1
"""

SPOOL = Spool(
    mta="postfix",
    folders=tuple(f"/var/spool/postfix/{folder}" for folder in FOLDERS),
    key="([0-9A-Za-z]{6,})",
    read=read,
    others=others,
    flush=("postqueue", "-f"),
    units=("postfix",),
    programs=("/usr/lib/postfix/", "/usr/sbin/postdrop"),
    drain=("sh", "-c", DRAIN),
    logs=LOGS,
)
