# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One MTA takes the place of another: what waits in the queue of the old one arrives once, to the byte."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from conftest import BACKENDS, ROOT, TRIED, wait_until

START = "exim"
TORTURE = bool(os.environ.get("MAILOPS_TORTURE"))
# there and back; or a ring, and what makes it every ordered pair
RING = ["opensmtpd", "sendmail", "postfix", "exim"]
WHOLE = [*RING, "sendmail", "opensmtpd", "postfix", "sendmail", "exim", "postfix", "opensmtpd", "exim"]
WAY = os.environ.get("SWITCH_WAY", "").split() or (WHOLE if TORTURE else ["postfix", "exim"])
TIMEOUT = 10  # seconds in which a change has to be confirmed: the shortest time that is allowed
LATE = 10  # seconds after that in which the old MTA has to answer again
PLANT = (ROOT / "tests" / "switch" / "plant.py").read_text(encoding="utf-8")
STOP, SEEN, DECOY, SECRET = "/run/planted.stop", "/run/planted.seen", "/run/planted.decoy", "/root/planted"
PENDING = (
    "sudo find /var/lib/mailops-postmaster -maxdepth 1 -name pending.json -o -name undoing.json -o -name '*in-force*'"
)
MESSAGES = 29 if TORTURE else 1  # of each of the seven kinds
# what not every MTA can be set to
VARIABLES = {
    "lab_defences": [],
    "mta_postmaster_notices": [],
    "mta_postmaster_blocked_clients": [],
    "mta_relay_domains": {},
    "mta_blocklists": [],
    "mta_sender_checks": False,
    "mta_helo_checks": False,
    "mta_spf": False,
}
# Bodies, senders and recipients: {L} is a domain here, {F} the far host, which is down until the switch is over.
KINDS = {
    "plain": (b"plain\n", "alice@{L}", ["far@{F}"]),
    "null sender": (b"a bounce\n", "", ["far@{F}"]),
    "8 bits": (bytes(range(0x80, 0x100)) + "\ngr\u00fc\u00dfe\n".encode(), "alice@{L}", ["far@{F}"]),
    "dots": (b".\n..\n.dot\n\n.\nend\n", "alice@{L}", ["far@{F}"]),
    "long line": (b"x" * 980 + b"\n", "alice@{L}", ["far@{F}"]),
    "partly delivered": (b"several\n", "alice@{L}", ["alice@{L}", "far@{F}", "bob@{L}", "far2@{F}"]),
    "alias partly delivered": (b"alias\n", "alice@{L}", ["team@{L}"]),
}
SEND = """
import base64, json, smtplib, sys
for sender, recipients, text in json.load(sys.stdin):
    with smtplib.SMTP("127.0.0.1", 25, timeout=30) as client:
        client.sendmail(sender, recipients, base64.b64decode(text), ["BODY=8BITMIME"])
"""
# Prints for how long port 25 did not answer, each time.
WATCH = """
import os, socket, sys, time
down, gaps = 0, []
while not os.path.exists(sys.argv[2]):
    try:
        with socket.create_connection((sys.argv[1], 25), 1) as connection:
            connection.settimeout(1)
            up = connection.recv(3) == b"220"
    except OSError:
        up = False
    now = time.monotonic()
    if up and down:
        gaps.append("%.1f" % (now - down))
    down = 0 if up else down or now
    time.sleep(0.1)
print(" ".join(gaps))
"""

# Sends a signal to the first dpkg that installs, and to all that have started it, up to the module.
SIGNAL = """
import glob, os, sys, time
def words(pid):
    try:
        with open("/proc/%d/cmdline" % pid) as file:
            return file.read().split("\\0")
    except OSError:
        return [""]
def parent(pid):
    with open("/proc/%d/stat" % pid) as file:
        return int(file.read().rpartition(")")[2].split()[1])
until = time.monotonic() + 120
while time.monotonic() < until:
    pids = [int(path.split("/")[2]) for path in glob.glob("/proc/[0-9]*")]
    found = [pid for pid in pids if words(pid)[0].endswith("dpkg") and {"--unpack", "--configure"} & set(words(pid))]
    if found:
        chain = found[:1]
        while not words(chain[-1])[0].endswith("python3"):
            chain.append(parent(chain[-1]))
        for pid in chain:
            os.kill(pid, int(sys.argv[1]))
        print(len(chain))
        break
    time.sleep(0.02)
"""


