# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mailbox is looked at with the rights of who names it: a user names what she likes, and takes nothing from others.

Only root can take the rights of others: a test that is not root's reads with its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils._system.reader import Rights
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.watched import Mailboxes

ROOT = os.geteuid() == 0
ALICE, BOB = Rights(12345, 12345), Rights(12346, 12346)  # no accounts have these numbers
TEXT = "From a Mon Jan  1 00:00:00 2026\nX-Postmaster-Token: t1\n\nhello\n\n"


@pytest.fixture
def box():
    """``box(owner, mode)`` is a mailbox in a directory that everybody can go through."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)

    def made(owner=0, mode=0o600):
        path = folder / "box"
        path.write_text(TEXT)
        path.chmod(mode)
        if ROOT:
            os.chown(path, owner, owner)
        return str(path)

    yield made
    shutil.rmtree(folder)


@pytest.fixture
def boxes():
    with contextlib.closing(Mailboxes(Deadline(60))) as found:
        yield found


@pytest.mark.parametrize(
    ("owner", "mode", "named_by", "found"),
    [
        (0, 0o600, (), True),
        (0, 0o600, (None,), True),
        (0, 0o600, (ALICE,), False),
        (0, 0o644, (ALICE,), True),
        (BOB.uid, 0o600, (ALICE,), False),
        (ALICE.uid, 0o600, (ALICE,), True),
        # another one names it, too: before, or after
        (0, 0o600, (ALICE, None), True),
        (0, 0o600, (None, ALICE), True),
        (BOB.uid, 0o600, (ALICE, BOB), True),
        (BOB.uid, 0o600, (BOB, ALICE), True),
    ],
)
@pytest.mark.parametrize("between", [False, True])
def test_each_name_for_a_mailbox_is_worth_the_rights_of_who_gave_it(box, boxes, owner, mode, named_by, found, between):
    path = box(owner, mode)
    for rights in named_by:
        boxes.named(path, rights)
        if between:
            boxes.look(path, ["t1"])
            boxes.unread(path)
    seen, waits = boxes.look(path, ["t1"]), boxes.unread(path)
    if found or not ROOT:
        assert (seen.counts, seen.reason, waits.reason) == ({"t1": 1}, "", "")
    else:
        assert (seen.counts, waits.days) == ({}, None)
        assert seen.reason == f"{path} {waits.reason}"


def test_what_was_not_there_yet_is_seen_when_it_is(box, boxes):
    path = box(ALICE.uid)
    os.unlink(path)
    boxes.named(path, BOB)
    boxes.named(path, ALICE)
    assert (boxes.look(path, ["t1"]).counts, boxes.state(path), boxes.unread(path).days) == ({}, [], 0)
    box(ALICE.uid)
    assert boxes.look(path, ["t1"]).counts == {"t1": 1}
