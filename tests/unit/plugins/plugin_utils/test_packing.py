# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""While a module is packed no garbage is collected, and after that it is as before."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import pytest
from ansible.plugins.action.normal import ActionModule as Normal
from ansible_collections.mailops.postmaster.plugins.action import postmaster_check
from ansible_collections.mailops.postmaster.plugins.plugin_utils.packing import uncollected


@pytest.fixture(params=[True, False])
def enabled(request):
    """Whether it was on before."""
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def test_nothing_is_collected_until_the_end(enabled):
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled() == enabled


def test_what_was_made_is_not_gone_through_at_the_end_either(enabled):
    made = []
    with uncollected():
        made += [[] for _number in range(10_000)]
    try:
        assert (gc.get_count()[0] < len(made)) == enabled
        assert (gc.get_freeze_count() >= len(made)) == enabled
    finally:
        gc.unfreeze()


def test_a_failure_leaves_it_as_it_was(enabled):
    with pytest.raises(KeyError), uncollected():
        raise KeyError
    assert gc.isenabled() == enabled


def test_the_proof_is_sent_so_with_the_options_and_the_result_as_they_are(enabled, monkeypatch):
    seen = []

    def run(_self, tmp, task_vars):
        seen.append((gc.isenabled(), tmp, task_vars))
        return {"verdict": "pass"}

    monkeypatch.setattr(Normal, "run", run)
    plugin = postmaster_check.ActionModule(SimpleNamespace(args={}), None, None, None, None, None)
    assert plugin.run("tmp", {"a": 1}) == {"verdict": "pass"}
    assert seen == [(False, "tmp", {"a": 1})]
    assert gc.isenabled() == enabled
