"""Filling gateways' orders at ACME servers: one order after the other, a part of each at a time.

    1. take the order by a lease, so that no other process works on it; one order at a time per host
    2. the account: made once, its key kept in the key store and used again (docs/design/0084)
    3. the order at the server: the open one, or a new one
    4. show control of each host
    5. send the gateway's request; download and check the chain
    6. fill the gateway's order and record the event in one transaction; the gateway sees the change and switches
What the server asks us to wait is stored, so that a restart does not shorten it. If a try fails, the next one comes later,
each time later; a host has at most `MOST_TRIES` new orders a day. The certificate in use stays in use.

Not here: when a certificate is due (renewal), the conversation, the gateway's side (gateway.publishing).
Standard: RFC 8555 section 7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from cryptography import x509

from doorward.audit.events import EventType
from doorward.authority.acme.accounts import Accounts
from doorward.authority.acme.checks import CheckedChain, check_chain
from doorward.authority.acme.conversation import Conversation
from doorward.authority.acme.ports import AcmeOptions, AcmeRefusal, AcmeTransport, Prover
from doorward.core.entities import TENANT
from doorward.core.errors import DoorwardError, MalformedInput
from doorward.core.names import PORTAL_APPLICATION
from doorward.pki.lifecycle import renewal_time
from doorward.policy.server_certificates import CertifiedBy
from doorward.stores.acme_protocols import AcmeChallengeRecord, AcmeOrderRecord
from doorward.stores.events import new_event
from doorward.stores.policy_snapshot import load_snapshot
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind, OrderRecord, OrderState
from doorward.stores.services import Services
from doorward.wire.acme import AcmeAuthorization, AcmeChallenge, AcmeOrder, AcmeStatus, ChallengeKind
from doorward.wire.acme_jws import key_authorization, renewal_id

SYSTEM = "system"
LEASE = timedelta(minutes=10)
PATIENCE_SECONDS = 60.0
"""How long one try waits for the server before it goes on with other orders."""

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.25, 5.0
MOST_TRIES = 10
"""New orders of one host on one day. Let's Encrypt refuses a sixth certificate with the same names in a week."""

LONGEST_PAUSE = timedelta(minutes=10)
"""How long other orders wait after a server refused one because of its limits."""

_PAUSES = tuple(timedelta(minutes=one) for one in (1, 5, 30, 120, 360, 720))
"""After the first, second … failure in a row; the last one repeats."""
_LONGEST_UNREACHED = timedelta(minutes=30)

