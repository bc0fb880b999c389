#!/usr/bin/python
# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""config_transaction: the configuration of a mail host as one change."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_transaction
short_description: Change the configuration of a mail host as one transaction
version_added: 0.1.0
description:
  - Compares the files with what is there, and changes nothing where nothing differs.
  - Stages them beside a copy of the live directory, compiles their tables there, and lets the MTA check what
    is staged. What does not pass never goes live.
  - Keeps the old files, swaps by rename, reloads or restarts the service, and asks it for a greeting and an EHLO.
    The entries of the aliases table come last, in the same call.
  - Where that fails the old files come back, the service is told so, and the task fails with the reason from the log.
  - With O(confirm_timeout) the change has to be confirmed. The host itself rolls it back where that is not done in
    time, or where it boots before that. It needs neither a controller nor Ansible for it.
  - A transaction that was interrupted is rolled back first by the next one, which warns of that.
  - Where the old files are back and the service cannot be restarted, the host tries again for 300 seconds. The next
    run restarts the service, too, whatever the files say. It fails until that succeeds.
  - Only root can do this.
  - An action plugin of the same name renders O(templates) on the controller and ships all files in one call.
author: The mailops.postmaster contributors (@mailops)
extends_documentation_fragment: mailops.postmaster.attributes
attributes:
  check_mode:
    support: full
    description: Stages and checks in a temporary directory, and changes nothing.
  diff_mode:
    support: full
