# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module brings table and compiled table to what is wanted, tells the truth about it, or leaves both alone."""

from __future__ import annotations

import errno
import fcntl
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import host as system
from ansible_collections.mailops.postmaster.plugins.module_utils._system import lock as host_lock
from ansible_collections.mailops.postmaster.plugins.module_utils._system import mounts, trust
from ansible_collections.mailops.postmaster.plugins.module_utils._system.lock import lock
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases import apply as applying
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases import compile as compiling
from ansible_collections.mailops.postmaster.plugins.modules import mail_aliases

TABLE = "# The people\nalice-s: alice\n\npostmaster:\troot  \nroot: alice,\n# and\n  bob\n"
RETURNED = ("changed", "path", "entries", "rebuilt", "diff")


@pytest.fixture
def host(tmp_path, monkeypatch):
    return FakeHost(tmp_path, monkeypatch)


class FakeHost:
    """A directory with an aliases table, and a ``newaliases`` that writes down how often it ran.

    It compiles the ``$text`` that it is told of, as Postfix's and Sendmail's do.
    """

    def __init__(self, folder, monkeypatch):
        self.path = folder / "aliases"
        self.table = folder / "aliases.db"
        self.runs = folder / "runs"
        self.command = folder / "bin" / "newaliases"
        self.state_dir = str(folder / "bin" / "state")
        self.command.parent.mkdir()
        self.newaliases("cp $text $text.db")
        monkeypatch.setattr(system, "PATH", f"{self.command.parent}:/usr/bin:/bin")

    def newaliases(self, script):
        self.command.write_text(f"#!/bin/sh\ntext=${{1#-oA}}\necho x >> {self.runs}\n{script}\n")
        self.command.chmod(0o755)

    def write(self, text, table=True, age=100):
        self.path.write_bytes(text.encode("utf-8", "surrogateescape"))
        os.utime(self.path, (age, age))
        if table:
            self.table.write_text("old")

    @property
    def count(self):
        return len(self.runs.read_text().split()) if self.runs.exists() else 0

    def state(self):
        files = {
            path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (self.path, self.table) if path.exists()
        }
        return files, sorted(self.path.parent.iterdir())


def run(run_module, host, entries, check=False, **params):
    return run_module(
        mail_aliases,
        {"path": str(host.path), "entries": entries, "state_dir": host.state_dir, **params},
        check=check,
        diff=True,
    )


def test_an_entry_is_changed_and_the_table_compiled_once(run_module, host):
    host.write(TABLE)
    result = run(
        run_module, host, {"Postmaster": ["alice", "bob@b.example"], "abuse": "postmaster", "alice-s": "alice"}
    )
    after = TABLE.replace("\troot  ", "\talice, bob@b.example") + "abuse: postmaster\n"
    assert host.path.read_text() == host.table.read_text() == after
    assert result["changed"]
    assert result["rebuilt"]
    assert result["path"] == str(host.path)
    assert result["entries"] == {
        "postmaster": {"state": "changed"},
        "abuse": {"state": "added"},
        "alice-s": {"state": "present"},
    }
    texts, compiled = result["diff"]
    assert (texts["before"], texts["after"]) == (TABLE, after)
    assert compiled == {"prepared": f"{host.path} compiled anew by newaliases\n"}
    assert host.count == 1


def test_a_second_run_changes_nothing_and_compiles_nothing(run_module, host):
    host.write(TABLE)
    run(run_module, host, {"postmaster": "alice"})
    before = host.state()
    result = run(run_module, host, {"postmaster": ["alice"]})
    assert not result["changed"]
    assert not result["rebuilt"]
    assert result["diff"] == []
    assert host.state() == before
    assert host.count == 1


def test_check_mode_says_what_the_run_then_does(run_module, host):
    host.write(TABLE)
    before = host.state()
    entries = {"postmaster": "alice", "new": "|/bin/x y", "alice-s": []}
    foreseen = run(run_module, host, entries, check=True)
    assert host.state() == before
    assert host.count == 0
    result = run(run_module, host, entries)
    assert {key: result[key] for key in RETURNED} == {key: foreseen[key] for key in RETURNED}


def test_check_mode_on_a_host_without_an_mta_is_clean(run_module, host):
    host.command.unlink()
    for rebuild in ({}, {"rebuild": ["newaliases"]}):
        result = run(run_module, host, {"postmaster": "alice"}, check=True, **rebuild)
        assert result["changed"]
        assert not result["failed"]
        assert result["diff"][0]["after"] == "postmaster: alice\n"
        assert not host.path.exists()


