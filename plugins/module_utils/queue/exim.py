# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of Exim: -H files with the envelope and the header, and -D files with the body."""

from __future__ import annotations

import glob
import os
import re
from typing import TYPE_CHECKING

from .spool import Entry, Queued, Spool, UnreadableError, read_bytes, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..mta.evidence import Host

FIELD = re.compile(rb"(\d{3,})([^0-9]) ")
MISSING = 127  # the status of a program that is not there
DELETED = b"*"  # the kind of a header line that is no more


def parse(raw: bytes) -> tuple[str, list[str], list[str], bytes, bool]:
    """Sender, recipients, addresses that have got it, the header, and whether lines of the body end with CRLF."""
    lines = raw.split(b"\n")
    try:
        sender = lines[2][1:-1]
        at = next(at for at in range(4, len(lines)) if not lines[at].startswith(b"-"))
        wire = b"-spool_file_wireformat" in lines[4:at]
        done, at = _tree(lines, at)
        count = int(lines[at])
        recipients = [address(text(line)) for line in lines[at + 1 : at + 1 + count]]
        header = _header(b"\n".join(lines[at + 2 + count :]))
    except (IndexError, StopIteration, ValueError) as error:
        raise UnreadableError("the file with the envelope is not as Exim writes it") from error
    if len(recipients) != count or lines[2][:1] + lines[2][-1:] != b"<>":
        raise UnreadableError("the file with the envelope is not as Exim writes it")
    return text(sender), recipients, done, header, wire


def _tree(lines: Sequence[bytes], at: int) -> tuple[list[str], int]:
    """Addresses that have got it: a tree, the root first; before each whether there is a left and a right branch."""
    if lines[at] == b"XX":
        return [], at + 1
    found, open_branches = [], 1
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
    """Those who have not got it. Of an alias some may have: then the others stand in its place."""
    got = {re.sub(r"^\\\d+\\", "", name).lower() for name in done}
    expanded = bool(got - {recipient.lower() for recipient in recipients})
    left: list[str] = []
    for recipient in recipients:
        if recipient.lower() not in got:
            ends = _ends(host, recipient) if expanded else []
            some = [end for end in ends if end.lower() not in got]
            left += some if len(some) < len(ends) else [recipient]
    return tuple(dict.fromkeys(left))


def _ends(host: Host, recipient: str) -> list[str]:
    """Where mail for an address ends, as Exim says."""
    done = host.run(["exim4", "-bt", recipient])
    if done.rc == MISSING:
        raise UnreadableError("some of an alias have got it, and Exim is not there to say who else belongs to that")
    return [line.split()[0] for line in done.out.splitlines() if re.match(r"[^\s*<>]+@\S+($| ->)", line)]


def others(entry: Entry) -> list[str]:
    beside = [_beside(entry, ending) for ending in ("-D", "-J")]
    top = entry.key.rpartition("/input/")[0]
    return [*filter(os.path.exists, beside), *glob.glob(f"{top}/msglog/**/{entry.id}", recursive=True)]


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
