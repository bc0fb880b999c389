# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What apt says that it would do is what the way back is made of."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed, Host
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.packages import Packages, Plan, simulated

SIMULATED = """Reading package lists...
Remv exim4-daemon-light [4.98.2-1+deb13u5]
Remv exim4-base [4.98.2-1+deb13u5]
Inst libicu76 (76.1-4 Debian:13.1/stable [amd64])
Inst libold [1:1.0] (1:1.1 Debian:13.1/stable [amd64])
Inst postfix (3.10.13-0+deb13u1 Debian-Security:13/stable-security [amd64])
Conf postfix (3.10.13-0+deb13u1 Debian-Security:13/stable-security [amd64])
"""
BEFORE = {"exim4-daemon-light": "4.98.2-1+deb13u5", "exim4-base": "4.98.2-1+deb13u5", "libold": "1:1.0"}


class Apt(Host):
    """A host whose apt can, or cannot, fetch what is installed."""

    def __init__(self, fetches):
        super().__init__()
        self.ran, self.fetches = [], fetches

    def run(self, argv, stdin="", timeout=30.0):
        assert not stdin
        assert timeout > 0
        self.ran.append(list(argv))
        words = " ".join(argv)
        out = SIMULATED if "--simulate" in words else "exim4-daemon-light\nother\n"
        failed = "download exim" in words and not self.fetches
        return Completed(tuple(argv), 100 if failed else 0, out, "E: Version '1' for 'exim4-base' was not found\n")


def test_what_comes_and_what_goes():
    assert simulated(SIMULATED) == (["libicu76", "postfix"], BEFORE)


def test_a_plan_survives_the_journal(tmp_path):
    plan = Packages(Apt(True), str(tmp_path)).plan(["postfix"])
    assert plan == Plan(("postfix",), ("libicu76", "postfix"), BEFORE, ("exim4-daemon-light",))
    assert Plan.load(plan.dump()) == plan


def test_without_the_packages_for_the_way_back_nothing_is_changed(tmp_path):
    apt = Apt(False)
    packages = Packages(apt, str(tmp_path / "packages"))
    with pytest.raises(UserError, match=r"libold=1:1\.0 the change could not be taken back") as refused:
        packages.fetch(packages.plan(["postfix"]))
    assert "put their .deb files into /var/cache/apt/archives" in str(refused.value)
    changing = [argv for argv in apt.ran if "install" in argv and not {"--simulate", "--download-only"} & set(argv)]
    assert changing == []
