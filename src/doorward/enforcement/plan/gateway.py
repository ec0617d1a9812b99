"""The whole plan of one gateway as a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from doorward.enforcement.capacity import HSTS
from doorward.enforcement.plan.challenges import MOST_CHALLENGES, ChallengeDoor
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
    """The plan of one gateway.

    Args:
        listen: at least one address; all serve the same doors.
        trust: PEM of each of our own issuing authorities. Their names are in CertificateRequest. At a door without a trust
            of its own, only certificates that one of them signed complete a handshake.
        doors: the applications, sorted by id.
        open_doors: hosts that ask for no client certificate, sorted by id, such as enrolment.
        paths: sockets and log file.
        limits: counts, sizes, times.
        hsts: how long browsers remember to use TLS only; with zero they get no such header.
        portal: the door of the portal; None if there is no portal, or if it has no certificate yet.
        sessions: keys and places of sessions; without them, rules that require a second factor allow nothing.
        challenges: hosts that show an ACME authority that they are ours, sorted by host.
        pages: Envoy's own replies for browsers; without them, Envoy replies with sentences.
    """

    listen: tuple[SocketAddress, ...]
    trust: tuple[str, ...]
    doors: tuple[ApplicationDoor, ...]
    paths: GatewayPaths
    open_doors: tuple[OpenDoor, ...] = ()
    limits: GatewayLimits = DEFAULT_LIMITS
    hsts: timedelta = HSTS
    portal: PortalDoor | None = None
    sessions: SessionPlan | None = None
    pages: ReplyPages | None = None
    challenges: tuple[ChallengeDoor, ...] = ()

    def __post_init__(self) -> None:
        require(self.listen, "a gateway needs an address to listen at")
        require(
            self.trust, "a gateway needs an issuing authority: otherwise Envoy would not verify certificates"
        )
        for ids in ([door.id for door in self.doors], [door.id for door in self.open_doors]):
            require(ids == sorted(set(ids)), "doors are sorted by id, each once")
        hosts = [host for door in self.doors for host in door.hosts]
        hosts += [door.host for door in self._portals] + [door.host for door in self.open_doors]
        require(len(hosts) == len(set(hosts)), "two doors share a host")
        challenged = [one.host for one in self.challenges]
        require(challenged == sorted(set(challenged)), "challenges are sorted by host, each host once")
        require(len(challenged) <= MOST_CHALLENGES, "there are too many challenges")

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
