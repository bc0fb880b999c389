#!/usr/bin/python
# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mta_info: which MTA a host has, and what it serves."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mta_info
short_description: Say which MTA a host has, and what it serves
version_added: 0.1.0
description:
  - Asks the MTA of the host for its version, the domains that it serves, its tables and its listeners.
  - Returns an empty RV(mta) on a host that has none, and never fails for that.
  - Says of names whether they are accounts or aliases of the host, and of packages whether they are installed.
author: The mailops.postmaster contributors (@mailops)
extends_documentation_fragment: mailops.postmaster.attributes
attributes:
  check_mode:
    description: Changes nothing, in check mode or out of it.
    support: full
  diff_mode:
    support: none
options:
  domains:
    description:
      - Domains to ask the MTA about, beside those that it lists. Those that it serves are in RV(domains).
      - An MTA cannot list all tables. RV(unlisted) names those that it can only be asked about.
    type: list
    elements: str
    default: []
  names:
    description: Local names to look up.
    type: list
    elements: str
    default: []
  packages:
    description: Packages to look for. C(a | b) is one that there are two of, either of which will do.
    type: list
    elements: str
    default: []
  mta:
    description: The MTA to ask where the host has several. Empty to find out.
    type: str
    default: ""
  deadline:
    description: How long the module may take in all, in seconds. After that it fails, and says what had not ended.
    type: float
    default: 120
seealso:
  - module: mailops.postmaster.address_resolve
  - module: mailops.postmaster.postmaster_check
"""

EXAMPLES = r"""
- name: Ask the host what it serves
  mailops.postmaster.mta_info:
    names: [postmaster, alice]
    packages: [postfix]
  become: true
  register: host

- name: Show its domains
  ansible.builtin.debug:
    var: host.domains
"""

RETURN = r"""
mta:
  description: The MTA in charge; V(postfix), V(exim), V(opensmtpd), V(sendmail), or empty where there is none.
  returned: always
  type: str
version:
  description: Its version.
  returned: always
  type: str
installed:
  description: All MTAs that are installed.
  returned: always
  type: list
  elements: str
hostname:
  description: The name that the MTA gives itself.
  returned: always
  type: str
domains:
  description: What it serves.
  returned: always
  type: dict
  contains:
    local:
      description: Domains whose local parts are accounts or aliases of the host.
      type: list
      elements: str
    virtual:
      description: Domains of which only the listed addresses exist.
      type: list
      elements: str
    relay:
      description: Domains that are passed on, each with its next hop; a domain whose MX is asked, or C([host]:port).
      type: dict
unlisted:
  description: The tables that may hold more domains and cannot be listed. See O(domains).
  returned: always
  type: list
  elements: str
  sample: ["virtual_mailbox_domains: sqlite:/etc/postfix/domains.cf"]
literals:
  description: The address literals (RFC 5321 section 4.1.3) that are this host, without loopback.
  returned: always
  type: list
  elements: str
tables:
  description: The tables that the MTA reads.
  returned: always
  type: list
  elements: dict
  contains:
    role:
      description: The setting that names the table.
      type: str
    type:
      description: Its type.
      type: str
    source:
      description: The text that it is made from. Empty where there is none.
      type: str
    compiled:
      description: The file that is compiled from it. Empty where there is none.
      type: str
    stale:
      description: Why what is in use cannot be what the source says. Empty where it can.
      type: str
listeners:
  description: The TCP sockets on which the MTA listens.
  returned: always
  type: list
  elements: dict
  contains:
    address:
      description: IP address.
      type: str
    port:
      description: TCP port.
      type: int
aliases:
  description: The table of local aliases.
  returned: always
  type: dict
  contains:
    path:
      description: Its text.
      type: str
    compiled:
      description: The files that are compiled from it.
      type: list
      elements: str
    rebuild:
      description: The command that compiles it, as a list of words. Empty where the text is read as it is.
      type: list
      elements: str
short_name:
  description:
    - The name of the host, where it has no domain and Sendmail would sleep 60 seconds at each start for it. Else empty.
    - Asked where O(packages) has C(sendmail).
  returned: always
  type: str
addresses:
  description: The global IP addresses of the host, IPv4 first.
  returned: always
  type: list
  elements: str
names:
  description:
    - Each of O(names), and whether it is an V(account), an V(alias) or V(none) of these.
    - A name with a tag (C(alice+tag)) that the MTA delivers to is what it is without the tag.
  returned: always
  type: dict
system:
  description: The operating system, as os-release(5) names it; empty strings where it does not.
  returned: always
  type: dict
  contains:
    id:
      description: The distribution, in lower case.
      type: str
      sample: debian
    release:
      description: Its release.
      type: str
      sample: "13"
    name:
      description: Both for people.
      type: str
      sample: Debian GNU/Linux 13 (trixie)
replaced:
  description:
    - The MTA that comes back if the change to another one is not confirmed, which is pending on the host.
    - Empty where there is none.
  returned: always
  type: str
packages_missing:
  description:
    - Those of O(packages) that are not installed, the first where either would do.
    - Where RV(replaced) is not empty, those that are not when that is back.
  returned: always
  type: list
  elements: str
"""

from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.info import describe
from ansible_collections.mailops.postmaster.plugins.module_utils.runner import run


def info(params, _check_mode):
    domains = [name.lower() for name in params["domains"]]
    host = Host(Deadline(params["deadline"]))
    return describe(host, params["names"], params["packages"], params["mta"], domains)


def main():
    run(
        info,
        argument_spec={
            "domains": {"type": "list", "elements": "str", "default": []},
            "names": {"type": "list", "elements": "str", "default": []},
            "packages": {"type": "list", "elements": "str", "default": []},
            "mta": {"type": "str", "default": ""},
            "deadline": {"type": "float", "default": 120},
        },
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
