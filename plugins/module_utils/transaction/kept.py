# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A journal as a file of root's own: how it is written, and what is checked before one is read."""

from __future__ import annotations

import os

from .._system.image import Image
from .._system.reader import RefusedError, open_plain, read_up_to
from .daemons import DAEMONS
from .journal import BadJournalError, Journal

LIMIT = 1 << 30  # octets of a journal: it has the old files in it, of which a table may be large


def image(journal: Journal) -> Image:
    """The file that a journal becomes."""
    return Image(journal.dump(), os.geteuid(), os.getegid(), 0o600)


def load(path: str) -> Journal:
    """The journal in a file; raises BadJournalError, NewerJournalError and FileNotFoundError.

    Only what begins and ends as one is read as a whole.
    """
    try:
        handle = open_plain(path)
    except RefusedError as error:
        raise BadJournalError(str(error)) from error
    try:
        size = os.fstat(handle).st_size
        if not size:
            raise BadJournalError("is empty")
        if size > LIMIT:
            raise BadJournalError(f"is larger than {LIMIT} octets")
        if os.pread(handle, 1, 0) != b"{":
            raise BadJournalError("does not begin as a journal does")
        if os.pread(handle, 1, size - 1) != b"}":
            raise BadJournalError("is cut off")
        journal = Journal.load(read_up_to(handle, LIMIT))
    finally:
        os.close(handle)
    unknown = {journal.switch[name] for name in ("old", "new") if journal.switch} - DAEMONS.keys()
    if unknown:
        raise BadJournalError(f"names an MTA that is not known: {' and '.join(sorted(unknown))}")
    return journal
