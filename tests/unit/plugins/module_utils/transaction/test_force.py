# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change is confirmed only when no process goes on with the configuration before, for whatever reason it would."""

from __future__ import annotations

import re
import signal
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed, Host, Socket
from ansible_collections.mailops.postmaster.plugins.module_utils._system.processes import Process
from ansible_collections.mailops.postmaster.plugins.module_utils._system.tcp_table import ESTABLISHED, Entry
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.present import KNOWN
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.reply import NoReply
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import force, units
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.crowd import MANY
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.daemons import DAEMONS
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.service import Service
from mail_servers import Script

COMMANDS = {"exim": "/usr/sbin/exim4 -bd -q30m", "postfix": "/usr/lib/postfix/sbin/master -w"}
OWN, ANY = "192.0.2.1", "0.0.0.0"
OWN6, EVERY = "2001:db8::1", "::"
OLD = "process 110 ({command}) went on with the configuration before"


class Daemons(Host):
    """A host on which daemons listen, each with its own sockets. What its programs do is said by ``habits``:

    ``deaf`` (a reload and a stop reach nobody), ``no reload``, ``stubborn`` (SIGTERM is not heard), ``immortal``,
    ``slow`` (all is done, but no command ends), ``hidden`` (nobody sees who holds a socket), ``broken`` (no start),
    ``one has ended`` (not all that a reload signals are there), ``half`` (a daemon that starts beside another one gets
    no address, and goes on), ``asleep`` (stopped: nothing is heard before SIGCONT). Those in ``units`` are not those
    that it restarts.
    """

    def __init__(self, mta, habits, asked, monkeypatch):
        super().__init__()
        self.mta, self.habits, self.asked, self.count, self.daemons = mta, habits, asked, 100, {}
        self.awake = set()
        self.killed, self.foreign, self.units, self.main = [], [], {}, {}
        monkeypatch.setattr(force.os, "kill", self.kill)

    def start(self, addresses):
        self.count += 10
        self.daemons[self.count] = addresses, self.count, self.count + 1
        return self.count

    def is_asleep(self, pid):
        return "asleep" in self.habits and pid == 110 and pid not in self.awake

    def unit_of(self, pid):
        return self.units.get(pid, "")

    def processes(self, accounts):
        assert accounts == DAEMONS[self.mta].accounts
        found = []
        for pid, (_addresses, _inode, child) in self.daemons.items():
            found += [Process(pid, 1, "daemon", COMMANDS[self.mta], stopped=self.is_asleep(pid), session=pid)]
            found += [Process(child, pid, "qmgr", "qmgr -l -t unix -u")]
        return found

    def listeners(self):
        hidden = "hidden" in self.habits
        found = [
            Socket(address, 25, frozenset(), f"{inode}{address}", frozenset() if hidden else frozenset([pid]))
            for pid, (addresses, inode, _child) in self.daemons.items()
            for address in addresses
        ]
        return [*found, *self.foreign]

    def kill(self, pid, sent):
        self.killed.append((pid, sent))
        self.awake |= {pid} if sent == signal.SIGCONT else set()
        deadly = {signal.SIGTERM, signal.SIGKILL} - ({signal.SIGTERM} if "stubborn" in self.habits else set())
        if sent in deadly and "immortal" not in self.habits:
            self.daemons.pop(pid, None)

    def run(self, argv, stdin="", timeout=30.0):
        assert not stdin
        if argv[:2] == ["systemctl", "show"]:
            return Completed(tuple(argv), 0, self.main.get(argv[-1], "ActiveState=inactive\nMainPID=0\n"), "")
        if argv[0] == "reload" and not {"deaf", "no reload"} & self.habits:
            self.reload()
        if argv[0] == "restart":
            if not {"deaf", "stubborn", "immortal"} & self.habits:
                deaf = {*self.units, *filter(self.is_asleep, self.daemons)}
                self.daemons = {pid: one for pid, one in self.daemons.items() if pid in deaf}
            taken = {address for addresses, _inode, _child in self.daemons.values() for address in addresses}
            if "half" in self.habits and self.daemons:
                self.start([])
            elif (
                not taken & {*(EVERY if ":" in one else ANY for one in self.asked or [OWN]), *self.asked}
                and "broken" not in self.habits
            ):
                self.start(self.asked)
        late = "slow" in self.habits and argv[0] in ("reload", "restart")
        ended = "one has ended" in self.habits and argv[0] == "reload"
        return Completed(tuple(argv), 124 if late else int(ended), "", "", late, timeout)

    def reload(self):
        for pid, (addresses, inode, _child) in self.daemons.items():
            if self.is_asleep(pid):
                continue
            self.count += 10
            self.daemons[pid] = addresses, inode if self.mta == "postfix" else self.count, self.count + 1


