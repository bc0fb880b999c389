# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Row D10 on the processes of this machine: a part of an MTA that was stopped is seen, and one that goes on is not."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from types import SimpleNamespace

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils._system.processes import Process
from ansible_collections.mailops.postmaster.plugins.module_utils.prove import HostProof

# a daemon by its name, and a part of it
FAMILY = 'exec -a "$0" sh -c "sleep 60 & echo \\$!; wait"'
NAMES = {
    "exim": "exim4 -bd",
    "postfix": "/usr/lib/postfix/sbin/master -w",
    "sendmail": "sendmail: MTA: accepting connections",
}


def messages(asked):
    """What the row says, again and again, for as long as a signal may take to arrive."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        yield HostProof.moving(asked).message


@pytest.mark.parametrize("mta", NAMES)
def test_d10_a_part_of_the_mta_that_is_stopped_fails_until_it_goes_on(mta):
    asked = SimpleNamespace(host=Host(), mta=SimpleNamespace(name=mta, paused=list))
    with subprocess.Popen(["bash", "-c", FAMILY, NAMES[mta]], stdout=subprocess.PIPE, text=True) as daemon:
        part = int(daemon.stdout.readline())
        try:
            for told, verdict in ((signal.SIGSTOP, "fail"), (signal.SIGCONT, "pass")):
                os.kill(part, told)
                assert any((f"process {part} " in said) == (verdict == "fail") for said in messages(asked))
        finally:
            os.kill(part, signal.SIGKILL)


@pytest.mark.parametrize("mta", NAMES)
@pytest.mark.parametrize("place", ["leader", "child"])
def test_d10_what_a_user_has_named_and_stopped_is_no_part_of_the_mta(mta, place):
    leader = Process(7, 1, "", NAMES[mta], stopped=place == "leader", account="alice" if place == "leader" else "root")
    child = Process(8, 7, "sh", "sh -c 'a command of a .forward'", stopped=True, account="alice")
    host = SimpleNamespace(processes=lambda: [leader, child])
    asked = SimpleNamespace(host=host, mta=SimpleNamespace(name=mta, paused=list))
    assert HostProof.moving(asked).verdict == "pass"
