# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Defences that put mail off for a time: greylisting spares postmaster, and a flood to postmaster is held."""

from __future__ import annotations

import secrets
import time

import pytest

RATE = 100  # as molecule/defences/converge.yml sets it
LONGEST = 60  # seconds until a greylisted message has to be taken


@pytest.fixture(scope="module")
def unknown():
    """A sender whom no host has seen."""
    return f"{secrets.token_hex(6)}@{{F}}"


def test_a10_an_unknown_sender_is_put_off_but_not_from_postmaster(lab, unknown):
    forms = ["postmaster@{L}", "Postmaster", "postmaster@{V}", "ABUSE@{V}"]
    sent = lab.send([("EHLO", unknown, recipient) for recipient in ("bob@{L}", *forms)])
    lab.settle(lab.name)
    assert [code // 100 for _token, code, _text in sent] == [4, *[2 for _form in forms]], sent
    assert [lab.count(lab.name, "alice", token) for token, _code, _text in sent[1:]] == [1 for _form in forms]


def test_the_same_sender_is_known_after_the_interval(lab, unknown):
    end = time.monotonic() + LONGEST
    code, token = 0, ""
    while code != 250 and time.monotonic() < end:
        ((token, code, text),) = lab.send([("EHLO", unknown, "bob@{L}")])
        assert code // 100 in (2, 4), text
    lab.settle(lab.name)
    assert lab.count(lab.name, "bob", token) == 1


def test_one_recipient_of_two_is_put_off(lab):
    sender = f"{secrets.token_hex(6)}@{{F}}"
    ((token, (bob, postmaster)),) = lab.deliver([("EHLO", sender, ["bob@{L}", "postmaster@{L}"])])
    lab.settle(lab.name)
    assert (bob[0] // 100, postmaster[0]) == (4, 250)
    assert [lab.count(lab.name, account, token) for account in ("alice", "bob")] == [1, 0]


def test_a_flood_to_postmaster_is_held_while_another_client_s_message_lands(lab):
    flood = lab.send([("EHLO", "{far}", "postmaster@{L}")] * (RATE + 50), client="listed")
    ((token, code, text),) = lab.send([("EHLO", "{far}", "postmaster@{L}")])
    lab.settle(lab.name)
    taken = [token for token, code, _text in flood if code == 250]
    assert 1 <= len(taken) <= RATE * 1.25  # Exim's rate is a smoothed one
    assert {code // 100 for _token, code, _text in flood} == {2, 4}
    assert [lab.count(lab.name, "alice", token) for token in taken] == [1] * len(taken)
    assert code == 250, text
    assert lab.count(lab.name, "alice", token) == 1
