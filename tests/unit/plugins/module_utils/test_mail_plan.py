# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mail_plan: what is refused, and what model comes out of what is allowed."""

from __future__ import annotations

import re

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.mail_plan import build
from ansible_collections.mailops.postmaster.plugins.module_utils.mistakes import BadInputError
from ansible_collections.mailops.postmaster.plugins.module_utils.shown import BREAKS, HIDDEN
from hypothesis import given
from hypothesis import strategies as st

GOOD = {"mta_hostname": "mx1.example.org", "mta_domains": ["example.org"], "mta_postmaster": "alice"}
LONG = ".".join(["a" * 63] * 4)
FLOOD = {"client": "192.0.2.7", "reason": "floods since May", "until": "2026-12-31"}
NO_NUMBERS = (None, [], {}, "", "12x", "-1", "1e3", "0x10", 1.5, True, [300], float("nan"))
UNSEEN = ("\u202e", "\u2066", "\ufeff", "\x85", "\x9b", "\x1b", "\u200b", "\ud800", "\udc80")


def nested(levels):
    """Lists and dictionaries in turns, one in the other."""
    value = "innermost"
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def model(**changes):
    return build({**GOOD, **changes})


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("mta_postmaster", None, "an account or alias of this host"),
        ("mta_postmaster", "", "an account or alias of this host"),
        ("mta_postmaster", [], "an account or alias of this host"),
        ("mta_postmaster", "al ice", "an account or alias of this host"),
        ("mta_postmaster", "alice@example..org", "two labels"),
        ("mta_postmaster", "|/bin/cat", "an account or alias of this host"),
        ("mta_postmaster", 7, "an account or alias of this host"),
        ("mta_postmaster", "alice\nroot: mallory", "without line breaks"),
        ("mta_hostname", "mx1", "two labels"),
        ("mta_hostname", "", "two labels"),
        ("mta_hostname", None, "two labels"),
        ("mta_service", "mta", "mx, send_only, closed"),
        ("mta_service", ["mx"], "mx, send_only, closed"),
        ("mta_domains", "example.org", "a list"),
        ("mta_domains", ["example..org"], "two labels"),
        ("mta_domains", ["exa mple.org"], "two labels"),
        ("mta_domains", ["_dmarc.example.org"], "two labels"),
        ("mta_domains", ["-a.example.org"], "two labels"),
        ("mta_domains", [LONG], "253 in all"),
        ("mta_domains", ["a" * 64 + ".org"], "at most 63"),
        ("mta_domains", ["192.0.2.1"], "two labels"),
        ("mta_domains", [None], "two labels"),
        ("mta_domains", ["é" * 80 + ".org"], "two labels"),
        ("mta_virtual_domains", ["example.net"], "a dictionary"),
        ("mta_virtual_domains", {"example.net": "alice"}, "a dictionary of local parts"),
        ("mta_virtual_domains", {"example.net": {"sales": []}}, "or a list of them"),
        ("mta_virtual_domains", {"example.net": {"sa les": "alice"}}, "the local part"),
        ("mta_virtual_domains", {"example.net": {"sales": "a\x00b"}}, "without line breaks"),
        ("mta_virtual_domains", {"example.org": {}}, "does not stand in mta_domains"),
        ("mta_virtual_domains", {"MX1.example.org.": {}}, "'MX1.example.org.' is not allowed here"),
        ("mta_virtual_domains", {"mx1.example.org": {}}, "does not stand in mta_hostname as well"),
        (
            "mta_relay_domains",
            {"MX1.example.org": "192.0.2.7"},
            "'MX1.example.org' is not allowed here; allowed: a domain that",
        ),
        ("mta_relay_domains", {"Example.ORG": "primary.example.com"}, "'Example.ORG' is not allowed here"),
        ("mta_command_timeout", "120s", "a whole number from 10 to 3600"),
        ("mta_command_timeout", 9, "a whole number from 10 to 3600"),
        ("mta_command_timeout", 3601, "a whole number from 10 to 3600"),
        ("mta_command_timeout", True, "a whole number from 10 to 3600"),
        ("mta_relay_domains", ["example.com"], "a dictionary"),
        ("mta_relay_domains", {"example.com": "pri mary"}, "host name or address"),
        ("mta_relay_domains", {"example.com": "primary.example.com:99999"}, "host name or address"),
        ("mta_relay_domains", {"example.com": "mx1.example.org"}, "which is another host"),
        ("mta_relay_domains", {"example.org": "primary.example.com"}, "does not stand in mta_domains"),
        ("mta_listen", "all", "a list"),
        ("mta_listen", ["everywhere"], "all, loopback, or addresses"),
        ("mta_listen", [1], "all, loopback, or addresses"),
        ("mta_listen", [], "one or more of these: all, loopback, or addresses"),
        ("role_addresses_targets", {"abuse@example.org": "bob"}, "what stands behind the @ is a domain"),
        *(
            (name, value, "a whole number from 10")
            for name in ("mta_confirm_timeout", "mta_command_timeout")
            for value in NO_NUMBERS
        ),
        *(("mta_message_size", value, "a whole number from 65536") for value in NO_NUMBERS),
        *(("mta_greylist", value, "a whole number from 0 to 86400") for value in NO_NUMBERS),
        *(("mta_client_rate", value, "0 for any number, or a whole number from 100 to 100000") for value in NO_NUMBERS),
        ("mta_trusted_networks", [True], "an IPv4 or IPv6 address or network"),
        ("mta_trusted_networks", ["192.0.2.1/24"], "an IPv4 or IPv6 address or network"),
        ("mta_extra_settings", {" ": 1}, "the name of a native setting"),
        ("mta_extra_settings", {"a": [1]}, "a string, a number or a boolean"),
        ("mta_extra_settings", {"a": "b\nc = d"}, "without line breaks"),
        ("mta_extra_settings", {"a": 10**5000}, "18 digits at most"),
        ("mta_extra_settings", {"a": float("nan")}, "18 digits at most"),
        ("mta_extra_settings", {" a": 1}, "the name of a native setting"),
        ("mta_listen", ["fe80::1%x ; 0.0.0.0"], "all, loopback, or addresses"),
        ("mta_relay_domains", {"example.com": "fe80::1%x ; 0.0.0.0"}, "host name or address"),
        ("mta_relay_domains", {"example.com": "[fe80::1%x]:25"}, "host name or address"),
        ("mta_trusted_networks", ["fe80::1%x ; 0.0.0.0/0"], "an IPv4 or IPv6 address or network"),
        ("mta_postmaster_blocked_clients", [{**FLOOD, "client": "fe80::1%x"}], "an IPv4 or IPv6 address or network"),
        ("mta_postmaster_blocked_clients", [{**FLOOD, "until": "20261231"}], "the last day"),
        ("mta_postmaster_blocked_clients", [{**FLOOD, "reason": "a\u202e"}], "not seen"),
        ("mta_postmaster", "|/tmp/x@example.edu", "an account or alias of this host"),
        ("mta_postmaster", ["alice", "/tmp/x@example.edu"], "an account or alias of this host"),
        ("mta_virtual_domains", {"example.net": {"#sales": "alice"}}, "the local part"),
        ("mta_virtual_domains", {"example.net": {"sales": "a%b@example.edu"}}, "an account or alias of this host"),
        ("role_addresses_targets", {"|x": "alice"}, "the local part"),
        ("role_addresses_domains", {"example.org": {"abuse": "${x}@example.edu"}}, "an account or alias of this host"),
        *(("mta_extra_settings", {"a": f"b{sign}"}, "not seen") for sign in UNSEEN),
        *(("mta_extra_settings", {f"a{sign}": "b"}, "not seen") for sign in UNSEEN),
        *(("mta_domains", [f"exam{sign}ple.org"], "not seen") for sign in UNSEEN),
        ("mta_virtual_domains", nested(3000), "at most 20 levels"),
        ("mta_extra_settings", nested(3000), "a dictionary of native settings"),
        ("mta_domains", nested(3000), "at most 20 levels"),
        ("mta_postmaster", nested(3000), "at most 20 levels"),
        ("mta_postmaster_blocked_clients", [{**FLOOD, "client": nested(3000)}], "at most 20 levels"),
        ("role_addresses_services", ["smtp"], "a list of mail, dns"),
        ("role_addresses_services", "dns", "a list"),
        ("role_addresses_targets", {"postmaster": "bob"}, "any name but postmaster"),
        ("role_addresses_domains", {"example.com": {"abuse": "bob"}}, "a domain that this host serves"),
        (
            "role_addresses_targets",
            {"PostMaster": "bob"},
            "'PostMaster' is not allowed here",
        ),
        (
            "role_addresses_targets",
            {"noc": "bob", "NOC": "alice"},
            "'noc' is the same name",
        ),
        ("role_addresses_domains", {"example.org": {"abuse": "bob", "Abuse": "alice"}}, "each name once"),
        ("role_addresses_domains", {"example.org": {"abuse": "bob"}, "EXAMPLE.org": {}}, "each name once"),
        ("mta_virtual_domains", {"example.net": {"a": "bob", "A": "alice"}}, "each name once"),
        ("mta_virtual_domains", {"example.net": {"a": "bob"}, "Example.net": {}}, "each name once"),
        ("mta_relay_domains", {"example.com": "a.example.com", "Example.com": "b.example.com"}, "each name once"),
        ("mta_virtual_domains", {"bücher.example": {}, "xn--bcher-kva.example": {}}, "'bücher.example' is the same"),
        ("mta_virtual_domains", {"example.net": {}, "example.net.": {}}, "'example.net' is the same name"),
        ("mta_relay_domains", {"example.com": "192.0.2.7", "example.com.": "192.0.2.8"}, "'example.com' is the same"),
        ("mta_relay_domains", {"bücher.example": "192.0.2.7", "xn--bcher-kva.example": "192.0.2.8"}, "is the same"),
        ("mta_domains", ["example.org", "Example.ORG"], "'Example.ORG' is not allowed here; allowed: each name once"),
        ("mta_domains", ["example.org", "example.org."], "'example.org' is the same name"),
        ("mta_domains", ["bücher.example", "xn--bcher-kva.example"], "'bücher.example' is the same name"),
        ("role_addresses_domains", {"example.org": {}, "example.org.": {}}, "'example.org' is the same name"),
        ("mta_domains", ["my_host.example.org"], "no underscore"),
        ("mta_domains", ["\u0392\u038c\u039b\u039f\u03a3.example"], "write this one as its A-label"),
        ("mta_domains", ["STRA\u1e9eE.example"], "write this one as its A-label"),
        (
            "mta_domains",
            ["\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example"],
            "write a domain that has joiners as its A-",
        ),
        ("mta_relay_domains", {"example.com": "\u2603.example:26"}, "write this one as its A-label"),
        ("mta_trusted_networks", ["192.0.2.1/24"], "without host bits: 192.0.2.0/24"),
        ("mta_trusted_networks", ["2001:db8::1/32"], "without host bits: 2001:db8::/32"),
        ("mta_trusted_networks", ["10.0.0.1/8"], "without host bits: 10.0.0.0/8"),
        (
            "mta_virtual_domains",
            {"example.net": {10: "alice"}},
            "in quotes, for without them YAML takes it for a number",
        ),
        (
            "mta_virtual_domains",
            {"example.net": {True: "alice"}},
            "in quotes, for without them YAML takes it for a bool",
        ),
        ("role_addresses_targets", {1e3: "alice"}, "in quotes, for without them YAML takes it for a number"),
        ("mta_postmaster", 10, "in quotes, for without them YAML takes it for a number"),
    ],
)
def test_a_wrong_value_is_refused_with_the_variable_and_what_is_allowed(variable, value, named):
    with pytest.raises(BadInputError) as caught:
        model(**{variable: value})
    assert len(caught.value.errors) == 1
    assert caught.value.errors[0].startswith(variable)
    assert named in caught.value.errors[0]


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"mta_postmaster": "carol@example.net"}, "mta_postmaster: 'carol@example.net'"),
        ({"mta_postmaster": ["alice", "carol@Example.NET"]}, "mta_postmaster: 'carol@Example.NET'"),
        ({"role_addresses_targets": {"noc": "carol@example.net"}}, "role_addresses_targets['noc']: "),
        (
            {"role_addresses_domains": {"example.org": {"abuse": "c@example.net"}}},
            "role_addresses_domains['example.org']",
        ),
        ({"mta_virtual_domains": {"example.net": {"a": "b@example.net"}}}, "mta_virtual_domains['example.net']['a']: "),
        ({"mta_postmaster": "carol+tag@example.net"}, "mta_postmaster: 'carol+tag@example.net'"),
    ],
)
def test_a_target_that_a_virtual_domain_does_not_have_is_refused(changes, variable):
    with pytest.raises(BadInputError) as caught:
        model(**{"mta_virtual_domains": {"example.net": {"sales": "alice"}}, **changes})
    assert len(caught.value.errors) == 1
    assert caught.value.errors[0].startswith(variable)
    assert "an address at example.net that mta_virtual_domains['example.net'] lists" in caught.value.errors[0]


