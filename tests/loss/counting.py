# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what was sent against what is in the mailboxes. Pure.

A message has been sent when its final 250 was heard. Then each of its readers has it once. One more is explained where
the reply to the final dot was lost, for the client cannot know; or where the MTA was killed between a delivery and
noting it (RFC 5321 section 6.1).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

# Seconds before a kill in which a delivery may not have been noted yet: waiting for a mailbox belongs to them.
NOTING = 10


@dataclass
class Count:
    """What became of the messages to one host; a delivery is a message and the account of a reader."""

    accepted: int = 0
    copies: int = 0
    refused: list[str] = field(default_factory=list)  # not accepted in the end
    put_off: int = 0  # attempts that were answered with 4xx
    unanswered: int = 0  # attempts without a reply, or without a connection
    lost: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)  # half a message
    unheard: list[str] = field(default_factory=list)  # one more, for the reply to the final dot was lost
    unnoted: list[str] = field(default_factory=list)  # one more, for the MTA was killed before it noted the first one
    doubled: list[str] = field(default_factory=list)  # one more, without a reason
    astray: list[str] = field(default_factory=list)  # with somebody who is no reader of theirs


def count(attempts, copies, readers, kills):
    """What became of ``attempts``, as tests/lab/load.py writes them.

    ``copies`` are lists of account, message, time and whether it is whole; ``readers``, by recipient, the accounts;
    ``kills`` the times.
    """
    found = Count()
    sent, tries = {}, defaultdict(list)
    for attempt in attempts:
        tries[attempt["message"]].append(attempt)
        sent[attempt["message"]] = attempt["recipient"]
        found.put_off += attempt["code"] // 100 == 4
        found.unanswered += attempt["code"] == 0
    times = defaultdict(list)
    for account, message, when, whole in copies:
        delivery = f"{message} to {account}"
        if not whole:
            found.torn.append(delivery)
        elif account in readers[sent[message]]:
            times[delivery].append(when)
            found.copies += 1
        else:
            found.astray.append(delivery)
    for message, recipient in sent.items():
        if not any(_taken(attempt) for attempt in tries[message]):
            found.refused.append(message)
            continue
        found.accepted += 1
        unheard = sum(attempt["stage"] == "dot" and attempt["code"] == 0 for attempt in tries[message])
        for account in readers[recipient]:
            _judge(found, f"{message} to {account}", sorted(times[f"{message} to {account}"]), unheard, kills)
    return found


def _taken(attempt):
    return attempt["stage"] == "dot" and attempt["code"] == 250


def _judge(found, delivery, times, unheard, kills):
    if not times:
        found.lost.append(delivery)
    for number, (first, second) in enumerate(pairwise(times)):
        kill = next((kill for kill in kills if kill - NOTING <= first <= kill <= second + 1), None)
        if number < unheard:
            found.unheard.append(delivery)
        elif kill:
            found.unnoted.append(f"{delivery}: {kill - first:.0f} s before a kill, and {second - kill:.0f} s after it")
        else:
            found.doubled.append(delivery)
