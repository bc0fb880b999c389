# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a local user does so that a server serves nobody else: she holds as many connections as it takes.

``crowd.py ADDRESS COUNT``. She comes from several addresses of loopback, for a server may limit each of them. One that
is closed is opened anew at once, and so is one that is not greeted: a server whose queue is full forgets connections
that their clients take for open. systemd is told when the first ones have been tried.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
import time

PORT = 25
SOURCES = [f"127.0.0.{last}" for last in range(1, 9)]
STEP = 10  # connections that are opened at once
PACE = 0.2  # seconds at the most for them to be greeted
GIVEN_UP = 5.0  # seconds after which one that was not greeted is opened anew


class Crowd:
    """So many connections to one address."""

    def __init__(self, address: str, count: int) -> None:
        self._address, self._count, self._tried = address, count, 0
        self._selector = selectors.DefaultSelector()
        self._open: set[socket.socket] = set()
        self._waiting: dict[socket.socket, float] = {}  # since when one was not greeted

    def fill(self) -> None:
        """Open some that are missing: a queue that is full would have all others wait for seconds."""
        for _one in range(min(STEP, self._count - len(self._open))):
            sock = socket.socket()
            sock.setblocking(False)
            sock.bind((SOURCES[self._tried % len(SOURCES)], 0))
            self._tried += 1
            sock.connect_ex((self._address, PORT))
            self._selector.register(sock, selectors.EVENT_READ)
            self._open.add(sock)
            self._waiting[sock] = time.monotonic()

    def look(self) -> None:
        """Give up those that the server has closed, refuses to serve, or has forgotten."""
        for key, _events in self._selector.select(PACE):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            said = b""
            with contextlib.suppress(OSError):
                said = sock.recv(4096)
            if not said or said.startswith(b"421"):
                self._close(sock)
            self._waiting.pop(sock, None)
        for sock in [one for one, since in self._waiting.items() if time.monotonic() - since > GIVEN_UP]:
            self._close(sock)

    def _close(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        sock.close()
        self._open.remove(sock)
        self._waiting.pop(sock, None)


def hold(address: str, count: int) -> None:
    """Hold them for ever."""
    crowd = Crowd(address, count)
    crowd.fill()
    crowd.look()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
    while True:
        crowd.fill()
        crowd.look()


if __name__ == "__main__":
    hold(sys.argv[1], int(sys.argv[2]))
