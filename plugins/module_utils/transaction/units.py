# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a daemon belongs to a unit of systemd, or has only been started from it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

INIT_SCRIPTS = "/etc/init.d/"
DEFAULT = "@-"  # the instance that the unit of Postfix stands for, on Debian 12


def is_of(service: str, unit: str) -> bool:
    """Whether ``unit`` (exim4.service) is that of a service (exim4), or its default instance."""
    name = service.partition(".service")[0]
    return unit in (f"{name}.service", f"{name}{DEFAULT}.service")


def question(unit: str) -> list[str]:
    """The command whose output ``is_main`` reads."""
    return ["systemctl", "show", "--property=ActiveState,MainPID,SourcePath", "--", unit]


def is_main(said: str, pid: int) -> bool:
    """Whether a process is what an active unit runs.

    The unit of an init script does not say which process is its main one (MainPID=0), and has only what it runs. What
    a login, a job of cron or a unit that has ended left behind is in the control group of a unit, too, and so is what
    a script has started that only ran once (rc.local, a unit that is active after its end).
    """
    facts = _facts(said)
    active = facts.get("ActiveState") in ("active", "reloading")
    return active and (facts.get("MainPID") == str(pid) or _is_script(facts))


def is_script(said: str) -> bool:
    """Whether a unit is that of an init script that does not say which process is its main one."""
    return _is_script(_facts(said))


def _is_script(facts: Mapping[str, str]) -> bool:
    return facts.get("MainPID") == "0" and facts.get("SourcePath", "").startswith(INIT_SCRIPTS)


def _facts(said: str) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in said.splitlines())
