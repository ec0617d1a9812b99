"""Subtrees as an operator writes them."""

from __future__ import annotations

import ipaddress

import pytest

from doorward.core.errors import MalformedInput
from doorward.verification.path.constraints import Domain, Host, HostTree, Mailbox
from doorward.verification.path.subtree_text import TEXT_LIMIT, parse_subtree

ORGANIZATION = (("2.5.4.10", "clinic"),)


@pytest.mark.parametrize(
    ("text", "form", "value"),
    [
        ("dns:Clinic.example", "dns", HostTree("clinic.example")),
        ("dns:", "dns", HostTree("")),
        ("email:clinic.example", "email", Host("clinic.example")),
        ("email:.clinic.example", "email", Domain("clinic.example")),
        ("email:Alice@clinic.example", "email", Mailbox("Alice", "clinic.example")),
        ("uri:clinic.example", "uri", Host("clinic.example")),
        ("uri:.clinic.example", "uri", Domain("clinic.example")),
        ("ip:10.0.0.0/8", "ip", ipaddress.ip_network("10.0.0.0/8")),
        ("ip:2001:db8::/32", "ip", ipaddress.ip_network("2001:db8::/32")),
        ("ip:192.0.2.1", "ip", ipaddress.ip_network("192.0.2.1/32")),
        ("dn:O=Clinic", "directory", (ORGANIZATION,)),
        ("dn:O=Clinic,C=DE", "directory", ((("2.5.4.6", "de"),), ORGANIZATION)),
        ("dn:", "directory", ()),
    ],
)
def test_each_form_has_its_spelling(text, form, value):
    """The value is that of the certificate extension."""
    subtree = parse_subtree(text)
    assert (subtree.form, subtree.value) == (form, value)


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("", "begin the subtree with one of dns:"),
        ("clinic.example", "begin the subtree with one of dns:"),
        ("DNS:clinic.example", "begin the subtree with one of dns:"),
        ("dns:.clinic.example", "without a dot"),
        ("dns:*.clinic.example", "without a dot"),
        ("dns:clinic.example ", "without a dot"),
        ("dns:" + "a." * (TEXT_LIMIT // 2) + "example", "without a dot"),
        ("email:", "alice@clinic.example"),
        ("email:alice@", "alice@clinic.example"),
        ("uri:https://clinic.example/", "the host"),
        ("uri:", "the host"),
        ("ip:10.0.0.1/8", "without bits"),
        ("ip:", "without bits"),
        ("dn:Clinic", "dn:O=Clinic"),
        ("dn:O=", "dn:O=Clinic"),
        ("dn:O=Clinic, C=DE", "without a space"),
        ("dn:O=" + "x" * TEXT_LIMIT, "dn:O=Clinic"),
    ],
)
def test_another_spelling_is_refused_with_a_hint(text, mend):
    """A subtree with no names, or other names than it seems to have, would protect nothing."""
    with pytest.raises(MalformedInput) as refused:
        parse_subtree(text)
    assert refused.value.code == "subtree-malformed"
    assert mend in refused.value.hint
