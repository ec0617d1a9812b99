"""TLS at the door: every switch that a hole would open without."""

from __future__ import annotations

from dataclasses import replace

from doorward.enforcement.envoy.http import HTTP_ALPN
from doorward.enforcement.envoy.tls import build_client_tls, build_open_tls
from doorward.enforcement.trust import DoorTrust
from tests.support.resources import build_resources
from tests.unit.enforcement.plans import CERTIFICATE, every, small_plan

DOOR = small_plan().doors[0]
CLIENT = build_client_tls(DOOR, HTTP_ALPN)["typed_config"]
OPEN = build_open_tls(CERTIFICATE, HTTP_ALPN)["typed_config"]


def test_a_protected_door_demands_a_certificate() -> None:
    """No certificate, no handshake; the anchors come by SDS, so that rotation drains nothing."""
    assert CLIENT["require_client_certificate"] is True
    reference = CLIENT["common_tls_context"]["validation_context_sds_secret_config"]
    assert reference["name"] == "trust"
    assert reference["sds_config"]["ads"] == {}


def test_the_open_door_asks_for_none() -> None:
    """It neither demands nor validates, and so believes nothing."""
    assert OPEN["require_client_certificate"] is False
    assert "validation_context_sds_secret_config" not in OPEN["common_tls_context"]


def test_no_session_is_resumed() -> None:
    """A resumed session skips validation; the first switch alone leaves TLS 1.2's cache on."""
    for one in (CLIENT, OPEN):
        assert one["disable_stateless_session_resumption"] is True
        assert one["disable_stateful_session_resumption"] is True


def test_versions_suites_and_signatures_are_stated() -> None:
    """TLS 1.2 and 1.3, forward secrecy and AEAD only, Ed25519 included."""
    for one in (CLIENT, OPEN):
        context = one["common_tls_context"]
        params = context["tls_params"]
        assert params["tls_minimum_protocol_version"] == "TLSv1_2"
        assert params["tls_maximum_protocol_version"] == "TLSv1_3"
        assert all(
            suite.startswith("ECDHE-") and ("GCM" in suite or "POLY1305" in suite)
            for suite in params["cipher_suites"]
        )
        assert "ed25519" in params["signature_algorithms"]
        assert not [name for name in params["signature_algorithms"] if "sha1" in name]
        assert context["alpn_protocols"] == ["h2", "http/1.1"]


def test_trust_is_strict() -> None:
    """Chains are verified, expired certificates refused, and no sub-authority stands between."""
    context = build_resources(small_plan()).secrets["trust"]["validation_context"]
    assert context["trust_chain_verification"] == "VERIFY_TRUST_CHAIN"
    assert context["allow_expired_certificate"] is False
    assert context["max_verify_depth"] == 1
    assert context["trusted_ca"]["inline_string"] == small_plan().trust[0]


def test_keys_are_named_never_copied() -> None:
    """A published file has the path of a key, and never the key."""
    secrets = build_resources(small_plan()).secrets
    assert secrets["pay-1"]["tls_certificate"]["private_key"] == {"filename": "/run/dw/pay.key"}
    assert "PRIVATE KEY" not in str(secrets)


def test_a_door_may_have_a_trust_of_its_own() -> None:
    """Its secret is its own and verifies nothing; the others keep theirs; a door without one names the common secret."""
    trust = DoorTrust(authorities=("A", "B"))
    plan = replace(small_plan(), doors=(replace(DOOR, trust=trust), *small_plan().doors[1:]))
    secrets = build_resources(plan).secrets
    context = secrets[f"trust-{DOOR.id}"]["validation_context"]
    assert context["trusted_ca"]["inline_string"] == "AB"
    assert context["trust_chain_verification"] == "ACCEPT_UNTRUSTED"
    assert secrets["trust"] == build_resources(small_plan()).secrets["trust"]
    client = build_client_tls(plan.doors[0], HTTP_ALPN)["typed_config"]
    reference = client["common_tls_context"]["validation_context_sds_secret_config"]
    assert reference["name"] == f"trust-{DOOR.id}"
    assert client["require_client_certificate"] is True


def test_unverified_certificates_are_accepted_only_if_a_door_has_its_own_trust() -> None:
    """Every other door verifies; one that does not still demands a certificate."""
    assert not [
        one
        for one in every(build_resources(small_plan()).secrets, "trust_chain_verification")
        if "ACCEPT" in one
    ]
    opened = replace(DOOR, trust=DoorTrust(authorities=("A",)))
    secrets = build_resources(replace(small_plan(), doors=(opened, *small_plan().doors[1:]))).secrets
    found = {
        name: one["validation_context"]["trust_chain_verification"]
        for name, one in secrets.items()
        if "validation_context" in one
    }
    assert found == {"trust": "VERIFY_TRUST_CHAIN", f"trust-{DOOR.id}": "ACCEPT_UNTRUSTED"}
    assert build_client_tls(opened, HTTP_ALPN)["typed_config"]["require_client_certificate"] is True


def test_names_that_are_not_told_are_left_out() -> None:
    """Such a chain names no authority; it verifies nothing, as every unverified chain."""
    silent = replace(DOOR, trust=DoorTrust(authorities=("A",), named=False))
    secrets = build_resources(replace(small_plan(), doors=(silent, *small_plan().doors[1:]))).secrets
    assert secrets[f"trust-{DOOR.id}"]["validation_context"] == {
        "trust_chain_verification": "ACCEPT_UNTRUSTED"
    }