class Switched:
    """The host, whose MTA is another one after each switch."""

    def __init__(self, lab, inventory):
        self.lab, self.inventory, self.mta = lab, inventory, START
        self.host, self.stranger = lab.runner.get_host(lab.name), lab.runner.get_host("stranger")

    def start(self, playbook, backend, **variables):
        """A play that has just begun."""
        command = ["ansible-playbook", f"--inventory={self.inventory}", f"--limit={self.lab.name}:stranger"]
        given = json.dumps({**VARIABLES, **variables, "mta_backend": backend})
        path = str(ROOT / "playbooks" / f"{playbook}.yml")
        both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen([*command, f"--extra-vars={given}", path], **both, text=True, start_new_session=True)

    def play(self, playbook, backend, **variables):
        """A play that has ended."""
        with self.start(playbook, backend, **variables) as process:
            said = process.communicate()[0]
        return subprocess.CompletedProcess(process.args, process.returncode, said)

    def lose_controller(self, backend, moment):
        """Kill a change to another MTA as soon as it says this; when that was."""
        with self.start("site", backend, mta_confirm_timeout=TIMEOUT) as process:
            said = next((line for line in process.stdout if moment in line), "")
            os.killpg(process.pid, signal.SIGKILL)
        assert said, "the moment never came"
        return time.monotonic()

    def fact(self, name):
        return self.lab.runner.get_variables(f"{self.mta}-trixie")[name]

    def stop_far_host(self):
        self.stranger.run("systemctl --quiet stop far-host")

    def send(self, count):
        """Queue so many messages of each kind; token to kind."""
        sent, work = {}, []
        for kind in [kind for kind in KINDS for _number in range(count)]:
            body, sender, recipients = KINDS[kind]
            token = secrets.token_hex(12)
            head = "From: <alice@example.com>\nTo: <far@example.com>\nDate: Mon, 23 Nov 2026 14:00:00 +0000\n"
            head += f"Message-ID: <{token}@example.com>\nX-Token: {token}\nX-Odd:   two  blanks\n\n"
            text = base64.b64encode((head.encode() + body).replace(b"\n", b"\r\n")).decode()
            names = self.lab.names
            work.append([sender.format(**names), [one.format(**names) for one in recipients], text])
            sent[token] = kind
        done = self.host.run("printf %%s %s | python3 -c %s", json.dumps(work), SEND)
        assert done.rc == 0, done.stderr
        return sent

    def watch(self, act):
        """What ``act`` returns, and for how long port 25 did not answer meanwhile."""
        stop, gaps = f"/run/{secrets.token_hex(4)}", []
        watching = self.stranger.run
        thread = threading.Thread(
            target=lambda: gaps.append(watching("python3 -c %s %s %s", WATCH, self.lab.names["ipv4"], stop).stdout)
        )
        thread.start()
        try:
            return act(), gaps
        finally:
            self.stranger.run("touch %s", stop)
            thread.join()

    def runs(self, mta):
        unit = yaml.safe_load((BACKENDS / f"{mta}.yml").read_text())["mta_backend_transaction"]["service"]
        return self.host.service(unit["name"]).is_running

    def answers(self):
        """Whether the MTA that belongs there runs, and greets the stranger."""
        greeted = "import smtplib, sys; smtplib.SMTP(sys.argv[1], 25, timeout=5).quit()"
        return self.runs(self.mta) and self.stranger.run("python3 -c %s %s", greeted, self.lab.names["ipv4"]).rc == 0

    def healed(self):
        """Wait until no transaction is pending."""
        wait_until(lambda: not self.host.check_output(PENDING))

    def deliver(self):
        """Have the queue tried until it is empty."""
        self.lab.start_far_host()
        try:
            wait_until(self._flushed, said=self._queue)
        finally:
            self.stop_far_host()

    def _flushed(self):
        self.host.run("sudo sh -c %s", self.fact("lab_flush"))
        return not self._queue()

    def _queue(self):
        return self.host.check_output(f"sudo {self.fact('lab_queue')}")


