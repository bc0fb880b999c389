# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user writes, in the one form in which it may reach a configuration file. Pure.

One function for each kind of value takes text and returns its canonical form, or raises ``ValueError`` with all that is
allowed. What they return is ASCII on one line. No sign in it means more than itself in the languages of the MTAs:
their settings, aliases, tables and access lists.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re

from .shown import BREAKS, HIDDEN
from .smtp import names

ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*(?:\+[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)?")
# No sign that begins a file, a program, a comment, an option or a pattern; none that routes by itself (! and %); none
# that is a variable, a group or a wildcard in a table. RFC 5321 would allow some of them.
LOCAL_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+='&~/-]*(?:\.[A-Za-z0-9_+='&~/-]+)*")
# What MTAs make of those signs, where that is what a user did not expect.
MEANINGS = (
    (re.compile(r"#"), "Postfix and Sendmail take a line that begins with # for a comment"),
    (re.compile(r"[%!]"), "Postfix and Sendmail take % and ! for a route to another host, and Exim refuses them"),
    (re.compile(r"/"), "MTAs take what begins with / for a file"),
    (re.compile(r"\|"), "MTAs take what begins with | for a program"),
    (re.compile(r":"), "MTAs take : for the end of a name, or for the beginning of a list"),
    (re.compile(r"-"), "Postfix refuses what begins with -"),
    (re.compile(r"\+"), "what stands before a + is a name, and what follows it a tag"),
    (re.compile(r"[*?^]"), "a name is no pattern; a * alone is the catch-all of a virtual domain"),
    (re.compile(r"[$`{}\\]"), "configurations of MTAs have variables and commands with $, `, { and \\"),
    (re.compile(r"[^\x00-\x7f]"), "the letters are those of ASCII, for the MTAs do without SMTPUTF8 (RFC 6531)"),
    (re.compile(r"\."), "a dot stands between two others of these (RFC 5321 section 4.1.2)"),
    (re.compile(r"@"), "what stands behind the @ is a domain, and no part of it"),
    (re.compile(r'[ "(),;<>\[\]]'), "it would need quotes, which OpenSMTPD does not take"),
)
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
REASON = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .()/_+-]{0,79}")
NUMBER_AT_THE_END = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")  # the system takes such a name for an IPv4 address
JOINERS = re.compile("[\u200c\u200d]")  # which some languages write within a word, and which nobody sees
LONGEST_ACCOUNT, LONGEST_LOCAL_PART = 64, 64  # characters; RFC 5321 section 4.5.3.1.1

CATCH_ALL = "*"

A_DOMAIN = (
    "a domain name of two labels or more (letters, digits and hyphens, no underscore; at most 63 to a label, 253 in"
    " all)"
)
AN_ADDRESS = "an IPv4 or IPv6 address (192.0.2.1, 2001:db8::1)"
A_NETWORK = "an IPv4 or IPv6 address or network (192.0.2.0/24, 2001:db8::/32)"
A_LISTENER = "all, loopback, or addresses of this host (192.0.2.1, 2001:db8::1)"
A_NEXT_HOP = "the primary's host name or address, with :port where it is not 25"
A_LOCAL_PART = (
    "the local part of an address: letters, digits, dots and any of _+='&~/-, at most 64 characters; it begins with a"
    " letter, a digit or _"
)
A_TARGET = (
    "the name of an account or alias of this host, or an address (name@domain); a name has letters, digits, dots, _ and"
    " -, it may have a tag (name+tag), and before an @ any of +='&~/, too"
)
A_REASON = "1 to 80 letters, digits, spaces and any of .()/_+-"
A_DAY = "the last day of the block, as year-month-day (2026-12-31)"
A_TEXT = "text without line breaks, control characters and characters that are not seen"
JOINED = "; write a domain that has joiners as its A-label (xn--...)"


def text(value: str) -> str:
    """Text of one line, all of which is seen: of native settings, and of the names of things."""
    if HIDDEN.search(value) or BREAKS.search(value):
        raise ValueError(A_TEXT + (JOINED if JOINERS.search(value) else ""))
    return value


