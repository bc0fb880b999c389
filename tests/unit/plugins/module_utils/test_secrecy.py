# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No text quotes a secret file."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.secrecy import HIDDEN, RUN, hide
from hypothesis import given
from hypothesis import strategies as st

FILE = 'relay.example.org user:tr0ub4dor&3 x\nhide mysql_servers = db/user/p1n7\nother "a"b\\céd\t\nlast=pass\\word\n'


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("line 3: bad option", "line 3: bad option"),
        ('line 1: "tr0ub4dor&3" unknown', f'line 1: "{HIDDEN}" unknown'),
        ("cut off: tr0ub4d", f"cut off: {HIDDEN}"),
        ("the end: 4dor&3.", f"the end: {HIDDEN}."),
        ("short: p1n7", f"short: {HIDDEN}"),
        ("all of it: relay.example.org user:tr0ub4dor&3 x", f"all of it: {HIDDEN}"),
        ("twice p1n7, p1n7", f"twice {HIDDEN}, {HIDDEN}"),
        (r"escaped: \"a\"b\\c\303\251d\011e.", f"escaped:{HIDDEN}e."),
        (r"word for word: pass\word", f"word for word: {HIDDEN}"),
        ("without escapes: password", f"without escapes: {HIDDEN}"),
        (r"no quotation: \" \\ \303", r"no quotation: \" \\ \303"),
        ("", ""),
    ],
)
def test_what_a_text_quotes_of_a_secret_file_is_not_shown(said, seen):
    assert hide(said, ["nothing", FILE]) == seen


def test_without_secret_files_a_text_stays():
    assert hide(FILE, []) == FILE


@given(st.text(min_size=RUN), st.text(), st.text(), st.data())
def test_no_run_of_a_secret_is_seen(secret, before, after, data):
    start = data.draw(st.integers(0, len(secret) - RUN))
    end = data.draw(st.integers(start + RUN, len(secret)))
    seen = hide(before + secret[start:end] + after, [secret]).split(HIDDEN)
    runs = (secret[at : at + RUN] for at in range(len(secret) - RUN + 1))
    assert not [run for run in runs if not run.isspace() and any(run in piece for piece in seen)]


def test_time_is_linear_to_a_secret():
    assert hide("x" * 10_000, ["y" * 1_000_000, "x"]) == "x" * 10_000
