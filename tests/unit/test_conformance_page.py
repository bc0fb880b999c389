# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of what was measured says what the proof and the tests found, and no more."""

from __future__ import annotations

import pathlib
import runpy

import pytest

SCRIPT = runpy.run_path(str(pathlib.Path(__file__).parents[2] / "docs" / "conformance.py"))
NOTHING = {"resolves": {"addresses": []}, "accepts": {"checks": []}, "lands": {"messages": []}}


def verdicts(mta="opensmtpd", outcomes=None, **layers):
    return SCRIPT["verdicts"]({"mta": mta, "domains": [{**NOTHING, **layers}]}, outcomes or {})


@pytest.mark.parametrize(
    ("checks", "found"),
    [
        ([("pass", ""), ("pass", "")], "pass"),
        ([("pass", ""), ("fail", "")], "fail"),
        ([("pass", ""), ("fail", "no setting can")], "fail, upstream"),
        ([("fail", ""), ("fail", "no setting can")], "fail"),
        ([("skipped", "")], "skipped"),
    ],
)
def test_the_checks_of_a_row_add_up(checks, found):
    made = [{"id": "A4", "verdict": verdict, "limit": limit} for verdict, limit in checks]
    assert verdicts(accepts={"checks": made})["A4"] == found


def test_a_row_of_the_expansion_passes_where_it_was_not_found_broken():
    broken = {"addresses": [{"problems": [{"id": "R7", "verdict": "warn"}]}]}
    found = verdicts(resolves=broken)
    assert (found["R7"], found["R1"]) == ("warn", "pass")


@pytest.mark.parametrize(
    ("mta", "outcomes", "found"),
    [
        ("postfix", ["pass", "pass"], "pass"),
        ("postfix", ["pass", "fail"], "fail"),
        ("opensmtpd", ["pass", "fail"], "fail, upstream"),
    ],
)
def test_what_the_tests_show_counts(mta, outcomes, found):
    named = {f"test {number}": verdict for number, verdict in enumerate(outcomes)}
    assert verdicts(mta, {"B3": named})["B3"] == found


def test_a_check_of_the_mailboxes_as_a_whole_counts():
    lands = {"messages": [{"id": "D8", "verdict": "pass"}], "checks": [{"id": "D10", "verdict": "fail"}]}
    found = verdicts(lands=lands)
    assert (found["D8"], found["D10"]) == ("pass", "fail")


def test_a_row_that_nothing_measured_has_no_verdict():
    assert "B3" not in verdicts()
