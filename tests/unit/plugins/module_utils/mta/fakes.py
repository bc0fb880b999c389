# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that is data, with a Postfix whose tools read the tables that the data holds."""

from __future__ import annotations

import json
import os
import posixpath
import re
from dataclasses import replace

from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import (
    Account,
    Completed,
    FileStat,
    Host,
    granted,
)
from ansible_collections.mailops.postmaster.plugins.module_utils._system.reader import (
    LIMIT,
    Content,
    RefusedError,
    Rights,
    UnseenError,
)

DEFAULTS = {
    "queue_directory": "/var/spool/postfix",
    "alias_database": "hash:/etc/aliases",
    "alias_maps": "hash:/etc/aliases",
    "allow_mail_to_commands": "alias, forward",
    "allow_mail_to_files": "alias, forward",
    "allow_percent_hack": "yes",
    "append_at_myorigin": "yes",
    "append_dot_mydomain": "no",
    "canonical_maps": "",
    "config_directory": "/etc/postfix",
    "default_privs": "nobody",
    "default_transport": "smtp",
    "fallback_transport": "",
    "fallback_transport_maps": "",
    "forward_path": "$home/.forward${recipient_delimiter}${extension}, $home/.forward",
    "home_mailbox": "",
    "inet_interfaces": "all",
    "inet_protocols": "all",
    "local_transport": "local:mail.example.org",
    "luser_relay": "",
    "mail_spool_directory": "/var/mail",
    "mail_version": "3.10.0",
    "mailbox_command": "",
    "mailbox_command_maps": "",
    "mailbox_transport": "",
    "mailbox_transport_maps": "",
    "mydestination": "example.org, mail.example.org, localhost",
    "mydomain": "example.org",
    "myhostname": "mail.example.org",
    "myorigin": "example.org",
    "owner_request_special": "yes",
    "parent_domain_matches_subdomains": "relay_domains",
    "propagate_unmatched_extensions": "canonical, virtual",
    "proxy_interfaces": "",
    "recipient_canonical_maps": "",
    "recipient_delimiter": "+",
    "relay_domains": "",
    "relay_recipient_maps": "",
    "relay_transport": "relay",
    "relayhost": "",
    "relocated_maps": "",
    "reset_owner_alias": "no",
    "swap_bangpath": "yes",
    "transport_maps": "",
    "virtual_alias_domains": "",
    "virtual_alias_maps": "",
    "virtual_mailbox_base": "",
    "virtual_mailbox_domains": "",
    "virtual_mailbox_maps": "",
    "virtual_transport": "virtual",
}

MASTER_CF = """\
# service type private unpriv chroot wakeup maxproc command
smtp       inet n - y - - smtpd
submission inet n - y - - smtpd
  -o syslog_name=postfix/submission
local      unix - n n - - local
virtual    unix - n n - - virtual
smtp       unix - - y - - smtp
relay      unix - - y - - smtp
        -o syslog_name=postfix/relay
error      unix - - y - - error
discard    unix - - y - - discard
lmtp       unix - - y - - lmtp
filter     unix - n n - - pipe
  flags=R user=nobody argv=/usr/bin/filter ${recipient}
"""

ACCOUNTS = (
    Account("root", 0, 0, "/root", "/bin/bash"),
    Account("daemon", 1, 1, "/usr/sbin", "/usr/sbin/nologin", "a system account (uid 1)"),
    Account("alice", 1000, 1000, "/home/alice", "/bin/bash"),
    Account("bob", 1001, 1001, "/home/bob", "/bin/bash"),
    Account("locked", 1002, 1002, "/home/locked", "/bin/bash", "a locked account"),
    Account("nobody", 65534, 65534, "/nonexistent", "/usr/sbin/nologin", "an account that cannot log in"),
)
DIRECTORY = FileStat(0, 0, 0o755, 0, 0, True, False)
PROGRAM = FileStat(0, 0, 0o755, 0, 0, False, True)
OLD, NEW = 1000.0, 2000.0


