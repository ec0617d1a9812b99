"""The judgement of a partner's certificate.

Root -> Issuing -> alice@clinic.example        unless a docstring draws another
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.core.entities import Outcome, PrincipalKind, PrincipalState
from doorward.core.errors import MalformedInput
from doorward.verification.identity import IdentityRule, SanSource
from doorward.verification.partner import RevocationMode
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.signatures import Strength
from doorward.verification.validity import ends_at
from tests.support.certificates.issuing import certify
from tests.support.certificates.judging import judge_partner, known_principal, partner
from tests.support.certificates.status import HOUR, answer_about, list_of
from tests.support.ports import NOON

MAIL = [x509.RFC822Name("alice@clinic.example")]
ROOT = certify("Root")
ISSUING = certify("Issuing", ROOT)
ALICE = certify("alice", ISSUING, ca=False, names=MAIL)
CLINIC = partner("clinic", ROOT, others=[ISSUING])
GOOD_LISTS = [list_of(ROOT), list_of(ISSUING)]
SECOND = timedelta(seconds=1)

ALL_GOOD = [
    "certificate-well-formed",
    "issuer-known",
    "path-valid",
    "purpose-client",
    "certificate-in-time",
    "revocation-status-good",
    "name-matches",
    "principal-active",
]


def words(judgement):
    """The reasons' words."""
    return [reason.value for reason in judgement.verdict.reasons]


def evidence(judgement, key):
    """The values of one name."""
    return [value for name, value in judgement.verdict.evidence if name == key]


def find_no_person(trust, identity):
    """A directory that must not be asked."""
    raise AssertionError((trust.name, identity))


def test_who_passes_every_step_is_let_in():
    """The principal bears the partner's name, and the record gets what the judgement rests on."""
    found = judge_partner(ALICE, CLINIC, crls=GOOD_LISTS)
    assert (found.verdict.outcome, words(found)) == (Outcome.GOOD, ALL_GOOD)
    assert found.principal.name == "clinic/alice@clinic.example"
    assert (found.partner, found.identity) == (CLINIC, "alice@clinic.example")
    assert [one.sha256 for one in found.path] == [one.parsed.sha256 for one in (ALICE, ISSUING, ROOT)]
    assert found.facts.sha256 == ALICE.parsed.sha256
    assert found.verdict.evidence == (
        ("certificate", ALICE.parsed.sha256),
        ("serial", "7"),
        ("issuer", "CN=Issuing"),
        ("partner", "ptn_clinic"),
        ("path", " ".join(one.parsed.sha256 for one in (ALICE, ISSUING, ROOT))),
        ("status", f"{ISSUING.parsed.sha256} good"),
        ("status-evidence", GOOD_LISTS[0].sha256),
        ("fresh-until", "2026-11-23T13:00:00Z"),
        ("status", f"{ALICE.parsed.sha256} good"),
        ("status-evidence", GOOD_LISTS[1].sha256),
        ("fresh-until", "2026-11-23T13:00:00Z"),
    )


class TestBytes:
    """Step 1."""

    def test_nothing_presented(self):
        """There is nothing to judge."""
        found = judge_partner(None, CLINIC)
        assert (found.verdict.outcome, words(found)) == (Outcome.BAD, ["certificate-missing"])
        assert (found.facts, found.partner, found.ends) == (None, None, None)

    @pytest.mark.parametrize("der", [b"", b"0", ALICE.der + b"0", ALICE.der[:-1], b"0" * (16 * 1024 + 1)])
    def test_what_does_not_parse(self, der):
        """Any other bytes, and too many, are malformed."""
        found = judge_partner(der, CLINIC)
        assert (found.verdict.outcome, words(found)) == (Outcome.BAD, ["certificate-malformed"])