@pytest.mark.parametrize(
    "target",
    [
        "sales@example.net",
        "Sales@example.net",
        "sales+tag@example.net",
        "abuse@example.org",
        "carol@example.com",
        "c@d.example",
    ],
)
def test_a_target_that_a_domain_of_the_host_has_or_that_is_elsewhere_is_allowed(target):
    found = model(
        mta_virtual_domains={"example.net": {"sales": "alice"}},
        mta_relay_domains={"example.com": "primary.example.com"},
        role_addresses_targets={"noc": target},
    )
    assert found["aliases"]["noc"] == [target]


def test_a_host_name_that_is_a_domain_elsewhere_is_no_mistake_of_the_list_of_domains():
    with pytest.raises(BadInputError) as caught:
        model(
            mta_hostname="Mail.Example.org.",
            mta_domains=["mail.example.org"],
            mta_virtual_domains={"MAIL.example.org": {}},
        )
    (error,) = caught.value.errors
    assert error.startswith("mta_virtual_domains: 'MAIL.example.org' is not allowed here; ")
    assert "does not stand in mta_hostname as well" in error


def test_a_dot_at_the_end_of_a_domain_is_accepted_wherever_one_stands():
    dotted = model(
        mta_hostname="mx1.example.org.",
        mta_domains=["example.org."],
        mta_virtual_domains={"example.net.": {"sales": "alice@example.org."}},
        mta_relay_domains={"example.com.": "primary.example.com."},
        mta_blocklists=["list.example.org."],
        role_addresses_domains={"example.net.": {"abuse": "alice@example.org"}},
    )
    assert not [text for text in strings({**dotted, "names": []}) if text.endswith(".")]
    longest = f"{'a.' * 125}org"
    assert model(mta_domains=[longest + "."])["local"][1] == longest


