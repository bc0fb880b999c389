# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planted secrets are found nowhere but in files that only root and the MTA read, whoever connects.

All hosts are changed by the same plays, and looked at once, when the plays have ended.
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import re
import secrets
import subprocess
import time
from dataclasses import dataclass

import pytest
import yaml
from conftest import ROOT, podman

ON_HOST = pathlib.Path(__file__).with_name("on_host.py").read_text(encoding="utf-8")
STATE = "/var/lib/mailops-postmaster/"
# Per MTA: a secret setting; one that its check rejects, or the role; and where the first may stand.
PLANTED = {
    "postfix": (
        {"smtp_sasl_password_maps": ["relay.example.org user:{}", "b.example c:{}"]},
        {"mail_name": "{}"},
        ["/etc/postfix/mailops-secret.smtp_sasl_password_maps"],
    ),
    "exim": ({"bi_command": "/bin/true {}"}, {"no_such_option": "{}"}, ["/etc/exim4/mailops-secret.conf"]),
    "opensmtpd": (
        {"table credentials": '{{ "relay" = "user:{}" }}'},
        {"table credentials": "{}"},
        ["/etc/smtpd.secret.conf"],
    ),
    "sendmail": (
        {"confDOUBLE_BOUNCE_ADDRESS": "of-{}"},
        {"no such name": "{}"},
        ["/etc/mail/mailops-secret.m4", "/etc/mail/sendmail.cf"],
    ),
}
OPEN = {"sendmail": {"confQUEUE_LA": 1000, "confREFUSE_LA": 1000}}
CLOCK = 1  # seconds by which the kernel's time of a file may be behind
SUDO = "/usr/bin/sudo"


def forms(token):
    """A text as it is, and as it stands in base64 wherever it begins."""
    encoded = [base64.b64encode(b"x" * shift + token.encode()).decode().rstrip("=") for shift in range(3)]
    # what is before and after it is in the first and last characters, too
    return [token, *(text[4:-4] for text in encoded)]


@dataclass
class Play:
    """What a play with one secret setting on each host said, how it ended, and which processes showed a secret."""

    tokens: dict
    code: int
    said: str
    shown: dict


class Mail:
    """The hosts, and the plays on them as a user would run them: with an inventory of his own."""

    def __init__(self, labs, folder):
        self.labs, self.evidence, self.inventory = labs, folder / "evidence", folder / "hosts.yml"
        self.since = time.time() - CLOCK

    def play(self, user, bad=False):
        """A play with every detail; each host has a secret of its own."""
        tokens = {name: secrets.token_hex(16) for name in self.labs}
        facts = {name: self._facts(lab, user, bad, tokens[name]) for name, lab in self.labs.items()}
        self.inventory.write_text(yaml.safe_dump({"mail_hosts": {"hosts": facts}}), encoding="utf-8")
        more = {
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_KEEP_REMOTE_FILES": "1",
            "MAILOPS_REPORT_DIRECTORY": str(self.evidence),
        }
        command = ["ansible-playbook", "-vvv", "--diff", f"--inventory={self.inventory}", ROOT / "playbooks/site.yml"]
        watching = {name: look(name, "watch", [tokens[name]], self.since) for name in self.labs}
        done = subprocess.run(command, env={**os.environ, **more}, capture_output=True, text=True, check=False)
        shown = {name: json.loads(watch.communicate()[0]) for name, watch in watching.items()}
        return Play(tokens, done.returncode, done.stdout + done.stderr, shown)

    @staticmethod
    def _facts(lab, user, bad, token):
        hidden = {
            name: {
                "value": [row.format(token) for row in value] if isinstance(value, list) else value.format(token),
                "secret": True,
            }
            for name, value in PLANTED[lab.backend][bad].items()
        }
        return {
            "ansible_user": user,
            "mta_backend": lab.backend,
            "mta_hostname": lab.names["H"],
            "mta_domains": [lab.names["L"]],
            "mta_postmaster": "alice",
            "mta_extra_settings": {**OPEN.get(lab.backend, {}), **hidden},
        }


def container(name):
    return "{}-{}".format(os.environ.get("MAILOPS_LAB", "mailops-molecule"), name)


