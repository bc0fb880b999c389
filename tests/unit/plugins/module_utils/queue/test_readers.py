# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queues are read to the byte; what cannot be read says why."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed
from ansible_collections.mailops.postmaster.plugins.module_utils.queue import exim, opensmtpd, postfix, sendmail
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.spool import Entry, UnreadableError
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.lists(
    st.from_regex(r"[a-z+_-]{1,4}(\.[a-z+_-]{1,4})?@[a-z]{1,6}\.example", fullmatch=True), max_size=5, unique=True
)
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
    ("kept", "sent"),
    [
        ("a.b+c@d.example", "a.b+c@d.example"),
        ("alice", "alice"),
        ("john doe", '"john doe"'),
        ("\x01@d.example", '"\x01"@d.example'),
        ("john doe@d.example", '"john doe"@d.example'),
        ('a"b\\c@d.example', '"a\\"b\\\\c"@d.example'),
        (".a@d.example", '".a"@d.example'),
        ("a@b@d.example", '"a@b"@d.example'),
    ],
)
def test_an_address_that_postfix_keeps_without_quotes_gets_them_back(kept, sent):
    assert postfix.parse(postfix_file(kept, [kept], [], [b"A: 1"]))[:2] == (sent, [sent])


@pytest.mark.parametrize(
    ("folder", "written", "kept"),
    [
        ("deferred", b"A: 1\nBcc: x@y\n z@y\nB: 2\n\nBcc: body\n", b"A: 1\nBcc: x@y\n z@y\nB: 2\n\nBcc: body\n"),
        ("maildrop", b"A: 1\nBcc: x@y\n z@y\nB: 2\n\nBcc: body\n", b"A: 1\nB: 2\n\nBcc: body\n"),
        ("maildrop", b"resent-bcc : x@y\nA: bcc: 1\n bcc: 2\n", b"A: bcc: 1\n bcc: 2\n"),
        ("maildrop", b"A: 1\nno header\nBcc: body\n\n", b"A: 1\nno header\nBcc: body\n\n"),
        ("maildrop", b"\nBcc: body\n", b"\nBcc: body\n"),
    ],
)
def test_blind_recipients_of_what_a_local_program_has_sent_stay_blind(tmp_path, folder, written, kept):
    path = tmp_path / folder / "4bAAAAzzzz"
    path.parent.mkdir()
    path.write_bytes(postfix_file("", ["a@b.example"], [], written[:-1].split(b"\n")))
    path.chmod(0o700)
    assert postfix.read(Entry("4bAAAAzzzz", str(path))).content == kept


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
    assert postfix.read(entry) is None
    path.chmod(0o700)
    assert postfix.read(entry).recipients == ("a@b.example",)


def test_a_bounce_that_postfix_still_owes_is_not_lost(tmp_path):
    path, log = tmp_path / "active" / "4bAAAAzzzz", tmp_path / "bounce" / "4" / "4bAAAAzzzz"
    path.parent.mkdir()
    log.parent.mkdir(parents=True)
    path.write_bytes(postfix_file("s@b.example", ["a@b.example"], ["gone@b.example"], [b"A: 1", b"", b"body"]))
    path.chmod(0o700)
    log.write_text("<gone@b.example>: nobody\nrecipient=gone@b.example\noffset=10\naction=failed\n\n")
    entry = Entry("4bAAAAzzzz", str(path))
    assert postfix.read(entry).recipients == ("a@b.example", "gone@b.example")
    assert postfix.others(entry) == [str(log)]


def unlistable(_folder):
    raise AssertionError("a directory is listed for one message")


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("4A3F21C0B5", ["", "4", "4/A", "4/A/3"]),
        ("3Pt2mN2VXxznjll", ["", "5", "5/6", "5/6/3"]),
        ("3Pt2mN0001zzb", ["", "0", "0/0"]),
    ],
)
def test_what_postfix_notes_of_a_message_is_found_without_a_look_at_that_of_others(
    tmp_path, monkeypatch, name, folders
):
    logs = [tmp_path / "defer" / folder / name for folder in folders]
    for log in logs:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
    monkeypatch.setattr("os.scandir", unlistable)
    assert postfix.others(Entry(name, str(tmp_path / "active" / name))) == list(map(str, logs))


EXIM = """1xVUwJ-000000000JW-1Hrz-H
Debian-exim 100 102
<{sender}>
1795443759 0
-received_time_usec .307023
--helo_name mx.example.org
-host_address [127.0.0.1]:52816
-body_linecount 1
-tls_resumption A
{tree}
{count}
{recipients}

"""
EXIM_HEADER = [
    ("P", "Received: from localhost by mx.example.org with esmtp\n\tid 1xVUwJ-000000000JW\n"),
    ("F", "From: <s@b.x>\n"),
    ("*", "To: nobody\n"),
    ("T", "To: <a@b.example>\n"),
    (" ", f"X-Long: {'x' * 1000}\n"),
]