class Planted:
    """What the account of the MTA has planted in its spool; gone at the end. See plant.py."""

    def __init__(self, switched):
        self.switched, self.host = switched, switched.host

    def __enter__(self):
        self.host.check_output("sudo rm -f %s %s %s", STOP, SEEN, DECOY)
        # the host makes up the word: sudo notes each command line in the journal
        self.word = self.host.check_output("sudo tee %s < /proc/sys/kernel/random/uuid", SECRET)
        self.host.check_output("sudo chmod 600 %s", SECRET)
        wait_until(lambda: self._plant().rc == 0, said=lambda: self._plant().stderr)
        return self

    def _plant(self):
        done = self.host.run("sudo python3 -c %s %s %s", PLANT, self.switched.mta, SECRET)
        lines = [line.split(": ") for line in done.stdout.splitlines()]
        self.kinds, self.names = [line[0] for line in lines], [line[1] for line in lines]
        return done

    def __exit__(self, *_error):
        self.host.check_output("sudo touch %s", STOP)
        for name in self.names:
            self.host.check_output("sudo find /var/spool -name %s -exec rm -rf {} +", f"*{name}*")
        self.host.check_output("sudo rm -rf /var/lib/mailops-postmaster/queue.unread")

    def seen(self, said):
        """Where the words of the file are: mailboxes, saved mail, the journal, command lines, far host, result."""
        files = f"/var/mail /var/lib/mailops-postmaster $(ls -d {SEEN})"
        # the words are on no command line here either: somebody looks
        look = f"(sudo tar --create --file=- {files}; sudo journalctl) 2>/dev/null | sudo grep --text --file={SECRET}"
        found = self.host.run(look).stdout
        return found + (self.word if self.word in said + json.dumps(self.switched.lab.kept()) else "")


@pytest.fixture(scope="module")
def switched(lab, request):
    found = Switched(lab, request.config.option.ansible_inventory)
    found.stop_far_host()
    team = f"team: alice, far3@{lab.names['F']}"
    found.host.check_output("grep --quiet ^team: /etc/aliases || echo %s | sudo tee --append /etc/aliases", team)
    yield found
    found.stop_far_host()


def arrived(switched, sent):
    """Who got which of the messages, and how often; those that are not as they were sent."""
    got, wrong = Counter(), []
    for found in switched.lab.kept():
        head, _blank, body = found["text"].encode("latin-1").partition(b"\n\n")
        token = next((line[9:].decode() for line in head.split(b"\n") if line.startswith(b"X-Token: ")), "")
        kind = sent.get(token, "")
        for recipient in found["recipients"] if kind else []:
            got[kind, recipient.partition("@")[0], found["sender"] != ""] += 1
        if kind and (body != KINDS[kind][0] or b"\nX-Odd:   two  blanks" not in head):
            wrong.append((kind, body))
    for account in ("alice", "bob"):
        for message in switched.lab.messages(switched.lab.name, account, "X-Token: "):
            # what says that one is late has its headers, too, but not as its own
            if message["X-Token"] in sent:
                got[sent[message["X-Token"]], account, True] += 1
    return got, wrong


WANTED = [
    *((kind, "far", kind != "null sender") for kind in KINDS if "alias" not in kind),
    *(("partly delivered", name, True) for name in ("alice", "bob", "far2")),
    *(("alias partly delivered", name, True) for name in ("alice", "far3")),
]


