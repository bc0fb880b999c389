#!/usr/bin/python
# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""address_resolve: the expansion tree of any address, and where each branch ends."""

from __future__ import annotations

DOCUMENTATION = r"""
module: address_resolve
short_description: Follow mail addresses through the MTA's own tables to where their mail ends
version_added: 0.1.0
description:
  - Follows each address as the MTA of the host would, by asking the MTA's own tools; its classes of domains, canonical,
    virtual and alias tables of every type, C(:include:) files, C(.forward) files and accounts.
  - Judges each place where the mail ends by rows R1 to R10 of the catalogue. Whether a person reads the mailbox, a
    program is there, another host takes the address, and whether a table in use says what its source says.
  - A C(.forward) file, and what it includes, is read with the rights of its account, up to 1 MiB. What is no regular
    file, or cannot be read, is a finding. Of a longer file, and of more than 10,000 members, the verdict is
    V(inconclusive).
  - What is wrong with an address is data in the result; the task does not fail for it.
author: The mailops.postmaster contributors (@mailops)
extends_documentation_fragment: mailops.postmaster.attributes
attributes:
  check_mode:
    description: Changes nothing, in check mode or out of it.
    support: full
  diff_mode:
    support: none
options:
  addresses:
    description: The addresses, with a domain or without one, in any form that SMTP knows (RFC 5321 section 4.1.2).
    type: list
    elements: str
    required: true
  allowed_accounts:
    description: System accounts that a person reads, and that are therefore no warning (row R6).
    type: list
    elements: str
    default: []
  ask_remote:
    description:
      - Ask the host that gets an address off this host whether it takes it, by C(RCPT); no mail is sent (row R8).
      - Without it such an address is V(skipped).
    type: bool
    default: true
  mta:
    description: The MTA to ask where the host has several. Empty to find out.
    type: str
    default: ""
  deadline:
    description:
      - How long the module may take in all, in seconds. What was not looked at by then is V(inconclusive).
      - Other hosts are asked about 100 addresses at most, and answer within 30 seconds for all of them together.
    type: float
    default: 120
seealso:
  - module: mailops.postmaster.postmaster_check
"""

EXAMPLES = r"""
- name: Follow postmaster
  mailops.postmaster.address_resolve:
    addresses: [postmaster, postmaster@example.org]
  become: true
  register: found

- name: Show where the mail ends
  ansible.builtin.debug:
    msg: "{{ found.addresses | map(attribute='destinations') }}"
"""

RETURN = r"""
addresses:
  description: One for each of O(addresses); one that is given twice is there once.
  returned: always
  type: list
  elements: dict
  contains:
    address:
      description: The address as it was given.
      type: str
    verdict:
      description: V(pass), V(fail), V(warn), V(inconclusive), or V(skipped) where nothing could be judged.
      type: str
    destinations:
      description: Every place where its mail ends.
      type: list
      elements: dict
      contains:
        kind:
          description: V(mailbox), V(remote), V(file), V(pipe), V(lmtp), V(null) or V(error).
          type: str
        value:
          description: The path of a mailbox or file, an address, a command, or the reason of an error.
          type: str
    edges:
      description: The steps that lead there.
      type: list
      elements: dict
      contains:
        source:
          description: The address, alias or file that leads on.
          type: str
        target:
          description: What it leads to.
          type: str
        via:
          description: Where that is said; C(file:line), or a table or setting of the MTA.
          type: str
    problems:
      description: What is wrong.
      type: list
      elements: dict
      contains:
        id:
          description: The row of the catalogue, V(R1) to V(R10).
          type: str
        verdict:
          description: V(fail), V(warn), V(inconclusive) or V(skipped).
          type: str
        message:
          description: What is wrong. A loop (RFC 5321 section 6.3) is given with its whole cycle.
          type: str
        where:
          description: The file and line, table or setting; the command and reply of another host.
          type: str
        remedy:
          description: The smallest change that heals it.
          type: str
"""

from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils.checked import Checked, line
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.registry import adapter
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.resolve import resolve
from ansible_collections.mailops.postmaster.plugins.module_utils.runner import run
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.callouts import Callouts
from ansible_collections.mailops.postmaster.plugins.module_utils.unexpected import attempt


def expand(params, _check_mode):
    note = Checked(params)
    addresses = note.each("addresses", line)
    note.settle()
    deadline = Deadline(params["deadline"])
    host = Host(deadline)
    mta = adapter(host, params["mta"])
    asked = Callouts(mta.served().hostname, deadline) if params["ask_remote"] else None
    attempt(lambda: mta.expect(addresses), lambda _reason: None)  # what cannot be asked at once is asked one by one
    found = [resolve(host, mta, address, params["allowed_accounts"], asked) for address in addresses]
    return {"addresses": [expansion.as_dict() for expansion in found]}


def main():
    run(
        expand,
        argument_spec={
            "addresses": {"type": "list", "elements": "str", "required": True},
            "allowed_accounts": {"type": "list", "elements": "str", "default": []},
            "ask_remote": {"type": "bool", "default": True},
            "mta": {"type": "str", "default": ""},
            "deadline": {"type": "float", "default": 120},
        },
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
