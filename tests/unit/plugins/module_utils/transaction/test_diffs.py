# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown of a change: all that is public, and nothing of what becomes secret with it."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.image import Change, Image
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.diffs import diffs

WORD = "pl4nted-S3CRET-99"


def change(path, before, after, secret=False):
    mode = 0o600 if secret else 0o644
    old, new = (text if text is None else Image(text.encode(), 0, 0, mode) for text in (before, after))
    return Change(path, old, new, secret)


MOVES = {
    "a setting": (f"banner = {WORD}\nport = 25\n", "port = 25\n"),
    "a setting in quotes": (f'port = 25\nhide x = "user : {WORD}"\n', "port = 25\n"),
    "the last line, which has no end": (f"port = 25\nx={WORD}", "port = 25\n"),
    "two of them": (f"{WORD}\nport = 25\n{WORD} again\n", "port = 25\n"),
    "escaped": ("x = pl4nted\\-S3CRET\\-99\nport = 25\n", "port = 25\n"),
    "all there was": (f"x {WORD}\nport = 25\n", "port = 25\n"),
}


@pytest.mark.parametrize(("before", "after"), MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("old", [None, "", "x older-S3CRET-12\n"])
def test_what_becomes_secret_is_not_shown_where_it_was(before, after, old):
    public, secret = diffs([change("/p", before, after), change("/s", old, f"x {WORD}\n", secret=True)])
    assert "S3CRET" not in str(public) + str(secret)
    assert "********" in public["before"]
    assert "port = 25\n" in public["before"]
    assert public["after"] == after


def test_what_stays_secret_hides_nothing_else():
    """A secret file that does not change has not been in another file until now."""
    found = diffs([change("/p", f"x {WORD}\n", "x\n"), change("/s", f"{WORD}\n", f"{WORD}\n", secret=True)])
    assert [item["before"] for item in found] == [f"x {WORD}\n"]


def test_lines_that_stay_and_lines_that_quote_nothing_are_shown_as_they_are():
    found = diffs([change("/p", "a = 1\nb = 2\n", "b = 2\nc = 3\n"), change("/s", None, f"x {WORD}\n", secret=True)])
    assert (found[0]["before"], found[0]["after"]) == ("a = 1\nb = 2\n", "b = 2\nc = 3\n")


def test_a_file_that_does_not_change_has_no_diff():
    assert diffs([change("/p", "a\n", "a\n")]) == []


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [(0o600, 0o644, False), (0o640, 0o644, False), (0o600, 0o640, True), (0o644, 0o644, True), (0o600, 0o600, True)],
)
def test_what_not_all_could_read_is_not_shown_where_now_all_can(old, new, shown):
    before, after = Image(f"port = 25\nx {WORD}\n".encode(), 0, 0, old), Image(b"port = 25\nx\n", 0, 0, new)
    (found,) = diffs([Change("/p", before, after)])
    assert found["before"].startswith("port = 25\n")
    assert (WORD in found["before"]) == shown
    assert ("(a line of a file that not all could read: it is not shown)\n" in found["before"]) != shown
    assert found["after"] == "port = 25\nx\n"
