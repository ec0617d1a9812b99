"""A client that may not enter gets the right alert, and never a byte of the application.

Clients: openssl s_client, curl and Python's ssl; TLS 1.2 and 1.3. curl speaks at once and so often
sees a broken pipe instead of a TLS 1.3 alert; of it is asked that it fails and receives nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from doorward.authority.revocation import hold, revoke
from doorward.core.certificate import RevocationReason
from doorward.core.ports import KeyKind
from doorward.stores.records import AuthorityKind
from tests.support.certificates.issuing import SERVER, CertifiedKey, around_now, cached_key, name
from tests.support.doorway import ACTOR, DOMAIN, Doorway, Identity, open_doorway
from tests.support.wire_clients import CLIENTS

ACCESS_DENIED = 49
NOW, DAY = datetime.now(UTC), timedelta(days=1)

pytestmark = [pytest.mark.xdist_group("handshakes"), pytest.mark.needs("openssl", "curl")]


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """Open one door for all cases: all members of `staff` may reach everything."""
    with open_doorway() as opened:
        opened.apply("- {allow: {groups: [staff]}}")
        for kind in (KeyKind.P256, KeyKind.P384, KeyKind.ED25519, KeyKind.RSA2048):
            opened.person(f"good-{kind.value}", "staff", key=kind)
        opened.person("revoked", "staff")
        opened.person("held", "staff")
        seq = revoke(
            opened.services, opened.certificate_of("revoked"), RevocationReason.KEY_COMPROMISE, ACTOR
        )
        seq = max(seq, hold(opened.services, opened.certificate_of("held"), ACTOR))
        opened.settle(seq)
        yield opened


def forge(door: Doorway, **options: Any) -> Identity:
    """A certificate for good-p256 that our own issuing key signs past every rule of ours; `options` as of `certify`."""
    with door.services.work.read() as stores:
        record = stores.authorities.current(AuthorityKind.ISSUING)
    assert record is not None
    assert door.services.keys is not None
    certificate = x509.load_der_x509_certificate(record.der)
    ca = CertifiedKey(certificate, door.services.keys.load(record.key_name))
    leaf = ca.leaf("good-p256", trust_domain=DOMAIN, **{**around_now(1), **options})
    chain, key = leaf.write(door.folder / "forged", leaf.sha256)
    return Identity(chain=chain, key=key)


CASES: dict[str, tuple[Callable[[Doorway], Identity | None], dict[str, int]]] = {
    "no certificate": (lambda _: None, {"1.2": 40, "1.3": 116}),
    "another authority": (
        lambda d: forge(d, signer=cached_key(), issuer_name=name("Stranger CA")),
        {"1.2": 48, "1.3": 48},
    ),
    "expired": (
        lambda d: forge(d, not_before=NOW - 3 * DAY, not_after=NOW - DAY),
        {"1.2": 45, "1.3": 45},
    ),
    "not yet valid": (
        lambda d: forge(d, not_before=NOW + DAY, not_after=NOW + 2 * DAY),
        {"1.2": 45, "1.3": 45},
    ),
    "wrong extended key usage": (
        lambda d: forge(d, purposes=[SERVER]),
        {"1.2": 43, "1.3": 43},
    ),
    # BoringSSL finds the issuer by name and fails at the signature: decrypt_error.
    "our name, another key": (lambda d: forge(d, signer=cached_key()), {"1.2": 51, "1.3": 51}),
    "revoked": (lambda d: d.identities["revoked"], {"1.2": ACCESS_DENIED, "1.3": ACCESS_DENIED}),
    "on hold": (lambda d: d.identities["held"], {"1.2": ACCESS_DENIED, "1.3": ACCESS_DENIED}),
    "unknown to the inventory": (
        forge,
        {"1.2": ACCESS_DENIED, "1.3": ACCESS_DENIED},
    ),
}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_that_may_not_enter_gets_the_alert(
    door: Doorway, client: str, case: str, version: str
) -> None:
    """The client fails with the expected alert and receives nothing; the application is not reached."""
    make, alerts = CASES[case]
    before = door.upstream.calls
    met = CLIENTS[client](door, make(door), version)
    assert met.data == b"", met.words
    assert door.upstream.calls == before
    assert met.alert == (0 if client == "curl" else alerts[version]), met.words


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", ["p256", "p384", "ed25519", "rsa2048"])
@pytest.mark.parametrize("client", CLIENTS)
def test_every_accepted_kind_of_key_enters(door: Doorway, client: str, kind: str, version: str) -> None:
    """P-256, P-384, Ed25519 and RSA 2048 keys enter on TLS 1.2 and 1.3 with each client."""
    met = CLIENTS[client](door, door.identities[f"good-{kind}"], version)
    assert b'"doorward-principal"' in met.data, met.words
