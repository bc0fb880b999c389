# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attributes that every module documents; a module states its own support where it differs."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment ``mailops.postmaster.attributes``."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and report what it would change, without changing it.
    support: full
  diff_mode:
    description: Returns what was changed, or would be changed in check mode, when in diff mode.
    support: none
  idempotent:
    description: When run twice in a row outside check mode with the same options, the second run reports no change.
    support: full
  platform:
    description: The operating systems that the module runs on.
    platforms: posix
    support: full
"""