@pytest.mark.parametrize("domains", [["example.org", "example.org"], ["example.org", "MX1.example.org"]])
def test_a_domain_that_a_list_repeats_as_it_is_written_is_no_mistake(domains):
    assert model(mta_domains=domains)["local"] == ["mx1.example.org", "example.org"]


def test_an_address_that_two_variables_give_to_two_readers_is_refused():
    virtual = {"Example.net": {"Sales": "alice"}}
    with pytest.raises(BadInputError) as caught:
        model(mta_virtual_domains=virtual, role_addresses_domains={"example.NET": {"SALES": "bob"}})
    (error,) = caught.value.errors
    assert error.startswith("role_addresses_domains['example.NET']: 'SALES' is not allowed here; ")
    assert "an address that mta_virtual_domains['Example.net'] does not list with other targets" in error
    same = model(mta_virtual_domains=virtual, role_addresses_domains={"example.net": {"sales": "alice", "a": "bob"}})
    assert same["rows"]["sales@example.net"] == ["alice@mx1.example.org"]


def test_an_account_is_looked_up_in_lower_case_as_the_mtas_do():
    found = model(mta_postmaster="Alice", role_addresses_targets={"noc": ["BOB", "Carol@Example.edu"]})
    assert (found["aliases"]["postmaster"], found["aliases"]["noc"]) == (["alice"], ["bob", "Carol@example.edu"])
    assert found["names"] == {"alice": "mta_postmaster: 'Alice'", "bob": "role_addresses_targets['noc']: 'BOB'"}
    assert "carol" in model(mta_postmaster="Carol@example.org")["names"]


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("alice+tag", "alice+tag"),
        ("Alice+Tag@example.org", "alice+tag"),
        ("alice+tag@mx1.example.org", "alice+tag"),
        ("hostmaster+tag", None),  # an alias of the role's own
        ("sales+tag", "sales+tag"),  # it is one of a domain, and none of the host
        ("sales+tag@example.net", None),
        ("news@example.org", None),  # an address that has a reader of its own
        ("news+tag@example.org", None),
        ("news", "news"),
        ("ftp+tag", "ftp+tag"),  # an account that the role puts no alias in the way of
        ("alice+tag@example.edu", None),
    ],
)
def test_a_target_with_a_tag_is_what_the_mtas_look_up(target, asked):
    found = model(
        mta_virtual_domains={"example.net": {"sales": "bob"}},
        role_addresses_services=["dns"],
        role_addresses_domains={"example.org": {"news": "bob"}},
        role_addresses_targets={"noc": target, "ftp": "ftp"},
    )
    assert sorted({*found["names"]} - {"alice", "bob", "ftp"}) == ([asked] if asked else [])


