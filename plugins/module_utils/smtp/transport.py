# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only sockets of the collection: connections that cannot hang, and that send no command but a clean one."""

from __future__ import annotations

import contextlib
import errno
import json
import queue
import re
import socket
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Callable, TypeVar, cast

from ..unexpected import Part
from .names import is_address
from .reply import MAX_LINE, MAX_REPLY, Answer, NoReply, Reply, Taken, take
from .secured import Secured

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Sequence

T = TypeVar("T")

QUIT_TIMEOUT = 5.0  # seconds for the last reply, which settles nothing
ADDRESSES = 8  # of one name: whoever has its DNS may list any number of hosts that do not answer
NAME_TIMEOUT = 5.0  # seconds for this host's own name
TRANSCRIPT = 300_000  # octets of the result that hold what was said with one server; there may be 100 of them
COMMAND = re.compile(r"[\x20-\x7e]{1,1000}")
GROUPED = re.compile(r"(RSET|MAIL|SEND|SOML|SAML|RCPT)\b", re.IGNORECASE)  # any other command ends its group


class Transcript(list[str]):
    """What was said with one server, line by line, up to so many octets of JSON: a letter may have twelve there."""

    _left = TRANSCRIPT

    def add(self, lines: Iterable[str]) -> None:
        for line in lines:
            if self._left < 0:
                return
            self._left -= len(json.dumps(line)) + 2  # and what stands between two
            self.append(line if self._left >= 0 else "-- what was said then is not kept: it is too much")


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
    def left(self) -> float:
        """Seconds until all has to be over; never less than 0."""
        return max(0.0, self.end - time.monotonic())

    @property
    def over(self) -> bool:
        return not self.left


@dataclass
class Connection:
    """One SMTP connection, from ``own_port`` of the address ``own`` to ``peer``. ``name`` is what the server calls
    itself, and ``extensions`` what it offers: keyword to parameters (RFC 5321 section 4.1.1.1).

    After an answer that is no reply it is closed, and every further answer is that one.
    """

    sock: socket.socket | Secured
    limits: Limits
    peer: str
    own: str
    own_port: int = 0
    transcript: Transcript = field(default_factory=Transcript)
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
        return _kept(answer)

    def hello(self, verb: str, helo: str) -> Answer:
        """EHLO or HELO, remembering what the server offers."""
        answer = self._ask([f"{verb} {helo}"])[0]
        if isinstance(answer, Reply) and answer.positive:
            self._learn_name(answer)
            offers = (line.upper().partition(" ") for line in answer.lines[1:])
            self.extensions = {keyword: parameters for keyword, _blank, parameters in offers}
        return _kept(answer)

    def command(self, command: str) -> Answer:
        return self.commands([command])[0]

    def commands(self, commands: Sequence[str]) -> list[Answer]:
        """The answers to some commands, in groups (RFC 2920 section 3.1) where the server offers PIPELINING.

        Once there is no reply, or 421, what comes after has no reply either.
        """
        return [_kept(answer) for answer in self._ask(commands)]

    def _ask(self, commands: Sequence[str]) -> list[Answer]:
        unsafe = next((command for command in commands if not COMMAND.fullmatch(command)), None)
        if unsafe is not None:
            raise UnsafeCommandError(f"{unsafe!r} is not a line of printable ASCII")
        answers: list[Answer] = []
        for group in groups(commands) if "PIPELINING" in self.extensions else [[command] for command in commands]:
            self._refuse_early()
            if self.open:
                self.transcript.add(f"C: {command}" for command in group)
                self._send("".join(f"{command}\r\n" for command in group).encode("ascii"))
            answers += [self._read() for _command in group]
        return answers

    def data(self, message: bytes) -> Answer:
        """DATA and the message (lines ended by CRLF), its dots stuffed (RFC 5321 section 4.5.2)."""
        answer = self.command("DATA")
        if answer.code != 354:
            return answer
        self.transcript.add([f"C: ({len(message)} bytes)"])
        self._send(re.sub(rb"(?m)^\.", b"..", message) + b".\r\n")
        return _kept(self._read())

    def secure(self, context: ssl.SSLContext, name: str) -> NoReply | None:
        """Speak TLS from here on, to the server of that ``name`` (RFC 3207 section 4.2); or why that fails.

        What the server said before counts no more, and what it sent ahead is not taken for an answer.
        """
        self._refuse_early()
        if self.lost or isinstance(self.sock, Secured):
            return self.lost
        try:
            self.sock = Secured(self.sock, context, name, _left(self.limits.next()))
        except socket.timeout:
            return self._lose(NoReply(f"no TLS handshake within {self.limits.timeout:g} s", late=True))
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or getattr(error, "strerror", None) or "the server hung up"
            words = f"the TLS handshake fails: {str(why).lower().replace('_', ' ')}"
            return self._lose(NoReply(words, closed=True, verify=getattr(error, "verify_code", 0)))
        self.transcript.add([f"-- {self.sock.version()}"])
        self.extensions, self._buffer = {}, b""
        return None

    @property
    def certificate(self) -> bytes:
        """The server's certificate (DER); empty where it has none, or nothing is encrypted."""
        return self.sock.certificate() if isinstance(self.sock, Secured) else b""

    def quit(self) -> None:
        """QUIT, where the server still listens, and its reply; then close.

        Nothing comes after it, and the server is told so: Exim keeps its reply for 0.2 s to see that.
        """
        if self.open:
            self.limits = replace(self.limits, timeout=min(self.limits.timeout, QUIT_TIMEOUT))
            self.transcript.add(["C: QUIT"])
            self._send(b"QUIT\r\n")
            if not isinstance(self.sock, Secured):  # which would end both ways at once
                with contextlib.suppress(OSError):
                    self.sock.shutdown(socket.SHUT_WR)
            self._read()
        self.close()

    def close(self) -> None:
        self.lost = self.lost or NoReply("the connection is closed", closed=True)
        self.sock.close()

    def _refuse_early(self) -> None:
        """What is said before it is asked for would be taken for the answer to another command."""
        early = take(self._buffer).answer
        if self.open and early and early.code != 421:
            self._lose(NoReply("the server said something that it was not asked for"))

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
        scanned = 0
        while self.lost is None:
            # a reply that comes octet by octet is looked at once for each line
            fresh = self._buffer.find(b"\n", scanned) >= 0 or len(self._buffer) - scanned > MAX_LINE
            taken = take(self._buffer) if fresh else Taken()
            scanned = len(self._buffer) if fresh else scanned
            self._buffer = self._buffer[taken.size :]
            if isinstance(taken.answer, Reply):
                lines = taken.answer.lines
                marks = ["-"] * (len(lines) - 1) + [" "]
                said = [f"S: {taken.answer.code}{mark}{line}".rstrip() for mark, line in zip(marks, lines)]
                self.transcript.add(said)
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
            if time.monotonic() >= until:
                raise socket.timeout
            self.sock.settimeout(_left(until))
            data = self.sock.recv(MAX_REPLY)
        except socket.timeout:
            over = "the time for this server is over" if self.limits.over else ""
            self._lose(NoReply(over or f"nothing within {self.limits.timeout:g} s", late=True))
        except OSError as error:
            self._lose(NoReply(f"the connection was lost: {error.strerror or error}", closed=True))
        else:
            self._buffer += data
            if not data:
                self._lose(NoReply("the server closed the connection", closed=True))

    def _lose(self, why: NoReply) -> NoReply:
        self.transcript.add([f"-- {why.text}"])
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