options:
  state:
    description:
      - V(apply) brings about what the other options want. V(confirm) keeps what is pending, V(rollback) brings back
        what was there before.
      - It is an error to confirm a transaction that was rolled back, or the other way round.
      - V(gathered) changes nothing. It looks at the host that a change is for, and asks no MTA. It fails where
        O(aliases) would make mail go round in a loop.
    type: str
    choices: [apply, confirm, rollback, gathered]
    default: apply
  names:
    description: Local names to look up among the accounts and in the table of O(aliases), for O(state=gathered).
    type: list
    elements: str
    default: []
  listen:
    description:
      - Addresses to listen at, for O(state=gathered). RV(foreign) has those at which no service of the host can.
    type: list
    elements: str
    default: []
  packages:
    description:
      - Packages to look for, for O(state=gathered). C(a | b) is one that there are two of, either of which will do.
    type: list
    elements: str
    default: []
  transaction:
    description: The transaction that is meant to be confirmed or rolled back; without it the one that is pending.
    type: str
    default: ''
  confirm_timeout:
    description:
      - Seconds until a change that was not confirmed is rolled back.
      - With V(0) it is confirmed as soon as the service answers. At most V(86400), which is a day.
    type: int
    default: 0
  templates:
    description: Files that are rendered on the controller from templates.
    type: list
    elements: dict
    default: []
    suboptions:
      src:
        description: The template, looked for as M(ansible.builtin.template) does.
        type: path
        required: true
      path: &path
        description: Where the file belongs. A link is kept, and its target written.
        type: path
        required: true
      owner: &owner
        description: Name or number of its owner.
        type: str
        default: root
      group: &group
        description: Name or number of its group.
        type: str
        default: root
      mode: &mode
        description: Its permissions, octal.
        type: str
        default: '0644'
      compile: &compile
        description:
          - The command that compiles the file, where it is the source of a table. C({path}) stands for the staged file,
            C({stage}) for the staged directory.
          - What it writes beside the file, under the file's name with one more ending, is put in place with the file.
        type: list
        elements: str
        default: []
      compile_with: &compile_with
        description: Other files of the transaction that are compiled into the same; what is compiled is new with them.
        type: list
        elements: path
        default: []
      product: &product
        description:
          - Where what is compiled belongs, if not beside the file. C({product}) stands for its place in the stage.
        type: path
      product_mode: &product_mode
        description:
          - The permissions of what is compiled, octal. What has others is compiled anew.
          - Without it, whoever may read the file may read what is compiled.
        type: str
      secret: &secret
        description:
          - Whether no line of the file may be shown. A diff then names the file alone, and messages hide what they
            quote of it.
          - Such a file has the mode V(0640) or a stricter one, and so has what is compiled from it. Give it to an owner
            and a group that only the MTA uses.
        type: bool
        default: false
  files:
    description: Files whose content is given.
    type: list
    elements: dict
    default: []
    suboptions:
      path: *path
      content:
        description:
          - What the file says; every file needs it.
          - It never stands in the log of the host, nor in the arguments that C(-vvv) shows.
        type: str
      owner: *owner
      group: *group
      mode: *mode
      compile: *compile
      compile_with: *compile_with
      product: *product
      product_mode: *product_mode
      secret: *secret
  contents:
    description: The contents of all O(files), encoded. The action plugin writes this option.
    type: str
    default: ''
  stage:
    description: A directory that is copied for the stage, so that the MTA can check the new files among the others.
    type: path
  check:
    description: Commands that check the stage, C({stage}). Each has to end with 0.
    type: list
    elements: list
    default: []
  service:
    description: The service to bring up. It is enabled and active afterwards.
    type: dict
    suboptions:
      name:
        description: The systemd unit.
        type: str
        required: true
      mta:
        description:
          - The MTA whose daemon this is. After a change no process of it may go on as before.
          - A reload that reaches none is followed by a restart. A daemon that outlives that is stopped.
          - Where this is not given, an answer alone shows that the change is in force.
        type: str
        choices: &mtas [exim, opensmtpd, postfix, sendmail]
      listens:
        description:
          - Where the service has to listen after its activation. On the ports of this list it may listen nowhere else.
          - Where the list is empty, the daemon has to listen anywhere on the ports of O(answers).
        type: list
        elements: dict
        default: []
        suboptions:
          address:
            description: An address; V(all) for all addresses of the host, V(loopback) for those of loopback.
            type: str
            required: true
          port:
            description: TCP port.
            type: int
            default: 25
      reload:
        description:
          - The command that makes the service read its configuration again; none where only a restart does.
          - C({daemon}) stands for the process of the daemon of O(service.mta), or for several.
        type: list
        elements: str
        default: []
      restart:
        description: The command that starts the service anew; used where it does not run.
        type: list
        elements: str
        required: true
      needs:
        description:
          - Units that the service asks, such as a spam filter. They are enabled and told of their files before the
            service itself is, each in a time of its own. One that fails is a warning.
        type: list
        elements: str
        default: []
      restart_on:
        description: Where a reload is not enough.
        type: list
        elements: dict
        default: []
        suboptions:
          path:
            description: One of the files.
            type: path
            required: true
          pattern:
            description: A regular expression. The service is restarted where the lines that match it differ.
            type: str
            required: true
  derived:
    description:
      - Files that scripts of the MTA make from its configuration when the service starts.
      - The change does not write them, but a rollback brings them back. Otherwise such a script could look for files
        that are gone.
      - What cannot be read, or is larger than 1 MiB, is left as it is.
    type: list
    elements: path
    default: []
  answers:
    description: Where the service has to greet and to answer EHLO after its activation (RFC 5321 section 3.1).
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: Address or host name.
        type: str
        required: true
      port:
        description: TCP port.
        type: int
        default: 25
      greeting:
        description: A regular expression for the code of the greeting.
        type: str
        default: ^220
  aliases:
    description: What the aliases table has to say, as the options of M(mailops.postmaster.mail_aliases).
    type: dict
    suboptions:
      path:
        description: The aliases table.
        type: path
        default: /etc/aliases
      entries:
        description: Name to target, or to a list of targets.
        type: dict
        required: true
      strategy:
        description: Whether the other entries of the table are kept.
        type: str
        choices: [merge, exact]
        default: merge
      compiled:
        description: The files that the MTA reads in place of the text.
        type: list
        elements: path
      compiled_mode:
        description: The permissions of what is compiled, octal, as in M(mailops.postmaster.mail_aliases).
        type: str
      rebuild:
        description: The command that compiles the table, word by word, as in M(mailops.postmaster.mail_aliases).
        type: list
        elements: str
  replaces:
    description:
      - That another MTA serves now, which is to go. Its queue is tried once more, and what is left goes into the new
        one with the confirmation, or back into the old one with the rollback.
      - All packages are fetched before anything changes, those of the old MTA too; the way back needs no network.
      - Mail of which nobody takes a copy is kept in files below O(state_dir), which RV(kept) names.
    type: dict
    suboptions:
      mta:
        description: The MTA that serves now.
        type: str
        choices: *mtas
        required: true
      by:
        description: The one that is to serve.
        type: str
        choices: *mtas
        required: true
      packages:
        description: What has to be installed for it.
        type: list
        elements: str
        required: true
  reason:
    description:
      - A command that shows the log; C({since}) is the time of the activation, in seconds since the epoch.
      - The last 20 lines are part of the message of a failure. Anybody can write into the journal under any name. So
        choose its lines by the uid, too, C(_UID=0).
    type: list
    elements: str
    default: []
  timeout:
    description: How long a command may take, in seconds. A service that was started has 30 seconds to answer.
    type: float
    default: 120
  deadline:
    description:
      - How long the comparison, the stage and the MTA's check may take in all, in seconds.
      - Where that is over, the module fails and nothing is changed.
      - A change that has begun is not cut off. Each of its commands has O(timeout).
    type: float
    default: 900
  state_dir:
    description:
      - Where the journals are kept, with the old files. An absolute path, for example C(/srv/mail ops).
      - A host has one timer. While a change in another directory has not ended, nothing is changed, and the message
        names that directory. All directories share one lock, C(/run/mailops-postmaster/lock).
      - The directory is for this collection alone. It is made with mode 0700. One that is there must have that mode,
        belong to root, and be empty when it is used for the first time.
      - It must survive a boot. One on C(tmpfs) or C(ramfs), or below C(/run), C(/tmp) or C(/dev/shm), is refused.
    type: path
    default: /var/lib/mailops-postmaster
