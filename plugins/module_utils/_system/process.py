# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that are run and waited for: never longer than told, and never with more output than fits.

A program has a session of its own. At its time-out all its processes are killed. Processes that it leaves behind, such
as a daemon that keeps its output open, are not waited for.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OUTPUT = 32 * 1024 * 1024  # octets that are kept of each of the two outputs
GRACE = 2.0  # seconds for a program to end by itself when its time is up
CHUNK = 65536
PIPE = 1024 * 1024  # octets that a pipe holds at the most
UMASK = 0o022  # of a program, whatever that of the connection is
TIMED_OUT, CANNOT_RUN, MISSING = 124, 126, 127


class NoAnswerError(UserError):
    """A program was asked, and did not answer in time, or said more than can be kept. That is no answer, not even an
    empty one."""


@dataclass(frozen=True)
class Completed:
    """What a program said. ``rc`` is 127 where it does not exist and 126 where it cannot be run. ``timed_out`` where it
    did not end within ``seconds`` (``rc`` is 124 then, which a program may end with by itself, too). ``left_out``: how
    many octets in the middle of an output were too many."""

    argv: tuple[str, ...]
    rc: int
    out: str
    err: str
    timed_out: bool = False
    seconds: float = 0.0
    left_out: int = 0

    @property
    def command(self) -> str:
        """The command as a person reads it."""
        return readable(self.argv)

    @property
    def why(self) -> str:
        """What went wrong, as one sentence; meant for a program that failed or timed out."""
        if self.timed_out:
            return f"`{self.command}` did not end within {self.seconds:g} s"
        return f"`{self.command}` failed: {(self.err or self.out).strip() or f'it ended with {self.rc}'}"

    def answered(self) -> Completed:
        """The same, where it is an answer; else NoAnswerError."""
        if self.timed_out:
            raise NoAnswerError(self.why)
        if self.left_out:
            raise NoAnswerError(f"`{self.command}` said {self.left_out} octets more than the {OUTPUT} that can be kept")
        return self


def readable(argv: Sequence[str]) -> str:
    """A command as a person reads it: a shell script is called by its name, which is its word ``$0``."""
    script = list(argv[:2]) == ["sh", "-c"]
    return " ".join(argv[3:]) or "a shell script" if script else " ".join(argv)


def filled(argv: Sequence[str], **values: str) -> list[str]:
    """A command with its placeholders (``{stage}``, ``{path}``, ``{product}``, ``{since}``) filled in."""
    words = list(argv)
    for name, value in values.items():
        words = [word.replace("{" + name + "}", value) for word in words]
    return words


class Output:
    """What is kept of an output: all of it, or its head and its tail."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head, self._tail, self.left_out = bytearray(), bytearray(), 0

    def add(self, raw: bytes) -> None:
        room = self._half - len(self._head)
        self._head += raw[:room]
        self._tail += raw[room:]
        surplus = len(self._tail) - self._half
        # the tail is cut once in a while: it would be copied for each chunk else
        if surplus > self._half:
            self._cut(surplus)

    def _cut(self, surplus: int) -> None:
        del self._tail[:surplus]
        self.left_out += surplus

    @property
    def text(self) -> str:
        """The output; bytes that are not UTF-8 survive (surrogateescape)."""
        self._cut(max(0, len(self._tail) - self._half))
        between = b"\n[%d octets left out]\n" % self.left_out if self.left_out else b""
        return (self._head + between + self._tail).decode("utf-8", "surrogateescape")


def run(argv: Sequence[str], stdin: bytes, seconds: float, env: Mapping[str, str], limit: int = OUTPUT) -> Completed:
    """Run a program without a shell and wait for it, ``seconds`` at most."""
    words = tuple(argv)
    try:
        program = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            start_new_session=True,
            umask=UMASK,
        )
    except FileNotFoundError:
        return Completed(words, MISSING, "", f"{words[0]}: not found")
    except (OSError, ValueError) as error:  # too many words, no right to execute it, a NUL in a word
        return Completed(words, CANNOT_RUN, "", f"{words[0]}: {error}")
    out, err, ended = Output(limit), Output(limit), False
    watch = Watch(program)
    try:
        ended = watch.follow(stdin, {program.stdout: out, program.stderr: err}, seconds)
    finally:
        if not ended:
            _end(program)
        watch.close()
    texts = (out.text, err.text)
    rc = program.returncode if ended else TIMED_OUT
    return Completed(words, rc, *texts, not ended, seconds, max(out.left_out, err.left_out))


class Watch:
    """Sees the end of a program as one more thing that can be read."""

    def __init__(self, program: subprocess.Popen[bytes]) -> None:
        self._program = program
        self._ended, self._tell = os.pipe()
        self._waiting = threading.Thread(target=self._wait, daemon=True)
        self._waiting.start()

    def _wait(self) -> None:
        self._program.wait()
        os.close(self._tell)

    def close(self) -> None:
        for pipe in (self._program.stdin, self._program.stdout, self._program.stderr):
            if pipe:
                with suppress(OSError):
                    pipe.close()
        self._waiting.join(GRACE)  # what the kernel does not let go is not waited for
        os.close(self._ended)

    def follow(self, stdin: bytes, outputs: Mapping[IO[bytes] | None, Output], seconds: float) -> bool:
        """Hand ``stdin`` over and keep the outputs until the program has ended; whether it did so in time."""
        until = time.monotonic() + seconds
        reading = [Reading(pipe, output) for pipe, output in outputs.items() if pipe]
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._ended, selectors.EVENT_READ)
            for read in reading:
                waiting.register(read.pipe, selectors.EVENT_READ, read)
            if self._program.stdin:
                given = Writing(self._program.stdin, stdin)
                waiting.register(given.pipe, selectors.EVENT_WRITE, given)
            while (left := until - time.monotonic()) > 0:
                ready = [key for key, _events in waiting.select(left)]
                for key in ready:
                    if key.data and not key.data.go_on():
                        waiting.unregister(key.fileobj)
                        key.data.end()
                if any(key.fileobj == self._ended for key in ready):
                    for read in reading:
                        read.rest()
                    return True
        return False


class Reading:
    """One output of a program, read as it comes."""

    def __init__(self, pipe: IO[bytes], output: Output) -> None:
        self.pipe, self._output = pipe, output
        os.set_blocking(pipe.fileno(), False)

    def go_on(self) -> bool:
        """Read what is there now; whether that was anything."""
        try:
            raw = os.read(self.pipe.fileno(), CHUNK)
        except BlockingIOError:
            return False
        self._output.add(raw)
        return bool(raw)

    def rest(self) -> None:
        """Read what the program has said before its end; what it left behind may go on to write."""
        for _chunk in range(PIPE // CHUNK):
            if not self.go_on():
                break

    def end(self) -> None:
        """There is no more to come."""


class Writing:
    """The input of a program, written as it is taken."""

    def __init__(self, pipe: IO[bytes], text: bytes) -> None:
        self.pipe, self._left = pipe, memoryview(text)
        os.set_blocking(pipe.fileno(), False)

    def go_on(self) -> bool:
        """Write what is taken now; whether anything is left, nothing where the program reads no more."""
        try:
            self._left = self._left[os.write(self.pipe.fileno(), self._left[:CHUNK]) :]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return bool(self._left)

    def end(self) -> None:
        with suppress(OSError):
            self.pipe.close()


def _end(program: subprocess.Popen[bytes]) -> None:
    """End all processes of a program: told so first, killed when they do not."""
    for told in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(program.pid, told)
        with suppress(subprocess.TimeoutExpired):
            program.wait(GRACE)
