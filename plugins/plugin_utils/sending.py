# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends a module that is asked about domains to a host.

Domains in other scripts are converted here, because the package that this may need is on the controller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.plugins.action.normal import ActionModule as Normal
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.names import domain
from ansible_collections.mailops.postmaster.plugins.plugin_utils.packing import uncollected

if TYPE_CHECKING:
    from collections.abc import Mapping

OPTIONS = ("domains", "relay_domains")


class Sent(Normal):
    """As any module, but sent in less time, and with domains as SMTP has them. The result is the module's own."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        self._task.args = converted(self._task.args)
        with uncollected():
            result: dict[str, Any] = super().run(tmp, task_vars)
        return result


def converted(args: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a module, their domains as SMTP has them; what cannot be converted is the module's to refuse."""
    found = {option: args[option] for option in OPTIONS if isinstance(args.get(option), list)}
    return {**args, **{option: [_converted(name) for name in names] for option, names in found.items()}}


def _converted(name: Any) -> Any:
    try:
        return domain(name) if isinstance(name, str) else name
    except ValueError:
        return name
