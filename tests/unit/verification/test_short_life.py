"""A partner's short-lived certificates: noRevAvail excuses the check only if the operator allowed it (RFC 9608).

Root -> Issuing -> alice@clinic.example        unless a docstring draws another
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ObjectIdentifier

from doorward.core.entities import Outcome
from doorward.core.errors import MalformedInput
from doorward.verification.partner import RevocationMode
from doorward.verification.path.certificate import parse_path_certificate
from doorward.verification.revocation.short_life import BACKDATING, needs_no_status
from tests.support.certificates.issuing import certify, crl_at, responder_at
from tests.support.certificates.judging import judge_partner, partner
from tests.support.certificates.status import list_of
from tests.support.ports import NOON

MAIL = [x509.RFC822Name("alice@clinic.example")]
OID = ObjectIdentifier("2.5.29.56")
NULL = b"\x05\x00"
DAY, WEEK = timedelta(days=1), timedelta(days=7)
ROOT = certify("Root")
ISSUING = certify("Issuing", ROOT)
ABOVE = [list_of(ROOT)]


def leaf(life=DAY, *, value=NULL, extra=(), issuer=ISSUING):
    """A certificate of alice's with noRevAvail."""
    extension = (x509.UnrecognizedExtension(OID, value), False)
    begin = NOON - timedelta(hours=1)
    return certify(
        "alice",
        issuer,
        ca=False,
        names=MAIL,
        not_before=begin,
        not_after=begin + life,
        extra=(extension, *extra),
    )


def clinic(short_lived=WEEK, **words):
    """The partner with a permission."""
    return partner("clinic", ROOT, others=[ISSUING], short_lived=short_lived, **words)


def judged(certificate, trust, crls=ABOVE):
    """Outcome and reason of the status."""
    found = judge_partner(certificate, trust, crls=crls)
    return found.verdict.outcome, [one.value for one in found.verdict.reasons if "revo" in one.value]


GOOD = (Outcome.GOOD, ["revocation-not-provided"])
UNKNOWN = (Outcome.UNDETERMINED, ["revocation-status-undetermined"])


def test_the_permission_excuses_the_check():
    """No evidence of the leaf is there, and none is asked for; the authority above is checked as ever."""
    assert judged(leaf(), clinic()) == GOOD
    assert judged(leaf(), clinic(), crls=[]) == UNKNOWN


def test_without_the_permission_it_is_refused():
    """By default a partner has none: noRevAvail alone excuses nothing."""
    assert judged(leaf(), partner("clinic", ROOT, others=[ISSUING])) == UNKNOWN


def test_a_missing_address_is_no_promise():
    """A certificate without noRevAvail that names no CRL is not excused, however short its life is (L24)."""
    plain = certify("alice", ISSUING, ca=False, names=MAIL, not_before=NOON, not_after=NOON + DAY)
    assert judged(plain, clinic()) == UNKNOWN


def test_a_long_life_is_not_excused():
    """The operator's longest life counts, and an hour of backdating is not counted against it."""
    assert judged(leaf(DAY + BACKDATING), clinic(DAY)) == GOOD
    assert judged(leaf(DAY + BACKDATING + timedelta(seconds=1)), clinic(DAY)) == UNKNOWN


def test_a_revoked_one_is_refused_all_the_same():
    """Evidence is not needed, but if it says revoked, it counts."""
    crls = [*ABOVE, list_of(ISSUING, 7)]
    assert judged(leaf(), clinic(), crls=crls) == (Outcome.BAD, ["certificate-revoked"])


def test_a_proved_status_is_told_as_such():
    """If a CRL covers it, the reason is the proof, and not the excuse."""
    assert judged(leaf(), clinic(), crls=[*ABOVE, list_of(ISSUING)]) == (
        Outcome.GOOD,
        ["revocation-status-good"],
    )


def test_directly_below_the_anchor():
    """Root -> alice: no certificate is left that needs a status."""
    assert judged(leaf(issuer=ROOT), partner("clinic", ROOT, short_lived=WEEK), crls=[]) == GOOD


def test_a_revoked_authority_is_refused():
    """The excuse is the leaf's alone."""
    crls = [list_of(ROOT, ISSUING.parsed.serial)]
    assert judged(leaf(), clinic(), crls=crls) == (Outcome.BAD, ["certificate-revoked"])


def test_other_modes():
    """`prefer` needs no excuse for the authority; `off` asks nothing."""
    assert judged(leaf(), clinic(revocation=RevocationMode.PREFER), crls=[])[1] == [
        "revocation-status-tolerated"
    ]
    assert judged(leaf(), clinic(revocation=RevocationMode.OFF), crls=[])[1] == ["revocation-not-checked"]


@pytest.mark.parametrize(
    "extra",
    [
        (crl_at("http://pki.example/1"),),
        (responder_at("http://pki.example/2"),),
        ((x509.FreshestCRL(crl_at("http://pki.example/1")[0]), False),),
    ],
)
def test_pointers_beside_it_have_no_good_path(extra):
    """RFC 9608 section 3: an issuer that contradicts itself is not believed in either."""
    found = judge_partner(leaf(extra=extra), clinic(), crls=ABOVE)
    assert found.verdict.outcome is Outcome.BAD
    assert "path-invalid" in [one.value for one in found.verdict.reasons]


def test_the_issuers_address_is_allowed_beside_it():
    """Only CRLs and OCSP are forbidden; caIssuers is not revocation information."""
    where = responder_at("http://pki.example/ca.cer", AuthorityInformationAccessOID.CA_ISSUERS)
    assert judged(leaf(extra=(where,)), clinic()) == GOOD


def test_an_authority_with_it_has_no_good_path():
    """Root -> Issuing with noRevAvail -> alice: a CA must not have it."""
    issuing = certify("Issuing", ROOT, extra=((x509.UnrecognizedExtension(OID, NULL), False),))
    trust = partner("clinic", ROOT, others=[issuing], short_lived=WEEK)
    found = judge_partner(leaf(issuer=issuing), trust, crls=ABOVE)
    assert "path-invalid" in [one.value for one in found.verdict.reasons]


@pytest.mark.parametrize("value", [b"", b"\x05", b"\x05\x01\x00", b"\x01\x01\xff", NULL + b"\x00"])
def test_another_value_is_malformed(value):
    """Its value is NULL, and nothing else."""
    with pytest.raises(MalformedInput):
        parse_path_certificate(leaf(value=value).der)


def test_an_authority_is_never_excused():
    """Also not by the rule alone."""
    authority = certify("Sub", ROOT, not_after=NOON, extra=((x509.UnrecognizedExtension(OID, NULL), False),))
    assert authority.parsed.no_rev_avail
    assert not needs_no_status(authority.parsed, WEEK)
