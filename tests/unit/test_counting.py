# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was sent is counted against what is in the mailboxes, and every way to lose or to double a message is told."""

from __future__ import annotations

import dataclasses
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "loss"))
from counting import Count, count

READERS = {"bob@x": ["bob"], "sales@x": ["alice", "bob"]}
COPY = ["bob", "r-1", 100, True]


def attempt(code=250, stage="dot", recipient="bob@x"):
    return {"message": "r-1", "recipient": recipient, "at": 99.5, "stage": stage, "code": code, "text": ""}


TAKEN = attempt()
UNHEARD = attempt(0)
SALES = attempt(recipient="sales@x")
WRONG = {
    "nothing": ([TAKEN], [COPY], {}),
    "a copy for each reader": ([SALES], [COPY, ["alice", "r-1", 100, True]], {}),
    "it is put off first": ([attempt(452, "MAIL"), TAKEN], [COPY], {}),
    "it is not there": ([TAKEN], [], {"lost": ["r-1 to bob"]}),
    "one reader of two has it": ([SALES], [COPY], {"lost": ["r-1 to alice"]}),
    "half of it is there": ([TAKEN], [["bob", "r-1", 100, False]], {"lost": ["r-1 to bob"], "torn": ["r-1 to bob"]}),
    "it is with somebody else": (
        [TAKEN],
        [["carol", "r-1", 100, True]],
        {"lost": ["r-1 to bob"], "astray": ["r-1 to carol"]},
    ),
    "it is refused": ([attempt(550, "RCPT")], [], {"refused": ["r-1"]}),
    "it was never accepted": ([attempt(0, "connect")], [], {"refused": ["r-1"]}),
    "it is there twice": ([TAKEN], [COPY, ["bob", "r-1", 101, True]], {"doubled": ["r-1 to bob"]}),
    "it is twice with one reader": (
        [SALES],
        [COPY, COPY, ["alice", "r-1", 100, True]],
        {"doubled": ["r-1 to bob"]},
    ),
    "its 250 was not heard": ([UNHEARD, TAKEN], [COPY, COPY], {"unheard": ["r-1 to bob"]}),
    "one 250 was not heard, and there are three": (
        [UNHEARD, TAKEN],
        [COPY, COPY, COPY],
        {"unheard": ["r-1 to bob"], "doubled": ["r-1 to bob"]},
    ),
    "a reply to another command was lost": ([attempt(0, "DATA"), TAKEN], [COPY, COPY], {"doubled": ["r-1 to bob"]}),
    "a kill after the first one": (
        [TAKEN],
        [COPY, ["bob", "r-1", 205, True]],
        {"unnoted": ["r-1 to bob: 3 s before a kill, and 102 s after it"]},
    ),
}
KILLS = {"a kill after the first one": [103.0], "it is there twice": [50.0, 99.0, 120.0]}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_the_mailboxes_is_told(case):
    attempts, copies, wrong = WRONG[case]
    found = dataclasses.asdict(count(attempts, copies, READERS, KILLS.get(case, [])))
    lists = {name: value for name, value in found.items() if isinstance(value, list) and value}
    assert lists == wrong


def test_attempts_are_counted():
    found = count([attempt(452, "MAIL"), attempt(0, "connect"), TAKEN], [COPY], READERS, [])
    assert found == Count(accepted=1, copies=1, put_off=1, unanswered=1)