class Host:
    """A host on which an alias leads to two addresses, of the second of which Exim says ``how``."""

    def __init__(self, how="far@c.example\n    <-- all@b.example", rc=0):
        self.how, self.rc = how, rc

    def run(self, argv, stdin):
        assert argv == ["exim4", "-bt"]
        said = f"alice@b.example\n    <-- all@b.example\n  router = account\n{self.how}\n"
        out = "".join(f"> {said}" for _asked in stdin.splitlines())
        return Completed(tuple(argv), self.rc, f"{out}> \n", "")


def exim_read(host, entry):
    queued = exim.read(entry)
    return replace(queued, recipients=exim.left(host, queued))


def exim_message(folder, body=b"body\n", journal="", **given):
    fields = {"sender": "", "tree": "XX", "recipients": "a@b.example", **given}
    text = EXIM.format(count=fields["recipients"].count("\n") + 1, **fields)
    text += "".join(f"{len(field):03d}{kind} {field}" for kind, field in EXIM_HEADER)
    (folder / "1xVUwJ-000000000JW-1Hrz-H").write_text(text)
    (folder / "1xVUwJ-000000000JW-1Hrz-D").write_bytes(b"1xVUwJ-000000000JW-1Hrz-D\n" + body)
    if journal:
        (folder / "1xVUwJ-000000000JW-1Hrz-J").write_text(journal)
    return Entry("1xVUwJ-000000000JW-1Hrz", str(folder / "1xVUwJ-000000000JW-1Hrz-H"))


@given(body=st.binary(max_size=200))
def test_a_message_of_exim_is_read_to_the_byte(tmp_path_factory, body):
    found = exim_read(Host(), exim_message(tmp_path_factory.mktemp("input"), body=body, sender="s@b.example"))
    assert (found.sender, found.recipients) == ("s@b.example", ("a@b.example",))
    header = "".join(field for kind, field in EXIM_HEADER if kind != "*")
    assert found.content == header.encode() + b"\n" + body


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"recipients": "a@b.example\nc@d.example", "tree": "NN a@b.example"}, ("c@d.example",)),
        ({"recipients": "a@b.example\nc@d.example", "journal": "c@d.example\n"}, ("a@b.example",)),
        (
            {"recipients": "a@b.example\nc@d.example\ne@f.example", "tree": "YY c@d.example\nNN a@b.example\nNN x@y"},
            None,
        ),
        ({"recipients": "all@b.example", "tree": "NN alice@b.example"}, ("far@c.example",)),
        ({"recipients": "all@b.example"}, ("all@b.example",)),
        ({"recipients": "alice@b.example", "tree": "NN alice@b.example/maildir_home"}, ("far@c.example",)),
        ({"recipients": "alice@b.example", "tree": "NN \\0\\alice@b.example"}, ("far@c.example",)),
        ({"recipients": "alice@b.example", "journal": "alice@b.example/maildir_home\n"}, ("far@c.example",)),
    ],
)
def test_of_those_who_have_got_it_from_exim_nobody_gets_it_again(tmp_path, given, left):
    assert exim_read(Host(), exim_message(tmp_path, **given)).recipients == (left or ("e@f.example",))


@pytest.mark.parametrize(
    ("how", "rc"),
    [
        ("far@c.example cannot be resolved at this time: host lookup did not complete\n    <-- all@b.example", 1),
        ("far@c.example is undeliverable", 2),
        ("far@c.example\nalice@b.example   [duplicate, would not be delivered]\n    <-- x@b.example", 0),
    ],
)
def test_who_cannot_be_reached_by_exim_at_present_has_not_got_it(tmp_path, how, rc):
    entry = exim_message(tmp_path, recipients="all@b.example", tree="NN alice@b.example")
    assert exim_read(Host(how, rc), entry).recipients == ("far@c.example",)


@pytest.mark.parametrize(
    ("how", "rc"),
    [
        ("", 0),
        ("all@b.example -> |/bin/x", 0),
        ("far@c.example\nall@b.example -> |/bin/x", 0),
        ('far@c.example\n"a b"@b.example', 0),
        ("far@c.example\nmail to x@b.example is discarded", 0),
        ("all@b.example\n    <-- all@b.example", 0),
        ("far@c.example", 124),
        ("far@c.example", -11),
    ],
)
def test_where_exim_does_not_say_who_has_not_got_it_the_message_is_unreadable(tmp_path, how, rc):
    with pytest.raises(UnreadableError, match=r"all@b\.example"):
        exim_read(Host(how, rc), exim_message(tmp_path, recipients="all@b.example", tree="NN alice@b.example"))


@pytest.mark.parametrize("log", ["msglog", "msglog/J"])
def test_the_log_of_a_message_of_exim_is_found_without_a_look_at_those_of_others(tmp_path, monkeypatch, log):
    folder, logs = tmp_path / "input", tmp_path / log
    folder.mkdir()
    logs.mkdir(parents=True)
    entry = exim_message(folder)
    (logs / entry.id).write_text("")
    monkeypatch.setattr("os.scandir", unlistable)
    assert exim.others(entry) == [str(folder / f"{entry.id}-D"), str(logs / entry.id)]