@pytest.mark.parametrize("new", WAY)
def test_what_the_old_mta_had_queued_arrives_once_and_to_the_byte(switched, new, record_property):
    """The account of the old MTA meanwhile does to its spool what it may, to get at a file that only root can read."""
    old = switched.mta
    sent = switched.send(MESSAGES)
    with Planted(switched) as planted:
        played, gaps = switched.watch(lambda: switched.play("site", new))
        assert played.returncode == 0, played.stdout
        switched.mta = new
        switched.deliver()
        assert planted.seen(played.stdout) == ""
        assert switched.host.file(DECOY).exists
    assert arrived(switched, sent) == (Counter(dict.fromkeys(WANTED, MESSAGES)), [])
    assert (switched.runs(old), switched.runs(new)) == (False, True)
    record_property(TRIED, f"{old} to {new}: {len(sent)} messages; seconds without an answer: {gaps[0].strip()}")
    record_property(TRIED, f"  planted by the account of {old}: {', '.join(planted.kinds)}; nothing of it was seen")


def test_the_host_passes_the_audit_and_a_second_run_changes_nothing(switched):
    assert "failed=0" in switched.play("audit", switched.mta).stdout
    assert "changed=0" in switched.play("site", switched.mta).stdout


def test_an_mta_that_is_not_proven_leaves_the_old_one_serving_with_its_queue(switched, record_property):
    sent = switched.send(MESSAGES)
    dead = switched.lab.runner.get_variables("opensmtpd-trixie")["refused_dead"]
    played, gaps = switched.watch(lambda: switched.play("site", "opensmtpd", mta_extra_settings=dead))
    assert "the old one is back" in played.stdout
    switched.deliver()
    assert arrived(switched, sent) == (Counter(dict.fromkeys(WANTED, MESSAGES)), [])
    record_property(TRIED, f"{switched.mta} and back: {len(sent)} messages; seconds without: {gaps[0].strip()}")


@pytest.mark.parametrize("new", [mta for mta in RING if mta != WAY[-1]] if TORTURE else ["opensmtpd"])
def test_a_controller_that_is_lost_before_the_proof_leaves_the_old_mta_in_time(switched, new, record_property):
    sent = switched.send(MESSAGES)
    killed = switched.lose_controller(new, "Probe it from another host")
    wait_until(switched.answers)
    seconds = time.monotonic() - killed
    assert seconds < TIMEOUT + LATE
    ((token, code, text),) = switched.lab.send([("EHLO", "{far}", "postmaster@{L}")])
    assert code == 250, text
    switched.healed()
    switched.deliver()
    assert switched.lab.count(switched.lab.name, "alice", token) == 1
    assert arrived(switched, sent) == (Counter(dict.fromkeys(WANTED, MESSAGES)), [])
    assert "failed=0" in switched.play("audit", switched.mta).stdout
    record_property(TRIED, f"{switched.mta} after {new}, lost: {len(sent)} messages; served after {seconds:.1f} s")


@pytest.mark.parametrize(("happens", "sent_to_dpkg", "status"), [("killed", 9, 2), ("stopped hard", 0, 4)])
def test_an_end_in_the_middle_of_apt_is_healed_by_the_host_itself(
    switched, happens, sent_to_dpkg, status, record_property
):
    sent = switched.send(MESSAGES)

    def end():
        found = switched.host.run("sudo python3 -c %s %s", SIGNAL, str(sent_to_dpkg)).stdout.strip()
        if not sent_to_dpkg:
            switched.lab.stop_hard()
        return found

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(end)
        played, gaps = switched.watch(
            lambda: (switched.play("site", "opensmtpd"), ended.result(), switched.healed())[0]
        )
    assert (played.returncode, ended.result()) == (status, "3"), played.stdout
    assert switched.host.check_output("sudo dpkg --audit") == ""
    switched.deliver()
    assert arrived(switched, sent) == (Counter(dict.fromkeys(WANTED, MESSAGES)), [])
    assert "failed=0" in switched.play("audit", switched.mta).stdout
    record_property(TRIED, f"{switched.mta}, {happens}: {len(sent)} messages; seconds without: {gaps[0].strip()}")
