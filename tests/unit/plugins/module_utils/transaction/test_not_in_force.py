# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are in place are not enough: until the service has them, the host and the next run tell it again."""

from __future__ import annotations

import errno
import json
import os
import time
from functools import partial

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.process import Completed
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import again, transaction, undo
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.journal import Journal
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.store import Store
from fake_system import FakeSystem
from steps import Steps

OLD, NEW, NEWER = "interfaces = loopback\n", "interfaces = all\n", "interfaces = all\nbanner = b\n"
KILLED, MARK = 9, "not-in-force.json"
DISARMED = ["systemctl", "--quiet", "stop", "mailops-postmaster-undo.timer"]


class Daemon(FakeSystem):
    """A host whose daemon has a configuration: what was in place when it was told. It outlives its process."""

    def __init__(self, config, memory):
        super().__init__()
        self.config, self.memory = config, memory
        memory.write_text(config.read_text())

    def run(self, argv, *given, **more):
        done = super().run(argv, *given, **more)
        if argv[0] in ("start", "reload") and not done.rc:
            self.memory.write_text(self.config.read_text())
        return done

    @property
    def config_in_force(self):
        return self.memory.read_text()


def deaf(argv):
    """No start and no reload succeeds, and the daemon goes on as it was."""
    return argv[0] in ("start", "reload")


def hears(_argv):
    return False


@pytest.fixture
def system(make_system, live, tmp_path, monkeypatch):
    monkeypatch.setattr(transaction, "program", lambda: b"zip")
    return make_system(Daemon, live / "main.cf", tmp_path / "daemon")


@pytest.fixture
def timer(system, state, monkeypatch):
    """The program that the host runs by itself: its status, and what it says."""
    monkeypatch.setattr(undo, "Host", lambda: system)

    def run(*words):
        said = []
        monkeypatch.setattr(undo, "_say", said.append)
        return undo.main([str(state), *words]), "\n".join(said)

    return run


@pytest.fixture
def in_force(system, live, state):
    """Whether the daemon has what is in place, and nothing says otherwise."""

    def look():
        left = [path.name for path in state.glob("*in-force*")]
        return (system.config_in_force, left) == ((live / "main.cf").read_text(), [])

    return look


def asked(finish, _timer, name):
    with pytest.raises(UserError, match="the old configuration is back, and does not answer") as caught:
        finish("rollback", name)
    assert "the host tries again for 300 s, and so does the next run" in str(caught.value)


def timed_out(_finish, timer, name):
    status, said = timer(f"--transaction={name}")
    assert (status, "the old configuration is back; 'start mta'" in said.replace("`", "'")) == (1, True), said


WAYS = {"asked to": asked, "by the timer": timed_out}


@pytest.fixture
def unforced(transact, finish, timer, system, live):
    """``unforced(way)``: a change that was rolled back, and of which the daemon does not know it; its name."""

    def make(way=asked):
        transact(content=OLD)
        name = transact(confirm_timeout=600)["transaction"]
        system.broken = deaf
        way(finish, timer, name)
        system.broken = hears
        system.ran.clear()
        assert ((live / "main.cf").read_text(), system.config_in_force) == (OLD, NEW)
        return name

    return make


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_after_a_rollback_that_is_not_in_force_the_next_run_restarts_the_service(
    transact, unforced, system, in_force, way
):
    unforced(way)
    foreseen = transact(check_mode=True, content=OLD)
    assert (foreseen["changed"], system.told) == (True, [])
    assert "a run restarts the service" in foreseen["warnings"][0]
    result = transact(content=OLD)
    assert (result["state"], result["changed"], result["activation"]) == ("confirmed", True, "restart")
    assert (system.told, in_force()) == (["start"], True)
    assert "the service was restarted" in result["warnings"][0]
    assert transact(content=OLD)["state"] == "unchanged"


def test_a_run_that_wants_something_else_restarts_the_service_where_a_reload_would_do(transact, unforced, system, live):
    unforced()
    (live / "main.cf").write_text(NEWER)
    result = transact(content=NEWER + "more = c\n")
    assert (result["activation"], system.told) == ("restart", ["start"])
    assert transact(content=NEWER + "more = d\n")["activation"] == "reload"


def test_each_run_fails_for_as_long_as_the_service_does_not_start(transact, unforced, system, in_force):
    unforced()
    system.broken = deaf
    for _dummy in range(2):
        with pytest.raises(UserError, match="the old one is back, and does not answer either") as caught:
            transact(content=OLD)
        assert "the host tries again for 300 s" in str(caught.value)
    system.broken = hears
    assert transact(content=OLD)["state"] == "confirmed"
    assert in_force()


def starts(system):
    """When systemd is to run the program: the seconds, and for which transaction."""
    return [(argv[4], argv[-1]) for argv in system.ran if argv[0] == "systemd-run"]


