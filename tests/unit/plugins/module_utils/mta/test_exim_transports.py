# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where mail ends that one of Exim's transports gets: at an LMTP server, or at another host and one of its ports."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.exim_route import Routers
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.exim_syntax import Driver
from fakes import FakeHost

SMTP = {"driver": "smtp", "port": "smtp", "protocol": "smtp"}
OWN = {**SMTP, "hosts": "127.0.0.1"}
HERE = {"driver": "accept"}
HUB = {"driver": "manualroute", "route_list": "* hub.example"}
LMTP = {"protocol": "lmtp", "port": "lmtp"}


@pytest.mark.parametrize(
    ("router", "transport", "end"),
    [
        (HERE, {"driver": "lmtp", "socket": "/run/dovecot/lmtp"}, ("lmtp", "/run/dovecot/lmtp", "")),
        (HERE, {"driver": "lmtp", "command": "/usr/bin/lmtpd -s"}, ("lmtp", "/usr/bin/lmtpd -s", "")),
        (HERE, {**OWN, **LMTP}, ("lmtp", "[127.0.0.1]:24", "")),
        (HERE, {**OWN, "protocol": "lmtp", "port": "10024"}, ("lmtp", "[127.0.0.1]:10024", "")),
        (HUB, {**SMTP, **LMTP}, ("lmtp", "[hub.example]:24", "")),
        (HERE, OWN, ("remote", "x@a.example", "[127.0.0.1]")),
        (HERE, {**OWN, "port": "10025"}, ("remote", "x@a.example", "[127.0.0.1]:10025")),
        (HERE, {**OWN, "hosts": "relay.example::587 : b.example"}, ("remote", "x@a.example", "[relay.example]:587")),
        (HUB, SMTP, ("remote", "x@a.example", "[hub.example]")),
        (HUB, {**SMTP, "port": "587"}, ("remote", "x@a.example", "[hub.example]:587")),
        (HUB, {**SMTP, "port": "submission"}, ("remote", "x@a.example", "[hub.example]:587")),
        (HERE, {"driver": "appendfile", "file": "/var/mail/x"}, ("mailbox", "/var/mail/x", "")),
    ],
)
def test_a_transport_leads_to_its_server_and_its_port(router, transport, end):
    host = FakeHost()
    routers = Routers(host, {}, [Driver("r", {**router, "transport": "t"})], [Driver("t", transport)])
    routers.matches = lambda *_: True
    (found,) = routers.step(routers.address("x@a.example")).destinations
    assert (found.kind, found.value, found.next_hop) == end


def test_a_literal_is_nothing_that_the_dns_is_asked_for():
    """So that an address literal of the host itself is no loop where no router takes literals, as in stock Debian."""
    host = FakeHost()
    routers = Routers(host, {}, [Driver("r", {"driver": "dnslookup", "transport": "t"})], [Driver("t", SMTP)])
    assert [end.kind for end in routers.step(routers.address("x@[192.0.2.1]")).destinations] == ["error"]
    assert [end.kind for end in routers.step(routers.address("x@a.example")).destinations] == ["remote"]


@pytest.mark.parametrize(
    ("options", "login"),
    [
        ({}, False),
        ({"hosts_require_auth": "*"}, True),
        ({"hosts_try_auth": "hub.example"}, True),
        ({"hosts_try_auth": "<; "}, False),
        ({"hosts_try_auth": "<; ${lookup{$host}nwildlsearch{/etc/exim4/passwd.client}{$host_address}}"}, True),
        ({"hosts_try_auth": "<; ${lookup{$host}nwildlsearch{/etc/exim4/other}{$host_address}}"}, False),
    ],
)
def test_a_transport_has_a_login_where_its_options_name_the_host(options, login):
    """As Debian writes it: a file of passwords that is looked up by the name of the host."""
    found = "<; ${lookup{hub.example}nwildlsearch{/etc/exim4/passwd.client}{hub.example}}"
    host = FakeHost()
    routers = Routers(host, {}, [Driver("r", {**HUB, "transport": "t"})], [Driver("t", {**SMTP, **options})])
    routers.matches = lambda *_: True
    known = routers.expand
    routers.expand = lambda text: {found: "<; hub.example"}.get(text, known(text) if "$" not in text else "<; ")
    (end,) = routers.step(routers.address("x@a.example")).destinations
    assert end.login == login
