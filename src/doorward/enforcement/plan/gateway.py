"""Everything that one gateway's data plane shall be, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from doorward.enforcement.capacity import HSTS
from doorward.enforcement.plan.doors import ApplicationDoor, Door, OpenDoor, PortalDoor, ServerCertificate
from doorward.enforcement.plan.limits import (
    DEFAULT_LIMITS,
    GatewayLimits,
    GatewayPaths,
    SocketAddress,
    require,
)
from doorward.enforcement.plan.pages import ReplyPages
from doorward.enforcement.plan.sessions import SessionPlan
from doorward.enforcement.trust import DoorTrust


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPlan:
    """Everything that one gateway's data plane shall be.

    Args:
        listen: at least one address; all serve the same doors.
        trust: PEM of each issuing authority of our own; their names go into CertificateRequest, and only
            certificates signed directly by one of them finish a handshake where a door has no other trust.
        doors: the applications, sorted by id.
        open_doors: hosts that ask for no client certificate, sorted by id; enrolment is one.
        paths: where the surroundings are.
        limits: counts, sizes, times.
        epoch: the run of Envoy that this is for, told to the authorizer.
        hsts: how long browsers remember to come with TLS only; zero tells them nothing.
        portal: where people check their factors and see what is theirs; None if there is none (yet).
        sessions: what is known of sessions; None leaves rules that ask for a second factor closed.
        pages: with which Envoy itself answers browsers; None leaves sentences.
    """

    listen: tuple[SocketAddress, ...]
    trust: tuple[str, ...]
    doors: tuple[ApplicationDoor, ...]
    paths: GatewayPaths
    open_doors: tuple[OpenDoor, ...] = ()
    limits: GatewayLimits = DEFAULT_LIMITS
    epoch: int = 0
    hsts: timedelta = HSTS
    portal: PortalDoor | None = None
    sessions: SessionPlan | None = None
    pages: ReplyPages | None = None

    def __post_init__(self) -> None:
        require(self.listen, "a gateway listens somewhere")
        require(self.trust, "a door that trusts no authority would not check the handshake")
        for ids in ([door.id for door in self.doors], [door.id for door in self.open_doors]):
            require(ids == sorted(set(ids)), "doors are sorted by id, each once")
        hosts = [host for door in self.doors for host in door.hosts]
        hosts += [door.host for door in self._portals] + [door.host for door in self.open_doors]
        require(len(hosts) == len(set(hosts)), "two doors share a host")

    @property
    def every_door(self) -> tuple[Door, ...]:
        """Applications first, then the portal, then open doors."""
        return (*self.doors, *self._portals, *self.open_doors)

    @property
    def _portals(self) -> tuple[PortalDoor, ...]:
        return () if self.portal is None else (self.portal,)

    @property
    def trusts(self) -> dict[str, DoorTrust]:
        """The trust of each door that has one of its own, by the door's id."""
        own = (*self.doors, *self._portals)
        return {door.id: door.trust for door in own if door.trust is not None}

    @property
    def certificates(self) -> tuple[ServerCertificate, ...]:
        """Every server certificate once, sorted by name."""
        every = {door.certificate for door in self.every_door}
        return tuple(sorted(every, key=lambda one: one.name))
