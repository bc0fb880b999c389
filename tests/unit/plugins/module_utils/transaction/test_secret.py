# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A secret file is seen by its owner and its group alone: in no diff, in no message, at no moment of a change."""

from __future__ import annotations

import os

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import files as disk
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from in_the_way import listed

SECRET = "tr0ub4dor&3"
OTHER = "c0rrecth0rse"
TEXT = f"relay user:{SECRET}\n"


@pytest.fixture
def secret(transact, live):
    """A transaction of a secret file and its table, and of one that is not."""

    def run(mode="0640", content=TEXT, more=(), **changes):
        owner = {"owner": str(os.getuid()), "group": str(os.getgid())}
        hidden = {
            "path": str(live / "passwords"),
            "content": content,
            "mode": mode,
            "secret": True,
            **owner,
            **dict(more),
        }
        public = {"path": str(live / "main.cf"), "content": "interfaces = all\n", **owner}
        return transact(
            files=[{"mode": "0644", "compile": [], "product": None, **file} for file in (hidden, public)], **changes
        )

    return run


@pytest.mark.parametrize("kind", ["access", "default"])
def test_no_access_list_gives_it_to_other_accounts(secret, live, kind):
    """Neither that of the file that it replaces nor what its directory gives to new files."""
    (live / "passwords").write_text("of before\n")
    listed({"access": live / "passwords", "default": live}[kind], kind=kind)
    secret(more={"compile": ["compile", "{path}"]})
    assert [os.listxattr(live / name) for name in ("passwords", "passwords.db")] == [[], []]
    assert ("system.posix_acl_access" in os.listxattr(live / "main.cf")) == (kind == "default")


def test_its_diff_names_it_and_shows_no_line(secret, live):
    (live / "passwords").write_text(f"relay user:{OTHER}\n")
    hidden, public = secret()["diff"]
    assert not [word for word in (SECRET, OTHER) if word in str(hidden)]
    assert hidden["before_header"] == str(live / "passwords")
    assert hidden["before"] != hidden["after"]
    assert (public["before"], public["after"]) == ("interfaces = loopback\n", "interfaces = all\n")


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ({"mode": "0644"}, "mode '0644'"),
        ({"mode": "0660"}, "mode '0660'"),
        ({"mode": "0750"}, "mode '0750'"),
        ({"mode": "4640"}, "mode '4640'"),
        ({"mode": "416"}, "mode '416'"),
        ({"mode": "rw"}, "mode 'rw'"),
        ({"mode": "0600", "product_mode": "0644"}, "product_mode '0644'"),
    ],
)
@pytest.mark.parametrize("check_mode", [False, True])
def test_a_mode_that_lets_others_read_it_changes_nothing(secret, live, system, tmp_path, more, wrong, check_mode):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as error:
        secret(more=more, check_mode=check_mode)
    assert str(error.value).startswith(
        f"files: {live}/passwords: the {wrong} is not allowed; allowed: 0640 or stricter"
    )
    assert (sorted(tmp_path.rglob("*")), system.ran) == (before, [])


@pytest.mark.parametrize("mode", ["0640", "0600", "0400", "0440"])
def test_what_is_compiled_from_it_is_as_strict(secret, live, mode):
    secret(mode=mode, more={"compile": ["compile", "{path}"]})
    made = live / "passwords.db"
    assert SECRET in made.read_text()
    assert made.stat().st_mode & ~int(mode, 8) & 0o777 == 0


def test_what_is_compiled_from_a_public_file_can_be_stricter(secret, live):
    secret(more={"secret": False, "mode": "0644", "compile": ["compile", "{path}"], "product_mode": "0600"})
    assert [(live / name).stat().st_mode & 0o777 for name in ("passwords", "passwords.db")] == [0o644, 0o600]


@pytest.mark.parametrize("program", ["checker", "start", "compile"])
def test_no_message_quotes_it(secret, live, system, program):
    (live / "passwords").write_text(f"relay user:{OTHER}\n")
    answer = system.run

    def quoting(argv, stdin="", timeout=30.0):
        if argv[0] == program:
            return Completed(tuple(argv), 1, f'line 1: "user:{SECRET}"', f"cut off: {SECRET[:7]} and {OTHER}")
        return answer(argv, stdin, timeout)

    system.run = quoting
    with pytest.raises(UserError) as error:
        secret(more={"compile": ["compile", "{path}"]})
    assert "********" in str(error.value)
    assert not [word for word in (SECRET, SECRET[:7], OTHER) if word in f"{error.value} {error.value.result}"]
    assert (live / "passwords").read_text() == f"relay user:{OTHER}\n"


def test_a_rollback_that_fails_does_not_quote_the_old_one(secret, live, system):
    (live / "passwords").write_text(f"relay user:{OTHER}\n")
    (live / "passwords").chmod(0o600)
    answer = system.run

    def quoting(argv, stdin="", timeout=30.0):
        return Completed(tuple(argv), 1, "", f"bad: {OTHER}") if argv[0] == "start" else answer(argv, stdin, timeout)

    system.run = quoting
    with pytest.raises(UserError) as error:
        secret()
    assert "does not answer either: `start mta` failed: bad: ********" in str(error.value)


def test_at_no_moment_can_others_read_it(secret, live, monkeypatch):
    """Not even where it takes the place of a file that everybody reads."""
    (live / "passwords").write_text("nothing yet\n")
    (live / "passwords").chmod(0o644)
    seen = []

    def watched(name, wanted):
        real = getattr(wanted, name)

        def look(*given, **named):
            done = real(*given, **named)
            for path in live.parent.rglob("*"):
                open_to_others = path.is_file() and path.stat().st_mode & 0o004
                # a directory above it that nobody else may enter is enough
                closed = any(
                    not above.stat().st_mode & 0o005
                    for above in path.parents
                    if above.is_relative_to(live.parent / "state")
                )
                if open_to_others and not closed and SECRET in path.read_text(errors="replace"):
                    seen.append((name, path))
            return done

        monkeypatch.setattr(wanted, name, look)

    for name in ("fchown", "fchmod", "utime", "setxattr", "rename", "replace", "fsync"):
        watched(name, disk.os)
    secret(content=TEXT * 1000, confirm_timeout=600)  # more than Python writes at once
    assert not seen
    assert (live / "passwords").read_text() == TEXT * 1000


def test_what_is_compiled_with_a_secret_is_new_when_the_secret_is(secret, live):
    """The file that is compiled itself has not changed."""
    made = {"compile": ["compile", "{path}"], "compile_with": [str(live / "main.cf")]}
    secret(more=made)
    (live / "main.cf").write_text("interfaces = loopback\n")
    (live / "passwords.db").write_text("compiled of what was before\n")
    secret(more=made)
    assert SECRET in (live / "passwords.db").read_text()