class TestPath:
    """Steps 2 and 4."""

    def test_an_issuer_that_no_partner_knows(self):
        """No path is searched; the reasons of the leaf alone are still given."""
        stranger = certify("bob", certify("Elsewhere"), ca=False, names=MAIL)
        found = judge_partner(stranger, CLINIC, find=find_no_person)
        assert found.verdict.outcome is Outcome.BAD
        wanted = ["certificate-well-formed", "issuer-unknown", "purpose-client", "certificate-in-time"]
        assert words(found) == wanted

    def test_an_intermediate_that_was_not_imported_is_an_unknown_issuer(self):
        """Envoy hands over the leaf only, so that an import is the mend."""
        assert "issuer-unknown" in words(judge_partner(ALICE, partner("clinic", ROOT), find=find_no_person))

    def test_the_name_of_a_known_issuer_is_not_enough(self):
        """Another key under the same name signed it: the record says what is wrong."""
        forged = certify("alice", certify("Issuing"), ca=False, names=MAIL)
        found = judge_partner(forged, CLINIC, crls=GOOD_LISTS, find=find_no_person)
        assert words(found)[1:3] == ["issuer-known", "path-invalid"]
        assert (found.verdict.outcome, found.partner, found.path) == (Outcome.BAD, None, ())
        assert (found.identity, found.principal, found.findings) == (None, None, ())
        (fault,) = evidence(found, "path-fault")
        assert fault.startswith("signature-invalid (RFC 5280 section 6.1.3 (a)(1))")

    @pytest.mark.parametrize(
        "leaf",
        [
            certify("alice", ISSUING, ca=False, names=MAIL, usage=("key_agreement",)),
            certify("alice", ISSUING, names=MAIL, purposes=[ExtendedKeyUsageOID.CLIENT_AUTH]),
            certify("alice", ISSUING, ca=False, names=MAIL, purposes=[ExtendedKeyUsageOID.SERVER_AUTH]),
            certify("alice", ISSUING, ca=False, names=MAIL, drop=[x509.ExtendedKeyUsage]),
            certify(
                "alice", ISSUING, ca=False, names=MAIL, purposes=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]
            ),
        ],
        ids=["key-agreement", "authority", "server", "no-purpose", "any-purpose"],
    )
    def test_what_is_not_made_for_clients_is_refused_though_its_path_is_good(self, leaf):
        """With any inputs of the partner: may sign, not a CA, names clientAuth."""
        lenient = partner("clinic", ROOT, others=[ISSUING], inputs=PathInputs(purpose=None))
        found = judge_partner(leaf, lenient, crls=GOOD_LISTS, find=find_no_person)
        assert found.verdict.outcome is Outcome.BAD
        assert words(found)[2:4] == ["path-valid", "purpose-wrong"]
        assert found.identity is None

    def test_each_partner_is_judged_with_its_own_authorities(self):
        """One partner's anchor with another's intermediate makes no path."""
        apart = (partner("one", ROOT), partner("two", certify("Root"), others=[ISSUING]))
        found = judge_partner(ALICE, *apart, crls=GOOD_LISTS, find=find_no_person)
        assert "path-invalid" in words(found)

    def test_the_same_name_under_two_partners_is_two_principals(self):
        """Root' -> Issuing' -> alice@clinic.example names a principal of the other partner."""
        other_root = certify("Root")
        other = certify("Issuing", other_root)
        twin = certify("alice", other, ca=False, names=MAIL)
        both = (CLINIC, partner("ward", other_root, others=[other]))
        lists = [*GOOD_LISTS, list_of(other_root), list_of(other)]
        names = [judge_partner(leaf, *both, crls=lists).principal.name for leaf in (ALICE, twin)]
        assert names == ["clinic/alice@clinic.example", "ward/alice@clinic.example"]

    @pytest.mark.parametrize(("name", "id_"), [("clinic", "ptn_other"), ("ward", "ptn_clinic")])
    def test_two_partners_with_one_name_or_id_are_refused(self, name, id_):
        """Their holders would be one principal, or share one evidence cache."""
        with pytest.raises(ValueError, match="the same name or the same id"):
            judge_partner(ALICE, CLINIC, partner(name, certify("Root"), id=id_), find=find_no_person)

    def test_the_first_partner_with_a_good_path_decides(self):
        """A second one that asks for less gives no milder answer."""
        mild = partner("mild", ROOT, others=[ISSUING], revocation=RevocationMode.OFF)
        found = judge_partner(ALICE, CLINIC, mild, crls=[list_of(ROOT), list_of(ISSUING, 7)])
        assert "certificate-revoked" in words(found)
        assert judge_partner(ALICE, mild, CLINIC).partner is mild

    @pytest.mark.parametrize(("crowd", "fault"), [(60, "signature-invalid"), (201, "work-exceeded")])
    def test_no_partner_uses_up_the_work_of_another(self, crowd, fault):
        """A partner with a crowd of authorities of the next one's name: each has a share of its own."""
        root = certify("Root")
        key = certify("Issuing").key
        others = [
            certify("Issuing", root, key=key, not_after=NOON + timedelta(days=one + 1))
            for one in range(crowd)
        ]
        clinic = partner("clinic", ROOT, others=[ISSUING])  # its store has cached no signature yet
        found = judge_partner(ALICE, partner("crowd", root, others=others), clinic, crls=GOOD_LISTS)
        assert words(found)[2] == "path-valid"
        assert found.partner is clinic
        alone = judge_partner(ALICE, partner("crowd", root, others=others), crls=GOOD_LISTS)
        assert evidence(alone, "path-fault")[0].startswith(fault)


