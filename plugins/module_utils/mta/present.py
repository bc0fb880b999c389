# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of names: the MTAs that are known, how each is recognised, and which of them a host has.

It imports no adapter: Ansible sends to a host what is imported anywhere, and a change asks no MTA what it serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .identify import Evidence, Signs, identify, installed

if TYPE_CHECKING:
    from .._system.host import Host, Socket

KNOWN = {
    "exim": Signs("/usr/sbin/exim4", ("exim4", "exim"), "Exim"),
    "opensmtpd": Signs("/usr/sbin/smtpctl", ("smtpd",), "OpenSMTPD"),
    "postfix": Signs("/usr/sbin/postconf", ("master",), "Postfix"),
    "sendmail": Signs("/usr/libexec/sendmail/sendmail", ("sendmail-mta", "sendmail"), "Sendmail"),
}


def look(host: Host) -> tuple[str, list[str]]:
    """The MTA in charge of a host, empty where there is none, and all that are installed."""
    there = frozenset(signs.program for signs in KNOWN.values() if host.stat(signs.program))
    sockets: list[Socket] = host.listeners() if len(there) > 1 else []
    listening = frozenset(name for found in sockets if found.port == 25 for name in found.programs)
    seen = Evidence(there, listening, host.real_path("/usr/sbin/sendmail"))
    return identify(seen, KNOWN), installed(seen, KNOWN)
