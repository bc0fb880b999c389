# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail exchangers from the DNS (RFC 1035, RFC 5321 section 5.1): messages in and out, and who is asked. Pure.

Pointers can make a megabyte of names of an answer of 64 KB. So only the names of the exchangers that will be asked are
read, no name is longer than the standard allows, and the rest of the answer is passed over.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

from .names import is_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MX, IN = 15, 1
NOERROR, NXDOMAIN = 0, 3
RECURSION_DESIRED, RESPONSE, TRUNCATED = 0x0100, 0x8000, 0x0200
MAX_POINTERS = 32
LONGEST = 255  # octets of a name, with those that say how long its labels are (RFC 1035 section 2.3.4)
MOST = 4  # exchangers of a name that are asked

FOUND, NO_MX, NULL_MX, NO_SUCH_NAME, UNKNOWN = "found", "no MX", "null MX", "no such name", "unknown"


class MalformedError(ValueError):
    """A message that breaks off, points around in circles or answers something else."""


@dataclass(frozen=True)
class Response:
    """What a resolver said: its code, whether that is only the beginning, and preference and host of the best MX."""

    rcode: int
    truncated: bool
    exchangers: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Exchangers:
    """The mail exchangers of a name, the best one first; ``state`` says why there are none."""

    state: str
    hosts: tuple[str, ...] = ()


def query(name: str, number: int) -> bytes:
    """The question for the MX records of a name. Raises ValueError where it is no domain name."""
    labels = name.rstrip(".").encode("ascii").split(b".")
    if not all(0 < len(label) < 64 for label in labels) or sum(len(label) + 1 for label in labels) > 254:
        raise ValueError(f"{name!r} is not a domain name")
    header = b"".join(part.to_bytes(2, "big") for part in (number, RECURSION_DESIRED, 1, 0, 0, 0))
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return header + question + MX.to_bytes(2, "big") + IN.to_bytes(2, "big")


def decode(asked: bytes, data: bytes) -> Response:
    """The response to the query ``asked``. Raises MalformedError."""
    number, flags, questions, answers = (_number(data, at) for at in (0, 2, 4, 6))
    if number != _number(asked, 0) or not flags & RESPONSE or questions != 1:
        raise MalformedError("not the response to this query")
    name, at = _name(data, 12)
    if name.lower() != _name(asked, 12)[0].lower() or data[at : at + 4] != asked[-4:]:
        raise MalformedError("the response to another question")
    at += 4
    truncated = bool(flags & TRUNCATED)
    best = heapq.nsmallest(MOST, () if truncated else _exchangers(data, at, answers))
    found = tuple((preference, _name(data, where)[0]) for preference, where in best)
    return Response(flags & 0xF, truncated, found)


def _exchangers(data: bytes, at: int, answers: int) -> Iterator[tuple[int, int]]:
    """The preference of each MX record, and where the name of its host begins."""
    for _record in range(answers):
        at = _after_name(data, at)
        kind, size = _number(data, at), _number(data, at + 8)
        at += 10
        if kind == MX:
            yield _number(data, at), at + 2
        at += size


def nameservers(resolv_conf: str) -> list[str]:
    """The resolvers that resolv.conf(5) names, at most three; this host itself where it names none."""
    named = re.findall(r"^\s*nameserver\s+(\S+)", resolv_conf, re.MULTILINE)
    return [server for server in named if is_address(server)][:3] or ["127.0.0.1"]


def exchangers(
    name: str,
    servers: Sequence[str],
    number: int,
    udp: Callable[[str, bytes], bytes | None],
    tcp: Callable[[str, bytes], bytes | None],
) -> Exchangers:
    """Ask one resolver after the other, by ``udp``, and by ``tcp`` where the response does not fit."""
    asked = query(name, number)
    for server in servers:
        for exchange in (udp, tcp):
            try:
                response = decode(asked, exchange(server, asked) or b"")
            except MalformedError:
                break
            if response.truncated:
                continue
            if response.rcode == NXDOMAIN:
                return Exchangers(NO_SUCH_NAME)
            if response.rcode == NOERROR:
                return _judged(response)
            break
    return Exchangers(UNKNOWN)


def _judged(response: Response) -> Exchangers:
    hosts = tuple(host for _preference, host in response.exchangers if host)
    if hosts:
        return Exchangers(FOUND, hosts)
    return Exchangers(NULL_MX if response.exchangers else NO_MX)  # RFC 7505: the root as the only exchanger


def _number(data: bytes, at: int) -> int:
    if at + 2 > len(data):
        raise MalformedError("the message breaks off")
    return int.from_bytes(data[at : at + 2], "big")


def _label(data: bytes, at: int) -> int:
    """How long the label is that begins at ``at``; 0xC0 or more where that is a pointer."""
    if at >= len(data) or 0x40 <= data[at] < 0xC0 or (data[at] < 0x40 and at + 1 + data[at] > len(data)):
        raise MalformedError("a name breaks off")
    return data[at]


def _after_name(data: bytes, at: int) -> int:
    """Where what follows a name begins."""
    while size := _label(data, at):
        if size >= 0xC0:
            return at + 2
        at += 1 + size
    return at + 1


def _name(data: bytes, at: int) -> tuple[str, int]:
    """The name that begins at ``at``, and where what follows it begins."""
    after, labels, octets, pointers = _after_name(data, at), [], 1, 0
    while size := _label(data, at):
        if size >= 0xC0:
            at, pointers = _number(data, at) & 0x3FFF, pointers + 1
            if pointers > MAX_POINTERS:
                raise MalformedError("a name points around in circles")
            continue
        octets += 1 + size
        if octets > LONGEST:
            raise MalformedError(f"a name is longer than {LONGEST} octets")
        labels.append(data[at + 1 : at + 1 + size].decode("ascii", "backslashreplace"))
        at += 1 + size
    return ".".join(labels), after