class TestDates:
    """Step 5."""

    @pytest.mark.parametrize(
        ("now", "word", "outcome"),
        [
            (ALICE.parsed.not_before - SECOND, "certificate-not-yet-valid", Outcome.BAD),
            (ALICE.parsed.not_before, "certificate-in-time", Outcome.GOOD),
            (ALICE.parsed.not_after + SECOND / 2, "certificate-in-time", Outcome.GOOD),
            (ALICE.parsed.not_after + SECOND, "certificate-expired", Outcome.BAD),
        ],
    )
    def test_both_ends_are_within(self, now, word, outcome):
        """The path is invalid then, and the word says why."""
        unasked = partner("clinic", ROOT, others=[ISSUING], revocation=RevocationMode.OFF)
        found = judge_partner(ALICE, unasked, now=now)
        assert (found.verdict.outcome, words(found)[4]) == (outcome, word)
        assert ("path-valid" in words(found)) is (outcome is Outcome.GOOD)


class TestStatus:
    """Step 6."""

    PREFER = partner("clinic", ROOT, others=[ISSUING], revocation=RevocationMode.PREFER)
    OFF = partner("clinic", ROOT, others=[ISSUING], revocation=RevocationMode.OFF)

    @pytest.mark.parametrize("trust", [CLINIC, PREFER])
    @pytest.mark.parametrize(
        "crls",
        [
            [list_of(ROOT), list_of(ISSUING, 7)],
            [list_of(ROOT, 7), list_of(ISSUING)],
            [list_of(ISSUING, 7)],
            [list_of(ROOT), list_of(ISSUING, 7, next_update=NOON - SECOND)],
        ],
        ids=["leaf", "authority", "leaf-of-an-authority-without-evidence", "leaf-by-the-last-list"],
    )
    def test_revoked_is_never_tolerated(self, trust, crls):
        """Even if nothing is known about the authority, and if evidence is only preferred."""
        found = judge_partner(ALICE, trust, crls=crls, find=find_no_person)
        assert (found.verdict.outcome, words(found)[5:]) == (Outcome.BAD, ["certificate-revoked"])
        assert (found.identity, found.principal) == (None, None)

    @pytest.mark.parametrize("crls", [[], [list_of(ROOT)], [list_of(ISSUING)]])
    def test_where_evidence_is_required_its_absence_refuses(self, crls):
        """Undetermined is a third outcome; the name is then not judged."""
        found = judge_partner(ALICE, CLINIC, crls=crls, find=find_no_person)
        assert found.verdict.outcome is Outcome.UNDETERMINED
        assert words(found)[5:] == ["revocation-status-undetermined"]
        assert (found.identity, found.principal) == (None, None)

    def test_undetermined_does_not_outweigh_bad(self):
        """Something else stands against it as well."""
        leaf = certify("alice", ISSUING, ca=False, usage=("key_agreement",))
        found = judge_partner(leaf, CLINIC, find=find_no_person)
        assert found.verdict.outcome is Outcome.BAD
        assert {"purpose-wrong", "revocation-status-undetermined"} <= set(words(found))

    def test_where_evidence_is_preferred_its_absence_is_told(self):
        """Let in, with the word in the record."""
        found = judge_partner(ALICE, self.PREFER)
        assert (found.verdict.outcome, words(found)[5]) == (Outcome.GOOD, "revocation-status-tolerated")
        assert evidence(found, "status") == [
            f"{ISSUING.parsed.sha256} undetermined",
            f"{ALICE.parsed.sha256} undetermined",
        ]

    UNSAFE = partner("clinic", ROOT, others=[ISSUING], revocation=RevocationMode.UNSAFE_PREFER)
    BEFORE = NOON - 2 * HOUR

    @pytest.mark.parametrize(
        "evidence",
        [
            {"crls": [list_of(ROOT), list_of(ISSUING, signer=certify("Issuing").key)]},
            {"crls": [list_of(ROOT, signer=certify("Root").key), list_of(ISSUING)]},
            {"crls": [list_of(ROOT), list_of(ISSUING, this_update=NOON + HOUR)]},
            {"crls": GOOD_LISTS[:1], "answers": {ALICE.parsed.sha256: (b"garbage",)}},
            {"crls": GOOD_LISTS[:1], "answers": {ALICE.parsed.sha256: (answer_about(ALICE, ROOT),)}},
            {
                "crls": GOOD_LISTS[:1],
                "answers": {
                    ALICE.parsed.sha256: (answer_about(ALICE, ISSUING, status=ocsp.OCSPCertStatus.UNKNOWN),)
                },
            },
        ],
        ids=["forged", "forged above", "from the future", "garbage", "another's", "unknown"],
    )
    def test_unusable_evidence_refuses_also_if_it_is_only_preferred(self, evidence):
        """It might say revoked. Only the mode that is called unsafe still lets in."""
        for trust in (CLINIC, self.PREFER):
            found = judge_partner(ALICE, trust, find=find_no_person, **evidence)
            assert (found.verdict.outcome, words(found)[5:]) == (
                Outcome.UNDETERMINED,
                ["revocation-status-undetermined"],
            )
        found = judge_partner(ALICE, self.UNSAFE, **evidence)
        assert (found.verdict.outcome, words(found)[5]) == (Outcome.GOOD, "revocation-status-tolerated")

    @pytest.mark.parametrize(
        "evidence",
        [
            {},
            {"crls": GOOD_LISTS[:1]},
            {"crls": [list_of(ROOT), list_of(ISSUING, this_update=BEFORE, next_update=NOON - SECOND)]},
            {"crls": [list_of(ROOT), list_of(certify("Other"))]},
            {"answers": {ALICE.parsed.sha256: (answer_about(ALICE, ISSUING, next_update=NOON - SECOND),)}},
        ],
        ids=["nothing", "nothing of the leaf", "ended", "another issuer's", "an answer that ended"],
    )
    def test_missing_or_expired_evidence_is_tolerated_if_it_is_only_preferred(self, evidence):
        """Nothing there says anything, and it is not kept from us by what cannot be used."""
        for trust in (self.PREFER, self.UNSAFE):
            found = judge_partner(ALICE, trust, **evidence)
            assert (found.verdict.outcome, words(found)[5]) == (Outcome.GOOD, "revocation-status-tolerated")

    def test_good_evidence_beside_what_cannot_be_used_is_enough(self):
        """The last good CRL counts until it expires, also if a bad CRL was fetched after it."""
        crls = [*GOOD_LISTS, list_of(ISSUING, this_update=NOON, signer=certify("Issuing").key)]
        for trust in (CLINIC, self.PREFER):
            assert judge_partner(ALICE, trust, crls=crls).verdict.outcome is Outcome.GOOD

    def test_no_status_is_asked_for_if_the_check_is_off(self):
        """The record says that nothing was checked."""
        found = judge_partner(ALICE, self.OFF, crls=[list_of(ISSUING, 7)])
        assert (found.verdict.outcome, words(found)[5]) == (Outcome.GOOD, "revocation-not-checked")
        assert (found.findings, found.ends) == ((), min(ends_at(one.not_after) for one in found.path))

    def test_the_earliest_evidence_bounds_the_judgement(self):
        """A connection must be judged again when the first piece of evidence expires."""
        lists = [list_of(ROOT, next_update=NOON + 3 * HOUR), list_of(ISSUING, next_update=NOON + 2 * HOUR)]
        assert judge_partner(ALICE, CLINIC, crls=lists).ends == NOON + 2 * HOUR

    def test_stale_evidence_may_be_used_as_long_as_the_partner_says(self):
        """And the bound moves with it, so that it is never in the past for who is let in."""
        stale = [list_of(one, next_update=NOON - HOUR) for one in (ROOT, ISSUING)]
        patient = partner("clinic", ROOT, others=[ISSUING], max_staleness=HOUR)
        assert judge_partner(ALICE, CLINIC, crls=stale).verdict.outcome is Outcome.UNDETERMINED
        found = judge_partner(ALICE, patient, crls=stale)
        assert (found.verdict.outcome, found.ends) == (Outcome.GOOD, NOON)
        assert (
            judge_partner(ALICE, patient, crls=stale, now=NOON + SECOND).verdict.outcome is not Outcome.GOOD
        )

    def test_ocsp_answers_have_the_partners_grace(self):
        """`max_staleness` reaches the judge of answers."""

        def answers(**options):
            pairs = ((ALICE, ISSUING), (ISSUING, ROOT))
            return {one.parsed.sha256: (answer_about(one, by, **options),) for one, by in pairs}

        old = answers(this_update=NOON - 3 * HOUR, next_update=NOON + HOUR)
        assert judge_partner(ALICE, CLINIC, answers=old).verdict.outcome is Outcome.GOOD
        late = answers(this_update=NOON - 3 * HOUR, next_update=NOON - HOUR)
        assert judge_partner(ALICE, CLINIC, answers=late).verdict.outcome is Outcome.UNDETERMINED
        patient = partner("clinic", ROOT, others=[ISSUING], max_staleness=HOUR)
        assert judge_partner(ALICE, patient, answers=late).verdict.outcome is Outcome.GOOD

    def test_an_answer_that_revokes_is_heard(self):
        """Even if the CRL lists it."""
        revoked = answer_about(ALICE, ISSUING, status=ocsp.OCSPCertStatus.REVOKED)
        found = judge_partner(ALICE, CLINIC, crls=GOOD_LISTS, answers={ALICE.parsed.sha256: (revoked,)})
        assert "certificate-revoked" in words(found)


