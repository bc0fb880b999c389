# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an MTA says of a message counts; what somebody else says in its name does not."""

from __future__ import annotations

import json

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Account, Completed
from ansible_collections.mailops.postmaster.plugins.module_utils.mta import (
    exim_log,
    opensmtpd_log,
    postfix_log,
    sendmail_log,
)
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.log import journal as read_journal
from fakes import FakeHost, journal

POSTFIX = "4dJ1x: to=<a@b.example>, relay=mx[192.0.2.9]:25, dsn=2.0.0, status=sent (250 taken)"
SMTPD = "44de mta delivery evpid=5db12e9c84738aaf from=<> to=<c@d> rcpt=<-> relay=x delay=9s result=Ok stat=250 taken"
SENDMAIL = "6AN56eLW003647: to=<a@b.example>, mailer=esmtp, relay=[192.0.2.9], dsn=2.0.0, stat=Sent (Ok)"
EXIM = "1xVLlb-0000PB-2L => a@b.example R=relayed T=remote_smtp H=far [192.0.2.9]"

MTAS = {
    "postfix": (
        POSTFIX,
        "postfix/smtp",
        lambda host: postfix_log.handed_on(host, "", "postfix", "2.0.0 Ok: queued as 4dJ1x", 0),
    ),
    "opensmtpd": (SMTPD, "smtpd", lambda host: opensmtpd_log.handed_on(host, "5db12e9c Message accepted", 0)),
    "sendmail": (
        SENDMAIL,
        "sm-mta",
        lambda host: sendmail_log.handed_on(host, "2.0.0 6AN56eLW003647 Message accepted for delivery", 0),
    ),
    "exim by syslog": (
        EXIM,
        "exim",
        lambda host: exim_log.handed_on(host, "", "Debian-exim", "OK id=1xVLlb-0000PB-2L", 0),
    ),
}
OWNERS = {"postfix": 101, "opensmtpd": 102, "opensmtpq": 103, "Debian-exim": 104}


class Mail(FakeHost):
    """A host that has the MTAs' accounts, and nothing in its queues."""

    def __init__(self, said=None, **more):
        super().__init__(**more)
        self.answers = {"journalctl": said, "postqueue": Completed((), 0, "", ""), "exim4": Completed((), 1, "", "")}
        if not said:
            del self.answers["journalctl"]

    def account(self, name):
        uid = OWNERS.get(name)
        return Account(name, uid, uid, "/", "/usr/sbin/nologin", "a system account") if uid else super().account(name)


@pytest.mark.parametrize("mta", MTAS)
@pytest.mark.parametrize(
    ("uid", "before", "program", "state"),
    [
        ("0", "", "", "sent"),
        ("1000", "", "", "unknown"),
        ("65534", "", "", "unknown"),
        ("33", "", "", "unknown"),
        (None, "", "", "unknown"),
        # what root's programs log of what users have typed
        ("0", "Invalid user ", "sshd", "unknown"),
        ("0", "mallory : command not allowed ; COMMAND=/bin/echo ", "sudo", "unknown"),
        ("0", "", "logger", "unknown"),
        ("0", "warning: header Subject: ", "", "unknown"),
    ],
)
def test_a_forged_line_is_no_evidence(mta, uid, before, program, state):
    line, name, ask = MTAS[mta]
    host = Mail(journal([before + line], program or name, uid))
    assert ask(host).state == state


@pytest.mark.parametrize(("mta", "owner"), [("postfix", 101), ("opensmtpd", 102), ("exim by syslog", 104)])
def test_the_account_of_the_mta_may_speak_for_it_and_for_no_other(mta, owner):
    line, name, ask = MTAS[mta]
    states = {uid: ask(Mail(journal([line], name, str(uid)))).state for uid in OWNERS.values()}
    assert {uid for uid, state in states.items() if state == "sent"} == ({102, 103} if owner == 102 else {owner})


@pytest.mark.parametrize("mta", MTAS)
def test_a_forged_line_after_a_true_one_changes_nothing(mta):
    line, name, ask = MTAS[mta]
    bounced = line.replace("status=sent", "status=bounced").replace("result=Ok", "result=PermFail")
    bounced = bounced.replace("dsn=2.0.0, stat=Sent", "dsn=5.0.0, stat=User unknown").replace(" => ", " ** ")
    true, forged = journal([bounced], name, "0"), journal([line], name, "1000")
    assert ask(Mail(Completed((), 0, forged.out + true.out, ""))).state == "bounced"


@pytest.mark.parametrize("mta", ["postfix", "opensmtpd", "sendmail"])
def test_a_file_that_everybody_can_write_to_is_a_hint_and_no_evidence(mta):
    line, name, ask = MTAS[mta]
    found = ask(Mail(files={"/var/log/mail.log": f"Nov 23 01:02:03 mail {name}[1]: {line}\n"}))
    assert found.state == "unknown"
    assert (
        f"/var/log/mail.log, which not only the MTA writes, says: Nov 23 01:02:03 mail {name}[1]: {line}" in found.text
    )


