"""What is told of Envoy's refusals: the reason, and nothing of a secret. The texts are those of Envoy 1.40."""

from __future__ import annotations

import pytest

from doorward.gateway.publishing.discovery.messages import CLUSTER, LISTENER, ROUTES, SECRET
from doorward.gateway.publishing.discovery.refusals import explain_refusal

KEY = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg2eZLfn8uLfT3hBq9"
PEM = f"-----BEGIN PRIVATE KEY-----\\n{KEY}\\n-----END PRIVATE KEY-----\\n"
QUOTED_SECRET = (
    'goo.gle/debugproto   \nname: "s7"\ntls_certificate {\n  certificate_chain {\n    environment_variable: ""\n  }\n'
    f'  private_key {{\n    inline_bytes: "{PEM}"\n  }}\n}}\n: Proto constraint validation failed '
    "(SecretValidationError.TlsCertificate: embedded message failed validation | caused by "
    "TlsCertificateValidationError.CertificateChain: embedded message failed validation | caused by "
    "DataSourceValidationError.EnvironmentVariable: value length must be at least 1 characters)"
)
TABLE = 'goo.gle/debugonly  \nname: "r7"\nvirtual_hosts {\n  name: "v"\n  domains: "*"\n}\n: Proto constraint validation failed '
VIOLATED = "embedded message failed validation | caused by "


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (ROUTES, "unexpected ): missing ): (", "unexpected ): missing ): ("),
        (
            ROUTES,
            "Only a single wildcard domain is permitted in route r9",
            "Only a single wildcard domain is permitted in route r9",
        ),
        (
            ROUTES,
            (
                f"{TABLE}(RouteConfigurationValidationError.VirtualHosts[0]: {VIOLATED}"
                f"VirtualHostValidationError.Routes[0]: {VIOLATED}RouteValidationError.DirectResponse: {VIOLATED}"
                "DirectResponseActionValidationError.Status: value must be inside range [200, 600))"
            ),
            "VirtualHosts[0].Routes[0].DirectResponse.Status: value must be inside range [200, 600)",
        ),
        (
            ROUTES,
            (
                f"{TABLE}(RouteConfigurationValidationError.VirtualHosts[0]: {VIOLATED}"
                f'VirtualHostValidationError.Routes[0]: {VIOLATED}field: "action", reason: is required)'
            ),
            "VirtualHosts[0].Routes[0].action: is required",
        ),
        (
            LISTENER,
            (
                'Error adding/updating listener(s) d4: goo.gle/debugonly  \nrds {\n  route_config_name: "r1"\n}\n'
                ": Proto constraint validation failed "
                "(HttpConnectionManagerValidationError.StatPrefix: value length must be at least 1 characters)\n"
            ),
            "Error adding/updating listener(s) d4: StatPrefix: value length must be at least 1 characters",
        ),
        (
            LISTENER,
            "Error adding/updating listener(s) d5: malformed IP address: 300.0.0.1\n",
            "Error adding/updating listener(s) d5: malformed IP address: 300.0.0.1",
        ),
        (
            LISTENER,
            f'goo.gle/debugproto   \nname: "d8"\nfilter_chains {{{"x" * 4000}initial_f...(truncated)',
            "Envoy's reason was cut off, after a part of the resource",
        ),
        (
            CLUSTER,
            "Invalid duration: Expected positive duration: goo.gle/debugproto   \nseconds: -1\n",
            "Invalid duration: Expected positive duration",
        ),
        (
            CLUSTER,
            (
                "Unable to unpack as envoy.config.cluster.v3.Cluster: goo.gle/debugproto   \n"
                'type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster"\nvalue: "\\377\\377"\n'
            ),
            "Unable to unpack as envoy.config.cluster.v3.Cluster",
        ),
        (CLUSTER, "", "Envoy gave no reason"),
        (CLUSTER, " \r\n\x1b[2J\u202e\0", "[2J"),
        (CLUSTER, "a" * 2**22, "a" * 500),
        (
            SECRET,
            (
                "Failed to load private key from <inline>, Cause: error:0b000074:X.509 certificate routines:"
                "OPENSSL_internal:KEY_VALUES_MISMATCH"
            ),
            "Failed to load private key: KEY_VALUES_MISMATCH",
        ),
        (SECRET, "Failed to load certificate chain from <inline>", "Failed to load certificate chain"),
        (
            SECRET,
            "Failed to load incomplete private key from path: ",
            "Failed to load incomplete private key",
        ),
        (
            SECRET,
            (
                "Protobuf message (type envoy.extensions.transport_sockets.tls.v3.Secret(root) with unknown field set "
                "{14217}) has unknown fields"
            ),
            "has unknown fields",
        ),
        (SECRET, QUOTED_SECRET, "Proto constraint validation failed"),
        (SECRET, f"something new: {KEY}", "Envoy refused the secret"),
        (SECRET, f"goo.gle/debugonly OPENSSL_internal:{KEY.upper()}", "Envoy refused the secret"),
    ],
    ids=range(19),
)
def test_the_reason_is_told(kind: str, text: str, told: str) -> None:
    """One printable line, which names the field if Envoy does."""
    assert explain_refusal(kind, text) == told


@pytest.mark.parametrize("kind", [SECRET, CLUSTER, ""])
def test_no_part_of_a_key_is_told(kind: str) -> None:
    """Wherever Envoy cuts its message: what it quotes is left out, also if the type is not that of a secret."""
    unpacked = f'Unable to unpack as envoy.Secret: goo.gle/debugproto   \nvalue: "\\n{PEM}\\377"\n'
    for text in (QUOTED_SECRET, unpacked):
        for end in range(len(text)):
            assert KEY[:12] not in explain_refusal(kind, f"{text[:end]}...(truncated)")
