# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The defences: what is refused, what is up, and for how long a client is blocked."""

from __future__ import annotations

import datetime as dt

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.mail_plan import build
from ansible_collections.mailops.postmaster.plugins.module_utils.mistakes import BadInputError

HOST = {"mta_hostname": "mx1.example.org", "mta_postmaster": "alice"}
FLOOD = {"client": "192.0.2.7", "reason": "floods since May", "until": "2026-12-31"}


def defences(today=dt.date(2026, 12, 31), **variables):
    return build({**HOST, **variables}, today)["defences"]


NONE = {
    "on": [],
    "blocklists": [],
    "greylist": 0,
    "client_rate": 0,
    "message_size": 52428800,
    "blocked_clients": [],
}


def test_none_is_up_unless_it_is_asked_for():
    assert defences() == NONE


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"mta_blocklists": ["List.Example.org"]}, {"on": ["blocklists"], "blocklists": ["list.example.org"]}),
        ({"mta_sender_checks": True, "mta_helo_checks": True}, {"on": ["sender", "helo"]}),
        ({"mta_spam_filter": True, "mta_greylist": 300}, {"on": ["greylist", "spam"], "greylist": 300}),
        ({"mta_greylist": 300}, {"on": ["greylist"], "greylist": 300}),
        ({"mta_client_rate": 100, "mta_message_size": 65536}, {"client_rate": 100, "message_size": 65536}),
        # as --extra-vars and surveys give them
        ({"mta_greylist": "300", "mta_spf": "Yes"}, {"on": ["spf", "greylist"], "greylist": 300}),
        ({"mta_sender_checks": "true", "mta_helo_checks": "False", "mta_spam_filter": "off"}, {"on": ["sender"]}),
        ({"mta_client_rate": "0", "mta_message_size": "65536"}, {"client_rate": 0, "message_size": 65536}),
        ({"mta_client_rate": "100"}, {"client_rate": 100}),
    ],
)
def test_those_that_are_asked_for_are_up(variables, found):
    assert defences(**variables) == {**NONE, **found}


@pytest.mark.parametrize(("day", "blocked"), [(dt.date(2026, 12, 31), 1), (dt.date(2027, 1, 1), 0)])
@pytest.mark.parametrize("until", ["2026-12-31", dt.date(2026, 12, 31)])
def test_a_block_ends_after_its_last_day(day, blocked, until):
    assert len(defences(day, mta_postmaster_blocked_clients=[{**FLOOD, "until": until}])["blocked_clients"]) == blocked


def test_a_blocked_network_is_known_by_its_texts_too():
    (found,) = defences(mta_postmaster_blocked_clients=[{**FLOOD, "client": "192.0.2.0/24"}])["blocked_clients"]
    assert (found["client"], found["labels"]) == ("192.0.2.0/24", ["192.0.2"])


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("mta_blocklists", "list.example.org", "a list of the DNS zones"),
        ("mta_blocklists", ["list"], "two labels"),
        ("mta_sender_checks", "perhaps", "true or false"),
        ("mta_sender_checks", "", "true or false"),
        ("mta_spf", None, "true or false"),
        ("mta_helo_checks", 1, "true or false"),
        ("mta_spam_filter", "rspamd", "true or false"),
        ("mta_greylist", True, "a whole number from 0"),
        ("mta_greylist", -1, "a whole number from 0"),
        ("mta_client_rate", "10 0", "0 for any number, or a whole number from 100"),
        ("mta_client_rate", "\u0661\u0660\u0660", "0 for any number, or a whole number from 100"),
        ("mta_client_rate", 60, "0 for any number, or a whole number from 100"),
        ("mta_client_rate", None, "0 for any number, or a whole number from 100"),
        ("mta_client_rate", False, "0 for any number, or a whole number from 100"),
        ("mta_greylist", [], "a whole number from 0"),
        ("mta_greylist", {}, "a whole number from 0"),
        ("mta_message_size", 65535, "a whole number from 65536"),
        ("mta_postmaster_blocked_clients", FLOOD, "a list"),
        ("mta_postmaster_blocked_clients", ["192.0.2.7"], "client, reason and until"),
        ("mta_postmaster_blocked_clients", [{"client": "192.0.2.7"}], "client, reason and until"),
        ("mta_postmaster_blocked_clients", [{**FLOOD, "client": "mx.example.org"}], "an IPv4 or IPv6 address"),
        ("mta_postmaster_blocked_clients", [{**FLOOD, "reason": "it's ${run}"}], "letters, digits"),
        ("mta_postmaster_blocked_clients", [{**FLOOD, "reason": ""}], "1 to 80"),
        ("mta_postmaster_blocked_clients", [{**FLOOD, "until": "soon"}], "the last day"),
        ("mta_postmaster_blocked_clients", [{**FLOOD, "until": "20260101"}], "'20260101' is not allowed here"),
        ("mta_postmaster_blocked_clients", [{**FLOOD, "until": 20260101}], "until: 20260101 is not allowed here"),
        ("mta_postmaster_blocked_clients", [{**FLOOD, "until": "2026-W01-1"}], "as year-month-day (2026-12-31)"),
        ("mta_postmaster_blocked_clients", [{**FLOOD, "until": None}], "until: null is not allowed here"),
        ("mta_postmaster_blocked_clients", [{**FLOOD, "until": dt.datetime(2026, 12, 31, 5)}], "as year-month-day"),
        ("mta_postmaster_blocked_clients", [{**FLOOD, "until": "2026-02-30"}], "the last day"),
    ],
)
def test_what_is_wrong_is_named_with_its_value_and_what_is_allowed(variable, value, named):
    with pytest.raises(BadInputError) as caught:
        defences(**{variable: value})
    (error,) = caught.value.errors
    assert variable in error
    assert named in error