def test_no_entries_make_no_table(run_module, host):
    result = run(run_module, host, {"postmaster": []}, rebuild=["newaliases"])
    assert not result["changed"]
    assert result["entries"] == {"postmaster": {"state": "absent"}}
    assert not host.path.exists()


# What is there: the table's age against its source (None: no table), the options; whether it is then compiled.
STALE = {
    "older than its source": (-1, {}, True),
    "as old as its source": (0, {}, False),
    "newer than its source": (1, {}, False),
    "not there, and nothing said": (None, {}, False),
    "not there, with a command": (None, {"rebuild": ["newaliases"]}, True),
    "not there, and named": (None, {"compiled": ["{table}"]}, True),
    "older, and the text is read itself": (-1, {"rebuild": []}, False),
    "older, and another one is named": (-1, {"compiled": ["{path}"]}, False),
    "no file, with a command that makes none": (None, {"compiled": [], "rebuild": ["newaliases"]}, False),
}


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(("age", "params", "compiled"), STALE.values(), ids=STALE)
def test_the_table_is_compiled_when_it_is_stale_and_only_then(run_module, host, age, params, compiled, check):
    host.write(TABLE, table=age is not None)
    if age is not None:
        os.utime(host.table, (100 + age, 100 + age))
    options = {
        name: [word.format(table=host.table, path=host.path) for word in words] for name, words in params.items()
    }
    result = run(run_module, host, {"postmaster": "root"}, check=check, **options)
    assert result["changed"] is result["rebuilt"] is compiled
    assert host.count == (compiled and not check)
    assert host.path.read_text() == TABLE


# When the text and the table were written, in seconds from now; whether the table is then compiled, once.
TIMES = {
    "the text is of a time to come": (3000, 0, True),
    "the text is of a later time to come": (3000, 2000, True),
    "both are of the same time to come": (3000, 3000, True),
    "the text was edited just now": (0, -10, True),
    "the table was made just now": (-10, 0, False),
    "the table is of a time to come, and the text is older": (-10, 3000, True),
    "the table is of a time to come, and the text of an earlier one": (2000, 3000, True),
}


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(("text", "table", "compiled"), TIMES.values(), ids=TIMES)
def test_after_one_run_no_table_is_compiled_anew_whatever_the_clock_said(
    run_module, host, text, table, compiled, in_place
):
    host.write(TABLE)
    now = int(time.time()) - 1
    os.utime(host.path, (now + text, now + text))
    os.utime(host.table, (now + table, now + table))
    if in_place:
        host.newaliases(f"cp {host.path} {host.table}")
    params = {"rebuild": [str(host.command)]} if in_place else {}
    runs = [run(run_module, host, {"postmaster": "root"}, **params) for _run in range(2)]
    assert [found["changed"] for found in runs] == [found["rebuilt"] for found in runs] == [compiled, False]
    # as Postfix, Sendmail and make want it
    assert host.table.stat().st_mtime_ns >= host.path.stat().st_mtime_ns
    os.utime(host.path, ns=(time.time_ns(),) * 2)
    assert run(run_module, host, {"postmaster": "root"}, **params)["rebuilt"], "it was edited just now"


def test_the_tables_are_looked_for_once(run_module, host, monkeypatch):
    host.write(TABLE)
    tables, looks = compiling.Compiler.tables, []
    monkeypatch.setattr(compiling.Compiler, "tables", lambda self: looks.append(self) or tables(self))
    assert not run(run_module, host, {"postmaster": "root"}, compiled_mode="0644")["changed"]
    assert len(looks) == 1


def test_of_two_tables_beside_the_source_the_newest_is_in_use(run_module, host):
    host.write(TABLE)
    (host.path.parent / "aliases.cdb").write_text("of another type, and long forgotten")
    os.utime(host.path.parent / "aliases.cdb", (1, 1))
    assert not run(run_module, host, {"postmaster": "root"})["changed"]


def test_a_command_that_makes_no_file_runs_when_the_text_changed(run_module, host):
    host.newaliases("")
    host.write(TABLE, table=False)
    params = {"compiled": [], "rebuild": [str(host.command)]}
    assert run(run_module, host, {"postmaster": "alice"}, **params)["rebuilt"]
    assert not run(run_module, host, {"postmaster": "alice"}, **params)["rebuilt"]
    assert host.count == 1


