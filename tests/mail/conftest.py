# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mail host under test, the stranger who sends to it, and the mailboxes of every mail host of the lab."""

from __future__ import annotations

import base64
import email
import json
import os
import pathlib
import re
import secrets
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from testinfra.utils.ansible_runner import AnsibleRunner
from xdist.scheduler import LoadScopeScheduling

ROOT = pathlib.Path(__file__).parents[2]
BACKENDS = ROOT / "roles" / "mta" / "vars" / "backends"
FAR_HOST = ROOT / "tests" / "lab" / "far_host.py"
KEPT = "/run/far-host.json"
INTERVAL = 0.05  # seconds between two looks
TRIED = "tried"  # a property of a test: what it tried
CLIENT = """
import json, smtplib, ssl, sys
work = json.load(sys.stdin)
results, client, said, sent = [], None, "", 0
for greeting, sender, recipients, text in work["mails"]:
    if client and (greeting != said or sent == 5):
        client = client.quit() and None
    if not client:
        client, said, sent = smtplib.SMTP(work["server"], 25, local_hostname=work["helo"], timeout=30), greeting, 0
        if greeting == "STARTTLS":
            client.ehlo()
            code, reply = client.docmd("STARTTLS")
            if code != 220:
                results.append([(code, reply.decode())])
                client = client.quit() and None
                continue
            client.sock = ssl._create_unverified_context().wrap_socket(client.sock)
            client.file = None
        assert client.docmd(greeting.replace("STARTTLS", "EHLO"), work["helo"])[0] == 250
    sent += 1
    sender, _blank, parameters = sender.partition(" ")
    replies = [client.docmd(("MAIL FROM:<%s> %s" % (sender, parameters)).rstrip())]
    if replies[0][0] == 250:
        replies = [client.docmd("RCPT TO:<%s>" % recipient) for recipient in recipients]
    if any(code == 250 for code, reply in replies):
        try:
            data = client.data(text)
        except smtplib.SMTPDataError as error:
            data = error.smtp_code, error.smtp_error
        replies = [data if code == 250 else (code, reply) for code, reply in replies]
    elif replies[-1][0] != 421:
        client.rset()
    results.append([(code, reply.decode()) for code, reply in replies])
    if replies[-1][0] == 421:
        client = client.close()
if client:
    client.quit()
json.dump(results, sys.stdout)
"""


RAW = """
import json, smtplib, sys
work = json.load(sys.stdin)
client = smtplib.SMTP(work["server"], 25, local_hostname=work["helo"], timeout=30)
client.ehlo()
replies = [client.docmd(command) for command in work["commands"]]
if replies[-1][0] == 354:
    client.send(work["octets"].encode("latin-1"))
    replies.append(client.getreply())
client.close()
json.dump([(code, reply.decode()) for code, reply in replies], sys.stdout)
"""
HANDSHAKE = """
import smtplib, ssl, sys
server, newest, ciphers = sys.argv[1:]
client = smtplib.SMTP(server, 25, timeout=30)
client.ehlo()
if client.docmd("STARTTLS")[0] != 220:
    sys.exit(print("not offered"))
context = ssl._create_unverified_context()
context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion[newest]
context.set_ciphers(ciphers)
try:
    print(context.wrap_socket(client.sock).cipher())
except (ssl.SSLError, ConnectionError):
    print("refused")
"""
CLIENTS = """
import json, smtplib, sys, threading
work = json.load(sys.stdin)
def client(tokens):
    with smtplib.SMTP(work["server"], 25, local_hostname=work["helo"], timeout=30) as connection:
        for token in tokens:
            connection.sendmail("sender@" + work["helo"], work["recipient"], "X-Token: %s\\n\\nA test.\\n" % token)
threads = [threading.Thread(target=client, args=(tokens,)) for tokens in work["tokens"]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def wait_until(condition, seconds=120, said=lambda: ""):
    """Looks until the condition holds; that it does not after so many seconds is an error."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, said()
        time.sleep(INTERVAL)


