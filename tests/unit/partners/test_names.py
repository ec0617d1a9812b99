"""A partner's principal is added under the name that its certificates have."""

from __future__ import annotations

import pytest

from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput, NotFound
from doorward.directory.principals import add_principal
from doorward.verification.identity import SanSource
from tests.support.partner_site import PartnerSite, partner_site
from tests.support.world import OPERATOR

PERSON = PrincipalKind.PERSON


def add(site: PartnerSite, name: str) -> tuple[str, tuple[str, ...]]:
    """Add a principal; return the name and the notes."""
    done = add_principal(site.services, PERSON, name, actor=OPERATOR)
    return done.value.name, done.notes


def test_a_host_is_lower_cased_with_a_note() -> None:
    """RFC 5280 section 7.5: a host is lower-cased with a note, and the principal is admitted."""
    site = partner_site(domain="clinic.example")
    assert add(site, "clinic/o'Brien@Clinic.EXAMPLE") == (
        "clinic/o'Brien@clinic.example",
        ("its certificates contain the name clinic/o'Brien@clinic.example",),
    )
    assert "principal-active" in site.reasons(site.leaf("o'Brien@CLINIC.example"))
    assert add(site, "clinic/bob@clinic.example") == ("clinic/bob@clinic.example", ())
    assert add(site, "clinic/bob@CLINIC.example") == (
        "clinic/bob@clinic.example",
        (
            "its certificates contain the name clinic/bob@clinic.example",
            "clinic/bob@clinic.example existed already",
        ),
    )


def test_a_subject_is_encoded() -> None:
    """The text of `openssl x509 -subject -nameopt RFC2253` is accepted."""
    site = partner_site(source=SanSource.SUBJECT, domain="")
    assert add(site, "clinic/CN=bob, O=Clinic, C=DE")[0] == "clinic/CN=bob%2CO=Clinic%2CC=DE"


@pytest.mark.parametrize("identity", ["bob", "bob@other.example", "CN=bob,O=Clinic", ""])
def test_a_name_that_can_never_match_is_not_added(identity: str) -> None:
    """A name that no certificate can have is refused with a hint."""
    site = partner_site(domain="clinic.example")
    head = site.head()
    with pytest.raises(MalformedInput) as refused:
        add(site, f"clinic/{identity}")
    assert refused.value.code == "identity-never-matches"
    assert site.head() == head


def test_a_partner_must_be_known() -> None:
    """Without the partner its names cannot be read."""
    with pytest.raises(NotFound):
        add(partner_site(), "east/bob@east.example")
    with pytest.raises(MalformedInput):
        add(partner_site(), "/bob@east.example")
