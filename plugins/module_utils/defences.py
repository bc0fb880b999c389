# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The defences of a mail host, from a user's variables to the model. Pure.

They spare postmaster and abuse, for RFC 5321 section 4.5.1 wants mail for postmaster accepted from anyone. One measure
does not, and it is narrow: single clients are blocked, each for a reason and until a day.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from . import canonical
from .networks import labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .mistakes import Collector

BLOCKLISTS = "mta_blocklists"
SWITCHES = {"sender": "mta_sender_checks", "helo": "mta_helo_checks", "spf": "mta_spf", "spam": "mta_spam_filter"}
GREYLIST = "mta_greylist"
CLIENT_RATE = "mta_client_rate"
MESSAGE_SIZE = "mta_message_size"
BLOCKED_CLIENTS = "mta_postmaster_blocked_clients"

ORDER = ("sender", "helo", "spf", "blocklists", "greylist", "spam")  # what judges a whole message comes last

LOWEST_RATE = 100  # messages a minute: the proof itself comes near to half of that
SMALLEST = 65536  # octets: RFC 5321 section 4.5.3.1.7


def defences(note: Collector, variables: Mapping[str, Any], today: dt.date) -> dict[str, Any]:
    """``on`` (those of ``ORDER`` that are up), ``blocklists`` (their DNS zones), ``greylist``
    (seconds), ``client_rate`` (messages a minute, 0: any), ``message_size`` (octets), and ``blocked_clients``:
    those that are blocked ``today``, each with ``client`` (a network), its ``labels``,
    ``reason`` and ``until`` (the last day)."""
    zones = note.typed(BLOCKLISTS, variables.get(BLOCKLISTS, []), list, "a list of the DNS zones of blocklists")
    blocked = note.typed(BLOCKED_CLIENTS, variables.get(BLOCKED_CLIENTS, []), list, "a list")
    switches = {name: note.switch(variable, variables.get(variable, False)) for name, variable in SWITCHES.items()}
    clients = [_blocked(note, f"{BLOCKED_CLIENTS}[{index}]", item) for index, item in enumerate(blocked)]
    rate = note.number(CLIENT_RATE, variables.get(CLIENT_RATE, 0), LOWEST_RATE, 100000, zero="any number")
    greylist = note.number(GREYLIST, variables.get(GREYLIST, 0), 0, 86400)
    up = {**switches, "blocklists": zones, "greylist": greylist}
    return {
        "on": [name for name in ORDER if up[name]],
        "blocklists": [note.canonical(BLOCKLISTS, zone, canonical.domain) for zone in zones],
        "greylist": greylist,
        "client_rate": rate,
        "message_size": note.number(MESSAGE_SIZE, variables.get(MESSAGE_SIZE, 52428800), SMALLEST, 2**31 - 1),
        "blocked_clients": [item for item in clients if item["until"] >= today.isoformat()],
    }


def _blocked(note: Collector, variable: str, value: Any) -> dict[str, Any]:
    """One client, or a network of them."""
    keys = ("client", "reason", "until")
    item = value if isinstance(value, dict) else {}
    if set(item) != set(keys):
        note.add(variable, value, "a dictionary of client, reason and until")
        return dict.fromkeys(keys, "")
    client = note.canonical(f"{variable}.client", item["client"], canonical.network)
    return {
        "client": client,
        "labels": labels(client),
        "reason": note.canonical(f"{variable}.reason", item["reason"], canonical.reason),
        "until": note.canonical(f"{variable}.until", _written(item["until"]), canonical.day),
    }


def _written(until: Any) -> Any:
    """A day as a user writes it; YAML makes a date of one that is in no quotes."""
    return until.isoformat() if isinstance(until, dt.date) and not isinstance(until, dt.datetime) else until
