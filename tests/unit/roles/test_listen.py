# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a backend listens: at addresses that the host has, or the variable is refused."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.mail_plan import build
from test_templates import BACKENDS, templar_of

OWN = {"mta_hostname": "mx1.example.org", "mta_postmaster": "alice"}
NO_IPV6 = {"addresses": ["203.0.113.20"], "foreign": ["::1"]}


def asked(backend, word, host, **variables):
    given, _loader, templar = templar_of(backend, build({**OWN, **variables}), host=host)
    return templar.template(given[word])


def listens(backend, host, listen):
    if backend == "exim":
        settings = asked(backend, "mta_backend_settings", host, mta_listen=listen)
        return settings["local_interfaces"].removeprefix("<; ").split(" ; ")
    if backend == "postfix":
        return asked(backend, "mta_backend_settings", host, mta_listen=listen)["inet_interfaces"].split(", ")
    return asked(backend, "mta_backend_own", host, mta_listen=listen)["listen"]


@pytest.mark.parametrize("backend", sorted({*BACKENDS} - {"postfix"}))  # which looks itself (loopback-only)
def test_loopback_is_what_the_host_has_of_it(backend):
    assert listens(backend, {}, ["loopback"]) == ["127.0.0.1", "::1"]
    assert listens(backend, NO_IPV6, ["loopback"]) == ["127.0.0.1"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_address_of_the_host_is_listened_at(backend):
    assert "203.0.113.20" in listens(backend, NO_IPV6, ["203.0.113.20"])


@pytest.mark.parametrize(
    ("listen", "foreign", "refused"),
    [
        (["192.0.2.7"], ["192.0.2.7", "::1"], ["192.0.2.7"]),
        (["203.0.113.20", "2001:db8::7"], ["2001:db8::7"], ["2001:db8::7"]),
        (["::1"], ["::1"], ["::1"]),
        (["loopback"], ["::1"], []),
        (["all"], ["::1"], []),
        (["203.0.113.20"], [], []),
    ],
)
def test_an_address_that_the_host_does_not_have_is_refused(listen, foreign, refused):
    host = {"addresses": ["203.0.113.20"], "foreign": foreign}
    (found,) = asked("postfix", "mta_refusals", host, mta_listen=listen)
    assert (found["variable"], found["values"]) == ("mta_listen", refused)
    assert found["allowed"].endswith("the addresses of this host, which has 203.0.113.20")
