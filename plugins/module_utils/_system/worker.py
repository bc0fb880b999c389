# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A child process that answers questions, one at a time, and is killed when it does not answer in time.

It is for what is looked at again and again, a mailbox for instance: it remembers what it has read, and whatever it
hangs at (a file system in user space), its parent goes on. Questions and answers are lines of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from typing import Any, Callable, NoReturn

from .reader import PIECE, RefusedError, be_alone, end

LIMIT = 16 << 20  # octets of an answer


class Worker:
    """Whoever has one lets it go with ``close``. Its child is there from the first question on."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self._answer = answer
        self._child = 0
        self._into = self._out = -1
        self._broken = ""

    def ask(self, question: Any, seconds: float) -> Any:
        """What the child answers.

        Raises what it raises of OSError and RefusedError, and RefusedError where it has not answered within
        ``seconds``; it is then killed, and nothing more can be asked.
        """
        if self._broken:
            raise RefusedError(self._broken)
        try:
            if not self._child:
                self._start()
            os.write(self._into, json.dumps(question).encode() + b"\n")
            said = self._hear(time.monotonic() + seconds, seconds)
        except (RefusedError, BrokenPipeError) as error:
            self._broken = str(error) if isinstance(error, RefusedError) else "the reader ended"
            self.close()
            raise RefusedError(self._broken) from error
        if "refused" in said:
            raise RefusedError(said["refused"])
        if "failed" in said:
            raise OSError(*said["failed"])
        return said["answer"]

    def kill(self) -> None:
        """Kill the child, where there is one, and do not wait for its end: ``close`` does."""
        if self._child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)

    def close(self) -> None:
        """Kill the child, where there is one."""
        if self._child:
            child, self._child = self._child, 0
            os.close(self._into)
            os.close(self._out)
            end(child)

    def _start(self) -> None:
        hears, self._into = os.pipe2(os.O_CLOEXEC)
        self._out, says = os.pipe2(os.O_CLOEXEC)
        child = os.fork()
        if not child:
            _be_child(self._answer, hears, says)
        os.close(hears)
        os.close(says)
        self._child = child

    def _hear(self, until: float, seconds: float) -> Any:
        pieces, size = [], 0
        while True:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._out], [], [], left)[0]:
                raise RefusedError(f"did not answer within {seconds:.3g} s")
            piece = os.read(self._out, PIECE)
            pieces.append(piece)
            size += len(piece)
            if piece.endswith(b"\n") and size <= LIMIT:
                return json.loads(b"".join(pieces))
            if not piece or size > LIMIT:
                raise RefusedError("says more than can be read" if piece else "the reader ended")


def _be_child(answer: Callable[[Any], Any], hears: int, says: int) -> NoReturn:
    """The child's whole life: it ends when its parent lets go of the questions."""
    with contextlib.suppress(BaseException):
        be_alone(hears, says)
        with open(hears, "rb") as questions, open(says, "wb") as answers:
            for question in questions:
                answers.write(json.dumps(_said(answer, json.loads(question))).encode() + b"\n")
                answers.flush()
    os._exit(0)


def _said(answer: Callable[[Any], Any], question: Any) -> dict[str, Any]:
    try:
        return {"answer": answer(question)}
    except RefusedError as error:
        return {"refused": str(error)}
    except OSError as error:
        return {"failed": [error.errno, error.strerror, error.filename]}
