"""What a handshake proves.

The trust anchors are our issuing authorities; a certificate with any other signer does not get in, and
there is no second transport that would skip the question.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from doorward.enforcement.envoy.names import TRUST_SECRET
from tests.posture.witness import Witness
from tests.support.attacks import LISTENER, TLS_PARAMETERS, added, changed, every_value, leading_to, without
from tests.support.certificates.issuing import CertifiedKey
from tests.support.compiled_door import CompiledDoor, CompiledDoors, Kept
from tests.support.door_site import APPS
from tests.support.tcp import ports_of

pytestmark = pytest.mark.xdist_group("posture-tls")


TRUST = ("secrets", TRUST_SECRET, "validation_context")
ANYBODY = changed(*TRUST, "trust_chain_verification", to="ACCEPT_UNTRUSTED")
DEPTH = without(*TRUST, "max_verify_depth")
ALGORITHMS = without(*TLS_PARAMETERS, "signature_algorithms")
VERSIONS = [
    pytest.param(ssl.TLSVersion.TLSv1_2, id="TLS 1.2"),
    pytest.param(ssl.TLSVersion.TLSv1_3, id="TLS 1.3"),
]


def gets_in(door: CompiledDoor, certificate: str, version: ssl.TLSVersion | None = None) -> bool:
    """Return whether a certificate finishes the handshake."""
    return door.site.alert("pay.test", certificate, version) == ""


class TestAlgorithms:
    """Section 10: Envoy refuses Ed25519 client certificates unless told otherwise."""

    @pytest.mark.parametrize("version", VERSIONS)
    def test_ed25519_gets_in(self, door: CompiledDoor, version: ssl.TLSVersion) -> None:
        """A certificate with an Ed25519 key, which we issue, is accepted."""
        assert gets_in(door, "ed25519", version)

    @pytest.mark.parametrize("version", VERSIONS)
    def test_without_the_list_it_does_not(self, kept: Kept, version: ssl.TLSVersion) -> None:
        """Without `signature_algorithms` the very same certificate is refused; P-256 is not."""
        assert not gets_in(kept(ALGORITHMS), "ed25519", version)
        assert gets_in(kept(ALGORITHMS), "p256", version)

    @pytest.mark.needs("openssl")
    def test_sha1_signatures_are_refused(self, door: CompiledDoor) -> None:
        """A TLS 1.2 client that can only sign with SHA-1 does not get in."""
        assert not _openssl_gets_in(door, "-client_sigalgs", "RSA+SHA1", "-tls1_2", key="rsa2048")
        assert _openssl_gets_in(door, "-tls1_2")

    @pytest.mark.needs("openssl")
    @pytest.mark.parametrize("digest", ["SHA256", "SHA384", "SHA512"])
    def test_rsa_without_pss_in_tls_12(self, door: CompiledDoor, digest: str) -> None:
        """RFC 5246 section 7.4.1.4.1: a smart card that signs with PKCS #1 v1.5 only; not in TLS 1.3 (RFC 8446 section 4.2.3)."""
        card = ("-client_sigalgs", f"RSA+{digest}")
        assert _openssl_gets_in(door, *card, "-tls1_2", key="rsa2048")
        assert not _openssl_gets_in(door, *card, "-tls1_3", key="rsa2048")

    @pytest.mark.needs("openssl")
    def test_without_the_entries_the_card_does_not_get_in(self, kept: Kept) -> None:
        """`signature_algorithms` without PKCS #1."""
        door = kept(
            changed(
                *TLS_PARAMETERS, "signature_algorithms", to=["ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256"]
            )
        )
        assert not _openssl_gets_in(door, "-client_sigalgs", "RSA+SHA256", "-tls1_2", key="rsa2048")

    @pytest.mark.needs("openssl")
    @pytest.mark.parametrize("curve", ["X25519", "P-256", "P-384", "P-521"])
    def test_curves_of_the_exchange(self, door: CompiledDoor, curve: str) -> None:
        """RFC 8446 section 4.2.7: a client that offers one curve only.

        In TLS 1.2 it must offer P-256 too, the curve of our certificates (RFC 8422 section 5.1).
        """
        assert _openssl_gets_in(door, "-curves", curve, "-tls1_3")
        assert _openssl_gets_in(door, "-curves", "P-256" if curve == "P-256" else f"{curve}:P-256", "-tls1_2")

    @pytest.mark.needs("openssl")
    def test_without_the_curves_p384_does_not_get_in(self, kept: Kept) -> None:
        """`ecdh_curves`: Envoy's own list ends at P-256."""
        door = kept(without(*TLS_PARAMETERS, "ecdh_curves"))
        assert not _openssl_gets_in(door, "-curves", "P-384", "-tls1_3")
        assert _openssl_gets_in(door, "-curves", "P-256", "-tls1_3")

    @pytest.mark.parametrize("version", VERSIONS)
    def test_p521_signatures(self, door: CompiledDoor, version: ssl.TLSVersion) -> None:
        """RFC 8446 section 4.2.3: a client's key on P-521; P-384 is among those that we issue."""
        door.site.client_certificate("p521", key=ec.generate_private_key(ec.SECP521R1()))
        assert gets_in(door, "p521", version)
        assert gets_in(door, "p384", version)

    @pytest.mark.needs("openssl")
    def test_old_versions_are_refused(self, door: CompiledDoor) -> None:
        """TLS 1.1 and 1.0 end at the first message; with the minimum lowered they would not."""
        assert not _openssl_gets_in(door, "-tls1_1")

    @pytest.mark.needs("openssl")
    def test_without_the_minimum_they_get_in(self, kept: Kept) -> None:
        """With `tls_minimum_protocol_version` at TLSv1_1 and its suites back, TLS 1.1 works."""
        door = kept(
            changed(*TLS_PARAMETERS, "tls_minimum_protocol_version", to="TLSv1_1"),
            changed(*TLS_PARAMETERS, "cipher_suites", to=["ECDHE-ECDSA-AES128-SHA"]),
            without(*TLS_PARAMETERS, "signature_algorithms"),
        )
        assert _openssl_gets_in(door, "-tls1_1")


