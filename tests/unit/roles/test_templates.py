# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of every MTA have the same lines whatever the values of the variables are: values are words in them."""

from __future__ import annotations

import datetime as dt
import pathlib
import re

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar
from ansible_collections.mailops.postmaster.plugins.module_utils.mail_plan import build

ROLE = pathlib.Path(__file__).resolve().parents[3] / "roles" / "mta"
BACKENDS = sorted(path.stem for path in (ROLE / "vars" / "backends").glob("*.yml"))
HOST = {
    "addresses": ["203.0.113.20", "2001:db8::10"],
    "system": {"id": "debian", "release": "13"},
    "mta": "",
    "replaced": "",
    "packages_missing": [],
    "foreign": [],
}

# By the word that stands for it below: a value like those of the examples, and the oddest one that is allowed.
VALUES = {
    "HOSTNAME": ("mx1.example.org", "0-0.xn--bcher-kva.a-1"),
    "LOCAL": ("example.org", "1.2.3.4a"),
    "VIRTUAL": ("example.net", "dnl.include.define"),
    "RELAYED": ("example.com", "begin-acl.end"),
    "PRIMARY": ("p.example.com", "accept.deny"),
    "LISTEN": ("203.0.113.7", "0.0.0.255"),
    "TRUSTED": ("192.0.2.0/24", "255.255.255.255/32"),
    "READER": ("alice", "_-_.-"),
    "NAME": ("sales", "dnl-_+='&~/.x/-"),
    "REMOTE": ("bob@elsewhere.example", "0+='&~/%s-@a.b" % ("x" * 50)),
    "ZONE": ("list.example.org", "reject.if"),
    "CLIENT": ("198.51.100.0/24", "10.0.0.0/24"),
    "REASON": ("floods since May", "dnl (a) begin acl /../ -_+ ."),
    "UNTIL": ("2026-12-31", "9999-01-01"),
    "SETTING": ("own-value", "x é 邮 @ = :"),
}
PLACES = {"postfix": "myown_setting", "exim": "own_setting", "opensmtpd": "queue own", "sendmail": "confOWN"}


def variables(value, backend):
    return {
        "mta_hostname": value["HOSTNAME"],
        "mta_domains": [value["LOCAL"]],
        "mta_virtual_domains": {value["VIRTUAL"]: {value["NAME"]: [value["READER"], value["REMOTE"]]}},
        "mta_relay_domains": {value["RELAYED"]: value["PRIMARY"] + ":26"},
        "mta_listen": [value["LISTEN"]],
        "mta_trusted_networks": [value["TRUSTED"]],
        "mta_postmaster": [value["READER"], value["REMOTE"]],
        "mta_extra_settings": {PLACES[backend]: value["SETTING"]},
        "mta_blocklists": [value["ZONE"]] if backend != "opensmtpd" else [],
        "mta_spam_filter": True,
        "mta_helo_checks": True,
        "mta_postmaster_blocked_clients": [
            {"client": value["CLIENT"], "reason": value["REASON"], "until": value["UNTIL"]}
        ],
        "role_addresses_targets": {"carol": value["REMOTE"]},
        "role_addresses_domains": {value["LOCAL"]: {value["NAME"]: value["REMOTE"]}},
    }


def templar_of(backend, plan, settings=(), host=None):
    """What Ansible knows of a host with this plan, and what fills it in."""
    loader = DataLoader()
    files = (ROLE / "vars" / "main.yml", ROLE / "vars" / "backends" / f"{backend}.yml")
    given = {
        "role_addresses_plan": {"plan": plan},
        "role_addresses_host": {**HOST, **(host or {})},
        "ansible_managed": "managed",
    }
    given["mta_extra_settings"] = dict(settings)
    for path in files:
        given.update(loader.load_from_file(str(path), trusted_as_template=True))
    return given, loader, Templar(loader=loader, variables=given)


def rendered(backend, plan, settings=()):
    """The files of a host with this plan, by their paths."""
    return {path: text for path, (text, _entry) in entries(backend, plan, settings).items()}


def entries(backend, plan, settings=()):
    """What each file says, and what config_transaction is told of it, by its path."""
    given, loader, templar = templar_of(backend, plan, settings)
    found = {}
    shared = templar.template(given["mta_defences_shared"])["spam"]["templates"]
    transaction = templar.template(given["mta_backend_transaction"])
    for template in [*transaction["templates"], *shared]:
        lookup = lookup_loader.get("template", loader=loader, templar=templar)
        (text,) = lookup.run([str(ROLE / "templates" / template["src"])], given, trim_blocks=True)
        found[template["path"]] = text, template
    return {**found, **{file["path"]: (file["content"], file) for file in transaction["files"]}}


def shape(text, values):
    """The lines of a file, with a mark in place of each value in any form that a template gives it."""
    for word, value in sorted(values.items(), key=lambda row: -len(row[1])):
        network = re.sub(r"(\.0)?/[0-9]+$", "", value) if word in ("TRUSTED", "CLIENT") else value
        for form in (value, value.replace("@", "="), network):
            text = text.replace(form, "?")
    return re.sub(r"[?](/[0-9]+)?", "?", text).split("\n")


@pytest.fixture(scope="module", params=BACKENDS)
def files(request):
    """For each of both columns of values: the files, and the values by what stands for them."""
    columns = []
    for column in (0, 1):
        value = {word: row[column] for word, row in VALUES.items()}
        plan = build(variables(value, request.param), dt.date(2026, 12, 1))
        columns.append((rendered(request.param, plan), value))
    return columns


