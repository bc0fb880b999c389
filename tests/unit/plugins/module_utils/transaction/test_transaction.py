# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""config_transaction: whatever fails, and at whatever step, the host has the old files or the new ones, whole."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import pathlib
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import files, mounts
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils._system.lock import lock
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.saved import Saved
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.spool import Queued
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.journal import Journal
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.store import Store
from mail_servers import Mail, Server

OLD, NEW = "interfaces = loopback\n", "interfaces = all\n"


class Dead(asyncio.Protocol):
    """A listener behind which every process dies."""

    def connection_made(self, transport):
        transport.close()


class Refusing(Mail):
    """Takes no message yet."""

    def data(self, _envelope):
        return "451 4.3.0 not now"


def content(folder):
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


BEFORE = {"main.cf": OLD, "master.cf": "untouched\n"}
AFTER = {"main.cf": NEW, "master.cf": "untouched\n", "table": "a b\n", "table.db": "compiled a b\n"}


def test_a_change_is_put_in_place_compiled_and_activated(transact, live, system):
    result = transact()
    assert (result["changed"], result["state"], result["activation"]) == (True, "confirmed", "restart")
    assert content(live) == AFTER
    assert system.told == ["start"]


def test_a_second_run_changes_nothing_and_tells_the_service_nothing(transact, live, system):
    transact()
    system.ran.clear()
    result = transact()
    assert (result["changed"], result["state"], result["transaction"]) == (False, "unchanged", "")
    assert {argv[0] for argv in system.ran} == {"systemctl"}
    assert content(live) == AFTER


def test_a_reload_is_enough_where_no_line_that_needs_a_restart_differs(transact, system):
    transact()
    system.ran.clear()
    transact(content=NEW + "banner = b\n")
    assert system.told == ["reload"]


@pytest.mark.parametrize(("reload", "how", "told"), [(["reload", "mta"], "reload", "reload"), ([], "restart", "start")])
def test_the_service_is_told_of_what_was_compiled_anew(transact, live, system, reload, how, told):
    service = {"name": "mta", "reload": reload, "restart": ["start", "mta"]}
    transact(service=service)
    system.ran.clear()
    os.utime(live / "table.db", (100, 100))
    assert transact(service=service)["activation"] == how
    assert system.told == [told]


def test_a_service_without_a_reload_is_restarted(transact, system):
    service = {"name": "mta", "reload": [], "restart": ["start", "mta"]}
    transact(service=service)
    system.ran.clear()
    assert transact(content=NEW + "banner = b\n", service=service)["activation"] == "restart"
    assert system.told == ["start"]


def test_what_is_made_of_a_file_may_belong_under_another_name(transact, live):
    made = str(live / "made.cf")
    file = {"path": str(live / "source.mc"), "content": "m4\n", "owner": str(os.getuid()), "group": str(os.getgid())}
    file |= {"mode": "0644", "compile": ["compile", "{path}", "{product}"], "product": made}
    transact(files=[file])
    assert pathlib.Path(made).read_text() == "compiled m4\n"
    assert transact(files=[file])["changed"] is False


@pytest.mark.parametrize("attribute", ["enabled", "active"])
def test_a_service_that_is_down_or_disabled_is_brought_up(transact, system, attribute):
    transact()
    setattr(system, attribute, False)
    assert transact()["changed"]
    assert getattr(system, attribute)


def test_a_table_that_was_never_compiled_is_compiled(transact, live):
    transact()
    (live / "table.db").unlink()
    assert transact()["changed"]
    assert content(live) == AFTER


@pytest.mark.parametrize("later", [0, 3000])
def test_a_table_that_is_older_than_its_text_is_compiled_once_whatever_the_clock_says(transact, live, later):
    transact()
    os.utime(live / "table.db", (100, 100))
    os.utime(live / "table", (time.time() + later,) * 2)
    foreseen, *results = transact(check_mode=True), transact(), transact()
    assert [result["state"] for result in results] == ["confirmed", "unchanged"]
    assert foreseen["diff"] == results[0]["diff"] == [{"prepared": f"{live}/table compiled anew\n"}]
    assert (live / "table.db").stat().st_mtime_ns >= (live / "table").stat().st_mtime_ns
    os.utime(live / "table", ns=(time.time_ns(),) * 2)
    assert [transact()["changed"] for _run in range(2)] == [True, False]


def test_what_is_compiled_gets_the_mode_that_is_asked_for_once(transact, live):
    table = {"path": str(live / "table"), "content": "a b\n", "owner": str(os.getuid()), "group": str(os.getgid())}
    table = {**table, "mode": "0644", "compile": ["compile", "{path}"], "product": None}
    assert transact(files=[table])["state"] == "confirmed"
    assert (live / "table.db").stat().st_mode & 0o777 == 0o644
    strict = {**table, "product_mode": "0600"}
    assert [transact(files=[strict])["state"] for _run in range(2)] == ["confirmed", "unchanged"]
    assert (live / "table.db").stat().st_mode & 0o777 == 0o600