"""

EXAMPLES = r"""
- name: Look at the host
  mailops.postmaster.config_transaction:
    state: gathered
    names: [alice]
    packages: [postfix]
  become: true
  register: host

- name: Configure Postfix
  mailops.postmaster.config_transaction:
    stage: /etc/postfix
    files:
      - path: /etc/postfix/main.cf
        content: |
          compatibility_level = 3.6
          myhostname = mx1.example.org
          mydestination = example.org, localhost
    check:
      - [postfix, -c, "{stage}", check]
    service:
      name: postfix
      reload: [systemctl, reload, postfix]
      restart: [systemctl, restart, postfix]
    answers:
      - address: 127.0.0.1
    reason: [journalctl, --lines=20, "--since=@{since}", --identifier=postfix/master, _UID=0]
    aliases:
      entries:
        postmaster: alice
    confirm_timeout: 600
  become: true
  register: change

- name: Keep it
  mailops.postmaster.config_transaction:
    state: confirm
    transaction: "{{ change.transaction }}"
  become: true
  when: change.state == 'pending'
"""

RETURN = r"""
state:
  description:
    - V(unchanged), V(confirmed) after a change that holds, V(rolled_back) where the old files came back, and
      V(pending) where a change has to be confirmed, or in check mode would be made.
  returned: always
  type: str
transaction:
  description: The id of the transaction; empty where nothing differs.
  returned: always
  type: str
deadline:
  description:
    - When the host rolls the change back if it is not confirmed, in seconds since the epoch; V(0) where it does not
      have to be.
  returned: for O(state=apply)
  type: float
kept:
  description:
    - Mail of an MTA that was replaced which nobody took, by the file that it is kept in, and why.
    - Every later run tries it once more, which has changed something where somebody has got it.
  returned: unless O(state=gathered)
  type: dict
mta:
  description: As M(mailops.postmaster.mta_info) returns it.
  returned: for O(state=gathered)
  type: str
installed:
  description: As M(mailops.postmaster.mta_info) returns it.
  returned: for O(state=gathered)
  type: list
  elements: str
replaced:
  description: As M(mailops.postmaster.mta_info) returns it.
  returned: for O(state=gathered)
  type: str
addresses:
  description: As M(mailops.postmaster.mta_info) returns it.
  returned: for O(state=gathered)
  type: list
  elements: str
foreign:
  description: The addresses of O(listen) that this host does not have.
  returned: for O(state=gathered)
  type: list
  elements: str
packages_missing:
  description: As M(mailops.postmaster.mta_info) returns it.
  returned: for O(state=gathered)
  type: list
  elements: str
system:
  description: As M(mailops.postmaster.mta_info) returns it.
  returned: for O(state=gathered)
  type: dict
