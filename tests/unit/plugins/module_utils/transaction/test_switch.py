# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to another MTA, and the way back, with two MTAs that are directories."""

from __future__ import annotations

import os
import pathlib
import signal

import in_the_way
import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import files as disk
from ansible_collections.mailops.postmaster.plugins.module_utils._system import trust
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed
from ansible_collections.mailops.postmaster.plugins.module_utils._system.processes import processes
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.spool import (
    Queued,
    Spool,
    UnreadableError,
)
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import switch as module
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.switch import Switch

PLAN = {"wanted": ["new"], "added": ["new"], "before": {"old": "1"}, "manual": []}


class System:
    """A host on which apt and dpkg are these few lines."""

    def __init__(self):
        self.ran, self.there, self.refuses = [], {"old": "1"}, False
        self.meanwhile = lambda _argv: None

    def processes(self, accounts=()):
        return processes(accounts)

    def ask(self, argv):
        return self.run(argv)

    def run(self, argv, timeout=30.0):
        assert timeout > 0
        self.ran.append(list(argv))
        self.meanwhile(argv)
        out, rc = "", 0
        if "apt-get" in argv and "install" in argv:
            rc = 100 if self.refuses else 0
            self.there = {} if self.refuses else {"new": "2"}
        if "dpkg" in argv and "--remove" in argv:
            self.there.pop("new")
        if "dpkg" in argv and "--install" in argv:
            self.there["old"] = "1"
        if argv[0] == "dpkg-query":
            out = "".join(f"{name} installed {version}\n" for name, version in self.there.items() if name in argv)
        return Completed(tuple(argv), rc, out, "E: no\n")


def read(entry):
    if entry.data(entry.path) == b"?":
        raise UnreadableError("what is this")
    return Queued(entry.key.split("/")[-2], entry.id, "", ("a@b.example",), entry.data(entry.path))


@pytest.fixture
def system():
    return System()


@pytest.fixture
def switch(system, tmp_path, monkeypatch):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        folders, drain = (str(tmp_path / name),), ("drain", name)
        spool = Spool(name, folders, "(q[0-9]+)", read, lambda _entry: [], ("flush",), (name,), ("/no",), drain)
        monkeypatch.setitem(module.SPOOLS, name, spool)
    for name, value in {"POLICY": str(tmp_path / "policy"), "STILL": 0.0}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(os, "fchown", lambda *_given: None)
    locks = [str(tmp_path / "lock-frontend"), str(tmp_path / "lock")]
    monkeypatch.setattr("ansible_collections.mailops.postmaster.plugins.module_utils._system.debs.LOCKS", locks)
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "old" / "q1").write_text("one")
    (tmp_path / "aliases.db").write_text("compiled")
    data = {
        "old": "old",
        "new": "new",
        "packages": PLAN,
        "aliases": [str(tmp_path / "no"), str(tmp_path / "aliases.db")],
    }
    return Switch(system, str(tmp_path / "state"), data)


def queued(folder):
    return sorted(path.name for path in pathlib.Path(folder).iterdir()) if os.path.isdir(folder) else []


def test_away_stops_saves_and_installs_in_this_order(switch, system, tmp_path):
    (tmp_path / "policy").write_text("#!/bin/sh\nexit 0\n")
    assert switch.away() == {}
    told = [argv[1:] for argv in system.ran if argv[0] == "systemctl"]
    assert told == [["stop", "old"], ["stop", "old"], ["stop", "new"]]
    assert system.ran[0] == ["flush"]
    assert (queued(tmp_path / "old"), queued(tmp_path / "state" / "queue")) == ([], ["old.q1"])
    assert (system.there, os.path.exists(tmp_path / "aliases.db")) == ({"new": "2"}, False)
    assert (tmp_path / "policy").read_text() == "#!/bin/sh\nexit 0\n"


