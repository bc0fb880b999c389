# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a user's variables to the model that every backend's templates are written from. Pure.

``build`` checks everything that can be known without a host and raises ``BadInputError`` with one line for each
mistake: the variable, the value, what is allowed. What it returns is plain data: names in lower case, domains as
A-labels, every address qualified.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from . import canonical, secret_settings
from .defences import defences
from .mistakes import BadInputError, Collector, quoted
from .networks import labels

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from .mistakes import Lead

# RFC 2142: the names that go with a service. Postmaster and abuse belong to every mail host.
ROLE_NAMES: dict[str, tuple[str, ...]] = {
    "mail": ("postmaster", "abuse"),
    "dns": ("hostmaster",),
    "http": ("webmaster", "www"),
    "network": ("noc", "security"),
    "news": ("news", "usenet"),
    "ftp": ("ftp",),
    "uucp": ("uucp",),
    "business": ("info", "marketing", "sales", "support"),
}

# What the host does for others: it takes their mail, it listens to itself alone, or it tells them that it takes none.
SERVICES = ("mx", "send_only", "closed")

# Seconds in which a change has to be proven.
CONFIRMED_WITHIN = (10, 86400)

# Seconds in which one command of a change has to end.
COMMAND_WITHIN = (10, 3600)

# What postmaster can ask to be told of, beside what nobody else can be told.
NOTICES = ("bounces",)

A_SETTING = "a string, a number or a boolean; a number has 18 digits at most"


@dataclass(frozen=True)
class Names:
    """The variables' names, as the user wrote them."""

    service: str = "mta_service"
    hostname: str = "mta_hostname"
    domains: str = "mta_domains"
    virtual: str = "mta_virtual_domains"
    relay: str = "mta_relay_domains"
    listen: str = "mta_listen"
    trusted: str = "mta_trusted_networks"
    postmaster: str = "mta_postmaster"
    notices: str = "mta_postmaster_notices"
    settings: str = "mta_extra_settings"
    confirm: str = "mta_confirm_timeout"
    command: str = "mta_command_timeout"
    services: str = "role_addresses_services"
    targets: str = "role_addresses_targets"
    overrides: str = "role_addresses_domains"


NAMES = Names()