Wait = Callable[[float], object]


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
        self._provers = provers
        self._wait = wait
        self._must_release = is_alone
        self._paused_until: dict[str, datetime] = {}
        self.accounts = Accounts(services, options, transport)

    def work(self) -> bool:
        """Try every order that is due once; False, because there is nothing to do at once."""
        now = self._services.clock.now()
        if self._must_release:
            self._release(now)
            self._must_release = False
        with self._services.work.read() as stores:
            due = [
                one for one in stores.acme.due(now) if one.next_try_at is not None and one.next_try_at <= now
            ]
        for one in due:
            directory = one.directory or self._options.directory
            if self._paused_until.get(directory, now) <= self._services.clock.now():
                self._try(one.order_id)
        return False

    def _release(self, now: datetime) -> None:
        with self._services.work.change() as stores:
            for one in stores.acme.due(now):
                if _is_leased(one, now):
                    stores.acme.replace_order(replace(one, leased_until=None))

    # step 1

    def _take(self, order_id: str) -> tuple[AcmeOrderRecord, OrderRecord] | None:
        """Return an order that is leased to us now; None if it is not wanted, not due, or another one goes first."""
        now = self._services.clock.now()
        with self._services.work.change() as stores:
            record = stores.acme.orders([order_id]).get(order_id)
            order = stores.orders.get(order_id)
            if record is None or record.next_try_at is None or record.next_try_at > now:
                return None
            if order is None or order.state is not OrderState.OPEN:
                stores.acme.remove_order(order_id)
                return None
            if why := self._unwanted(stores, order, record):
                stores.orders.refuse(order_id, why)
                stores.acme.remove_order(order_id)
                stores.changes.note(ChangeKind.ORDER, order_id, now)
                return None
            if self._is_busy(stores, order, now):
                return None
            taken = replace(record, leased_until=now + LEASE)
            return (
                (replace(taken, version=record.version + 1), order)
                if stores.acme.replace_order(taken)
                else None
            )

    def _unwanted(self, stores: Stores, order: OrderRecord, record: AcmeOrderRecord) -> str:
        """Return why the order must not be filled: an attacker who controls a gateway must not get other names."""
        if order.purpose == PORTAL_APPLICATION:
            # Only the settings choose the portal's authority: no document names one for it.
            is_meant = order.hosts == (self._options.portal_host,) and not record.directory
            return "" if is_meant else "no ACME authority certifies the portal"
        app = load_snapshot(stores).policies.get(order.purpose)
        if app is None or tuple(sorted(app.hosts)) != order.hosts:
            return "the application has other hosts now"
        if app.certificates.by is not CertifiedBy.ACME or app.certificates.directory != record.directory:
            return "the certificates of the application come from elsewhere now"
        return ""

    def _is_busy(self, stores: Stores, order: OrderRecord, now: datetime) -> bool:
        """Return whether another process works on this order, or on one with the same host."""
        for one in stores.acme.due(now):
            other = stores.orders.get(one.order_id) if _is_leased(one, now) else None
            if other is not None and not set(other.hosts).isdisjoint(order.hosts):
                return True
        return False

    # steps 2 to 6

    def _try(self, order_id: str) -> None:
        taken = self._take(order_id)
        if taken is None:
            return
        record, order = taken
        try:
            self._go_on(_Attempt(self, record, order))
        except DoorwardError as error:
            refusal = error if isinstance(error, AcmeRefusal) else AcmeRefusal(error.code, error.detail)
            self._fail(order_id, order, refusal)
            if refusal.kind == "rateLimited":
                # A thousand orders must not ask a thousand times; but the limit may be one of these hosts alone.
                pause = min(refusal.retry_after or LONGEST_PAUSE, LONGEST_PAUSE)
                directory = record.directory or self._options.directory
                self._paused_until[directory] = self._services.clock.now() + pause
        except Exception:
            self._fail(order_id, order, AcmeRefusal("internal-error", "an internal error; see the log"))
            raise

    def _go_on(self, attempt: _Attempt) -> None:
        directory = attempt.record.directory or self._options.directory
        if not directory:
            raise AcmeRefusal(
                "acme-directory-missing", "no directory is named: set acme_directory, or `directory`"
            )
        with self.accounts.conversation(directory) as conversation:
            attempt.run(conversation)

    # used by an attempt

    @property
    def services(self) -> Services:
        """The ports."""
        return self._services

    def prover(self) -> tuple[ChallengeKind, Prover]:
        """Return the configured way to show control."""
        kind = self._options.challenge
        return kind, self._provers[kind]

    def wait(self, seconds: float) -> None:
        """Sleep."""
        self._wait(seconds)

    def count_try(self, hosts: tuple[str, ...]) -> None:
        """Count a new order of these hosts; raise `AcmeRefusal` (`acme-too-many-tries`) if there were too many today."""
        now = self._services.clock.now()
        day = f"{now:%Y-%m-%d}"
        with self._services.work.change() as stores:
            most = max(stores.acme.tries(host, day) for host in hosts)
            if most < MOST_TRIES:
                for host in hosts:
                    stores.acme.count_try(host, day)
                return
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        raise AcmeRefusal(
            "acme-too-many-tries",
            f"a host of the order was tried {most} times today; the next try is tomorrow",
            retry_after=midnight - now,
        )

    def store(self, record: AcmeOrderRecord) -> AcmeOrderRecord:
        """Replace the record; raise if another process did it first."""
        with self._services.work.change() as stores:
            if not stores.acme.replace_order(record):
                raise AcmeRefusal("acme-order-moved", "another process works on this order")
        return replace(record, version=record.version + 1)

    def stored_challenges(self, order_id: str) -> dict[str, AcmeChallengeRecord]:
        """Return what earlier tries of an order show, by token."""
        with self._services.work.read() as stores:
            return {one.token: one for one in stores.acme.challenges() if one.order_id == order_id}

    def former(self, order: OrderRecord) -> AcmeOrderRecord | None:
        """Return the newest filled order of the same gateway and purpose."""
        with self._services.work.read() as stores:
            found = _earlier(stores, order)
        return found[-1] if found else None

    def fill(self, record: AcmeOrderRecord, order: OrderRecord, checked: CheckedChain) -> None:
        """Step 6."""
        now = self._services.clock.now()
        leaf = checked.leaf
        filled = replace(
            record,
            url="",
            failures=0,
            next_try_at=None,
            leased_until=None,
            failing_since=None,
            problem_code="",
            problem="",
            chain=checked.pem,
            ends_at=checked.ends_at,
            renew_at=renewal_time(leaf.not_valid_before_utc, checked.ends_at, order.id),
            ask_again_at=now,
        )
        with self._services.work.change() as stores:
            if not stores.orders.fill(order.id, "") or not stores.acme.replace_order(filled):
                raise AcmeRefusal("acme-order-moved", "another process has answered the order")
            for one in _earlier(stores, order):
                if one.order_id != order.id:
                    stores.acme.remove_order(one.order_id)
            stores.acme.remove_challenges(order.id)
            stores.changes.note(ChangeKind.ORDER, order.id, now)
            stores.outbox.add(
                new_event(
                    self._services,
                    EventType.SERVER_CERTIFICATE_OBTAINED,
                    actor=SYSTEM,
                    data={
                        "order": order.id,
                        "gateway": order.gateway_id,
                        "serial": f"{leaf.serial_number:x}",
                        "not_after": checked.ends_at,
                        "differences": checked.differences,
                    },
                    personal={"names": " ".join(order.hosts), "issuer": leaf.issuer.rfc4514_string()},
                )
            )

    def _fail(self, order_id: str, order: OrderRecord, refusal: AcmeRefusal) -> None:
        now = self._services.clock.now()
        with self._services.work.change() as stores:
            record = stores.acme.orders([order_id]).get(order_id)
            if record is None or record.next_try_at is None:
                return
            failures = record.failures + 1
            pause = _PAUSES[min(failures, len(_PAUSES)) - 1]
            if refusal.is_network:
                pause = min(pause, _LONGEST_UNREACHED)
            next_try_at = now + max(pause, refusal.retry_after or timedelta(0))
            failed = replace(
                record,
                url=record.url if refusal.is_network else "",
                failures=failures,
                next_try_at=next_try_at,
                leased_until=None,
                failing_since=record.failing_since or now,
                problem_code=refusal.code,
                problem=refusal.detail[:500],
            )
            stores.acme.replace_order(failed)
            if stores.acme.remove_challenges(order_id):
                stores.changes.note(ChangeKind.ORDER, order_id, now)
            stores.outbox.add(
                new_event(
                    self._services,
                    EventType.SERVER_CERTIFICATE_FAILED,
                    actor=SYSTEM,
                    data={
                        "order": order.id,
                        "gateway": order.gateway_id,
                        "reason": refusal.code,
                        "failures": failures,
                        "next_try_at": next_try_at,
                    },
                    personal={"names": " ".join(order.hosts), "explanation": refusal.detail[:500]},
                )
            )