class TestNameAndAccount:
    """Steps 7 and 8."""

    def test_a_certificate_without_a_name_gives_no_identity(self):
        """The directory is not asked."""
        nameless = certify("alice", ISSUING, ca=False)
        found = judge_partner(nameless, CLINIC, crls=GOOD_LISTS, find=find_no_person)
        assert (found.verdict.outcome, words(found)[6:]) == (Outcome.BAD, ["name-mismatch"])
        assert found.identity is None

    @pytest.mark.parametrize(
        ("state", "word"),
        [
            (PrincipalState.SUSPENDED, "principal-suspended"),
            (PrincipalState.REMOVED, "principal-removed"),
        ],
    )
    def test_who_is_not_active_is_refused(self, state, word):
        """The identity is known then, the principal is not handed out."""
        found = judge_partner(
            ALICE, CLINIC, crls=GOOD_LISTS, find=lambda trust, one: known_principal(trust, one, state)
        )
        assert (found.verdict.outcome, words(found)[7]) == (Outcome.BAD, word)
        assert (found.identity, found.principal) == ("alice@clinic.example", None)

    @pytest.mark.parametrize(
        "find",
        [
            lambda trust, one: None,
            lambda trust, one: known_principal(trust, "bob@clinic.example"),
            lambda trust, one: known_principal(partner("ward", ROOT), one),
            lambda trust, one: known_principal(
                partner(
                    "clinic", ROOT, identity=IdentityRule(source=SanSource.EMAIL, kind=PrincipalKind.DEVICE)
                ),
                one,
            ),
        ],
        ids=["nobody", "another", "another-partners", "a-device"],
    )
    def test_a_wrong_look_up_accepts_no_person(self, find):
        """The row must be of this very name and kind."""
        found = judge_partner(ALICE, CLINIC, crls=GOOD_LISTS, find=find)
        assert (found.verdict.outcome, words(found)[7]) == (Outcome.BAD, "principal-unknown")
        assert found.principal is None


class TestTrust:
    """What cannot be trusted at all."""

    @pytest.mark.parametrize(
        "fields",
        [
            {"id": "per_clinic"},
            {"max_staleness": -SECOND},
            {"inputs": PathInputs(strength=Strength(accept_broken_algorithms=True))},
        ],
    )
    def test_impossible_values_are_refused(self, fields):
        """A door has no use for them."""
        with pytest.raises(ValueError, match=r"partner|algorithms"):
            partner("clinic", ROOT, **fields)

    def test_a_partners_name_is_a_principals_name(self):
        """It has no `/`, so that names of principals split in one way."""
        with pytest.raises(MalformedInput):
            partner("clinic/ward", ROOT)

    def test_an_empty_evidence_index_is_no_evidence(self):
        """A partner without an evidence cache is one of which nothing was fetched yet."""
        assert judge_partner(ALICE, CLINIC).verdict.outcome is Outcome.UNDETERMINED