def build(variables: Mapping[str, Any], today: dt.date = dt.date.min) -> dict[str, Any]:
    """The model of a mail host from its variables, by their names as in ``Names``; raises ``BadInputError``.

    ``service`` (see SERVICES); ``hostname``;
    ``local``, ``virtual``, ``relay`` (domain to next hop); ``aliases`` (name to targets; an empty list:
    no such entry); ``rows`` (address to qualified targets, for the virtual domains and for overrides);
    ``names`` (accounts and aliases that must exist, to who wants them: variable and value); ``listen``,
    ``trusted``, ``labels`` (of trusted networks: the texts that their addresses begin with), ``notices``, ``settings``,
    ``secrets`` (the kind of each secret setting, without its value: see secret_settings),
    ``confirm_timeout`` and ``command_timeout`` (seconds);
    ``domains`` (all that the host serves, in the order in which they were given); ``defences`` (see there; what was
    blocked until a day before ``today`` no longer is).
    """
    split = secret_settings.split(NAMES.settings, variables.get(NAMES.settings, {}))
    variables = {**variables, NAMES.settings: split.public}
    note = Collector()
    note.errors += split.mistakes
    for variable, value in variables.items():
        note.seen(variable, value)
    if note.errors:
        raise BadInputError(note.errors)

    get = variables.get
    hostname = note.canonical(NAMES.hostname, get(NAMES.hostname), canonical.domain)
    local = _local(note, get(NAMES.domains, []))
    virtual = _virtual(note, get(NAMES.virtual, {}))
    relay = _relay(note, get(NAMES.relay, {}), hostname)
    own = [name for name in local if name != hostname]
    _disjoint(note, {NAMES.hostname: [hostname], NAMES.domains: own, NAMES.virtual: virtual, NAMES.relay: relay})

    service = get(NAMES.service, "mx")
    if service not in SERVICES:
        note.add(NAMES.service, service, ", ".join(SERVICES))
    services = _list(note, NAMES.services, get(NAMES.services, ["mail"]))
    for offered in services:
        if str(offered) not in ROLE_NAMES:
            note.add(NAMES.services, offered, "a list of " + ", ".join(ROLE_NAMES))
    roles = _unique(name for offered in ("mail", *services) for name in ROLE_NAMES.get(str(offered), ()))
    aliases = _aliases(note, roles, get(NAMES.postmaster), get(NAMES.targets, {}))
    overrides = _overrides(note, get(NAMES.overrides, {}), _unique([hostname, *local, *virtual, *relay]))
    _one_reader(note, virtual, overrides)

    rows = _rows(virtual, overrides, aliases, hostname)
    here = _unique([hostname, *local])
    model = {
        "service": service,
        "hostname": hostname,
        "local": here,
        "virtual": list(virtual),
        "relay": relay,
        "domains": _unique([*local, *virtual, hostname, *relay]),
        "roles": roles,
        "aliases": aliases,
        "rows": rows,
        "names": _names(note.leads, aliases, rows, {*here}),
        "listen": _listen(note, service, get(NAMES.listen, ["all"])),
        "trusted": _each(note, NAMES.trusted, get(NAMES.trusted, []), canonical.network),
        "notices": _notices(note, get(NAMES.notices, [])),
        "settings": _settings(note, get(NAMES.settings, {})),
        "secrets": split.secrets,
        "confirm_timeout": note.number(NAMES.confirm, get(NAMES.confirm, 600), *CONFIRMED_WITHIN),
        "command_timeout": note.number(NAMES.command, get(NAMES.command, 120), *COMMAND_WITHIN),
        "defences": defences(note, variables, today),
    }
    model["labels"] = {network: found for network in model["trusted"] for found in [labels(network)] if found}
    _nothing_beyond(note, model, variables)
    if not note.errors:
        _no_dead_ends(note, model)
    if not note.errors:
        _no_loops(note, model)
    if note.errors:
        raise BadInputError(note.errors)
    return model


def _list(note: Collector, variable: str, value: Any) -> list[Any]:
    found: list[Any] = note.typed(variable, value, list, "a list")
    return found


def _each(note: Collector, variable: str, value: Any, form: Callable[[str], str]) -> list[str]:
    return [note.canonical(variable, item, form) for item in _list(note, variable, value)]


def _dict(note: Collector, variable: str, value: Any, allowed: str) -> dict[Any, Any]:
    found: dict[Any, Any] = note.typed(variable, value, dict, allowed)
    return found


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(item for item in items if item))


def _local(note: Collector, value: Any) -> list[str]:
    found: dict[str, None] = {}
    for name in _list(note, NAMES.domains, value):
        found[note.key(NAMES.domains, name, canonical.domain, found)] = None
    return list(found)


def _virtual(note: Collector, value: Any) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for name, addresses in _dict(note, NAMES.virtual, value, "a dictionary of domains").items():
        variable = f"{NAMES.virtual}[{quoted(name)}]"
        listed = _dict(note, variable, addresses or {}, "a dictionary of local parts, each with its targets")
        found[note.key(NAMES.virtual, name, canonical.domain, found)] = _addresses(
            note, variable, listed, canonical.listed_local_part
        )
    return found


def _addresses(
    note: Collector,
    variable: str,
    listed: Mapping[Any, Any],
    form: Callable[[str], str] = canonical.folded_local_part,
) -> dict[str, list[str]]:
    """Local parts in lower case, each with its targets."""
    found: dict[str, list[str]] = {}
    for name, targets in listed.items():
        local = note.key(variable, name, form, found)
        found[local] = note.targets(f"{variable}[{quoted(name)}]", targets)
    return found