def test_not_even_through_a_link_is_anything_written_before_it_has_passed(transact, live, system):
    (live / "main.cf").rename(live / "real")
    (live / "main.cf").symlink_to(live / "real")
    system.broken = lambda argv: argv[0] == "checker"
    with pytest.raises(UserError, match="nothing was changed"):
        transact()
    assert (live / "real").read_text() == OLD


def test_a_change_does_not_remove_the_stage_of_a_run_in_check_mode(transact, system, tmp_path):
    transact()
    stages = []

    def checked(argv):
        if argv[0] == "checker":
            Store(str(tmp_path / "state")).tidy()
            stages.append(os.path.isdir(argv[1]))
        return False

    system.broken = checked
    assert transact(check_mode=True, content="other\n")["state"] == "pending"
    assert stages == [True]
    assert not list((tmp_path / "state").glob("stage-*"))


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_was_not_copied_for_the_check_is_named_whatever_comes_of_it(transact, live, system, check_mode):
    os.mkfifo(live / "fifo")
    said = f"{live}/fifo is a FIFO, not a regular file, and is not among the files that are checked"
    assert transact(check_mode=check_mode)["warnings"] == [said]
    system.broken = lambda argv: argv[0] == "checker"
    with pytest.raises(UserError, match="nothing was changed") as raised:
        transact(check_mode=check_mode, content="other\n")
    assert raised.value.result["warnings"] == [said]


def test_not_even_a_link_that_leads_nowhere_takes_what_is_compiled_out_of_the_stage(transact, live, tmp_path, system):
    (live / "table.db").symlink_to(tmp_path / "made")
    system.broken = lambda argv: argv[0] == "checker"
    with pytest.raises(UserError, match="nothing was changed"):
        transact()
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("beyond", ["below", "elsewhere"])
def test_not_even_a_link_to_a_directory_takes_a_file_out_of_the_stage(transact, live, tmp_path, beyond):
    # a file that is not below the directory that is staged has its whole path in the stage
    path = {"below": live / "sub" / "file", "elsewhere": tmp_path / "other" / "file"}[beyond]
    first = {"below": "sub", "elsewhere": str(tmp_path).split("/")[1]}[beyond]
    (tmp_path / "far").mkdir()
    (live / first).symlink_to(tmp_path / "far")
    file = {"path": str(path), "content": NEW, "owner": str(os.getuid()), "group": str(os.getgid()), "mode": "0644"}
    transact(check_mode=True, files=[{**file, "compile": [], "product": None}])
    assert list((tmp_path / "far").iterdir()) == []


@pytest.mark.parametrize("program", ["checker", "compile"])
def test_what_does_not_pass_in_the_stage_never_goes_live(transact, live, system, program):
    system.broken = lambda argv: argv[0] == program
    with pytest.raises(UserError, match="nothing was changed") as caught:
        transact()
    assert content(live) == BEFORE
    assert system.told == []
    assert "stage" not in str(caught.value)


def test_the_stage_has_the_new_files_among_the_others(transact, system):
    seen = {}

    def look(argv):
        if argv[0] == "checker":
            seen.update(content(pathlib.Path(argv[1])))
        return False

    system.broken = look
    transact()
    assert seen == AFTER


def test_what_is_no_file_beside_the_files_is_in_nobody_s_way(transact, live, system):
    os.mkfifo(live / "fifo")
    (live / "gone").symlink_to("nowhere")
    seen = []
    system.broken = lambda argv: argv[0] == "checker" and seen.extend(os.listdir(argv[1]))
    assert transact()["state"] == "confirmed"
    assert ("gone" in seen, "fifo" in seen) == (True, False)


