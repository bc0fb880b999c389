# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""report: the table at the end of a play."""

from __future__ import annotations

from ansible_collections.mailops.postmaster.plugins.module_utils.report import table

PASSED = {
    "domain": "example.org",
    "kind": "local",
    "verdict": "pass",
    "resolves": {
        "verdict": "pass",
        "addresses": [{"destinations": [{"kind": "mailbox", "value": "/var/mail/alice"}]}],
    },
    "accepts": {"verdict": "pass", "checks": []},
    "lands": {"verdict": "pass", "messages": [{"seconds": 0.25}, {"seconds": None}]},
}
ENDS = {"kind": "mailbox", "value": "/var/mail/\x9b\n" + "x" * 1000}
SKIPPED = {"verdict": "skipped"}
FAILED = {
    "domain": "example.com",
    "kind": "relay",
    "verdict": "fail",
    "resolves": {"verdict": "fail", "addresses": []},
    "accepts": SKIPPED,
    "lands": SKIPPED,
}


def test_each_domain_has_a_line_with_its_three_layers_its_mailbox_and_the_time():
    lines = table({"mx1": {"domains": [PASSED, FAILED], "verdict": "fail", "summary": "Not proven."}})
    assert [line.split() for line in lines] == [
        [],
        ["mx1", "resolves", "accepts", "lands", "mailbox", "time"],
        ["─" * len(lines[1])],
        ["example.org", "✔", "pass", "✔", "pass", "✔", "pass", "/var/mail/alice", "0.25", "s"],
        ["example.com", "(relayed)", "✘", "fail", "·", "skipped", "·", "skipped"],
        [],
        ["✘", "Not", "proven."],
    ]


def test_what_an_mta_cannot_do_is_one_line_below_the_table():
    result = {"domains": [PASSED], "verdict": "pass", "summary": "", "limitations": ["A4: no\x1b quotes", "D5: no TLS"]}
    (found,) = table({"mx1": result})[6:]
    assert found == "  What its MTA cannot do, which does not count: A4: no\\x1b quotes; D5: no TLS"


def test_the_columns_line_up():
    lines = table({"mx1": {"domains": [PASSED, FAILED], "verdict": "fail", "summary": ""}})
    assert len({line.index(mark) for line, mark in ((lines[1], "resolves"), (lines[3], "✔"), (lines[4], "✘"))}) == 1


def test_colour_does_not_move_the_columns():
    painted = table({"h": {"domains": [PASSED], "verdict": "pass", "summary": ""}}, lambda text, _verdict: text.upper())
    assert "✔ PASS  " in painted[3]


def test_nothing_was_proven_nothing_is_printed():
    assert table({}) == []


def test_what_came_from_a_host_commands_no_terminal():
    hostile = {
        **PASSED,
        "domain": "a\x1b[2Jb",
        "resolves": {"verdict": "pass", "addresses": [{"destinations": [ENDS]}]},
    }
    printed = "\n".join(table({"mx1": {"domains": [hostile], "verdict": "pass", "summary": "so\nmany\u202e"}}))
    assert "a\\x1b[2Jb" in printed
    assert "so\\nmany\\u202e" in printed
    assert "/var/mail/\\x9b\\n" + "x" * 100 in printed
    assert max(map(len, printed.splitlines())) < 500
