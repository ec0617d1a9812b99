"""A founding below a root that was never here: the request, the checks, the authority; and lists that the root signs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509

from doorward.authority import founding, founding_ceremony
from doorward.authority.founding_ceremony import FoundingRequest
from doorward.authority.rollover import preparing
from doorward.authority.status import root_crl, root_list_import
from doorward.authority.status.publication import publication_addresses
from doorward.core.certificate import RevocationReason
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.core.ports import KeyKind
from doorward.stores.records import AuthorityKind
from tests.support.certificates.issuing import certify, toy_ca
from tests.support.certificates.status import crl_of
from tests.support.ports import NOON, PlainKeys
from tests.support.refusals import refused
from tests.support.renewal_server import PublicOnly
from tests.support.world import OPERATOR, empty_world

URL = "http://pki.corp.example"
SERIAL = 1 << 100
YEARS = {"not_before": NOON - timedelta(days=1), "not_after": NOON + timedelta(days=3000)}
ROOT_OPTIONS = {**YEARS, "usage": ("key_cert_sign", "crl_sign")}
ROOT = certify("Bank Root", **ROOT_OPTIONS)


@pytest.fixture
def world():
    """A place with keys and a database, in which nothing is founded."""
    return empty_world()


def asked(world):
    """Return the request of the founding."""
    return founding_ceremony.request_founding(world.services, trust_domain="corp.example", status_url=URL)


def issued(request: FoundingRequest, root=ROOT, **changed):
    """Return what a root makes of the request; `changed` is wrong on purpose."""
    csr = x509.load_der_x509_csr(request.request)
    addresses = publication_addresses(URL, changed.pop("root_id", request.root_id))
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(addresses.crl)], None, None, None)
    options = {
        "key": PublicOnly(csr.public_key()),
        "path_length": 0,
        "usage": ("key_cert_sign", "crl_sign"),
        "serial": SERIAL,
        "not_before": NOON - timedelta(hours=1),
        "not_after": NOON + timedelta(days=1800),
        "extra": [(x509.CRLDistributionPoints([point]), False)],
    }
    return certify(changed.pop("subject", csr.subject), root, **{**options, **changed})


def found(world, request, issuing, root=ROOT):
    """Found the authority with what came back."""
    return founding_ceremony.found_below(
        world.services, request, issuing=issuing.der, root=root.der, actor=OPERATOR
    )


def test_nothing_is_founded_before_the_certificate_comes(world):
    """The request is made, the key stays here, and every use case refuses; then the root is the anchor and has no key here."""
    request = asked(world)
    with refused(NotFound, "not-founded"):
        root_crl.root_list_end(world.services)
    assert world.keys.names() == ["issuing-1"]
    tenant = found(world, request, issued(request))
    assert (tenant.trust_domain, tenant.status_url) == ("corp.example", URL)
    with world.work.read() as stores:
        root, issuing = (
            stores.authorities.current(one) for one in (AuthorityKind.ROOT, AuthorityKind.ISSUING)
        )
        assert stores.authorities.responder(issuing.id) is not None
    assert (root.der, root.id, issuing.issuer_id) == (ROOT.der, request.root_id, request.root_id)
    assert world.keys.names() == ["issuing-1", "ocsp-1"]
    with refused(NotFound, "root-key-removed"):
        preparing.prepare(world.services, actor=OPERATOR)
    with refused(RequestRefused, "already-founded"):
        found(world, request, issued(request))
    with refused(RequestRefused, "already-founded"):
        asked(world)


def test_the_roots_key_name_is_that_of_no_key(world):
    """A key `root-1` of an interrupted first start is never taken for the key of the root elsewhere."""
    world.keys.store("root-1", PlainKeys().generate(KeyKind.P256))
    request = asked(world)
    found(world, request, issued(request))
    with refused(NotFound, "root-key-removed"):
        founding.export_root(world.services, passphrase=b"correct horse battery", actor=OPERATOR)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"path_length": 0}, "no CA with room"),
        ({"ca": False, "usage": ("key_cert_sign", "crl_sign")}, "no CA with room"),
        ({"basic_critical": False}, "no CA with room"),
        ({"usage": ("key_cert_sign",)}, "may not sign certificates and CRLs"),
        ({"permitted": [x509.DNSName("corp.example")]}, "constrains names or policies"),
        ({"not_after": NOON - timedelta(hours=1)}, "the root is not valid now"),
        ({"not_before": NOON + timedelta(hours=1)}, "the root is not valid now"),
        ({"drop": [x509.SubjectKeyIdentifier]}, "no subject key identifier"),
        ({"issuer": toy_ca("Above")}, "has not signed itself"),
        ({"raw": [(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00", True)]}, "another critical extension"),
    ],
)
def test_a_root_that_is_none_is_refused(world, options, why):
    """Each rule about the root is told, and nothing is founded."""
    request = asked(world)
    root = certify("Bank Root", **{**ROOT_OPTIONS, **options})
    with refused(RequestRefused, "authority-refused") as caught:
        found(world, request, issued(request), root)
    assert why in str(caught.value)
    found(world, request, issued(request))  # twin


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"key": PlainKeys().generate(KeyKind.P256)}, "another key than that of the request"),
        ({"subject": "corp.example Issuing 2"}, "its name is not that of the request"),
        ({"root": toy_ca("Bank Root", **YEARS)}, "has not signed it"),
        ({"path_length": None}, "path length is not that of the profile"),
        ({"permitted": [x509.DNSName("corp.example")]}, "does not belong here"),
        ({"not_after": NOON + timedelta(days=3001)}, "within the issuer's"),
        ({"not_after": NOON - timedelta(minutes=1)}, "it is not valid now"),
        ({"root_id": "aut_22222222222222222222"}, "its CRL address"),
        ({"extra": ()}, "its CRL address"),
    ],
)
def test_a_certificate_that_was_not_requested_is_refused(world, options, why):
    """Key, name, signature, path length, names, dates and addresses are those of the request."""
    request = asked(world)
    with refused(RequestRefused, "authority-refused") as caught:
        found(world, request, issued(request, **options))
    assert why in str(caught.value)
    with world.work.read() as stores:
        assert stores.tenants.get() is None
        assert stores.authorities.list() == []


def test_what_is_no_certificate_is_malformed(world):
    """Both files are read before anything else."""
    request = asked(world)
    for issuing, root in ((b"x", ROOT.der), (issued(request).der, b"")):
        with refused(MalformedInput, "certificate-malformed"):
            founding_ceremony.found_below(world.services, request, issuing=issuing, root=root, actor=OPERATOR)


def test_the_extensions_for_the_root_are_those_that_are_accepted(world):
    """The file names path length 0 and the addresses of the root that is to come."""
    request = asked(world)
    text = founding_ceremony.founding_extensions(request)
    assert "pathlen:0" in text
    assert f"/crl/{request.root_id}.crl" in text


# lists of the root


@pytest.fixture
def founded(world):
    """An authority below a root elsewhere, without a list of the root."""
    request = asked(world)
    found(world, request, issued(request))
    return world


def test_a_list_that_the_root_signed_is_published(founded):
    """It is served as the root's list; the next one needs a larger number."""
    assert root_crl.root_list_end(founded.services) is None
    made = root_list_import.install_root_list(founded.services, crl_of(ROOT, number=5), actor=OPERATOR)
    assert made.number == 5
    assert root_crl.newest_root_lists(founded.services) == (made.der,)
    for number in (4, 5):
        with refused(RequestRefused, "root-list-refused"):
            root_list_import.install_root_list(founded.services, crl_of(ROOT, number=number), actor=OPERATOR)
    assert root_list_import.install_root_list(founded.services, crl_of(ROOT, number=6), actor=OPERATOR)