def podman(*words, check=True):
    """What podman says."""
    done = subprocess.run([ROOT / "tests" / "lab" / "podman", *words], check=check, capture_output=True, text=True)
    return done.stdout.strip()


class Lab:
    """One mail host, and the others that mail can travel to or come from."""

    def __init__(self, runner, name):
        self.runner, self.name = runner, name
        self.facts = runner.get_variables(name)
        self.backend = name.partition("-")[0]
        self.primary = next(peer for peer in runner.get_hosts(self.backend) if peer != name)
        self.helo = self.fqdn("stranger")
        addresses = runner.get_host(name).check_output("hostname --all-ip-addresses").split()
        self.names = {
            "L": f"{name}.example.com",
            "V": f"{name}.example.net",
            "H": f"{name}.example.org",
            "R": f"{self.primary}.example.com",
            "F": self.helo,
            "far": "sender@" + self.helo,
            "ipv4": addresses[0],
            # where the machine has no IPv6, the other one once more; so with the literal
            "ipv6": next((address for address in addresses if ":" in address), addresses[0]),
            "literal": f"[{addresses[0]}]",
            "literal6": next((f"[IPv6:{address}]" for address in addresses if ":" in address), f"[{addresses[0]}]"),
        }

    def send(self, mails, **how):
        """Sends (greeting, envelope sender, recipient) each with a token of its own: list of (token, code, text).

        The reply is that to the message, or to the command that was refused.
        """
        sent = self.deliver([(greeting, sender, [recipient]) for greeting, sender, recipient in mails], **how)
        return [(token, *replies[0]) for token, replies in sent]

    def deliver(self, mails, headers="", server="", client="stranger", helo=""):
        """The same for several recipients each: list of (token, [(code, text), ...]).

        The greeting STARTTLS is an EHLO after it; behind the sender, parameters of MAIL may stand. Where MAIL is
        refused there is one reply.
        """
        tokens = [secrets.token_hex(12) for dummy in mails]
        work = {"server": server or self.names["ipv4"], "helo": helo or self.fqdn(client), "mails": []}
        for token, (greeting, sender, recipients) in zip(tokens, mails, strict=True):
            text = "From: <sender@{}>\nTo: <postmaster@{}>\nX-Token: {}\n{}\nA test: {}.\n".format(
                self.helo,
                self.names["H"],
                token,
                headers,
                self.body_word(token),
            )
            named = [recipient.format(**self.names) for recipient in recipients]
            work["mails"].append([greeting, sender.format(**self.names), named, text])
        done = self.runner.get_host(client).run("printf %%s %s | python3 -c %s", json.dumps(work), CLIENT)
        assert done.rc == 0, done.stderr
        return list(zip(tokens, json.loads(done.stdout), strict=True))

    def send_octets(self, commands, octets):
        """Sends some octets as they are after commands of which the last one is DATA: list of (code, text)."""
        named = [command.format(**self.names) for command in commands]
        work = {"server": self.names["ipv4"], "helo": self.helo, "commands": named, "octets": octets.decode("latin-1")}
        done = self.runner.get_host("stranger").run("printf %%s %s | python3 -c %s", json.dumps(work), RAW)
        assert done.rc == 0, done.stderr
        return json.loads(done.stdout)

    def handshake(self, newest, ciphers):
        """The cipher after STARTTLS with a client of other days, or that it is refused, or not offered."""
        stranger = self.runner.get_host("stranger")
        return stranger.check_output("python3 -c %s %s %s %s", HANDSHAKE, self.names["ipv4"], newest, ciphers)

    def send_at_once(self, recipient, clients, messages):
        """Sends so many messages from each of some clients at the same time; their tokens."""
        tokens = [[secrets.token_hex(12) for _message in range(messages)] for _client in range(clients)]
        work = {"server": self.names["ipv4"], "helo": self.helo, "tokens": tokens}
        work["recipient"] = recipient.format(**self.names)
        done = self.runner.get_host("stranger").run("printf %%s %s | python3 -c %s", json.dumps(work), CLIENTS)
        assert (done.rc, done.stderr) == (0, "")
        return [token for group in tokens for token in group]

    def fqdn(self, client):
        return self.runner.get_host(client).check_output("hostname --fqdn")

    def can(self, row):
        """Whether the MTA keeps a row: the tests hold that it does, and else that it does not."""
        return row not in self.facts["lab_cannot"].get(self.facts["lab_release"], [])

    def body_word(self, token):
        """The word that stands in the body, and only there, of the message with a token."""
        return token[::-1]

    def queue(self, name):
        return self.runner.get_host(name).check_output("sudo " + self.facts["lab_queue"])

    def come_to_rest(self, name):
        """Waits until nothing moves in a queue, then throws away what lies there."""
        host, moving = self.runner.get_host(name), self.facts.get("lab_moving", self.facts["lab_queue"])
        wait_until(lambda: not host.check_output("sudo sh -c %s", moving), said=lambda: self.queue(name))
        host.check_output("sudo sh -c %s", self.facts.get("lab_clear", "true"))

    def settle(self, *names):
        """Waits until the queues of these hosts are empty."""
        wait_until(lambda: not any(map(self.queue, names)), said=lambda: "".join(map(self.queue, names)))

    def data(self):
        """The backend's own variables, as they are written."""
        return yaml.safe_load((BACKENDS / f"{self.backend}.yml").read_text())

    def service(self):
        return self.data()["mta_backend_transaction"]["service"]["name"]

    def restart(self):
        """Starts the service anew, and waits until it answers."""
        host = self.runner.get_host(self.name)
        host.check_output("sudo systemctl reset-failed && sudo systemctl restart %s", self.service())
        self.answers()

    def answers(self):
        """Waits until the service greets a stranger."""
        greeted = "import smtplib, sys; smtplib.SMTP(sys.argv[1], 25, timeout=30).quit()"
        stranger = self.runner.get_host("stranger")
        wait_until(lambda: stranger.run("python3 -c %s %s", greeted, self.names["ipv4"]).rc == 0)

    def stop_hard(self):
        """Takes the power from the host, and waits until it has booted."""
        # as molecule/inventory/group_vars/all.yml names the lab
        container = "{}-{inventory_hostname}".format(os.environ.get("MAILOPS_LAB", "mailops-molecule"), **self.facts)
        podman("kill", container)
        podman("start", container)
        boot = ["exec", container, "systemctl", "is-system-running", "--wait"]
        wait_until(lambda: podman(*boot, check=False) in ("running", "degraded"))

    def rebuild(self):
        return self.data()["mta_backend_aliases_rebuild"]

    def count(self, name, account, token):
        """How many messages with a token are in the mailbox of an account."""
        done = self.runner.get_host(name).run("sudo grep -c %s /var/mail/%s", f"^X-Token: {token}$", account)
        return int(done.stdout or 0)

    def tokens(self, name, account):
        """How many messages with each token are in the mailbox of an account."""
        done = self.runner.get_host(name).run("sudo grep --no-filename '^X-Token: ' /var/mail/%s", account)
        return Counter(line.split()[1] for line in done.stdout.splitlines())

    def octets(self, name, account):
        """The messages in the mailbox of an account, each as it stands there."""
        text = base64.b64decode(self.runner.get_host(name).check_output("sudo base64 /var/mail/%s", account))
        return re.split(rb"^From .*\n", text, flags=re.MULTILINE)[1:]

    def messages(self, name, account, word):
        """The messages with a word, wherever it stands in them, in the mailbox of an account."""
        return [email.message_from_bytes(message) for message in self.octets(name, account) if word.encode() in message]

    def body(self, name, account, token):
        """The lines of the body of the one message with a token, as octets."""
        parts = [message.partition(b"\n\n") for message in self.octets(name, account)]
        (body,) = [body for head, _blank, body in parts if f"X-Token: {token}".encode() in head]
        return body.removesuffix(b"\n").removesuffix(b"\n").split(b"\n")

    def start_far_host(self):
        """Starts the far mail host beside the stranger, where it does not run yet."""
        start = "systemd-run --quiet --collect --unit=far-host --property=Type=notify python3 -c %s %s"
        self.runner.get_host("stranger").check_output(
            "flock /run/far-host.lock sh -c 'systemctl --quiet is-active far-host || exec \"$@\"' sh " + start,
            FAR_HOST.read_text(encoding="utf-8"),
            KEPT,
        )

    def kept(self):
        """What the far mail host has got, dictionaries of sender, recipients and text; it may be writing one more."""
        lines = self.runner.get_host("stranger").run("cat %s", KEPT).stdout.splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