def look(name, what, tokens, since):
    """A look at a host that has begun; it hears of the tokens, new since then, by its input alone."""
    words = ["exec", "--interactive", container(name), "python3", "-c", ON_HOST, what]
    looking = subprocess.Popen(
        [ROOT / "tests" / "lab" / "podman", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    looking.stdin.write(json.dumps({"secrets": [forms(token) for token in tokens], "since": since}) + "\n")
    looking.stdin.flush()
    return looking


@pytest.fixture(scope="session")
def mail(hosts, tmp_path_factory):
    return Mail(hosts(lambda lab: lab), tmp_path_factory.mktemp("secrets"))


@pytest.fixture(scope="session")
def planted(mail):
    """Secrets for hosts that have none."""
    return mail.play("ops")


@pytest.fixture(scope="session")
def changed(planted, mail):
    """Other secrets after that, from root, where there is no sudo."""
    assert planted.code == 0, planted.said
    for name in mail.labs:
        podman("exec", container(name), "mv", SUDO, f"{SUDO}.away")
    try:
        return mail.play("root")
    finally:
        for name in mail.labs:
            podman("exec", container(name), "mv", f"{SUDO}.away", SUDO)


@pytest.fixture(scope="session")
def refused(changed, mail):
    """Secrets that each host refuses, at last."""
    assert changed.code == 0, changed.said
    return mail.play("ops", bad=True)


@pytest.fixture(scope="session")
def found(planted, changed, refused, hosts, mail):
    """What is on each host after all plays, for each of their tokens, when its MTA was started once more: Debian's own
    start scripts read the configuration, too."""

    def find(lab):
        service = lab.data()["mta_backend_transaction"]["service"]["name"]
        podman("exec", container(lab.name), "systemctl", "restart", service)
        tokens = [play.tokens[lab.name] for play in (planted, changed, refused)]
        return dict(zip(tokens, json.loads(look(lab.name, "find", tokens, mail.since).communicate()[0]), strict=True))

    return hosts(find)


def holders(there, token):
    """The files with a token, but for the state and for what Ansible was told to keep for who connects."""
    paths = [file["path"] for file in there[token]["files"]]
    return sorted(path for path in paths if not path.startswith(STATE) and "/.ansible/tmp/" not in path)


def test_the_plays_show_no_secret_in_their_details_their_results_or_their_evidence(lab, planted, changed, mail):
    evidence = mail.evidence / f"{lab.name}.json"
    assert oct(evidence.stat().st_mode & 0o777) == "0o600"
    for play in (planted, changed):
        assert "before_header" in play.said
        assert not [form for form in forms(play.tokens[lab.name]) if form in play.said + evidence.read_text()]


def test_no_process_was_called_with_a_secret(lab, planted, changed, refused):
    assert [play.shown[lab.name] for play in (planted, changed, refused)] == [[], [], []]


def test_no_secret_is_in_the_journal_or_where_others_can_read(lab, found):
    for there in found[lab.name].values():
        assert not there["journal"]
        assert not [file for file in there["files"] if file["open"]]


def test_what_ansible_was_told_to_keep_is_for_who_connects(lab, planted, changed, found):
    for play, user in ((planted, "ops"), (changed, "root")):
        files = found[lab.name][play.tokens[lab.name]]["files"]
        assert {file["owner"] for file in files if "/.ansible/tmp/" in file["path"]} == {user}


def test_a_secret_that_changes_stands_where_only_root_and_the_mta_read_and_the_old_one_is_gone(
    lab, planted, changed, found
):
    """And root needs no sudo for that."""
    assert holders(found[lab.name], changed.tokens[lab.name]) == PLANTED[lab.backend][2]
    assert holders(found[lab.name], planted.tokens[lab.name]) == []


def test_what_is_refused_says_why_without_the_secret(lab, refused, found):
    failures = [text for text in refused.said.split("\nfatal: ") if text.startswith(f"[{lab.name}]")]
    assert re.search("is not allowed with|nothing was changed", "".join(failures)), refused.said
    assert not [form for form in forms(refused.tokens[lab.name]) if form in refused.said]
    assert holders(found[lab.name], refused.tokens[lab.name]) == []