@pytest.fixture
def change(monkeypatch):
    monkeypatch.setattr(force, "ENDING", 0.01)
    monkeypatch.setattr(force, "INTERVAL", 0.001)
    for name in ("ENDING", "RENEWED"):
        monkeypatch.setattr(f"{Service.__module__}.{name}", 0.01)

    def run(mta, how, habits, before, asked, listens=None, prepare=lambda _host: None):
        host = Daemons(mta, set(habits.split(", ")), asked, monkeypatch)
        for addresses in before:
            host.start(addresses)
        prepare(host)
        unit = {"name": "mta", "mta": mta, "needs": [], "reload": ["reload", "{daemon}"], "restart": ["restart"]}
        unit["listens"] = [{"address": address, "port": 25} for address in listens or asked]
        service = Service(host, unit, [], 0.05)
        return service.activate(how), service, host

    return run


@pytest.mark.parametrize("mta", COMMANDS)
@pytest.mark.parametrize(
    ("how", "habits", "before", "warned"),
    [
        ("restart", "", [[OWN]], ""),
        ("restart", "", [[ANY]], ""),
        ("restart", "hidden", [[ANY]], ""),
        ("restart", "", [], ""),
        ("restart", "slow", [[ANY]], ""),
        ("reload", "one has ended", [[OWN]], ""),
        ("restart", "deaf", [[ANY]], "did not end with the service, and was stopped"),
        ("restart", "deaf, hidden", [[ANY]], "did not end with the service, and was stopped"),
        ("restart", "deaf", [[ANY], ["192.0.2.9"]], "did not end with the service, and was stopped"),
        ("restart", "stubborn", [[ANY]], "did not end with the service, and was stopped"),
        ("restart", "deaf, half", [[OWN]], "did not end with the service, and was stopped"),
        ("restart", "deaf, half, hidden", [[OWN]], "did not end with the service, and was stopped"),
        ("restart", "deaf, slow", [[ANY]], "did not end with the service, and was stopped"),
        ("reload", "", [[OWN]], ""),
        ("reload", "hidden", [[OWN]], ""),
        ("reload", "slow", [[OWN]], ""),
        ("reload", "no reload", [[OWN]], "after the reload, and was restarted"),
        ("reload", "no reload, hidden", [[OWN]], "after the reload, and was restarted"),
        ("reload", "deaf", [[OWN]], "did not end with the service, and was stopped"),
        ("reload", "", [], ""),
    ],
)
def test_a_change_gets_into_force_whatever_the_old_daemon_does(change, mta, how, habits, before, warned):
    wrong, service, host = change(mta, how, habits, before, [OWN])
    assert wrong == ""
    assert [addresses for addresses, _inode, _child in host.daemons.values()] == [[OWN]]
    assert any(warned in text for text in service.warnings) if warned else not service.warnings
    assert bool(host.killed) == ("was stopped" in warned)


@pytest.mark.parametrize(("count", "warnings"), [(3, 3), (4, 4), (40, 4)])
def test_a_few_of_many_daemons_that_were_stopped_are_named(change, count, warnings):
    before = [[f"192.0.2.{number + 2}"] for number in range(count)]
    wrong, service, _host = change("exim", "restart", "deaf", before, [OWN])
    assert (wrong, len(service.warnings)) == ("", warnings)
    assert service.warnings[-1].startswith(f"{count - 3} more processes " if count > 3 else "process ")


@pytest.mark.parametrize("mta", COMMANDS)
@pytest.mark.parametrize("how", ["reload", "restart"])
@pytest.mark.parametrize("habits", ["asleep", "asleep, hidden"])
def test_a_daemon_that_was_stopped_hears_of_the_change(change, mta, how, habits):
    wrong, service, host = change(mta, how, habits, [[OWN]], [OWN])
    assert (wrong, host.killed) == ("", [(110, signal.SIGCONT)])
    assert service.warnings == [f"process 110 ({COMMANDS[mta]}) was stopped, and goes on"]


@pytest.mark.parametrize("mta", COMMANDS)
@pytest.mark.parametrize(
    ("how", "habits", "before", "asked", "said"),
    [
        ("restart", "immortal", [[ANY]], [OWN], OLD),
        (
            "restart",
            "immortal, hidden",
            [[ANY]],
            [OWN],
            OLD,
        ),
        (
            "reload",
            "immortal, no reload",
            [[OWN]],
            [OWN],
            OLD,
        ),
        ("restart", "immortal, slow", [[ANY]], [OWN], "`restart` did not end within 0.05 s; allow more with"),
        ("restart", "broken", [[OWN]], [OWN], "nothing listens at 192.0.2.1 port 25, where the service was told to"),
        ("restart", "", [[OWN]], [ANY], "something listens at 0.0.0.0 port 25, where the service was not told to"),
    ],
)
def test_a_change_that_is_not_in_force_fails_and_names_who_goes_on(change, mta, how, habits, before, asked, said):
    wrong, _service, _host = change(mta, how, habits, before, asked, [OWN])
    assert said.format(command=COMMANDS[mta]) in wrong


