"""Warnings for an application with too long authority names for the handshake."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from doorward.partners.authority_names import check_authority_names
from doorward.partners.examining import examine_names
from doorward.partners.importing import import_partner
from doorward.partners.terms import Terms
from doorward.policy.analysis import PolicyFinding
from doorward.stores.policy_snapshot import current_document
from tests.support.certificates.issuing import CertifiedKey, certify
from tests.support.partner_site import PartnerSite
from tests.support.world import OPERATOR, found_world


def long_names(site: PartnerSite, count: int) -> list[CertifiedKey]:
    """Return intermediates with names of about 700 bytes."""
    unit = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "x" * 60) for _ in range(10)]
    return [
        certify(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Unit {at}"), *unit]),
            site.root,
            key=site.issuing.key,
        )
        for at in range(count)
    ]


def findings(site: PartnerSite) -> list[PolicyFinding]:
    """Return the findings about the document in force."""
    with site.services.work.read() as stores:
        document, _ = current_document(stores)
        return list(check_authority_names(stores, document))


@pytest.mark.parametrize(
    ("count", "said"), [(0, ""), (20, ""), (50, "Java clients"), (100, "the door sends no names")]
)
def test_names_too_long_for_some_clients_are_reported(site: PartnerSite, count: int, said: str) -> None:
    """RFC 8446 section 4.2.4 and Java's limit of 32 KiB for a handshake message."""
    site.bring_in(replacing=True, intermediates=[site.issuing, *long_names(site, count)])
    found = findings(site)
    assert [one.code for one in found] == (["authority-names-large"] if said else [])
    assert all(said in one.message and one.app == "payments" for one in found)


@pytest.mark.parametrize(
    ("count", "said"), [(0, ""), (20, ""), (50, "Java clients"), (100, "the door sends no names")]
)
def test_an_import_tells_before_it_is_made(count: int, said: str) -> None:
    """`ca import` warns, also with `--check`, and before any application trusts the partner."""
    world = found_world(document="")
    root = certify("West Root")
    unit = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "x" * 60) for _ in range(10)]
    ders = [
        certify(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Unit {at}"), *unit]), root, key=root.key
        ).der
        for at in range(count)
    ]
    told = examine_names(world.services, "west", [root.der, *ders])
    assert len(told) == bool(said)
    assert all(said in one and one.startswith("an application that trusts own and west: ") for one in told)
    done = import_partner(
        world.services, "west", Terms(), anchors=[root.der], intermediates=ders, actor=OPERATOR
    )
    assert done.notes == told