FAILURES = {
    "the command fails": (
        "echo $text: line 1: what is this >&2; echo broken > $text.db; exit 75",
        {},
        "`newaliases -oA{path}` failed: {path}: line 1",
    ),
    "the command is missing": (None, {}, "`newaliases -oA{path}` failed: newaliases: not found"),
    "the command makes another table": (
        "touch $text.cdb",
        {"compiled": ["{table}"]},
        "`newaliases -oA{path}` did not make {table}; name what it makes in 'compiled'",
    ),
}


@pytest.mark.parametrize(("script", "params", "message"), FAILURES.values(), ids=FAILURES)
def test_where_compiling_fails_nothing_is_changed(run_module, host, script, params, message):
    host.write(TABLE)
    host.path.chmod(0o640)
    os.utime(host.table, (50, 50))
    before = host.state()[0]
    names = {"table": host.table, "path": host.path}
    if script is None:
        host.command.unlink()
    else:
        host.newaliases(script.format(**names))
    result = run(
        run_module, host, {"postmaster": "alice"}, **{k: [w.format(**names) for w in v] for k, v in params.items()}
    )
    assert result["failed"]
    assert message.format(**names) in result["msg"]
    assert result["msg"].endswith(f"; {host.path} was not changed")
    assert host.state()[0] == before
    assert host.path.stat().st_mode & 0o777 == 0o640
    assert not [path for path in host.path.parent.iterdir() if path.name.startswith(".")]


def test_a_new_table_that_cannot_be_compiled_is_taken_away(run_module, host):
    host.newaliases("exit 1")
    assert run(run_module, host, {"postmaster": "alice"}, rebuild=["newaliases"])["failed"]
    assert not host.path.exists()


def test_a_command_that_makes_no_table_is_reported_with_the_cure(run_module, host):
    host.newaliases("")
    host.write(TABLE, table=False)
    result = run(run_module, host, {"postmaster": "root"}, rebuild=["newaliases"])
    assert result["failed"]
    assert "'rebuild' be an empty list where the MTA reads the text itself" in result["msg"]


# A command that knows of no copy, and compiles {path} in its place.
IN_PLACE = {
    "it fails": (
        "echo line 1: what is this >&2; echo broken > {table}; exit 75",
        "`{command}` failed: line 1: what is this; the old {path} was put back",
        2,
    ),
    "it makes another table": (
        "touch {path}.other",
        "`{command}` ended well, and {table} is missing or still older than {path};",
        2,
    ),
    "it does not end": (
        "exec sleep 60",
        "`{command}` did not end within 0.5 s; the old {path} was put back, and was not compiled",
        1,
    ),
}


@pytest.mark.parametrize(("script", "message", "count"), IN_PLACE.values(), ids=IN_PLACE)
def test_where_a_command_fails_in_place_the_old_text_comes_back(run_module, host, monkeypatch, script, message, count):
    """And is compiled, for the table may be broken; but what did not end is not begun again."""
    monkeypatch.setattr(compiling, "TIMEOUT", 0.5)
    host.write(TABLE)
    os.utime(host.table, (50, 50))
    names = {"table": host.table, "path": host.path, "command": host.command}
    host.newaliases(script.format(**names))
    result = run(run_module, host, {"postmaster": "alice"}, rebuild=[str(host.command)])
    assert result["failed"]
    assert message.format(**names) in result["msg"]
    assert (host.path.read_text(), host.count) == (TABLE, count)


@pytest.mark.parametrize("fails", ["the command in place", "the compiled table"])
def test_where_the_table_is_a_link_its_target_comes_back_and_the_link_stays(run_module, host, monkeypatch, fails):
    host.write(TABLE)
    host.path.rename(host.path.with_name("real"))
    host.path.symlink_to("real")
    if fails == "the command in place":
        host.newaliases("exit 75")
        changes = {"rebuild": [str(host.command)]}
    else:
        changes = {}
        monkeypatch.setattr(applying, "write_copy", fail)
    result = run(run_module, host, {"postmaster": "alice"}, **changes)
    assert result["failed"]
    assert (os.readlink(host.path), host.path.with_name("real").read_text()) == ("real", TABLE)


def fail(*_given):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_after_a_failure_in_place_the_old_text_is_compiled(run_module, host):
    host.newaliases(f"grep -q alice-x {host.path} && exit 1; cp {host.path} {host.table}")
    host.write(TABLE)
    assert run(run_module, host, {"postmaster": "alice-x"}, rebuild=[str(host.command)])["failed"]
    assert host.path.read_text() == host.table.read_text() == TABLE


