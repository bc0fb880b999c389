# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planted secrets are found nowhere but in files that only root and the MTA read, whoever connects."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import re
import secrets
import subprocess

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
        {"confDEF_AUTH_INFO": "/etc/mail/{}"},
        {"no such name": "{}"},
        ["/etc/mail/mailops-secret.m4", "/etc/mail/sendmail.cf"],
    ),
}
OPEN = {"sendmail": {"confQUEUE_LA": 1000, "confREFUSE_LA": 1000}}


def forms(token):
    """A text as it is, and as it stands in base64 wherever it begins."""
    encoded = [base64.b64encode(b"x" * shift + token.encode()).decode().rstrip("=") for shift in range(3)]
    # what is before and after it is in the first and last characters, too
    return [token, *(text[4:-4] for text in encoded)]


class Mail:
    """A host, and the plays on it as a user would run them: with an inventory of his own."""

    def __init__(self, lab, folder):
        self.lab, self.folder = lab, folder
        self.container = "{}-{}".format(os.environ.get("MAILOPS_LAB", "mailops-molecule"), lab.name)
        self.good, self.bad, self.holders = PLANTED[lab.backend]

    def play(self, user, settings, token):
        """All that a play says that has secret settings with a token, with every detail."""
        hidden = {
            name: {
                "value": [row.format(token) for row in value] if isinstance(value, list) else value.format(token),
                "secret": True,
            }
            for name, value in settings.items()
        }
        facts = {
            "ansible_user": user,
            "mta_backend": self.lab.backend,
            "mta_hostname": self.lab.names["H"],
            "mta_domains": [self.lab.names["L"]],
            "mta_postmaster": "alice",
            "mta_extra_settings": {**OPEN.get(self.lab.backend, {}), **hidden},
        }
        inventory = self.folder / "hosts.yml"
        inventory.write_text(yaml.safe_dump({"mail_hosts": {"hosts": {self.lab.name: facts}}}), encoding="utf-8")
        more = {"ANSIBLE_KEEP_REMOTE_FILES": "1", "MAILOPS_REPORT_DIRECTORY": str(self.folder / "evidence")}
        command = ["ansible-playbook", "-vvv", "--diff", f"--inventory={inventory}", ROOT / "playbooks" / "site.yml"]
        return subprocess.run(command, env={**os.environ, **more}, capture_output=True, text=True, check=False)

    def look(self, what, token):
        """A look that has begun; it hears of the token by its input alone."""
        command = [
            ROOT / "tests" / "lab" / "podman",
            "exec",
            "--interactive",
            self.container,
            "python3",
            "-c",
            ON_HOST,
            what,
        ]
        looking = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        looking.stdin.write(json.dumps(forms(token)) + "\n")
        looking.stdin.flush()
        return looking

    def found(self, token):
        return json.loads(self.look("find", token).communicate()[0])


@pytest.fixture(scope="module")
def mail(lab, tmp_path_factory):
    return Mail(lab, tmp_path_factory.mktemp("secrets"))


@pytest.fixture(scope="module")
def planted(mail):
    """The token of a secret setting, and what its play has said, and the processes that showed it meanwhile."""
    token = secrets.token_hex(16)
    watching = mail.look("watch", token)
    done = mail.play("ops", mail.good, token)
    shown = json.loads(watching.communicate()[0])
    assert done.returncode == 0, done.stdout
    return token, done.stdout + done.stderr, shown


def test_the_play_shows_no_secret_in_its_details_its_results_or_its_evidence(planted, mail):
    token, said, _shown = planted
    assert "before_header" in said
    assert not [form for form in forms(token) if form in said]
    evidence = list((mail.folder / "evidence").glob("*.json"))
    assert [oct(path.stat().st_mode & 0o777) for path in evidence] == ["0o600"]
    assert not [form for form in forms(token) if form in evidence[0].read_text()]


def test_no_process_was_called_with_a_secret(planted):
    assert planted[2] == []


def test_a_secret_stands_where_only_root_and_the_mta_read(planted, mail):
    found = mail.found(planted[0])
    assert not found["journal"]
    assert not [file for file in found["files"] if file["open"]]
    elsewhere = [file for file in found["files"] if not file["path"].startswith(STATE)]
    # what Ansible was told to keep belongs to the user who connects
    kept = [file for file in elsewhere if "/.ansible/tmp/" in file["path"]]
    assert {file["owner"] for file in kept} == {"ops"}
    assert sorted(file["path"] for file in elsewhere if file not in kept) == mail.holders


def test_a_secret_that_changes_is_in_force_and_the_old_one_is_gone(planted, mail):
    token = secrets.token_hex(16)
    done = mail.play("ops", mail.good, token)
    assert done.returncode == 0, done.stdout
    assert not [form for form in forms(token) if form in done.stdout + done.stderr]
    holders = {text: [file["path"] for file in mail.found(text)["files"]] for text in (token, planted[0])}
    assert sorted(set(holders[token]) & set(mail.holders)) == mail.holders
    assert not set(holders[planted[0]]) & set(mail.holders)


@pytest.mark.usefixtures("planted")
def test_what_is_refused_says_why_without_the_secret(mail):
    token = secrets.token_hex(16)
    done = mail.play("ops", mail.bad, token)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert re.search("is not allowed with|nothing was changed", said)
    assert not [form for form in forms(token) if form in said]
    assert not mail.found(token)["journal"]


def test_root_needs_no_sudo(planted, mail):
    podman("exec", mail.container, "mv", "/usr/bin/sudo", "/usr/bin/sudo.away")
    try:
        done = mail.play("root", mail.good, planted[0])
    finally:
        podman("exec", mail.container, "mv", "/usr/bin/sudo.away", "/usr/bin/sudo")
    assert done.returncode == 0, done.stdout
