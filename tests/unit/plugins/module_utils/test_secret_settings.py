# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Neither the model of a host nor a message about wrong input has a word of a secret setting."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.mail_plan import build
from ansible_collections.mailops.postmaster.plugins.module_utils.mistakes import BadInputError

SECRET = "tr0ub4dor&3"
GOOD = {"mta_hostname": "mx.example.org", "mta_postmaster": "alice"}


def plan(settings, **more):
    return build({**GOOD, "mta_extra_settings": settings, **more})


@pytest.mark.parametrize(
    ("value", "kind"), [(SECRET, "text"), ([SECRET], "lines"), ([f"a {SECRET}", "b.example c"], "lines")]
)
def test_the_model_knows_the_name_and_the_kind_of_a_secret_alone(value, kind):
    model = plan({"key": {"value": value, "secret": True}, "banner": "hello"})
    assert (model["settings"], model["secrets"]) == ({"banner": "hello"}, {"key": kind})
    assert SECRET not in str(model)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"value": SECRET}, "it does not have exactly the keys value and secret"),
        ({"value": SECRET, "secret": True, "mode": "0600"}, "it does not have exactly the keys value and secret"),
        ({"valeu": SECRET, "secret": True}, "it does not have exactly the keys value and secret"),
        ({SECRET: "value", "secret": True}, "it does not have exactly the keys value and secret"),
        ({"value": SECRET, "secret": False}, "its secret is not true"),
        ({"value": SECRET, "secret": "yes"}, "its secret is not true"),
        ({"value": {"a": SECRET}, "secret": True}, "its value, which is not shown, is not a text, or is empty"),
        ({"value": "", "secret": True}, "its value, which is not shown, is not a text, or is empty"),
        ({"value": [], "secret": True}, "its value, which is not shown, is not a text, or is empty"),
        ({"value": 7, "secret": True}, "its value, which is not shown, is not a text, or is empty"),
        ({"value": "sEcr3t!", "secret": True}, "its value, which is not shown, has fewer than 8 characters"),
        (
            {"value": [SECRET, " sEcr3t! "], "secret": True},
            "its value, which is not shown, has fewer than 8 characters",
        ),
        ({"value": f"{SECRET}\nx = y", "secret": True}, "its value, which is not shown, has a line break"),
        ({"value": [f"{SECRET}\u202e"], "secret": True}, "its value, which is not shown, has a line break"),
        ({"value": f"{SECRET}\x85", "secret": True}, "its value, which is not shown, has a line break"),
    ],
)
def test_a_mistake_in_a_secret_is_told_without_it(setting, said):
    with pytest.raises(BadInputError) as error:
        plan({"key": setting}, mta_service="nonsense")
    assert not [word for word in (SECRET, "sEcr3t!") if word in str(error.value)]
    assert f"mta_extra_settings['key']: {said}" in str(error.value)
    assert "allowed: {value: a string or a list of strings, secret: true}." in str(error.value)


ONE = {"value": SECRET, "secret": True}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"key": [ONE]}, "mta_extra_settings['key']: it is a list, and a dictionary stands in it; allowed: {value:"),
        ({"key": [SECRET, {"secret": True}]}, "mta_extra_settings['key']: it is a list, and a dictionary stands in it"),
        ({"key": [["a", [ONE]]], "banner": "hello"}, "mta_extra_settings['key']: it is a list"),
        ([{"key": ONE}], "mta_extra_settings: it is not a dictionary, and what it holds may be secret"),
        ([SECRET], "mta_extra_settings: it is not a dictionary, and what it holds may be secret"),
        (f"key={SECRET}", "mta_extra_settings: it is not a dictionary, and what it holds may be secret"),
        (f'{{"key": {{"value": "{SECRET}", "secret": tru}}}}', "mta_extra_settings: it is not a dictionary"),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown(settings, said):
    with pytest.raises(BadInputError) as error:
        plan(settings, mta_service="nonsense")
    assert SECRET not in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize("name", ["a\nb", "", 7, "a\u202eb"])
def test_the_name_of_a_secret_is_that_of_a_setting(name):
    with pytest.raises(BadInputError, match="this is not the name of a native setting"):
        plan({name: {"value": SECRET, "secret": True}})