def test_a_list_that_revokes_an_authority_in_use_is_named(founded):
    """The command asks before it is published: agents that read it refuse our hosts."""
    with founded.work.read() as stores:
        issuing = stores.authorities.current(AuthorityKind.ISSUING)
    mistaken = crl_of(ROOT, root_crl.serial_of(issuing), number=5)
    assert root_list_import.revoked_in_use(founded.services, mistaken) == (issuing,)
    assert root_list_import.revoked_in_use(founded.services, crl_of(ROOT, number=5)) == ()


@pytest.mark.parametrize("data", [b"", b"x", b"-----BEGIN X509 CRL-----", b"0" * 70_000])
def test_a_file_that_is_no_list_is_malformed(founded, data):
    """The published list is unchanged."""
    with refused(MalformedInput, "root-list-malformed"):
        root_list_import.install_root_list(founded.services, data, actor=OPERATOR)
    assert root_crl.root_list_end(founded.services) is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"signer": PlainKeys().generate(KeyKind.P256)}, "our root has not signed it"),
        ({"number": None}, "no CRL number"),
        ({"base": 1}, "only a part of a list"),
        ({"this_update": NOON + timedelta(minutes=1)}, "its time is to come"),
        ({"this_update": NOON - timedelta(hours=2), "next_update": NOON - timedelta(hours=1)}, "nextUpdate"),
    ],
)
def test_a_list_that_breaks_a_rule_is_refused(founded, options, why):
    """Signature, number, scope and dates; the published list is unchanged."""
    with refused(RequestRefused, "root-list-refused") as caught:
        root_list_import.install_root_list(founded.services, crl_of(ROOT, **options), actor=OPERATOR)
    assert why in str(caught.value)
    assert root_crl.root_list_end(founded.services) is None


def test_a_list_must_have_every_retired_authority(founded):
    """A list of before a retirement would bring the retired authority back."""
    with founded.work.change() as stores:
        issuing = stores.authorities.current(AuthorityKind.ISSUING)
        stores.authorities.retire(issuing.id, NOON, RevocationReason.SUPERSEDED)
    serial = x509.load_der_x509_certificate(issuing.der).serial_number
    with refused(RequestRefused, "root-list-refused") as caught:
        root_list_import.install_root_list(founded.services, crl_of(ROOT, number=5), actor=OPERATOR)
    assert "every retired authority" in str(caught.value)
    root_list_import.install_root_list(founded.services, crl_of(ROOT, serial, number=5), actor=OPERATOR)
