# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rule of smtpd.conf(5) takes an address: the first of which all conditions hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ..errors import UserError
from .opensmtpd_tables import foreign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .opensmtpd_syntax import Condition, Config, Rule
    from .opensmtpd_tables import Tables

BY_ADDRESS = ("for domain", "for rcpt-to", "rcpt-to")  # conditions on whom mail is for
STRANGER, LOCAL, INTERNAL = "stranger", "local", "internal"


class Mail(NamedTuple):
    """An address, and whose mail it is: a stranger's, one of this host's, or what smtpd itself forwards."""

    user: str
    domain: str
    sender: str

    def __str__(self) -> str:
        return f"{self.user}@{self.domain}"


class Rules:
    """The rules of one smtpd. What depends on the session (its name, TLS, who the sender is) holds for nobody."""

    def __init__(self, config: Config, tables: Tables, hostname: str) -> None:
        self._config, self._tables = config, tables
        self.local_names = (hostname, "localhost")

    def find(self, user: str, domain: str, internal: bool = False) -> Rule | None:
        """The rule for an address. Raises UserError where a table that only smtpd can look into decides that.

        What no stranger may send to is looked at as this host's own mail."""
        passed: list[Condition] = []
        for sender in (INTERNAL,) if internal else (STRANGER, LOCAL):
            for rule in self._config.rules:
                mail = Mail(user, domain, sender)
                if all(self._holds(condition, mail) for condition in rule.conditions):
                    if passed and not any(map(names_domain, rule.conditions)):
                        raise _not_known(domain, passed)
                    return rule
                passed += [condition for condition in rule.conditions if _unseen(condition)]
        if passed:
            raise _not_known(domain, passed)
        return None

    def _holds(self, condition: Condition, mail: Mail) -> bool:
        return self._matches(condition, mail) != condition.negated

    def _matches(self, condition: Condition, mail: Mail) -> bool:
        what, table = condition.what, condition.table
        if what in ("from any", "for any"):
            return True
        if what == "from local":
            return mail.sender != STRANGER
        if what == "from socket":
            return mail.sender == LOCAL
        if what == "from src" and table:
            return mail.sender != STRANGER and "local" in self._tables.keys(table)
        if what == "for local":
            return mail.domain.lower() in self.local_names
        if table is None:
            return False
        values = {"for domain": mail.domain, "for rcpt-to": str(mail), "rcpt-to": str(mail)}
        if what not in values:
            return False
        value, keys = values[what].lower(), self._tables.keys(table)
        if condition.regex:
            return any(_expression_matches(value, key) for key in keys)
        compare = domain_matches if what == "for domain" else self._address_matches
        return any(compare(value, key.lower()) for key in keys)

    def _address_matches(self, address: str, pattern: str) -> bool:
        """A pattern is a user, a domain after an @, or an address; one without a tag takes an address with any."""
        user, sign, domain = pattern.rpartition("@")
        user = user if sign else domain
        local, _sign, where = address.rpartition("@")
        if self._config.delimiter not in user:
            local = local.partition(self._config.delimiter)[0]
        return (not sign or not domain or domain_matches(where, domain)) and user in ("", local)


def domain_matches(domain: str, pattern: str) -> bool:
    """Whether a domain is that of a pattern, in which a star stands for anything."""
    return domain == pattern or (
        "*" in pattern and bool(re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), domain))
    )


def _expression_matches(value: str, expression: str) -> bool:
    try:
        return bool(re.search(expression, value, re.IGNORECASE))
    except re.error:
        return False


def _unseen(condition: Condition) -> bool:
    """Whether a condition depends on a table of domains or addresses that only smtpd can look into."""
    return condition.what in BY_ADDRESS and condition.table is not None and foreign(condition.table)


def names_domain(condition: Condition) -> bool:
    """Whether a condition says of a domain that mail for it is meant."""
    return condition.what in (*BY_ADDRESS, "for local") and not condition.negated


def _not_known(domain: str, conditions: Sequence[Condition]) -> UserError:
    tables = [condition.table for condition in conditions if condition.table]
    names = ", ".join(dict.fromkeys(f"{table.name} ({table.type})" for table in tables))
    return UserError(f"only smtpd can tell whether it serves {domain}, from the table {names}")
