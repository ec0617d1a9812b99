"""Certificate to principal."""

from __future__ import annotations

import pytest

from doorward.core.entities import TENANT, Principal, PrincipalKind, PrincipalState
from doorward.core.names import PrincipalUri
from doorward.verification.identity import find_principal_uri, is_named
from tests.support.toy_ca import TRUST_DOMAIN

ALICE = Principal(
    id="per_alice", tenant=TENANT, kind=PrincipalKind.PERSON, name="alice", state=PrincipalState.ACTIVE
)
URI = "spiffe://corp.example/person/alice"


def test_one_uri_names_one_principal():
    """The parts are those of the URI."""
    wanted = PrincipalUri(trust_domain=TRUST_DOMAIN, kind=PrincipalKind.PERSON, name="alice")
    assert find_principal_uri([URI]) == wanted
    assert is_named([URI], ALICE, TRUST_DOMAIN)


@pytest.mark.parametrize("uris", [[], [URI, URI], [URI, "https://x.example"], ["https://x.example"], [""]])
def test_no_uri_two_uris_and_foreign_ones_name_nobody(uris):
    """A relying party that reads the other URI would see somebody else."""
    assert find_principal_uri(uris) is None
    assert not is_named(uris, ALICE, TRUST_DOMAIN)


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://corp.example/person/bob",
        "spiffe://corp.example/device/alice",
        "spiffe://corp.example/service/alice",
        "spiffe://evil.example/person/alice",
        "spiffe://corp.example.evil.example/person/alice",
    ],
)
def test_somebody_else_is_not_this_principal(uri):
    """Another name, kind or trust domain is another principal."""
    assert not is_named([uri], ALICE, TRUST_DOMAIN)
