# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else than root has a say on the way to a file, and what root then reads of it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Account, Host
from ansible_collections.mailops.postmaster.plugins.module_utils._system.mounter import NOBODY
from ansible_collections.mailops.postmaster.plugins.module_utils._system.owner import rights_at
from ansible_collections.mailops.postmaster.plugins.module_utils._system.reader import Rights, UnseenError
from ansible_collections.mailops.postmaster.plugins.module_utils._system.way import rights_on
from in_the_way import listed

ROOT = os.geteuid() == 0  # nobody else can give a file away, and nobody else has rights to lend
ALICE, LIST = 12345, 23456
HERS = Rights(ALICE, NOBODY)  # an account that is in no table has no group


@pytest.fixture
def top():
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def own(path, uid=ALICE, gid=ALICE):
    if ROOT:
        os.chown(path, uid, gid, follow_symlinks=False)


def folder(top, name, mode=0o755, uid=0, gid=0):
    (top / name).mkdir()
    (top / name).chmod(mode)
    (top / name / "file").write_text("text")
    own(top / name, uid, gid)


def hers(top):
    folder(top, "d", uid=ALICE, gid=ALICE)


def link(top, name, target, uid=0):
    (top / name).symlink_to(target)
    own(top / name, uid, uid)


WAYS = [
    (lambda top: folder(top, "d"), "d/file", None),
    (hers, "d/file", HERS),
    (lambda top: (folder(top, "d"), own(top / "d" / "file")), "d/file", HERS),
    (lambda top: folder(top, "d", 0o1777), "d/file", None),
    (lambda top: (folder(top, "d", 0o1777), link(top, "d/l", "file", ALICE)), "d/l", HERS),
    (lambda top: folder(top, "d", 0o777), "d/file", Rights(NOBODY, NOBODY)),
    (lambda top: folder(top, "d", 0o775, gid=LIST), "d/file", Rights(NOBODY, LIST)),
    (lambda top: folder(top, "d", 0o775), "d/file", None),
    (lambda top: (hers(top), link(top, "l", "d/file")), "l", HERS),
    (lambda top: (hers(top), link(top, "l", top / "d")), "l/file", HERS),
    (lambda top: (folder(top, "d"), link(top, "l", "d/file")), "l", None),
    (lambda top: (hers(top), folder(top, "d/e"), link(top, "l", "d/e")), "l/../file", HERS),
    (lambda top: (folder(top, "d"), folder(top, "e", uid=ALICE)), "e/../d/file", HERS),
    (hers, "d/missing", HERS),
    (lambda top: folder(top, "d"), "d/missing", None),
    (lambda top: folder(top, "d", 0o1777), "d/missing", Rights(NOBODY, NOBODY)),
    (lambda top: folder(top, "d", 0o1777), "d/missing/below", Rights(NOBODY, NOBODY)),
    (lambda top: folder(top, "d", 0o1775, gid=LIST), "d/missing", Rights(NOBODY, LIST)),
    (lambda top: folder(top, "d", 0o1775), "d/missing", None),
    (lambda top: (folder(top, "d", 0o1777), folder(top, "d/e")), "d/e/missing", None),
    (lambda top: (folder(top, "d", 0o1777), link(top, "l", "d/missing")), "l", Rights(NOBODY, NOBODY)),
    (hers, "d/\0", HERS),
    (lambda top: (folder(top, "d"), listed(top / "d")), "d/file", Rights(NOBODY, NOBODY)),
    (lambda top: (folder(top, "d", 0o1755), listed(top / "d")), "d/missing", Rights(NOBODY, NOBODY)),
    (lambda top: (folder(top, "d", 0o1755), listed(top / "d")), "d/file", None),
    (lambda top: (folder(top, "d"), listed(top / "d/file")), "d/file", None),
]
NOWHERE = [
    (lambda top: link(top, "l", "l"), "l", Rights(NOBODY, NOBODY)),
    (lambda top: folder(top, "d"), "d/\0", Rights(NOBODY, NOBODY)),
]


@pytest.mark.parametrize(("make", "path", "rights"), [*WAYS, *NOWHERE])
def test_whoever_can_exchange_a_file_lends_the_rights_to_read_it(top, make, path, rights):
    make(top)
    assert rights_on(f"{top}/{path}") == (rights if ROOT else None)


