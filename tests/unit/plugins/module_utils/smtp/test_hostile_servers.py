# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No server holds up, crashes or deceives those that talk to it: the probe, the callout, and who hands mail over."""

from __future__ import annotations

import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.inject import Injector
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.spool import Queued
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.callouts import Callouts
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.probe import Options, probe
from ansible_collections.mailops.postmaster.plugins.module_utils.verdict import INCONCLUSIVE, ORDER, PASS
from hostile_servers import HOSTILE

DEADLINE, TIMEOUT = 1.0, 0.3
OPTIONS = Options(helo="stranger.example", timeout=TIMEOUT, deadline=DEADLINE, submission=0, send=True)
TALKS = {
    "probe": lambda port: probe("127.0.0.1", port, ("example.org",), options=OPTIONS).verdict,
    "callout": lambda port: Callouts("c.example", Deadline(DEADLINE))(f"[127.0.0.1]:{port}", "a@b.example").verdict,
    "hand over": lambda port: str(
        Injector("127.0.0.1", port, time.monotonic() + DEADLINE).send(Queued("simple", "q", "", ("a@b.example",), b"x"))
    ),
}


@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_server_gets_no_more_than_the_deadline(serve, monkeypatch, name, talk):
    monkeypatch.setattr("ansible_collections.mailops.postmaster.plugins.module_utils.queue.inject.FINAL", TIMEOUT)
    port = serve(HOSTILE[name])
    begun = time.monotonic()
    said = TALKS[talk](port)
    seconds = time.monotonic() - begun
    print(f"{talk} at {name}: {said} after {seconds:.2f} s")
    assert seconds < DEADLINE + 2
    assert talk == "hand over" or said in ORDER


@pytest.mark.parametrize(
    "name", ["no greeting", "lone CR", "an empty line for everything", "what it is told", "code 25"]
)
def test_a_server_that_speaks_no_smtp_passes_nothing(serve, name):
    found = probe("127.0.0.1", serve(HOSTILE[name]), ("example.org",), options=OPTIONS)
    assert found.verdict == INCONCLUSIVE
    assert not [check for check in found.checks if check.verdict == PASS]


def test_what_is_said_before_it_is_asked_for_answers_nothing(serve):
    found = probe("127.0.0.1", serve(HOSTILE["100 replies to each command"]), ("example.org",), options=OPTIONS)
    assert not [check for check in found.checks if check.verdict == PASS]
    assert any("not asked for" in check.text for check in found.checks)


def test_the_evidence_of_a_server_that_writes_books_is_short(serve):
    found = probe("127.0.0.1", serve(HOSTILE["a book for each answer"]), ("example.org",), options=OPTIONS)
    assert max(len(check.text) for check in found.checks) < 1100
    assert sum(map(len, found.transcript)) < 2_100_000
