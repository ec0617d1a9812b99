"""TLS towards an upstream: always verified, by authorities and by name; no option disables it.

Standard: RFC 9525 section 6 (the certificate must have the expected name), RFC 9325 section 3.1.1.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from doorward.enforcement.envoy.extension import build_typed
from doorward.enforcement.upstream_files import UpstreamFiles
from doorward.policy.model import HttpUpstream, UpstreamTls


def build_upstream_tls(upstream: HttpUpstream, tls: UpstreamTls, files: UpstreamFiles) -> dict[str, Any]:
    """Return the transport socket towards an upstream."""
    name = tls.server_name or upstream.host
    address = _is_address(name)
    matcher = {"san_type": "IP_ADDRESS" if address else "DNS", "matcher": {"exact": name}}
    context: dict[str, Any] = {
        "alpn_protocols": ["http/1.1"],
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_2",
            "tls_maximum_protocol_version": "TLSv1_3",
        },
        "validation_context": {
            "trusted_ca": {"filename": files.ca},
            "trust_chain_verification": "VERIFY_TRUST_CHAIN",
            "allow_expired_certificate": False,
            # Without this, any certificate of these authorities would be accepted, with any name.
            "match_typed_subject_alt_names": [matcher],
        },
    }
    if files.chain:
        pair = {"certificate_chain": {"filename": files.chain}, "private_key": {"filename": files.key}}
        context["tls_certificates"] = [pair]
    config = build_typed(
        "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        common_tls_context=context,
        allow_renegotiation=False,
        max_session_keys=0,  # a resumed session skips verification
        **({} if address else {"sni": name}),
    )
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