@pytest.mark.parametrize(
    ("changes", "cycle"),
    [
        ({"mta_postmaster": "abuse+tag"}, "postmaster -> abuse -> postmaster"),
        ({"mta_postmaster": "Postmaster+tag@example.org"}, "postmaster -> postmaster"),
        ({"mta_postmaster": "a+tag@example.net"}, "a@example.net"),
    ],
)
def test_a_loop_through_a_tag_is_one(changes, cycle):
    with pytest.raises(BadInputError, match=f"make a loop: .*{cycle}"):
        model(**{"mta_virtual_domains": {"example.net": {"a": "abuse"}}, **changes})


def test_every_mistake_is_named_at_once():
    with pytest.raises(BadInputError) as caught:
        model(mta_domains="example.org", mta_listen=["x"], mta_postmaster="")
    assert len(caught.value.errors) == 3


@pytest.mark.parametrize(
    ("changes", "cycle"),
    [
        ({"mta_postmaster": "abuse"}, "abuse"),
        ({"mta_postmaster": "postmaster@example.org", "mta_domains": ["example.org"]}, "postmaster"),
        ({"role_addresses_targets": {"abuse": "noc", "noc": "abuse"}}, "noc"),
        (
            {"mta_virtual_domains": {"example.net": {"a": "b@example.net", "b": "A@EXAMPLE.net"}}},
            "a@example.net",
        ),
        (
            {"mta_virtual_domains": {"example.net": {"a": "abuse"}}, "mta_postmaster": "a@example.net"},
            "a@example.net",
        ),
    ],
)
def test_a_loop_is_refused_with_the_whole_cycle(changes, cycle):
    with pytest.raises(BadInputError, match=f"make a loop: .*{cycle}.* -> "):
        model(**changes)


