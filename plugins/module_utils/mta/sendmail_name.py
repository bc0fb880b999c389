# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of a host for which Sendmail and its tools sleep 60 seconds at each start, as its log alone says.

It does where the host is known by a name without a domain, before it reads any configuration (myhostname in
sendmail/daemon.c). A host that is not known by its name at all is no such host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._system.host import Host

NAME = "/proc/sys/kernel/hostname"
PROGRAM = "/usr/libexec/sendmail/sendmail"
AWAKE = 10.0  # seconds in which a Sendmail that does not sleep has answered
REMEDY = "put its full name first in its line of /etc/hosts, as in `192.0.2.1 mail.example.org mail`"


def short_name(host: Host) -> str:
    """The name of the host, where Sendmail sleeps for it; else empty."""
    try:
        own = host.read(NAME).strip()
    except OSError:
        return ""
    if "." in own:
        return ""
    full = host.run(["hostname", "--fqdn"], timeout=AWAKE)
    known = full.out.strip() if not full.rc else ""
    if not known or "." in known:
        return ""
    there = host.stat(PROGRAM) is not None
    return known if not there or host.run([PROGRAM, "-bt"], timeout=AWAKE).timed_out else ""


def sleeps(name: str) -> str:
    """What to say of such a name."""
    return f"the name of this host is {name}, without a domain: Sendmail sleeps 60 s at each start for it; {REMEDY}"
