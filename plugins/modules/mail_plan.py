#!/usr/bin/python
# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name: it runs on the controller and touches no host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_plan
short_description: Check the variables of a mail host and work out its model
version_added: 0.1.0
description:
  - Runs on the controller and never connects to the host.
  - Checks everything that can be known without the host, names every mistake at once (the variable, the value, what is
    allowed), and returns the model that the backends' templates are written from.
  - Refuses a variable of the host whose name is a misspelled one of the collection's roles. Without any option it does
    nothing else, and the model is empty.
  - Domains that are given in another script are converted to A-labels (RFC 5891). Where the standard of 2003 (RFC 3490)
    makes another domain of one, the controller needs the Python package C(idna), version 3.4 or later. Without it such
    a domain is refused.
author: The mailops.postmaster contributors (@mailops)
extends_documentation_fragment: mailops.postmaster.attributes
attributes:
  check_mode:
    support: full
    description: Changes nothing, in check mode or out of it.
  diff_mode:
    support: none
options:
  mta_hostname:
    description: The host's own name, with its domain.
    type: str
    required: true
  mta_service:
    description:
      - V(mx) takes mail from anywhere, V(send_only) listens on loopback alone, and V(closed) tells everybody but
        loopback and O(mta_trusted_networks) that it takes no mail (RFC 5321 section 3.1, RFC 7504).
    type: str
    choices: [mx, send_only, closed]
    default: mx
  mta_domains:
    description: Domains whose local parts are accounts or aliases of this host.
    type: list
    elements: str
  mta_virtual_domains:
    description: Domains of which only the listed addresses exist. Local part to target, or to a list of targets.
    type: dict
  mta_relay_domains:
    description: Domains that are accepted and passed on. Domain to primary, as C(host), C(host:port) or an address.
    type: dict
  mta_listen:
    description: V(all), V(loopback), or addresses of the host.
    type: list
    elements: str
    default: [all]
  mta_trusted_networks:
    description: Networks whose hosts may send mail to anywhere.
    type: list
    elements: str
  mta_postmaster:
    description: Who reads the mail for postmaster. An account of the host, an address, or a list of them.
    type: raw
    required: true
  mta_postmaster_notices:
    description: What postmaster is told of, beside undeliverable mail that has no sender; V(bounces) that were sent.
    type: list
    elements: str
    choices: [bounces]
    default: []
  mta_extra_settings:
    description:
      - Native settings of the backend, passed through as they are.
      - Of a setting that is a dictionary of C(value) and C(secret) (V(true)) the model has the name and the kind alone.
    type: dict
  mta_confirm_timeout:
    description: Seconds until the host rolls a change back that was not proven, from 10 to 86400.
    type: int
    default: 600
  mta_command_timeout:
    description: Seconds that one command of a change may take, from 10 to 3600.
    type: int
    default: 120
  mta_blocklists:
    description: The DNS zones of blocklists (RFC 5782).
    type: list
    elements: str
  mta_sender_checks:
    description: Whether senders are refused whose domain does not exist, or takes no mail.
    type: bool
    default: false
  mta_helo_checks:
    description: Whether clients are refused whose name in HELO is neither fully qualified nor an address literal.
    type: bool
    default: false
  mta_spf:
    description: Whether mail is refused whose sender's domain says by SPF that the client may not send it.
    type: bool
    default: false
  mta_spam_filter:
    description: Whether rspamd judges the contents of mail.
    type: bool
    default: false
  mta_greylist:
    description: For how many seconds mail from an unknown sender and client is put off. 0 for not at all.
    type: int
    default: 0
  mta_client_rate:
    description: How many messages a client may send in a minute, at least 100. 0 for any number.
    type: int
    default: 0
  mta_message_size:
    description: The largest message that is taken, in octets; at least 65536 (RFC 5321 section 4.5.3.1.7).
    type: int
    default: 52428800
  mta_postmaster_blocked_clients:
    description: Clients from which no mail is taken, not even for postmaster and abuse.
    type: list
    elements: dict
    suboptions:
      client:
        description: Address or network.
        type: str
        required: true
      reason:
        description: Why, as the client and the log are told.
        type: str
        required: true
      until:
        description: The last day of the block, as C(2026-12-31).
        type: str
        required: true
  role_addresses_services:
    description: The services that the host offers; each brings its names from RFC 2142.
    type: list
    elements: str
    choices: [mail, dns, http, network, news, ftp, uucp, business]
    default: [mail]
  role_addresses_targets:
    description: Other targets for single role addresses. Name to target, or to a list of targets.
    type: dict
  role_addresses_domains:
    description: Role addresses that lead elsewhere at one domain. Domain to name to target or targets.
    type: dict
"""

EXAMPLES = r"""
- name: Work out the model of a mail host
  mailops.postmaster.mail_plan:
    mta_hostname: mx1.example.org
    mta_domains: [example.org]
    mta_virtual_domains:
      example.net:
        sales: [alice, bob@elsewhere.example]
    mta_postmaster: alice
  register: role_addresses_plan
"""

RETURN = r"""
plan:
  description: The model.
  returned: success
  type: dict
  contains:
    service:
      description: What the host does for others.
      type: str
    hostname:
      description: The host's own name.
      type: str
    local:
      description: The domains whose local parts are accounts or aliases, the host's own name first.
      type: list
      elements: str
    virtual:
      description: The domains of which only the listed addresses exist.
      type: list
      elements: str
    relay:
      description: Domain to next hop, as C([host]) or C([host]:port).
      type: dict
    domains:
      description: All domains that the host serves.
      type: list
      elements: str
    roles:
      description: The role addresses (RFC 2142) that the host answers.
      type: list
      elements: str
    aliases:
      description: Name to list of targets. An empty list where no such entry may be.
      type: dict
    rows:
      description: Address to list of addresses, for the virtual domains and for overrides.
      type: dict
    names:
      description: The accounts or aliases that must exist on the host, each with the variable and value that name it.
      type: dict
    listen:
      description: V(all), V(loopback), or addresses.
      type: list
      elements: str
    trusted:
      description: Networks.
      type: list
      elements: str
    notices:
      description: What postmaster is told of.
      type: list
      elements: str
    settings:
      description: Native settings.
      type: dict
    secrets:
      description: The kind of each secret setting, V(text) or V(lines), by its name.
      type: dict
    confirm_timeout:
      description: Seconds in which a change has to be proven.
      type: int
    command_timeout:
      description: Seconds that one command of a change may take.
      type: int
    defences:
      description: The defences, which spare postmaster and abuse, and the clients that are blocked today.
      type: dict
"""
