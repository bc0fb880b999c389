# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where the program meets Ansible: results become ``exit_json``, exceptions ``fail_json``."""

from __future__ import annotations

from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from .errors import UserError
from .shown import shown


def run(main: Callable[[dict[str, Any], bool], dict[str, Any]], **spec: Any) -> None:
    """Run ``main(params, check_mode)`` as the body of a module and return its dict; ``spec`` goes to AnsibleModule.

    A ``failed`` key in the returned dict makes the task fail with the whole evidence in the result.
    """
    module = AnsibleModule(**spec)
    try:
        result = main(module.params, module.check_mode)
    except UserError as error:
        result = {"failed": True, "msg": str(error), **error.result}
    except OSError as error:
        result = {"failed": True, "msg": "{}: {}".format(error.filename or "system", error.strerror or error)}
    _end(module, shown(result))


def _end(module: AnsibleModule, result: dict[str, Any]) -> None:
    for text in result.pop("warnings", []):
        module.warn(text)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**{"changed": False, **result})
