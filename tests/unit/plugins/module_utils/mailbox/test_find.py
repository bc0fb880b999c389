# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens are found once a message, in header fields only, and by a wait that ends when they are there."""

from __future__ import annotations

import contextlib
import mailbox as stdlib
import os
from email.message import EmailMessage

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox import mbox
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.find import Search, find
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.message import LONGEST, Tally, headers
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.watched import Mailboxes
from hypothesis import given
from hypothesis import strategies as st

HEAD = "From good@far.example Mon Nov 23 01:00:00 2026\n"


def message(token="t1", body="hello", head=HEAD, end="\n\n"):
    return f"{head}Return-Path: <good@far.example>\nX-Postmaster-Token: {token}\n\n{body}{end}"


def counts(path, *tokens):
    return {hit["token"]: hit["count"] for hit in find(tokens or ("t1",), [str(path)], 0)["found"]}


@pytest.fixture
def searching():
    """``searching(tokens, mailboxes)`` gives a search; its children end with the test."""
    with contextlib.ExitStack() as stack:

        def search(tokens, paths, since=0.0):
            boxes = stack.enter_context(contextlib.closing(Mailboxes(Deadline(60))))
            return Search(dict.fromkeys(map(str, paths), tokens), boxes, since)

        yield search


MBOXES = {
    "one message": (message(), 1),
    "two copies": (message() * 2, 2),
    "the token twice in one message": (message("t1\nSubject: t1"), 1),
    "the token in another field": (f"{HEAD}Subject: a proof (t1)\n\nhello\n\n", 1),
    "the token in a folded field": (f"{HEAD}Subject: a\n t1\n\nhello\n\n", 1),
    "the token in the body only": (message("t2", "X-Postmaster-Token: t1"), 0),
    "a bounce that returns the message": (
        message("t2", "Reporting-MTA: dns; a.example\n\nX-Postmaster-Token: t1\n"),
        0,
    ),
    "a quoted From line in the body": (message("t2", "\n>From me\nX-Postmaster-Token: t1\n"), 0),
    "a From line in the body without an empty line before it": (message("t2", "x\nFrom me\nX-Token: t1\n"), 0),
    "the token in the envelope's From line only": ("From t1 Mon Nov 23\nSubject: x\n\nhello\n\n", 0),
    "a longer token that contains it": (message("t10"), 0),
    "a token with a prefix": (message("xt1"), 0),
    "a token with a suffix": (message("t1-2"), 0),
    "header fields that have not ended": (message().partition("\n\n")[0] + "\n", 0),
    "header fields that have just ended": (message(body="", end=""), 1),
    "a message without a body before another": (message(body="", end="\n") + message(), 2),
    "no body and no empty line after it": (message(body="", end="") + message(), 2),
    "lines ended by CR and LF": ((message() * 2).replace("\n", "\r\n"), 2),
    "CR and LF, without a body": ((message(body="", end="") * 2).replace("\n", "\r\n"), 2),
    "an empty file": ("", 0),
    "something that is no mbox": ("X-Postmaster-Token: t1\n\nhello\n", 0),
    "bytes that are no text": (message("t1\nSubject: \udcff\udcfe"), 1),
}


@pytest.mark.parametrize(("text", "count"), MBOXES.values(), ids=MBOXES)
def test_an_mbox_has_the_token_in_as_many_messages(tmp_path, text, count):
    box = tmp_path / "alice"
    box.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert counts(box).get("t1", 0) == count


def scan(pieces):
    scanner = mbox.Scanner()
    return [block for piece in pieces for block in scanner.feed(piece)]


LINES = st.sampled_from(["From a b\n", "\n", "x\n", "Subject: t\n", ">From a\n", "From ", "\r\n", "y\r\n"])


@given(st.lists(LINES), st.lists(st.integers(0, 200)))
def test_the_pieces_in_which_an_mbox_is_read_make_no_difference(lines, cuts):
    data = "".join(lines).encode()
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    assert scan([data[a:b] for a, b in zip(edges, edges[1:])]) == scan([data])


@pytest.mark.parametrize("text", MBOXES.values(), ids=MBOXES)
def test_an_mbox_can_be_read_byte_by_byte(text):
    data = text[0].encode("utf-8", "surrogateescape")
    assert scan([data[at : at + 1] for at in range(len(data))]) == scan([data])


@given(st.binary())
def test_any_bytes_can_be_scanned(data):
    assert all(block in data for block in scan([data]))


@given(st.lists(st.text("aF :>\nrom", max_size=30), max_size=5))
def test_messages_that_python_wrote_are_found(tmp_path_factory, bodies):
    path = tmp_path_factory.mktemp("box") / "alice"
    box = stdlib.mbox(path)
    for body in bodies:
        mail = EmailMessage()
        mail["X-Postmaster-Token"] = "t1"
        mail.set_content(body)
        box.add(mail)
    box.close()
    assert counts(path).get("t1", 0) == len(bodies)


def test_a_scanner_keeps_little_of_a_large_message():
    scanner = mbox.Scanner()
    kept = []
    for piece in [message().encode(), *[b"x" * 1000] * 50]:
        list(scanner.feed(piece))
        kept.append(len(vars(scanner)["_rest"]))
    assert max(kept) < 10


def test_header_fields_without_an_end_are_cut_off():
    assert len(scan([HEAD.encode(), *[b"X: y\n" * 1000] * 1000])) == 1
    assert len(scan([HEAD.encode(), *[b"X: y\n" * 1000] * 1000])[0]) < 2 * LONGEST


