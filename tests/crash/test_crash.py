# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that is killed, or whose disk fails, at each of its steps, and what is there afterwards."""

from __future__ import annotations

import json
import os
import re

import pytest
from conftest import TRIED
from program import PLACE, build, copy, work

KILLED = 9
NO_ROOM = ("No space left on device", "has no room")  # met on the way, or seen before anything is changed
# of how many steps each trial is made; all, where that is asked for
CHOSEN = 0 if os.environ.get("MAILOPS_TORTURE") else 2


@pytest.fixture(scope="session")
def crashed(hosts, tmp_path_factory):
    """What happened on each host; the hosts are killed all at the same time, for most of it is waiting."""
    path = tmp_path_factory.mktemp("crash") / "crash.zip"
    build(path)

    def crash(lab):
        copy(lab, path)
        host = lab.runner.get_host(lab.name)
        done = host.run("printf %%s %s | sudo python3 %s", work(lab, at=CHOSEN), PLACE)
        assert done.rc == 0, done.stderr
        return json.loads(done.stdout)

    return hosts(crash)


@pytest.fixture
def cells(crashed, lab, record_property):
    """``cells(trials)``: what was found after each of these, at each step that was chosen."""

    def chosen(*trials):
        found = [cell for cell in crashed[lab.name]["cells"] if cell["trial"] in trials]
        steps = {cell["step"] for cell in found}
        size = f"{len(steps)} of {crashed[lab.name]['sizes'][trials[0]]}, {len(found)} cells"
        record_property(TRIED, f"{lab.name}: {' and '.join(trials)}: {size}")
        assert found
        return found

    return chosen


def test_a_kill_is_healed_by_the_host_itself_and_by_the_next_run(cells):
    for cell in cells("timer", "run"):
        healed = {"timer": "old", "run": "new"}[cell["trial"]]
        assert (cell["said"], cell["found"], cell["left"]) == (KILLED, healed, []), cell


def test_a_disk_that_is_full_is_a_clear_error_and_the_old_configuration_stays(cells):
    found = cells("full")
    for cell in found:
        refused = any(words in cell["said"] for words in NO_ROOM)
        assert (cell["found"], cell["left"]) == ("old" if refused else "new", []), cell
    assert any(cell["said"] for cell in found)


def test_a_disk_that_cannot_be_written_is_a_clear_error_and_the_next_run_heals_it(cells):
    found = cells("read_only")
    for cell in found:
        assert (cell["found"], cell["left"]) == ("new", []), cell
        assert not cell["said"] or "read-only file system" in cell["said"].lower(), cell
    assert any(cell["said"] for cell in found)


def test_a_file_that_cannot_be_replaced_is_named_before_anything_is_changed_and_in_check_mode(cells):
    for cell in cells("pinned"):
        assert (cell["found"], cell["left"]) == ("old", []), cell
        assert re.fullmatch(r"\S+ is a mount point, which cannot be replaced: .* Nothing was changed", cell["said"]), (
            cell
        )


def test_after_each_of_them_postmaster_gets_mail(crashed, lab):
    lab.settle(lab.name)
    sent = [cell["token"] for cell in crashed[lab.name]["cells"]]
    found = lab.tokens(lab.name, "alice")
    assert [found[token] for token in sent] == [1] * len(sent)
