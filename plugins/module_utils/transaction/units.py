# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a daemon belongs to a unit of systemd, or has only been started from it. Pure."""

from __future__ import annotations

DEFAULT = "@-"  # the instance that the unit of Postfix stands for, on Debian 12


def is_of(service: str, unit: str) -> bool:
    """Whether ``unit`` (exim4.service) is that of a service (exim4), or its default instance."""
    name = service.partition(".service")[0]
    return unit in (f"{name}.service", f"{name}{DEFAULT}.service")


def question(unit: str) -> list[str]:
    """The command whose output ``is_main`` reads."""
    return ["systemctl", "show", "--property=ActiveState,MainPID", "--", unit]


def is_main(said: str, pid: int) -> bool:
    """Whether a process is what an active unit runs.

    A unit that does not say which process is its main one (MainPID=0, as those of init scripts) has only what it runs.
    What a login, a job of cron or a unit that has ended left behind is in the control group of a unit, too.
    """
    facts = dict(line.partition("=")[::2] for line in said.splitlines())
    return facts.get("ActiveState") in ("active", "reloading") and facts.get("MainPID") in ("0", str(pid))
