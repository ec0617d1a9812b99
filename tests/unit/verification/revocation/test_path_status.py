"""What CRLs say of the certificates of a path.

Root -> Issuing -> alice        unless a docstring draws another
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from doorward.verification.path.signatures import Strength
from doorward.verification.revocation.crl_judging import CrlRules
from doorward.verification.revocation.status import RevocationStatus
from tests.support.certificates.issuing import certify, name
from tests.support.certificates.judging import statuses
from tests.support.certificates.status import HOUR, answer_about, entry, list_of, listed_for, scope
from tests.support.ports import NOON
from tests.unit.verification.revocation.alice import ALICE, ISSUING, PATH, ROOT, ROOT_LIST, of_leaf

R = x509.ReasonFlags


def point(full=None, *, relative=None, reasons=None, issuer=None):
    """A crlDistributionPoints extension of one point."""
    names = [x509.DirectoryName(name(issuer))] if issuer else None
    return x509.CRLDistributionPoints([x509.DistributionPoint(full, relative, reasons, names)])


def url(text):
    """A point's name."""
    return [x509.UniformResourceIdentifier(text)]


def test_who_is_not_listed_is_good():
    """The evidence is kept, with its end."""
    crl = list_of(ISSUING, 8)
    found = of_leaf(crl)
    assert (found.status, found.evidence, found.fresh_until) == (
        RevocationStatus.GOOD,
        (crl.sha256,),
        NOON + HOUR,
    )
    assert found.certificate == ALICE.parsed.sha256


def test_who_is_listed_is_revoked():
    """With the reason if there is one."""
    assert of_leaf(list_of(ISSUING, 7)).status is RevocationStatus.REVOKED
    assert of_leaf(list_of(ISSUING, entry(7, R.key_compromise))).reason == "key-compromise"
    assert of_leaf(list_of(ISSUING, 7)).reason == ""


def test_a_finding_has_no_truth_value():
    """So undetermined cannot be forgotten."""
    with pytest.raises(TypeError):
        bool(of_leaf(list_of(ISSUING)))


def test_without_a_list_nothing_is_known():
    """The authority's CRL is not about certificates that it did not issue."""
    found = of_leaf()
    assert (found.status, found.why, found.fresh_until) == (
        RevocationStatus.UNDETERMINED,
        ("there is no CRL about it",),
        None,
    )


def test_a_revoked_authority_ends_it():
    """The evidence of a revoked authority about the leaf no longer counts."""
    (found,) = statuses(PATH, crls=[list_of(ROOT, 7), list_of(ISSUING)])
    assert (found.status, found.certificate) == (RevocationStatus.REVOKED, ISSUING.parsed.sha256)


@pytest.mark.parametrize(
    ("options", "now", "why"),
    [
        ({"this_update": NOON + timedelta(minutes=5, seconds=1)}, NOON, "it begins later"),
        ({"next_update": NOON - timedelta(seconds=1)}, NOON, "it is out of date"),
        (
            {"signer": ec.generate_private_key(ec.SECP256R1())},
            NOON,
            "no authority that may sign it has signed it",
        ),
        ({"scope": scope(only_contains_attribute_certs=True)}, NOON, "it is for attribute certificates"),
        ({"scope": scope(only_contains_ca_certs=True)}, NOON, "it is for authorities"),
        (
            {"scope": scope(full_name=url("http://other.example"))},
            NOON,
            "it is for another distribution point",
        ),
    ],
)
def test_an_unusable_crl_leaves_it_undetermined(options, now, why):
    """The reason is kept, with the SHA-256 of the CRL."""
    crl = list_of(ISSUING, **options)
    found = of_leaf(crl, now=now)
    assert (found.status, found.why) == (RevocationStatus.UNDETERMINED, (f"{crl.sha256[:16]}: {why}",))


def test_a_list_of_a_clock_that_is_ahead_counts():
    """Five minutes, as with OCSP answers."""
    assert of_leaf(list_of(ISSUING, this_update=NOON + timedelta(minutes=5))).status is RevocationStatus.GOOD


def test_the_last_second_of_a_list_counts_and_a_grace_extends_it():
    """NextUpdate itself is still within; what an operator allows comes on top."""
    late = NOON + timedelta(minutes=5)
    assert of_leaf(list_of(ISSUING, next_update=NOON)).status is RevocationStatus.GOOD
    stale = list_of(ISSUING, next_update=NOON)
    assert of_leaf(stale, now=late).status is RevocationStatus.UNDETERMINED
    lenient = CrlRules(strength=Strength(), grace=timedelta(minutes=5))
    found = of_leaf(stale, now=late, crl_rules=lenient)
    assert (found.status, found.fresh_until) == (RevocationStatus.GOOD, late)