def test_what_a_module_has_rolled_back_the_host_tries_again_soon(transact, finish, system):
    transact(content=OLD)
    name = transact(confirm_timeout=600)["transaction"]
    system.broken = deaf
    system.ran.clear()
    asked(finish, None, name)
    assert starts(system) == [("--on-active=10", f"--transaction={name}")]
    system.ran.clear()
    with pytest.raises(UserError, match=r"did not hold: .*the host tries again for 300 s") as caught:
        transact(content=NEWER)
    failed = caught.value.result["transaction"]
    assert starts(system)[1:] == [("--on-active=10", f"--transaction={failed}")]
    assert DISARMED not in system.ran


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_timer_tries_again_until_the_old_configuration_is_in_force(
    transact, unforced, timer, system, in_force, live, way
):
    name = unforced(way)
    system.broken = deaf
    for _dummy in range(3):
        status, said = timer(f"--transaction={name}")
        assert (status, "still not in force" in said, system.told[-1]) == (1, True, "start")
    assert DISARMED not in system.ran
    (live / "main.cf").write_text(NEWER)  # by hand, meanwhile: that stays
    system.broken = hears
    status, said = timer(f"--transaction={name}")
    assert (status, "is in force" in said, (live / "main.cf").read_text()) == (0, True, NEWER)
    assert (in_force(), DISARMED in system.ran) == (True, True)
    system.ran.clear()
    assert timer(f"--transaction={name}") == (0, "")
    assert system.told == []
    assert transact(content=NEWER)["state"] == "unchanged"


def test_a_service_that_is_slow_to_start_is_not_stopped_when_it_is_about_to_be_up(unforced, timer, system, in_force):
    """Else each try would take down what the one before it has nearly brought up."""
    name = unforced()
    real = system.run

    def slow(argv, *given, timeout=30.0, **more):
        if argv[0] == "start" and timeout < 40:
            return Completed(tuple(argv), 124, "", "", timed_out=True, seconds=timeout)
        return real(argv, *given, timeout=timeout, **more)

    system.run = slow
    assert timer(f"--transaction={name}")[0] == 0
    assert in_force()


@pytest.mark.parametrize("hours", [1, -24])
def test_the_timer_does_not_go_on_for_ever_and_leaves_it_to_the_next_run(
    transact, unforced, timer, system, monkeypatch, in_force, hours
):
    name = unforced(timed_out)
    system.broken = deaf
    with monkeypatch.context() as patched:
        late = time.time() + 3600 * hours  # -24: the clock was set
        patched.setattr(time, "time", lambda: late)
        status, said = timer(f"--transaction={name}")
    assert (status, "does not try again" in said, DISARMED in system.ran) == (0, True, True)
    system.broken = hears
    assert transact(content=OLD)["activation"] == "restart"
    assert in_force()


def test_the_timer_of_another_transaction_restarts_nothing(unforced, timer, system, in_force):
    unforced()
    assert timer("--transaction=1-2")[0] == 0
    assert (system.told, in_force()) == ([], False)


def test_asking_for_a_rollback_once_more_restarts_the_service(unforced, finish, system, in_force):
    name = unforced()
    assert finish("rollback", name, check_mode=True)["changed"]
    assert system.told == []
    system.broken = deaf
    with pytest.raises(
        UserError, match=r"does not answer: the restart of mta with it failed.*; the next run tries again"
    ):
        finish("rollback", name)
    system.broken = hears
    assert finish("rollback", name) == {"changed": True, "state": "rolled_back", "transaction": name}
    assert in_force()
    assert finish("rollback", name) == {"changed": False, "state": "rolled_back", "transaction": name}


def test_the_next_run_restarts_what_it_could_not_restart_when_it_rolled_back_first(transact, system, in_force):
    transact(content=OLD)
    transact(confirm_timeout=600)
    tries = []

    def deaf_at_first(argv):
        tries.extend(argv[:1] if deaf(argv) else [])
        return deaf(argv) and len(tries) < 3

    system.broken = deaf_at_first
    result = transact(content=OLD)
    assert (result["activation"], result["changed"], in_force()) == ("restart", True, True)


def die(*_step):
    os._exit(KILLED)


def killed(work, system, monkeypatch, step):
    """Do the work in a process that is gone at that step; whether it came so far."""
    child = os.fork()
    if not child:
        status = 1
        try:
            Steps(monkeypatch.setattr, system, step, die)
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


def before_the_activation(transact, system):
    """Kill a change that has its files in place, and has told nobody."""

    def kill(argv):
        return deaf(argv) and die()

    child = os.fork()
    if not child:
        system.broken = kill
        transact(confirm_timeout=600)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


def test_what_was_killed_before_its_activation_cannot_be_confirmed(transact, finish, system, state, live):
    transact(content=OLD)
    before_the_activation(transact, system)
    name = Store(str(state)).pending().transaction
    with pytest.raises(UserError, match=f"{name} cannot be confirmed: it was interrupted"):
        finish("confirm", name)
    assert finish("rollback", name)["state"] == "rolled_back"
    assert (live / "main.cf").read_text() == OLD


