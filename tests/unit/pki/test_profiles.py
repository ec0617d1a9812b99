"""Certificate profiles and lifetimes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest

from doorward.core.entities import PrincipalKind
from doorward.core.errors import RequestRefused
from doorward.pki import profiles
from doorward.pki.profiles import BACKDATE, PERSON, PROFILES, ROOT, SanRule, Validity, choose_validity
from tests.support import refusals
from tests.support.certificates.issuing import toy_ca
from tests.support.ports import NOON

YEARS = timedelta(days=3650)

code_of = partial(refusals.code_of, kind=RequestRefused)


def test_profiles_go_by_their_names():
    """The name in the inventory is the name of the profile."""
    assert all(profile.name == name for name, profile in PROFILES.items())


@pytest.mark.parametrize("kind", list(PrincipalKind))
def test_each_kind_of_principal_has_a_client_profile(kind):
    """People, devices and services get clientAuth and nothing that makes a CA or a server."""
    profile = profiles.profile_for(kind)
    assert profile.kind is kind
    assert [usage.dotted_string for usage in profile.extended_key_usage] == ["1.3.6.1.5.5.7.3.2"]
    assert not profile.is_ca
    assert profile.names in {SanRule.PRINCIPAL, SanRule.PRINCIPAL_AND_EMAIL}


def test_only_ca_profiles_may_sign_certificates():
    """KeyCertSign and the CA bit go together; an issuing CA has no CA below it."""
    for profile in PROFILES.values():
        assert (profiles.KeyUse.KEY_CERT_SIGN in profile.key_usage) is profile.is_ca
    assert profiles.ISSUING.path_length == 0


def test_a_default_lifetime_is_at_most_the_maximum():
    """The constructor refuses it."""
    with pytest.raises(ValueError, match="lifetime"):
        profiles.CertificateProfile(
            name="x",
            key_usage=frozenset(),
            extended_key_usage=(),
            names=SanRule.NONE,
            lifetime=timedelta(days=2),
            max_lifetime=timedelta(days=1),
        )


def test_a_certificate_begins_five_minutes_ago():
    """Clocks that lag a little still accept it; microseconds are cut off."""
    validity = choose_validity(ROOT, NOON.replace(microsecond=999))
    assert validity == Validity(not_before=NOON - BACKDATE, not_after=NOON + ROOT.lifetime)


def test_another_time_zone_is_turned_to_utc():
    """The same moment gives the same dates."""
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert choose_validity(ROOT, elsewhere) == choose_validity(ROOT, NOON)


def test_a_certificate_never_outlives_its_issuer():
    """The dates are cut to the issuer's on both sides."""
    issuer = toy_ca(not_before=NOON - timedelta(minutes=1), not_after=NOON + timedelta(days=2))
    validity = choose_validity(PERSON, NOON, issuer=issuer.certificate)
    assert validity == Validity(not_before=NOON - timedelta(minutes=1), not_after=NOON + timedelta(days=2))


def test_an_issuer_out_of_its_dates_issues_nothing():
    """Expired (to the second) and not yet valid issuers are refused."""
    expired = toy_ca(not_after=NOON).certificate
    early = toy_ca(not_before=NOON + timedelta(seconds=1)).certificate
    assert code_of(choose_validity, PERSON, NOON, issuer=expired) == "issuer-expired"
    assert code_of(choose_validity, PERSON, NOON, issuer=early) == "issuer-not-yet-valid"


def test_a_lifetime_lies_within_the_profile():
    """From one second to the longest."""
    for lifetime in (timedelta(0), timedelta(days=-1), PERSON.max_lifetime + timedelta(seconds=1)):
        assert code_of(choose_validity, PERSON, NOON, lifetime=lifetime) == "lifetime-refused"
    assert choose_validity(PERSON, NOON, lifetime=PERSON.max_lifetime).not_after == NOON + PERSON.max_lifetime


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (NOON, NOON),
        (NOON + YEARS, NOON),
        (NOON.replace(tzinfo=None), NOON + YEARS),
        (NOON, datetime(2027, 1, 1, microsecond=1, tzinfo=UTC)),
        (NOON, (NOON + YEARS).astimezone(timezone(timedelta(hours=1)))),
    ],
)
def test_impossible_validities_cannot_be_made(begin, end):
    """Dates are UTC, in whole seconds and in order."""
    with pytest.raises(ValueError, match=r"validity dates|begin before"):
        Validity(not_before=begin, not_after=end)
