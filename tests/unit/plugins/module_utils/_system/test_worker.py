# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import worker as workers
from ansible_collections.mailops.postmaster.plugins.module_utils._system.reader import RefusedError
from ansible_collections.mailops.postmaster.plugins.module_utils._system.worker import Worker


@pytest.fixture
def working():
    """``working(answer)`` gives a worker; its child ends with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda answer: stack.enter_context(contextlib.closing(Worker(answer)))


class Counter:
    def __init__(self):
        self.count = 0

    def __call__(self, question):
        self.count += question
        return {"count": self.count, "pid": os.getpid()}


def test_a_child_remembers_what_it_was_asked(working):
    counter = Counter()
    worker = working(counter)
    answers = [worker.ask(number, 5) for number in (1, 2, 3)]
    assert [answer["count"] for answer in answers] == [1, 3, 6]
    assert counter.count == 0
    assert len({answer["pid"] for answer in answers} - {os.getpid()}) == 1


def raising(error):
    def answer(_question):
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (raising(RefusedError("is a FIFO")), RefusedError, "^is a FIFO$"),
        (raising(PermissionError(errno.EACCES, "Permission denied", "/x")), PermissionError, "/x"),
        (raising(FileNotFoundError(errno.ENOENT, "No such file", None)), FileNotFoundError, "No such file"),
        (raising(KeyError("x")), RefusedError, "the reader ended"),
        (raising(MemoryError()), RefusedError, "the reader ended"),
        (lambda _question: os.kill(os.getpid(), signal.SIGKILL), RefusedError, "the reader ended"),
        (lambda _question: os.kill(os.getpid(), signal.SIGSTOP), RefusedError, r"within 0\.3 s"),
        (lambda _question: time.sleep(60), RefusedError, r"within 0\.3 s"),
        (lambda _question: "a" * (workers.LIMIT + 1), RefusedError, "says more than can be read"),
    ],
)
def test_what_goes_wrong_in_a_child_is_an_error_here(working, answer, error, words):
    worker = working(answer)
    begun = time.monotonic()
    with pytest.raises(error, match=words):
        worker.ask(1, 0.3 if "within" in words else 30)
    if "within" in words:
        assert time.monotonic() - begun < 5


def test_a_child_that_did_not_answer_is_not_asked_again(working):
    worker = working(lambda _question: time.sleep(60))
    for _number in range(2):
        begun = time.monotonic()
        with pytest.raises(RefusedError, match="did not answer"):
            worker.ask(1, 0.2)
    assert time.monotonic() - begun < 0.1


def test_an_error_is_not_the_end(working):
    answers = {1: raising(RefusedError("no")), 2: lambda _question: "yes"}
    worker = working(lambda question: answers[question](question))
    with pytest.raises(RefusedError):
        worker.ask(1, 5)
    assert worker.ask(2, 5) == "yes"


def test_a_child_holds_nothing_that_its_parent_has_open(working):
    out, into = os.pipe()
    worker = working(lambda question: question)
    assert worker.ask(1, 5) == 1
    os.close(into)
    assert os.read(out, 1) == b""  # would wait for ever if the child had the other end
    os.close(out)


def test_a_child_ends_with_its_parent(working):
    """Whoever is killed cannot let go of anything; the child then sees the end of its questions."""
    worker = working(lambda _question: os.getpid())
    child = worker.ask(1, 5)
    os.close(vars(worker)["_into"])
    assert os.waitpid(child, 0) == (child, 0)
    vars(worker).update(_child=0)
    os.close(vars(worker)["_out"])
