# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was accepted is not lost: not by a full mailbox, nor by a full queue, nor by a kill."""

from __future__ import annotations

import contextlib
import json
import secrets

import pytest

LARGE = "\n" + ("x" * 78 + "\n") * 840
# Sends a message over loopback and kills every process of the service as soon as its 250 is there.
SEND_AND_KILL = """
import glob, json, os, re, signal, smtplib, sys
work = json.load(sys.stdin)
def processes():
    for path in glob.glob("/proc/[0-9]*/cgroup"):
        try:
            with open(path) as file:
                if re.search(r"/%s(@[^/]*)?[.]service" % work["unit"], file.read()):
                    yield int(path.split("/")[2])
        except OSError:
            pass
connection = smtplib.SMTP("127.0.0.1", 25, timeout=30)
connection.ehlo()
connection.mail(work["sender"])
code, reply = connection.rcpt(work["recipient"])
known = list(processes())
if code == 250:
    code, reply = connection.data(work["text"])
for pid in known + list(processes()):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
json.dump([code, reply.decode(), len(known)], sys.stdout)
"""
# A directory on a file system of its own, with what is in it, and 100 MiB free: more than Postfix asks for.
SMALL = """
set -eu
used=$(du --summarize --block-size=1K "$1" | cut --fields=1)
mkdir -p "/run/small$1"
mount -t tmpfs -o size=$((used + 102400))k tmpfs "/run/small$1"
cp --archive "$1/." "/run/small$1"
chown --reference="$1" "/run/small$1"
chmod --reference="$1" "/run/small$1"
mount --bind "/run/small$1" "$1"
"""
AS_BEFORE = 'umount "$1" && umount "/run/small$1"'
FILL = 'cat /dev/zero >"/run/small$1/filler" 2>/dev/null || true; truncate --size="-$2K" "/run/small$1/filler"'
MAILBOXES = "/var/mail"


class Loss:
    """One mail host that is treated badly. Its mailboxes and its queue are on small file systems."""

    def __init__(self, lab):
        self.lab, self.host = lab, lab.runner.get_host(lab.name)
        self.directories = (MAILBOXES, lab.facts["lab_spool"])

    def sh(self, script, *arguments):
        self.host.check_output("sudo sh -c %s sh" + " %s" * len(arguments), script, *arguments)

    def each(self, script):
        """Do that to the directories, while the service is down."""
        self.sh("systemctl stop " + self.lab.service())
        for directory in self.directories:
            self.sh(script, directory)
        self.lab.restart()

    @contextlib.contextmanager
    def full(self, directory, free):
        """While a directory has so many KiB free."""
        self.sh(FILL, directory, str(free))
        try:
            yield
        finally:
            self.sh('rm "/run/small$1/filler"', directory)

    def deliver(self):
        """Have what waits tried again, until the queue is empty; for 1000 looks at the most."""
        assert any(self._flushed() for dummy in range(1000)), self.lab.queue(self.lab.name)

    def _flushed(self):
        self.sh(self.lab.facts["lab_flush"] + " || true")
        return not self.lab.queue(self.lab.name)


@pytest.fixture(scope="module")
def loss(lab):
    found = Loss(lab)
    found.each(SMALL)
    yield found
    found.each(AS_BEFORE)


def test_d2_mail_for_a_full_mailbox_waits_and_lands_when_there_is_room(lab, loss):
    with loss.full(MAILBOXES, free=0):
        mails = [("EHLO", "{far}", recipient) for recipient in ("bob@{L}", "postmaster@{L}")]
        sent = [reply for mail in mails for reply in lab.send([mail], headers=LARGE)]
        loss.sh(lab.facts["lab_flush"] + " || true")
        assert lab.queue(lab.name)
    loss.deliver()
    assert [code for _token, code, _text in sent] == [250, 250]
    tokens = [token for token, _code, _text in sent]
    assert [lab.count(lab.name, *found) for found in zip(("bob", "alice"), tokens, strict=True)] == [1, 1]


@pytest.mark.parametrize("free", [0, 40])
def test_d3_a_full_queue_takes_nothing_that_it_cannot_keep(lab, loss, free):
    """Small messages that may still fit, and large ones that do not; who hears 250 has sent it for good."""
    sent = []
    with loss.full(lab.facts["lab_spool"], free):
        for headers in ("", LARGE, LARGE, ""):
            ((token, code, _text),) = lab.send([("EHLO", "{far}", "bob@{L}")], headers=headers)
            sent.append((token, code))
    loss.deliver()
    assert {code // 100 for _token, code in sent} <= {2, 4}, sent
    assert [lab.count(lab.name, "bob", token) for token, _code in sent] == [int(code == 250) for _token, code in sent]
    assert free or not any(code == 250 for _token, code in sent)


@pytest.mark.parametrize("number", range(2))
def test_d4_what_was_accepted_before_a_kill_lands(lab, loss, number):
    token = secrets.token_hex(12)
    work = {"unit": lab.service(), "sender": "sender@" + lab.helo, "recipient": "bob@" + lab.names["L"]}
    work["text"] = f"Subject: test {number}\nX-Token: {token}\n\nA test.\n"
    said = loss.host.check_output("printf %%s %s | sudo python3 -c %s", json.dumps(work), SEND_AND_KILL)
    code, text, killed = json.loads(said)
    assert killed
    assert code == 250, text
    lab.restart()
    # the lock of a delivery that was killed: Postfix itself takes it away after 500 s
    loss.sh("rm --force /var/mail/*.lock")
    loss.deliver()
    # a second copy is what SMTP does where the first one's delivery was not noted
    assert lab.count(lab.name, "bob", token) in (1, 2)
