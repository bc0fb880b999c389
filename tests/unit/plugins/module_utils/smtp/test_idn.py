# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain in another script becomes the one that registries have, or it is refused: never another one."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils import canonical
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp import names
from hypothesis import given
from hypothesis import strategies as st

try:
    import idna
except ImportError:  # a .venv that is older than requirements.txt; pip has the same package in it
    from pip._vendor import idna

# What both standards make of it, with the package and without.
OF_BOTH = {
    "bücher.example": "xn--bcher-kva.example",
    "BÜCHER.Example": "xn--bcher-kva.example",
    "bu\u0308cher.example": "xn--bcher-kva.example",  # the two dots as a sign of their own
    "bücher.example\u3002": "xn--bcher-kva.example",
    "www\u3002bücher\uff0eexample": "www.xn--bcher-kva.example",
    "\uff45xample.org": "example.org",
    "пример.рф": "xn--e1afmkfd.xn--p1ai",
    "例え.テスト": "xn--r8jz45g.xn--zckzah",
    "मेल.example": "xn--r2bi6d.example",
    "\u10d0\u1c90.example": "xn--loda.example",  # a capital letter of 2018
    "βόλοσ.example": "xn--nxasmq6b.example",
    "strasse.example": "strasse.example",
    "xn--nxasmm1c.example": "xn--nxasmm1c.example",
}
# What 2003 makes another domain of, and the one that it is of 2008.
OF_2008 = {
    "βόλος.example": "xn--nxasmm1c.example",
    "Βόλος.example.": "xn--nxasmm1c.example",
    "straße.example": "xn--strae-oqa.example",
    "\u0dc1\u0dca\u200d\u0dbb\u0dd3.example": "xn--10cl1a0b660p.example",
    "\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example": "xn--mgba3gch31f060k.example",
    "\u1e9f.example": "xn--lkg.example",  # a letter of 2008
    "l·la.example": "xn--lla-lga.example",
}
# What either nobody converts now, or what has capitals that may be the one or the other.
OF_NEITHER = ["ΒΌΛΟΣ.example", "ΒΌΛΟΣ", "STRAẞE.example", "☃.example", "a.ΣΑΣ.example", "I♥NY.example"]
NO_DOMAINS = ["é..example", "é" * 64 + ".example", "é a.example", "a\udc80.example", "é_.example", "é/.example"]


@pytest.fixture(params=["with the package", "without"], autouse=True)
def installed(request, monkeypatch):
    found = idna if request.param == "with the package" else None
    monkeypatch.setitem(sys.modules, "idna", found)
    return found


@pytest.mark.parametrize(("text", "label"), OF_BOTH.items())
def test_a_text_that_two_standards_agree_about_is_converted(text, label):
    assert names.domain(text) == label


@pytest.mark.parametrize(("text", "label"), OF_2008.items())
def test_a_text_that_only_the_standard_of_2008_converts_is_that_domain_or_none(text, label, installed):
    if installed:
        assert names.domain(text) == label
    else:
        with pytest.raises(ValueError, match=r"A-label \(xn--\.\.\.\), or install the Python package idna on the"):
            names.domain(text)


@pytest.mark.parametrize("text", OF_NEITHER)
def test_a_text_of_which_nobody_can_say_which_domain_it_is_is_refused(text):
    with pytest.raises(ValueError, match=r"write this one as its A-label"):
        names.domain(text)


@pytest.mark.parametrize("text", NO_DOMAINS)
def test_what_is_no_domain_in_any_script_is_refused(text):
    with pytest.raises(ValueError, match="a domain name"):
        names.domain(text)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (canonical.domain, "ΒΌΛΟΣ.example"),
        (canonical.target, "alice@ΒΌΛΟΣ.example"),
        (canonical.next_hop, "ΒΌΛΟΣ.example:26"),
        (canonical.text, "\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example"),
    ],
)
def test_whoever_writes_it_anywhere_is_asked_for_the_a_label(form, text):
    with pytest.raises(ValueError, match=r"A-label"):
        form(text)


@given(st.text(st.characters(categories=["Ll", "Lu", "Lo", "Lm", "Mn", "Mc", "Nd", "So", "Cf"]), max_size=6))
def test_what_is_converted_without_the_package_is_the_same_domain_with_it(label):
    text = f"{label}.example"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "idna", None)
        try:
            without = names.domain(text)
        except ValueError:
            return
        patch.setitem(sys.modules, "idna", idna)
        try:
            found = names.domain(text)
        except ValueError:  # of 2008 it is none at all
            return
        assert found == without