def _kept(answer: Answer) -> Answer:
    return answer.brief if isinstance(answer, Reply) else answer


def connect(
    host: str, port: int, limits: Limits, transcript: Transcript | None = None, source: str = ""
) -> Connection | NoReply:
    """A connection to the first address of ``host`` that takes one, or why there is none; from ``source``, if given."""
    log = Transcript() if transcript is None else transcript
    try:
        found = _addresses(host, port, limits.next() - time.monotonic())
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        unknown = isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME
        log.add([f"-- {host}: {words}"])
        return NoReply(f"no address for {host}: {words}", unknown_host=unknown)
    why = NoReply("")
    for family, kind, protocol, _name, address in found[:ADDRESSES]:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left(limits.next()))
            if source:
                sock.bind((source, 0))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            late = isinstance(error, socket.timeout)
            words = f"no connection within {limits.timeout:g} s" if late else error.strerror or error
            why = NoReply(f"{address[0]} port {port}: {words}", late=late)
            log.add([f"-- {why.text}"])
            continue
        log.add([f"-- connected to {address[0]} port {port}"])
        own, own_port = sock.getsockname()[:2]
        return Connection(sock, limits, str(address[0]), own, own_port, log)
    return why


def can_listen(address: str) -> bool:
    """Whether a socket of this host can have an IP address: its own ones, and others where the kernel is told so
    (ip_nonlocal_bind, ip(7)). None has one of IPv6 where that is switched off."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
            sock.bind((address, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def own_name() -> str:
    """The fully qualified name of this host, or an empty string where it has none, or nobody says it in time."""
    try:
        name = _in_time(socket.getfqdn, NAME_TIMEOUT)
    except OSError:
        return ""
    return name if "." in name and not name.startswith("localhost") else ""


def _addresses(host: str, port: int, seconds: float) -> list[tuple[Any, ...]]:
    """What getaddrinfo(3) says of a name. Raises OSError and ValueError."""

    def ask() -> list[tuple[Any, ...]]:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    return ask() if is_address(host) else _in_time(ask, seconds)


def _in_time(work: Callable[[], T], seconds: float) -> T:
    """What a call into the C library's resolver returns, which knows no time limit and heeds no signal.

    Its thread is left behind where it has none. Raises TimeoutError, and what ``work`` raises.
    """
    said: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

    def ask() -> None:
        with Part(lambda error: said.put((None, error))):
            said.put((work(), None))

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        answer, error = said.get(timeout=max(seconds, 0.001))
    except queue.Empty:
        raise TimeoutError(errno.ETIMEDOUT, f"the resolver does not answer within {max(seconds, 0):.3g} s") from None
    if error:
        raise error
    return cast("T", answer)


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
    data = bytearray()
    while len(data) < size:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)
        more = sock.recv(size - len(data))
        if not more:
            raise ConnectionError
        data += more
    return bytes(data)


def _left(until: float) -> float:
    """Seconds until then; never 0, which would mean without blocking."""
    return max(until - time.monotonic(), 0.001)