def test_postmaster_who_is_the_account_of_that_name_has_no_alias():
    found = model(mta_postmaster="postmaster")
    assert found["aliases"] == {"postmaster": [], "abuse": ["postmaster"]}
    assert found["names"] == {"postmaster": "mta_postmaster: 'postmaster'"}


def test_a_domain_in_another_script_is_converted():
    found = model(mta_domains=["bücher.example"], mta_postmaster="alice@BÜCHER.example")
    assert found["local"] == ["mx1.example.org", "xn--bcher-kva.example"]
    assert found["aliases"]["postmaster"] == ["alice@xn--bcher-kva.example"]


def test_role_addresses_stand_at_every_virtual_domain_and_not_at_relayed_ones():
    found = model(
        mta_virtual_domains={"example.net": {"sales": ["alice", "bob@elsewhere.example"]}},
        mta_relay_domains={"example.com": "primary.example.com"},
    )
    assert found["rows"] == {
        "postmaster@example.net": ["postmaster@mx1.example.org"],
        "abuse@example.net": ["abuse@mx1.example.org"],
        "sales@example.net": ["alice@mx1.example.org", "bob@elsewhere.example"],
    }
    assert found["relay"] == {"example.com": "[primary.example.com]"}


@pytest.mark.parametrize("domain", ["example.org", "example.net", "example.com", "mx1.example.org"])
def test_a_role_address_can_lead_elsewhere_at_one_domain(domain):
    found = model(
        mta_virtual_domains={"example.net": {}},
        mta_relay_domains={"example.com": "primary.example.com"},
        role_addresses_domains={domain: {"postmaster": "bob"}},
    )
    assert found["rows"]["postmaster@" + domain] == ["bob@mx1.example.org"]
    assert found["names"]["bob"] == f"role_addresses_domains['{domain}']['postmaster']: 'bob'"