class ByBackend(LoadScopeScheduling):
    """Tests on the hosts of one backend follow each other in one process: these hosts send mail to each other."""

    def _split_scope(self, nodeid):
        found = re.search(r"ansible://(\w+)-", nodeid)
        return found[1] if found else nodeid


def pytest_xdist_make_scheduler(config, log):
    return ByBackend(config, log)


def pytest_terminal_summary(terminalreporter):
    """Says what was tried, and how much of it."""
    for report in terminalreporter.stats.get("passed", []):
        for name, text in report.user_properties:
            if name == TRIED:
                terminalreporter.write_line(text)


def pytest_configure(config):
    """What are several hosts for Ansible, with colons between them, are several for testinfra, too."""
    if config.option.hosts:
        patterns = config.option.hosts.replace("ansible://", "").replace(":", ",").split(",")
        config.option.hosts = ",".join(f"ansible://{pattern}" for pattern in patterns)


def pytest_sessionstart(session):
    session.config.outcomes = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Notes the rows of the catalogue that a test shows: those in its name, and that of its first parameter."""
    report = yield
    named = re.match(r"test((?:_[abden]\d+)+)_", item.name)
    rows = named.group(1).upper().strip("_").split("_") if named else []
    rows += re.findall(r"-([ABD]\d+) ", item.name)
    for row in rows if report.when == "call" and "lab" in item.funcargs else []:
        lab = item.funcargs["lab"]
        kept = report.passed and lab.can(row)
        verdicts = item.config.outcomes.setdefault(lab.name, {}).setdefault(row, {})
        verdicts[item.nodeid] = "pass" if kept else "fail"
    return report


def pytest_sessionfinish(session):
    """Keeps the outcomes beside the proofs of the hosts."""
    for name, outcomes in session.config.outcomes.items():
        path = ROOT / ".build" / "conformance" / "tests" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        before = json.loads(path.read_text()) if path.exists() else {}
        rows = {row: {**before.get(row, {}), **outcomes.get(row, {})} for row in (*before, *outcomes)}
        path.write_text(json.dumps(rows, indent=1))


@pytest.fixture(scope="module")
def lab(host, request):
    runner = AnsibleRunner(request.config.option.ansible_inventory)
    return Lab(runner, host.backend.host)


@pytest.fixture(scope="session")
def hosts(request):
    """``hosts(work)``: does the work on each of the hosts, all at the same time; host to what it returned."""
    runner = AnsibleRunner(request.config.option.ansible_inventory)
    patterns = request.config.option.hosts.replace("ansible://", "").split(",")
    names = [name for pattern in patterns for name in runner.get_hosts(pattern)]

    def run(work):
        with ThreadPoolExecutor(len(names)) as pool:
            return dict(zip(names, pool.map(lambda name: work(Lab(runner, name)), names), strict=True))

    return run
