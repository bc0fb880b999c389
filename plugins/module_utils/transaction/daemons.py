# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the daemon of each MTA is known among the processes of a host, and by what it shows a reload. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._system.processes import with_children

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._system.processes import Process


@dataclass(frozen=True)
class Daemon:
    """``command``: a regular expression for the command lines of the processes that hold the listening sockets.

    ``renews``: the name of a process that the daemon starts anew when it reads its configuration again. Without one
    the daemon opens its listening sockets anew then. ``accounts``: who runs its processes, besides root.
    """

    command: str
    renews: str = ""
    accounts: tuple[str, ...] = ()

    def among(self, processes: Iterable[Process]) -> list[Process]:
        """Those that hold the listening sockets.

        A daemon of the MTA's account has begun its session, or is a part of one that has. What a user starts at a
        terminal, and stops there, is in the session of something else, which may have ended.
        """
        named = {one.pid: one for one in self.own(processes) if re.search(self.command, one.command)}
        return [one for one in named.values() if one.account == "root" or one.session in named]

    def own(self, processes: Iterable[Process]) -> list[Process]:
        """Those that root or the MTA runs: anybody else can call a process of his what he likes, and stop it.

        Anybody can start a program of the MTA, too, and Exim then runs as its account: he can stop it at his terminal,
        or while a process of his is its parent. A daemon has neither.
        """
        listed = list(processes)
        by_pid = {one.pid: one for one in listed}
        return [one for one in listed if self._is_own(one, by_pid)]

    def _is_own(self, one: Process, by_pid: Mapping[int, Process]) -> bool:
        """Whether a process is root's, or the MTA's and started by root."""
        seen = set()
        while one.account in self.accounts and not one.terminal and one.pid not in seen:
            if one.parent not in by_pid:
                return True
            seen.add(one.pid)
            one = by_pid[one.parent]
        return one.account == "root"

    def family(self, holders: Iterable[Process], processes: Iterable[Process]) -> list[Process]:
        """Some that hold the listening sockets, and all that these have started and that root or the MTA runs."""
        return with_children(holders, self.own(processes))


# Exim takes the words of a user, but this option only of an administrator's. So it is looked for where it cannot be a
# recipient, or belong to an option before it.
EXIM = r"^\S*exim4?( -(C|oX|oP) [^-\s]\S*| -[qdDv]\S*)* -bdf?( |$)"

DAEMONS = {
    "exim": Daemon(EXIM, accounts=("Debian-exim",)),
    "opensmtpd": Daemon(
        r"^/\S*/smtpd( |$)|^smtpd( -[dFv].*)?$|^smtpd:[ \0]", accounts=("opensmtpd", "opensmtpq", "_smtpd", "_smtpq")
    ),
    # on SIGHUP its master keeps the sockets, and ends the queue manager (master(8))
    "postfix": Daemon(r"^\S*/postfix/\S*master( |$)|^(smtpd|postscreen) -n ", renews="qmgr", accounts=("postfix",)),
    # its deliveries and its connections are "sendmail: MTA: ...", too: who signals them cuts them off
    "sendmail": Daemon(
        r"^sendmail:[ \0]MTA:[ \0](accepting|rejecting)[ \0]connections|^\S*sendmail(-mta)? (.* )?-bd( |$)",
        accounts=("smmta", "smmsp"),
    ),
}
