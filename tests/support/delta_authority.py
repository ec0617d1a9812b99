"""An issuing authority with delta CRLs, on the memory store."""

from __future__ import annotations

from dataclasses import replace

from doorward.authority import revocation
from doorward.authority.status import crls, published_objects
from doorward.core.certificate import RevocationReason
from doorward.stores.records import AuthorityKind, CrlRecord
from doorward.stores.services import Services
from tests.support.world import OPERATOR, Held, World, found_world

COMPROMISE = RevocationReason.KEY_COMPROMISE
HOLD, REMOVED = "certificate_hold", "remove_from_crl"


class DeltaAuthority:
    """An issuing authority with deltas, on the memory store."""

    def __init__(self, partitions: int = 1, **settings: object) -> None:
        self.world: World = found_world(document="")
        self.services: Services = replace(
            self.world.services, crl_deltas=True, crl_partitions=partitions, **settings
        )
        self.publish()

    def publish(self, services: Services | None = None) -> dict[str, CrlRecord]:
        """Make what is due."""
        chosen = services or self.services
        due = crls.due_crls(chosen, self.world.clock.now())
        return crls.publish_crls(chosen, due) if due else {}

    def later(self, **time: float) -> dict[str, CrlRecord]:
        """Let time pass, eleven seconds if nothing is said, and make what is due."""
        self.world.clock.turn(**(time or {"seconds": 11}))
        return self.publish()

    def issue(self) -> Held:
        """Issue a certificate."""
        return self.world.issue("sensor-1")

    def revoke(self, held: Held, reason: RevocationReason = COMPROMISE) -> None:
        revocation.revoke(self.services, held.record.id, reason, OPERATOR)

    def hold(self, held: Held) -> None:
        revocation.hold(self.services, held.record.id, OPERATOR)

    def release(self, held: Held) -> None:
        revocation.release(self.services, held.record.id, OPERATOR)

    def stored(self, name: str = "") -> CrlRecord:
        """The newest CRL of a name."""
        found = published_objects.current_crl(self.services, partition=name)
        assert found is not None
        return found

    def has(self, name: str) -> bool:
        return published_objects.current_crl(self.services, partition=name) is not None

    def complete(self) -> dict[int, str]:
        """What a complete CRL would list now, with reasons."""
        with self.world.work.read() as stores:
            issuing = stores.authorities.current(AuthorityKind.ISSUING)
            assert issuing is not None
            rows = stores.certificates.revoked(issuing.id, issuing.created_at)
            return {serial: reason.value.replace("-", "_") for serial, _, _, reason in rows}
