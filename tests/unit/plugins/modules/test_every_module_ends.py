# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens, a module ends with a result, and the result is a sentence: never a traceback, never silence."""

from __future__ import annotations

import pytest

DEEP = b'{"ANSIBLE_MODULE_ARGS": {"servers": ["mx.example.org"], "domains": %s%s}}' % (b"[" * 3000, b"]" * 3000)
REPLACED = """
import sys
sys.path[:0] = sys.argv[1:3]
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp import probe
def work(params, check_mode):
    {}
probe.probe_servers = work
"""

WRONG = [
    ("raise MemoryError", "there was not enough memory"),
    ("work(params, check_mode)", "nested too deeply"),
    ("'\\udc80'.encode()", "UnicodeEncodeError in"),
    ("open('/etc/hostname/x')", "/etc/hostname/x: Not a directory"),
    ("return None", "AttributeError in runner.py line"),
    ("return {'x': [[]] * (1 << 40)}", "there was not enough memory"),
    ("a = []; [a := [a] for _ in range(100000)]; return {'x': a}", "nested too deeply"),
    ("while True: pass", "the module had not ended after 1 s, its deadline"),
]


@pytest.mark.parametrize(("body", "said"), WRONG)
def test_whatever_goes_wrong_in_a_module_is_a_sentence(spawn_module, body, said):
    params = {"servers": ["mx.example.org"], "deadline": 1}
    run = spawn_module("smtp_probe", params, before=REPLACED.format(body))
    assert run.result["failed"]
    assert said in run.result["msg"]
    assert "\n" not in run.result["msg"]
    assert run.seconds < 6 + 5
    assert run.megabytes < 300


def test_arguments_that_are_nested_too_deeply_are_a_sentence(spawn_module):
    run = spawn_module("smtp_probe", DEEP)
    assert run.result["failed"]
    assert run.megabytes < 300
