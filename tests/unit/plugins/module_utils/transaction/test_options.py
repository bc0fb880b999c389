# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that cannot be meant are named with what is allowed, before anything is looked at."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.options import checked

GIVEN = {
    "state_dir": "/var/lib/mailops-postmaster",
    "confirm_timeout": 0,
    "timeout": 120.0,
    "service": None,
    "answers": [],
}


@pytest.mark.parametrize(
    "state_dir", ["", "state", "./state", "/srv/a\nb", "/srv/a\tb", "/srv/\x7f", "/srv/\udce9", "/srv/\u202eb", "~"]
)
def test_a_directory_that_systemd_cannot_be_told_is_refused(state_dir):
    with pytest.raises(UserError) as refused:
        checked({**GIVEN, "state_dir": state_dir})
    allowed = "an absolute path of printable characters"
    assert str(refused.value) == f"state_dir: {state_dir!r} is not allowed here; allowed: {allowed}."


@pytest.mark.parametrize(
    ("state_dir", "found"),
    [("/srv/mail ops", "/srv/mail ops"), ("/srv/state/", "/srv/state"), ("/srv/a/../größe", "/srv/größe")],
)
def test_a_directory_has_one_spelling(state_dir, found):
    assert checked({**GIVEN, "state_dir": state_dir}) == {**GIVEN, "state_dir": found}