@pytest.mark.parametrize(
    ("stat", "state"),
    [
        ({"uid": 104, "mode": 0o640}, "sent"),
        ({"uid": 0, "mode": 0o640}, "sent"),
        ({"uid": 1000, "mode": 0o640}, "unknown"),
        ({"uid": 101, "mode": 0o640}, "unknown"),
        ({"uid": 104, "mode": 0o646}, "unknown"),
    ],
)
def test_a_log_file_counts_where_the_mta_alone_writes_it(stat, state):
    log = f"2026-11-23 04:35:59 {EXIM}\n"
    host = Mail(files={"/var/log/exim4/mainlog": log}, stats={"/var/log/exim4/mainlog": stat})
    ask = exim_log.handed_on(host, "/var/log/exim4/mainlog", "Debian-exim", "OK id=1xVLlb-0000PB-2L", 0)
    assert ask.state == state


@pytest.mark.parametrize(
    ("line", "state"),
    [
        (f"Nov 23 01:02:03 mail postfix/smtp[1]: {POSTFIX}", "sent"),
        (f"2026-11-23T01:02:03.456789+01:00 mail postfix/relay/smtp[1]: {POSTFIX}", "sent"),
        (f"Nov 23 01:02:03 mail postfix/sendmail[1]: fatal: mail postfix/smtp[1]: {POSTFIX}", "unknown"),
        (f"Nov 23 01:02:03 mail postfix/postlog[1]: {POSTFIX}", "unknown"),
        (POSTFIX, "unknown"),
    ],
)
def test_in_a_file_the_program_that_delivers_is_the_one_that_counts(line, state):
    host = Mail(files={"/var/log/postfix.log": line + "\n"})
    found = postfix_log.handed_on(host, "/var/log/postfix.log", "postfix", "2.0.0 Ok: queued as 4dJ1x", 0)
    assert found.state == state


def test_the_journal_is_asked_for_the_lines_of_the_mta_alone_and_not_for_all():
    host = Mail(journal([POSTFIX], "postfix/smtp"))
    MTAS["postfix"][2](host)
    (command,) = (argv for argv in host.commands if argv[0] == "journalctl")
    assert {"_UID=0", "_UID=101"} == {word for word in command if word.startswith("_UID")}
    assert [word for word in command if word.startswith("--lines=")] == ["--lines=10000"]


def test_a_message_that_is_no_text_is_read_all_the_same():
    entry = {"MESSAGE": list("caf\xe9".encode("latin-1")), "SYSLOG_IDENTIFIER": "smtpd", "_UID": "0"}
    said = Completed((), 0, json.dumps(entry) + "\n" + json.dumps({"_UID": "0", "MESSAGE": None}) + "\n", "")
    assert [line.text for line in read_journal(Mail(said), {"0"}, 0, "x")] == ["", "caf\udce9"]


INNER = "x>, relay=a, dsn=2.0.0, status=sent (x"


@pytest.mark.parametrize(
    ("mta", "line"),
    [
        ("postfix", f'4dJ1x: to=<"{INNER}"@b.example>, relay=none, dsn=5.4.4, status=bounced (no)'),
        ("postfix", f'4dJ1x: to=<a@b>, orig_to=<"{INNER}"@b.example>, relay=none, dsn=5.4.4, status=bounced (no)'),
        ("postfix", f"4dJ1x: to=<a@b>, relay=mx[192.0.2.9]:25, dsn=5.4.4, status=bounced (550 to=<c@d>, {INNER}))"),
        ("postfix", '4dJ1x: to=<"a\\"b>, status=sent (x"@b>, relay=none, dsn=5.4.4, status=bounced (no)'),
        (
            "opensmtpd",
            "44de mta delivery evpid=5db12e9c84738aaf to=<c@d> result=PermFail stat=550 e=5db12e9c result=Ok stat=250",
        ),
        (
            "sendmail",
            '6AN56eLW003647: to="x, dsn=2.0.0, stat=Sent"@b.example, mailer=esmtp, dsn=5.0.0, stat=User unknown',
        ),
        (
            "sendmail",
            "6AN56eLW003647: to=<a@b>, mailer=esmtp, dsn=5.0.0, stat=550 to=<a@b>, mailer=x, dsn=2.0.0, stat=Sent",
        ),
        ("exim by syslog", '1xVLlb-0000PB-2L ** "x => y R=z"@b.example R=x: Unrouteable 1xVLlb-0000PB-2L => a@b R=x'),
    ],
)
def test_what_an_address_or_a_server_says_is_no_status(mta, line):
    _line, name, ask = MTAS[mta]
    assert ask(Mail(journal([line], name, "0"))).state == "bounced"
