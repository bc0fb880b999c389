# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many mailboxes of one address are looked at."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.shares import EACH, TOO_MANY, Shares
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.watched import Waiting

MANY = [f"/home/bob/{number}/" for number in range(EACH + 2)]
OF_ALICE = "/var/mail/alice"
WAITS = Waiting(3, "")

# what is asked, one address after the other, and what of that is looked at
ASKED = {
    "one mailbox": [("bob", [OF_ALICE], [OF_ALICE])],
    "as many as are looked at": [("bob", MANY[:EACH], MANY[:EACH])],
    "two too many": [("bob", MANY, MANY[:EACH])],
    "two too many, asked for one by one": [("bob", [one], [one] if one in MANY[:EACH] else []) for one in MANY],
    "the same ones again": [("bob", MANY, MANY[:EACH]), ("bob", MANY, MANY[:EACH])],
    "another address after one with too many": [("bob", MANY, MANY[:EACH]), ("alice", [OF_ALICE], [OF_ALICE])],
    "one that another address has a share in": [
        ("bob", MANY, MANY[:EACH]),
        ("alice", [OF_ALICE], [OF_ALICE]),
        ("bob", [OF_ALICE], [OF_ALICE]),
    ],
    "the others of another address": [("bob", MANY, MANY[:EACH]), ("eve", MANY[EACH:], MANY[EACH:])],
}


def waits(_mailbox):
    return WAITS


@pytest.mark.parametrize("name", ASKED)
def test_one_address_cannot_use_up_what_others_need(name):
    shares = Shares(waits)

    for address, mailboxes, looked_at in ASKED[name]:
        assert shares.of(address, mailboxes) == looked_at


def test_what_is_not_looked_at_is_said():
    asked = []
    shares = Shares(lambda mailbox: asked.append(mailbox) or WAITS)

    answers = [shares.unread("bob", mailbox) for mailbox in MANY]

    assert asked == MANY[:EACH]
    assert answers == [WAITS] * EACH + [Waiting(None, TOO_MANY)] * 2
    assert shares.left_out == {mailbox: f"{mailbox} {TOO_MANY}" for mailbox in MANY[EACH:]}


def test_the_name_of_a_mailbox_is_cleaned_before_it_is_shown():
    shares = Shares(waits)

    shares.of("bob", [*MANY[:EACH], "/home/bob/\x1b[2J/"])

    assert "\x1b" not in shares.left_out["/home/bob/\x1b[2J/"]
