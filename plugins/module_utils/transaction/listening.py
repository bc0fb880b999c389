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

EVERYWHERE = ("0.0.0.0", "::")

PLACES = {"all": "any address,", "loopback": "an address of loopback,"}


def misplaced(asked: Iterable[Mapping[str, Any]], found: Iterable[tuple[str, int]]) -> list[str]:
    """What is wrong with the sockets that were ``found``, as sentences without a full stop.

    ``asked`` is the option ``listens`` of config_transaction: nothing is asked for where it is empty. Ports that it
    does not name are not looked at.
    """
    wanted, sockets = list(asked), set(found)
    wrong = []
    for item in wanted:
        if not any(_fits(item, place) for place in sockets):
            place = f"{PLACES.get(item['address'], item['address'])} port {item['port']}"
            wrong.append(f"nothing listens at {place}, where the service was told to")
    return wrong + [
        f"something listens at {address} port {port}, where the service was not told to"
        for address, port in surplus(wanted, sockets)
    ]


def surplus(asked: Iterable[Mapping[str, Any]], found: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """The sockets at the ports of what was ``asked``, as above, that fit nothing of it."""
    wanted = list(asked)
    ports = {item["port"] for item in wanted}
    return sorted(place for place in set(found) if place[1] in ports and not any(_fits(item, place) for item in wanted))


def _fits(item: Mapping[str, Any], place: tuple[str, int]) -> bool:
    asked, (found, port) = item["address"], place
    networks = WORDS.get(asked, (asked.partition("%")[0],))
    address = ipaddress.ip_address(found)
    return port == item["port"] and any(address in ipaddress.ip_network(network) for network in networks)