class Later:
    """A pause in which something happens, in place of time."""

    def __init__(self, *events):
        self.events = list(events)

    def __call__(self, seconds):
        assert 0 <= seconds <= 30
        self.events.pop(0)()


def append(path, text):
    with open(path, "a", encoding="ascii") as file:
        file.write(text)


def test_a_wait_ends_with_the_last_token_and_not_before(tmp_path, searching):
    box = str(tmp_path / "alice")
    half = message("t2")
    pause = Later(
        lambda: append(box, ""),
        lambda: append(box, message("t1")),
        lambda: append(box, half[:70]),
        lambda: append(box, half[70:]),
    )
    hits = searching(["t1", "t2"], [box]).wait(30, pause=pause)
    assert {token: boxes[box].count for token, boxes in hits.items()} == {"t1": 1, "t2": 1}
    assert hits["t1"][box].seconds <= hits["t2"][box].seconds
    assert not pause.events


def test_a_wait_without_time_is_one_look(tmp_path, searching):
    assert searching(["t1"], [str(tmp_path / "alice")]).wait(0, pause=Later()) == {}


def test_the_caller_can_say_what_is_waited_for(tmp_path, searching):
    boxes = [str(tmp_path / name) for name in ("alice", "bob")]
    append(boxes[0], message())
    pause = Later(lambda: append(boxes[1], message()))
    hits = searching(["t1"], boxes).wait(30, lambda hits: len(hits["t1"]) == 2, pause)
    assert sorted(hits["t1"]) == boxes


def test_a_second_look_goes_on_where_the_first_ended(tmp_path, monkeypatch):
    box = tmp_path / "alice"
    box.write_text(message())
    fed = []
    feed = mbox.Scanner.feed
    monkeypatch.setattr(mbox.Scanner, "feed", lambda self, piece: fed.append(piece) or feed(self, piece))
    tally = Tally(["t1", "t2"])
    reader = mbox.Mbox(tally)
    with box.open("rb") as file:
        reader.look(file.fileno(), Deadline(60))
        assert tally.counts == {"t1": 1}
        fed.clear()
        append(box, message("t2"))
        reader.look(file.fileno(), Deadline(60))
    assert tally.counts == {"t1": 1, "t2": 1}
    assert b"".join(fed) == message("t2").encode()


@pytest.mark.parametrize("anew", [message("t2"), "", message("t3") * 5 + message("t2")])
def test_an_mbox_that_was_written_anew_is_counted_anew(tmp_path, anew, searching):
    box = tmp_path / "alice"
    box.write_text(message("t1"))
    search = searching(["t1", "t2"], [str(box)])
    assert list(search.wait(0)) == ["t1"]
    box.write_text(anew)
    assert list(search.wait(0)) == (["t2"] if anew else [])
    box.unlink()
    assert search.wait(0) == {}


@pytest.fixture
def maildir(tmp_path):
    for folder in ("new", "cur", "tmp"):
        (tmp_path / "Maildir" / folder).mkdir(parents=True)
    return tmp_path / "Maildir"


def test_a_maildir_s_new_and_read_messages_count(maildir):
    for name in ("new/1.a", "cur/2.a:2,S", "cur/3.a:2,RS", "tmp/4.a", "cur/.hidden"):
        (maildir / name).write_text(message(head=""))
    (maildir / "new" / "5.a").write_text(message("t2", "t1", head=""))
    (maildir / "new" / "6.a").write_text("\nX-Postmaster-Token: t1\n")
    (maildir / "new" / "7.a").write_bytes(message(head="").replace("\n", "\r\n").encode())
    (maildir / "new" / "8.a").write_text("X-Postmaster-Token: t1")
    (maildir / "new" / "9.a").mkdir()
    assert counts(maildir, "t1", "t2") == {"t1": 5, "t2": 1}


def test_a_message_that_is_read_meanwhile_counts_once(maildir, searching):
    (maildir / "new" / "1.a").write_text(message(head=""))
    search = searching(["t1"], [str(maildir)])
    assert search.wait(0)["t1"][str(maildir)].count == 1
    (maildir / "new" / "1.a").rename(maildir / "cur" / "1.a:2,S")
    (maildir / "new" / "2.a").write_text(message(head=""))
    assert search.wait(0)["t1"][str(maildir)].count == 2


def test_a_maildir_is_waited_for(tmp_path, searching):
    path = tmp_path / "Maildir"

    def deliver():
        for folder in ("new", "cur"):
            (path / folder).mkdir()
        (path / "new" / "1.a").write_text(message(head=""))

    hits = searching(["t1"], [str(path)]).wait(30, pause=Later(path.mkdir, deliver))
    assert hits["t1"][str(path)].count == 1


def test_reading_leaves_the_mark_of_unread_mail(tmp_path):
    box = tmp_path / "alice"
    box.write_text(message())
    os.utime(box, (1000, 2000))
    counts(box)
    assert box.stat().st_atime == 1000


@pytest.mark.parametrize("token", ["", "a b", "a\n", "\u00e9"])
def test_a_token_that_could_not_be_in_a_header_is_refused(tmp_path, token):
    with pytest.raises(UserError, match=r"^tokens: "):
        find([token], [str(tmp_path / "alice")], 0)


def test_headers_are_unfolded_and_the_newest_received_comes_first():
    lines = [
        "Return-Path: <a@b>",
        "Received: from x",
        "\tby y; now",
        "received: from z",
        "SUBJECT: one",
        "Subject: two",
        "X",
    ]
    assert headers("\r\n".join(lines).encode()) == {
        "Return-Path": "<a@b>",
        "Subject": "one",
        "Received": ["from x by y; now", "from z"],
    }
