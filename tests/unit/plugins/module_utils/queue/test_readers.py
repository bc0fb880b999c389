# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queues are read to the byte; what cannot be read says why."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.evidence import Completed
from ansible_collections.mailops.postmaster.plugins.module_utils.queue import exim, opensmtpd, postfix, sendmail
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.spool import Entry, UnreadableError
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.lists(st.from_regex(r"[a-z+._-]{1,9}@[a-z]{1,6}\.example", fullmatch=True), max_size=5, unique=True)
LINES = st.lists(st.binary(max_size=200).filter(lambda line: b"\n" not in line), min_size=1, max_size=9)


def record(kind, data):
    """A record as Postfix writes it."""
    size, length = len(data), b""
    while True:
        length += bytes([(size & 0x7F) | (0x80 if size > 0x7F else 0)])
        size >>= 7
        if not size:
            return kind.encode() + length + data


def postfix_file(sender, todo, done, lines, extracted=False):
    """A queue file; each line in two parts; recipients that come from the header are behind the message."""
    envelope = [record("R", name.encode()) for name in todo] + [record("D", name.encode()) for name in done]
    parts = [record("L", line[:3]) + record("N", line[3:]) for line in lines]
    head = record("C", b"100 200 1 0 100 0") + record("T", b"1 1") + record("S", sender.encode())
    tail = record("X", b"") + b"".join(envelope if extracted else []) + record("E", b"")
    return head + b"".join([] if extracted else envelope) + record("M", b"") + b"".join(parts) + tail


@given(NAMES, NAMES, LINES, st.booleans(), st.sampled_from(["", "a@b.example"]))
def test_a_message_of_postfix_comes_out_as_it_went_in(todo, done, lines, extracted, sender):
    content = b"".join(line + b"\n" for line in lines)
    assert postfix.parse(postfix_file(sender, todo, done, lines, extracted)) == (sender, todo, content)


def test_pointers_of_postfix_are_followed():
    start = record("S", b"") + record("R", b"a@b.example") + record("M", b"") + record("N", b"A: 1")
    added, rest = record("N", b"B: 2"), record("N", b"") + record("N", b"body") + record("X", b"") + record("E", b"")
    width = len(record("p", b"%15d" % 0))
    there = len(start) + width + len(rest)
    raw = start + record("p", b"%15d" % there) + rest + added + record("p", b"%15d" % (len(start) + width))
    assert postfix.parse(raw) == ("", ["a@b.example"], b"A: 1\nB: 2\n\nbody\n")


def test_a_redirected_message_of_postfix_goes_where_it_was_redirected():
    raw = record("S", b"") + record("R", b"a@b.example") + record(">", b"c@d.example") + record("E", b"")
    assert postfix.parse(raw)[1] == ["c@d.example"]


@pytest.mark.parametrize(
    "raw", [b"", b"N", b"N\x05abc", record("S", b""), record("E", b""), record("p", b"%15d" % 0)[:-1]]
)
def test_half_a_file_of_postfix_is_unreadable(raw):
    with pytest.raises(UnreadableError):
        postfix.parse(raw)


@given(st.binary(max_size=300))
def test_no_bytes_make_postfix_s_reader_fail_otherwise(raw):
    with contextlib.suppress(UnreadableError):
        postfix.parse(raw)


def test_a_file_that_postfix_has_not_finished_is_no_message(tmp_path):
    path = tmp_path / "incoming" / "4bAAAAzzzz"
    path.parent.mkdir()
    path.write_bytes(postfix_file("", ["a@b.example"], [], [b"A: 1", b"", b"body"]))
    path.chmod(0o600)
    entry = Entry("4bAAAAzzzz", str(path))
    assert postfix.read(None, entry) is None
    path.chmod(0o700)
    assert postfix.read(None, entry).recipients == ("a@b.example",)


def test_a_bounce_that_postfix_still_owes_is_not_lost(tmp_path):
    path, log = tmp_path / "active" / "4bAAAAzzzz", tmp_path / "bounce" / "4" / "4bAAAAzzzz"
    path.parent.mkdir()
    log.parent.mkdir(parents=True)
    path.write_bytes(postfix_file("s@b.example", ["a@b.example"], ["gone@b.example"], [b"A: 1", b"", b"body"]))
    path.chmod(0o700)
    log.write_text("<gone@b.example>: nobody\nrecipient=gone@b.example\noffset=10\naction=failed\n\n")
    entry = Entry("4bAAAAzzzz", str(path))
    assert postfix.read(None, entry).recipients == ("a@b.example", "gone@b.example")
    assert postfix.others(entry) == [str(log)]


EXIM = """1vNAbc-00000000abc-H
Debian-exim 101 103
<{sender}>
1763906400 0
-received_time_usec .123456
-helo_name stranger.example
-host_address [10.0.0.2]:5000
--tls_peer -x
-body_linecount 2
-max_received_linelength 76
{tree}
{count}
{recipients}

197P Received: from stranger.example ([10.0.0.2])
	by mx.example.org with esmtp (Exim 4.98.2)
	(envelope-from <s@b.example>)
	id 1vNAbc-00000000abc
	for a@b.example;
	Mon, 23 Nov 2026 14:00:00 +0000
017F From: <s@b.example>
010* To: somebody
018T To: a@b.example
012  Subject: x
"""


class Exim:
    """A host on which an alias leads to two addresses."""

    def run(self, argv):
        out = "bob@b.example\n    <-- all@b.example\n  router = account\nfar@c.example\n    <-- all@b.example\n  router = elsewhere\n"
        return Completed(tuple(argv), 0, out, "")


def exim_entry(tmp_path, body=b"body\n", journal="", **fields):
    fields = {"sender": "", "tree": "XX", "recipients": "a@b.example", **fields}
    text = EXIM.format(count=fields["recipients"].count("\n") + 1, **fields)
    size = len(text.partition("197P ")[2].partition("017F")[0])
    (tmp_path / "1vNAbc-00000000abc-H").write_text(text.replace("197P", f"{size}P"))
    (tmp_path / "1vNAbc-00000000abc-D").write_bytes(b"1vNAbc-00000000abc-D\n" + body)
    if journal:
        (tmp_path / "1vNAbc-00000000abc-J").write_text(journal)
    return Entry("1vNAbc-00000000abc", str(tmp_path / "1vNAbc-00000000abc-H"))
