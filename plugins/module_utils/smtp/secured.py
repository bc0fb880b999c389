# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS over a connected socket, in steps that end.

OpenSSL reads on for as long as a server sends records without content, as the tickets for later sessions of TLS 1.3
are, and looks at no clock meanwhile. So it gets what was received piece by piece, out of memory.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from functools import partial
from typing import Callable, TypeVar

T = TypeVar("T")

PIECE = 16384  # octets that are received, and encrypted, at once: a record of TLS (RFC 8446 section 5.1)


class Secured:
    """As a socket, with what is read and written encrypted; ``settimeout`` is for all of a handshake, a send or a
    receive. Raises what a socket of ssl does: socket.timeout, and OSError where the connection is lost."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, name: str, seconds: float) -> None:
        self._sock, self._seconds = sock, seconds
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=name or None)
        try:
            self._until(self._tls.do_handshake)
        except OSError:
            with contextlib.suppress(OSError):
                self._flush(time.monotonic() + seconds)  # the server is told why
            raise

    def settimeout(self, seconds: float) -> None:
        self._seconds = seconds

    def sendall(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE):
            self._until(partial(self._tls.write, data[start : start + PIECE]))

    def recv(self, size: int) -> bytes:
        """What has come, at the most so many octets; nothing where the server has ended the connection."""
        try:
            return self._until(lambda: self._tls.read(size))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def version(self) -> str | None:
        return self._tls.version()

    def certificate(self) -> bytes:
        """The server's certificate (DER); empty where it has none."""
        return self._tls.getpeercert(binary_form=True) or b""

    def close(self) -> None:
        self._sock.close()

    def _until(self, step: Callable[[], T]) -> T:
        """The result of a step, which gets what it waits for from the server as long as there is time."""
        end = time.monotonic() + self._seconds
        while True:
            done = _attempt(step)
            self._flush(end)
            if done:
                return done[0]
            self._sock.settimeout(_left(end))
            received = self._sock.recv(PIECE)
            if received:
                self._in.write(received)
            else:
                self._in.write_eof()

    def _flush(self, end: float) -> None:
        while self._out.pending:
            self._sock.settimeout(_left(end))
            self._sock.sendall(self._out.read())


def _attempt(step: Callable[[], T]) -> tuple[T] | None:
    """The result of a step; None where it waits for the server."""
    try:
        return (step(),)
    except ssl.SSLWantReadError:
        return None


def _left(end: float) -> float:
    """Seconds until a moment of the monotonic clock; raises socket.timeout where there are none."""
    left = end - time.monotonic()
    if left <= 0:
        raise socket.timeout
    return left
