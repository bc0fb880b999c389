# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Under a steady load that mail hosts are changed, killed and short of room: what was accepted is found once.

``MAILOPS_TORTURE=1`` in the environment asks for the whole of it (``make torture``).
"""

from __future__ import annotations

import os

import pytest
from conftest import TRIED
from storm import REDUCED, WHOLE, Storm


@pytest.fixture(scope="session")
def storm(hosts, request):
    """One for all hosts at the same time."""
    labs = list(hosts(lambda lab: lab).values())
    size = WHOLE if os.environ.get("MAILOPS_TORTURE") else REDUCED
    found = Storm(labs, request.config.option.ansible_inventory, size)
    found.blow()
    return found


def test_d1_d4_what_was_accepted_is_found_once(lab, storm, record_property):
    count = storm.count(lab.name)
    for text in (
        f"{storm.size}: {count.accepted} accepted, {count.copies} found, {len(count.lost)} lost",
        f"{count.put_off} attempts put off, {count.unanswered} unanswered",
        f"found twice: {count.unheard} whose 250 was not heard, {count.unnoted} through a kill",
        f"left by kills: half messages {count.torn}, locks {storm.locks[lab.name]}",
    ):
        record_property(TRIED, f"{lab.name}: {text}")
    assert count.accepted >= storm.size.messages
    assert (count.refused, count.lost, count.doubled, count.astray) == ([], [], [], [])


def test_what_was_not_accepted_was_put_off(lab, storm):
    said = [attempt for attempt in storm.attempts(lab.name) if attempt["code"] != 250]
    assert not [attempt for attempt in said if attempt["code"] // 100 not in (0, 4)]


def test_mail_went_on_while_settings_changed(lab, storm):
    accepted = [attempt["at"] for attempt in storm.attempts(lab.name) if attempt["code"] == 250]
    assert storm.changes >= 3
    for event, begin, end in storm.spans:
        assert event != "change" or any(begin < when < end for when in accepted)