# What a compiler locks, in either way: that which it writes, and that which it reads.
LOCKING = """exec python3 -c '
import fcntl, pathlib, sys
for path in sys.argv[1], sys.argv[1] + ".db":
    for lock in fcntl.lockf, fcntl.flock:
        lock(open(path, "ab"), fcntl.LOCK_EX)
pathlib.Path(sys.argv[1] + ".db").write_bytes(pathlib.Path(sys.argv[1]).read_bytes())
' "$text"
"""
# A process of its own: a lock of fcntl(2) ends when its process closes the file, however often that has it open.
HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "rb")
getattr(fcntl, sys.argv[2])(file, getattr(fcntl, sys.argv[3]))
print(flush=True)
sys.stdin.read()
"""
HELD = {
    "the compiled table, by fcntl": ("table", "lockf", "LOCK_SH"),
    "the compiled table, by flock": ("table", "flock", "LOCK_SH"),
    "the compiled table, by flock, alone": ("table", "flock", "LOCK_EX"),
    "the text, by fcntl": ("path", "lockf", "LOCK_SH"),
    "the text, by flock": ("path", "flock", "LOCK_SH"),
    "the text, by flock, alone": ("path", "flock", "LOCK_EX"),
}


@pytest.mark.parametrize(("what", "lock", "how"), HELD.values(), ids=HELD)
def test_who_holds_a_lock_on_what_everybody_may_read_does_not_hold_up_the_compiler(
    run_module, host, monkeypatch, what, lock, how
):
    monkeypatch.setattr(compiling, "TIMEOUT", 10)
    host.write(TABLE)
    os.utime(host.table, (50, 50))
    host.newaliases(LOCKING)
    words = [sys.executable, "-c", HOLDER, getattr(host, what), lock, how]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"\n"
        assert run(run_module, host, {"postmaster": "root"}, rebuild=["newaliases"]).get("rebuilt")
        assert host.table.read_text() == TABLE
        assert run(run_module, host, {"postmaster": "alice"}).get("rebuilt")
        holder.stdin.close()
    assert host.table.read_text() == host.path.read_text() != TABLE


# What else the host has: programs, by name, and what is asked to compile the text "aliases" as which table.
SYSTEMS = {
    "Sendmail": ({}, "newaliases -oAaliases"),
    "Postfix": ({"postconf": "echo hash:/etc/lists, btree:{path}"}, "newaliases -oAbtree:aliases"),
    "Postfix, with another table": ({"postconf": "echo hash:{path}.d"}, "newaliases -oAaliases"),
    "Postfix, without a type": ({"postconf": "echo {path}"}, "newaliases -oAaliases"),
    "OpenSMTPD": (
        {"smtpctl": "", "makemap": 'echo makemap "$@" > {path}.said; cp $5 $4'},
        "makemap -t aliases -o aliases.db aliases",
    ),
}


@pytest.mark.parametrize(("programs", "wanted"), SYSTEMS.values(), ids=SYSTEMS)
def test_a_copy_is_compiled_by_what_the_mta_has_for_that(run_module, host, programs, wanted):
    host.newaliases(f'echo newaliases "$@" > {host.path}.said; cp ${{text#*:}} ${{text#*:}}.db')
    for name, script in programs.items():
        (host.command.parent / name).write_text(f"#!/bin/sh\n{script.format(path=host.path)}\n")
        (host.command.parent / name).chmod(0o755)
    host.write(TABLE)
    assert run(run_module, host, {"postmaster": "alice"}, rebuild=["newaliases"])["rebuilt"]
    said = host.path.with_name("aliases.said").read_text()
    assert re.sub(rf"{host.state_dir}/stage-\w+/", "", said) == f"{wanted}\n"
    assert host.table.read_text() == host.path.read_text() != TABLE


def test_a_command_with_the_place_of_the_text_in_it_gets_a_copy(run_module, host):
    host.write(TABLE)
    command = ["sh", "-c", 'cp "$1" "$2"', "compile", "{path}", "{product}"]
    result = run(run_module, host, {"postmaster": "alice"}, rebuild=command)
    assert host.table.read_text() == host.path.read_text() != TABLE
    assert result["diff"][-1] == {"prepared": f"{host.path} compiled anew by compile {{path}} {{product}}\n"}


def test_a_compiled_table_keeps_its_mode_and_a_new_one_is_for_no_more_than_text_and_command_say(run_module, host):
    host.write(TABLE, table=False)
    host.path.chmod(0o640)
    assert run(run_module, host, {"postmaster": "alice"}, rebuild=["newaliases"])["rebuilt"]
    assert host.table.stat().st_mode & 0o777 == 0o640
    host.table.unlink()
    host.path.chmod(0o644)
    host.newaliases("cp $text $text.db; chmod 600 $text.db")
    assert run(run_module, host, {"postmaster": "bob"}, rebuild=["newaliases"])["rebuilt"]
    assert host.table.stat().st_mode & 0o777 == 0o600
    host.table.chmod(0o604)
    assert run(run_module, host, {"postmaster": "carol"})["rebuilt"]
    assert host.table.stat().st_mode & 0o777 == 0o604


def test_a_compiled_table_gets_the_mode_that_is_asked_for_once(run_module, host):
    host.write(TABLE)
    assert run(run_module, host, {"postmaster": "root"}, compiled_mode="0600")["rebuilt"]
    assert host.table.stat().st_mode & 0o777 == 0o600
    assert not run(run_module, host, {"postmaster": "root"}, compiled_mode="0600")["changed"]
    result = run(run_module, host, {"postmaster": "root"}, compiled_mode="rw")
    assert result["msg"] == "compiled_mode: 'rw' is not allowed; allowed: an octal number, as '0644'"


def test_what_a_killed_run_has_left_is_removed_by_the_next_one(run_module, host):
    host.write(TABLE)
    left = pathlib.Path(host.state_dir) / "stage-a_killed"
    left.mkdir(mode=0o700, parents=True)
    (left / "aliases").write_text("half")
    left.parent.chmod(0o700)
    assert run(run_module, host, {"postmaster": "alice"})["changed"]
    assert sorted(path.name for path in left.parent.iterdir()) == [".mailops-postmaster", "lock"]


def test_owner_mode_and_link_stay(run_module, host, tmp_path):
    host.write(TABLE)
    place = tmp_path / "etc"
    place.mkdir()
    host.path.rename(place / "real")
    (place / "real").chmod(0o640)
    host.path.symlink_to("etc/real")
    assert run(run_module, host, {"postmaster": "alice"})["changed"]
    assert host.path.is_symlink()
    assert (place / "real").stat().st_mode & 0o777 == 0o640
    assert "postmaster:\talice" in (place / "real").read_text()


def test_a_new_table_can_be_read_by_all(run_module, host):
    run(run_module, host, {"postmaster": "alice"})
    assert host.path.stat().st_mode & 0o777 == 0o644


def test_exact_removes_the_other_entries(run_module, host):
    host.write(TABLE)
    result = run(run_module, host, {"postmaster": "alice"}, strategy="exact")
    assert host.path.read_text() == "# The people\n\npostmaster:\talice\n# and\n"
    assert result["entries"] == {
        "postmaster": {"state": "changed"},
        "alice-s": {"state": "removed"},
        "root": {"state": "removed"},
    }


def test_bytes_that_are_no_text_survive(run_module, host):
    text = "# caf\udce9\nx\udcff: \udcfe\n"
    host.write(text)
    result = run(run_module, host, {"postmaster": "alice"})
    assert host.path.read_bytes() == text.encode("utf-8", "surrogateescape") + b"postmaster: alice\n"
    assert "\ufffd" in result["diff"][0]["before"]


LOOPS = {
    "among what is wanted": (
        {"postmaster": "abuse", "abuse": "postmaster"},
        "merge",
        "postmaster -> abuse -> postmaster",
    ),
    "through the table": ({"alice": "postmaster"}, "merge", "alice -> postmaster -> root -> alice"),
    "of the table alone, reached from what is wanted": ({"new": "x"}, "merge", "x -> y -> x"),
}


@pytest.mark.parametrize(("entries", "strategy", "loop"), LOOPS.values(), ids=LOOPS)
def test_a_loop_is_refused_with_the_whole_cycle(run_module, host, entries, strategy, loop):
    host.write(TABLE + "x: y\ny: x\n")
    before = host.state()
    result = run(run_module, host, entries, strategy=strategy)
    assert result["failed"]
    assert f": {loop}; nothing was changed" in result["msg"]
    assert host.state() == before


def test_a_loop_that_is_mended_by_the_change_is_none(run_module, host):
    host.write("a: b\nb: a\n")
    assert run(run_module, host, {"a": "alice"})["changed"]
    host.write("a: b\nb: a\n")
    assert run(run_module, host, {"a": "b"}, strategy="exact")["changed"]


MISTAKES = {
    "a line break": (
        {"postmaster": "alice\nroot: mallory"},
        r"entries\['postmaster'\]: 'alice\\nroot: mallory' .* line break",
    ),
    "a line break in a name": ({"post\nmaster": "alice"}, r"entries: 'post\\nmaster' .* line break"),
    "two targets in one": (
        {"a": "b, c"},
        r"entries\['a'\]: 'b, c' is 2 targets; allowed: one target, or a list of them",
    ),
    "an empty text": ({"a": ""}, r"entries\['a'\]: '' is 0 targets"),
    "a dictionary": ({"a": {"b": "c"}}, r"entries\['a'\]: \{'b': 'c'\} is not a target"),
    "a number": ({"a": [1001]}, r"entries\['a'\]: 1001 is not a target"),
    "an open quote": ({"a": '"b'}, r"entries\['a'\]: '\"b' is not a target: '\"' has no counterpart"),
    "all of them at once": ({"a": "", "b": 1}, r"entries\['a'\]: .*\nentries\['b'\]: "),
    "letter case only": ({"a": "x", "A": "y"}, r"entries: names that differ in letter case only: \['A', 'a'\]"),
}


@pytest.mark.parametrize(("entries", "message"), MISTAKES.values(), ids=MISTAKES)
def test_bad_input_is_named_with_its_value_before_anything_is_changed(run_module, host, entries, message):
    host.write(TABLE)
    before = host.state()
    result = run(run_module, host, entries)
    assert result["failed"]
    assert re.match(message, result["msg"])
    assert host.state() == before


def test_a_managed_entry_with_a_mistake_in_it_gets_its_targets(run_module, host):
    host.write('a: b\npostmaster: "al\n# c\n')
    assert run(run_module, host, {"postmaster": "alice"})["changed"]
    assert host.path.read_text() == "a: b\npostmaster: alice\n# c\n"


def test_a_line_that_is_not_managed_stays_whatever_it_says(run_module, host):
    host.write("a: b\nwhat is this\n")
    assert run(run_module, host, {"postmaster": "alice"})["changed"]
    assert host.path.read_text() == "a: b\nwhat is this\npostmaster: alice\n"


def test_who_holds_a_lock_on_the_directory_of_the_table_is_in_nobody_s_way(run_module, host):
    host.write(TABLE)
    handle = os.open(host.path.parent, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert run(run_module, host, {"postmaster": "alice"})["changed"]
    os.close(handle)


@pytest.mark.parametrize("check", [False, True])
def test_a_table_that_cannot_be_replaced_is_named_before_anything_is_changed(
    run_module, host, tmp_path, monkeypatch, check
):
    host.write(TABLE)
    (tmp_path / "bin" / "mounts").write_text(f"1 2 3:4 / {host.path} rw - ext4 x rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", str(tmp_path / "bin" / "mounts"))
    result = run(run_module, host, {"postmaster": "alice"}, check=check)
    assert result["msg"].startswith(f"{host.path} is a mount point")
    assert (host.path.read_text(), host.count) == (TABLE, 0)


@pytest.mark.parametrize("state_dir", [None, "given"])
def test_another_account_has_a_lock_of_its_own(run_module, host, tmp_path, monkeypatch, state_dir):
    """Which needs no right of root's."""
    home = tmp_path / "bin" / "home"
    monkeypatch.setattr(host_lock, "FOLDER", str(home / "of-root"))
    monkeypatch.setattr(host_lock.os, "geteuid", lambda: 12345)
    for module in (trust, host_lock):
        monkeypatch.setattr(module, "trusted", lambda: frozenset((0, os.getuid())))
    monkeypatch.setenv("HOME", str(home))
    host.write(TABLE)
    given = state_dir and str(home / state_dir)
    assert run(run_module, host, {"postmaster": "alice"}, state_dir=given)["changed"]
    made = home / (state_dir or ".local/state/mailops-postmaster")
    assert sorted(path.name for path in made.iterdir()) == [".mailops-postmaster", "lock"]


def test_two_edits_at_once_are_refused(run_module, host):
    host.write(TABLE)
    with lock(host.state_dir):
        result = run(run_module, host, {"postmaster": "alice"})
    assert "another transaction is under way" in result["msg"]
    assert host.path.read_text() == TABLE
