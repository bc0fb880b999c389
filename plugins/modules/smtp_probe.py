#!/usr/bin/python
# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""smtp_probe: the dialogue with SMTP servers, and sending the token messages."""

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_probe
short_description: Ask SMTP servers whether they accept mail for postmaster in every form
version_added: 0.1.0
description:
  - Talks SMTP to each server as a stranger would, and judges every reply by one row of the catalogue; rows A1 to A8,
    A11, A12, A14 to A17, B5, N1 to N4, E1, and R11 for the other role addresses.
  - The submission service of the host is asked, too, where there is one; whether port 587 takes mail without AUTH.
  - It asks with C(MAIL) and C(RCPT). Nothing is sent unless O(send=true).
  - Run it from a host that the servers do not trust. From the mail host itself the negative rows say little.
  - It is polite; one transaction asks many recipients, a connection sees no more than eight rejections and five
    transactions, and where a server ends a connection or a transaction sooner, it goes on in the next one.
  - What is wrong with a server is data in the result; the task does not fail for it.
author: The mailops.postmaster contributors (@mailops)
extends_documentation_fragment: mailops.postmaster.attributes
attributes:
  check_mode:
    description: Changes nothing on the host. In check mode the servers are asked, and O(send) is taken as V(false).
    support: full
  diff_mode:
    support: none
options:
  servers:
    description:
      - The servers; a host name or IP address, with C(:port) where that is not 25. Brackets stand around an IPv6
        address that has a port.
      - Of a name with several addresses the first one that takes a connection is asked. Name the addresses to ask all.
    type: list
    elements: str
    required: true
  domains:
    description:
      - The domains that the servers deliver mail for. Names in other scripts are converted to A-labels (RFC 5891).
    type: list
    elements: str
    default: []
  relay_domains:
    description: The domains for which the servers are a backup MX. They need not know the recipients there (row N3).
    type: list
    elements: str
    default: []
  role_addresses:
    description: Local parts besides postmaster that are asked at every domain (RFC 2142).
    type: list
    elements: str
    default: [abuse]
  literals:
    description:
      - Addresses of the servers, besides the one connected to, that are asked as address literals (row A12, RFC 1123
        section 5.2.17). With or without brackets.
    type: list
    elements: str
    default: []
  helo:
    description:
      - The name given in C(EHLO). Empty for the fully qualified name of this host, or the literal of its address where
        it has none (RFC 5321 section 4.1.4).
    type: str
    default: ""
  sender:
    description:
      - The address given in C(MAIL FROM). Postmaster at the O(helo) name by default.
      - Empty for the null sender (RFC 5321 section 4.5.5).
    type: str
  foreign_domain:
    description: A domain that no server here serves; mail for it must not be relayed (row N1).
    type: str
    default: foreign.invalid
  send:
    description: Send token messages to the addresses, for M(mailops.postmaster.mailbox_find) to find.
    type: bool
    default: false
  send_forms:
    description:
      - V(one) sends a message to postmaster at each domain, to postmaster without a domain and to the address literals.
      - V(all) sends one more to every other form that was accepted, from the null sender, and to the role addresses.
    type: str
    choices: [one, all]
    default: one
  timeout:
    description: How long to wait for a connection or a reply, in seconds.
    type: float
    default: 15
  deadline:
    description:
      - How long the module may take in all, in seconds. What was not asked by then is V(inconclusive).
      - Of the time that is left, each of O(servers) that is still to be asked has the same share.
    type: float
    default: 300
  retries:
    description: How often what a server put off (a reply 4xx) or left unanswered is asked again, on a new connection.
    type: int
    default: 1
seealso:
  - module: mailops.postmaster.postmaster_check
  - module: mailops.postmaster.mailbox_find
"""

EXAMPLES = r"""
- name: Ask a server
  mailops.postmaster.smtp_probe:
    servers: [mx1.example.org]
    domains: [example.org, example.net]
    relay_domains: [example.com]

- name: Ask from another host, over IPv4 and IPv6, and send a message to every form
  mailops.postmaster.smtp_probe:
    servers: [192.0.2.25, "[2001:db8::25]:25"]
    domains: [example.org]
    send: true
    send_forms: all
  delegate_to: stranger.example.com
  register: probed

