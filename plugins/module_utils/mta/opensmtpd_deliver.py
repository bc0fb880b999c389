# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an action of smtpd puts the mail of an account, and to which host one passes mail on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Callable

from ..aliases.expand import Destination

if TYPE_CHECKING:
    from .._system.host import Account
    from .opensmtpd_syntax import Action, Config
    from .opensmtpd_tables import Tables

MAILDIR = "%{user.directory}/Maildir"
URL = re.compile(r"(?:[a-z+]+://)?(?:[^@]*@)?(?:\[(?:IPv6:)?([^\]]*)\]|([^:]*))(?::(\d+))?", re.IGNORECASE)


def deliver(
    ends: list[Destination], fail: Callable[[str, str, str], None], config: Config, action: Action, account: Account
) -> None:
    """Add the mailbox or the program that an action hands the mail of an account to."""
    name = action.text("user") or account.name
    wrapper = config.wrappers.get(action.text("wrapper"), "")
    if action.method == "mbox" and not wrapper:
        ends.append(Destination("mailbox", f"/var/mail/{account.name}", action.where, account.name))
    elif account.uid == 0 and action.method != "mbox" and not action.text("user"):
        fail(
            "R3",
            f"smtpd delivers the mail of root only to its mbox, and bounces it after the 250: {action.method}",
            action.where,
        )
    elif action.method == "maildir" and not wrapper:
        path = _filled(action.argument or MAILDIR, account)
        ends.append(Destination("mailbox", path.rstrip("/") + "/", action.where, name))
    else:
        programs = {"lmtp": f"/usr/libexec/opensmtpd/mail.lmtp -d {action.argument}", "mda": action.argument}
        command = wrapper or programs.get(action.method, action.method)
        ends.append(Destination("pipe", _filled(command, account), action.where, name))


def _filled(text: str, account: Account) -> str:
    """A format of smtpd.conf(5) with what is known of the account."""
    known = {"user.username": account.name, "user.directory": account.home, "dest.user": account.name}
    return re.sub(r"%\{([\w.]+)[^}]*\}", lambda found: known.get(found.group(1), found.group()), text)


def next_hop(tables: Tables, action: Action, domain: str) -> str:
    """The host that gets mail for a domain, as ``[host]:port``; the domain itself where its MX is asked."""
    host, by_domain = action.table("host"), action.table("domain")
    if by_domain:
        entry = tables.content(by_domain).entries.get(domain.lower())
        url = entry.value if entry else ""
    else:
        url = tables.keys(host)[0] if host and tables.keys(host) else ""
    found = URL.fullmatch(url)
    if not url or not found:
        return domain.lower()
    name, port = found.group(1) or found.group(2), found.group(3)
    return f"[{name}]" if port in (None, "25") else f"[{name}]:{port}"