@pytest.mark.parametrize("broken", ["", "daemon-reload", "enable rspamd", "reload-or-restart rspamd"])
def test_what_the_service_asks_comes_first_and_is_no_reason_to_fail(monkeypatch, broken):
    host = Daemons("exim", set(), [OWN], monkeypatch)
    told = []

    def run(argv, timeout=30.0):
        told.append(" ".join(argv).removeprefix("systemctl --quiet "))
        late = bool(broken) and told[-1] == broken
        return Completed(tuple(argv), 124 if late else 0, "", "", late, timeout) if late else Daemons.run(host, argv)

    monkeypatch.setattr(host, "run", run)
    unit = {"name": "mta", "mta": "exim", "needs": ["rspamd", "postgrey"], "reload": [], "restart": ["restart"]}
    service = Service(host, unit, [], 5)
    assert service.activate("restart") == ""
    needs = [f"{verb} {unit}" for unit in ("rspamd", "postgrey") for verb in ("enable", "reload-or-restart")]
    assert [one for one in told if one in ("daemon-reload", *needs, "restart")] == ["daemon-reload", *needs, "restart"]
    late = f"`systemctl --quiet {broken}` did not end within 5 s; allow more with mta_command_timeout"
    assert service.warnings == ([late] if broken else [])


def test_a_daemon_of_another_program_is_let_be(change, monkeypatch):
    listeners = Daemons.listeners
    other = Socket("192.0.2.7", 25, frozenset(["docker-proxy"]), "7", frozenset([7]))
    monkeypatch.setattr(Daemons, "listeners", lambda host: [*listeners(host), other])
    wrong, service, host = change("exim", "restart", "", [[OWN]], [OWN])
    assert (wrong, service.warnings, host.killed) == ("", [], [])


SECOND = "ActiveState=active\nMainPID={pid}\nSourcePath={source}\n"
INIT_SCRIPT = "/etc/init.d/second"


def second_unit(pid, script=False):
    """What systemd says of a unit that runs another instance."""
    return SECOND.format(pid=0 if script else pid, source=INIT_SCRIPT if script else "")


@pytest.mark.parametrize(
    ("mta", "habits"),
    [
        *[(mta, habits) for mta in COMMANDS for habits in ("", "deaf", "stubborn", "no reload")],
        # the master process of Postfix is root's, whose sockets are seen
        *[("exim", f"hidden, {habits}") for habits in ("", "deaf", "stubborn", "no reload")],
    ],
)
@pytest.mark.parametrize("how", ["reload", "restart"])
@pytest.mark.parametrize(("address", "port"), [("192.0.2.9", 25), ("0.0.0.0", 2525)])
@pytest.mark.parametrize("main", ["the unit says so", "the unit of an init script"])
def test_another_instance_that_is_a_unit_lives_on(change, mta, habits, how, address, port, main):
    second = []

    def prepare(host):
        pid = host.start([])
        second.append(pid)
        host.units[pid] = "second.service"
        host.main["second.service"] = second_unit(pid, main == "the unit of an init script")
        held = frozenset() if "hidden" in habits else frozenset([pid])
        host.foreign.append(Socket(address, port, frozenset(), "second", held))

    wrong, service, host = change(mta, how, habits, [[OWN]], [OWN], prepare=prepare)
    assert wrong == ""
    assert second[0] in host.daemons
    assert second[0] not in {pid for pid, _sent in host.killed}
    assert not any(f"process {second[0]} " in text for text in service.warnings)


@pytest.mark.parametrize("habits", ["", "hidden"])
def test_a_daemon_that_did_not_run_is_started_beside_another_instance(monkeypatch, habits):
    host = Daemons("exim", {habits}, [OWN], monkeypatch)
    pid = host.start(["192.0.2.9"])
    host.units[pid], host.main["second.service"] = "second.service", second_unit(pid)
    unit = {"name": "mta", "mta": "exim", "needs": [], "reload": [], "restart": ["restart"]}
    unit["listens"] = [{"address": OWN, "port": 25}]
    service = Service(host, unit, [], 5)
    assert (service.activate("restart"), service.warnings, host.killed) == ("", [], [])


