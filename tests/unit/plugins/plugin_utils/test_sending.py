# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that is asked about domains gets A-labels: the host need not have what converts them."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from ansible.plugins.action.normal import ActionModule as Normal
from ansible_collections.mailops.postmaster.plugins.action import mta_info, postmaster_check, smtp_probe

try:
    import idna
except ImportError:  # a .venv that is older than requirements.txt; pip has the same package in it
    from pip._vendor import idna


@pytest.fixture
def sent(monkeypatch):
    """The options with which a module goes to its host."""
    monkeypatch.setattr(Normal, "run", lambda *_given: {})

    def send(plugin, installed, **options):
        monkeypatch.setitem(sys.modules, "idna", idna if installed else None)
        task = SimpleNamespace(args=options)
        assert plugin.ActionModule(task, None, None, None, None, None).run() == {}
        return task.args

    return send


@pytest.mark.parametrize("plugin", [mta_info, postmaster_check, smtp_probe])
def test_the_controller_converts_the_domains_that_a_host_is_asked_about(sent, plugin):
    given = ["βόλος.example", "bücher.example", "Example.org.", "ΒΌΛΟΣ.example", 7]
    found = sent(plugin, True, domains=given, relay_domains=["straße.example"], send=False)
    wanted = ["xn--nxasmm1c.example", "xn--bcher-kva.example", "example.org", "ΒΌΛΟΣ.example", 7]
    assert found == {"domains": wanted, "relay_domains": ["xn--strae-oqa.example"], "send": False}


def test_what_it_cannot_convert_is_the_module_s_to_refuse(sent):
    assert sent(smtp_probe, False, domains=["βόλος.example"]) == {"domains": ["βόλος.example"]}
    assert sent(smtp_probe, True, domains="βόλος.example", servers=["ß"]) == {
        "domains": "βόλος.example",
        "servers": ["ß"],
    }
