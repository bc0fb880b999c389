# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A number that cannot be meant is refused by its option, with what is allowed, before anything is looked at."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.modules import (
    config_transaction,
    mail_aliases,
    mailbox_find,
    postmaster_check,
    smtp_probe,
)

LONG = "a number of seconds above 0, at most 86400"
WAIT = "a number of seconds from 0 to 86400"
DAY = "a whole number from 0 to 86400"
PORT = "a whole number from 1 to 65535"
SINCE = "a number of seconds since the epoch, at most 253402300799"
NO_TIME = (0, -1, 86400.5, 1e300, "inf", "-inf", "nan")
NO_WAIT = NO_TIME[1:]
NO_PORT = (0, -25, 65536, 10**30)

# what each module needs besides
MODULES = {
    config_transaction: {"state": "confirm"},
    mail_aliases: {"entries": {}},
    postmaster_check: {},
    smtp_probe: {"servers": ["192.0.2.25"]},
    mailbox_find: {"tokens": ["a"], "mailboxes": ["/nowhere"]},
}
REFUSED = [
    *((module, "deadline", LONG, value) for module in MODULES for value in NO_TIME),
    *((config_transaction, "timeout", LONG, value) for value in NO_TIME),
    *((config_transaction, "confirm_timeout", DAY, value) for value in (-1, 86401, 1_000_000, 10**30)),
    *((smtp_probe, "timeout", LONG, value) for value in NO_TIME),
    *((smtp_probe, "retries", "a whole number from 0 to 10", value) for value in (-1, 11, 10**30)),
    *((postmaster_check, "timeout", WAIT, value) for value in NO_WAIT),
    *((postmaster_check, "unread_days", "a whole number from 0 to 100000", value) for value in (-1, 100_001)),
    *((mailbox_find, "timeout", WAIT, value) for value in NO_WAIT),
    *((mailbox_find, "since", SINCE, value) for value in (1e300, "inf", "-inf", "nan")),
]
PORTS = {
    "answers[1].port": lambda port: {"answers": [{"address": "::1"}, {"address": "::1", "port": port}]},
    "service.listens[0].port": lambda port: {
        "service": {"name": "mta", "restart": ["true"], "listens": [{"address": "all", "port": port}]}
    },
}


def shown(option, value, allowed):
    value = float(value) if isinstance(value, str) else value
    return f"{option}: {value!r} is not allowed here; allowed: {allowed}."


@pytest.fixture
def ask(run_module, tmp_path):
    def with_options(module, **options):
        state = {"state_dir": str(tmp_path / "state")} if module in (config_transaction, mail_aliases) else {}
        path = {"path": str(tmp_path / "aliases")} if module is mail_aliases else {}
        return run_module(module, {**MODULES[module], **state, **path, **options})

    return with_options


@pytest.mark.parametrize(("module", "option", "allowed", "value"), REFUSED)
def test_a_number_out_of_range_is_named_with_what_is_allowed(ask, tmp_path, module, option, allowed, value):
    refused = ask(module, **{option: value})
    real = not isinstance(value, int) or option in ("deadline", "timeout")
    assert refused["msg"] == shown(option, float(value) if real else value, allowed)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", NO_PORT)
@pytest.mark.parametrize("option", PORTS)
def test_a_port_that_there_is_not_is_named_with_its_place(ask, option, value):
    assert ask(config_transaction, **PORTS[option](value))["msg"] == shown(option, value, PORT)


def test_all_numbers_of_a_change_are_named_at_once(ask):
    refused = ask(config_transaction, confirm_timeout=-1, timeout=0, state_dir="state", **PORTS["answers[1].port"](0))
    found = [line.partition(":")[0] for line in refused["msg"].splitlines()]
    assert found == ["confirm_timeout", "timeout", "state_dir", "answers[1].port"]


ALLOWED = [
    *((config_transaction, "confirm_timeout", value) for value in (0, 45, 86400)),
    *((config_transaction, "timeout", value) for value in (0.5, 86400)),
    *(
        (module, "deadline", value)
        for module in (config_transaction, mail_aliases, mailbox_find)
        for value in (9, 86400)
    ),
    *((mailbox_find, "since", value) for value in (0, -500, 1_800_000_000.25)),
]


@pytest.mark.parametrize(("module", "option", "value"), ALLOWED)
def test_a_number_at_the_edge_of_what_is_allowed_is_taken(ask, module, option, value):
    more = {"timeout": 0} if module is mailbox_find else {}
    assert not ask(module, **{**more, option: value})["failed"]
