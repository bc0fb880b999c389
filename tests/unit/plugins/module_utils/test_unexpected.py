# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever ends a part of the work early becomes a reason, and the other parts keep their results."""

from __future__ import annotations

import json
import os
import pathlib
import re

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import OverdueError, UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.unexpected import attempt

NESTED = "[" * 100_000


def raising(error):
    def work():
        raise error

    return work


CASES = [
    (raising(UserError("mta: 'x' is unknown")), "mta: 'x' is unknown"),
    (raising(OverdueError("`postconf` had not ended after 5 s")), "`postconf` had not ended after 5 s"),
    (lambda: pathlib.Path("/etc/hostname/x").read_text(), "/etc/hostname/x: Not a directory"),
    (lambda: pathlib.Path("/" + "a" * 300).read_text(), "a: File name too long"),
    (raising(OSError("no errno")), "system: no errno"),
    (raising(MemoryError()), r"not enough memory \(in test_unexpected\.py line \d+\)"),
    (lambda: json.loads(NESTED), r"nested too deeply \(in decoder\.py line \d+\)"),
    (lambda: os.stat("a\0b"), r"ValueError in test_unexpected\.py line \d+: embedded null byte"),
    (lambda: int("9" * 5000), r"ValueError in test_unexpected\.py line \d+: Exceeds the limit"),
    (lambda: str(b"\xff", "utf-8"), r"UnicodeDecodeError in test_unexpected\.py line \d+: 'utf-8' codec"),
    (lambda: {}["key"], r"KeyError in test_unexpected\.py line \d+: 'key'"),
    (lambda: 1 / 0, r"ZeroDivisionError in test_unexpected\.py line \d+: division by zero"),
]


@pytest.mark.parametrize(("work", "reason"), CASES)
def test_what_ends_a_part_early_is_its_reason(work, reason):
    (found,) = attempt(work, lambda found: (found,))
    assert re.search(reason, found)
    assert "\n" not in found


def test_a_part_that_ends_has_its_own_result():
    assert attempt(lambda: "result", lambda reason: reason) == "result"


@pytest.mark.parametrize("end", [SystemExit(0), KeyboardInterrupt()])
def test_the_end_of_the_program_is_not_kept_from_it(end):
    with pytest.raises(type(end)):
        attempt(raising(end), lambda reason: reason)
