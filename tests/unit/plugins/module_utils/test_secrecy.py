# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No text quotes a secret file."""

from __future__ import annotations

import tracemalloc

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.secrecy import (
    HIDDEN,
    RUN,
    contents,
    hide,
    hide_all,
)
from ansible_collections.mailops.postmaster.plugins.module_utils.shown import LIMIT
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


@pytest.mark.parametrize("said", ["pass\udce9w", r"pass\351w", r"\160\141\163\163\351\167"])
def test_octets_that_are_no_text_are_hidden(said):
    assert hide(f"bad: {said}", contents([b"pass\xe9word\n"])) == f"bad: {HIDDEN}"


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        (r"quoted \141\142\143\144\145\146\170\171\172", rf"quoted {HIDDEN}\170\171\172"),
        (r"quoted \303\251\303\251\303\251\303\251\303\251\303\251\302\247", rf"quoted {HIDDEN}\302\247"),
        (r"quoted \303é\251ééé\303\251éé\302\247", rf"quoted \303é\251{HIDDEN}\302\247"),
        (r"quoted \351\351\351\351\351\351\352", rf"quoted {HIDDEN}\352"),
    ],
)
def test_of_a_run_of_escaped_octets_only_the_quotation_is_hidden(said, seen):
    assert hide(said, contents([b"abcdef", "éééééé".encode(), b"\xe9" * 6])) == seen


def test_a_text_that_no_file_can_hold_is_looked_up_too():
    assert hide("\ud800\\\udfff p1n7 \ud800", [FILE, "\\\ud800"]) == f"\ud800\\\udfff {HIDDEN} \ud800"


def test_each_secret_is_gone_through_once_for_all_texts():
    assert hide_all(["at p1n7", "", r"cut: tr0ub4d", "p1n\\7"], iter([FILE])) == [
        f"at {HIDDEN}",
        "",
        f"cut: {HIDDEN}",
        HIDDEN,
    ]


def test_the_same_file_is_gone_through_once():
    assert list(contents([b"a", b"b", b"a"])) == ["a", "b"]


def test_a_text_is_cut_to_what_is_shown():
    seen = hide("-" * 2 * LIMIT, [FILE])
    assert len(seen) == LIMIT
    assert seen.endswith(f"- [cut here, of {2 * LIMIT} characters]")


@pytest.mark.parametrize(
    "hidden_before", [0, 200], ids=["what is cut ends the text", "the text before is shorter then"]
)
@pytest.mark.parametrize(
    "quotation",
    [
        "0123456789",
        "0123",
        "01234",
        "".join(f"\\06{digit}" for digit in range(8)),
        "".join(f"\\{digit}" for digit in "89898989"),
        r"\360\220\222\240" * 8,
    ],
)
def test_a_quotation_that_is_cut_is_hidden(quotation, hidden_before):
    """At each place of it. Its digits stand nowhere else."""
    secret = "0123456789\n0123 01234\n8989898989\n" + "\U000104a0" * 10 + "\n" + "x" * 200
    limit = 400
    for shown in range(len(quotation) + 1):
        before = "x" * hidden_before + "-" * (limit - hidden_before - shown)
        seen = hide(f"{before} {quotation} " + "-" * limit, [secret], limit)
        text, _mark, _number = seen.partition(" [cut here")
        assert not [digit for digit in text if digit.isdigit()], (shown, text)


@pytest.mark.parametrize(
    ("said", "secret", "most"),
    [
        ("error in line 3", "x\\" + "abcdefghi\n" * 100_000, 4_000_000),
        ("error in line 3", r"\141" * 250_000, 4_000_000),
        ("abcdefghij " * 500_000, "secret", 3_000_000),
        ("\\n" + "abcdefghij " * 500_000, "secret", 3_000_000),
        (r"\141" * 1_000_000, "a" * 20, 3_000_000),
    ],
    ids=["a large secret", "an escaped secret", "a long text", "a long text with an escape", "an escaped text"],
)
def test_memory_is_that_of_a_few_copies_of_a_secret_and_of_none_of_a_text(said, secret, most):
    """A set of all the runs of a secret has a hundred times its size."""
    tracemalloc.start()
    try:
        hide(said, [secret])
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def test_time_is_linear_to_a_secret():
    assert hide("x" * 10_000, ["y" * 1_000_000, "x"]) == "x" * 10_000