def _relay(note: Collector, value: Any, hostname: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, primary in _dict(note, NAMES.relay, value, "a dictionary of domains, each with its primary").items():
        variable = f"{NAMES.relay}[{quoted(name)}]"
        next_hop = note.canonical(variable, primary, canonical.next_hop)
        if next_hop == f"[{hostname}]":
            note.add(variable, primary, "the primary mail host of the domain, which is another host")
        found[note.key(NAMES.relay, name, canonical.domain, found)] = next_hop
    return found


def _disjoint(note: Collector, served: Mapping[str, Iterable[str]]) -> None:
    seen: dict[str, str] = {}
    for variable, domains in served.items():
        for domain in filter(None, domains):
            if seen.setdefault(domain, variable) != variable:
                allowed = f"a domain that does not stand in {seen[domain]} as well"
                note.add(variable, note.written(variable, domain), allowed)


def _aliases(note: Collector, roles: Sequence[str], postmaster: Any, targets: Any) -> dict[str, list[str]]:
    """What the aliases table says: postmaster is the named person, every other role is postmaster's.

    A person who *is* the account called postmaster has no entry: it would lead to itself.
    """
    wanted = {name: ["postmaster"] for name in roles}
    wanted["postmaster"] = note.targets(NAMES.postmaster, postmaster)
    listed = _addresses(
        note, NAMES.targets, _dict(note, NAMES.targets, targets, "a dictionary of names, each with its targets")
    )
    if "postmaster" in listed:
        allowed = f"any name but postmaster, whose target is {NAMES.postmaster}"
        note.add(NAMES.targets, note.written(NAMES.targets, "postmaster"), allowed)
    wanted.update(listed)
    return {name: [] if found == [name] else found for name, found in wanted.items() if name}


def _overrides(note: Collector, value: Any, served: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    known = {*served}
    for name, addresses in _dict(note, NAMES.overrides, value, "a dictionary of domains").items():
        variable = f"{NAMES.overrides}[{quoted(name)}]"
        domain = note.key(NAMES.overrides, name, canonical.domain, found)
        if domain and domain not in known:
            note.add(NAMES.overrides, name, "a domain that this host serves ({})".format(", ".join(served)))
        listed = _dict(note, variable, addresses, "a dictionary of role names, each with its targets")
        found[domain] = _addresses(note, variable, listed)
    return found


def _one_reader(
    note: Collector, virtual: Mapping[str, Mapping[str, list[str]]], overrides: Mapping[str, Mapping[str, list[str]]]
) -> None:
    """An address that two variables list has the same targets in both, or one of them would count for nothing."""
    for domain, addresses in overrides.items():
        listed = virtual.get(domain, {})
        at = quoted(note.written(NAMES.virtual, domain))
        variable = f"{NAMES.overrides}[{quoted(note.written(NAMES.overrides, domain))}]"
        for name, targets in addresses.items():
            if name and listed.get(name, targets) != targets:
                allowed = f"an address that {NAMES.virtual}[{at}] does not list with other targets"
                note.add(variable, note.written(variable, name), allowed)


def _rows(
    virtual: Mapping[str, Mapping[str, list[str]]],
    overrides: Mapping[str, Mapping[str, list[str]]],
    aliases: Mapping[str, list[str]],
    hostname: str,
) -> dict[str, list[str]]:
    """Address to targets, all qualified: role addresses at every virtual domain, what is listed, the overrides.

    A catch-all is an address without a local part.
    """
    rows = {f"{role}@{domain}": [role] for domain in virtual for role in aliases}
    for listed in (virtual, overrides):
        for domain, addresses in listed.items():
            rows.update({f"{name.strip('*')}@{domain}": targets for name, targets in addresses.items()})
    return {
        address: [target if "@" in target else f"{target}@{hostname}" for target in targets]
        for address, targets in rows.items()
    }


def _names(
    leads: Sequence[Lead], aliases: Mapping[str, list[str]], rows: Container[str], here: Container[str]
) -> dict[str, str]:
    """The local names that must exist on the host, each with the place that wants it and what the user wrote there."""
    found: dict[str, str] = {}
    for variable, written, target in leads:
        name, _dummy, domain = target.lower().partition("@")
        if (domain and domain not in here) or _found(f"{name}@{domain}", rows):
            continue
        if not aliases.get(_found(name, aliases)):
            found.setdefault(name, f"{variable}: {quoted(written)}")
    return found


def _found(address: str, known: Container[str]) -> str:
    """What an MTA finds among ``known`` for a name or an address: itself, itself without its tag, or a catch-all.

    Empty: none of them.
    """
    local, at, domain = address.partition("@")
    forms = (address, local.partition("+")[0] + at + domain, at + domain)
    return next((form for form in forms if form in known), "")


def _listen(note: Collector, service: str, value: Any) -> list[str]:
    """Where to listen; programs on the host hand their mail over on loopback, whoever else is heard."""
    found = _each(note, NAMES.listen, value, canonical.listener)
    if service == "send_only":
        if not set(found) <= {"all", "loopback"}:
            note.add(NAMES.listen, value, f"all or loopback, for with {NAMES.service}: send_only nothing else listens")
        return ["loopback"]
    if service == "closed" and set(found) <= {"loopback"}:
        note.add(NAMES.listen, value, f"all, or addresses of this host that {NAMES.service}: closed can close")
    if service == "mx" and value == []:
        note.add(NAMES.listen, value, f"one or more of these: {canonical.A_LISTENER}")
    return found if service == "mx" or "all" in found else _unique([*found, "loopback"])


def _nothing_beyond(note: Collector, model: Mapping[str, Any], variables: Mapping[str, Any]) -> None:
    """A host that takes no mail from others has none to relay, and nobody to relay it for who cannot reach it."""
    service = model["service"]
    if service != "mx" and model["relay"]:
        note.add(NAMES.relay, variables[NAMES.relay], f"an empty dictionary with {NAMES.service}: {service}")
    if service == "send_only" and model["trusted"]:
        note.add(NAMES.trusted, variables[NAMES.trusted], f"an empty list with {NAMES.service}: send_only")


def _notices(note: Collector, value: Any) -> list[str]:
    found = _list(note, NAMES.notices, value)
    for notice in found:
        if notice not in NOTICES:
            note.add(NAMES.notices, notice, "a list of " + ", ".join(NOTICES))
    return _unique(str(notice) for notice in found)


def _settings(note: Collector, value: Any) -> dict[str, Any]:
    found = _dict(note, NAMES.settings, value, "a dictionary of native settings")
    for name, setting in found.items():
        if not isinstance(name, str) or not name or name != name.strip():
            note.add(NAMES.settings, name, "the name of a native setting")
        elif not isinstance(setting, str) and not _is_number(setting):
            note.add(f"{NAMES.settings}[{quoted(name)}]", setting, A_SETTING)
    return found


def _is_number(value: Any) -> bool:
    """Whether it is a boolean, or a number that can be written in full."""
    return isinstance(value, (int, float)) and abs(value) < 10**18


def _no_dead_ends(note: Collector, model: Mapping[str, Any]) -> None:
    """A target in a virtual domain of this host must be an address that the domain has; what follows a + is a tag."""
    virtual = {*model["virtual"]}
    for variable, written, target in note.leads:
        domain = target.partition("@")[2]
        if domain in virtual and not _found(target.lower(), model["rows"]):
            note.add(variable, written, f"an address at {domain} that {NAMES.virtual}[{quoted(domain)}] lists")


def _no_loops(note: Collector, model: Mapping[str, Any]) -> None:
    """An alias must not lead back to itself, through the aliases or through the virtual domains."""

    here = {*model["local"]}

    def key(target: str) -> str:
        name, _dummy, domain = target.lower().partition("@")
        row = _found(target.lower(), model["rows"])
        if row or (domain and domain not in here):
            return row or target.lower()
        return _found(name, model["aliases"]) or name

    graph = {name: [key(target) for target in targets] for name, targets in model["aliases"].items()}
    graph.update({address: [key(target) for target in targets] for address, targets in model["rows"].items()})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        note.errors.append(
            "{}, {}, {} and {} together make a loop: {}; allowed: aliases that end at an account or elsewhere.".format(
                NAMES.postmaster,
                NAMES.targets,
                NAMES.virtual,
                NAMES.overrides,
                " -> ".join(reversed(error.args[1])),
            )
        )