CUT_OFF = {
    "the next run": lambda _finish, _timer: None,
    "after the timer": lambda _finish, timer: timer(),
    "after a rollback": lambda finish, _timer: finish("rollback"),
    "after a confirmation": lambda finish, _timer: finish("confirm"),
}


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "of an earlier version"])
@pytest.mark.parametrize("first", CUT_OFF.values(), ids=CUT_OFF)
def test_behind_a_bad_journal_the_service_is_restarted_whatever_the_files_say(
    transact, finish, timer, system, state, in_force, first, marked
):
    transact(content=OLD)
    before_the_activation(transact, system)
    pending = state / "pending.json"
    pending.write_text(pending.read_text()[:-5])
    if not marked:
        (state / MARK).unlink()
    system.ran.clear()
    first(finish, timer)
    assert system.told == []  # the way back is lost, and what is in place is not proven
    result = transact()
    assert (result["changed"], result["activation"], system.told) == (True, "restart", ["start"])
    assert in_force()
    assert transact()["state"] == "unchanged"


WORK = {
    "a change": lambda transact, _timer: transact(confirm_timeout=600),
    "a rollback": lambda _transact, timer: timer(),
}
HEALED = {
    "the next run": lambda _timer: None,
    "the timer": lambda timer: timer(),
}


@pytest.mark.parametrize("healed", HEALED.values(), ids=HEALED)
@pytest.mark.parametrize("heard", [hears, deaf], ids=["that is heard", "that is not heard"])
@pytest.mark.parametrize("work", WORK)
def test_after_a_kill_at_any_step_the_next_run_leaves_the_service_with_what_is_in_place(
    transact, timer, system, in_force, monkeypatch, work, heard, healed
):
    step, going = 0, True
    while going:
        step += 1
        transact(content=OLD)
        if work == "a rollback":
            transact(confirm_timeout=600)
        system.broken = heard
        going = killed(partial(WORK[work], transact, timer), system, monkeypatch, step)
        healed(timer)
        system.broken = hears
        transact(content=OLD)
        assert in_force(), step
        assert transact(content=OLD)["state"] == "unchanged", step
    assert step > 10
    print(f"killed at each of {step - 1} steps")


def no_room_in_state(room, path):
    """A new file cannot be made there; one that is there can be opened."""
    if room and "/state/" in str(path) and not os.path.exists(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def test_a_full_directory_of_state_does_not_keep_a_rollback_from_being_known(
    transact, timer, system, live, state, monkeypatch, in_force
):
    transact(content=OLD)
    transact(confirm_timeout=600)
    system.broken = deaf
    with monkeypatch.context() as patched:
        Steps(patched.setattr, system, 1, no_room_in_state)
        assert timer()[0] == 1
    system.broken = hears
    assert ((live / "main.cf").read_text(), (state / MARK).exists()) == (OLD, True)
    transact(content=OLD)
    assert in_force()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def test_where_no_mark_can_be_made_nothing_is_changed(transact, system, live, state, monkeypatch, number, in_force):
    def fails(_room, path):
        if "in-force" in str(path):
            raise OSError(number, os.strerror(number), path)

    transact(content=OLD)
    with monkeypatch.context() as patched:
        Steps(patched.setattr, system, 1, fails)
        with pytest.raises(OSError, match=os.strerror(number)):
            transact()
    assert (Store(str(state)).pending(), (live / "main.cf").read_text(), in_force()) == (None, OLD, True)
    assert transact(content=OLD)["state"] == "unchanged"


def make_folder(path):
    path.unlink()
    (path / "x").mkdir(parents=True)


ODD = {
    "cut off": lambda path: path.write_text("{"),
    "of a later version": lambda path: path.write_text(json.dumps({"version": "9.0"})),
    "a directory": make_folder,
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_a_mark_that_cannot_be_read_is_one_all_the_same(
    transact, unforced, timer, finish, state, system, in_force, make
):
    name = unforced()
    make(state / MARK)
    assert timer(f"--transaction={name}")[0] == 0
    assert finish("rollback", name)["state"] == "rolled_back"
    assert system.told == []
    assert transact(content=OLD)["activation"] == "restart"
    assert in_force()
    assert transact(content=OLD)["state"] == "unchanged"


def test_an_edit_by_another_leaves_a_mark_as_it_was(transact, system, live, unforced, state):
    def edited(argv):
        if argv[0] == "checker":
            (live / "main.cf").write_text("by hand = yes\n")
        return False

    for made in (lambda: transact(content=OLD), unforced):
        made()
        marked = (state / MARK).exists()
        system.broken = edited
        with pytest.raises(UserError, match="changed by somebody else"):
            transact(content=NEWER)
        system.broken = hears
        assert (state / MARK).exists() == marked
        (live / "main.cf").write_text(OLD)


def test_a_mark_has_no_file_of_the_host_in_it(unforced, state):
    name = unforced()
    mark = Journal.load((state / MARK).read_bytes())
    assert (mark.transaction, mark.images, mark.service["name"]) == (name, {}, "mta")
    assert (state / MARK).stat().st_mode & 0o777 == 0o600


def test_after_a_boot_the_service_has_what_is_in_place(transact, timer, system, in_force):
    transact(content=OLD)
    transact(confirm_timeout=600)
    system.active = False
    assert timer("--boot")[0] == 0
    system.run(["start", "mta"])
    assert in_force()


def test_the_time_of_the_tries_is_longer_than_one_restart_may_take():
    assert again.TRYING > 120
