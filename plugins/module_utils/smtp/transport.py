# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only sockets of the collection: connections that cannot hang, and that send no command but a clean one."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .reply import MAX_REPLY, Answer, NoReply, Reply, take

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND = re.compile(r"[\x20-\x7e]{1,1000}")
GROUPED = re.compile(r"(RSET|MAIL|SEND|SOML|SAML|RCPT)\b", re.IGNORECASE)  # any other command ends its group


class UnsafeCommandError(ValueError):
    """A command with a line break, a control character or anything else that is not printable ASCII."""


@dataclass(frozen=True)
class Limits:
    """``timeout``: seconds for one connect or reply; ``end``: when all has to be over, by the monotonic clock."""

    timeout: float
    end: float

    @classmethod
    def starting_now(cls, timeout: float, deadline: float) -> Limits:
        return cls(timeout, time.monotonic() + deadline)

    def next(self) -> float:
        """The moment at which whatever starts now has failed."""
        return min(time.monotonic() + self.timeout, self.end)

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.end


@dataclass
class Connection:
    """One SMTP connection, from the address ``own`` to ``peer``. ``name`` is what the server calls itself, and
    ``extensions`` what it offers: keyword to parameters (RFC 5321 section 4.1.1.1).

    After an answer that is no reply it is closed, and every further answer is that one.
    """

    sock: socket.socket
    limits: Limits
    peer: str
    own: str
    transcript: list[str] = field(default_factory=list)
    extensions: dict[str, str] = field(default_factory=dict)
    name: str = ""
    lost: NoReply | None = None
    _buffer: bytes = b""

    @property
    def open(self) -> bool:
        return self.lost is None

    def greeting(self) -> Answer:
        answer = self._read()
        self._learn_name(answer)
        return answer

    def hello(self, verb: str, helo: str) -> Answer:
        """EHLO or HELO, remembering what the server offers."""
        answer = self.command(f"{verb} {helo}")
        if isinstance(answer, Reply) and answer.positive:
            self._learn_name(answer)
            offers = (line.upper().partition(" ") for line in answer.lines[1:])
            self.extensions = {keyword: parameters for keyword, _blank, parameters in offers}
        return answer

    def command(self, command: str) -> Answer:
        return self.commands([command])[0]

    def commands(self, commands: Sequence[str]) -> list[Answer]:
        """The answers to some commands, in groups (RFC 2920 section 3.1) where the server offers PIPELINING.

        Once there is no reply, or 421, what comes after has no reply either.
        """
        unsafe = next((command for command in commands if not COMMAND.fullmatch(command)), None)
        if unsafe is not None:
            raise UnsafeCommandError(f"{unsafe!r} is not a line of printable ASCII")
        answers: list[Answer] = []
        for group in groups(commands) if "PIPELINING" in self.extensions else [[command] for command in commands]:
            if self.open:
                self.transcript += [f"C: {command}" for command in group]
                self._send("".join(f"{command}\r\n" for command in group).encode("ascii"))
            answers += [self._read() for _command in group]
        return answers

    def data(self, message: bytes) -> Answer:
        """DATA and the message (lines ended by CRLF), its dots stuffed (RFC 5321 section 4.5.2)."""
        answer = self.command("DATA")
        if answer.code != 354:
            return answer
        self.transcript.append(f"C: ({len(message)} bytes)")
        self._send(re.sub(rb"(?m)^\.", b"..", message) + b".\r\n")
        return self._read()

    def quit(self) -> None:
        """QUIT, where the server still listens, and its reply; then close.

        Nothing comes after it, and the server is told so: Exim keeps its reply for 0.2 s to see that.
        """
        if self.open:
            self.transcript.append("C: QUIT")
            self._send(b"QUIT\r\n")
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
            self._read()
        self.close()

    def close(self) -> None:
        self.lost = self.lost or NoReply("the connection is closed", closed=True)
        self.sock.close()

    def _learn_name(self, answer: Answer) -> None:
        if isinstance(answer, Reply) and answer.lines[0]:
            self.name = answer.lines[0].split(" ")[0]

    def _send(self, data: bytes) -> None:
        until = self.limits.next()
        try:
            self.sock.settimeout(_left(until))
            self.sock.sendall(data)
        except socket.timeout:
            self._lose(NoReply(f"the server reads nothing for {self.limits.timeout:g} s"))
        except OSError:
            pass  # the server hung up: what it said before is still to be read

    def _read(self) -> Answer:
        until = self.limits.next()
        while self.lost is None:
            taken = take(self._buffer)
            self._buffer = self._buffer[taken.size :]
            if isinstance(taken.answer, Reply):
                lines = taken.answer.lines
                marks = ["-"] * (len(lines) - 1) + [" "]
                said = [f"S: {taken.answer.code}{mark}{line}".rstrip() for mark, line in zip(marks, lines)]
                self.transcript += said
                if taken.answer.code == 421:
                    self.lost = NoReply(f"the server ended the connection: 421 {taken.answer.text}", closed=True)
                    self.sock.close()
                return taken.answer
            if taken.answer is not None:
                return self._lose(taken.answer)
            self._receive(until)
        return self.lost

    def _receive(self, until: float) -> None:
        try:
            self.sock.settimeout(_left(until))
            data = self.sock.recv(MAX_REPLY)
        except socket.timeout:
            over = "the time for this server is over" if self.limits.over else ""
            self._lose(NoReply(over or f"nothing within {self.limits.timeout:g} s"))
        except OSError as error:
            self._lose(NoReply(f"the connection was lost: {error.strerror or error}", closed=True))
        else:
            self._buffer += data
            if not data:
                self._lose(NoReply("the server closed the connection", closed=True))

    def _lose(self, why: NoReply) -> NoReply:
        self.transcript.append(f"-- {why.text}")
        self.lost = why
        self.sock.close()
        return why


