# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mail host under test, the stranger who sends to it, and the mailboxes of every mail host of the lab."""

from __future__ import annotations

import json
import pathlib
import secrets

import pytest
import yaml
from testinfra.utils.ansible_runner import AnsibleRunner

BACKENDS = pathlib.Path(__file__).parents[2] / "roles" / "mta" / "vars" / "backends"
CLIENT = """
import json, smtplib, sys
work = json.load(sys.stdin)
replies, client, said, sent = [], None, "", 0
for greeting, sender, recipient, text in work["mails"]:
    if client and (greeting != said or sent == 5):
        client = client.quit() and None
    if not client:
        client, said, sent = smtplib.SMTP(work["server"], 25, local_hostname=work["helo"], timeout=30), greeting, 0
        assert client.docmd(greeting, work["helo"])[0] == 250
    sent += 1
    for command in ("MAIL FROM:<%s>" % sender, "RCPT TO:<%s>" % recipient):
        code, reply = client.docmd(command)
        if code != 250:
            client.rset()
            break
    else:
        code, reply = client.data(text)
    replies.append((code, reply.decode()))
client.quit()
json.dump(replies, sys.stdout)
"""


class Lab:
    """One mail host, and the others that mail can travel to or come from."""

    def __init__(self, runner, name):
        self.runner, self.name = runner, name
        self.facts = runner.get_variables(name)
        self.backend = name.partition("-")[0]
        self.primary = next(peer for peer in runner.get_hosts(self.backend) if peer != name)
        self.helo = runner.get_host("stranger").check_output("hostname --fqdn")
        addresses = runner.get_host(name).check_output("hostname --all-ip-addresses").split()
        self.names = {
            "L": f"{name}.example.com",
            "V": f"{name}.example.net",
            "H": f"{name}.example.org",
            "R": f"{self.primary}.example.com",
            "far": "sender@" + self.helo,
            "ipv4": addresses[0],
            "literal": f"[{addresses[0]}]",
            # where the machine has no IPv6, the same literal once more
            "literal6": next((f"[IPv6:{address}]" for address in addresses if ":" in address), f"[{addresses[0]}]"),
        }

    def send(self, mails):
        """Sends (greeting, envelope sender, recipient) each with a token of its own: list of (token, code, text)."""
        tokens = [secrets.token_hex(12) for dummy in mails]
        work = {"server": self.names["ipv4"], "helo": self.helo, "mails": []}
        for token, (greeting, sender, recipient) in zip(tokens, mails, strict=True):
            text = "From: <sender@{}>\nTo: <postmaster@{}>\nX-Token: {}\n\nA test.\n".format(
                self.helo,
                self.names["H"],
                token,
            )
            work["mails"].append([greeting, sender.format(**self.names), recipient.format(**self.names), text])
        done = self.runner.get_host("stranger").run("printf %%s %s | python3 -c %s", json.dumps(work), CLIENT)
        assert done.rc == 0, done.stderr
        return [(token, *reply) for token, reply in zip(tokens, json.loads(done.stdout), strict=True)]

    def queue(self, name):
        return self.runner.get_host(name).check_output("sudo " + self.facts["lab_queue"])

    def settle(self, *names):
        """Waits until the queues of these hosts are empty, for 1000 looks at the most."""
        for name in names:
            assert any(not self.queue(name) for dummy in range(1000)), self.queue(name)

    def data(self):
        """The backend's own variables, as they are written."""
        return yaml.safe_load((BACKENDS / f"{self.backend}.yml").read_text())

    def service(self):
        return self.data()["mta_backend_transaction"]["service"]["name"]

    def rebuild(self):
        return self.data()["mta_backend_aliases_rebuild"]

    def count(self, name, account, token):
        """How many messages with a token are in the mailbox of an account."""
        done = self.runner.get_host(name).run("sudo grep -c %s /var/mail/%s", f"^X-Token: {token}$", account)
        return int(done.stdout or 0)


@pytest.fixture(scope="module")
def lab(host, request):
    runner = AnsibleRunner(request.config.option.ansible_inventory)
    return Lab(runner, host.backend.host)