@pytest.mark.parametrize(
    "variable",
    ["-aclm _spam 9\nno action", "-aclm _spam 0\n", "--aclc 0 3\n1\n2", "--(mysql)aclm 1 1\n-"],
)
def test_variables_of_exim_s_access_control_are_passed_over(tmp_path, variable):
    entry = exim_message(tmp_path)
    path = tmp_path / "1xVUwJ-000000000JW-1Hrz-H"
    path.write_text(path.read_text().replace("-body_linecount 1", f"{variable}\n-body_linecount 1"))
    assert exim_read(Host(), entry).recipients == ("a@b.example",)


@pytest.mark.parametrize(
    "line",
    [
        "a@b.example",
        "a@b.example  0,-1#1",
        "a@b.example owner@b.example 15,-1#1",
        "a@b.example rfc822;x@y.example 18,3  0,-1#3",
        "a@b.example  0,1 owner@b.example 15,-1#3",
    ],
)
def test_what_exim_writes_behind_an_address_is_no_part_of_it(line):
    assert exim.address(line) == "a@b.example"


def test_a_message_of_exim_without_its_body_is_unreadable(tmp_path):
    entry = exim_message(tmp_path)
    (tmp_path / "1xVUwJ-000000000JW-1Hrz-D").unlink()
    with pytest.raises(UnreadableError, match="its body is missing"):
        exim_read(Host(), entry)


OPENSMTPD = {
    "relay": "type: mta\nsender: @\nrcpt: all@b.example\ndest: far@c.example\n",
    "own": "type: mda\nmda-user: alice\nsender: @\nrcpt: alice+x@b.example\ndest: alice+x@b.example\n",
    "alias": "type: mda\nmda-user: alice\nsender: @\nrcpt: all@b.example\ndest: all@b.example\n",
    "program": "type: mda\nmda-exec: |cat\nmda-user: alice\nsender: @\nrcpt: all@b.example\ndest: x@b.example\n",
    "failed": "type: bounce\nbounce-type: failed\nsender: @\nrcpt: a@b.example\ndest: gone@b.example\n",
    "late": "type: bounce\nbounce-type: delayed\nsender: @\nrcpt: a@b.example\ndest: late@b.example\n",
}


@pytest.mark.parametrize(
    ("envelope", "recipient"),
    [
        ("relay", "far@c.example"),
        ("own", "alice+x@b.example"),
        ("alias", "alice"),
        ("failed", "gone@b.example"),
        ("late", None),
    ],
)
def test_an_envelope_of_opensmtpd_goes_where_it_went(tmp_path, envelope, recipient):
    (tmp_path / "message").write_bytes(b"A: \xff\n\nbody\n")
    (tmp_path / "0af6cb3fdfd74cbf").write_text("version: 3\ndispatcher: x\n" + OPENSMTPD[envelope])
    found = opensmtpd.read(Entry("0af6cb3f", str(tmp_path)))
    assert found is None if recipient is None else found.recipients == (recipient,)
    assert found is None or (found.sender, found.content) == ("", b"A: \xff\n\nbody\n")


def test_what_opensmtpd_has_for_a_program_is_unreadable(tmp_path):
    (tmp_path / "message").write_bytes(b"A: 1\n\nbody\n")
    (tmp_path / "0af6cb3fdfd74cbf").write_text("version: 3\n" + OPENSMTPD["program"])
    with pytest.raises(UnreadableError, match="leads to a program"):
        opensmtpd.read(Entry("0af6cb3f", str(tmp_path)))


def test_an_envelope_that_is_no_text_is_unreadable(tmp_path):
    (tmp_path / "0af6cb3fdfd74cbf").write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(UnreadableError, match="compressed"):
        opensmtpd.read(Entry("0af6cb3f", str(tmp_path)))


SENDMAIL = b"""V8
T1795443957
F8bs
S<s@b.example>
rRFC822; far@stranger.example
RPFD:<far@stranger.example>
RPFD:alice
H?P?Return-Path: <\x81g>
H??Received: from x
\tby y
H?D?Date: today
H?x?Full-Name: z
H??Bcc: secret@c.example,
\tmore@c.example
H??RESENT-BCC: secret@c.example
H??Subject: \xff
.
"""


def sendmail_message(folder, envelope=SENDMAIL):
    (folder / "qf6ANEPvrJ003824").write_bytes(envelope)
    (folder / "df6ANEPvrJ003824").write_bytes(b".\nbody\n")
    return Entry("6ANEPvrJ003824", str(folder / "qf6ANEPvrJ003824"))


def test_a_message_of_sendmail_is_read_as_it_would_go_out(tmp_path):
    found = sendmail.read(sendmail_message(tmp_path))
    assert (found.sender, found.recipients) == ("s@b.example", ("far@stranger.example", "alice"))
    assert found.content == b"Received: from x\n\tby y\nDate: today\nSubject: \xff\n\n.\nbody\n"


@pytest.mark.parametrize("change", [(b"\n.\n", b"\n"), (b"S<s@b.example>\n", b""), (b"RPFD:alice", b'RPFD:"|/bin/x"')])
def test_what_sendmail_s_reader_cannot_carry_is_unreadable(tmp_path, change):
    with pytest.raises(UnreadableError):
        sendmail.read(sendmail_message(tmp_path, SENDMAIL.replace(*change)))
