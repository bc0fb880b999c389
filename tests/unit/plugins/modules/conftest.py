# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module in this process as Ansible would, from its options to its result."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils import basic


@pytest.fixture
def run_module(monkeypatch, capsys, tmp_path):
    """``run_module(module, params, check=False, diff=False)`` gives the result, ``failed`` in any case."""

    def call(module, params, check=False, diff=False):
        internal = {"check_mode": check, "diff": diff, "remote_tmp": str(tmp_path), "keep_remote_files": False}
        arguments = {**params, **{f"_ansible_{name}": value for name, value in internal.items()}}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            module.main()
        result = json.loads(capsys.readouterr().out)
        assert result.setdefault("failed", False) == bool(end.value.code)
        return result

    return call
