"""TLS at the door: the requirements of the handshake, and the secrets that Envoy gets by SDS.

At a door that trusts only our own authority, Envoy checks signature, dates and issuer, and sends the right alert. At an
*unverified chain* (`HttpDoor.trust`) it only checks that the peer has the private key (docs/design/0043). Envoy gets no CRL,
because its cost per handshake grows with the length of the CRL.
Not here: whether a certificate was revoked (the authorizer checks it).
Standard: RFC 8446, RFC 5246, RFC 9325 section 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from doorward.enforcement.envoy.extension import AWAITED, build_typed
from doorward.enforcement.envoy.names import TRUST_SECRET
from doorward.enforcement.plan import (
    ApplicationDoor,
    ChallengeDoor,
    Door,
    OpenDoor,
    PortalDoor,
    ServerCertificate,
)
from doorward.enforcement.trust import DoorTrust

SIGNATURE_ALGORITHMS = (
    "ed25519",  # by default Envoy refuses Ed25519 client certificates (measured)
    "ecdsa_secp256r1_sha256",
    "ecdsa_secp384r1_sha384",
    "rsa_pss_rsae_sha256",
    "ecdsa_secp521r1_sha512",
    "rsa_pss_rsae_sha384",
    "rsa_pss_rsae_sha512",
    # For smart cards and TPMs without PSS, in TLS 1.2 only: TLS 1.3 has no such handshake signature (RFC 8446
    # section 4.2.3). SHA-1 and RSA key transport, which RFC 9325 section 4.4 discourages, are not in the list.
    "rsa_pkcs1_sha256",
    "rsa_pkcs1_sha384",
    "rsa_pkcs1_sha512",
)
CURVES = ("X25519", "P-256", "P-384", "P-521")
"""For the key exchange. Envoy's default has no P-384, but the software of some smart cards offers only this curve."""
CIPHER_SUITES = (  # for TLS 1.2: forward secrecy and AEAD only (RFC 9325 section 4.2)
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
TRUST_DEPTH = 1
"""Our issuing authorities sign end entities only, and are the anchors themselves."""


def build_client_tls(door: ApplicationDoor | PortalDoor, alpn: Sequence[str]) -> dict[str, Any]:
    """Return the transport socket of a protected door; `alpn` are its protocols, best first.

    It requires a certificate, unless the door admits connections without one. A door without a trust of its own verifies
    the chain; any other has an *unverified chain*, and only the authorizer judges the certificate.
    """
    socket = build_open_tls(door.certificate, alpn)
    config = socket["typed_config"]
    config["require_client_certificate"] = not door.certificate_optional
    secret = TRUST_SECRET if door.trust is None else _trust_secret(door.id)
    config["common_tls_context"]["validation_context_sds_secret_config"] = _by_sds(secret)
    return socket


def build_asking_tls(door: OpenDoor, alpn: Sequence[str]) -> dict[str, Any]:
    """Return the transport socket of an open door that asks for a certificate, and goes on without one.

    Any certificate is taken: TLS proves that the peer has its key, and only our own surface judges it.
    """
    socket = build_open_tls(door.certificate, alpn)
    common = socket["typed_config"]["common_tls_context"]
    common["validation_context_sds_secret_config"] = _by_sds(_trust_secret(door.id))
    return socket


def build_open_tls(certificate: ServerCertificate, alpn: Sequence[str]) -> dict[str, Any]:
    """Return the transport socket of a door that asks for no client certificate."""
    context = {
        **({"alpn_protocols": list(alpn)} if alpn else {}),
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_2",
            "tls_maximum_protocol_version": "TLSv1_3",
            "cipher_suites": list(CIPHER_SUITES),
            "signature_algorithms": list(SIGNATURE_ALGORITHMS),
            "ecdh_curves": list(CURVES),
        },
        "tls_certificate_sds_secret_configs": [_by_sds(certificate.name)],
    }
    config = build_typed(
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        require_client_certificate=False,
        # A resumed session skips validation: a request with an expired certificate got 200 (measured). Both switches are
        # needed; the first alone leaves the session cache of TLS 1.2 on.
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
        common_tls_context=context,
    )
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def build_challenge_tls(door: ChallengeDoor, protocol: str) -> dict[str, Any]:
    """Return the transport socket of a challenge: its certificate, one protocol, no certificate of the client."""
    context = {
        "alpn_protocols": [protocol],
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_2",
            "tls_maximum_protocol_version": "TLSv1_3",
        },
        "tls_certificates": [
            {"certificate_chain": {"inline_string": door.chain}, "private_key": {"inline_string": door.key}}
        ],
    }
    config = build_typed(
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        require_client_certificate=False,
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
        common_tls_context=context,
    )
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def build_own_trust(authorities: Sequence[str]) -> dict[str, Any]:
    """Return the secret with our own issuing authorities (PEM)."""
    context = {
        "trusted_ca": {"inline_string": "".join(authorities)},
        "trust_chain_verification": "VERIFY_TRUST_CHAIN",
        "allow_expired_certificate": False,
        "max_verify_depth": TRUST_DEPTH,
    }
    return _secret(TRUST_SECRET, validation_context=context)


def build_door_secrets(door: Door) -> tuple[dict[str, Any], ...]:
    """Return the secrets of one door: its server certificate, and its authorities if it has a trust of its own.

    Keys are named by their files: the publisher reads them, so that no private key is in a dictionary.
    """
    certificate = door.certificate
    pair = {
        "certificate_chain": {"filename": certificate.chain_path},
        "private_key": {"filename": certificate.key_path},
    }
    shown = _secret(certificate.name, tls_certificate=pair)
    if isinstance(door, OpenDoor):
        return (shown, _trust(door.id, None)) if door.asks_certificate else (shown,)
    return (shown,) if door.trust is None else (shown, _trust(door.id, door.trust))


def _trust(door_id: str, trust: DoorTrust | None) -> dict[str, Any]:
    # Envoy needs the authorities only for their names in CertificateRequest. It verifies nothing here, so no matcher of
    # ours may read Envoy's own facts about the peer.
    context: dict[str, Any] = {"trust_chain_verification": "ACCEPT_UNTRUSTED"}
    # Without authorities Envoy asks for a certificate but accepts a peer without one, even with
    # `require_client_certificate` (measured). Then the authorizer refuses the connection.
    if trust is not None and trust.named:
        context["trusted_ca"] = {"inline_string": "".join(trust.authorities)}
    return _secret(_trust_secret(door_id), validation_context=context)


def _trust_secret(door_id: str) -> str:
    return f"{TRUST_SECRET}-{door_id}"


def _secret(name: str, **content: Any) -> dict[str, Any]:
    return build_typed("extensions.transport_sockets.tls.v3.Secret", name=name, **content)


def _by_sds(name: str) -> dict[str, Any]:
    return {"name": name, "sds_config": AWAITED}
