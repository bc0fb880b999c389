# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mta_info: sent to the host with its domains as A-labels."""

from __future__ import annotations

from ansible_collections.mailops.postmaster.plugins.plugin_utils.sending import Sent


class ActionModule(Sent):
    """The module of this name."""
