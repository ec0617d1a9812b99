"""Filling gateways' orders at ACME servers: one order after the other, a part of each at a time.

    1. take the order by a lease, so that no other process works on it; one order at a time per host (eligibility, leases)
    2. the account: made once, its key kept in the key store and used again (accounts, docs/design/0084)
    3. to 5. the try at the server (attempt)
    6. fill the gateway's order and record the event in one transaction; the gateway sees the change and switches (outcomes)
What the server asks us to wait is stored, so that a restart does not shorten it. A server that is not reached is left alone
for a while (pauses), and the orders at other servers go on.

Not here: when a certificate is due (renewal), the conversation, the gateway's side (gateway.publishing).
Standard: RFC 8555 section 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from doorward.authority.acme.accounts import Accounts
from doorward.authority.acme.attempt import Attempt, Means, Wait
from doorward.authority.acme.eligibility import find_objection, is_busy
from doorward.authority.acme.leases import MOVED, RELEASED, Lease, is_leased
from doorward.authority.acme.outcomes import fill, record_failed_try
from doorward.authority.acme.pauses import LONGEST_LIMIT, DirectoryPauses
from doorward.authority.acme.ports import AcmeOptions, AcmeRefusal, AcmeTransport, Prover
from doorward.core.errors import DoorwardError
from doorward.stores.records import ChangeKind, OrderRecord, OrderState
from doorward.stores.services import Services
from doorward.wire.acme import ChallengeKind


class AcmeFilling:
    """Fills orders; for one thread.

    Args:
        services: with keys.
        options: of this installation.
        transport: HTTPS.
        provers: the ways to show control that work here.
        wait: sleeps so many seconds, or returns early at a stop.
        is_alone: whether no other process of this installation does this work: then leases of a process that was killed
            are over at once.
    """

    def __init__(
        self,
        services: Services,
        options: AcmeOptions,
        transport: AcmeTransport,
        provers: Mapping[ChallengeKind, Prover],
        wait: Wait,
        *,
        is_alone: bool = False,
    ) -> None:
        self._services = services
        self._options = options
        self._means = Means(
            services=services, kind=options.challenge, prover=provers[options.challenge], wait=wait
        )
        self._must_release = is_alone
        self.accounts = Accounts(services, options, transport)
        self.pauses = DirectoryPauses(services)

    def work(self) -> None:
        """Try every order that is due once."""
        now = self._services.clock.now()
        if self._must_release:
            self._release(now)
            self._must_release = False
        with self._services.work.read() as stores:
            due = [
                one for one in stores.acme.due(now) if one.next_try_at is not None and one.next_try_at <= now
            ]
        if due:
            self.pauses.read()
        for one in due:
            if not self.pauses.is_paused(one.directory or self._options.directory):
                self._try(one.order_id)

    def _release(self, now: datetime) -> None:
        with self._services.work.change() as stores:
            for one in stores.acme.due(now):
                if is_leased(one, now):
                    stores.acme.replace_order(replace(one, **RELEASED))

    def _take(self, order_id: str) -> tuple[Lease, OrderRecord] | None:
        """Step 1; None if the order is not wanted, not due, or another one goes first."""
        now = self._services.clock.now()
        with self._services.work.change() as stores:
            record = stores.acme.orders([order_id]).get(order_id)
            order = stores.orders.get(order_id)
            if record is None or record.next_try_at is None or record.next_try_at > now:
                return None
            if order is None or order.state is not OrderState.OPEN:
                stores.acme.remove_order(order_id)
                return None
            if why := find_objection(stores, order, record, self._options):
                stores.orders.refuse(order_id, why)
                stores.acme.remove_order(order_id)
                stores.changes.note(ChangeKind.ORDER, order_id, now)
                return None
            if is_busy(stores, order, now):
                return None
            lease = Lease.take(self._services, stores, record)
            return (lease, order) if lease is not None else None

    def _try(self, order_id: str) -> None:
        taken = self._take(order_id)
        if taken is None:
            return
        lease, order = taken
        directory = lease.record.directory or self._options.directory
        try:
            self._go_on(directory, lease, order)
        except DoorwardError as error:
            refusal = error if isinstance(error, AcmeRefusal) else AcmeRefusal(error.code, error.detail)
            self._fail(directory, lease, order, refusal)
        except Exception:
            self._fail(
                directory, lease, order, AcmeRefusal("internal-error", "an internal error; see the log")
            )
            raise

    def _go_on(self, directory: str, lease: Lease, order: OrderRecord) -> None:
        if not directory:
            raise AcmeRefusal(
                "acme-directory-missing", "no directory is named: set acme_directory, or `directory`"
            )
        with self.accounts.conversation(directory) as opened:
            checked = Attempt(self._means, opened, lease, order).run()
        self.pauses.end(directory)
        if checked is not None:
            fill(self._services, lease, order, checked)

    def _fail(self, directory: str, lease: Lease, order: OrderRecord, refusal: AcmeRefusal) -> None:
        if refusal.code == MOVED:
            return  # the order is not ours: the other process says what becomes of it
        pause = None
        if refusal.is_network:
            pause = self.pauses.begin(directory) - self._services.clock.now()
        elif refusal.kind == "rateLimited":
            self.pauses.limit(directory, refusal.retry_after or LONGEST_LIMIT)
        with suppress(AcmeRefusal):  # it moved meanwhile
            record_failed_try(self._services, lease, order, refusal, pause=pause)
