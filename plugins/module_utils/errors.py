# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong outside the program. Pure, so that the program runs where there is no Ansible."""

from __future__ import annotations

from typing import Any


class UserError(Exception):
    """Something that the user can mend; its text says what and how. ``result`` is returned beside it."""

    def __init__(self, message: str, **result: Any) -> None:
        super().__init__(message)
        self.result = result


class OverdueError(Exception):
    """The deadline of the module is over. The text says what had not ended by then.

    It is no OSError: whoever expects one there must not take it for an answer.
    """
