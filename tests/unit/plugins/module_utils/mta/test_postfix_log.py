# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a message."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.postfix import Postfix
from fakes import FakeHost, journal

REPLY = "2.0.0 Ok: queued as 4dJ1x"
SENT = "4dJ1x: to=<a@b.example>, relay=mx.b.example[192.0.2.9]:25, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as Z9)"
REFUSED = "4dJ1x: to=<a@b.example>, relay=none, dsn=5.4.4, status=bounced (Host not found)"
LATER = "4dJ1x: to=<a@b.example>, relay=none, dsn=4.4.1, status=deferred (connect: refused)"
FORWARDED = "4dJ1x: to=<l@a.example>, relay=local, dsn=2.0.0, status=sent (forwarded as 5aB2y)"
OTHER = "4dJ1x: to=<c@b.example>, relay=none, dsn=2.0.0, status=sent (delivered to mailbox)"


def queued(queue_id, reason=""):
    why = f', "delay_reason": "{reason}"' if reason else ""
    return (
        f'{{"queue_name": "deferred", "queue_id": "{queue_id}", "recipients": [{{"address": "a@b.example"{why}}}]}}\n'
    )


@pytest.mark.parametrize(
    ("log", "queue", "state", "text"),
    [
        ([SENT], "", "sent", "250 2.0.0 Ok: queued as Z9"),
        ([REFUSED], "", "bounced", "Host not found"),
        ([LATER], queued("4dJ1x", "connect: refused"), "deferred", "connect: refused"),
        ([LATER, SENT], "", "sent", "250 2.0.0 Ok: queued as Z9"),
        ([], queued("4dJ1x"), "queued", "in the deferred queue"),
        ([FORWARDED, SENT.replace("4dJ1x", "5aB2y")], "", "sent", "250 2.0.0 Ok: queued as Z9"),
        ([FORWARDED, REFUSED.replace("4dJ1x", "5aB2y")], "", "bounced", "Host not found"),
        ([FORWARDED], queued("5aB2y", "greylisted"), "deferred", "greylisted"),
        ([OTHER, REFUSED], "", "bounced", "Host not found"),
        ([SENT.replace("4dJ1x", "04dJ1x")], "", "unknown", "neither the queue nor the log of Postfix knows " + REPLY),
    ],
)
def test_the_worst_of_what_the_queue_and_the_log_say_counts(log, queue, state, text):
    host = FakeHost()
    host.answers = {
        "journalctl": journal(log, "postfix/smtp"),
        "postqueue": Completed((), 0, queue, ""),
    }
    found = Postfix(host).handed_on(REPLY, 1000.0)
    assert (found.state, found.text) == (state, text)


def test_the_file_that_postfix_writes_itself_is_read():
    path = "/var/log/postfix.log"
    host = FakeHost(files={path: f"Nov 23 01:02:03 mail postfix/smtp[1]: {SENT}\n"}, maillog_file=path)
    assert Postfix(host).handed_on("4dJ1x", 0).state == "sent"
