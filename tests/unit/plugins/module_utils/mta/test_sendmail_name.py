# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""That Sendmail would sleep for the name of a host is said at once, and of no other host."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed, Host
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.sendmail_name import PROGRAM, short_name, sleeps


class Named(Host):
    """A host by its own name, what it is known by, and how long its Sendmail takes to start."""

    def __init__(self, own, known, takes):
        super().__init__()
        self.own, self.known, self.takes, self.ran = own, known, takes, []

    def read(self, _path):
        return self.own + "\n"

    def stat(self, path):
        return super().stat("/" if path == PROGRAM and self.takes is not None else "/none")

    def run(self, argv, stdin="", timeout=30.0):
        assert not stdin
        self.ran.append(argv[0])
        if argv[0] == "hostname":
            return Completed(tuple(argv), 0 if self.known else 1, f"{self.known}\n", "")
        return Completed(tuple(argv), 0, "", "", self.takes > timeout, timeout)


@pytest.mark.parametrize(
    ("own", "known", "takes", "short", "ran"),
    [
        ("mail", "mail", 60, "mail", ["hostname", PROGRAM]),
        ("mail", "localhost", 60, "localhost", ["hostname", PROGRAM]),
        ("mail", "mail", None, "mail", ["hostname"]),
        ("mail", "mail", 0.1, "", ["hostname", PROGRAM]),
        ("mail", "mail.example.org", 0.1, "", ["hostname"]),
        ("mail", "", 0.1, "", ["hostname"]),
        ("mail.example.org", "", 0.1, "", []),
    ],
)
def test_a_name_for_which_sendmail_sleeps_is_found(own, known, takes, short, ran):
    host = Named(own, known, takes)
    assert (short_name(host), host.ran) == (short, ran)


def test_what_is_said_has_the_name_and_the_remedy():
    assert "mail.example.org" in sleeps("mail")
    assert "the name of this host is mail, without a domain" in sleeps("mail")