class _Attempt:
    """One try of one order: steps 3 to 5."""

    def __init__(self, filling: AcmeFilling, record: AcmeOrderRecord, order: OrderRecord) -> None:
        self._filling = filling
        self._order = order
        self._shown: dict[str, AcmeChallengeRecord] = {}
        self.record = record

    def run(self, conversation: Conversation) -> None:
        """Do everything that is possible now."""
        self._until = self._filling.services.clock.monotonic() + PATIENCE_SECONDS
        _, prover = self._filling.prover()
        self._shown = self._filling.stored_challenges(self._order.id)
        try:
            placed = self._placed(conversation)
            if placed.status is AcmeStatus.PENDING:
                placed = self._show_control(conversation, placed)
            if placed.status is AcmeStatus.READY:
                placed = conversation.finalize(placed.finalize, self._order.csr)
            placed = self._await(conversation, placed, AcmeStatus.READY, AcmeStatus.PROCESSING)
            if placed.status is not AcmeStatus.VALID or not placed.certificate:
                if placed.status is AcmeStatus.PENDING:
                    self._shown = {}  # the server has not looked yet: nothing is withdrawn
                self._later(conversation)
                return
            chain = conversation.download(placed.certificate)
        finally:
            for one in self._shown.values():
                prover.withdraw(one)
        former = self._filling.former(self._order)
        checked = check_chain(
            chain,
            csr=self._order.csr,
            hosts=self._order.hosts,
            now=self._filling.services.clock.now(),
            former=former.chain if former else b"",
        )
        self._filling.fill(self.record, self._order, checked)

    def _placed(self, conversation: Conversation) -> AcmeOrder:
        """Step 3."""
        if self.record.url:
            try:
                found = conversation.order(self.record.url)
            except AcmeRefusal as refusal:
                if refusal.is_network:
                    raise
                found = None
            if found is not None and found.status is not AcmeStatus.INVALID:
                return found
        self._filling.count_try(self._order.hosts)
        url, placed = conversation.place_order(self._order.hosts, self._replaced())
        self.record = self._filling.store(replace(self.record, url=url))
        return placed

    def _replaced(self) -> str:
        former = self._filling.former(self._order)
        if former is None or former.directory != self.record.directory:
            return ""
        return renewal_id(x509.load_pem_x509_certificate(former.chain))

    def _show_control(self, conversation: Conversation, placed: AcmeOrder) -> AcmeOrder:
        """Step 4: answer one challenge of each authorization that is pending, then wait for the order."""
        answered = []
        for url in placed.authorizations:
            authorization = conversation.authorization(url)
            if authorization.status is AcmeStatus.VALID:
                continue
            challenge = self._choose(authorization)
            self._show(conversation, authorization, challenge)
            answered.append(url)
            if challenge.status is AcmeStatus.PENDING:
                conversation.answer_challenge(challenge.url)
        placed = self._await(conversation, placed, AcmeStatus.PENDING)
        if placed.status is AcmeStatus.INVALID:
            raise self._why(conversation, placed, answered)
        return placed

    def _choose(self, authorization: AcmeAuthorization) -> AcmeChallenge:
        kind, _ = self._filling.prover()
        if authorization.host not in self._order.hosts:
            raise MalformedInput(
                "acme-answer-malformed", "an authorization is for a host that was not ordered"
            )
        found = next((one for one in authorization.challenges if one.kind is kind), None)
        if authorization.status is not AcmeStatus.PENDING or found is None:
            offered = ", ".join(one.kind.value for one in authorization.challenges) or "none"
            raise AcmeRefusal(
                "acme-challenge-failed",
                f"the server does not take {kind.value} for {authorization.host}; it offers: {offered}",
            )
        return found

    def _show(
        self, conversation: Conversation, authorization: AcmeAuthorization, challenge: AcmeChallenge
    ) -> None:
        services = self._filling.services
        _, prover = self._filling.prover()
        shown = AcmeChallengeRecord(
            token=challenge.token,
            tenant=TENANT,
            order_id=self._order.id,
            host=authorization.host,
            kind=challenge.kind.value,
            authorization=key_authorization(challenge.token, self._filling.accounts.key_of(conversation)),
            ends_at=services.clock.now() + LEASE,
        )
        with services.work.change() as stores:
            stores.acme.save_challenge(shown)
            stores.changes.note(ChangeKind.ORDER, self._order.id, services.clock.now())
        self._shown[shown.token] = shown
        prover.present(shown)

    def _await(self, conversation: Conversation, placed: AcmeOrder, *passing: AcmeStatus) -> AcmeOrder:
        """Ask again while the order has a passing state, as long as patience lasts."""
        pause = FIRST_WAIT_SECONDS
        while placed.status in passing:
            seconds = max(pause, min(conversation.wait_seconds, PATIENCE_SECONDS))
            if self._filling.services.clock.monotonic() + seconds > self._until:
                break
            self._filling.wait(seconds)
            pause = min(2 * pause, LONGEST_WAIT_SECONDS)
            placed = conversation.order(self.record.url)
        if placed.status is AcmeStatus.INVALID and AcmeStatus.PENDING not in passing:
            raise AcmeRefusal(
                "acme-refused", f"the server refused the order: {placed.problem or 'without words'}"
            )
        return placed

    def _why(self, conversation: Conversation, placed: AcmeOrder, answered: list[str]) -> AcmeRefusal:
        """Return the server's words about the challenge that failed."""
        for url in answered:
            for one in conversation.authorization(url).challenges:
                if one.problem is not None:
                    return AcmeRefusal("acme-challenge-failed", f"{one.kind.value} failed: {one.problem}")
        return AcmeRefusal(
            "acme-challenge-failed", f"the server refused the order: {placed.problem or 'without words'}"
        )

    def _later(self, conversation: Conversation) -> None:
        """Go on when the server says so, without counting a failure."""
        wait = max(conversation.wait_seconds, LONGEST_WAIT_SECONDS)
        next_try_at = self._filling.services.clock.now() + timedelta(seconds=wait)
        self.record = self._filling.store(replace(self.record, next_try_at=next_try_at, leased_until=None))


def _is_leased(record: AcmeOrderRecord, now: datetime) -> bool:
    return record.leased_until is not None and record.leased_until > now


def _earlier(stores: Stores, order: OrderRecord) -> list[AcmeOrderRecord]:
    """Return the filled orders of the same gateway and purpose, oldest first."""
    found = []
    for one in stores.acme.every_order():
        other = stores.orders.get(one.order_id) if one.chain else None
        if other is not None and (other.gateway_id, other.purpose) == (order.gateway_id, order.purpose):
            found.append(one)
    return found
