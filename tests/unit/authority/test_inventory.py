"""The inventory: finding one certificate, lists and counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.authority import inventory
from doorward.core.errors import NotFound, RequestRefused
from doorward.stores.records import AuthorityKind, CertificateFilter
from tests.support.refusals import refused
from tests.support.world import empty_world


def spaced(text):
    """Return hex with colons and capitals, as other tools print it."""
    return ":".join(text[i : i + 2] for i in range(0, len(text), 2)).upper()


def test_found_by_every_name_that_it_has(world):
    """A certificate is found by id, serial or SHA-256, complete or a prefix, with colons or capitals."""
    record = world.issue("alice").record
    world.issue("bob")
    serial = f"{record.serial:x}"
    for text in (
        record.id,
        record.id[:20],
        serial,
        serial[:10],
        spaced(serial),
        record.sha256,
        spaced(record.sha256),
    ):
        assert inventory.find_certificate(world.services, f" {text} ").id == record.id


def test_too_short_is_refused(world):
    """A prefix with less than six characters is refused."""
    with refused(RequestRefused, "certificate-text-too-short") as refusal:
        inventory.find_certificate(world.services, "crt_a")
    assert refusal.value.hint


def test_unknown_is_refused(world):
    """A prefix without a match is refused as unknown."""
    with refused(NotFound, "certificate-unknown"):
        inventory.find_certificate(world.services, "ffffffffffff")


def test_ambiguous_is_refused_with_both(world):
    """If two certificates match, the error names both."""
    record = world.issue("alice").record
    twin = replace(record, id=record.id[:22] + "zz", serial=7, sha256="e" * 64)
    with world.work.change() as stores:
        stores.certificates.add_intended(twin)
    with refused(RequestRefused, "certificate-ambiguous") as refusal:
        inventory.find_certificate(world.services, record.id[:20])
    assert record.id in refusal.value.detail
    assert twin.id in refusal.value.detail


def test_whole_serial_is_not_ambiguous(world):
    """A complete serial number is not ambiguous, even if a longer one begins with it."""
    record = world.issue("alice").record
    longer = replace(record, id="crt_" + "z" * 20, serial=record.serial * 16 + 5, sha256="e" * 64)
    with world.work.change() as stores:
        stores.certificates.add_intended(longer)
    assert inventory.find_certificate(world.services, f"{record.serial:x}").id == record.id


def test_lists_and_counts(world):
    """Lists are filtered; counts are by state."""
    alice = world.issue("alice").record
    world.issue("bob")
    wanted = CertificateFilter(principal_id=alice.principal_id)
    assert [one.id for one in inventory.list_certificates(world.services, wanted)] == [alice.id]
    assert inventory.certificate_counts(world.services)["valid"] == 2


def test_chain_is_leaf_first_without_the_root(world):
    """A chain is the leaf and the issuing authority, as a TLS peer sends it."""
    held = world.issue("alice")
    chain = inventory.chain_of(world.services, held.record.id)
    assert chain == held.chain_der
    with world.work.read() as stores:
        assert chain[1] == stores.authorities.current(AuthorityKind.ISSUING).der
    with pytest.raises(NotFound):
        inventory.chain_of(world.services, "crt_nothing")


def test_chain_below_a_root_is_the_leaf_alone(world):
    """The chain of a certificate that a root signed is the certificate alone."""
    record = world.issue("alice").record
    root = inventory.root_certificate(world.services)
    direct = replace(record, id="crt_" + "z" * 20, authority_id=root.id, serial=7, sha256="e" * 64)
    with world.work.change() as stores:
        stores.certificates.add_intended(direct)
    assert inventory.chain_of(world.services, direct.id) == (direct.der,)


def test_authorities(world):
    """Our own authorities are listed; before the founding there are none."""
    assert {one.kind for one in inventory.list_authorities(world.services)} == set(AuthorityKind)
    assert inventory.root_certificate(world.services).kind is AuthorityKind.ROOT
    with refused(NotFound, "not-founded"):
        inventory.root_certificate(empty_world().services)
