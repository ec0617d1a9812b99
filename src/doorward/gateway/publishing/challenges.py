"""Open tls-alpn-01 challenges as parts of the plan; their certificates are made here and live in memory only.

Not here: the chains in Envoy (enforcement.envoy.challenges), what the authority says (authority.acme).
Standard: RFC 8737.
"""

from __future__ import annotations

import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from doorward.authority.acme.showing import list_alpn_challenges, name_challenge
from doorward.core.errors import DoorwardError
from doorward.core.ports import KeyKind
from doorward.enforcement.plan.challenges import MOST_CHALLENGES, ChallengeDoor
from doorward.pki.challenge_certificate import build_challenge_certificate
from doorward.stores.acme_protocols import AcmeChallengeRecord
from doorward.stores.services import Services
from doorward.wire.acme_jws import alpn_extension

_log = structlog.get_logger("doorward.certificates")


class ChallengeCertificates:
    """Reads open challenges, and keeps one certificate for each; for one thread.

    Args:
        services: the use cases' ports.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._made: dict[str, ChallengeDoor] = {}

    def read(self) -> list[ChallengeDoor]:
        """Return the open challenges by host, at most one for each; none if the database is away."""
        try:
            found = list_alpn_challenges(self._services)
        except DoorwardError as error:
            _log.error("the challenges of ACME authorities cannot be read", code=error.code)
            found = []
        by_host = {one.host: one for one in found[:MOST_CHALLENGES]}
        wanted = {name_challenge(one): one for one in by_host.values()}
        self._made = {name: self._made.get(name) or self._make(name, one) for name, one in wanted.items()}
        return sorted(self._made.values(), key=lambda one: one.host)

    def _make(self, name: str, challenge: AcmeChallengeRecord) -> ChallengeDoor:
        services = self._services
        key = services.factory.generate(KeyKind.P256)
        assert isinstance(key, EllipticCurvePrivateKey)
        serial = int.from_bytes(services.random.token(16)) | 1
        proof = alpn_extension(challenge.authorization)
        made = build_challenge_certificate(key, challenge.host, proof, serial, services.clock.now())
        return ChallengeDoor(
            name=name,
            host=challenge.host,
            chain=made.public_bytes(Encoding.PEM).decode("ascii"),
            key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii"),
        )
