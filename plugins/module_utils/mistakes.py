# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mistakes in a user's variables: gathered, and told all at once. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .smtp import names

ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*$")
CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")

A_DOMAIN = "a domain name of two labels or more (letters, digits and hyphens; at most 63 to a label, 253 in all)"
A_TARGET = "the name of an account or alias of this host, or an address (name@domain)"


class BadInputError(ValueError):
    """One or more mistakes in the variables; ``errors`` holds a sentence for each."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = list(errors)


class Collector:
    """Gathers mistakes, so that a user sees all of them at once."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def add(self, variable: str, value: Any, allowed: str) -> None:
        self.errors.append(f"{variable}: {value!r} is not allowed here; allowed: {allowed}.")

    def typed(self, variable: str, value: Any, kind: type, allowed: str) -> Any:
        """The value where it has the type, else an empty one and a mistake noted."""
        if isinstance(value, kind) and not isinstance(value, bool):
            return value
        self.add(variable, value, allowed)
        return kind()

    def no_control(self, variable: str, value: Any) -> None:
        """A line break or control character may stand in no value, however deep."""
        if isinstance(value, Mapping):
            for key, inner in value.items():
                self.no_control(variable, key)
                self.no_control(f"{variable}[{key!r}]", inner)
        elif isinstance(value, (list, tuple)):
            for index, inner in enumerate(value):
                self.no_control(f"{variable}[{index}]", inner)
        elif isinstance(value, str) and CONTROL.search(value):
            self.add(variable, value, "text without line breaks and control characters")

    def domain(self, variable: str, value: Any) -> str:
        """A domain as A-labels in lower case; one given raw in another script is converted (IDNA)."""
        name = self._normal(names.domain, value)
        if "." not in name:
            self.add(variable, value, A_DOMAIN)
            return ""
        return name

    def _normal(self, form: Callable[[str], str], value: Any) -> str:
        """The normal form of a name, or nothing where it has none."""
        try:
            return form(value) if isinstance(value, str) else ""
        except ValueError:
            return ""

    def target(self, variable: str, value: Any) -> str:
        """An account's name as it is, an address with its domain in lower case."""
        if not isinstance(value, str):
            self.add(variable, value, A_TARGET)
            return ""
        local, at, domain = value.rpartition("@")
        if not at:
            if not ACCOUNT.match(value):
                self.add(variable, value, A_TARGET)
                return ""
            return value
        if not self._normal(names.local_part, local):
            self.add(variable, value, A_TARGET)
            return ""
        domain = self.domain(variable, domain)
        return domain and f"{local}@{domain}"

    def targets(self, variable: str, value: Any) -> list[str]:
        """One target or a list of them; an empty list is a mistake, for it would lead nowhere."""
        values = value if isinstance(value, list) else [value]
        if not values or value in ("", None):
            self.add(variable, value, A_TARGET + ", or a list of them")
            return []
        found = [self.target(variable, item) for item in values]
        return [item for item in found if item]

    def local_part(self, variable: str, value: Any) -> str:
        found = self._normal(names.local_part, value)
        if not found:
            self.add(variable, value, names.A_LOCAL_PART)
        return found.lower()

    def number(self, variable: str, value: Any, least: int, most: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.add(variable, value, f"a whole number from {least} to {most}")
            return least
        return int(value)

    def network(self, variable: str, value: Any) -> str:
        try:
            return str(ipaddress.ip_network(value if isinstance(value, str) else ""))
        except ValueError:
            self.add(variable, value, "an IPv4 or IPv6 address or network (192.0.2.0/24, 2001:db8::/32)")
            return ""

    def listen(self, variable: str, value: Any) -> str:
        if value in ("all", "loopback"):
            return str(value)
        try:
            return str(ipaddress.ip_address(value if isinstance(value, str) else ""))
        except ValueError:
            self.add(variable, value, "all, loopback, or addresses of this host")
            return ""

    def next_hop(self, variable: str, value: Any) -> str:
        """``host``, ``host:port`` or an address (IPv6 in brackets), as ``[host]`` or ``[host]:port``."""
        try:
            host, port = names.server(value if isinstance(value, str) else "")
        except ValueError:
            host, port = "", 0
        if not names.is_address(host) and "." not in host:
            self.add(variable, value, "the primary's host name or address, with :port where it is not 25")
            return ""
        return f"[{host}]" if port == 25 else f"[{host}]:{port}"
