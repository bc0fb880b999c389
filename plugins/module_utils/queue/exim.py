# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of Exim: -H files with the envelope and the header, and -D files with the body."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from .spool import Entry, Queued, Spool, UnreadableError, read_bytes, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._system.host import Host

FIELD = re.compile(rb"(\d{3,})([^0-9]) ")
# the name of a variable of the access control, and how many bytes its value has, which is on the lines that follow
VARIABLE = re.compile(rb"--?(?:\([^)]*\))?acl[cm]? \S+ (\d+)\n")
# where mail for an address ends, in what Exim says of its routing: there, or there if it can be delivered
END = re.compile(r"([^\s*<>]+@\S+?)(?: (?:cannot be resolved|is undeliverable)\b.*| +\[duplicate, .*)?")
ROUTED = (0, 1, 2)  # how Exim ends that has said it: all can be delivered, some cannot now, some never
# how Exim notes that an end has got it that has the name of an alias on the way there: with a number, or its transport
NAMESAKE = re.compile(r"\\\d+\\(?P<numbered>.+)|(?P<delivered>.+@[^@/]+)/[^@/]+")
DELETED = b"*"  # the kind of a header line that is no more


def parse(raw: bytes) -> tuple[str, list[str], list[str], bytes, bool]:
    """Sender, recipients, addresses that have got it, the header, and whether lines of the body end with CRLF."""
    try:
        sender = raw.split(b"\n", 3)[2]
        wire, rest = _options(raw)
        lines = rest.split(b"\n")
        done, at = _tree(lines)
        count = int(lines[at])
        recipients = [address(text(line)) for line in lines[at + 1 : at + 1 + count]]
        header = _header(b"\n".join(lines[at + 2 + count :]))
    except (IndexError, ValueError) as error:
        raise UnreadableError("the file with the envelope is not as Exim writes it") from error
    if len(recipients) != count or sender[:1] + sender[-1:] != b"<>":
        raise UnreadableError("the file with the envelope is not as Exim writes it")
    return text(sender[1:-1]), recipients, done, header, wire


def _options(raw: bytes) -> tuple[bool, bytes]:
    """Whether lines of the body end with CRLF, and what is behind the options, which follow the first four lines."""
    rest, wire = raw.split(b"\n", 4)[4], False
    while rest.startswith(b"-"):
        variable = VARIABLE.match(rest)
        end = variable.end() + int(variable.group(1)) if variable else rest.index(b"\n")
        wire = wire or rest[:end] == b"-spool_file_wireformat"
        rest = rest[end + 1 :]
    return wire, rest


def _tree(lines: Sequence[bytes]) -> tuple[list[str], int]:
    """Addresses that have got it: a tree, the root first; before each whether there is a left and a right branch."""
    if lines[0] == b"XX":
        return [], 1
    found, open_branches, at = [], 1, 0
    while open_branches:
        marks, name = lines[at][:2], lines[at][3:]
        open_branches += marks.count(b"Y") - 1
        found.append(text(name))
        at += 1
    return found, at


def address(line: str) -> str:
    """The address alone: ``#`` and two bits say which texts, each with its length, stand behind it."""
    line, _sharp, flags = line.rpartition("#") if re.search(r" .*#\d+$", line) else (line, "", "0")
    for bit in (1, 2):
        if int(flags) & bit:
            found = re.search(r" ?(\d+),-?\d+$", line)
            if not found:
                raise ValueError(line)
            line = line[: found.start()]
            size = int(found.group(1))
            line = line[: len(line) - size].rstrip(" ") if size else line.rstrip(" ")
    return line


def _header(raw: bytes) -> bytes:
    """The header; each field is written with its length and its kind."""
    found = []
    while raw.strip(b"\n"):
        start = FIELD.match(raw)
        if not start:
            raise ValueError(raw[:20])
        end = start.end() + int(start.group(1))
        if start.group(2) != DELETED:
            found.append(raw[start.end() : end])
        raw = raw[end:]
    return b"".join(found)


def read(host: Host, entry: Entry) -> Queued | None:
    sender, recipients, done, header, wire = parse(read_bytes(entry.path))
    try:
        body = read_bytes(_beside(entry, "-D")).partition(b"\n")[2]
    except FileNotFoundError as error:
        raise UnreadableError("its body is missing") from error
    if os.path.exists(_beside(entry, "-J")):
        # what was delivered by a process that did not end
        done += text(read_bytes(_beside(entry, "-J"))).splitlines()
    left = _left(host, recipients, done)
    if not left:
        return None
    return Queued(SPOOL.mta, entry.id, sender, left, header + b"\n" + (body.replace(b"\r\n", b"\n") if wire else body))


def _left(host: Host, recipients: Sequence[str], done: Sequence[str]) -> tuple[str, ...]:
    """Those who have not got it. Of an alias some may have: then the others stand in its place. It counts as done
    itself when all of them have."""
    got = {name.lower() for name in done}
    namesakes = {found["numbered"] or found["delivered"] for found in map(NAMESAKE.fullmatch, got) if found}
    expanded = bool(got - {recipient.lower() for recipient in recipients})
    left: list[str] = []
    for recipient in recipients:
        if recipient.lower() not in got:
            ends = _ends(host, recipient) if expanded else [recipient]
            some = [end for end in ends if end.lower() not in got | namesakes]
            part = len(some) < len(ends)
            if not some or (part and recipient.lower() in map(str.lower, some)):
                raise UnreadableError(f"somebody behind {recipient} has not got it, and cannot be addressed alone")
            left += some if part else [recipient]
    return tuple(dict.fromkeys(left))


def _ends(host: Host, recipient: str) -> list[str]:
    """Where mail for an address ends, as Exim says; also where it cannot be delivered at present. A program or a file
    is no such place. What begins with a space says more of the line before."""
    said = host.run(["exim4", "-bt", "--", recipient])
    lines = [line for line in said.out.split("\n") if line and not line[0].isspace()]
    ends = [found.group(1) for found in map(END.fullmatch, lines) if found]
    if said.rc not in ROUTED or len(ends) < len(lines):
        raise UnreadableError(f"not all mail for {recipient} ends at an address, or Exim does not say so")
    return ends


def others(entry: Entry) -> list[str]:
    beside = [_beside(entry, ending) for ending in ("-D", "-J")]
    log = entry.key.rpartition("/input/")[0] + "/msglog"
    # a queue that is split has directories by the sixth letter
    logs = [f"{log}/{entry.id}", f"{log}/{entry.id[5]}/{entry.id}"]
    return [path for path in beside + logs if os.path.exists(path)]


def _beside(entry: Entry, ending: str) -> str:
    return entry.key[: -len("-H")] + ending


SPOOL = Spool(
    mta="exim",
    folders=("/var/spool/exim4/input",),
    key="([0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4})-H",
    read=read,
    others=others,
    flush=("exim4", "-qff"),
    units=("exim4",),
    programs=("/usr/sbin/exim4",),
)
