# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mail host whose MTA is data: it listens where a test says, and its mail ends where a test says."""

from __future__ import annotations

from types import MappingProxyType

from ansible_collections.mailops.postmaster.plugins.module_utils import prove
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.expand import Destination, Step
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.adapter import AliasFile, Served
from ansible_collections.mailops.postmaster.plugins.module_utils.proof import HandedOn
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.probe import probe_each


class Mta:
    """``ends`` are pairs of kind and value, or kind, value and next hop; ``others`` those of single local parts."""

    name, limits, trusts_itself = "simple", (), False
    ends = (("mailbox", "/nonexistent/alice"),)
    others = MappingProxyType({})
    domains = ("example.org",)
    listening = ()

    def __init__(self, host):
        self.host = host

    def version(self):
        return "1.0"

    def served(self):
        return Served("mx.example.org", local=self.domains)

    def kind_of(self, _domain):
        return "none"

    def tables(self):
        return []

    def listeners(self):
        return list(self.listening)

    def aliases(self):
        return AliasFile("/etc/aliases")

    def aliased(self, _names):
        return set()

    def expect(self, _addresses):
        pass

    def node(self, address):
        return address

    def step(self, node):
        ends = self.others.get(str(node).partition("@")[0], self.ends)
        return Step(
            destinations=tuple(Destination(kind, value, next_hop=hop[0] if hop else "") for kind, value, *hop in ends)
        )

    def opinion(self, _address):
        return None

    def paused(self):
        return []

    def handed_on(self, _queue_id, _since):
        return HandedOn("unknown", "nothing is known")


def use(mta, ports=()):
    """Make ``mta`` the MTA of this host, for the proof, with servers on loopback as if others could reach them."""
    prove.adapter_for = lambda host, _name: mta(host)
    if ports:
        mta.listening = (("127.0.0.1", ports[0]),)
        prove.PORT, prove.LOOPBACK = ports[0], ("none",)
        prove.probe_each = lambda _own, *rest: probe_each([("127.0.0.1", port) for port in ports], *rest)