- name: Show what is not in order
  ansible.builtin.debug:
    msg: "{{ probed.servers | map(attribute='checks') | flatten | rejectattr('verdict', 'in', ['pass', 'skipped']) }}"
"""

RETURN = r"""
verdict:
  description:
    - The verdict of all servers; V(pass), V(fail), V(warn), V(inconclusive), V(exempt) or V(skipped).
    - A V(fail) of a row whose level is C(SHOULD), and of the control row C(N3), counts as V(warn) here.
  returned: always
  type: str
servers:
  description: One for each of O(servers), in their order.
  returned: always
  type: list
  elements: dict
  contains:
    server:
      description: The host name or IP address.
      type: str
    port:
      description: The port.
      type: int
    verdict:
      description: The verdict of this server.
      type: str
    exempt:
      description: Whether it greets with 554 or 521, and so takes no mail at all (RFC 5321 section 3.1, RFC 7504).
      type: bool
    checks:
      description: One for each question.
      type: list
      elements: dict
      contains:
        id:
          description: The row of the catalogue.
          type: str
        requirement:
          description: What the row asks for, and its source.
          type: str
        level:
          description: V(MUST), V(SHOULD), V(MAY) or V(policy).
          type: str
        verdict:
          description:
            - V(pass), V(fail), V(warn), V(inconclusive), V(exempt) or V(skipped).
            - A reply 4xx, a timeout or a lost connection is V(inconclusive).
          type: str
        domain:
          description: The domain or address literal asked about. Empty for the form without a domain, and the server.
          type: str
        address:
          description: The address asked about.
          type: str
        command:
          description: The command that got the reply. C(connect) where it was the greeting.
          type: str
        code:
          description: The code of the reply (RFC 5321 section 4.2), 0 where there was none.
          type: int
        text:
          description: The text of the reply, or why there was none.
          type: str
        message:
          description: What is wrong, or why there is no verdict.
          type: str
        remedy:
          description: The smallest change that heals it.
          type: str
    messages:
      description: The token messages, where O(send=true).
      type: list
      elements: dict
      contains:
        token:
          description: The token, in the subject and in the header C(X-Postmaster-Token).
          type: str
        id:
          description: The row of the catalogue.
          type: str
        sender:
          description: The address in C(MAIL FROM), empty for the null sender.
          type: str
        recipient:
          description: The address in C(RCPT TO).
          type: str
        domain:
          description: As in RV(servers[].checks[].domain).
          type: str
        code:
          description: The code of the reply to the message, or to the command that was refused. 0 where there was none.
          type: int
        text:
          description: The text of that reply. Most servers put the queue id in it.
          type: str
        sent:
          description: When that was, in seconds since the epoch by the clock of the host that probes.
          type: float
    transcript:
      description: Every line said; C(C:) by the probe, C(S:) by the server, C(--) what happened to the connection.
      type: list
      elements: str
"""

from ansible_collections.mailops.postmaster.plugins.module_utils.runner import run
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.probe import probe_servers

ARGUMENTS = {
    "servers": {"type": "list", "elements": "str", "required": True},
    "domains": {"type": "list", "elements": "str", "default": []},
    "relay_domains": {"type": "list", "elements": "str", "default": []},
    "role_addresses": {"type": "list", "elements": "str", "default": ["abuse"]},
    "literals": {"type": "list", "elements": "str", "default": []},
    "helo": {"type": "str", "default": ""},
    "sender": {"type": "str"},
    "foreign_domain": {"type": "str", "default": "foreign.invalid"},
    "send": {"type": "bool", "default": False},
    "send_forms": {"type": "str", "choices": ["one", "all"], "default": "one"},
    "timeout": {"type": "float", "default": 15},
    "deadline": {"type": "float", "default": 300},
    "retries": {"type": "int", "default": 1},
}


def main():
    run(probe_servers, argument_spec=ARGUMENTS, supports_check_mode=True)


if __name__ == "__main__":
    main()