class FakeHost(Host):
    """``files`` holds texts by path, ``stats`` what differs from a file of root's with mode 0644.

    ``traps`` are the errors that reading a path for an account ends with.
    """

    def __init__(self, aliases="", files=None, stats=None, programs=("/usr/sbin/postconf",), **settings):
        super().__init__()
        self.settings = {**DEFAULTS, **settings}
        self.files = {"/etc/postfix/master.cf": MASTER_CF, "/etc/aliases": aliases, "/etc/aliases.db": aliases}
        self.files.update(files or {})
        self.stats = {path: {"kind": PROGRAM} for path in programs}
        self.stats.update(stats or {})
        self.traps = {}
        self.commands = []
        self.answers = {}
        self.sockets = []

    def stat(self, path):
        known = {path: dict(changes) for path, changes in self.stats.items()}
        directories = {
            above
            for name in (*self.files, *known, "/var/mail/x", "/home/alice/x", "/home/bob/x")
            for above in _above(name)
        }
        if path in self.files or path in known:
            changes = known.get(path, {})
            mtime = NEW if path.endswith((".db", ".lmdb")) else OLD
            kind = changes.pop("kind", FileStat(0, 0, 0o644, mtime, 0, False, True))
            return replace(kind, **changes)
        return DIRECTORY if path in directories else None

    def read(self, path):
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self.files[path]

    def read_as(self, path, account, *, follow=False, limit=LIMIT):
        trap, found = self.traps.get(path), self.stat(path)
        if trap:
            raise trap
        if found and found.is_link and not follow:
            raise RefusedError("is a link, which is not followed")
        if found and found.is_dir:
            raise RefusedError("is a directory, not a regular file")
        data = self.read(path).encode("utf-8", "surrogateescape")
        if not self.may(account, path, os.R_OK):
            raise PermissionError(13, "Permission denied", path)
        if len(data) > limit:
            raise UnseenError(f"is larger than {limit} octets")
        return Content(data, found.uid, found.gid, found.mode, found.mtime, len(data))

    def stat_as(self, path, _account, **_follow):
        return self.stat(path)

    def may(self, account, path, right):
        found = self.stat(path)
        if found is None:
            return False
        if account is None or account.uid == 0:
            return right != os.X_OK or found.is_dir or bool(found.mode & 0o111)
        above = posixpath.dirname(path)
        allowed = granted(found, Rights(account.uid, account.gid), right)
        return allowed and (above in ("", path) or self.may(account, above, os.X_OK))

    def tail(self, path, owners=None):
        found = self.stat(path)
        trusted = found and (owners is None or (found.uid in owners and not found.mode & 0o002))
        return self.files.get(path, "") if trusted else ""

    def real_path(self, path):
        return path

    def which(self, program):
        return next((path for path in self.stats if posixpath.basename(path) == program), None)

    def account(self, name):
        return next((account for account in ACCOUNTS if account.name == name), None)

    def account_of(self, uid):
        return next((account for account in ACCOUNTS if account.uid == uid), None)

    def addresses(self):
        return ["192.0.2.1", "2001:db8::1"]

    def listeners(self):
        return self.sockets

    def run(self, argv, stdin="", **_timeout):
        self.commands.append(tuple(argv))
        if argv[0] == "postconf":
            return _said("".join(f"{name} = {value}\n" for name, value in self.settings.items()))
        if argv[0] in ("postmap", "postalias"):
            return self.postmap(argv[0], argv[3], argv[-1], stdin.splitlines())
        return self.answers.get(argv[0], Completed(tuple(argv), 127, "", "not found"))

    def postmap(self, tool, mode, table, keys):
        kind, _sign, name = table.removeprefix("proxy:").partition(":")
        if mode == "-s" and (table.startswith("proxy:") or kind not in ("hash", "lmdb", "texthash", "inline")):
            reason = "can't sequence maps via the proxy service" if table.startswith("proxy:") else "not supported"
            return Completed((tool,), 1, "", f"{tool}: fatal: {reason}\n")
        if kind in ("inline", "regexp"):
            rows = [re.split(r"\s+|\s*=\s*", row, maxsplit=1) for row in re.findall(r"([^{},]+=[^{},]*|/[^{}]*)", name)]
            rows = [[key.strip(), value.strip()] for key, value in rows]
        else:
            path = name + {"hash": ".db", "lmdb": ".lmdb", "texthash": "", "sqlite": ""}[kind]
            if path not in self.files:
                return Completed((tool,), 1, "", f"{tool}: fatal: open database {path}: No such file or directory\n")
            rows = list(_rows(self.files[path], tool == "postalias" and kind != "texthash"))
        if mode == "-s":
            return _said("".join(f"{key}\t{value}\n" for key, value in rows))
        sign = ":\t" if tool == "postalias" else "\t"
        found = ""
        for key in keys:
            for written, value in rows:
                hit = re.search(written.strip("/"), key) if kind == "regexp" else written.lower() == key.lower()
                if hit and value:
                    found += key + sign + value + "\n"
                    break
        return Completed((tool,), 0 if found else 1, found, "")


def journal(lines, program, uid="0"):
    """What journalctl says when it is asked for the last lines first."""
    entries = [{"MESSAGE": line, "SYSLOG_IDENTIFIER": program, "_UID": uid} for line in lines]
    return _said("".join(json.dumps(entry) + "\n" for entry in reversed(entries)))


def _above(path):
    while path not in ("/", ""):
        path = posixpath.dirname(path)
        yield path


def _rows(text, colons):
    for line in re.sub(r"\n[ \t]+", " ", text).splitlines():
        if line and not line.startswith("#"):
            key, _sign, value = line.partition(":") if colons else line.partition(" ")
            yield key.strip().strip('"'), value.strip()


def _said(out):
    return Completed((), 0, out, "")
