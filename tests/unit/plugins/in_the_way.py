# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be in the way of a change. What the owner of a directory can put there is made where nothing is."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import struct
import subprocess
import sys

NO_ID = 0xFFFFFFFF  # of an entry that names no account
HOLD = """
import fcntl, os, signal, sys
handle = os.open(sys.argv[1], os.O_RDWR)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
if sys.argv[2] == "polite":
    signal.sigwait([signal.SIGIO])
    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
sys.stdin.read()
"""


def folder(path):
    path.mkdir()


def full_folder(path):
    path.mkdir()
    (path / "kept").write_text("kept\n")


def fifo(path):
    os.mkfifo(path)


def a_socket(path):
    # a short name: that of a socket has 107 octets at the most
    before = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def link(path):
    path.symlink_to(path.parent.parent / "victim")


def link_to_folder(path):
    path.symlink_to(path.parent)


def link_to_itself(path):
    path.symlink_to(path.name)


THINGS = (folder, full_folder, fifo, a_socket, link, link_to_folder, link_to_itself)


def listed(path, uid=4321, kind="access"):
    """An access list (acl(5)) in which that account may write; for the mode, the group of the path may.

    One of the ``kind`` default is what a directory gives the files that are made in it.
    """
    entries = [(0x01, 7, NO_ID), (0x02, 7, uid), (0x04, 5, NO_ID), (0x10, 7, NO_ID), (0x20, 5, NO_ID)]
    text = b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, f"system.posix_acl_{kind}", struct.pack("<I", 2) + text)


def pin(monkeypatch, path):
    """Let rename(2) and unlink(2) refuse a path, as they do with a mount point."""

    def refused(original):
        def called(*given, **more):
            if str(path) in map(str, given):
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(given[0]), None, str(given[-1]))
            return original(*given, **more)

        return called

    for name in ("rename", "replace", "unlink"):
        monkeypatch.setattr(os, name, refused(getattr(os, name)))


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


@contextlib.contextmanager
def leased(path, how="stubborn"):
    """Another process holds a lease for writing on the file; a polite one gives it free when it is asked to."""
    command = [sys.executable, "-c", HOLD, str(path), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline() == b"held\n"
            yield holder.pid
        finally:
            holder.stdin.close()
