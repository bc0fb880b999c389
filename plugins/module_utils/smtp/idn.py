# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains in other scripts as A-labels, by IDNA 2008 (RFC 5891), or not at all. Pure.

Python's own conversion is that of 2003 (RFC 3490). Of some texts it makes another domain than registries do now, which
may have another owner: it writes a final sigma as a plain one, and sharp s as ss. The package ``idna`` knows the
standard of 2008. A host needs no packages, so without it a text is converted where the two standards must agree.
"""

from __future__ import annotations

import importlib
import re
import unicodedata
from typing import Any

# Sharp s, final sigma, ZWNJ and ZWJ: of 2003 they are others or none, of 2008 themselves (RFC 5894 section 7.2).
DEVIATING = re.compile("[\u00df\u03c2\u200c\u200d]")
# The capitals of the first two. The lower case of one depends on the version of Unicode, of the other on its place.
CAPITAL = re.compile("\u1e9e|\u03a3(?![^\\W\\d_])")
DOTS = re.compile("[.\u3002\uff0e\uff61]")  # RFC 3490 section 3.1
LETTERS = {"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"}  # what names are made of, of 2008 (RFC 5892 section 2.1)


AN_A_LABEL = "; write this one as its A-label (xn--...)"
OR_THE_PACKAGE = AN_A_LABEL + ", or install the Python package idna on the controller"


class UnclearError(ValueError):
    """A text of which nobody can say here which domain it is; what the user can do about it."""


def a_labels(value: str) -> str:
    """A domain of ASCII signs; one in another script is converted. Raises ``UnclearError`` and ``UnicodeError``."""
    if value.isascii():
        return value
    if CAPITAL.search(value):
        raise UnclearError(AN_A_LABEL)
    known = package()
    return _of_2008(value, known) if known else _of_both(value)


def package() -> Any:
    """The package ``idna``, or None where it is not installed."""
    try:
        return importlib.import_module("idna")
    except ImportError:
        return None


def _of_2008(value: str, known: Any) -> str:
    try:
        return str(known.encode(value, uts46=True).decode("ascii"))
    except UnicodeError:
        value.encode("idna")  # what was a domain until 2010 may still be one; anything else is an error here, too
        raise UnclearError(AN_A_LABEL) from None


def _of_both(value: str) -> str:
    """The conversion of 2003 of what it cannot be wrong about."""
    converted = value.encode("idna").decode("ascii")
    for label in filter(None, DOTS.split(value)):
        if not label.isascii() and (DEVIATING.search(label) or not _stable(label)):
            raise UnclearError(OR_THE_PACKAGE)
    return converted


def _stable(label: str) -> bool:
    """Whether a label has letters alone that Unicode knew in 2002, and that are the same since."""
    old = label.encode("idna").decode("idna")
    new = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
    return old == new and all(
        sign == "-" or (unicodedata.category(sign) in LETTERS and unicodedata.ucd_3_2_0.category(sign) != "Cn")
        for sign in new
    )
