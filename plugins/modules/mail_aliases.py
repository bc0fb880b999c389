#!/usr/bin/python
# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mail_aliases: entries of the aliases table: in place, atomic, comments kept."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_aliases
short_description: Manage entries of the aliases table
version_added: 0.1.0
description:
  - Writes entries of an aliases(5) table in place. Comments, order, quoting and continuation lines of all else stay to
    the byte, and an entry that says what is wanted already is not touched, however it is written.
  - The file is replaced atomically, with its owner, group and mode; a link to it is followed.
  - The compiled table is rebuilt when it is missing or older than its source, and only then. If one of the
    two has a time in the future, the table is rebuilt and both get the time of now. The next run changes nothing.
  - The command compiles a copy in a directory of mode 0700 below O(state_dir). If that fails, nothing is changed, and
    the task fails with what the command said. Else the new source and its table are renamed into place. So nobody can
    hold up a change by a lock on a file that everybody can read.
  - The table keeps its owner and mode. A new one has the owner of its source, and the mode that the command gives it,
    but nobody can read it who cannot read the source. With Sendmail that is V(0640), with Postfix V(0644).
  - Aliases that would send mail for a managed name round in a loop are refused before anything is changed.
  - A line of another name stays as it is, even if it cannot be read. A table of 1,000,000 lines takes about a second.
  - The diff has the lines around each change and not the whole table; what is longer than 64 KiB is cut.
author: The mailops.postmaster contributors (@mailops)
extends_documentation_fragment: mailops.postmaster.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  path:
    description: The aliases table. It is made where there is none.
    type: path
    default: /etc/aliases
  entries:
    description:
      - Name to target, or to a list of targets. An empty list, or nothing, stands for no entry of that name.
      - A target is a name of the host, C(\name) for the account of that name whatever the table says of it, an address,
        a C(/file), a C(|program) with its arguments, or C(:include:/list). Quotes are added where the table needs them.
      - The letter case of a name makes no difference (RFC 5321 section 4.5.1 wants this for postmaster).
    type: dict
    required: true
  strategy:
    description:
      - V(merge) keeps all other lines of the table, whatever they say. V(exact) removes them, and keeps the comments.
    type: str
    choices: [merge, exact]
    default: merge
  compiled:
    description:
      - The files that the MTA reads in place of the text, as M(mailops.postmaster.mta_info) returns them. An empty list
        where the command of O(rebuild) makes no file. A command that compiles a copy must make all of them.
      - Without this option, the newest of O(path) with C(.db), C(.lmdb), C(.cdb), C(.dir) or C(.pag) after it.
    type: list
    elements: path
  compiled_mode:
    description:
      - The permissions of what is made of a copy of the text, octal. Without it they stay as they are.
      - Whoever may read the table of a Postfix can hold a lock on it, and Postfix then waits. Its daemons open the
        table as root, so V(0600) is enough, but not for a table that is read through C(proxy:).
    type: str
  rebuild:
    description:
      - The command that compiles the table, word by word. An empty list where the MTA reads the text itself.
      - C(newaliases) alone compiles a copy of the text, on each MTA in its own way. So does a command with C({path})
        in it, which stands for the copy. C({product}) is the first of O(compiled), or C(aliases.db), beside that copy.
      - Any other command works on the table itself, after the text was written. It waits for whoever holds a lock
        there. If it fails, the old text is put back and compiled. If it does not end within 300 seconds, the old text
        is put back, and the command is not run again.
      - A command that is given must make a compiled table, so it runs also where there is none yet.
      - Without this option, C(newaliases) where there is a compiled table.
    type: list
    elements: str
  state_dir:
    description:
      - The directory of the lock. Only one change of the mail configuration of a host runs at a time, so this module
        and M(mailops.postmaster.config_transaction) take the same lock.
      - The table is compiled in a directory below it, which is removed at the end, or by the next run.
      - The directory is made where there is none, with mode 0700. One that is there must have that mode, belong to the
        account that runs the module, and be used for nothing else.
      - While a transaction has not ended, a table that it would bring back is refused. The message names the
        transaction and its directory of state.
      - Root also takes the lock of the host, C(/run/mailops-postmaster/lock), whatever this option says.
      - Without this option, C(/var/lib/mailops-postmaster) for root, and C(~/.local/state/mailops-postmaster) for
        another account. That account can only edit tables in directories of its own, or of root.
    type: path
  deadline:
    description:
      - How long the comparison may take, in seconds. After that nothing is changed.
      - A change that has begun is not cut off. The command that compiles the table has its own limit.
    type: float
    default: 120
"""

EXAMPLES = r"""
- name: Mail for postmaster is read by alice, and by bob elsewhere
  mailops.postmaster.mail_aliases:
    entries:
      postmaster: [alice, bob@elsewhere.example]
      abuse: postmaster
      old-list: []
  become: true

- name: Hold the table to these entries, with a program among them
  mailops.postmaster.mail_aliases:
    entries:
      postmaster: alice
      tickets: "|/usr/local/bin/ticket --queue mail"
    strategy: exact
    rebuild: [postalias, "hash:{path}"]
  become: true
"""

RETURN = r"""
path:
  description: The table, as in O(path).
  returned: success
  type: str
entries:
  description: Each name of O(entries), and each name that was removed, in lower case.
  returned: success
  type: dict
  contains:
    state:
      description:
        - V(present) and V(absent) where it was as wanted; V(changed), V(added) and V(removed) where that was, or in
          check mode would be, brought about.
      type: str
removed:
  description: How many entries of other names were removed, which O(strategy=exact) does.
  returned: success
  type: int
  sample: 0
rebuilt:
  description: Whether the table was compiled anew, or would be in check mode.
  returned: success
  type: bool
  sample: true
"""

from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.apply import ALONE, apply_alone
from ansible_collections.mailops.postmaster.plugins.module_utils.runner import run
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.reserved import refuse_reserved


def mail_aliases(params, check_mode):
    return apply_alone(Host(Deadline(params["deadline"])), params, check_mode, refuse_reserved)


def main():
    run(
        mail_aliases,
        whole=True,
        argument_spec={**ALONE, "deadline": {"type": "float", "default": 120}},
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()