@pytest.mark.parametrize("mta", COMMANDS)
@pytest.mark.parametrize("habits", ["broken", "broken, hidden"])
def test_another_instance_does_not_stand_for_one_that_did_not_start(monkeypatch, mta, habits):
    host = Daemons(mta, set(habits.split(", ")), [OWN], monkeypatch)
    pid = host.start([ANY])
    host.units[pid], host.main["second.service"] = "second.service", second_unit(pid)
    unit = {"name": "mta", "mta": mta, "needs": [], "reload": [], "restart": ["restart"]}
    wrong = Service(host, unit, [], 0.05).activate("restart")
    assert wrong == f"mta runs no daemon: process {pid} ({COMMANDS[mta]}) belongs to second.service"


ANSWERS = [{"address": "127.0.0.1", "port": 25, "greeting": "^220"}]


@pytest.mark.parametrize("mta", COMMANDS)
@pytest.mark.parametrize("listens", [[], [OWN]])
@pytest.mark.parametrize(
    ("habits", "owner", "who"),
    [
        ("half", "second.service", "process 110 ({command}) of second.service"),
        ("half, hidden", "second.service", "process 110 ({command}) of second.service, or one that cannot be seen,"),
    ],
)
def test_a_daemon_that_listens_nowhere_fails_and_who_has_its_port_is_named(
    monkeypatch, mta, listens, habits, owner, who
):
    host = Daemons(mta, set(habits.split(", ")), [OWN], monkeypatch)
    pid = host.start([ANY])
    host.units[pid], host.main[owner] = owner, second_unit(pid)
    unit = {"name": "mta", "mta": mta, "needs": [], "reload": [], "restart": ["restart"]}
    unit["listens"] = [{"address": address, "port": 25} for address in listens]
    wrong = Service(host, unit, ANSWERS, 0.05).activate("restart")
    nowhere = f"nothing listens at {OWN} port 25, where the service was told to"
    who = who.format(command=COMMANDS[mta])
    assert wrong == f"{nowhere if listens else 'mta listens nowhere at port 25'}; {who} listens at 0.0.0.0 port 25"


@pytest.mark.parametrize("mta", COMMANDS)
@pytest.mark.parametrize("another", [[], ["127.0.0.1"]])
def test_a_daemon_that_gets_no_port_is_told_from_another_program_that_has_it(monkeypatch, mta, another):
    host = Daemons(mta, set(), [], monkeypatch)
    host.foreign = [Socket(address, 25, frozenset(["sink"]), "7", frozenset([7])) for address in another]
    processes = host.processes
    monkeypatch.setattr(host, "processes", lambda accounts: [*processes(accounts), Process(7, 1, "sink", "sink -p 25")])
    unit = {"name": "mta", "mta": mta, "needs": [], "reload": [], "restart": ["restart"], "listens": []}
    wrong = Service(host, unit, ANSWERS, 0.05).activate("restart")
    instead = "; process 7 (sink -p 25) listens at 127.0.0.1 port 25" if another else ""
    assert wrong == f"mta listens nowhere at port 25{instead}"


@pytest.mark.parametrize("mta", COMMANDS)
@pytest.mark.parametrize("how", ["reload", "restart"])
@pytest.mark.parametrize("habits", ["", "hidden"])
@pytest.mark.parametrize("before", [[], [[OWN]], [[ANY]]])
def test_a_daemon_that_listens_anywhere_is_enough_where_no_place_is_asked_for(monkeypatch, mta, how, habits, before):
    host = Daemons(mta, {habits}, [OWN], monkeypatch)
    for addresses in before:
        host.start(addresses)
    looked = force.Force(host, {"name": "mta", "mta": mta, "listens": []}, ANSWERS)
    signs, reload = looked.signs(), how == "reload" and bool(before)
    host.run(["reload" if reload else "restart"])
    assert (looked.wrong(signs, reload), looked.in_force(signs, reload, 0)) == ("", True)


@pytest.mark.parametrize("mta", COMMANDS)
def test_a_daemon_that_has_to_answer_nowhere_may_listen_nowhere(monkeypatch, mta):
    host = Daemons(mta, set(), [], monkeypatch)
    unit = {"name": "mta", "mta": mta, "needs": [], "reload": [], "restart": ["restart"], "listens": []}
    assert Service(host, unit, [], 0.05).activate("restart") == ""


@pytest.mark.parametrize("mta", COMMANDS)
@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ("", ""),
        ("ssh.service", "ActiveState=active\nMainPID=7\n"),
        ("mta.service", "ActiveState=active\nMainPID=0\n"),
        ("mta@-.service", "ActiveState=active\nMainPID=0\n"),
        ("renamed.service", "ActiveState=inactive\nMainPID=0\n"),
        ("renamed.service", "ActiveState=inactive\nMainPID=0\nSourcePath=/etc/init.d/renamed\n"),
        ("rc-local.service", "ActiveState=active\nMainPID=0\n"),
        ("once.service", "ActiveState=active\nMainPID=0\nSourcePath=\n"),
        ("once.service", "ActiveState=active\nMainPID=0\nSourcePath=/etc/fstab\n"),
        ("old.service", "ActiveState=active\nMainPID=0\nSourcePath=/etc/init.d/old\n"),
        ("unknown.service", ""),
    ],
)
@pytest.mark.parametrize("habits", ["deaf", "deaf, hidden"])
def test_a_daemon_that_only_comes_from_another_unit_does_not_live_on(change, mta, unit, said, habits):
    def prepare(host):
        host.units[110], host.main[unit] = unit, said

    wrong, service, host = change(mta, "restart", habits, [[ANY]], [OWN], prepare=prepare)
    assert (wrong, next(iter(host.daemons.values()))[0]) == ("", [OWN])
    assert service.warnings == [f"process 110 ({COMMANDS[mta]}) did not end with the service, and was stopped"]


