# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of Exim: -H files with the envelope and the header, and -D files with the body."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .._system.names import there
from ..shown import line
from .spool import Entry, Queued, Spool, UnreadableError, text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from .._system.host import Host

FIELD = re.compile(rb"(\d{3,9})([^0-9]) ")
COUNT = re.compile(rb"\d{1,9}")
# the name of a variable of the access control, and how many bytes its value has, which is on the lines that follow
VARIABLE = re.compile(rb"--?(?:\([^)\n]*\))?acl[cm]? \S+ (\d{1,9})\n")
LENGTHS = re.compile(r"(?P<size>\d{1,9}),-?\d{1,9}")  # of a text behind an address, and a number
# where mail for an address ends, in what Exim says of its routing: there, or there if it can be delivered
END = re.compile(r"([^\s*<>][^\s*<>@]*@\S+)(?: (?:cannot be resolved|is undeliverable)\b.*| +\[duplicate, .*)?")
PROMPT = "> "  # before each answer, and before the end
# What is one line of input as it is: Exim takes away blanks at both ends, and goes on behind a backslash at the end.
SAYABLE = re.compile(r"[^\x00-\x20\x7f](?:[^\x00-\x1f\x7f]{0,996}[^\x00-\x20\x7f\\])?")
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
        if not COUNT.fullmatch(lines[at]):
            raise ValueError(lines[at])
        count = int(lines[at])
        recipients = [address(text(written)) for written in lines[at + 1 : at + 1 + count]]
        header = _header(b"\n".join(lines[at + 2 + count :]))
    except (IndexError, ValueError) as error:
        raise UnreadableError("the file with the envelope is not as Exim writes it") from error
    if len(recipients) != count or sender[:1] + sender[-1:] != b"<>":
        raise UnreadableError("the file with the envelope is not as Exim writes it")
    return text(sender[1:-1]), recipients, done, header, wire


def _options(raw: bytes) -> tuple[bool, bytes]:
    """Whether lines of the body end with CRLF, and what is behind the options, which follow the first four lines."""
    at, wire = len(raw) - len(raw.split(b"\n", 4)[4]), False
    while raw.startswith(b"-", at):
        variable = VARIABLE.match(raw, at)
        end = variable.end() + int(variable.group(1)) if variable else raw.index(b"\n", at)
        wire = wire or raw[at:end] == b"-spool_file_wireformat"
        at = end + 1
    return wire, raw[at:]


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


def address(written: str) -> str:
    """The address alone: ``#`` and two bits say which texts, each with its length, stand behind it."""
    plain, _sharp, flags = written.rpartition("#")
    if " " not in plain or not re.fullmatch("[0-9]{1,2}", flags):
        return written
    for bit in (1, 2):
        if int(flags) & bit:
            plain, _blank, lengths = plain.rpartition(" ")
            found = LENGTHS.fullmatch(lengths)
            if not found:
                raise ValueError(lengths)
            size = int(found["size"])
            plain = plain[: len(plain) - size].rstrip(" ") if size else plain.rstrip(" ")
    return plain


def _header(raw: bytes) -> bytes:
    """The header; each field is written with its length and its kind."""
    found, at, end = [], 0, len(raw.rstrip(b"\n"))
    while at < end:
        start = FIELD.match(raw, at)
        if not start:
            raise ValueError(raw[at : at + 20])
        at = start.end() + int(start.group(1))
        if at > len(raw):
            raise ValueError("a field is longer than the file")
        if start.group(2) != DELETED:
            found.append(raw[start.end() : at])
    return b"".join(found)


def read(entry: Entry) -> Queued | None:
    sender, recipients, done, header, wire = parse(entry.data(entry.path))
    try:
        body = entry.data(_beside(entry, "-D")).partition(b"\n")[2]
    except FileNotFoundError as error:
        raise UnreadableError("its body is missing") from error
    if there(_beside(entry, "-J")):
        # what was delivered by a process that did not end
        done += text(entry.data(_beside(entry, "-J"))).split("\n")
    content = header + b"\n" + (body.replace(b"\r\n", b"\n") if wire else body)
    return Queued(SPOOL.mta, entry.id, sender, tuple(recipients), content, tuple(filter(None, done)))


def left(host: Host, queued: Queued) -> tuple[str, ...]:
    """Those who have not got it. Of an alias some may have: then the others stand in its place. It counts as done
    itself when all of them have."""
    got = {name.lower() for name in queued.done}
    namesakes = {found["numbered"] or found["delivered"] for found in map(NAMESAKE.fullmatch, got) if found}
    expanded = bool(got - {recipient.lower() for recipient in queued.recipients})
    missing = [recipient for recipient in queued.recipients if recipient.lower() not in got]
    found = _ends(host, missing) if expanded and missing else [[recipient] for recipient in missing]
    behind = (_missing(recipient, ends, got | namesakes) for recipient, ends in zip(missing, found))
    return tuple(dict.fromkeys(name for names in behind for name in names))


def _missing(recipient: str, ends: Sequence[str], got: Collection[str]) -> list[str]:
    """Those of the ends of a recipient who have not got it; the recipient itself where that is nobody of them."""
    some = [end for end in ends if end.lower() not in got]
    part = len(some) < len(ends)
    if not some or (part and recipient.lower() in map(str.lower, some)):
        raise UnreadableError(f"somebody behind {line(recipient)} has not got it, and cannot be addressed alone")
    return some if part else [recipient]


def _ends(host: Host, recipients: Sequence[str]) -> list[list[str]]:
    """Where mail for each of these ends, as Exim says; also where it cannot be delivered at present. A program or a
    file is no such place. What begins with a space says more of the line before.

    Exim gets them on its standard input: what is in a queue stands on no command line, where everybody can read it.
    """
    for recipient in recipients:
        if not SAYABLE.fullmatch(recipient):
            raise UnreadableError(f"Exim cannot be asked where mail for {line(recipient, 200)} ends")
    said = host.run(["exim4", "-bt"], stdin="".join(f"{recipient}\n" for recipient in recipients))
    answers = re.split(f"^{PROMPT}", said.out, flags=re.MULTILINE)[1:-1]
    if said.rc not in ROUTED or len(answers) != len(recipients):
        raise UnreadableError(f"Exim does not say where mail for {line(recipients[0], 200)} ends")
    return [_named(recipient, answer) for recipient, answer in zip(recipients, answers)]


def _named(recipient: str, answer: str) -> list[str]:
    lines = [said for said in answer.split("\n") if said and not said[0].isspace()]
    ends = [found.group(1) for found in map(END.fullmatch, lines) if found]
    if len(ends) < len(lines):
        raise UnreadableError(f"not all mail for {line(recipient)} ends at an address")
    return ends


def others(entry: Entry) -> list[str]:
    beside = [_beside(entry, ending) for ending in ("-D", "-J")]
    log = entry.key.rpartition("/input/")[0] + "/msglog"
    # a queue that is split has directories by the sixth letter
    logs = [f"{log}/{entry.id}", f"{log}/{entry.id[5]}/{entry.id}"]
    return [path for path in beside + logs if there(path)]


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
    logs=("msglog",),
    left=left,
)
