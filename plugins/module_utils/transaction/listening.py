# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a service listens where it was told to, and nowhere else. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# What may stand for an address: one of the sockets that it allows has to be there, for a host may have IPv4 alone, and
# one socket of IPv6 may serve both.
WORDS = {"all": ("0.0.0.0/32", "::/128"), "loopback": ("127.0.0.0/8", "::1/128")}

PLACES = {"all": "any address,", "loopback": "an address of loopback,"}


def misplaced(asked: Iterable[Mapping[str, Any]], found: Iterable[tuple[str, int]]) -> list[str]:
    """What is wrong with the sockets that were ``found``, as sentences without a full stop.

    ``asked`` is the option ``listens`` of config_transaction: nothing is asked for where it is empty. Ports that it
    does not name are not looked at.
    """
    wanted, sockets = list(asked), set(found)
    allowed: set[tuple[str, int]] = set()
    wrong = []
    for item in wanted:
        fitting = {place for place in sockets if place[1] == item["port"] and _fits(item["address"], place[0])}
        allowed |= fitting
        if not fitting:
            place = f"{PLACES.get(item['address'], item['address'])} port {item['port']}"
            wrong.append(f"nothing listens at {place}, where the service was told to")
    ports = {item["port"] for item in wanted}
    surplus = sorted(place for place in sockets - allowed if place[1] in ports)
    return wrong + [
        f"something listens at {address} port {port}, where the service was not told to" for address, port in surplus
    ]


def _fits(asked: str, found: str) -> bool:
    networks = WORDS.get(asked, (asked.partition("%")[0],))
    address = ipaddress.ip_address(found)
    return any(address in ipaddress.ip_network(network) for network in networks)