short_name:
  description: As M(mailops.postmaster.mta_info) returns it.
  returned: for O(state=gathered)
  type: str
names:
  description:
    - Each of O(names), and whether it is an V(account), an V(alias) of the table, or V(none) of these.
    - With O(packages) of a backend what follows a C(+) is a tag, and such a name is also looked up without it.
  returned: for O(state=gathered)
  type: dict
activation:
  description: What the service was told, V(none), V(reload) or V(restart).
  returned: for O(state=apply)
  type: str
files:
  description: Each file, and whether it differs.
  returned: for O(state=apply)
  type: list
  elements: dict
  contains:
    path:
      description: Where it belongs.
      type: str
    changed:
      description: Whether it differs in content, owner, group or mode.
      type: bool
diff:
  description: Before and after of each file that differs.
  returned: for O(state=apply)
  type: list
  elements: dict
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.apply import ARGUMENTS as ALIASES
from ansible_collections.mailops.postmaster.plugins.module_utils.runner import run
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.options import checked

if TYPE_CHECKING:
    # Ansible sends to a host what is imported anywhere. There only that is loaded which the state needs.
    from ansible_collections.mailops.postmaster.plugins.module_utils.mta.gathered import gathered
    from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.end import end
    from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.transaction import apply

    SENT = (apply, end, gathered)

UTILS = "ansible_collections.mailops.postmaster.plugins.module_utils."
# for each state, the function that brings it about, and where it is
STATES = {
    "apply": ("transaction.transaction", "apply"),
    "confirm": ("transaction.end", "end"),
    "rollback": ("transaction.end", "end"),
    "gathered": ("mta.gathered", "gathered"),
}
MTAS = ["exim", "opensmtpd", "postfix", "sendmail"]
WORDS = {"type": "list", "elements": "str"}
FILE = {
    "path": {"type": "path", "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0644"},
    "compile": {**WORDS, "default": []},
    "compile_with": {"type": "list", "elements": "path", "default": []},
    "product": {"type": "path"},
    "product_mode": {"type": "str"},
    "secret": {"type": "bool", "default": False},
}
ARGUMENTS = {
    "state": {"type": "str", "choices": list(STATES), "default": "apply"},
    "names": {**WORDS, "default": []},
    "listen": {**WORDS, "default": []},
    "packages": {**WORDS, "default": []},
    "transaction": {"type": "str", "default": ""},
    "confirm_timeout": {"type": "int", "default": 0},
    "templates": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {**FILE, "src": {"type": "path", "required": True}},
    },
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {**FILE, "content": {"type": "str"}},
    },
    "contents": {"type": "str", "default": "", "no_log": True},
    "stage": {"type": "path"},
    "check": {"type": "list", "elements": "list", "default": []},
    "service": {
        "type": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "mta": {"type": "str", "choices": MTAS},
            "listens": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"address": {"type": "str", "required": True}, "port": {"type": "int", "default": 25}},
            },
            "needs": {**WORDS, "default": []},
            "reload": {**WORDS, "default": []},
            "restart": {**WORDS, "required": True},
            "restart_on": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"path": {"type": "path", "required": True}, "pattern": {"type": "str", "required": True}},
            },
        },
    },
    "derived": {"type": "list", "elements": "path", "default": []},
    "answers": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "default": 25},
            "greeting": {"type": "str", "default": "^220"},
        },
    },
    "aliases": {"type": "dict", "options": ALIASES},
    "replaces": {
        "type": "dict",
        "options": {
            "mta": {"type": "str", "choices": MTAS, "required": True},
            "by": {"type": "str", "choices": MTAS, "required": True},
            "packages": {**WORDS, "required": True},
        },
    },
    "reason": {**WORDS, "default": []},
    "timeout": {"type": "float", "default": 120},
    "deadline": {"type": "float", "default": 900},
    "state_dir": {"type": "path", "default": "/var/lib/mailops-postmaster"},
}


def transact(params, check_mode):
    """The result of the module."""
    params = checked(params)
    module, work = STATES[params["state"]]
    host = Host(Deadline(params["deadline"]))
    return getattr(import_module(UTILS + module), work)(host, params, check_mode)


def main():
    run(transact, root=True, whole=True, argument_spec=ARGUMENTS, supports_check_mode=True)


if __name__ == "__main__":
    main()