class TestTrust:
    """Item 1: identity sources believe an unverified certificate, so that none is ever accepted."""

    @pytest.mark.parametrize("certificate", ["stranger", "expired"])
    def test_a_bad_certificate_ends_in_the_handshake(self, door: CompiledDoor, certificate: str) -> None:
        """A stranger's authority and a date that is over."""
        assert not gets_in(door, certificate)

    def test_untrusted_ones_would_reach_the_application(self, kept: Kept, witness: Witness) -> None:
        """With ACCEPT_UNTRUSTED a self-made certificate is in, if the authorizer looked at names only."""
        mark = len(witness.requests)
        assert kept(ANYBODY).site.ask("GET", "/accounts/7", certificate="stranger").status == 200
        assert len(witness.since(mark)) == 1

    def test_expired_ones_need_two_mistakes(self, kept: Kept) -> None:
        """`allow_expired_certificate` alone lets an expired certificate in."""
        assert gets_in(kept(changed(*TRUST, "allow_expired_certificate", to=True)), "expired")

    def test_it_is_never_emitted(self, doors: CompiledDoors) -> None:
        """Nothing compiled accepts unverified certificates, under any name."""
        resources = doors.site.resources(APPS)
        values = [value for _, value in every_value([resources.secrets, *resources.listeners])]
        assert "ACCEPT_UNTRUSTED" not in values
        assert resources.secrets[TRUST_SECRET]["validation_context"]["max_verify_depth"] == 1


class TestDepth:
    """Item 18: `max_verify_depth` counts one more than others' depth; anchors are issuing authorities.

    Envoy does not look at the path length of an anchor (measured here: ours say 0), so this field alone
    keeps out what an authority below ours signs.
    """

    def test_what_the_anchor_signed_directly_gets_in(self, door: CompiledDoor) -> None:
        """A leaf of the anchor itself is accepted."""
        assert gets_in(door, _below(door, 0))

    @pytest.mark.parametrize("steps", [1, 2])
    @pytest.mark.parametrize("version", VERSIONS)
    def test_what_stands_lower_does_not(
        self, door: CompiledDoor, steps: int, version: ssl.TLSVersion
    ) -> None:
        """A leaf of an authority below the anchor is refused, though the signatures are right."""
        assert "UNKNOWN_CA" in door.site.alert("pay.test", _below(door, steps), version)

    @pytest.mark.parametrize("steps", [1, 2])
    def test_without_the_field_it_does(self, kept: Kept, steps: int) -> None:
        """Without `max_verify_depth` the same leaf finishes the handshake."""
        assert gets_in(kept(DEPTH), _below(kept(DEPTH), steps))

    def test_zero_would_still_admit_leaves(self, kept: Kept) -> None:
        """With 0 the anchor's own leaves get in: the number is one more than the authorities between."""
        door = kept(changed(*TRUST, "max_verify_depth", to=0))
        assert gets_in(door, _below(door, 0))


