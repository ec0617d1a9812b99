"""Which orders are worked on: those that the policy in force wants, one at a time for a host, and only some a day.

Not here: the lease itself (leases), the work (filling).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from doorward.authority.acme.leases import is_leased
from doorward.authority.acme.ports import AcmeOptions, AcmeRefusal
from doorward.core.names import PORTAL_APPLICATION
from doorward.policy.server_certificates import CertifiedBy
from doorward.stores.acme_protocols import AcmeOrderRecord
from doorward.stores.policy_snapshot import load_snapshot
from doorward.stores.protocols import Stores
from doorward.stores.records import OrderRecord
from doorward.stores.services import Services

MOST_TRIES = 10
"""New orders of one gateway for one host on one day. Let's Encrypt refuses a sixth certificate with the same names in a week."""

MOST_TRIES_TOGETHER = 50
"""New orders of all gateways for one host on one day: each gateway has its own key, and orders for itself."""


def find_objection(stores: Stores, order: OrderRecord, record: AcmeOrderRecord, options: AcmeOptions) -> str:
    """Return why an order must not be filled; empty if it may be.

    An attacker who controls a gateway must not get a certificate for other names, or from another authority.
    """
    if order.purpose == PORTAL_APPLICATION:
        # Only the settings choose the portal's authority: no document names one for it.
        is_meant = order.hosts == (options.portal_host,) and not record.directory
        return "" if is_meant else "no ACME authority certifies the portal"
    app = load_snapshot(stores).policies.get(order.purpose)
    if app is None or tuple(sorted(app.hosts)) != order.hosts:
        return "the application has other hosts now"
    if app.certificates.by is not CertifiedBy.ACME or app.certificates.directory != record.directory:
        return "the certificates of the application come from elsewhere now"
    return ""


def is_busy(stores: Stores, order: OrderRecord, now: datetime) -> bool:
    """Return whether another order for one of the same hosts must end first.

    Another process works on it; or the authority may still look at its challenge: a host can show one challenge of
    tls-alpn-01 at a time, and a second one in its place would fail the first order.
    """
    hosts = set(order.hosts)
    for shown in stores.acme.challenges():
        if shown.order_id != order.id and shown.host in hosts and shown.ends_at > now:
            return True
    for one in stores.acme.due(now):
        other = stores.orders.get(one.order_id) if is_leased(one, now) else None
        if other is not None and not hosts.isdisjoint(other.hosts):
            return True
    return False


def count_try(services: Services, stores: Stores, order: OrderRecord) -> None:
    """Count a new order at an authority.

    Raises:
        AcmeRefusal: `acme-too-many-tries`: there were too many today, of this gateway or of all of them.
    """
    now = services.clock.now()
    day = f"{now:%Y-%m-%d}"
    for host in order.hosts:
        tries = stores.acme.tries(host, day)
        own, together = tries.get(order.gateway_id, 0), sum(tries.values())
        if own >= MOST_TRIES or together >= MOST_TRIES_TOGETHER:
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            raise AcmeRefusal(
                "acme-too-many-tries",
                f"{host} was tried {together} times today, {own} of them for this gateway; the next try is tomorrow",
                retry_after=midnight - now,
            )
    for host in order.hosts:
        stores.acme.count_try(order.gateway_id, host, day)
