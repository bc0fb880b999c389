#!/usr/bin/python
# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""postmaster_check: all three layers in one call on the mail host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postmaster_check
short_description: Prove that mail for postmaster resolves, is accepted and lands
version_added: 0.1.0
description:
  - Proves for every domain that the MTA of the host serves, for its host name, for its address literals and for
    C(postmaster) without a domain, that mail for postmaster reaches a person (RFC 5321 section 4.5.1).
  - It resolves, that is, the address expands through the MTA's own tables to a mailbox that a person reads.
  - It is accepted, that is, the SMTP server takes it in every form that RFC 5321 knows, and refuses what it must.
  - It lands, that is, a message with a fresh token is found in that mailbox, once.
  - At most 64 mailboxes are looked at, and at most 20 of each address. What is beyond that is V(inconclusive).
  - The task fails where a domain has the verdict V(fail), unless O(report_only=true); the whole evidence is in the
    result either way.
author: The mailops.postmaster contributors (@mailops)
extends_documentation_fragment: mailops.postmaster.attributes
attributes:
  check_mode:
    support: full
    description: Changes nothing on the host but for the token messages, which are not sent in check mode.
  diff_mode:
    support: none
options:
  domains:
    description:
      - The domains to prove. Empty for all that the MTA says it serves.
      - Some tables cannot be listed, such as databases and patterns. The MTA is asked whether it serves a domain that
        is named here. Where none is named, the verdict is V(inconclusive), and RV(unlisted) names these tables.
    type: list
    elements: str
    default: []
  layers:
    description: Which layers to prove.
    type: list
    elements: str
    choices: [resolves, accepts, lands]
    default: [resolves, accepts, lands]
  send:
    description: Send the token messages. Without them nothing is shown to land.
    type: bool
    default: true
  send_forms:
    description:
      - V(one) sends a message to postmaster at each domain, to the bare form and to the address literal.
      - V(all) sends one to every form of the address, and to the other role addresses.
    type: str
    choices: [one, all]
    default: one
  remove_messages:
    description:
      - Remove the token messages from the mailboxes in which they were found.
      - In a Maildir their files are removed. An mbox is locked and cut off, if the token messages are at its end and
        unchanged. Other messages are left where they are, and RV(messages_left) says why.
    type: bool
    default: false
  probe:
    description:
      - What M(mailops.postmaster.smtp_probe) returned as
        RV(mailops.postmaster.smtp_probe#module:servers) on another host.
      - Without it the host probes itself, through its own addresses that are not loopback.
    type: list
    elements: dict
    default: []
  role_addresses:
    description: Role addresses besides postmaster that are proven at every domain (RFC 2142).
    type: list
    elements: str
    default: [abuse]
  allowed_accounts:
    description: System accounts that a person reads, and that are therefore no warning.
    type: list
    elements: str
    default: []
  unread_days:
    description:
      - For how many days mail may wait in the mailbox without anybody reading it, before that is a warning (row R12).
        0 for any number.
      - In an mbox, a message waits that came after the last access to the file and that no mail reader has marked
        (C(Status)); where the file system keeps no times of access, the mark alone counts. In a Maildir, what is in
        C(new) waits.
      - The messages of the proof do not count.
    type: int
    default: 30
  exempt:
    description:
      - Whether a host may take no mail from others, because it listens on loopback alone or is closed. It is then
        V(exempt) (RFC 5321 section 4.5.1), and its token messages are handed in on loopback.
      - Where it is meant to take mail, that is V(fail).
    type: bool
    default: true
  timeout:
    description: How long to wait for the messages to land, in seconds.
    type: float
    default: 30
  strict:
    description:
      - Whether what the MTA cannot do, whatever its settings are, is a failure. Otherwise it does not count, and is
        listed in RV(limitations).
    type: bool
    default: false
  report_only:
    description: Report a failed proof without failing the task.
    type: bool
    default: false
  mta:
    description: The MTA to ask. Empty to find out.
    type: str
    default: ""
  deadline:
    description:
      - How long the module may take in all, in seconds. What was not looked at by then is V(inconclusive).
      - Half of it is for the dialogue with the server.
      - Other hosts are asked about 100 addresses at most, and answer within 30 seconds for all of them together.
    type: float
    default: 300
"""

EXAMPLES = r"""
- name: Prove all that the mail host serves
  mailops.postmaster.postmaster_check:
  become: true

- name: Look at one domain's tables, and send nothing
  mailops.postmaster.postmaster_check:
    domains: [example.org]
    layers: [resolves]
    report_only: true
  become: true
"""

RETURN = r"""
verdict:
  description: The verdict of the whole; V(pass), V(fail), V(warn), V(inconclusive), V(exempt) or V(skipped).
  returned: always
  type: str
summary:
  description: One sentence that a person can act on.
  returned: always
  type: str
findings:
  description: A line for everything that is not in order; the row's id, its verdict, what is wrong, where, the cure.
  returned: always
  type: list
  elements: str
limitations:
  description: What the MTA cannot do, whatever its settings are, as row and reason. It counts with O(strict) alone.
  returned: always
  type: list
  elements: str
unlisted:
  description: The tables that may hold more domains and cannot be listed, where O(domains) is empty.
  returned: always
  type: list
  elements: str
  sample: ["virtual_mailbox_domains: sqlite:/etc/postfix/domains.cf"]
stranger:
  description: Whether the server was seen from another host.
  returned: always
  type: bool
mta:
  description: The MTA.
  returned: always
  type: str
version:
  description: Its version.
  returned: always
  type: str
messages_removed:
  description: How many token messages were removed.
  returned: with O(remove_messages)
  type: int
messages_left:
  description: For each mailbox in which token messages were left, how many, and why.
  returned: with O(remove_messages)
  type: list
  elements: str
domains:
  description: The evidence for each domain, the host name, each address literal, and the form without a domain.
  returned: always
  type: list
  elements: dict
  contains:
    domain:
      description: The domain, C([address]) for a literal, or C((no domain)).
      type: str
    kind:
      description:
        - One of V(local), V(virtual), V(relay), V(literal), V(bare), V(none) where it is not served, and V(unknown)
          where the MTA cannot say whether it is.
      type: str
    verdict:
      description: The verdict of the domain.
      type: str
    resolves:
      description: Its C(verdict), and C(addresses) as in M(mailops.postmaster.address_resolve).
      type: dict
    accepts:
      description:
        - Its C(verdict), and C(checks) as in M(mailops.postmaster.smtp_probe), each with its C(limit).
          It says why nothing on the host can mend what failed, and is empty otherwise.
      type: dict
    lands:
      description:
        - Its C(verdict), and C(messages), each with C(id), C(verdict), C(token), C(recipient), C(message), C(remedy).
          Of each there are also the C(mailboxes) that it was found in, its C(count) in them, and the C(seconds) from
          the server's yes to the look that found it.
      type: dict
"""

from ansible_collections.mailops.postmaster.plugins.module_utils.prove import prove
from ansible_collections.mailops.postmaster.plugins.module_utils.runner import run

ARGUMENTS = {
    "domains": {"type": "list", "elements": "str", "default": []},
    "layers": {
        "type": "list",
        "elements": "str",
        "choices": ["resolves", "accepts", "lands"],
        "default": ["resolves", "accepts", "lands"],
    },
    "send": {"type": "bool", "default": True},
    "send_forms": {"type": "str", "choices": ["one", "all"], "default": "one"},
    "remove_messages": {"type": "bool", "default": False},
    "probe": {"type": "list", "elements": "dict", "default": []},
    "role_addresses": {"type": "list", "elements": "str", "default": ["abuse"]},
    "allowed_accounts": {"type": "list", "elements": "str", "default": []},
    "unread_days": {"type": "int", "default": 30},
    "exempt": {"type": "bool", "default": True},
    "timeout": {"type": "float", "default": 30},
    "strict": {"type": "bool", "default": False},
    "report_only": {"type": "bool", "default": False},
    "mta": {"type": "str", "default": ""},
    "deadline": {"type": "float", "default": 300},
}


def main():
    run(prove, argument_spec=ARGUMENTS, supports_check_mode=True)


if __name__ == "__main__":
    main()