# What is in the place of a file that is to be changed, and what is said of it.
IN_PLACE = {
    "a FIFO": (os.mkfifo, "is a FIFO, not a regular file"),
    "a directory": (os.mkdir, "is a directory, not a regular file"),
    "a dangling link": (lambda path: path.symlink_to("gone"), "is a link to .*gone, which does not exist"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
}


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize(("make", "said"), IN_PLACE.values(), ids=IN_PLACE)
def test_what_cannot_be_replaced_is_named_before_anything_is_changed(transact, live, system, make, said, check_mode):
    (live / "main.cf").unlink()
    make(live / "main.cf")
    with pytest.raises((UserError, OSError), match=said):
        transact(check_mode)
    assert sorted(os.listdir(live)) == ["main.cf", "master.cf"]
    assert not [argv for argv in system.ran if argv[0] in ("start", "reload", "systemd-run", "checker")]


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_a_change_needs_in_the_directory_of_state_counts(transact, live, monkeypatch, check_mode):
    """The files themselves would have room."""
    real = os.statvfs

    def statvfs(path):
        found = list(real(path))
        found[1], found[3:5] = 1, [500_000, 500_000]  # octets of a block, and blocks that are free
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "statvfs", statvfs)
    with pytest.raises(
        UserError, match=r" has no room: \d+ octets are needed, and 500000 are free. Nothing was changed"
    ):
        transact(check_mode)
    assert content(live) == BEFORE


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_mount_point_is_named_before_anything_is_changed(transact, live, system, tmp_path, monkeypatch, check_mode):
    (live / "table").write_text("by hand\n")
    (tmp_path / "mounts").write_text(f"1 2 3:4 / {live}/table rw - ext4 x rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", str(tmp_path / "mounts"))
    with pytest.raises(UserError, match=r"table is a mount point.*Nothing was changed"):
        transact(check_mode, confirm_timeout=600)
    assert (live / "main.cf").read_text() == OLD
    assert not [argv for argv in system.ran if argv[0] in ("start", "reload", "systemd-run", "checker")]


def test_who_holds_a_lock_on_the_directory_of_a_table_is_in_nobody_s_way(transact, live):
    """Any user can open /etc, and lock it."""
    aliases = {"path": str(live / "aliases"), "strategy": "merge", "compiled": None, "rebuild": []}
    handle = os.open(live, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert transact(aliases={**aliases, "entries": {"postmaster": "alice"}})["state"] == "confirmed"
    os.close(handle)


def test_a_failed_activation_brings_the_old_files_back_and_says_why(transact, live, system):
    failures = iter([True, False])
    system.broken = lambda argv: argv[0] in ("start", "reload") and next(failures)
    with pytest.raises(UserError) as caught:
        transact()
    assert content(live) == BEFORE
    assert "the old one is back" in str(caught.value)
    assert "fatal: no working restriction" in str(caught.value)
    assert caught.value.result["state"] == "rolled_back"
    assert system.told == ["start", "start"]


def test_a_service_that_does_not_answer_brings_the_old_files_back(transact, live):
    nobody = [{"address": "127.0.0.1", "port": 1, "greeting": "^220"}]
    with pytest.raises(UserError, match=r"127\.0\.0\.1 port 1 does not answer"):
        transact(answers=nobody)
    assert content(live) == BEFORE


def test_one_answer_of_an_old_process_confirms_nothing(transact, live, serve):
    old = iter([Mail])

    def process():
        mail = next(old, None)
        return Server(mail()) if mail else Dead()

    port = serve(process)
    with pytest.raises(UserError, match="does not answer"):
        transact(answers=[{"address": "127.0.0.1", "port": port, "greeting": "^220"}], timeout=1.5)
    assert content(live) == BEFORE


def test_a_service_that_answers_confirms(transact, live, serve):
    port = serve(lambda: Server(Mail()))
    transact(answers=[{"address": "127.0.0.1", "port": port, "greeting": "^220"}], timeout=5.0)
    assert content(live) == AFTER


@pytest.mark.parametrize("failing", ["main.cf", "table", "table.db"])
def test_a_disk_that_fails_in_the_middle_of_the_swap_brings_everything_back(transact, live, failing, monkeypatch):
    rename = os.rename

    def fails_once(source, target):
        if target == str(live / failing):
            monkeypatch.setattr(os, "rename", rename)
            raise OSError(28, "No space left on device", target)
        rename(source, target)

    monkeypatch.setattr(os, "rename", fails_once)
    with pytest.raises(UserError, match="No space left on device"):
        transact()
    assert content(live) == BEFORE


def test_mail_that_nobody_took_is_offered_by_every_run_and_named_until_it_is_gone(transact, serve, tmp_path):
    saved = Saved(Host(), str(tmp_path / "state" / "queue"))
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "queue").mkdir()
    mail = Mail()
    ports = (serve(lambda: Server(Refusing())), serve(lambda: Server(mail)))
    refuses, takes = ([{"address": "127.0.0.1", "port": port, "greeting": "^220"}] for port in ports)
    transact(answers=takes, timeout=5.0)
    saved.write(Queued("postfix", "q1", "", ("postmaster@example.org",), b"x\n"))
    (path,) = saved.paths()
    why = {path: "postmaster@example.org: 451 4.3.0 not now"}
    found = []
    for answers, check_mode in ((refuses, False), (refuses, False), (takes, True), (takes, False), (takes, False)):
        result = transact(check_mode, answers=answers)
        found.append((result["state"], result["changed"], result["kept"], len(result["warnings"]), len(mail.messages)))
    assert found == [
        ("unchanged", False, why, 1, 0),
        ("unchanged", False, why, 1, 0),
        ("unchanged", False, {path: "the next run that is not in check mode tries it again"}, 1, 0),
        ("unchanged", True, {}, 0, 1),
        ("unchanged", False, {}, 0, 1),
    ]


