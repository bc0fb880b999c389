# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of names: the MTAs that are known, how each is recognised, and the adapter in the module of that name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import UserError
from .identify import Evidence, Signs, identify, installed

if TYPE_CHECKING:
    from .._system.host import Host, Socket
    from .adapter import Adapter

    # Ansible sends to a host what is imported anywhere. There only the adapter that is needed is loaded.
    from .exim import Exim
    from .opensmtpd import OpenSMTPD
    from .postfix import Postfix
    from .sendmail import Sendmail

KNOWN = {
    "exim": Signs("/usr/sbin/exim4", ("exim4", "exim"), "Exim"),
    "opensmtpd": Signs("/usr/sbin/smtpctl", ("smtpd",), "OpenSMTPD"),
    "postfix": Signs("/usr/sbin/postconf", ("master",), "Postfix"),
    "sendmail": Signs("/usr/libexec/sendmail/sendmail", ("sendmail-mta", "sendmail"), "Sendmail"),
}


def adapter_class(name: str) -> type[Exim | OpenSMTPD | Postfix | Sendmail]:
    """The adapter of an MTA that is known."""
    found: type[Exim | OpenSMTPD | Postfix | Sendmail]
    found = getattr(import_module("." + name, __package__), KNOWN[name].adapter)
    return found


def look(host: Host) -> tuple[str, list[str]]:
    """The MTA in charge of a host, empty where there is none, and all that are installed."""
    there = frozenset(signs.program for signs in KNOWN.values() if host.stat(signs.program))
    sockets: list[Socket] = host.listeners() if len(there) > 1 else []
    listening = frozenset(name for found in sockets if found.port == 25 for name in found.programs)
    seen = Evidence(there, listening, host.real_path("/usr/sbin/sendmail"))
    return identify(seen, KNOWN), installed(seen, KNOWN)


def adapter(host: Host, name: str = "") -> Adapter:
    """The adapter for the MTA of a host; ``name`` where it is known which one it is."""
    if name and name not in KNOWN:
        raise UserError("mta: '{}' is unknown; allowed: {}".format(name, ", ".join(KNOWN)))
    found, there = look(host)
    wanted = name or found
    if not wanted:
        several = "there are several MTAs ({}): say which one with mta".format(", ".join(there))
        raise UserError(several if there else "there is no MTA on this host that is known: {}".format(", ".join(KNOWN)))
    if wanted not in there:
        raise UserError(
            "mta: '{}' is not installed on this host; installed: {}".format(wanted, ", ".join(there) or "none")
        )
    return adapter_class(wanted)(host)
