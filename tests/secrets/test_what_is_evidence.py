# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user writes into the log in the name of the MTA is no evidence; what the MTA writes there is."""

from __future__ import annotations

import os
import subprocess

import pytest
from conftest import ROOT, podman, wait_until

# Per MTA: the name that it logs under, a line that says that a message has gone, and the reply that named the message.
FORGED = {
    "postfix": (
        "postfix/smtp",
        "F0F0F0F0F0: to=<a@b.example>, relay=mx[192.0.2.9]:25, dsn=2.0.0, status=sent (250 taken)",
        "2.0.0 Ok: queued as F0F0F0F0F0",
    ),
    "opensmtpd": (
        "smtpd",
        "44de mta delivery evpid=f0f0f0f084738aaf from=<> to=<c@d> rcpt=<-> relay=x delay=9s result=Ok stat=250 taken",
        "2.0.0 f0f0f0f0 Message accepted for delivery",
    ),
    "sendmail": (
        "sm-mta",
        "6AN56eLW003647: to=<a@b.example>, mailer=esmtp, relay=[192.0.2.9], dsn=2.0.0, stat=Sent (Ok)",
        "2.0.0 6AN56eLW003647 Message accepted for delivery",
    ),
    "exim": ("exim", "1xVLlb-0000PB-2L => a@b.example R=relayed T=remote_smtp H=far", "OK id=1xVLlb-0000PB-2L"),
}
UTILS = "ansible_collections/mailops/postmaster/plugins/module_utils"
ASK = """
import sys, time
sys.path.insert(0, "/root/asked")
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.registry import adapter_class
print(adapter_class(sys.argv[1])(Host()).handed_on(sys.argv[2], time.time() - 600).state)
"""


@pytest.fixture(scope="module")
def ask(lab):
    """``ask(reply)``: what has become of a message, by the adapter of the MTA on its host."""
    container = "{}-{}".format(os.environ.get("MAILOPS_LAB", "mailops-molecule"), lab.name)
    packed = subprocess.run(
        ["tar", "--directory", ROOT / ".build", "--dereference", "--create", UTILS], stdout=subprocess.PIPE, check=True
    )
    unpack = "mkdir -p /root/asked && exec tar --directory /root/asked --extract"
    command = [ROOT / "tests" / "lab" / "podman", "exec", "--interactive", container, "sh", "-c", unpack]
    subprocess.run(command, input=packed.stdout, check=True)
    return lambda reply: podman("exec", container, "python3", "-c", ASK, lab.backend, reply)


def test_a_line_that_a_user_forges_is_no_evidence(lab, host, ask):
    name, line, reply = FORGED[lab.backend]
    host.check_output("sudo -u alice logger --priority mail.info --tag %s -- %s", name, line)
    host.check_output("sudo journalctl --sync")
    assert line in host.check_output("sudo journalctl --output=cat --identifier=%s --lines=100", name)
    assert ask(reply) == "unknown"


def test_what_the_mta_says_of_a_message_is_evidence(lab, ask):
    ((_token, code, text),) = lab.send([("EHLO", "sender@{F}", "postmaster@{L}")])
    assert code == 250
    wait_until(lambda: ask(text) == "sent", said=lambda: f"{text}: {ask(text)}")