@pytest.mark.parametrize("mta", COMMANDS)
def test_another_instance_that_is_seen_at_another_port_lives_on_whoever_has_started_it(change, mta):
    def prepare(host):
        host.foreign.append(Socket("0.0.0.0", 2525, frozenset(), "by hand", frozenset([110])))

    wrong, _service, host = change(mta, "restart", "deaf", [[], [ANY]], [OWN], prepare=prepare)
    assert wrong == ""
    assert {pid for pid, _sent in host.killed} == {120}


@pytest.mark.parametrize("mta", COMMANDS)
def test_a_daemon_that_waited_for_the_port_does_not_get_it(change, mta, monkeypatch):
    """When the one of the unit ends, that which was started by hand is quicker than the new one."""
    run = Daemons.run

    def quicker(host, argv, **how):
        if argv[0] == "restart" and 110 in host.daemons:
            host.daemons = {110: ([OWN], 115, 111)}
        return run(host, argv, **how)

    monkeypatch.setattr(Daemons, "run", quicker)
    wrong, service, host = change(mta, "restart", "deaf", [[], [OWN]], [OWN])
    assert (wrong, list(host.daemons)) == ("", [130])
    assert service.warnings == [f"process 110 ({COMMANDS[mta]}) did not end with the service, and was stopped"]


@pytest.mark.parametrize(
    ("service", "unit", "own"),
    [
        ("exim4", "exim4.service", True),
        ("exim4.service", "exim4.service", True),
        ("postfix", "postfix@-.service", True),
        ("postfix", "postfix@second.service", False),
        ("postfix", "postfix-second.service", False),
        ("exim4", "", False),
    ],
)
def test_the_unit_of_a_service_is_known_by_its_name(service, unit, own):
    assert units.is_of(service, unit) == own


@pytest.mark.parametrize("habits", ["", "hidden"])
@pytest.mark.parametrize("said", ["ActiveState=active\nMainPID=0\n", SECOND.format(pid=0, source=INIT_SCRIPT)])
def test_what_a_script_has_started_at_any_address_ends_where_the_daemon_did_not_run(monkeypatch, habits, said):
    """A new daemon that listens at another family of addresses gets its socket beside it."""
    host = Daemons("exim", {habits}, [OWN6], monkeypatch)
    monkeypatch.setattr(force, "ENDING", 0.01)
    monkeypatch.setattr(f"{Service.__module__}.ENDING", 0.01)
    pid = host.start([ANY])
    host.units[pid], host.main["rc-local.service"] = "rc-local.service", said
    unit = {"name": "mta", "mta": "exim", "needs": [], "reload": [], "restart": ["restart"]}
    unit["listens"] = [{"address": OWN6, "port": 25}]
    service = Service(host, unit, [], 5)
    assert service.activate("restart") == ""
    assert [addresses for addresses, _inode, _child in host.daemons.values()] == [[OWN6]]
    assert service.warnings == [f"process {pid} ({COMMANDS['exim']}) did not end with the service, and was stopped"]


class Crowded(Daemons):
    """Its old daemon serves others after a reload, too; after a restart the new one does so, or nothing is accepted."""

    def __init__(self, habits, monkeypatch):
        super().__init__("postfix", habits, [OWN], monkeypatch)
        self.told = []
        self.start([OWN])

    def run(self, argv, stdin="", timeout=30.0):
        self.told += argv[:1]
        return super().run(argv, stdin, timeout)

    def tcp(self, *_states):
        restarted = "restart" in self.told
        served = [] if restarted and "dead" in self.habits else range(MANY)
        accepted = [Entry(OWN, 25, "192.0.2.9", number, ESTABLISHED, 0, f"{restarted} {number}") for number in served]
        return [*accepted, Entry(OWN, 25, "192.0.2.8", 7, ESTABLISHED, 0, "0")]


