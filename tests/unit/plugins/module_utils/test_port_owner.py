# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Row L1: the MTA that is proven is the program that listens, or it is said who does."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Socket
from ansible_collections.mailops.postmaster.plugins.module_utils.port_owner import Daemon, port_owner

OURS = ("0.0.0.0", 25)
SUBMISSION = ("0.0.0.0", 587)


def held(port, *programs):
    return Socket("0.0.0.0", port, frozenset(programs))


# The sockets of the MTA, those of the host, whether the daemon is seen; the verdict, and what is said.
HOSTS = {
    "the MTA": ([OURS], [held(25, "master", "smtpd")], True, "pass", ""),
    "it, at one of two addresses": ([OURS], [held(25, "master"), held(25, "spamd")], True, "pass", ""),
    "it, of which no process can be seen but by its name": ([OURS], [held(25)], True, "pass", ""),
    "something that cannot be seen, and no daemon": ([OURS], [held(25)], False, "fail", "no process of Postfix runs"),
    "nobody": ([], [], False, "fail", "Postfix does not run"),
    "nobody, beside a web server": ([], [held(80, "nginx")], False, "fail", "Postfix does not run"),
    "nobody, with a daemon that has lost its sockets": ([], [], True, "fail", "Postfix runs, and listens nowhere"),
    "another program": (
        [],
        [held(25, "python3.11")],
        False,
        "fail",
        "port 25 belongs to python3.11, and Postfix listens",
    ),
    "another MTA": ([], [held(25, "exim4")], True, "fail", "port 25 belongs to exim4"),
    "a second instance of it": ([], [held(25, "master")], True, "fail", "belongs to another instance of Postfix"),
    "a second instance, beside its submission": (
        [SUBMISSION],
        [held(25, "master")],
        True,
        "inconclusive",
        "instance of",
    ),
    "a proxy before it": ([("127.0.0.1", 10025)], [held(25, "haproxy")], True, "inconclusive", "belongs to haproxy"),
    "another program, beside its submission": ([SUBMISSION], [held(25, "nc")], True, "inconclusive", "belongs to nc"),
    "nobody, beside its submission": (
        [SUBMISSION],
        [held(587, "master")],
        True,
        "fail",
        "but at port 587 alone",
    ),
    "inetd, which starts it": ([], [held(25, "xinetd")], False, "pass", ""),
    "systemd, which starts it": ([], [held(25, "systemd")], False, "pass", ""),
}


@pytest.mark.parametrize(("own", "sockets", "running", "verdict", "said"), HOSTS.values(), ids=HOSTS)
def test_whoever_has_the_port_is_known(own, sockets, running, verdict, said):
    found = port_owner(Daemon("Postfix", own, running, ("master",)), {25}, sockets, needed=True, heard=None)
    assert (found.id, found.verdict, found.address) == ("L1", verdict, "port 25")
    assert said in found.message
    assert bool(found.message) == bool(found.remedy) == (verdict != "pass")


OTHER = ("0.0.0.0", 2525)
BEHIND = ("127.0.0.1", 10025)


@pytest.mark.parametrize(
    ("own", "running", "needed", "heard", "verdict"),
    [
        (OTHER, True, True, True, "skipped"),
        (OTHER, True, False, True, "skipped"),
        (OTHER, True, True, None, "fail"),
        (OTHER, True, False, None, "warn"),
        (OTHER, True, False, False, "fail"),
        (("::", 2525), True, False, False, "fail"),
        (SUBMISSION, True, True, True, "skipped"),
        (SUBMISSION, True, True, False, "fail"),
        (SUBMISSION, True, False, False, "warn"),
        (BEHIND, True, False, False, "warn"),
        (None, True, False, None, "warn"),
        (None, True, False, False, "warn"),
        (None, True, True, True, "fail"),
        (None, False, False, True, "fail"),
    ],
)
def test_a_router_may_lead_to_another_port_and_not_every_host_takes_mail(own, running, needed, heard, verdict):
    """But no MTA takes mail that does not run, and a router leads nowhere that another host heard nothing from."""
    found = port_owner(Daemon("Postfix", [own] if own else [], running, ("master",)), {25}, [], needed, heard)
    assert (found.verdict, bool(found.remedy)) == (verdict, verdict != "skipped")
