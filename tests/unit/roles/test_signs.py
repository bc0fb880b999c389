# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sign that an address may have is itself for the MTA that the address is written for, or the address is refused."""

from __future__ import annotations

import re

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.table import new_entry, target
from ansible_collections.mailops.postmaster.plugins.module_utils.canonical import LOCAL_PART
from ansible_collections.mailops.postmaster.plugins.module_utils.mail_plan import build
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.exim_syntax import redirections
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.opensmtpd_items import items
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.postfix_syntax import addresses
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.sendmail_syntax import members
from test_templates import BACKENDS, templar_of

# What each MTA reads in the right-hand side of an alias or a row.
READERS = {
    "exim": lambda text: [item for _line, item in redirections(text)],
    "opensmtpd": lambda text: [item.text for item in items(text)[0]],
    "postfix": addresses,
    "sendmail": members,
}
ADDRESSES = [f"a{chr(code)}b@example.edu" for code in range(33, 127) if LOCAL_PART.fullmatch(f"a{chr(code)}b")]
ODD = [address for address in ADDRESSES if not address[1].isalnum()]
# What an MTA reads as something else, and what the refusal says of it.
MISREAD = {"opensmtpd": (["a'b@example.edu"], "a quotation mark")}
PLACES = {
    "mta_postmaster": ODD,
    "role_addresses_targets": {"noc": ODD},
    "mta_virtual_domains": {"example.net": {"sales": ODD}},
    "role_addresses_domains": {"mx1.example.org": {"abuse": ODD}},
}


def test_all_signs_are_tried():
    assert {address[1] for address in ODD} == set("_+='&~/.-")


@pytest.mark.parametrize("variable", PLACES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_target_is_what_the_mta_reads_or_it_is_refused(backend, variable):
    plan = build({"mta_hostname": "mx1.example.org", "mta_postmaster": "alice", variable: PLACES[variable]})
    given, _loader, templar = templar_of(backend, plan)
    rows = [row for row in given["mta_backend_refusals"] if variable in row["variable"].split()]
    found = [(templar.template(row["values"]), row["allowed"]) for row in rows]
    misread, why = MISREAD.get(backend, ([], ""))
    refused = [address for values, allowed in found if why in allowed for address in values]
    assert refused == misread
    good = [address for address in ODD if address not in refused]
    assert [READERS[backend](address) for address in good] == [[address] for address in good]
    assert READERS[backend](", ".join(good)) == good
    assert [address for address in refused if READERS[backend](address) == [address]] == []


@pytest.mark.parametrize("address", ODD)
def test_the_name_of_an_alias_stands_in_no_quotes_which_are_a_part_of_it_for_opensmtpd(address):
    name = address.partition("@")[0]
    assert re.match(r"[^:]*", new_entry(name, [target("alice")])).group() == name