def test_the_lines_of_a_file_are_the_same_whatever_the_values_are(files):
    (usual, usual_values), (odd, odd_values) = files
    assert usual.keys() == odd.keys()
    for path, text in usual.items():
        assert shape(odd[path], odd_values) == shape(text, usual_values), path


def test_every_value_reaches_a_file(files):
    for found, values in files:
        everything = "".join(found.values())
        for word in ("HOSTNAME", "LOCAL", "VIRTUAL", "RELAYED", "PRIMARY", "LISTEN", "REMOTE", "REASON", "SETTING"):
            assert values[word] in everything, word


SECRETS = {
    "postfix": {"smtp_sasl_password_maps": ["relay.example.org user:PLANTED", "b.example c:PLANTED"]},
    "exim": {"bi_command": "/bin/true PLANTED"},
    "opensmtpd": {"table credentials": '{ "relay" = "user:PLANTED" }'},
    "sendmail": {"confDOUBLE_BOUNCE_ADDRESS": "of-PLANTED"},
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_secret_setting_stands_in_a_secret_file_alone(backend):
    settings = {name: {"value": value, "secret": True} for name, value in SECRETS[backend].items()}
    given = {"mta_hostname": "mx1.example.org", "mta_postmaster": "alice", "mta_extra_settings": settings}
    found = entries(backend, build(given, dt.date(2026, 12, 1)), settings)
    (holder,) = (path for path, (text, _entry) in found.items() if "PLANTED" in text)
    text, entry = found[holder]
    (value,) = SECRETS[backend].values()
    assert all(line in text for line in (value if isinstance(value, list) else [value]))
    assert (entry["secret"], entry["mode"]) == (True, "0600")
    assert not [name for name in SECRETS[backend] if backend != "postfix" and name in found[LIVE[backend]][0]]


# what Debian's Parse_mc.pm has a place for in /etc/mail/databases, and what it has none for
LISTED = [
    "ALIAS_FILE", "DATABASE_MAP_TYPE", "HELP_FILE", "MAIL_SETTINGS_DIR", "MSP_QUEUE_DIR", "QUEUE_DIR",
    "STATUS_FILE", "TRUST_AUTH_MECH", "confAUTH_MECHANISMS", "confAUTH_REALM", "confCACERT", "confCACERT_PATH",
    "confCLIENT_CERT", "confCLIENT_KEY", "confCONTROL_SOCKET_NAME", "confCRL", "confCR_FILE", "confCT_FILE",
    "confCW_FILE", "confDEAD_LETTER_DROP", "confDEF_AUTH_INFO", "confDH_PARAMETERS", "confEBINDIR",
    "confERROR_MESSAGE", "confHOSTS_FILE", "confHOST_STATUS_DIRECTORY", "confPID_FILE", "confSERVER_CERT",
    "confSERVER_KEY", "confSERVICE_SWITCH_FILE", "confTLS_SRV_OPTIONS", "confTO_AUTH", "confTO_STARTTLS",
    "confUSERDB_SPEC",
]  # fmt: skip
NOT_LISTED = ["confDOUBLE_BOUNCE_ADDRESS", "confSMTP_LOGIN_MSG", "confTO_IDENT", "confAUTH_OPTIONS"]


@pytest.mark.parametrize("name", [*LISTED, *NOT_LISTED])
def test_what_debian_lists_for_everybody_is_no_secret_setting(name):
    settings = {name: {"value": "/etc/mail/PLANTED", "secret": True}}
    plan = build({"mta_hostname": "mx1.example.org", "mta_postmaster": "alice", "mta_extra_settings": settings})
    given, _loader, templar = templar_of("sendmail", plan, settings)
    (row,) = (row for row in given["mta_backend_refusals"] if "Debian's start script" in row["allowed"])
    assert templar.template(row["values"]) == ([name] if name in LISTED else [])


LIVE = {"exim": "/etc/exim4/exim4.conf", "opensmtpd": "/etc/smtpd.conf", "sendmail": "/etc/mail/sendmail.mc"}


@pytest.mark.parametrize("backend", ["exim", "opensmtpd"])
@pytest.mark.parametrize(("value", "refused"), [("x\\", True), ("x\\ ", True), ("\\x", False), ("x", False)])
def test_a_setting_that_would_take_the_next_line_with_it_is_refused(backend, value, refused):
    column = {word: row[0] for word, row in VALUES.items()}
    plan = build(variables({**column, "SETTING": value}, backend), dt.date(2026, 12, 1))
    given, _loader, templar = templar_of(backend, plan)
    refusals = templar.template(given["mta_backend_refusals"])
    (found,) = (row["values"] for row in refusals if "a value that does not end" in row["allowed"])
    assert found == ([value] if refused else [])


def test_m4_reads_as_root_what_only_root_can_write():
    """Whoever writes a file that m4 includes has commands run (syscmd); Debian gives /etc/mail/tls to smmta."""
    text = (ROLE / "templates" / "sendmail" / "sendmail.mc.j2").read_text()
    included = re.findall(r"include\(`([^']*)'", text)
    assert "mailops-secret.m4" in included
    assert [path for path in included if not path.startswith("/usr/share/") and path != "mailops-secret.m4"] == []
