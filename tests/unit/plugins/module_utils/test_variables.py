# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A misspelled name of a variable is refused with the one that was meant; one that is like none of them is named."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.variables import KNOWN, mistakes, unknown, warnings

MISSPELLED = {
    "mta_domain": "mta_domains",
    "mta_trusted_network": "mta_trusted_networks",
    "mta_relay_domian": "mta_relay_domains",
    "mta_greylisting": "mta_greylist",
    "mta_post_master": "mta_postmaster",
    "mta_Domains": "mta_domains",
    "verify_form": "verify_from",
    "role_addresses_target": "role_addresses_targets",
    "role_addresses_domain": "role_addresses_domains",
    "role_adresses_services": "role_addresses_services",
    "role_address_targets": "role_addresses_targets",
    "roles_addresses_targets": "role_addresses_targets",
    "role_adress_domain": "role_addresses_domains",
    "roleaddresses_domains": "role_addresses_domains",
    "role__addresses_domains": "role_addresses_domains",
    "rol_addresses_strategy": "role_addresses_strategy",
    "Role_Addresses_targets": "role_addresses_targets",
    "verfy_from": "verify_from",
    "verfiy_from": "verify_from",
    "veryfy_send": "verify_send",
    "verifi_domains": "verify_domains",
    "VERIFY_layers": "verify_layers",
    "mta__domains": "mta_domains",
    "mtaa_domains": "mta_domains",
    "mmta_domains": "mta_domains",
    "mat_domains": "mta_domains",
    "MTA_relay_domains": "mta_relay_domains",
    "mat_extra_setting": "mta_extra_settings",
}
OTHERS = ["mta_sts_policy", "mta_x", "verify_ssl", "role_addresses_", "mta_"]


@pytest.mark.parametrize(("name", "meant"), MISSPELLED.items())
def test_a_misspelled_name_is_refused_with_the_one_that_was_meant(name, meant):
    found = unknown(["ansible_host", name, "mta_backend"])
    assert mistakes(found) == [f"{name}: there is no such variable; did you mean {meant}?"]
    assert warnings(found) == []


@pytest.mark.parametrize("name", OTHERS)
def test_a_name_that_is_like_none_is_named_and_stops_nothing(name):
    found = unknown([name, "hostname"])
    assert (mistakes(found), len(warnings(found))) == ([], 1)
    assert name in warnings(found)[0]


# other roles and Ansible itself have such names
ELSEWHERE = [
    *("ansible_mta_domain", "mtadomains", "my_mta_domain", "postfix_mta_x", "mta", "verify", "role_addresses"),
    *("meta_domains", "mda_domains", "mtu_service", "mx_domains", "amt_hostname", "data_domains", "mail_domains"),
    *("role_path", "role_name", "role_names", "ip_addresses_path", "mail_addresses_domains", "user_addresses_domains"),
    *("notify_from", "verified_domains", "vary_host", "rectify_domains", "role_adresses_of_my_own", "mat_x", "_", "__"),
    *("validate_certs", "vars", "groups", "hostvars", "group_names", "inventory_hostname", "omit"),
]


@pytest.mark.parametrize("name", [*sorted(KNOWN), *ELSEWHERE])
def test_what_is_known_and_what_is_somebody_elses_is_no_mistake(name):
    assert unknown([name]) == {}