def test_services_bring_their_names():
    found = model(role_addresses_services=["dns", "http"])
    assert found["roles"] == ["postmaster", "abuse", "hostmaster", "webmaster", "www"]
    assert found["aliases"]["hostmaster"] == ["postmaster"]


@pytest.mark.parametrize(
    ("primary", "next_hop"),
    [
        ("primary.example.com", "[primary.example.com]"),
        ("primary.example.com:25", "[primary.example.com]"),
        ("primary.example.com:2525", "[primary.example.com]:2525"),
        ("[primary.example.com]:2525", "[primary.example.com]:2525"),
        ("192.0.2.7", "[192.0.2.7]"),
        ("[2001:db8::7]", "[2001:db8::7]"),
    ],
)
def test_a_primary_is_a_host_and_never_looked_up_as_a_domain(primary, next_hop):
    assert model(mta_relay_domains={"example.com": primary})["relay"] == {"example.com": next_hop}


def strings(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(key)
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


# What the MTAs' languages are made of, and what could stand where a value is expected.
PIECES = st.sampled_from(
    [
        *("a", "alice", "example.net", "@", "%", "[", "]", ":", "/", ".", "fe80::1", "192.0.2.1", "/24", "x ; y", "|"),
        *("#", "$", "\n", "\u202e", "\ud800", "{", "`", "'", '"', "\\", "\u0663", "all", "*", ",", "-", "${run{/x}}"),
    ]
)
TEXTS = st.one_of(st.text(max_size=12), st.lists(PIECES, max_size=4).map("".join))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
# By variable: where in it the texts stand that reach a file.
PLACES = {
    "mta_service": lambda text: text,
    "mta_hostname": lambda text: text,
    "mta_domains": lambda text: [text],
    "mta_virtual_domains": lambda text: {"example.net": {"sales": text, text: "bob"}, text: {}},
    "mta_relay_domains": lambda text: {"example.com": text, text: "primary.example.com"},
    "mta_listen": lambda text: [text],
    "mta_trusted_networks": lambda text: [text],
    "mta_postmaster": lambda text: [text, "bob"],
    "mta_postmaster_notices": lambda text: [text],
    "mta_blocklists": lambda text: [text],
    "mta_postmaster_blocked_clients": lambda text: [{**FLOOD, "reason": text}, {**FLOOD, "client": text}],
    "role_addresses_services": lambda text: [text],
    "role_addresses_targets": lambda text: {"sales": text, text: "bob"},
    "role_addresses_domains": lambda text: {"example.org": {"abuse": text, text: "bob"}},
}
CANONICAL = re.compile(r"[A-Za-z0-9._+='&~/@:\[\]-]*")
ANY_VARIABLE = st.sampled_from([*PLACES, "mta_extra_settings", "mta_greylist", "mta_client_rate", "mta_spf"])


def judged(variable, value):
    """The model, or nothing and the errors."""
    try:
        return model(**{variable: value}), []
    except BadInputError as error:
        return {}, error.errors


def held_by_canonical_forms(plan):
    """All texts of a model but for native settings, the reasons of blocks, which have a form of their own, and who
    wants a name, which no file says."""
    if not plan:
        return
    blocked = [{**client, "reason": ""} for client in plan["defences"]["blocked_clients"]]
    defences = {**plan["defences"], "blocked_clients": blocked}
    yield from strings({**plan, "names": list(plan["names"]), "settings": {}, "defences": defences})


@given(variable=st.sampled_from(list(PLACES)), text=TEXTS)
def test_a_text_is_refused_or_reaches_the_model_in_canonical_form_alone(variable, text):
    plan, errors = judged(variable, PLACES[variable](text))
    assert all(variable in said and "allowed" in said and said.isprintable() for said in errors)
    assert all(CANONICAL.fullmatch(held) for held in held_by_canonical_forms(plan))


@given(variable=ANY_VARIABLE, value=VALUES)
def test_any_value_gives_a_model_of_what_is_seen_or_a_clear_refusal(variable, value):
    plan, errors = judged(variable, value)
    assert all(variable in said for said in errors)
    said = [*strings(plan), *errors]
    assert said
    assert not any(HIDDEN.search(text) or BREAKS.search(text) for text in said)


def test_a_list_that_stands_in_very_many_places_is_looked_at_once():
    value = ["innermost"]
    for _dummy in range(18):
        value = [value] * 10
    with pytest.raises(BadInputError, match="not allowed here"):
        model(mta_domains=value)


def test_a_value_is_shown_as_the_user_wrote_it_on_one_line():
    with pytest.raises(BadInputError) as caught:
        model(mta_hostname="mx1\x1b[31m.example\u202e.org")
    assert caught.value.errors[0].startswith("mta_hostname: 'mx1\\x1b[31m.example\\u202e.org' is not allowed")


@pytest.mark.parametrize(
    ("network", "labels"),
    [
        ("10.1.2.0/24", ["10.1.2"]),
        ("10.1.2.7", ["10.1.2.7"]),
        ("10.4.0.0/14", ["10.4", "10.5", "10.6", "10.7"]),
        ("2001:db8::/32", ["IPv6:2001:db8"]),
        ("2001:db8:0:8::/63", ["IPv6:2001:db8:0:8", "IPv6:2001:db8:0:9"]),
        ("2001:db8::/33", None),
    ],
)
def test_a_network_is_known_by_the_texts_that_its_addresses_begin_with(network, labels):
    plan = model(mta_trusted_networks=[network])
    assert list(plan["labels"].values()) == ([labels] if labels else [])


@pytest.mark.parametrize(
    ("service", "given", "listen"),
    [
        ("mx", ["all"], ["all"]),
        ("mx", ["192.0.2.1"], ["192.0.2.1"]),
        ("send_only", ["all"], ["loopback"]),
        ("send_only", ["loopback"], ["loopback"]),
        ("closed", ["all"], ["all"]),
        ("closed", ["192.0.2.1"], ["192.0.2.1", "loopback"]),
    ],
)
def test_whoever_else_is_heard_the_programs_of_the_host_are(service, given, listen):
    made = model(mta_service=service, mta_listen=given)
    assert (made["service"], made["listen"]) == (service, listen)


@pytest.mark.parametrize(
    ("service", "variable", "value", "allowed"),
    [
        ("send_only", "mta_listen", ["192.0.2.1"], "all or loopback"),
        ("send_only", "mta_trusted_networks", ["192.0.2.0/24"], "an empty list"),
        ("send_only", "mta_relay_domains", {"example.com": "192.0.2.9"}, "an empty dictionary"),
        ("closed", "mta_relay_domains", {"example.com": "192.0.2.9"}, "an empty dictionary"),
        ("closed", "mta_listen", ["loopback"], "addresses of this host"),
    ],
)
def test_a_host_that_takes_no_mail_is_given_nothing_that_wants_some(service, variable, value, allowed):
    with pytest.raises(BadInputError) as caught:
        model(**{"mta_service": service, variable: value})
    assert len(caught.value.errors) == 1
    assert variable in str(caught.value)
    assert allowed in str(caught.value)


def test_a_catch_all_takes_what_its_domain_does_not_list():
    made = model(mta_virtual_domains={"example.net": {"*": ["bob", "c@example.edu"], "sales": "any@example.net"}})
    assert made["rows"] == {
        "postmaster@example.net": ["postmaster@mx1.example.org"],
        "abuse@example.net": ["abuse@mx1.example.org"],
        "@example.net": ["bob@mx1.example.org", "c@example.edu"],
        "sales@example.net": ["any@example.net"],
    }
    assert "bob" in made["names"]


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"mta_virtual_domains": {"example.net": {"a*": "bob"}}}, "a * alone is the catch-all of a virtual domain"),
        ({"mta_virtual_domains": {"example.net": {"*": "a@example.net"}}}, "make a loop: @example.net -> @example.net"),
        ({"mta_virtual_domains": {"example.net": {"*": []}}}, "or a list of them"),
        ({"mta_virtual_domains": {"example.net": {"*": "*"}}}, "an account or alias of this host"),
        ({"role_addresses_targets": {"*": "bob"}}, "catch-all of a virtual domain"),
        ({"role_addresses_domains": {"example.org": {"*": "bob"}}}, "catch-all of a virtual domain"),
    ],
)
def test_a_catch_all_stands_alone_in_a_virtual_domain_and_leads_out_of_it(variables, named):
    with pytest.raises(BadInputError) as caught:
        model(**variables)
    assert named in " ".join(caught.value.errors)