@pytest.mark.parametrize("to", ["other-policy", "bin/true", "nowhere", "loop"])
@pytest.mark.parametrize("way", ["away", "away and back", "away, killed in it, and back"])
def test_a_policy_that_is_a_link_stays_one_and_its_target_is_not_touched(switch, tmp_path, monkeypatch, to, way):
    (tmp_path / "bin").mkdir()
    for name in ("other-policy", "bin/true"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "policy").symlink_to(tmp_path / to)
    if way.endswith("killed in it, and back"):
        with monkeypatch.context() as killed:
            killed.setattr(module.policy, "allow", lambda *_given: os.kill(os.getpid(), signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                switch.away()
    else:
        switch.away()
    if way.endswith("back"):
        switch.back()
    assert os.readlink(tmp_path / "policy") == str(tmp_path / to)
    for name in ("other-policy", "bin/true"):
        assert (tmp_path / name).read_text() == "#!/bin/sh\nexit 0\n"
    assert not [path for path in (tmp_path / "state").iterdir() if "policy" in path.name]


@pytest.mark.parametrize("make", in_the_way.THINGS, ids=[make.__name__ for make in in_the_way.THINGS])
def test_what_is_put_in_the_place_of_a_compiled_table_is_moved_aside(switch, system, tmp_path, make):
    (tmp_path / "aliases.db").unlink()
    make(tmp_path / "aliases.db")
    switch.away()
    assert (system.there, os.path.lexists(tmp_path / "aliases.db")) == ({"new": "2"}, False)
    assert len([path for path in tmp_path.iterdir() if path.name.startswith(".aside-")]) == 1


@pytest.mark.parametrize("kind", ["link", "hard link", "FIFO"])
def test_nothing_that_the_account_of_the_old_mta_puts_in_the_place_of_the_aliases_is_given_to_root(
    switch, tmp_path, monkeypatch, kind
):
    given, folder = [], tmp_path / "accounts"
    folder.mkdir(mode=0o700)
    (tmp_path / "other").touch()
    makes = {"link": lambda new: new.symlink_to(tmp_path / "other"), "FIFO": os.mkfifo}
    makes.get(kind, lambda new: new.hardlink_to(tmp_path / "other"))(folder / "aliases")
    monkeypatch.setattr(os, "fchown", lambda handle, *_owner: given.append(os.fstat(handle).st_ino))
    monkeypatch.setattr(
        trust, "_doubt", lambda above, _entry: ("it is smmta's", True) if above == str(folder) else ("", False)
    )
    monkeypatch.setattr(trust, "trusted", frozenset)
    switch.data["aliases"][0] = str(folder / "aliases")
    with pytest.raises(OSError, match=str(folder)):
        switch.away()
    assert os.stat(tmp_path / "other").st_ino not in given


@pytest.mark.parametrize("refuses", [True, False])
@pytest.mark.parametrize("times", [1, 2])
def test_back_brings_the_packages_back_and_saves_what_the_new_one_took(switch, system, tmp_path, refuses, times):
    system.refuses = refuses
    try:
        switch.away()
    except UserError:
        assert refuses
    (tmp_path / "new" / "q7").write_text("taken meanwhile")
    for _number in range(times):
        switch.back()
    assert system.there == {"old": "1"}
    assert (queued(tmp_path / "new"), queued(tmp_path / "state" / "queue")) == ([], ["new.q7", "old.q1"])
    assert not (tmp_path / "policy").exists()


def test_deliveries_that_have_begun_may_end_before_a_stop(switch, system):
    switch.away()
    switch.back()
    stops = [number for number, argv in enumerate(system.ran) if argv[:2] == ["systemctl", "stop"]]
    assert stops
    assert [system.ran[number - 1] for number in stops] == [["drain", system.ran[number][2]] for number in stops]


def test_what_is_submitted_until_the_old_program_is_gone_is_saved_too(switch, system, tmp_path):
    def submitted(argv):
        if "apt-get" in argv:
            (tmp_path / "old" / "q2").write_text("late")

    system.meanwhile = submitted
    switch.away()
    assert (queued(tmp_path / "old"), queued(tmp_path / "state" / "queue")) == ([], ["old.q1", "old.q2"])


def test_what_is_submitted_until_the_new_program_is_gone_is_saved_on_the_way_back(switch, system, tmp_path):
    def submitted(argv):
        if "--remove" in argv:
            (tmp_path / "new" / "q8").write_text("late")

    switch.away()
    system.meanwhile = submitted
    assert switch.back() == {}
    assert (queued(tmp_path / "new"), queued(tmp_path / "state" / "queue")) == ([], ["new.q8", "old.q1"])


@pytest.mark.parametrize("room", [0, 1])
def test_without_room_for_the_queue_of_the_new_one_the_old_one_is_back_all_the_same(
    switch, system, tmp_path, monkeypatch, room
):
    switch.away()
    for name in ("q7", "q8"):
        (tmp_path / "new" / name).write_text("taken meanwhile")
    write = disk.write_image

    def full(path, image):
        if "new." in path and len(queued(tmp_path / "state" / "queue")) > room:
            raise OSError(28, "No space left on device", path)
        write(path, image)

    monkeypatch.setattr(disk, "write_image", full)
    ((folder, why),) = switch.back().items()
    assert (folder, "No space left" in why, system.there) == (str(tmp_path / "new"), True, {"old": "1"})
    assert sorted(queued(tmp_path / "new") + queued(tmp_path / "state" / "queue")) == (
        ["new.q7", "old.q1", "q8"] if room else ["old.q1", "q7", "q8"]
    )


def test_mail_of_the_new_one_that_cannot_be_read_is_named_on_the_way_back(switch, tmp_path):
    switch.away()
    (tmp_path / "new" / "q7").write_text("?")
    assert list(switch.back().values()) == ["what is this"]


@pytest.mark.parametrize(("there", "kept"), [(True, []), (False, ["new.q7.tar"])])
def test_an_mta_that_serves_again_has_what_only_it_can_read_in_its_queue_alone(switch, tmp_path, there, kept):
    before = tmp_path / "state" / "queue.unread" / "1-before"
    before.mkdir(parents=True)
    (before / "new.q7.tar").touch()
    if there:
        (tmp_path / "new" / "q7").write_text("?")
    switch.away()
    assert (queued(before), queued(tmp_path / "new")) == (kept, ["q7"] if there else [])


def test_back_before_anything_was_done_changes_nothing(switch, system, tmp_path):
    switch.back()
    assert (system.there, queued(tmp_path / "old")) == ({"old": "1"}, ["q1"])


def test_a_package_may_start_neither_mta_and_anything_else(switch, system, tmp_path):
    asked = {}

    def run(argv, timeout=30.0):
        if "apt-get" in argv:
            for unit in ("old.service", "new@x.service", "newer", "rspamd"):
                asked[unit] = os.system(f"sh {tmp_path}/policy --quiet {unit} start") >> 8
        return System.run(system, argv, timeout)

    system.run = run
    switch.away()
    assert asked == {"old.service": 101, "new@x.service": 101, "newer": 0, "rspamd": 0}


def test_packages_that_do_not_come_back_are_an_error_that_is_tried_again(switch, system):
    switch.away()
    system.run = lambda argv, timeout=30.0: Completed(tuple(argv), 1 if timeout else 0, "", "")
    with pytest.raises(OSError, match="could not be brought back"):
        switch.back()


def test_the_packages_for_the_way_back_are_there_until_the_change_has_ended(switch, tmp_path):
    (tmp_path / "state" / "packages").mkdir()
    switch.away()
    (tmp_path / "state" / "queue" / "old.q1").unlink()
    assert switch.settle([]) == {}
    assert (tmp_path / "state" / "packages").exists()
    switch.forget()
    assert not (tmp_path / "state" / "packages").exists()