@pytest.mark.parametrize(
    ("habits", "wrong", "warnings"),
    [
        ("", "", ["was restarted", "others hold its connections: 10 by 192.0.2.9"]),
        ("dead", "nothing", ["was restarted"]),
    ],
)
def test_what_a_daemon_of_before_serves_does_not_stand_for_the_new_one(monkeypatch, habits, wrong, warnings):
    for name in ("ANSWER", "HELD", "ENDING", "RENEWED"):
        monkeypatch.setattr(f"{Service.__module__}.{name}", 0.01)
    monkeypatch.setattr(f"{Service.__module__}.connect", lambda *_given: NoReply("nothing within 30 s", late=True))
    host = Crowded({habits}, monkeypatch)
    unit = {"name": "mta", "mta": "postfix", "needs": [], "reload": ["reload"], "restart": ["restart"], "listens": []}
    service = Service(host, unit, [{"address": OWN, "port": 25, "greeting": "^220"}], 0.05)
    found = service.activate("reload")
    assert (wrong in found, bool(found)) == (True, bool(wrong))
    assert len(service.warnings) == len(warnings)
    assert all(said in given for said, given in zip(warnings, service.warnings))
    assert [one for one in host.told if one in ("reload", "restart")] == ["reload", "restart"]


@pytest.mark.parametrize(
    ("listening", "address", "own"),
    [
        ([(OWN, 110)], OWN, True),
        ([(OWN, 110)], "192.0.2.2", False),
        ([(ANY, 110)], "192.0.2.2", True),
        ([(ANY, 110), ("192.0.2.2", 7)], "192.0.2.2", False),
        ([("::", 110)], "192.0.2.2", True),
        ([("::", 110)], "2001:db8::1", True),
        ([("::", 110), (ANY, 7)], "192.0.2.2", False),
        ([("::", 7)], "2001:db8::1", False),
        ([], OWN, False),
    ],
)
def test_a_connection_belongs_to_the_daemon_whose_socket_takes_it(monkeypatch, listening, address, own):
    host = Daemons("exim", set(), [], monkeypatch)
    host.start([])
    host.foreign += [
        Socket(place, 25, frozenset(), str(number), frozenset([pid])) for number, (place, pid) in enumerate(listening)
    ]
    accepts = force.Force(host, {"name": "mta", "mta": "exim"}, []).accepts(25, "127.0.0.1")
    assert accepts(address) == own


class Busy(Script):
    """Greets with 421, or answers EHLO with it, while it is ``busy``."""

    busy, at_ehlo = True, False

    def connection_made(self, transport):
        if self.busy and not self.at_ehlo:
            self.greeting = b"421 4.3.2 Connection rate limit exceeded\r\n"
        super().connection_made(transport)

    def answer(self, line):
        return b"421 4.7.0 Load too high\r\n" if self.busy and line.startswith(b"EHLO") else b"250 Ok\r\n"


@pytest.fixture
def busy(serve, monkeypatch):
    """A service of which the server is ``busy`` as long as that says so, given the times of all connections."""

    def run(is_busy, at_ehlo, timeout):
        times = []

        def connection():
            times.append(time.monotonic())
            return type("Now", (Busy,), {"busy": is_busy(times), "at_ehlo": at_ehlo})()

        listener = {"address": "127.0.0.1", "port": serve(connection), "greeting": "^220"}
        return Service(Host(), {}, [listener], timeout).answer(), len(times)

    monkeypatch.setattr(f"{Service.__module__}.ANSWER", 2.0)
    monkeypatch.setattr(f"{Service.__module__}.HELD", 0.1)
    return run


@pytest.mark.parametrize("at_ehlo", [False, True])
@pytest.mark.parametrize(
    "is_busy",
    [
        pytest.param(lambda times: len(times) <= 3, id="at first"),
        pytest.param(lambda times: len(times) == 2, id="after a first answer"),
        pytest.param(lambda times: times[-1] - times[0] < 3, id="for longer than a start may take"),
        pytest.param(lambda times: sum(times[-1] - one < 0.5 for one in times) > 2, id="while it is asked often"),
    ],
)
def test_a_server_that_is_not_ready_is_asked_again(busy, is_busy, at_ehlo):
    assert busy(is_busy, at_ehlo, 20.0)[0] == ""


@pytest.mark.parametrize(
    ("at_ehlo", "said"),
    [(False, "421 4.3.2 Connection rate limit exceeded"), (True, "EHLO: 421 4.7.0 Load too high")],
)
def test_a_server_that_is_never_ready_is_quoted_and_asked_rarely(busy, at_ehlo, said):
    wrong, asked = busy(lambda _times: True, at_ehlo, 1.0)
    still = f"still says {said} after 1 s; allow more with mta_command_timeout"
    assert re.fullmatch(rf"127\.0\.0\.1 port \d+ {still}", wrong)
    assert 2 <= asked <= 5