def groups(commands: Sequence[str]) -> list[list[str]]:
    """Commands that may be sent together."""
    found: list[list[str]] = [[]]
    for command in commands:
        found[-1].append(command)
        if not GROUPED.match(command):
            found.append([])
    return [group for group in found if group]


def connect(
    host: str, port: int, limits: Limits, transcript: list[str] | None = None, source: str = ""
) -> Connection | NoReply:
    """A connection to the first address of ``host`` that takes one, or why there is none; from ``source``, if given."""
    log: list[str] = [] if transcript is None else transcript
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        unknown = isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME
        log.append(f"-- {host}: {words}")
        return NoReply(f"no address for {host}: {words}", unknown_host=unknown)
    why = NoReply("")
    for family, kind, protocol, _name, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left(limits.next()))
            if source:
                sock.bind((source, 0))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            words = f"no connection within {limits.timeout:g} s" if isinstance(error, socket.timeout) else ""
            why = NoReply(f"{address[0]} port {port}: {words or error.strerror or error}")
            log.append(f"-- {why.text}")
            continue
        log.append(f"-- connected to {address[0]} port {port}")
        return Connection(sock, limits, str(address[0]), sock.getsockname()[0], log)
    return why


def own_name() -> str:
    """The fully qualified name of this host, or an empty string where it has none."""
    name = socket.getfqdn()
    return name if "." in name and not name.startswith("localhost") else ""


def datagram(server: str, query: bytes, timeout: float, port: int = 53) -> bytes | None:
    """The first datagram that ``server`` itself sends back, or nothing."""
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(server, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as sock:
            sock.settimeout(timeout)
            sock.connect(address)  # the kernel then drops what others send
            sock.send(query)
            return sock.recv(65535)
    except OSError:
        return None


def stream(server: str, query: bytes, timeout: float, port: int = 53) -> bytes | None:
    """As ``datagram``, over TCP with its two bytes of length (RFC 1035 section 4.2.2)."""
    until = time.monotonic() + timeout
    with contextlib.suppress(OSError), socket.create_connection((server, port), timeout) as sock:
        sock.sendall(len(query).to_bytes(2, "big") + query)
        size = int.from_bytes(_exactly(sock, 2, until), "big")
        return _exactly(sock, size, until)
    return None


def _exactly(sock: socket.socket, size: int, until: float) -> bytes:
    data = b""
    while len(data) < size:
        sock.settimeout(_left(until))
        more = sock.recv(size - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def _left(until: float) -> float:
    """Seconds until then; never 0, which would mean without blocking."""
    return max(until - time.monotonic(), 0.001)
