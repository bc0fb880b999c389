# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mail_plan: the model of a mail host from its variables, worked out on the controller."""

from __future__ import annotations

import datetime as dt
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.mailops.postmaster.plugins.module_utils.mail_plan import build
from ansible_collections.mailops.postmaster.plugins.module_utils.mistakes import BadInputError
from ansible_collections.mailops.postmaster.plugins.module_utils.variables import mistakes, unknown, warnings


class ActionModule(ActionBase):
    """Never connects to the host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        names = unknown(task_vars or {})
        misspelled = mistakes(names)
        try:
            plan = build(self._task.args, dt.date.today()) if self._task.args else {}
        except BadInputError as error:
            raise AnsibleActionFail("\n".join([*misspelled, *error.errors])) from error
        if misspelled:
            raise AnsibleActionFail("\n".join(misspelled))
        return {**result, "changed": False, "plan": plan, "warnings": warnings(names)}
