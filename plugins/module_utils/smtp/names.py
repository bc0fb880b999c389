# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in SMTP: domains, address literals, servers and mailboxes, checked before they reach a command. Pure."""

from __future__ import annotations

import ipaddress
import re

from .idn import UnclearError, a_labels

LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
DOT_STRING = re.compile(rf"{ATOM}(?:\.{ATOM})*")
ZONE = re.compile(r"[A-Za-z0-9._-]{1,15}")  # the name of an interface (RFC 4007 section 11)
SERVER = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?")

LONGEST_DOMAIN = 253  # characters (RFC 1035 section 2.3.4, without the last dot)

A_DOMAIN = "a domain name (labels of letters, digits and hyphens, at most 63 characters each and 253 in all)"
A_HOST = A_DOMAIN + " or an address literal ([192.0.2.1], [IPv6:2001:db8::1])"
A_LITERAL = "an IPv4 or IPv6 address ([192.0.2.1], [IPv6:2001:db8::1])"
A_SERVER = "host, host:port, [address] or [address]:port, with a host name or an IP address"
A_LOCAL_PART = "the local part of an address: letters, digits, dots and !#$%&'*+/=?^_`{|}~-, at most 64 characters"


def ambiguity(value: str) -> str:
    """How to write a domain that nobody can convert here without a doubt; empty where that is not what is wrong."""
    try:
        a_labels(value[:LONGEST_DOMAIN])
    except UnclearError as error:
        return str(error)
    except UnicodeError:
        return ""
    return ""


def domain(value: str) -> str:
    """A domain as A-labels in lower case, converted where it is given in another script. Raises ValueError.

    The dot at the end, by which the DNS tells a whole name, has no place in SMTP, and is taken away.
    """
    if len(value.removesuffix(".")) > LONGEST_DOMAIN:  # before the conversion, whose time grows with the square of it
        raise ValueError(A_DOMAIN)
    try:
        name = a_labels(value).lower().removesuffix(".")
    except ValueError:
        raise ValueError(A_DOMAIN + ambiguity(value)) from None
    labels = name.split(".")
    if len(name) > LONGEST_DOMAIN or not all(map(LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise ValueError(A_DOMAIN)
    return name


def is_address(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address; one of a single link has the name of the interface after a %."""
    plain, sign, zone = text.partition("%")
    try:
        ip = ipaddress.ip_address(plain)
    except ValueError:
        return False
    return not sign or (ip.version == 6 and bool(ZONE.fullmatch(zone)))


def literal(address: str) -> str:
    """An IP address as an address literal (RFC 5321 section 4.1.3). Raises ValueError."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        raise ValueError(A_LITERAL) from None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return f"[{mapped or ip}]" if mapped or ip.version == 4 else f"[IPv6:{ip}]"


def host(value: str) -> str:
    """A domain, or an address literal in its normal form. Raises ValueError."""
    if not value.startswith("["):
        return domain(value)
    found = re.fullmatch(r"\[(IPv6:)?([0-9a-fA-F.:]+)\]", value, re.IGNORECASE)
    if not found or bool(found.group(1)) != (":" in found.group(2)):
        raise ValueError(A_HOST)
    return literal(found.group(2))


def local_part(value: str) -> str:
    """A local part that needs no quotes. Raises ValueError."""
    if not DOT_STRING.fullmatch(value) or len(value) > 64:
        raise ValueError(A_LOCAL_PART)
    return value


def mailbox(value: str) -> str:
    """An address with its domain in normal form; the empty one is the null sender. Raises ValueError."""
    name, at, where = value.rpartition("@")
    if value and not at:
        raise ValueError("an address (name@domain), or nothing for the null sender")
    return value and f"{local_part(name)}@{host(where)}"


def server(value: str) -> tuple[str, int]:
    """The host and port of ``host``, ``host:port``, ``[address]:port`` or an IP address. Raises ValueError."""
    if is_address(value):
        return value, 25
    found = SERVER.fullmatch(value)
    port = int(found.group(3) or 25) if found else 0
    if not found or not 0 < port < 65536:
        raise ValueError(A_SERVER)
    name = re.sub(r"^IPv6:", "", found.group(1) or found.group(2), flags=re.IGNORECASE)
    return (name if is_address(name) else domain(name)), port
