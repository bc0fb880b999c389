# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A catch-all gets what its domain does not list, and nothing else."""

from __future__ import annotations

import pytest

# Recipient, and who has the message then: none is refused.
LANDS = {
    "anybody@{V}": ["bob", "carol"],
    "Any.Body+tag@{V}": ["bob", "carol"],
    "sales@{V}": ["alice"],
    "SALES+tag@{V}": ["alice"],
    "postmaster@{V}": ["alice"],
    "PostMaster@{V}": ["alice"],
    "postmaster+tag@{V}": ["alice"],
    "abuse@{V}": ["alice"],
    "bob@{V}": ["bob", "carol"],
    "nosuch@{L}": [],
    "nosuch@{H}": [],
    "nosuch@sub.{V}": [],
    "nosuch": [],
}


@pytest.fixture(scope="module")
def landed(lab):
    """By recipient: the code and text of the reply, and the accounts that have the message once."""
    replies = lab.send([("EHLO", "{far}", recipient) for recipient in LANDS])
    lab.settle(lab.name)
    counts = {account: lab.tokens(lab.name, account) for account in ("alice", "bob", "carol")}
    return {
        recipient: (code, text, [account for account in counts for _one in range(counts[account][token])])
        for recipient, (token, code, text) in zip(LANDS, replies, strict=True)
    }


@pytest.mark.parametrize("recipient", LANDS)
def test_mail_lands_where_its_address_is_listed_or_with_the_catch_all(landed, recipient):
    code, text, accounts = landed[recipient]
    assert accounts == LANDS[recipient], text
    assert (code == 250) == bool(LANDS[recipient]), text
