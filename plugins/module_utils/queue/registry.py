# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of queues that are known, by the names of the MTAs in ``mta/registry.py``."""

from __future__ import annotations

from . import exim, opensmtpd, postfix, sendmail

SPOOLS = {spool.mta: spool for spool in (exim.SPOOL, opensmtpd.SPOOL, postfix.SPOOL, sendmail.SPOOL)}
