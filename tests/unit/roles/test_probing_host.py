# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What another host is told to probe: a domain is served or relayed, however a user writes it."""

from __future__ import annotations

import pathlib

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

TASKS = pathlib.Path(__file__).resolve().parents[3] / "roles" / "verify" / "tasks" / "probe.yml"
KNOWN = {
    "domains": {"local": ["mx1", "example.org"], "virtual": ["example.net"], "relay": {"example.com": "p.example"}}
}
ALL = (["example.net", "example.org"], ["example.com"])


@pytest.mark.parametrize(
    ("named", "relayed", "told"),
    [
        ([], [], ALL),
        (["Example.ORG", "Example.COM"], [], (["example.org"], ["example.com"])),
        (["example.com"], [], ([], ["example.com"])),
        (["example.org", "a.example"], ["A.Example"], (["example.org"], ["a.example"])),
    ],
)
def test_a_domain_is_probed_as_what_it_is(named, relayed, told):
    loader = DataLoader()
    (task,) = (
        task
        for task in loader.load_from_file(str(TASKS), trusted_as_template=True)
        if "verify_known" in task.get("vars", {})
    )
    given = {"verify_domains": named, "verify_relay_domains": relayed, "verify_host": KNOWN, **task["vars"]}
    templar = Templar(loader=loader, variables=given)
    options = task["mailops.postmaster.smtp_probe"]
    assert tuple(sorted(templar.template(options[name])) for name in ("domains", "relay_domains")) == told