def _below(door: CompiledDoor, steps: int) -> str:
    """Return a certificate `steps` authorities below the anchor, its chain in the same file."""
    now = door.site.now
    dates = {"not_before": now - timedelta(hours=1), "not_after": now + timedelta(days=1)}
    chain: list[CertifiedKey] = [door.site.issuing]
    for number in range(steps):
        chain.insert(0, chain[0].issuing(f"Sub {number}", path_length=None, **dates))
    name = f"below{steps}"
    leaf = chain[0].leaf("alice", **dates)
    (door.site.folder / f"{name}.pem").write_bytes(leaf.pem + b"".join(one.pem for one in chain[:-1]))
    (door.site.folder / f"{name}.key").write_bytes(leaf.key_pem)
    return name


class TestNoOtherTransport:
    """Section 10, row "QUIC": over it the authorizer would not be asked."""

    def test_nothing_of_quic_is_emitted(self, doors: CompiledDoors) -> None:
        """No UDP listener, no QUIC transport, no HTTP/3 codec, no advertisement of one."""
        resources = doors.site.resources(APPS)
        text = repr(resources).lower()
        for word in ("quic", "udp", "http3", "h3", "alt-svc"):
            assert f"'{word}" not in text
            assert f"{word}_" not in text.replace("sha3_", "")
        assert "udp_listener_config" not in text
        assert {value for key, value in every_value(list(resources.listeners)) if key == "codec_type"} == {
            "AUTO"
        }

    def test_envoy_opens_no_udp_port(self, door: CompiledDoor) -> None:
        """The running door holds no UDP socket on its port."""
        assert not ports_of(door.envoy.process.pid, "udp") & {door.site.port}

    def test_with_a_udp_listener_it_would(self, kept: Kept) -> None:
        """The check above would find this: the same listener over UDP."""
        listener = {
            "name": "udp",
            "address": {"socket_address": {"protocol": "UDP", "address": "127.0.0.1", "port_value": 0}},
            "listener_filters": [
                {
                    "name": "envoy.filters.udp_listener.udp_proxy",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig",
                        "stat_prefix": "udp",
                        "matcher": {
                            "on_no_match": {
                                "action": {
                                    "name": "route",
                                    "typed_config": {
                                        "@type": "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route",
                                        "cluster": "app_pay",
                                    },
                                }
                            }
                        },
                    },
                }
            ],
        }
        kind = "type.googleapis.com/envoy.config.listener.v3.Listener"
        door = kept(changed("listeners", to=lambda old: [*old, {"@type": kind, **listener}]), name="with udp")
        assert ports_of(door.envoy.process.pid, "udp")


def test_the_listener_is_one(doors: CompiledDoors) -> None:
    """One listener, TLS chains only: nothing answers in clear text."""
    resources = doors.site.resources(APPS)
    (listener,) = resources.listeners
    assert all("transport_socket" in chain for chain in listener["filter_chains"])
    assert "on_no_match" not in listener["filter_chain_matcher"]
    assert "default_filter_chain" not in listener


def test_clear_text_is_closed(door: CompiledDoor, kept: Kept) -> None:
    """Plain HTTP on the port gets nothing; with a chain for connections without a name, and without the socket, it is answered."""
    request = b"GET /accounts/7 HTTP/1.1\r\nHost: pay.test\r\n\r\n"
    assert _plain(door.site.port, request) == b""
    chain = (*LISTENER, "filter_chains", "app_pay")
    naked = kept(
        without(*chain, "transport_socket"),
        added("listeners", "door", "filter_chain_matcher", "on_no_match", value=leading_to("app_pay")),
        without(*chain, "transport_socket_connect_timeout"),
        name="naked",
    )
    assert _plain(naked.site.port, request).startswith(b"HTTP/1.1 ")


def _plain(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        try:
            connection.sendall(data)
            return connection.recv(4096)
        except OSError:
            return b""


def _openssl_gets_in(door: CompiledDoor, *options: str, key: str = "p256") -> bool:
    done = subprocess.run(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{door.site.port}", "-servername", "pay.test"),
            *("-cert", str(door.site.folder / f"{key}.pem"), "-key", str(door.site.folder / f"{key}.key")),
            *("-cipher", "DEFAULT:@SECLEVEL=0", "-ign_eof", *options),
        ],
        input=b"GET /accounts/7 HTTP/1.1\r\nHost: pay.test\r\nConnection: close\r\n\r\n",
        capture_output=True,
        timeout=60,
        check=False,
    )
    return b"HTTP/1.1 200" in done.stdout
