# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where the program meets Ansible: results become ``exit_json``, exceptions ``fail_json``."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ._system.net import net
from ._system.remarks import remarks
from .checked import Checked, seconds
from .errors import OverdueError, UserError
from .shown import shown
from .unexpected import Part, words
from .verdict import INCONCLUSIVE

# what odd options do to Ansible; anything else that ends it before the module begins is meant, as by ansible-test
ODD = (ArithmeticError, LookupError, MemoryError, OSError, RecursionError, TypeError, ValueError)
UNSEEN = {"verdict": INCONCLUSIVE}  # of a module that was ended at its deadline


def run(
    main: Callable[[dict[str, Any], bool], dict[str, Any]], whole: bool = False, root: bool = False, **spec: Any
) -> None:
    """Run ``main(params, check_mode)`` as the body of a module and return its dict; ``spec`` goes to AnsibleModule.

    A ``failed`` key in the returned dict makes the task fail with the whole evidence in the result. A module with an
    option ``deadline`` ends a few seconds after it in any case, unless its work is done as a ``whole`` or not at all.
    ``root``: whether only root can do it; what others can do in part says itself what it could not look at.
    """
    with Part(_fail_plainly):
        module = AnsibleModule(**spec)
        with Part(lambda error: _fail(module, error)):
            with _net(module, whole):
                if root and uid():
                    raise UserError(f"only root can do this{_as_who()}")
                result = main(module.params, module.check_mode)
            _end(module, result)


def uid() -> int:
    """Who the module runs as."""
    return os.geteuid()


def _as_who() -> str:
    return f"; the module runs as uid {uid()}: connect as root, or set become to true"


def _end(module: AnsibleModule, result: dict[str, Any]) -> None:
    result = shown({**result, "warnings": [*result.get("warnings", []), *remarks()]})
    for text in result.pop("warnings"):
        module.warn(text)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**{"changed": False, **result})


def _fail(module: AnsibleModule, error: Exception) -> None:
    denied = _as_who() if isinstance(error, PermissionError) and uid() else ""
    more = error.result if isinstance(error, UserError) else UNSEEN if isinstance(error, OverdueError) else {}
    _end(module, {"failed": True, "msg": words(error) + denied, **more})


def _net(module: AnsibleModule, whole: bool) -> contextlib.AbstractContextManager[None]:
    if module.params.get("deadline") is None:
        return contextlib.nullcontext()
    note = Checked(module.params)
    deadline = note.one("deadline", seconds)
    note.settle()
    if whole:
        return contextlib.nullcontext()
    return net(deadline, lambda text: module.fail_json(msg=f"{text}: it waits for the system, and was ended", **UNSEEN))


def _fail_plainly(error: Exception) -> None:
    """The end of a module that Ansible could not even begin, or cannot end."""
    if not isinstance(error, ODD) and error.__class__ is not Exception:  # Ansible's own where options are no JSON
        raise error
    sys.stdout.write(json.dumps({"failed": True, "msg": shown(words(error))}) + "\n")
    raise SystemExit(1)