def test_mail_that_only_another_mta_can_read_is_named_by_every_run(transact, tmp_path):
    transact()
    archive = tmp_path / "state" / "queue.unread" / "sendmail.q1.tar"
    archive.parent.mkdir()
    archive.touch()
    result = transact()
    assert (result["changed"], result["warnings"]) == (
        False,
        [f"mail that could not be read is kept in {archive}: only sendmail can read it"],
    )


def test_check_mode_says_what_it_would_do_and_does_nothing(transact, live, system, tmp_path):
    result = transact(check_mode=True)
    assert (result["changed"], result["state"]) == (True, "pending")
    assert [(diff["before"], diff["after"]) for diff in result["diff"]] == [(OLD, NEW), ("", "a b\n")]
    assert content(live) == BEFORE
    assert system.told == []
    assert not (tmp_path / "state").exists()


def test_check_mode_is_clean_where_there_is_no_mta_yet(transact, live, system):
    system.enabled = system.active = False
    for path in live.iterdir():
        path.unlink()
    live.rmdir()
    assert transact(check_mode=True, check=[["no-such-checker", "{stage}"]])["changed"]
    assert not live.exists()


def test_check_mode_shows_a_configuration_that_the_mta_refuses(transact, system):
    system.broken = lambda argv: argv[0] == "checker"
    with pytest.raises(UserError, match="nothing was changed"):
        transact(check_mode=True)


def test_a_link_is_kept_and_its_target_written(transact, live):
    (live / "real").write_text(OLD)
    (live / "main.cf").unlink()
    (live / "main.cf").symlink_to(live / "real")
    transact()
    assert (live / "main.cf").is_symlink()
    assert (live / "real").read_text() == NEW


def test_a_table_that_is_a_link_is_compiled_once(transact, live, tmp_path):
    (tmp_path / "far").write_text("x\n")
    (live / "table").symlink_to(tmp_path / "far")
    assert [transact()["state"] for _number in range(2)] == ["confirmed", "unchanged"]
    assert (live / "table.db").read_text() == "compiled a b\n"


def test_what_was_rolled_back_first_is_told_where_the_change_fails_then(transact, system):
    first = transact(confirm_timeout=600)["transaction"]
    system.broken = lambda argv: argv[0] == "checker"
    with pytest.raises(UserError) as caught:
        transact(content="banner = b\n")
    assert caught.value.result["warnings"] == [
        f"transaction {first} of this host was not finished; it was rolled back first"
    ]


def test_the_mode_is_compared_and_set(transact, live):
    transact()
    (live / "main.cf").chmod(0o600)
    assert transact()["changed"]
    assert (live / "main.cf").stat().st_mode & 0o777 == 0o644


def test_the_journal_keeps_the_old_files_and_how_it_ended(transact, tmp_path):
    identity = transact()["transaction"]
    journal = Journal.load((tmp_path / "state" / "transactions" / f"{identity}.confirmed.json").read_bytes())
    assert {os.path.basename(path): bool(image) for path, image in journal.images.items()} == {
        "main.cf": True,
        "table": False,
        "table.db": False,
    }


CLOCKS = {"clock goes": 1, "one second": 0, "clock goes back": -1, "clock goes back far": -100000000}


@pytest.mark.parametrize("seconds", CLOCKS.values(), ids=CLOCKS)
def test_the_last_five_journals_are_kept_whatever_the_clock_says(transact, tmp_path, monkeypatch, seconds):
    clock = itertools.count(time.time(), seconds)
    monkeypatch.setattr(time, "time", lambda: next(clock))
    made = [transact(content=f"number = {number}\n")["transaction"] for number in range(8)]
    kept = {path.name for path in (tmp_path / "state" / "transactions").iterdir()}
    assert kept == {f"{name}.confirmed.json" for name in made[-5:]}


def test_two_transactions_at_once_are_refused(transact, tmp_path):
    with lock(str(tmp_path / "state")), pytest.raises(UserError, match="another transaction"):
        transact()


def test_an_owner_that_does_not_exist_is_named(live):
    file = {"path": str(live / "x"), "content": "", "owner": "nobody-such", "group": "0", "mode": "0644"}
    with pytest.raises(UserError, match="owner: there is no owner 'nobody-such'"):
        files.change(file)
