# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The four MTAs of the fake hosts, with a home of alice's that is a real directory: there she puts what she likes."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed, Host
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.exim import Exim
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.opensmtpd import OpenSMTPD
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.postfix import Postfix
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.sendmail import Sendmail
from fakes import FakeHost
from test_opensmtpd import Smtpd
from test_sendmail_walk import Mta

ROOT = os.geteuid() == 0  # nobody else can give a child other rights than his own
ALICE = 12345 if ROOT else os.geteuid()


@contextmanager
def some_home():
    """A directory that alice may search, in others that she may search; what pytest gives is root's alone."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


class EximHost(FakeHost):
    """A host with an Exim that reads .forward files, then delivers to accounts; `-bt` has nothing to say."""

    PRINTED = """\
primary_hostname = mail.example.org
qualify_recipient = mail.example.org

userforward router:
driver = redirect
check_local_user
domains = mail.example.org
file = $home/.forward
pipe_transport = prog
file_transport = file

account router:
driver = accept
check_local_user
domains = mail.example.org
transport = mailbox

elsewhere router:
driver = dnslookup
domains = !mail.example.org
transport = smtp

mailbox transport:
driver = appendfile
file = /var/mail/$local_part

prog transport:
driver = pipe

file transport:
driver = appendfile

smtp transport:
driver = smtp
"""

    def run(self, argv, stdin="", **timeout):
        if argv[0] != "exim4":
            return super().run(argv, stdin, **timeout)
        self.commands.append(tuple(argv))
        if argv[1] == "-bP":
            return Completed(tuple(argv), 0, self.PRINTED if "routers" in argv else "", "")
        said = [self.expanded(line) for line in stdin.splitlines()] if argv[1] == "-be" else []
        return Completed(tuple(argv), 0, "".join(f"> {line}\n" for line in said), "")

    def expanded(self, line):
        """As many conditions as the routers have, and what needs no expansion."""
        text = line.removeprefix("${lc:}").removesuffix("${lc:}")
        asked = re.fullmatch(r"\$\{if match_domain\{(.*)\}\{(!?)(.*)\}\{1\}\{0\}\}", text)
        return str(int((asked[1] == asked[3]) != bool(asked[2]))) if asked else text


def at_home(base):
    """A fake host on which what lies in alice's home is looked at for real."""

    class AtHome(base):
        def __init__(self, home, **host):
            super().__init__(**host)
            self.home = str(home)

        def account(self, name):
            found = super().account(name)
            return replace(found, uid=ALICE, gid=ALICE, home=self.home) if found and name == "alice" else found

        def read_as(self, path, account, **options):
            reader = Host if self.real(path) else super()
            return (
                Host.read_as(self, path, account, **options)
                if reader is Host
                else reader.read_as(path, account, **options)
            )

        def stat_as(self, path, account, **options):
            return Host.stat_as(self, path, account, **options) if self.real(path) else super().stat_as(path, account)

        def may(self, account, path, right):
            return Host.may(self, account, path, right) if self.real(path) else super().may(account, path, right)

        def stat(self, path):
            return Host.stat(self, path) if self.real(path) else super().stat(path)

        def real(self, path):
            return path.startswith((self.home, "/etc/passwd", "/dev/"))

    return AtHome


HOSTS = {
    "postfix": (at_home(FakeHost), Postfix),
    "exim": (at_home(EximHost), Exim),
    "opensmtpd": (at_home(Smtpd), OpenSMTPD),
    "sendmail": (at_home(Mta), Sendmail),
}
