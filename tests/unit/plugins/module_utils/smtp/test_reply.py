# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replies: whatever bytes a server sends, there is a reply, or a reason why there is none."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.reply import (
    MAX_LINE,
    MAX_REPLY,
    NoReply,
    Reply,
    Taken,
    take,
)
from hypothesis import given
from hypothesis import strategies as st

REPLIES = [
    (b"250 Ok\r\n", 250, ("Ok",)),
    (b"250\r\n", 250, ("",)),
    (b"250 \r\n", 250, ("",)),
    (b"250-mx\r\n250-PIPELINING\r\n250 8BITMIME\r\n", 250, ("mx", "PIPELINING", "8BITMIME")),
    (b"250-\r\n250-\r\n250\r\n", 250, ("", "", "")),
    (b"354 Go on\n", 354, ("Go on",)),
    (b"250-one\n250 two\r\n", 250, ("one", "two")),
    ("550 Empfänger unbekannt\r\n".encode(), 550, ("Empfänger unbekannt",)),
    (b"550 caf\xe9\r\n", 550, (r"caf\xe9",)),
    (b"550 a\x00b\x1b[31m\x7f\r\n", 550, (r"a\x00b\x1b[31m\x7f",)),
]
UNFINISHED = [b"", b"2", b"250", b"250 Ok", b"250 Ok\r", b"250-mx\r\n", b"250-mx\r\n250"]
NO_REPLIES = [
    (b"SSH-2.0-OpenSSH\r\n", "not an SMTP reply: SSH-2.0-OpenSSH"),
    (b"\r\n", "an empty line"),
    (b"25 Ok\r\n", "not an SMTP reply"),
    (b"2500 Ok\r\n", "not an SMTP reply"),
    (b"650 Ok\r\n", "not an SMTP reply"),
    (b"150 Ok\r\n", "not an SMTP reply"),
    (b"250_Ok\r\n", "not an SMTP reply"),
    (b" 250 Ok\r\n", "not an SMTP reply"),
    ("²50 Ok\r\n".encode(), "not an SMTP reply"),
    (b"250-one\r\n550 two\r\n", "changes its code from 250 to 550"),
    (b"250-one\r\nnoise\r\n", "not an SMTP reply: noise"),
    (b"250 " + b"x" * MAX_LINE + b"\r\n", "a reply line is longer"),
    (b"250 " + b"x" * MAX_LINE, "a reply line is longer"),
    ((b"250-" + b"x" * 1000 + b"\r\n") * (MAX_REPLY // 1000 + 1), "a reply is longer"),
    (b"250-more\r\n" * 513, "a reply has more than 512 lines"),
]
LINE = st.binary(max_size=40).filter(lambda line: b"\n" not in line and not line.endswith(b"\r"))


@pytest.mark.parametrize(("data", "code", "lines"), REPLIES)
def test_a_reply_has_a_code_and_the_text_of_its_lines(data, code, lines):
    assert take(data + b"250 next\r\n") == Taken(Reply(code, lines), len(data))


@pytest.mark.parametrize("data", UNFINISHED)
def test_a_reply_that_has_not_ended_is_not_taken(data):
    assert take(data) == Taken()


@pytest.mark.parametrize(("data", "reason"), NO_REPLIES)
def test_what_is_no_reply_says_why(data, reason):
    answer = take(data).answer
    assert isinstance(answer, NoReply)
    assert reason in answer.text
    assert (answer.code, answer.positive) == (0, False)


@pytest.mark.parametrize(
    ("text", "enhanced"),
    [
        ("550 5.1.1 User unknown", "5.1.1"),
        ("250 2.1.5", "2.1.5"),
        ("550 5.1.1User", ""),
        ("550 2.1.5 of another class", ""),
        ("550 3.1.1 of no class", ""),
        ("550 no 5.1.1 here", ""),
        ("550", ""),
    ],
)
def test_the_enhanced_code_is_taken_where_it_belongs_to_the_reply(text, enhanced):
    reply = take(text.encode() + b"\r\n").answer
    assert reply.enhanced == enhanced


def test_the_text_of_several_lines_is_one_line():
    assert take(b"554-No.\r\n554-\r\n554 Really\r\n").answer.text == "No. Really"


@given(st.integers(200, 599), st.lists(LINE, min_size=1, max_size=5), st.binary())
def test_what_was_written_is_read_and_the_rest_left(code, lines, rest):
    marks = [b"-"] * (len(lines) - 1) + [b" "]
    data = b"".join(b"%d%s%s\r\n" % (code, mark, line) for mark, line in zip(marks, lines))
    taken = take(data + rest)
    assert taken.size == len(data)
    assert taken.answer.code == code
    assert len(taken.answer.lines) == len(lines)
    assert all(line.isprintable() or not line.isascii() for line in taken.answer.lines)


@given(st.binary() | st.lists(st.sampled_from([b"250", b"-", b" ", b"\r\n", b"\n", b"550", b"x"])).map(b"".join))
def test_no_bytes_break_the_reader(data):
    taken = take(data)
    assert 0 <= taken.size <= len(data)
    if taken.answer is not None:
        assert take(data[: taken.size]).answer == taken.answer


@given(st.binary(max_size=60), st.integers(0, 60))
def test_a_beginning_never_says_something_else_than_the_whole(data, cut):
    beginning = take(data[:cut])
    if beginning.answer is not None:
        assert take(data) == beginning
