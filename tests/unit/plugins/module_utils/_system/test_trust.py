# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a path leads, and whether somebody else can lead it elsewhere."""

from __future__ import annotations

import os

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import files, trust
from ansible_collections.mailops.postmaster.plugins.module_utils._system.image import Image
from ansible_collections.mailops.postmaster.plugins.module_utils._system.obstacles import Wanted, obstacles
from ansible_collections.mailops.postmaster.plugins.module_utils._system.trust import way
from in_the_way import listed

ALICE, SYSTEM = [4321, 4321], [120, 120]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """etc and usr of root, home of alice, mail of a system account."""
    for name in ("etc", "etc/sub", "home", "home/sub", "mail", "mail/sub", "tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "tmp").chmod(0o1777)
    links = {"etc/to-file": "file", "etc/to-home": "../home/file", "etc/to-mail": "../mail/file", "home/link": "file"}
    links |= {"mail/link": "file", "mail/to-etc": "/etc/shadow", "folder": "etc", "home/etc": "../etc"}
    links |= {"mail/moved": "file", "mail/moved-to-etc": "../etc/file", "mail/folder": "../etc"}
    links |= {"mail/aliases": "../etc/aliases", "mail/slash": "../etc/slash/"}
    links |= {"etc/round": "round-again", "etc/round-again": "round"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    owners = {"home": ALICE, "home/sub": ALICE, "mail": SYSTEM, "mail/sub": SYSTEM}
    owners |= {"mail/link": SYSTEM, "mail/to-etc": SYSTEM}
    real = os.lstat

    def look(path):
        found = list(real(path))
        found[4:6] = owners.get(os.path.relpath(path, tmp_path), found[4:6])
        return os.stat_result(found)

    monkeypatch.setattr(trust.os, "lstat", look)
    return tmp_path


# A path, where it leads, the directory that is doubtful, and whether only the last name is.
WAYS = {
    "a file of root's": ("etc/file", "etc/file", "", False),
    "one that is not there": ("etc/none/none", "etc/none/none", "", False),
    "a link of root's": ("etc/to-file", "etc/file", "", False),
    "a directory that is a link of root's": ("folder/file", "etc/file", "", False),
    "upwards": ("etc/sub/../file", "etc/file", "", False),
    "a user's directory": ("home/file", "home/file", "home", False),
    "one that is not there, in it": ("home/none", "home/none", "home", False),
    "below it": ("home/sub/file", "home/sub/file", "home", False),
    "a link of root's into it": ("etc/to-home", "home/file", "home", False),
    "a link in it": ("home/link", "home/link", "home", False),
    "back out of it": ("home/etc/file", "home/etc/file", "home", False),
    "a system account's directory": ("mail/file", "mail/file", "", True),
    "one that is not there, in that": ("mail/none", "mail/none", "", True),
    "a link of root's into that": ("etc/to-mail", "mail/file", "", True),
    "a link in that": ("mail/link", "mail/link", "mail", False),
    "a link out of that": ("mail/to-etc", "mail/to-etc", "mail", False),
    "a link of root's out of that": ("mail/aliases", "etc/aliases", "", False),
    "one that may have had another name": ("mail/moved-to-etc", "mail/moved-to-etc", "mail", False),
    "one that may have had another name, in that": ("mail/moved", "mail/moved", "mail", False),
    "one to a directory": ("mail/slash", "mail/slash", "mail", False),
    "a directory that is a link of root's in that": ("mail/folder/file", "mail/folder/file", "mail", False),
    "below that": ("mail/sub/file", "mail/sub/file", "mail", False),
    "a file of one's own where anybody can make one": ("tmp/file", "tmp/file", "", False),
    "one that is not there, where anybody can make one": ("tmp/none", "tmp/none", "tmp", False),
}


@pytest.mark.parametrize(("path", "target", "doubtful", "loose"), WAYS.values(), ids=WAYS)
def test_a_path_is_followed_only_where_nobody_else_can_lead_it(place, path, target, doubtful, loose):
    found = way(str(place / path))
    assert (found.target, found.loose) == (str(place / target), loose)
    assert found.doubt.startswith(f"{place / doubtful} ") if doubtful else not found.doubt


def test_links_that_go_round_in_a_circle_are_an_error(place):
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        way(str(place / "etc" / "round"))


def test_an_access_list_gives_a_directory_to_others(place):
    listed(place / "etc")
    assert (
        way(str(place / "etc" / "file")).doubt == f"{place / 'etc'} can be written by the accounts in its access list"
    )


def test_an_access_list_of_readers_gives_nothing(place):
    listed(place / "etc")
    (place / "etc").chmod(0o755)  # the mask
    assert not way(str(place / "etc" / "file")).doubt


REFUSED = {
    "a link out of a system account's directory": "mail/to-etc",
    "a link in it": "mail/link",
    "a file in a user's": "home/file",
    "a link into a user's": "etc/to-home",
}


@pytest.mark.parametrize("path", REFUSED.values(), ids=REFUSED)
def test_what_others_can_exchange_is_not_read(place, path):
    with pytest.raises(OSError, match=r"is not safe to read|link"):
        files.read_image(str(place / path))


def test_a_second_name_of_a_file_is_not_read_in_a_directory_of_another(place):
    os.link(place / "etc" / "file", place / "mail" / "second")
    with pytest.raises(OSError, match="has 2 names"):
        files.read_image(str(place / "mail" / "second"))
    assert files.read_image(str(place / "etc" / "file"))


@pytest.mark.parametrize("image", [Image(b"old\n", 1, 1, 0o644), None])
def test_a_link_that_others_put_in_place_of_a_file_is_what_comes_back_over(place, image):
    """A rollback does not write through it."""
    image = image and Image(image.content, os.geteuid(), os.getegid(), 0o644)
    victim = place / "victim"
    victim.write_text("of root's\n")
    (place / "mail" / "link").unlink()
    (place / "mail" / "link").symlink_to(victim)
    path = place / "mail" / "link"
    files.restore(str(path), image)
    assert victim.read_text() == "of root's\n"
    assert (path.read_text() == "old\n" and not path.is_symlink()) if image else not os.path.lexists(path)


@pytest.mark.parametrize("of", ["a system account", "root"])
def test_a_link_of_root_s_that_was_moved_in_place_of_a_file_is_not_written_through(place, of):
    """Neither by the next change nor by the rollback: who owns the directory can give the link any name."""
    folder = place / ("mail" if of != "root" else "etc")
    (place / "etc" / "victim").write_text("of root's\n")
    path, link = folder / "file", folder / "to-victim"
    link.symlink_to("../etc/victim")
    before = files.read_image(str(path))
    files.keep(str(path))
    link.rename(path)
    files.restore(str(path), before)
    assert (path.read_text(), (place / "etc" / "victim").read_text()) == (folder.name, "of root's\n")


def test_a_link_of_root_s_that_was_moved_is_an_obstacle(place):
    (place / "mail" / "aliases").rename(place / "mail" / "access")
    assert ["could lead it to another file" in why for why in obstacles([Wanted(str(place / "mail" / "access"))])] == [
        True
    ]


def test_only_a_link_that_leads_to_its_own_name_is_written_through(place):
    (place / "etc" / "aliases").write_text("old\n")
    files.write_image(str(place / "mail" / "aliases"), Image(b"new\n", os.geteuid(), os.getegid(), 0o644))
    assert (place / "etc" / "aliases").read_text() == "new\n"
    assert (place / "mail" / "aliases").is_symlink()


@pytest.mark.parametrize("beside", [".file.next", ".file.before"])
def test_what_others_put_beside_a_file_is_replaced_and_not_followed(place, beside):
    """As the account of Sendmail can in /etc/mail."""
    victim = place / "victim"
    victim.write_text("of root's\n")
    victim.chmod(0o600)
    (place / "mail" / beside).symlink_to(victim)
    path = str(place / "mail" / "file")
    files.keep(path)
    files.write_image(path, Image(b"new\n", os.geteuid(), os.getegid(), 0o644))
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("of root's\n", 0o600)
    assert (place / "mail" / "file").read_text() == "new\n"
    assert not (place / "mail" / ".file.before").is_symlink()
