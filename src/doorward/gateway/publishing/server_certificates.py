"""The gateway's own TLS server certificates: ordered, fetched, renewed before they expire.

Not here: their files (server_pairs), issuing (`serve` fills orders, of other authorities by ACME) and reading them for Envoy (door_packing). The key of
each certificate is made here and never leaves this machine. A pair is deleted only once no published
configuration names it: if the hosts of an application change, the old certificate serves its hosts until
the new one is there. Every certificate has its own folder, named after its order, so the gateway never reads
half of an old pair and half of a new one. For Envoy all certificates of one purpose have the same name:
a renewed certificate is new content of the same secret, which ends no connection. Another name would replace
the filter chain.
Certificates are ordered and fetched many in one transaction: a first start may need a thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import structlog

from doorward.authority.orders import (
    OrderRequest,
    OrderStatus,
    answered_orders,
    place_order,
    place_orders,
    renewal_times,
)
from doorward.core.errors import DoorwardError, Unavailable
from doorward.core.names import COMMON_NAME_LIMIT
from doorward.core.ports import KeyKind, PrivateKey
from doorward.enforcement.plan import ServerCertificate
from doorward.gateway.publishing.server_pairs import (
    ServerPair,
    ServerPairs,
    asked_of,
    has_chain,
    has_key,
)
from doorward.pki.csr import build_csr
from doorward.policy.server_certificates import OWN_CERTIFICATES, CertificateSource
from doorward.stores.records import OrderState
from doorward.stores.services import Services

RETRY_SECONDS = 30.0
"""Wait after an order was refused; the document may have lost the hosts meanwhile."""

ORDERED_TOGETHER = 50
"""Orders that share a transaction: `serve` fills the first ones while the keys of the next ones are made."""

NO_SOURCES: Mapping[str, CertificateSource] = MappingProxyType({})
"""Every certificate is from our own authority."""

_MOST_NAMED = 10
_POLL_SECONDS = 0.05
_log = structlog.get_logger("doorward.certificates")


class ServerCertificates:
    """Keeps one valid certificate for each purpose; used by one thread.

    Args:
        services: the use cases' ports.
        gateway_id: the gateway that orders.
        folder: where keys and chains are kept, mode 0700.
    """

    def __init__(self, services: Services, gateway_id: str, folder: Path) -> None:
        self._services = services
        self._gateway_id = gateway_id
        self._pairs = ServerPairs(folder)
        self._retry_at: dict[str, float] = {}
        self._wanted: dict[str, tuple[tuple[str, ...], str]] = {}
        self._sources: Mapping[str, CertificateSource] = NO_SOURCES
        self._on_order: set[str] = set()

    def ensure(
        self,
        wanted: Mapping[str, tuple[str, ...]],
        sources: Mapping[str, CertificateSource] = NO_SOURCES,
        staying: Collection[str] = (),
    ) -> dict[str, ServerCertificate]:
        """Return the usable certificate of each purpose; order missing ones and those that must be replaced soon.

        Args:
            wanted: purpose (`[a-z0-9_.:-]`) to the host names that its certificate must have.
            sources: purpose to the authority that certifies it; by default our own.
            staying: the SHA-256 of our issuing authorities with certificates that stay; those of others are ordered
                again. Empty: those of every authority stay.

        Returns:
            Only the purposes that have a certificate now. The certificate may lack some of the hosts (its `hosts` has the
            hosts that it covers); the other hosts follow when their certificates are issued.
        """
        orders = {purpose: self._pairs.orders(purpose) for purpose in wanted}
        self._collect([one for every in orders.values() for one in every if not has_chain(one)])
        self._on_order = {
            purpose
            for purpose, every in orders.items()
            if any(_is_waiting(one, _asked(wanted[purpose], sources.get(purpose))) for one in every)
        }
        found: dict[str, ServerCertificate] = {}
        due: dict[str, tuple[str, ...]] = {}
        now = self._services.clock.now()
        self._sources = sources
        renewals = self._renewals([one.name for purpose in sources for one in orders.get(purpose, ())])
        for purpose, unsorted in wanted.items():
            hosts, source = tuple(sorted(unsorted)), sources.get(purpose, OWN_CERTIFICATES).word
            if self._wanted.get(purpose) != (hosts, source):
                self._wanted[purpose] = hosts, source
                self._retry_at.pop(
                    purpose, None
                )  # what was refused was for other hosts, or for another document
            best = self._best(orders[purpose], hosts, source, staying)
            if best is not None:
                found[purpose] = _certificate(purpose, best)
            if purpose not in self._on_order and (
                best is None
                or (best.hosts, best.source) != (hosts, source)
                or best.is_due(now, renewals.get(best.folder.name))
                or not best.stays(staying)
            ):
                due[purpose] = hosts
        self._try_order(due)
        return found

    def ensure_soon(
        self,
        wanted: Mapping[str, tuple[str, ...]],
        staying: Collection[str] = (),
        *,
        patience_seconds: float,
        most_seconds: float = 0.0,
        wait: Callable[[float], None],
        sources: Mapping[str, CertificateSource] = NO_SOURCES,
    ) -> dict[str, ServerCertificate]:
        """Return the certificates as `ensure` does, and wait for those that our own authority has on order.

        Args:
            wanted: as for `ensure`.
            staying: as for `ensure`.
            patience_seconds: how long to wait.
            most_seconds: wait for so long if certificates keep coming, each within `patience_seconds`.
            wait: waits until an order changed, at most so many seconds.
            sources: as for `ensure`; another authority may take hours, so its certificates are not awaited.
        """
        clock = self._services.clock
        ready = self.ensure(wanted, sources, staying)
        awaited = {purpose: hosts for purpose, hosts in wanted.items() if purpose not in sources}
        began = moved = clock.monotonic()  # only now: ordering a thousand takes longer than the patience
        while lacking := self._on_order.intersection(missing_hosts(awaited, ready)):
            left = min(moved + patience_seconds, began + max(patience_seconds, most_seconds))
            if (left := left - clock.monotonic()) <= 0:
                break
            wait(min(left, _POLL_SECONDS))
            fresh = self.ensure({one: wanted[one] for one in lacking}, sources, staying)
            if any(ready.get(purpose) != one for purpose, one in fresh.items()):
                ready.update(fresh)
                moved = clock.monotonic() if most_seconds else moved
        return ready

    def forget_others(self, purposes: Iterable[str], used: Iterable[ServerCertificate]) -> None:
        """Delete keys and chains that no configuration names any more.

        Args:
            purposes: the wanted purposes; their orders that are not filled yet stay.
            used: the certificates of the configuration in force.
        """
        kept = set(purposes)
        self._pairs.forget_others(kept, {Path(one.key_path).parent for one in used})
        self._wanted = {purpose: one for purpose, one in self._wanted.items() if purpose in kept}

    def _renewals(self, order_ids: list[str]) -> dict[str, datetime]:
        try:
            return renewal_times(self._services, order_ids)
        except DoorwardError as error:
            _log.error("the renewal times of server certificates cannot be read", code=error.code)
            return {}

    def _best(
        self, orders: Iterable[Path], hosts: tuple[str, ...], source: str, staying: Collection[str]
    ) -> ServerPair | None:
        """Return the usable pair that fits best; delete damaged ones."""
        now = self._services.clock.now()
        usable = []
        for folder in orders:
            if not has_chain(folder):
                continue
            pair = self._pairs.read(folder)
            if pair is None:
                _log.error(
                    "a server certificate or its key is damaged; a new one is ordered", order=folder.name
                )
                self._pairs.delete(folder)
            elif pair.end > now and not set(pair.hosts).isdisjoint(hosts):
                usable.append(pair)
        return max(usable, key=lambda one: one.worth(hosts, source, staying), default=None)

    # ordering

    def _try_order(self, due: Mapping[str, tuple[str, ...]]) -> None:
        """Order certificates; if that fails, try again later. A certificate that exists stays in use."""
        now = self._services.clock.monotonic()
        wanted = [(one, hosts) for one, hosts in due.items() if now >= self._retry_at.get(one, 0.0)]
        for at in range(0, len(wanted), ORDERED_TOGETHER):
            requests = [self._request(*one) for one in wanted[at : at + ORDERED_TOGETHER]]
            if possible := [one for one in requests if one is not None]:
                self._order(possible)

    def _request(self, purpose: str, hosts: tuple[str, ...]) -> tuple[OrderRequest, PrivateKey] | None:
        """Return what is ordered; None if these hosts cannot be in a request, which must not stop the others."""
        key = self._services.factory.generate(KeyKind.P256)
        try:
            csr = build_csr(key, hosts[0][:COMMON_NAME_LIMIT], dns=hosts)  # clients look at `dns` only
        except DoorwardError as error:
            self._cannot_order(purpose, error)
            return None
        source = self._sources.get(purpose, OWN_CERTIFICATES)
        return OrderRequest(purpose=purpose, hosts=hosts, csr=csr, source=source), key

    def _order(self, some: list[tuple[OrderRequest, PrivateKey]]) -> None:
        """Place some orders together; one by one if that fails, so that one that fails does not stop the others."""
        try:
            placed = place_orders(self._services, self._gateway_id, [request for request, _ in some])
        except DoorwardError:
            for request, key in some:
                self._order_one(request, key)
            return
        for order, (request, key) in zip(placed, some, strict=True):
            self._placed(request, order.id, key)

    def _order_one(self, request: OrderRequest, key: PrivateKey) -> None:
        try:
            order = place_order(
                self._services,
                self._gateway_id,
                request.purpose,
                request.hosts,
                request.csr,
                source=request.source,
            )
        except DoorwardError as error:
            self._cannot_order(request.purpose, error)
        else:
            self._placed(request, order.id, key)

    def _cannot_order(self, purpose: str, error: DoorwardError) -> None:
        _log.error(
            "a server certificate cannot be ordered", purpose=purpose, code=error.code, detail=error.detail
        )
        self._retry_later(purpose)

    def _placed(self, request: OrderRequest, order_id: str, key: PrivateKey) -> None:
        self._pairs.write_key(request.purpose, order_id, key, _asked(request.hosts, request.source))
        self._on_order.add(request.purpose)

    def _retry_later(self, purpose: str) -> None:
        self._retry_at[purpose] = self._services.clock.monotonic() + RETRY_SECONDS

    # collecting

    def _collect(self, waiting: list[Path]) -> None:
        """Write the chains of filled orders; drop orders that were refused, are unknown, or lost their key."""
        if not waiting:
            return
        try:
            answered = answered_orders(self._services, [folder.name for folder in waiting])
        except DoorwardError as error:
            # The database is unavailable: keys must not be deleted because of that.
            _log.error("the orders of server certificates cannot be read from the database", code=error.code)
            return
        for folder in waiting:
            if not has_key(folder):
                self._pairs.delete(folder)
            elif folder.name in answered:
                self._take(folder, answered[folder.name])

    def _take(self, folder: Path, status: OrderStatus | None) -> None:
        if status is not None and status.order.state is OrderState.FILLED:
            self._pairs.write_chain(folder, status.chain_der)
            return
        if status is not None:
            _log.error("an order for a server certificate was refused", why=status.order.refusal)
            self._retry_later(folder.parent.name)
        self._pairs.delete(folder)


def _is_waiting(folder: Path, asked: str) -> bool:
    """Return whether an order is open. One at another authority may be open for days, so it counts only for these hosts."""
    return not has_chain(folder) and folder.exists() and (asked_of(folder) or asked) == asked


def _asked(hosts: Iterable[str], source: CertificateSource | None) -> str:
    """Return what is asked of another authority, as the file `asked` has it; empty for our own."""
    return "" if source is None or not source.word else "\n".join([source.word, *sorted(hosts)])


def _certificate(purpose: str, pair: ServerPair) -> ServerCertificate:
    return ServerCertificate(
        name=purpose,
        chain_path=str(pair.folder / "chain.pem"),
        key_path=str(pair.folder / "key.pem"),
        hosts=pair.hosts,
        issuer=pair.issuer,
    )


def missing_hosts(
    wanted: Mapping[str, tuple[str, ...]], ready: Mapping[str, ServerCertificate]
) -> dict[str, tuple[str, ...]]:
    """Return the hosts of each purpose that no certificate covers yet; purposes without such hosts are left out."""
    lacking = {
        purpose: tuple(sorted(set(hosts).difference(ready[purpose].hosts if purpose in ready else ())))
        for purpose, hosts in sorted(wanted.items())
    }
    return {purpose: hosts for purpose, hosts in lacking.items() if hosts}


def name_every_lacking(missing: Mapping[str, Collection[str]]) -> str:
    """Return applications and their hosts as part of a sentence: the first ones, and how many more there are."""
    named = ", ".join(f"{name} ({', '.join(missing[name])})" for name in sorted(missing)[:_MOST_NAMED])
    more = len(missing) - _MOST_NAMED
    return f"{named} and {more} more; `doorward serve` issues them one after the other" if more > 0 else named


def no_certificate() -> Unavailable:
    """Return the error for a gateway that has no server certificate at all."""
    return Unavailable(
        "no-server-certificate",
        "no server certificate was issued to this gateway",
        hint="start `doorward serve` with the same data directory or database",
    )
