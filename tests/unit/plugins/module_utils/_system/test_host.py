# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel and the system's files say of addresses, sockets and accounts."""

from __future__ import annotations

import contextlib
import os
import socket
import traceback

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import host, reader
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import (
    REMEMBERED,
    Host,
    local_ipv4,
    local_ipv6,
    not_a_person,
)

FIB_TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.0.0.0
        /24 link UNICAST
     |-- 10.0.0.7
        /32 host LOCAL
     |-- 10.0.0.255
        /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 169.254.1.1
        /32 host LOCAL
Local:
     |-- 10.0.0.7
        /32 host LOCAL
"""
IF_INET6 = """\
00000000000000000000000000000001 01 80 10 80       lo
20010db8000000000000000000000007 02 40 00 80     eth0
fe80000000000000020000fffe000001 02 40 20 80     eth0
"""


def test_the_global_addresses_are_found_without_loopback_and_link_local_ones():
    assert local_ipv4(FIB_TRIE.splitlines()) == ["10.0.0.7"]
    assert local_ipv6(IF_INET6.splitlines()) == ["2001:db8::7"]


def test_a_socket_of_this_process_is_found_with_its_program():
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = {(item.address, item.port): item.programs for item in Host().listeners()}
        assert os.path.basename(os.readlink("/proc/self/exe")) in found[server.getsockname()]


@pytest.mark.parametrize(
    ("name", "uid", "shell", "shadow", "why"),
    [
        ("alice", 1000, "/bin/bash", ("$y$hash", ""), ""),
        ("alice", 1000, "/bin/bash", ("!", ""), ""),
        ("alice", 1000, "/bin/bash", ("*", ""), ""),
        ("root", 0, "/bin/bash", ("*", ""), ""),
        ("alice", 1000, "/bin/bash", ("!$y$hash", ""), "a locked account"),
        ("alice", 1000, "/bin/bash", ("$y$hash", "1"), "an expired account"),
        ("alice", 1000, "/bin/bash", ("$y$hash", "99999999"), ""),
        ("alice", 1000, "/usr/sbin/nologin", ("", ""), "an account that cannot log in (shell /usr/sbin/nologin)"),
        ("daemon", 1, "/bin/bash", ("", ""), "a system account (uid 1)"),
    ],
)
def test_a_person_s_account_is_told_from_others(name, uid, shell, shadow, why):
    assert not_a_person(name, uid, shell, 1000, {name: shadow}) == why


def test_a_file_is_described_with_its_links_followed(tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("text")
    file.chmod(0o640)
    link.symlink_to(file)
    found = Host().stat(str(link))
    assert (found.mode, found.size, found.is_file, found.is_dir, found.is_link) == (0o640, 4, True, False, True)
    assert Host().stat(str(tmp_path / "gone")) is None
    assert Host().real_path(str(link)) == str(file.resolve())


def test_bytes_that_are_no_text_survive_reading(tmp_path):
    (tmp_path / "file").write_bytes(b"a\xffb\r\n")
    assert Host().read(str(tmp_path / "file")).encode("utf-8", "surrogateescape") == b"a\xffb\r\n"


def test_a_program_that_is_missing_or_slow_is_a_result():
    assert Host().run(["/no/such/program"]).rc == 127
    assert Host().run(["sleep", "10"], timeout=0.05).rc == 124
    assert Host().run(["cat"], stdin="text").out == "text"


def test_accounts_are_found_by_name_and_by_number():
    assert Host().account("root") == Host().account_of(0)
    assert Host().account("no such account") is None
    assert Host().account_of(4_000_000_000) is None


@pytest.mark.parametrize(
    ("mode", "owner", "seen"),
    [(0o640, 0, "a line\n"), (0o666, 0, ""), (0o640, 1, ""), (0o646, None, "a line\n")],
)
def test_a_log_counts_where_its_owner_alone_writes_it(tmp_path, mode, owner, seen):
    (tmp_path / "log").write_text("a line\n")
    (tmp_path / "log").chmod(mode)
    assert Host().tail(str(tmp_path / "log"), None if owner is None else {os.getuid() + owner}) == seen


def test_the_end_of_a_long_log_is_read_and_what_is_no_log_is_not(tmp_path):
    (tmp_path / "log").write_bytes(b"x" * 3_000_000 + b"end")
    (tmp_path / "link").symlink_to(tmp_path / "log")
    os.mkfifo(tmp_path / "fifo")
    found = {name: Host().tail(str(tmp_path / name)) for name in ("log", "link", "fifo", "none", ".")}
    assert (len(found["log"]), found.pop("log")[-4:]) == (1 << 20, "xend")
    assert set(found.values()) == {""}


@pytest.mark.parametrize("there", [True, False])
def test_a_file_of_others_is_read_once_for_all_addresses_that_lead_through_it(tmp_path, monkeypatch, there):
    path, reads = tmp_path / ".forward", []
    if there:
        path.write_text("alice\n")
    monkeypatch.setattr(host, "read_file", lambda *given, **how: reads.append(given) or reader.read(*given, **how))
    looking = Host()
    for _each in range(3):
        with contextlib.suppress(FileNotFoundError):
            assert looking.read_as(str(path), None, follow=True).text == "alice\n"
    assert len(reads) == 1


def test_only_the_last_few_files_of_others_are_remembered(tmp_path):
    looking = Host()
    for number in range(REMEMBERED + 1):
        (tmp_path / str(number)).write_text("one\n")
        looking.read_as(str(tmp_path / str(number)), None)
    (tmp_path / "0").write_text("two\n")
    assert looking.read_as(str(tmp_path / "0"), None).text == "two\n"


def test_what_is_remembered_of_a_file_that_is_not_there_does_not_grow(tmp_path):
    looking, lengths = Host(), []
    for _each in range(3):
        with pytest.raises(FileNotFoundError) as caught:
            looking.read_as(str(tmp_path / "missing"), None)
        lengths.append(len(list(traceback.walk_tb(caught.value.__traceback__))))
    assert lengths[2] <= lengths[1]
