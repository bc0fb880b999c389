# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""config_transaction: renders its templates on the controller, and ships all files in one call of the module.

What the files say travels encoded in one option that nobody logs (see ``payload``).
"""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.payload import pack
from ansible_collections.mailops.postmaster.plugins.plugin_utils.packing import uncollected

SEARCHED = ("ansible_search_path", "role_path")  # what says where templates are


class ActionModule(ActionBase):
    """Turns ``templates`` into ``files``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        with uncollected():
            result.update(self._send(task_vars or {}))
        return result

    def _send(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        args = dict(self._task.args)
        rendered = [self._render(template, task_vars) for template in args.pop("templates", [])]
        files = [*args.pop("files", []), *rendered]
        args["contents"] = pack([_content(file) for file in files])
        args["files"] = [{name: value for name, value in file.items() if name != "content"} for file in files]
        module = "mailops.postmaster.config_transaction"
        found: dict[str, Any] = self._execute_module(module_name=module, module_args=args, task_vars=task_vars)
        return found

    def _render(self, template: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        src = template.get("src", "")
        paths = {name: variables[name] for name in SEARCHED if name in variables}
        try:
            # the lookup copies the variables that it is given, all of them, but for those of template_vars
            (content,) = lookup.run([src], variables=paths, template_vars=variables, trim_blocks=True)
        except AnsibleError as error:
            raise AnsibleActionFail(f"template {src}: {error}") from error
        return {**{name: value for name, value in template.items() if name != "src"}, "content": content}


def _content(file: Any) -> str:
    """What a file says; a number that a template has made of it is a text again."""
    content = file.get("content") if isinstance(file, dict) else None
    if isinstance(content, bool) or not isinstance(content, (str, int, float)):
        name = file.get("path", "") if isinstance(file, dict) else ""
        raise AnsibleActionFail(f"files: {name} needs a content; allowed: a text, which may be empty")
    return str(content)
