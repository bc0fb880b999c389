# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""address_resolve: its options, and what an address costs that cannot be followed."""

from __future__ import annotations

import fake_mta
import pytest
from ansible_collections.mailops.postmaster.plugins.modules import address_resolve

WRONG = [
    (["a\nb@example.org"], "addresses: 'a\\nb@example.org'"),
    (["a\0"], "addresses: 'a\\x00'"),
    (["\u202ea@example.org"], "addresses: '\\u202ea@example.org'"),
    ([""], "addresses: ''"),
    (["a" * 1_000_000], "at most 1000 characters"),
    ([f"a{number}" for number in range(100_000)], "addresses: 100000 entries are too many"),
]


@pytest.mark.parametrize(("addresses", "said"), WRONG)
def test_what_is_no_address_is_refused_before_the_mta_is_asked(run_module, monkeypatch, addresses, said):
    monkeypatch.setattr(address_resolve, "adapter", lambda *_: pytest.fail("asked"))
    result = run_module(address_resolve, {"addresses": addresses})
    assert result["failed"]
    assert said in result["msg"]


class Broken(fake_mta.Mta):
    def expect(self, _addresses):
        raise MemoryError

    def node(self, address):
        return {"bad": 1 / (address != "bad")} if address == "bad" else address


def test_an_address_that_cannot_be_followed_costs_only_its_own_verdict(run_module, monkeypatch):
    monkeypatch.setattr(address_resolve, "adapter", lambda host, _name: Broken(host))
    result = run_module(address_resolve, {"addresses": ["postmaster", "bad", "abuse"]})
    assert [found["verdict"] for found in result["addresses"]] == ["pass", "inconclusive", "pass"]
    assert "ZeroDivisionError in test_address_resolve.py" in result["addresses"][1]["problems"][0]["message"]
