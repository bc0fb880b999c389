# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths as systemd reads them in its unit files (systemd.syntax(7), systemd.unit(5), systemd.service(5)).

A line break has no form that all settings read, nor has another control character: ``options.py`` refuses them.
Pure.
"""

from __future__ import annotations


def path(text: str) -> str:
    """The value of a setting that is one path to its end, such as ConditionPathExists=: only ``%`` means something."""
    return text.replace("%", "%%")


def word(text: str) -> str:
    """One of the words of a setting, such as RequiresMountsFor=, or the program of ExecStart=.

    Some settings know no other escapes than these two.
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{path(escaped)}"'


def argument(text: str) -> str:
    """A word after the program, as systemd-run is given it. In unit files it is to be a ``word``, too."""
    return text.replace("$", "$$")
