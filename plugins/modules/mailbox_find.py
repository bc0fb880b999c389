#!/usr/bin/python
# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mailbox_find: layer 3, tokens in mbox and Maildir."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mailbox_find
short_description: Find messages by their tokens in mailboxes, and wait for them
version_added: 0.1.0
description:
  - Looks for tokens in the header fields of the messages in mboxes (RFC 4155) and Maildirs, and says how many messages
    carry each of them. M(mailops.postmaster.smtp_probe) puts a fresh token into the field C(X-Postmaster-Token) of each
    message that it sends.
  - Waits until every token was found in one mailbox or more, and no longer. Each look reads only what has come since
    the last.
  - A message counts as soon as its header fields are complete, and once, however often it names its token. Bodies are
    not looked at, so that a bounce does not count as the message that it returns.
author: The mailops.postmaster contributors (@mailops)
extends_documentation_fragment: mailops.postmaster.attributes
attributes:
  check_mode:
    support: full
    description: Changes nothing, in check mode or out of it.
  diff_mode:
    support: none
  idempotent:
    support: full
    description: Never reports a change.
options:
  tokens:
    description: The tokens. Printable ASCII characters without spaces; each is looked for as a whole word.
    type: list
    elements: str
    required: true
  mailboxes:
    description:
      - Files are read as mboxes, directories as Maildirs (their C(new) and C(cur)).
      - One that does not exist yet is waited for.
    type: list
    elements: path
    required: true
  timeout:
    description: How long to wait, in seconds. With V(0) there is one look.
    type: float
    default: 30
"""

EXAMPLES = r"""
- name: Find a message that was sent to postmaster
  mailops.postmaster.mailbox_find:
    tokens: [3f0c2a7be1d94f60]
    mailboxes: [/var/mail/alice]
  become: true
  register: postmaster_mail

- name: Hold that it came once
  ansible.builtin.assert:
    that:
      - postmaster_mail.missing == []
      - postmaster_mail.found[0].count == 1
"""

RETURN = r"""
found:
  description: What was found, a row for each token and mailbox.
  returned: success
  type: list
  elements: dict
  contains:
    token:
      description: The token.
      type: str
    mailbox:
      description: The mailbox, as in O(mailboxes).
      type: str
    count:
      description: How many messages in the mailbox carry the token.
      type: int
    seconds:
      description: When the first of them was seen, in seconds after the search began.
      type: float
    headers:
      description:
        - The fields C(Return-Path), C(Delivered-To), C(Subject) and C(X-Postmaster-Token) of the first of them, as far
          as it has them, unfolded.
        - C(Received) is a list of all these fields (RFC 5321 section 4.4), the newest first.
      type: dict
missing:
  description: The tokens that are in none of the mailboxes.
  returned: success
  type: list
  elements: dict
  contains:
    token:
      description: The token.
      type: str
"""

from dataclasses import asdict

from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.find import find
from ansible_collections.mailops.postmaster.plugins.module_utils.runner import run


def mailbox_find(params, _check_mode):
    hits = find(params["tokens"], params["mailboxes"], params["timeout"])
    return {
        "found": [
            {"token": token, "mailbox": mailbox, **asdict(found)}
            for token, boxes in hits.items()
            for mailbox, found in boxes.items()
        ],
        "missing": [{"token": token} for token in dict.fromkeys(params["tokens"]) if token not in hits],
    }


def main():
    run(
        mailbox_find,
        argument_spec={
            "tokens": {"type": "list", "elements": "str", "required": True, "no_log": False},
            "mailboxes": {"type": "list", "elements": "path", "required": True},
            "timeout": {"type": "float", "default": 30},
        },
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
