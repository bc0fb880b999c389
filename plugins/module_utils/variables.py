# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of the roles' variables, so that a misspelled one does not pass for one that is not set. Pure."""

from __future__ import annotations

from difflib import SequenceMatcher, get_close_matches
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# What a user may set: what follows each prefix.
PUBLIC: dict[str, tuple[str, ...]] = {
    "mta_": (
        *("backend", "blocklists", "client_rate", "command_timeout", "confirm_timeout", "domains", "extra_settings"),
        *("greylist", "helo_checks", "hostname", "listen", "message_size", "postmaster", "postmaster_blocked_clients"),
        *("postmaster_notices", "postmaster_unread_days", "relay_domains", "sender_checks", "service", "spam_filter"),
        *("spf", "trusted_networks", "virtual_domains"),
    ),
    "role_addresses_": ("domains", "packages", "path", "rebuild", "services", "strategy", "targets"),
    "verify_": (
        *("allowed_accounts", "domains", "exempt", "from", "host", "layers", "relay_domains", "remove_messages"),
        *("report_only", "role_addresses", "send", "send_forms", "servers", "strict", "timeout", "unread_days"),
    ),
}
# What the roles set themselves.
INTERNAL: dict[str, tuple[str, ...]] = {
    "mta_": (
        *("answers", "backend_aliases_mode", "backend_aliases_rebuild", "backend_defences", "backend_own"),
        *("backend_packages", "backend_refusals", "backend_refused", "backend_settings", "backend_systems"),
        *("backend_tested", "backend_transaction", "defences_needs", "defences_services", "defences_shared", "listens"),
        *("loopback", "old", "refusals", "replaces", "spam_mark", "spam_refusal", "system", "transaction", "undone"),
    ),
    "role_addresses_": ("asked", "host", "missing", "mta", "plan"),
    "verify_": ("all", "asked", "known", "probe", "relayed", "result", "served"),
}
CLOSE = 0.75  # of two names that are as good as one (difflib)
ALIKE = 0.8  # of two prefixes, of which a wrong one could be another role's
SHORT = 4  # letters of a prefix that has too few to be alike to another one


def _names(parts: dict[str, tuple[str, ...]]) -> list[str]:
    return [prefix + name for prefix, names in parts.items() for name in names]


KNOWN = frozenset([*_names(PUBLIC), *_names(INTERNAL)])


def unknown(names: Iterable[str]) -> dict[str, str]:
    """The names that begin as those of the roles do and are none of them; each with the one that may have been meant,
    empty where none is like it. A name whose beginning is misspelled is among them where its rest is known."""
    found = {}
    for name in sorted({*names} - KNOWN):
        prefix = next(filter(name.startswith, PUBLIC), "")
        meant = _meant(name[len(prefix) :], prefix) if prefix else _meant_with_prefix(name)
        if prefix or meant:
            found[name] = meant
    return found


def _meant(rest: str, prefix: str) -> str:
    close = get_close_matches(rest.lower(), PUBLIC[prefix], 1, CLOSE)
    return prefix + close[0] if close else ""


def _meant_with_prefix(name: str) -> str:
    """The name that was meant where the prefix is misspelled; empty where it is not like any."""
    for prefix in PUBLIC:
        for end in [at for at, sign in enumerate(name) if sign == "_"]:
            meant = _meant(name[end + 1 :], prefix) if _misspelled(name[:end], prefix) else ""
            if meant:
                return meant
    return ""


def _misspelled(text: str, prefix: str) -> bool:
    """Whether a text is most likely this prefix: the same but for the letter case, the number of a letter or ``_``, two
    letters in each other's place, or, where the prefix is long enough, whatever leaves it alike."""
    found, wanted = (part.replace("_", "").lower() for part in (text, prefix))
    if found[:1] != wanted[:1] or abs(len(found) - len(wanted)) > SHORT:
        return False
    if _single(found) == _single(wanted) or found in _exchanged(wanted):
        return True
    return len(wanted) > SHORT and SequenceMatcher(None, found, wanted).ratio() >= ALIKE


def _single(text: str) -> str:
    """A text in which no letter is followed by itself."""
    return "".join(letter for letter, _group in groupby(text))


def _exchanged(text: str) -> set[str]:
    """A text with two neighbours in each other's place."""
    return {text[:at] + text[at + 1] + text[at] + text[at + 2 :] for at in range(len(text) - 1)}


def mistakes(found: dict[str, str]) -> list[str]:
    """A sentence for each name that was most likely misspelled."""
    return [f"{name}: there is no such variable; did you mean {meant}?" for name, meant in found.items() if meant]


def warnings(found: dict[str, str]) -> list[str]:
    """A sentence for each of the others: another role may have such a name, too."""
    return [
        f"{name} is no variable of this collection, and nothing was done with it"
        for name, meant in found.items()
        if not meant
    ]