def test_a_list_that_never_ends_has_no_end_with_a_grace():
    """The last list of an authority: 99991231235959Z (RFC 5280 section 4.1.2.5)."""
    last = list_of(ISSUING, next_update=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    lenient = CrlRules(strength=Strength(), grace=timedelta(days=1))
    found = statuses(PATH, crls=[ROOT_LIST, last], crl_rules=lenient)[-1]
    assert found.status is RevocationStatus.GOOD
    assert found.fresh_until > NOON + timedelta(days=365_000)


def test_a_list_for_users_is_not_about_authorities():
    """onlyContainsUserCerts: the issuing authority is not covered by it, the leaf is."""
    found, _ = statuses(PATH, crls=[list_of(ROOT, scope=scope(only_contains_user_certs=True))])
    assert found.status is RevocationStatus.UNDETERMINED


def test_below_an_authority_without_evidence_the_leaf_is_still_judged():
    """An operator that tolerates the missing evidence still learns that the leaf is revoked."""
    found = statuses(PATH, crls=[list_of(ISSUING, 7)])
    assert [one.status for one in found] == [RevocationStatus.UNDETERMINED, RevocationStatus.REVOKED]
    assert (
        of_leaf(list_of(ISSUING, scope=scope(only_contains_user_certs=True))).status is RevocationStatus.GOOD
    )


def test_the_signer_of_a_crl_must_be_allowed_to_sign_it():
    """KeyUsage without cRLSign: the signature is right and does not count (6.3.3 f); none at all may."""
    mute = certify("Mute", ROOT, usage=("key_cert_sign",))
    leaf = certify("bob", mute, ca=False)
    assert of_leaf(list_of(mute), path=(leaf, mute, ROOT)).status is RevocationStatus.UNDETERMINED
    free = certify("Free", ROOT, drop=[x509.KeyUsage])
    leaf = certify("bob", free, ca=False)
    assert of_leaf(list_of(free), path=(leaf, free, ROOT)).status is RevocationStatus.GOOD


class TestPartitions:
    """Several lists, each for a distribution point or for some reasons."""

    HERE = url("http://crl.example/3")
    LEAF = certify("carol", ISSUING, ca=False, extra=[(point(HERE), False)])
    PATH = (LEAF, ISSUING, ROOT)

    def test_the_list_of_its_own_point_counts(self):
        """Another point's list says nothing, even when the certificate is on it."""
        own = list_of(ISSUING, scope=scope(full_name=self.HERE))
        other = list_of(ISSUING, 7, scope=scope(full_name=url("http://crl.example/4")))
        assert of_leaf(other, own, path=self.PATH).status is RevocationStatus.GOOD
        assert of_leaf(other, path=self.PATH).status is RevocationStatus.UNDETERMINED

    def test_a_point_relative_to_the_issuer(self):
        """Both sides complete the same part with the issuer's name (4.2.1.13)."""
        relative = x509.RelativeDistinguishedName([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Part 1")])
        leaf = certify("dora", ISSUING, ca=False, extra=[(point(relative=relative), False)])
        crl = list_of(ISSUING, scope=scope(relative_name=relative))
        assert of_leaf(crl, path=(leaf, ISSUING, ROOT)).status is RevocationStatus.GOOD

    def test_reasons_add_up(self):
        """Only when every reason is covered is it good; a listed one revokes at once."""
        some = frozenset({R.key_compromise, R.ca_compromise})
        first = list_of(ISSUING, scope=scope(only_some_reasons=some))
        rest = frozenset(R) - some - {R.unspecified, R.remove_from_crl}
        second = list_of(ISSUING, scope=scope(only_some_reasons=rest))
        assert of_leaf(first).status is RevocationStatus.UNDETERMINED
        found = of_leaf(first, second)
        assert (found.status, set(found.evidence)) == (RevocationStatus.GOOD, {first.sha256, second.sha256})
        revoked = list_of(ISSUING, 7, scope=scope(only_some_reasons=rest))
        assert of_leaf(first, revoked).status is RevocationStatus.REVOKED

    def test_a_list_that_covers_nothing_new_is_passed_over(self):
        """Step (e): the second list for the same reasons is not asked."""
        some = frozenset({R.key_compromise})
        first, second = (list_of(ISSUING, number=n, scope=scope(only_some_reasons=some)) for n in (1, 2))
        assert of_leaf(first, second).status is RevocationStatus.UNDETERMINED

    def test_a_point_for_some_reasons_covers_those_only(self):
        """Reasons in the certificate's own point narrow what its list covers."""
        leaf = certify(
            "emil", ISSUING, ca=False, extra=[(point(self.HERE, reasons=frozenset({R.superseded})), False)]
        )
        own = list_of(ISSUING, scope=scope(full_name=self.HERE))
        assert of_leaf(own, path=(leaf, ISSUING, ROOT)).status is RevocationStatus.UNDETERMINED


class TestDeltas:
    """A delta counts only with the complete list that it builds on (5.2.4)."""

    @pytest.mark.parametrize(
        ("number", "base", "counts"),
        [(6, 5, True), (6, 4, True), (6, 6, False), (5, 5, False), (4, 3, False)],
    )
    def test_numbers(self, number, base, counts):
        """Base <= complete (5) < delta."""
        found = of_leaf(list_of(ISSUING, number=5), list_of(ISSUING, 7, number=number, base=base))
        assert found.status is (RevocationStatus.REVOKED if counts else RevocationStatus.GOOD)

    def test_a_delta_alone_is_nothing(self):
        """Without its base the rest is unknown."""
        assert of_leaf(list_of(ISSUING, number=6, base=5)).status is RevocationStatus.UNDETERMINED

    def test_a_hold_is_lifted_by_the_delta(self):
        """removeFromCRL: listed in the base, good again (6.3.3 k)."""
        held = list_of(ISSUING, entry(7, R.certificate_hold), number=5)
        lifted = list_of(ISSUING, entry(7, R.remove_from_crl), number=6, base=5)
        assert of_leaf(held).reason == "certificate-hold"
        found = of_leaf(held, lifted)
        assert (found.status, found.evidence) == (RevocationStatus.GOOD, (held.sha256, lifted.sha256))

    def test_the_newest_that_is_sound_counts(self):
        """A stale or forged delta is passed over; the one before it is taken."""
        base = list_of(ISSUING, number=5)
        first = list_of(ISSUING, 7, number=6, base=5)
        stale = list_of(ISSUING, number=8, base=5, next_update=NOON - timedelta(seconds=1))
        assert of_leaf(base, first, stale).status is RevocationStatus.REVOKED
        assert of_leaf(base, stale).status is RevocationStatus.GOOD

    def test_a_revocation_outlives_its_expired_delta(self):
        """The complete CRL is older: withholding the next delta does not un-revoke a certificate."""
        base = list_of(ISSUING, number=5, this_update=NOON - 2 * HOUR)
        last = list_of(ISSUING, 7, number=6, base=5, next_update=NOON - timedelta(seconds=1))
        assert of_leaf(base, last).status is RevocationStatus.REVOKED
        newer = list_of(ISSUING, number=7, this_update=NOON - HOUR / 2)
        assert of_leaf(base, last, newer).status is RevocationStatus.GOOD

    def test_another_key_of_the_same_name_lifts_nothing(self):
        """A delta by another authority of the name, which calls itself by the first one's key: passed over."""
        other = certify("Issuing", ROOT)
        held = list_of(ISSUING, 7, number=5)
        lifted = list_of(ISSUING, entry(7, R.remove_from_crl), number=6, base=5, signer=other.key)
        assert of_leaf(held, lifted, others=(other,)).status is RevocationStatus.REVOKED

    def test_a_delta_from_before_its_complete_list_lifts_nothing(self):
        """The numbers were restarted; by its number alone the delta would fit."""
        newer = list_of(ISSUING, 7, number=2)
        lifted = entry(7, R.remove_from_crl)
        before = list_of(ISSUING, lifted, number=500, base=1, this_update=NOON - 2 * HOUR)
        assert of_leaf(newer, before).status is RevocationStatus.REVOKED

    def test_another_scope_is_another_delta(self):
        """The scope of both must be one (5.2.4 b)."""
        other = list_of(ISSUING, 7, number=6, base=5, scope=scope(only_contains_user_certs=True))
        assert of_leaf(list_of(ISSUING, number=5), other).status is RevocationStatus.GOOD


class TestIndirect:
    """CRLs by another issuer, which the certificate names.

    Root -> Issuing -> frida (cRLIssuer: Lister)
    Root -> Lister
    """

    LISTER = certify("Lister", ROOT, usage=("crl_sign",), ca=False, purposes=())
    LEAF = certify("frida", ISSUING, ca=False, extra=[(point(issuer="Lister"), False)])
    PATH = (LEAF, ISSUING, ROOT)
    INDIRECT = scope(indirect_crl=True)

    def test_it_is_believed(self):
        """The list's issuer has a good path to the same anchor."""
        assert (
            of_leaf(list_of(self.LISTER, scope=self.INDIRECT), path=self.PATH, others=(self.LISTER,)).status
            is RevocationStatus.GOOD
        )
        listed = entry(7, R.superseded, listed_for(ISSUING))
        found = of_leaf(
            list_of(self.LISTER, listed, scope=self.INDIRECT), path=self.PATH, others=(self.LISTER,)
        )
        assert (found.status, found.reason) == (RevocationStatus.REVOKED, "superseded")

    def test_the_same_serial_of_its_own_is_another_certificate(self):
        """An entry without an issuer is the lister's."""
        crl = list_of(self.LISTER, 7, scope=self.INDIRECT)
        assert of_leaf(crl, path=self.PATH, others=(self.LISTER,)).status is RevocationStatus.GOOD

    def test_a_list_that_does_not_say_that_it_is_indirect(self):
        """Without indirectCRL it speaks of its own certificates only (6.3.3 b 1)."""
        assert (
            of_leaf(list_of(self.LISTER), path=self.PATH, others=(self.LISTER,)).status
            is RevocationStatus.UNDETERMINED
        )

    def test_a_crl_issuer_that_the_certificate_does_not_name(self):
        """ALICE names no CRL issuer, so the lister's CRL is not about her."""
        crl = list_of(self.LISTER, scope=self.INDIRECT)
        assert of_leaf(crl, others=(self.LISTER,)).status is RevocationStatus.UNDETERMINED

    def test_the_points_issuer_stands_for_its_name(self):
        """IDP with a name, a point with an issuer only: the issuer's name must be it (6.3.3 b 2 i)."""
        for text, status in (("Lister", RevocationStatus.GOOD), ("Else", RevocationStatus.UNDETERMINED)):
            named = scope(indirect_crl=True, full_name=[x509.DirectoryName(name(text))])
            assert (
                of_leaf(list_of(self.LISTER, scope=named), path=self.PATH, others=(self.LISTER,)).status
                is status
            )

    def test_a_stranger_of_that_name(self):
        """The Lister of another anchor does not count: the paths must end at one anchor (6.3.3 f)."""
        stranger = certify("Lister", certify("Root 2"), usage=("crl_sign",), ca=False, purposes=())
        crl = list_of(stranger, scope=self.INDIRECT)
        assert of_leaf(crl, path=self.PATH, others=(stranger,)).status is RevocationStatus.UNDETERMINED

    def test_a_revoked_lister_is_not_believed(self):
        """The lister's own status is asked of its issuer's list."""
        second = certify("Second", ROOT)
        lister = certify("Lister", second, usage=("crl_sign",), ca=False, purposes=())
        crl, others = list_of(lister, scope=self.INDIRECT), (lister, second)
        assert (
            of_leaf(list_of(second, 7), crl, path=self.PATH, others=others).status
            is RevocationStatus.UNDETERMINED
        )
        assert of_leaf(list_of(second), crl, path=self.PATH, others=others).status is RevocationStatus.GOOD

    def test_no_signer_proves_its_own_status(self):
        """The status of a lister cannot be proved by its own CRL alone."""
        lister = certify(
            "Lister",
            ISSUING,
            usage=("crl_sign",),
            ca=False,
            purposes=(),
            extra=[(point(issuer="Lister"), False)],
        )
        crl = list_of(lister, scope=self.INDIRECT)
        assert of_leaf(crl, path=self.PATH, others=(lister,)).status is RevocationStatus.UNDETERMINED

    def test_listers_of_listers_end(self):
        """Each lister's status is told by the next one's list: they are followed three deep, no further."""
        listers = [
            certify(
                f"Lister {n}",
                ISSUING,
                usage=("crl_sign",),
                ca=False,
                purposes=(),
                extra=[(point(issuer=f"Lister {n + 1}"), False)],
            )
            for n in range(6)
        ]
        leaf = certify("greta", ISSUING, ca=False, extra=[(point(issuer="Lister 0"), False)])
        crls = [list_of(one, scope=self.INDIRECT) for one in listers]
        assert (
            of_leaf(*crls, path=(leaf, ISSUING, ROOT), others=listers).status is RevocationStatus.UNDETERMINED
        )


class TestRollover:
    """An authority with two keys: certificates by the old one, lists by the new one.

    Root -> Issuing (old key) -> hans;   Root -> Issuing (new key): signs the list
    """

    NEW = certify("Issuing", ROOT)

    def test_the_new_key_may_sign_the_list(self):
        """The same name, another key, a good path to the same anchor."""
        assert of_leaf(list_of(self.NEW, 7), others=(self.NEW,)).status is RevocationStatus.REVOKED
        assert of_leaf(list_of(self.NEW), others=(self.NEW,)).status is RevocationStatus.GOOD

    def test_a_key_without_a_good_path_may_not(self):
        """Expired, it signs nothing that counts."""
        late = certify("Issuing", ROOT, not_after=NOON - timedelta(seconds=1))
        assert of_leaf(list_of(late), others=(late,)).status is RevocationStatus.UNDETERMINED

    def test_no_signer_proves_its_own_status(self):
        """Root -> Issuing -> Issuing (new key) -> judy: the new key cannot prove its own status."""
        new = certify("Issuing", ISSUING, serial=9)
        leaf = certify("judy", new, ca=False, serial=10)
        path = (leaf, new, ISSUING, ROOT)
        own = list_of(new, number=2)
        _, of_new, of_judy = statuses(path, crls=[ROOT_LIST, own])
        assert of_new.status is RevocationStatus.UNDETERMINED
        assert of_judy.status is RevocationStatus.GOOD
        old = list_of(ISSUING, this_update=NOON - 2 * HOUR)
        assert [one.status for one in statuses(path, crls=[ROOT_LIST, own, old])] == [
            RevocationStatus.GOOD
        ] * 3
        stolen = list_of(ISSUING, 9, this_update=NOON - 2 * HOUR)
        for lists in ([ROOT_LIST, own, stolen], [ROOT_LIST, stolen, own]):
            assert statuses(path, crls=lists)[-1].status is RevocationStatus.REVOKED

    def test_two_signers_do_not_prove_each_others_status(self):
        """Two new keys, each with a CRL that does not list the other: neither proves the other's status."""
        first, second = (certify("Issuing", ISSUING, serial=serial) for serial in (11, 12))
        leaf = certify("judy", first, ca=False, serial=10)
        lists = [ROOT_LIST, list_of(first), list_of(second)]
        findings = statuses((leaf, first, ISSUING, ROOT), second, crls=lists)
        assert findings[1].status is RevocationStatus.UNDETERMINED

    def test_the_anchor_signs_for_another_of_its_name(self):
        """Root' (self-issued, new key, signed by Root) -> ida; the list of Root itself tells of her."""
        second = certify("Root", ROOT)
        leaf = certify("ida", second, ca=False)
        found = statuses((leaf, second, ROOT), crls=[list_of(ROOT)])
        assert [one.status for one in found] == [RevocationStatus.GOOD, RevocationStatus.GOOD]


class TestBoth:
    """OCSP answers and CRLs together."""

    def test_an_answer_is_enough(self):
        """No list is needed beside it."""
        answers = {ALICE.parsed.sha256: (answer_about(ALICE, ISSUING),)}
        assert of_leaf(answers=answers).status is RevocationStatus.GOOD

    def test_revoked_by_either_is_revoked(self):
        """A finding that says revoked comes first."""
        good = {ALICE.parsed.sha256: (answer_about(ALICE, ISSUING),)}
        bad = {ALICE.parsed.sha256: (answer_about(ALICE, ISSUING, status=ocsp.OCSPCertStatus.REVOKED),)}
        assert of_leaf(list_of(ISSUING, 7), answers=good).status is RevocationStatus.REVOKED
        assert of_leaf(list_of(ISSUING), answers=bad).status is RevocationStatus.REVOKED

    def test_what_was_wrong_with_each_is_kept(self):
        """An unreadable answer and no list."""
        found = of_leaf(answers={ALICE.parsed.sha256: (b"",)})
        assert found.status is RevocationStatus.UNDETERMINED
        assert found.why == ("OCSP response: it does not parse", "there is no CRL about it")
