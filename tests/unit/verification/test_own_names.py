"""A foreign certificate that carries a name of our own namespace.

Root -> Issuing -> alice@clinic.example and one more name
"""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from doorward.core.entities import Outcome, PrincipalKind, Reason
from doorward.verification.identity import IdentityRule, SanSource
from doorward.verification.own_names import claims_own_name
from doorward.verification.partner import RevocationMode
from tests.support.certificates.issuing import certify
from tests.support.certificates.judging import judge_partner, partner

ROOT = certify("Root")
CLINIC = partner("clinic", ROOT, revocation=RevocationMode.OFF)
BY_URI = partner(
    "clinic",
    ROOT,
    revocation=RevocationMode.OFF,
    identity=IdentityRule(source=SanSource.URI, kind=PrincipalKind.PERSON),
)
MAIL = x509.RFC822Name("alice@clinic.example")

OURS = [
    "spiffe://corp.example/person/root",
    "spiffe://corp.example",
    "SPIFFE://corp.example/person/root",
    "spiffe://Corp.EXAMPLE/person/root",
    "spiffe://corp.example./person/root",
    "spiffe://corp.example../person/root",
    "spiffe://corp.example:443/person/root",
    "spiffe://corp.example:/person/root",
    "spiffe://eve@corp.example/person/root",
    "spiffe://eve:x,y@corp.example:1/person/root",
    "spiffe://corp%2eexample/person/root",
    "spiffe://%63orp%252Eexample/person/root",
    "spiffe:%2F%2Fcorp.example/person/root",
    "spiffe:///corp.example/person/root",
    "spiffe:corp.example/person/root",
    r"spiffe:\\corp.example\person\root",
    "spiffe://corp.example?person",
    "spiffe://corp.example#person",
    "spiffe://corp.example@clinic.example/person/root",  # readers differ about what stands before the `@`
    " spiffe://corp.example/person/root",
    "spi\tffe://corp.\nexample/person/root",
    "https://other.example/?next=spiffe://corp.example/person/root",
    "spiffe://other.example/a spiffe://corp.example/b",
]
FOREIGN = [
    "spiffe://clinic.example/person/root",
    "spiffe://sub.corp.example/person/root",
    "spiffe://corp.example.clinic.example/person/root",
    "spiffe://clinic.example/corp.example",
    "https://corp.example/person/root",
    "spiffe:",
    "corp.example",
]


@pytest.mark.parametrize("uri", OURS)
def test_every_spelling_of_our_namespace_is_refused(uri: str) -> None:
    """SPIFFE-ID section 2.1, RFC 3986 section 6.2.2: scheme and host have no case; the good name beside it does not help."""
    leaf = certify("alice", ROOT, ca=False, names=[MAIL, x509.UniformResourceIdentifier(uri)])
    found = judge_partner(leaf, CLINIC)
    assert found.verdict.outcome is Outcome.BAD
    assert Reason.OWN_NAME_CLAIMED in found.verdict.reasons
    assert (found.identity, found.principal) == (None, None)


@pytest.mark.parametrize("uri", FOREIGN)
def test_other_namespaces_are_the_partners_affair(uri: str) -> None:
    """A host below our trust domain is another trust domain (SPIFFE-ID section 2.1)."""
    leaf = certify("alice", ROOT, ca=False, names=[MAIL, x509.UniformResourceIdentifier(uri)])
    assert judge_partner(leaf, CLINIC).verdict.outcome is Outcome.GOOD


@pytest.mark.parametrize(
    "name",
    [
        x509.DNSName("spiffe://corp.example/person/root"),
        x509.RFC822Name("spiffe://corp.example/person/root"),
        x509.DirectoryName(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "spiffe://corp.example/person/root")])
        ),
    ],
)
def test_any_form_of_alternative_name_counts(name: x509.GeneralName) -> None:
    """An application that reads `Client-Cert` may look at any of them."""
    leaf = certify("alice", ROOT, ca=False, names=[MAIL, name])
    assert judge_partner(leaf, CLINIC).verdict.outcome is Outcome.BAD


def test_the_subject_counts() -> None:
    """A common name is what many applications read first."""
    leaf = certify("spiffe://corp.example/person/root", ROOT, ca=False, names=[MAIL])
    assert judge_partner(leaf, CLINIC).verdict.outcome is Outcome.BAD


def test_a_uri_of_ours_is_no_identity_of_a_partners() -> None:
    """Not even if the partner's rule reads URIs and there is no other name."""
    name = x509.UniformResourceIdentifier("spiffe://corp.example/person/root")
    leaf = certify("alice", ROOT, ca=False, names=[name])
    assert judge_partner(leaf, BY_URI).verdict.outcome is Outcome.BAD


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://\uff43\uff4f\uff52\uff50\uff0e\uff45\uff58ample/x",
        "spiffe://corp\u3002example/x",
        "spiffe://co\u00adrp.exam\u200dple/x",
        "spiffe://co%c2%adrp.example/x",
        "%73piffe://corp.example",
    ],
)
def test_forms_that_readers_fold(text: str) -> None:
    """UTS 46 section 4: compatibility forms, other scripts' dots and what is not seen fold away."""
    assert claims_own_name([text], "corp.example")


def test_percent_signs_without_end_are_given_up() -> None:
    """Work is bounded: four rounds of encoding within encoding are undone."""
    assert not claims_own_name(["%" + "25" * 5000 + "73piffe://corp.example"], "corp.example")
