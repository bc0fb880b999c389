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
  - The whole of a mailbox is searched, from its end to its beginning, because the messages may be older than the task.
    With O(since) the search of an mbox ends at older messages once all tokens are found, and older files of a Maildir
    are not opened. It then takes the same time however much old mail there is.
  - A mailbox is read with the rights of its owner. No link in a Maildir is followed, and nothing but regular files is
    opened. What cannot be looked at is named in RV(inconclusive).
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
      - At most 64 are looked at, with 1,000,000 files of Maildirs together. What is beyond that is in RV(inconclusive).
    type: list
    elements: path
    required: true
  timeout:
    description: How long to wait for the messages, in seconds. With V(0) there is one look.
    type: float
    default: 30
  since:
    description:
      - When the messages were sent, in seconds since the epoch. Take a few minutes off, because two hosts' clocks
        differ, for instance C(messages | map(attribute='sent') | min - 600).
      - With V(0) that is not known.
    type: float
    default: 0
  deadline:
    description:
      - The task ends after so many seconds, whatever the mailboxes are like. What was not read by then is named in
        RV(inconclusive).
      - The default is O(timeout) and 60 seconds more.
    type: float
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
verdict:
  description:
    - V(pass) when every token was found. V(fail) when a token is missing and every mailbox was read to its end.
    - V(inconclusive) when a token is missing and a mailbox, or a part of one, could not be read.
  returned: success
  type: str
inconclusive:
  description: The mailboxes that could not be read, or not as a whole.
  returned: success
  type: list
  elements: dict
  contains:
    mailbox:
      description: The mailbox, as in O(mailboxes).
      type: str
    reason:
      description: The names of the files that could not be read, and why.
      type: str
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
        - C(Received) is a list of these fields (RFC 5321 section 4.4), the newest first, at most 100.
        - It is empty if more than 128 KiB of header fields were found in the mailbox before.
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

from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.find import find_as_asked
from ansible_collections.mailops.postmaster.plugins.module_utils.runner import run


def mailbox_find(params, _check_mode):
    return find_as_asked(params)


def main():
    run(
        mailbox_find,
        argument_spec={
            "tokens": {"type": "list", "elements": "str", "required": True, "no_log": False},
            "mailboxes": {"type": "list", "elements": "path", "required": True},
            "timeout": {"type": "float", "default": 30},
            "since": {"type": "float", "default": 0},
            "deadline": {"type": "float"},
        },
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