@pytest.mark.parametrize(
    ("mta", "command", "daemon"),
    [
        ("exim", "/usr/sbin/exim4 -bd -q30m", True),
        ("exim", "/usr/sbin/exim4 -bdf -q30m", True),
        ("exim", "exim4 -C /etc/exim4/exim4.conf -bd", True),
        ("exim", "/usr/sbin/exim4 -q", False),
        ("exim", "/usr/sbin/exim4 -Mc 1abc-def-00", False),
        ("exim", "/usr/sbin/exim4 -bt -- bdf@example.org", False),
        ("exim", "vi /usr/sbin/exim4 -bd", False),
        ("exim", "/usr/sbin/exim4 -bd -oX <;\0\0.0.0.0", True),
        ("exim", "/usr/sbin/exim4 -oX <;\0\0.0.0.0 -q30m -d+all -DX=y -bd", True),
        ("exim", "/usr/sbin/exim4 -oP /run/exim4/second.pid -v -bdf", True),
        # what a user can have it called with, and then it goes on
        ("exim", "/usr/sbin/exim4 -F x\0-bd\0y -oi bob", False),
        ("exim", "/usr/sbin/exim4 -F -bd bob", False),
        ("exim", "/usr/sbin/exim4 -f -bd bob", False),
        ("exim", "/usr/sbin/exim4 -oMr -bd bob", False),
        ("exim", "/usr/sbin/exim4 bob -bd", False),
        ("exim", "/usr/sbin/exim4 -oX \0 bob -bd", False),
        ("exim", "/usr/sbin/exim4 -oX x\0-bd\0y bob", False),
        ("exim", "/usr/sbin/exim4 -oi -t -- -bd", False),
        ("exim", "/usr/sbin/exim4\0-bd -t", False),
        ("exim", "/usr/sbin/exim4\0-bd\0/rsmtp", False),
        ("opensmtpd", "/usr/sbin/smtpd", True),
        ("opensmtpd", "/usr/sbin/smtpd -F", True),
        ("opensmtpd", "smtpd: dispatcher", True),
        ("opensmtpd", "smtpd:\0dispatcher", True),
        ("opensmtpd", "smtpd -d", True),
        ("opensmtpd", "smtpd -n smtp -t inet -u -c -o stress= -s 2", False),
        ("opensmtpd", "smtpctl show queue", False),
        ("postfix", "/usr/lib/postfix/sbin/master -w", True),
        ("postfix", "/usr/lib/postfix/sbin/master", True),
        ("postfix", "smtpd -n smtp -t inet -u -c -o stress= -s 2", True),
        ("postfix", "/usr/sbin/smtpd", False),
        ("postfix", "qmgr -l -t unix -u", False),
        ("postfix", "/opt/jobs/master -w", False),
        ("sendmail", "sendmail: MTA: accepting connections", True),
        ("sendmail", "sendmail:\0MTA:\0accepting\0connections", True),
        ("sendmail", "sendmail:\0MTA:\0rejecting\0connections\0on\0daemon\0MTA-v4:\0load\0average:\099", True),
        ("sendmail", "/usr/sbin/sendmail-mta -Am -L sm-mta -bd -q10m", True),
        ("sendmail", "sendmail: MTA: rejecting connections on daemon MTA-v4: load average: 99", True),
        ("sendmail", "sendmail: MTA: ./6AU1ZxDa011314 alice: from queue", False),
        ("sendmail", "sendmail: MTA: 6AU1ZxDa011314 alice: client DATA status", False),
        ("sendmail", "sendmail: MTA: server [192.0.2.7] cmd read", False),
        ("sendmail", "sendmail: MTA: running queue: /var/spool/mqueue", False),
        ("sendmail", "sendmail: running queue: /var/spool/mqueue", False),
        ("sendmail", "/usr/sbin/sendmail -bt", False),
        ("sendmail", "sendmail -bv bd", False),
    ],
)
def test_a_daemon_is_known_by_its_command_line(mta, command, daemon):
    assert bool(DAEMONS[mta].among([Process(7, 1, "", command, session=7)])) == daemon


@pytest.mark.parametrize(("account", "counts"), [("root", True), ("postfix", True), ("alice", False), ("uid 7", False)])
def test_a_process_that_only_calls_itself_a_daemon_is_none(account, counts):
    named = [Process(7, 1, "", COMMANDS["postfix"], account=account, session=7)]
    assert bool(DAEMONS["postfix"].among(named)) == counts


# The parents of a process of the MTA's account, the nearest first (account, terminal), and whether it counts.
PARENTS = {
    "none that is seen": ([], True),
    "systemd": ([("root", False)], True),
    "the daemon": ([("mta", False), ("root", False)], True),
    "a shell of root's": ([("root", True), ("alice", True)], True),
    "a user's process": ([("alice", False), ("root", False)], False),
    "a user's process, a generation before": ([("mta", False), ("alice", False), ("root", False)], False),
    "a user's shell": ([("alice", True), ("root", False)], False),
}