@pytest.mark.parametrize(("make", "path", "rights"), WAYS)
def test_the_account_that_root_works_as_is_the_one_that_lends_the_rights_to_read(top, make, path, rights):
    """But it also has the group of its directory there; who is not root is itself that account."""
    make(top)
    found = rights_at(f"{top}/{path}")
    assert (found and found.uid) == (rights and rights.uid if ROOT else os.geteuid())


def test_what_others_can_exchange_root_reads_with_their_rights(top):
    hers(top)
    (top / "secret").write_text("root alone")
    (top / "secret").chmod(0o600)
    link(top, "d/secret", top / "secret", ALICE)
    host = Host()
    assert host.read(f"{top}/d/file") == "text"
    assert host.read_as(f"{top}/d/file", None).text == "text"
    if ROOT:
        with pytest.raises(PermissionError):
            host.read(f"{top}/d/secret")
        with pytest.raises(UnseenError, match=f"in the hands of uid {ALICE}"):
            host.read_as(f"{top}/d/secret", None, follow=True)
    assert host.tail(f"{top}/d/secret") == ""
    assert host.tail(f"{top}/d/file") == "text"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.ENOTCONN])
def test_what_root_may_not_look_at_it_does_not_read_as_itself(top, monkeypatch, number):
    """A user mounts FUSE over her home while root asks whose it is, and takes it away before root opens the file."""
    (top / "secret").write_text("root alone")
    (top / "secret").chmod(0o600)
    folder(top, "d", uid=ALICE)
    link(top, "d/list", top / "secret", ALICE)
    real = os.lstat

    def lstat(path, **options):
        if str(path) == f"{top}/d":
            raise OSError(number, os.strerror(number), path)
        return real(path, **options)

    monkeypatch.setattr(os, "lstat", lstat)
    assert rights_on(f"{top}/d/list") == (Rights(NOBODY, NOBODY) if ROOT else None)
    if ROOT:
        with pytest.raises(UnseenError, match="in the hands of nobody"):
            Host().read_as(f"{top}/d/list", None, follow=True)
        with pytest.raises(OSError, match="list"):
            Host().read(f"{top}/d/list")
        assert Host().tail(f"{top}/d/list") == ""


def test_a_file_of_root_s_own_in_a_directory_of_others_is_read(top):
    hers(top)
    (top / "d" / "file").chmod(0o600)
    assert Host().read(f"{top}/d/file") == "text"
    os.link(top / "d" / "file", top / "d" / "second")
    if ROOT:  # it may come from anywhere
        with pytest.raises(PermissionError):
            Host().read(f"{top}/d/file")


def test_what_is_no_file_is_no_text(top):
    os.mkfifo(top / "fifo")
    with pytest.raises(OSError, match="it is a FIFO"):
        Host().read(str(top / "fifo"))
    assert Host().tail(str(top / "fifo")) == ""


def test_an_account_sees_what_it_may_see(top):
    folder(top, "d", 0o700)
    host, alice = Host(), Account("alice", ALICE, ALICE, str(top), "/bin/sh")
    assert host.stat_as(f"{top}/d", alice).is_dir
    assert host.stat_as(f"{top}/d/file", None).is_file
    assert (host.stat_as(f"{top}/d/file", alice) is None) == ROOT
    assert host.stat_as(f"{top}/\0", alice) is host.stat(f"{top}/\0") is None
    link(top, "l", "d/file", ALICE)
    assert host.stat_as(f"{top}/l", alice, follow=False).is_link


@pytest.mark.parametrize(
    ("mode", "uid", "right", "granted"),
    [
        (0o644, 0, os.R_OK, True),
        (0o600, 0, os.R_OK, False),
        (0o600, ALICE, os.R_OK, True),
        (0o644, 0, os.W_OK, False),
        (0o664, 0, os.W_OK, True),
        (0o644, 0, os.X_OK, False),
        (0o755, 0, os.X_OK, True),
    ],
)
def test_a_right_is_that_of_the_account(top, mode, uid, right, granted):
    (top / "file").write_text("")
    (top / "file").chmod(mode)
    own(top / "file", uid, ALICE)
    alice = Account("alice", ALICE, ALICE, str(top), "/bin/sh")
    assert Host().may(alice, f"{top}/file", right) == granted or not ROOT
    assert not Host().may(alice, f"{top}/missing", right)


def test_root_may_not_execute_what_nobody_may(top):
    (top / "file").write_text("")
    assert not Host().may(None, f"{top}/file", os.X_OK)
    assert Host().may(None, f"{top}/file", os.W_OK)