def domain(value: str) -> str:
    """A domain as A-labels in lower case; one in another script is converted (IDNA)."""
    try:
        name = names.domain(value)
    except ValueError:
        name = ""
    if "." not in name or NUMBER_AT_THE_END.fullmatch(name):
        raise ValueError(A_DOMAIN + names.ambiguity(value))
    return name


def address(value: str) -> str:
    """An IP address. One with a scope holds on one link alone, and one of IPv4 is written as such."""
    try:
        found = ipaddress.ip_address("" if "%" in value else value)
    except ValueError:
        raise ValueError(AN_ADDRESS) from None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        raise ValueError(AN_ADDRESS)
    return str(found)


def network(value: str) -> str:
    """A network with the length of its prefix, no bits set behind it."""
    try:
        found = ipaddress.ip_network("" if "%" in value else value, strict=False)
    except ValueError:
        raise ValueError(A_NETWORK) from None
    if "/" in value and found.network_address != ipaddress.ip_address(value.partition("/")[0]):
        raise ValueError(f"{A_NETWORK} without host bits: {found}")
    if isinstance(found, ipaddress.IPv6Network) and found.network_address.ipv4_mapped:
        raise ValueError(A_NETWORK)
    return str(found)


def listener(value: str) -> str:
    """Where to listen."""
    if value in ("all", "loopback"):
        return value
    try:
        return address(value)
    except ValueError:
        raise ValueError(A_LISTENER) from None


def next_hop(value: str) -> str:
    """``host``, ``host:port`` or an address (IPv6 in brackets), as ``[host]`` or ``[host]:port``."""
    try:
        host, port = names.server(value)
        host = address(host) if names.is_address(host) else domain(host)
    except ValueError:
        raise ValueError(A_NEXT_HOP + names.ambiguity(value)) from None
    return f"[{host}]" if port == 25 else f"[{host}]:{port}"


def account(value: str) -> str:
    """The name of an account or alias of the host, which may have a tag, in lower case: so each MTA looks it up."""
    if not ACCOUNT.fullmatch(value) or len(value) > LONGEST_ACCOUNT:
        raise ValueError(A_TARGET + meaning(value))
    return value.lower()


def local_part(value: str) -> str:
    """A local part, as it is, that reads as nothing else wherever an address stands."""
    if not LOCAL_PART.fullmatch(value) or len(value) > LONGEST_LOCAL_PART:
        raise ValueError(A_LOCAL_PART + meaning(value))
    return value


def meaning(value: str) -> str:
    """What MTAs make of the first sign that a local part cannot have there; empty where there is nothing to say."""
    known = LOCAL_PART.match(value)
    rest = value[known.end() if known else 0 :]
    return next((f"; {why}" for sign, why in MEANINGS if sign.match(rest)), "")


def folded_local_part(value: str) -> str:
    """A local part of this host, whose letter case makes no difference."""
    return local_part(value).lower()


def listed_local_part(value: str) -> str:
    """The same, of a virtual domain; or a catch-all, for the addresses that the domain does not list."""
    return value if value == CATCH_ALL else folded_local_part(value)


def target(value: str) -> str:
    """Where mail goes to: an account's name, or an address with its domain in lower case."""
    local, at, where = value.rpartition("@")
    if not at:
        return account(value)
    try:
        local = local_part(local)
    except ValueError:
        raise ValueError(A_TARGET + meaning(local)) from None
    return f"{local}@{domain(where)}"


def reason(value: str) -> str:
    """Why a client is blocked. Every MTA quotes it in its own way."""
    if not REASON.fullmatch(value):
        raise ValueError(A_REASON)
    return value


def day(value: str) -> str:
    """A day of the calendar, as YYYY-MM-DD."""
    try:
        return dt.date.fromisoformat(value if DAY.fullmatch(value) else "").isoformat()
    except ValueError:
        raise ValueError(A_DAY) from None
