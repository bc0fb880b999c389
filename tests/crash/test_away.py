# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller, or the host itself, is gone in the middle of a change."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import ROOT, TRIED, wait_until
from program import PLACE, build, copy, work

TIMEOUT = 10  # seconds in which a change has to be confirmed: the shortest time that is allowed
LATE = 10  # seconds after that in which the host has to be as it was
# when the controller is killed: as soon as it says this
MOMENTS = ["Apply the configuration", "Probe it from another host", "Prove that mail", "Confirm the transaction"]
CHOSEN = MOMENTS if os.environ.get("MAILOPS_TORTURE") else MOMENTS[1:2]
PENDING = (
    "sudo find /var/lib/mailops-postmaster -maxdepth 1 -name pending.json -o -name undoing.json -o -name '*in-force*'"
)
VARIABLES = {"mta_relay_domains": {}}  # as the hosts are configured
# what one of two plays at once is told
REFUSED = "another transaction is under way|cannot be confirmed any more|changed by somebody else meanwhile"
# at which step of the change the host is stopped, of about so many
STEPS = range(20, 140, 10) if os.environ.get("MAILOPS_TORTURE") else [90]


def lands(lab):
    """A message to postmaster, from the stranger."""
    ((token, code, text),) = lab.send([("EHLO", "{far}", "postmaster@{L}")])
    assert code == 250, text
    lab.settle(lab.name)
    return lab.count(lab.name, "alice", token) == 1


def texts(lab):
    """The files of the configuration, and what is left beside them.

    What was to be the unit for the boot, and is written before all else, may be left; the next change writes it anew.
    """
    paths = [template["path"] for template in lab.data()["mta_backend_transaction"]["templates"]]
    host = lab.runner.get_host(lab.name)
    unit = ".mailops-postmaster-undo-at-boot.service.next"
    left = host.check_output("sudo find /etc -name '.*.before' -o -name '.*.next' ! -name %s", unit)
    return left, host.check_output("sudo cat" + " %s" * len(paths), *paths)


@pytest.fixture
def play(request):
    """``play(variables, ...)``: starts a play with these, and with one more inventory if it is given; its process."""

    def start(variables, *inventories):
        found = [f"--inventory={path}" for path in (request.config.option.ansible_inventory, *inventories)]
        command = ["ansible-playbook", *found, "playbooks/site.yml", "--limit=trixie:stranger", "--extra-vars"]
        command.append(json.dumps({**VARIABLES, **variables}))
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=ROOT, text=True, start_new_session=True, **pipes)

    return start


def some_size():
    """What a play changes: the size of the largest message."""
    return 50000000 + secrets.randbelow(1000000)


def obeyed(sizes):
    """Which of the sizes a host has that is whole, has nothing left to do, and lands mail for postmaster."""

    def look(lab):
        left, text = texts(lab)
        assert (left, lab.runner.get_host(lab.name).check_output(PENDING)) == ("", "")
        assert lands(lab)
        return [size for size in sizes if str(size) in text]

    return look


def second_names(names, sizes):
    """An inventory in which each host has one more name; the first names and the second ones want different sizes."""
    said = ("mta_hostname", "mta_domains", "mta_virtual_domains", "lab_addresses")
    groups = {"trixie": {"hosts": {name: {"mta_message_size": sizes[0]} for name in names}}}
    for name in names:
        again = {variable: f"{{{{ hostvars['{name}'].{variable} }}}}" for variable in said}
        groups["trixie"]["hosts"][f"{name}-again"] = {**again, "ansible_host": name, "mta_message_size": sizes[1]}
        groups[name.partition("-")[0]] = {"hosts": {f"{name}-again": {}}}
    return json.dumps(groups)


@pytest.mark.parametrize("moment", CHOSEN)
def test_a_controller_that_is_killed_leaves_hosts_that_heal_themselves(hosts, play, moment, record_property):
    before = hosts(texts)
    with play({"mta_message_size": some_size(), "mta_confirm_timeout": TIMEOUT}) as process:
        said = next(line for line in process.stdout if moment in line)
        os.killpg(process.pid, signal.SIGKILL)
    killed = time.monotonic()
    assert moment in said

    def healed(lab):
        host = lab.runner.get_host(lab.name)
        while host.check_output(PENDING):
            assert time.monotonic() < killed + TIMEOUT + LATE, "not healed"
        assert lands(lab)
        return texts(lab)

    after = hosts(healed)
    seconds = time.monotonic() - killed
    record_property(
        TRIED, f"controller killed at '{moment}': {len(after)} hosts answer for postmaster after {seconds:.1f} s"
    )
    for name, (left, text) in after.items():
        assert left == ""
        assert text == before[name][1] or moment in (MOMENTS[0], MOMENTS[-1])


def test_of_two_plays_at_once_each_host_obeys_one(hosts, play, record_property):
    sizes = [some_size(), some_size()]
    plays = [play({"mta_message_size": size}) for size in sizes]
    with ThreadPoolExecutor(len(plays)) as pool:
        said = list(pool.map(lambda process: process.communicate()[0], plays))
    for process, words in zip(plays, said, strict=True):
        assert process.returncode == 0 or re.search(REFUSED, words), words
    found = hosts(obeyed(sizes))
    assert all(len(size) == 1 for size in found.values()), found
    record_property(TRIED, f"two plays at once, which ended with {[process.returncode for process in plays]}")


def test_of_two_names_in_one_play_each_host_obeys_one(hosts, play, tmp_path, record_property):
    sizes, path = [some_size(), some_size()], tmp_path / "names.yml"
    path.write_text(second_names(hosts(lambda lab: lab.name), sizes))
    with play({}, path) as process:
        said = process.communicate()[0]
    assert process.returncode == 0 or re.search(REFUSED, said), said
    found = hosts(obeyed(sizes))
    assert all(len(size) == 1 for size in found.values()), found
    record_property(TRIED, f"two names of each host in one play, which ended with {process.returncode}")


def test_a_host_that_is_stopped_hard_boots_with_a_whole_configuration(hosts, tmp_path, record_property):
    path = tmp_path / "crash.zip"
    build(path)

    def stopped(lab):
        copy(lab, path)
        host = lab.runner.get_host(lab.name)
        for step in STEPS:
            before = texts(lab)
            host.check_output("sudo rm -f /run/hanging")
            host.check_output("printf %%s %s | sudo tee /run/work >/dev/null", work(lab, hang=step))
            host.check_output(f"sudo systemd-run --quiet --property=StandardInput=file:/run/work python3 {PLACE}")
            wait_until(lambda: host.run("test -e /run/hanging").rc == 0, said=lambda: "the step was never reached")
            lab.stop_hard()
            assert not host.check_output(PENDING)
            assert texts(lab) == ("", before[1]), step
            assert lands(lab)
        return len(STEPS)

    for name, number in hosts(stopped).items():
        record_property(TRIED, f"{name}: stopped hard {number} times in the middle of a change, and booted")