@pytest.mark.parametrize("mta", COMMANDS)
@pytest.mark.parametrize(("parents", "counts"), PARENTS.values(), ids=PARENTS)
def test_what_a_user_runs_as_the_account_of_the_mta_is_no_daemon(mta, parents, counts):
    """As ``exim4 alice -bd`` of alice, which is setuid and waits for a message to that recipient: ^Z stops it, and
    where her shell ends after that it has no terminal any more, and stays stopped as long as its parent lives."""
    family = [("mta", False), *parents]
    found = [
        Process(
            pid,
            pid + 1,
            "",
            COMMANDS[mta] if pid == 7 else "sh",
            account=DAEMONS[mta].accounts[0] if account == "mta" else account,
            terminal=terminal,
            session=7,
        )
        for pid, (account, terminal) in enumerate(family, 7)
    ]
    assert bool(DAEMONS[mta].among(found)) == counts


# Who has begun the session of what looks like the daemon and is the MTA's (account, command), and whether it is one.
SESSIONS = {
    "the daemon": ("mta", "{daemon}", True),
    "the daemon as root": ("root", "{daemon}", True),
    "one that has ended": ("", "", False),
    "a user's process": ("alice", "{daemon}", False),
    "another program of the MTA": ("mta", "/usr/sbin/sendmail -t", False),
    "a shell of root's": ("root", "-bash", False),
}


@pytest.mark.parametrize("mta", COMMANDS)
@pytest.mark.parametrize(("account", "command", "counts"), SESSIONS.values(), ids=SESSIONS)
def test_what_the_mta_runs_in_the_session_of_something_else_is_no_daemon(mta, account, command, counts):
    """The kernel stops nothing at a terminal that has begun its session (POSIX, orphaned process groups), so a user
    stops what is not the first one of his; when that ends, nothing shows the terminal any more."""
    own, daemon = DAEMONS[mta].accounts[0], COMMANDS[mta]
    leader = Process(9, 1, "", command.format(daemon=daemon), account=own if account == "mta" else account, session=9)
    asked = Process(7, 1, "", daemon, account=own, session=9)
    found = DAEMONS[mta].among([asked, *([leader] if account else [])])
    assert (asked in found) == counts


@pytest.mark.parametrize(("account", "counts"), [("mta", False), ("root", True)])
def test_what_is_at_a_terminal_is_a_daemon_only_if_root_has_started_it(account, counts):
    account = DAEMONS["exim"].accounts[0] if account == "mta" else account
    found = [Process(7, 1, "", COMMANDS["exim"], account=account, terminal=True, session=7)]
    assert bool(DAEMONS["exim"].among(found)) == counts


@pytest.mark.parametrize(("uid", "wrong"), [(0, True), (4321, False)])
def test_a_socket_that_a_user_has_made_is_not_the_daemon_s_where_its_holder_is_not_seen(monkeypatch, uid, wrong):
    """Users may listen at port 25 where ip_unprivileged_port_start(ip(7)) lets them."""
    host = Daemons("exim", ["hidden"], [OWN], monkeypatch)
    host.start([OWN])
    host.foreign = [Socket("127.0.0.2", 25, frozenset(), "7", frozenset(), uid)]
    listens = [{"address": OWN, "port": 25}]
    found = force.Force(host, {"mta": "exim", "name": "exim4", "listens": listens}, [])
    said = found.wrong(force.Signs(), reload=False)
    assert ("127.0.0.2 port 25, where the service was not told to" in said) == wrong


def test_a_unit_is_asked_for_once_however_many_processes_are_in_it(monkeypatch):
    host = Daemons("exim", [], [OWN], monkeypatch)
    asked = []
    host.units = {host.start([]): "user@1.service" for _number in range(50)}
    monkeypatch.setattr(host, "run", lambda argv, **_rest: asked.append(argv) or Completed(tuple(argv), 0, "", ""))
    assert force.Force(host, {"mta": "exim", "name": "exim4"}, []).daemons()
    assert asked == [["systemctl", "show", "--property=ActiveState,MainPID,SourcePath", "--", "user@1.service"]]


def test_what_a_user_calls_a_queue_manager_does_not_make_a_reload_a_restart(monkeypatch):
    host = Daemons("postfix", [], [ANY], monkeypatch)
    forged = Process(7, 1, "master", COMMANDS["postfix"], account="alice"), Process(8, 7, "qmgr", "", account="alice")
    monkeypatch.setattr(host, "processes", lambda _accounts: list(forged))
    assert force.Force(host, {"mta": "postfix"}, []).signs().renewed == frozenset()


def test_the_daemon_of_every_mta_is_known():
    assert sorted(DAEMONS) == sorted(KNOWN)
