# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service listens where it was told to, and nowhere else on these ports."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.listening import misplaced

MISSING, SURPLUS = "nothing listens at {} port {}, where", "something listens at {} port {}, where"


def places(*texts):
    return [(text.split("|")[0], int((text + "|25").split("|")[1])) for text in texts]


@pytest.mark.parametrize(
    ("asked", "found", "wrong"),
    [
        (["192.0.2.1"], ["192.0.2.1"], []),
        (["192.0.2.1"], ["0.0.0.0"], [(MISSING, "192.0.2.1", 25), (SURPLUS, "0.0.0.0", 25)]),
        (["192.0.2.1"], ["192.0.2.1", "0.0.0.0"], [(SURPLUS, "0.0.0.0", 25)]),
        (["192.0.2.1"], ["192.0.2.1", "127.0.0.1", "::1"], [(SURPLUS, "127.0.0.1", 25), (SURPLUS, "::1", 25)]),
        (["192.0.2.1", "192.0.2.2"], ["192.0.2.1"], [(MISSING, "192.0.2.2", 25)]),
        (["192.0.2.1"], ["192.0.2.1|587"], [(MISSING, "192.0.2.1", 25)]),
        (["192.0.2.1"], ["192.0.2.1", "0.0.0.0|587"], []),
        (["192.0.2.1|587"], ["192.0.2.1|587", "0.0.0.0"], []),
        (["2001:DB8:0::1"], ["2001:db8::1"], []),
        (["fe80::1%eth0"], ["fe80::1"], []),
        (["all"], ["0.0.0.0"], []),
        (["all"], ["::"], []),
        (["all"], ["0.0.0.0", "::"], []),
        (["all"], ["192.0.2.1"], [(MISSING, "any address,", 25), (SURPLUS, "192.0.2.1", 25)]),
        (["all"], [], [(MISSING, "any address,", 25)]),
        (["loopback"], ["127.0.0.1", "::1"], []),
        (["loopback"], ["127.0.0.1"], []),
        (["loopback"], ["0.0.0.0"], [(MISSING, "an address of loopback,", 25), (SURPLUS, "0.0.0.0", 25)]),
        (["loopback", "192.0.2.1"], ["127.0.0.1", "192.0.2.1"], []),
        (["0.0.0.0"], ["::"], [(MISSING, "0.0.0.0", 25), (SURPLUS, "::", 25)]),
        ([], ["0.0.0.0"], []),
    ],
)
def test_what_is_missing_and_what_is_too_much_is_said(asked, found, wrong):
    wanted = [{"address": address, "port": port} for address, port in places(*asked)]
    said = misplaced(wanted, places(*found))
    assert [text.partition(" the service")[0] for text in said] == [
        text.format(address, port) for text, address, port in wrong
    ]
