# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""postmaster_check: as any module, but sent to the host in less time."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action.normal import ActionModule as Normal
from ansible_collections.mailops.postmaster.plugins.plugin_utils.packing import uncollected


class ActionModule(Normal):
    """Changes neither the options nor the result."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        with uncollected():
            result: dict[str, Any] = super().run(tmp, task_vars)
        return result
