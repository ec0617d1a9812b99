"""One try of one order at an ACME server: place it, show control of its hosts, send the request, check what comes.

    3. the order at the server: the open one, or a new one
    4. show control of each host
    5. send the gateway's request; download and check the chain
The requests of one try have one deadline together, so that a slow server holds up the others for that time at most.

Not here: taking the order and what a failure leaves (filling, outcomes), the conversation.
Standard: RFC 8555 section 7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509

from doorward.authority.acme.accounts import OpenConversation
from doorward.authority.acme.checks import CheckedChain, check_chain
from doorward.authority.acme.eligibility import count_try
from doorward.authority.acme.leases import LEASE, RELEASED, Lease
from doorward.authority.acme.outcomes import earlier_orders
from doorward.authority.acme.ports import AcmeRefusal, Prover
from doorward.core.entities import TENANT
from doorward.core.errors import MalformedInput
from doorward.stores.acme_protocols import AcmeChallengeRecord, AcmeOrderRecord
from doorward.stores.records import ChangeKind, OrderRecord
from doorward.stores.services import Services
from doorward.wire.acme import AcmeAuthorization, AcmeChallenge, AcmeOrder, AcmeStatus, ChallengeKind
from doorward.wire.acme_jws import key_authorization, renewal_id

PATIENCE_SECONDS = 60.0
"""How long one try waits for the server's decisions before it goes on with other orders."""

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.25, 5.0

Wait = Callable[[float], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a try works with.

    Args:
        services: the ports.
        kind: how control of a host is shown.
        prover: shows it.
        wait: sleeps so many seconds, or returns early at a stop.
    """

    services: Services
    kind: ChallengeKind
    prover: Prover
    wait: Wait


class Attempt:
    """One try of one order.

    Args:
        means: what it works with.
        opened: the conversation with the server.
        lease: of the order.
        order: the gateway's order.
    """

    def __init__(self, means: Means, opened: OpenConversation, lease: Lease, order: OrderRecord) -> None:
        self._means = means
        self._services = means.services
        self._opened = opened
        self._conversation = opened.conversation
        self._lease = lease
        self._order = order
        self._until = self._services.clock.monotonic() + PATIENCE_SECONDS
        self._shown: dict[str, AcmeChallengeRecord] = {}

    def run(self) -> CheckedChain | None:
        """Do everything that is possible now; return the chain, or None if the server needs more time.

        Raises:
            AcmeRefusal: the server or a check refused; `acme-order-moved`.
            MalformedInput: the server's answer cannot be used.
        """
        self._shown = self._stored_challenges()
        try:
            chain = self._chain()
        finally:
            # If another process has the order, it shows the same, and withdraws it.
            if not self._lease.is_taken_over():
                for one in self._shown.values():
                    self._means.prover.withdraw(one)
        if chain is None:
            return None
        former = self._former()
        return check_chain(
            chain,
            csr=self._order.csr,
            hosts=self._order.hosts,
            now=self._services.clock.now(),
            former=former.chain if former else b"",
        )

    def _chain(self) -> tuple[bytes, ...] | None:
        conversation = self._conversation
        placed = self._placed()
        if placed.status is AcmeStatus.PENDING:
            placed = self._show_control(placed)
        if placed.status is AcmeStatus.READY:
            placed = conversation.finalize(placed.finalize, self._order.csr)
        placed = self._await(placed, AcmeStatus.READY, AcmeStatus.PROCESSING)
        if placed.status is AcmeStatus.VALID and placed.certificate:
            return conversation.download(placed.certificate)
        if placed.status is AcmeStatus.PENDING:
            self._shown = {}  # the server has not looked yet: nothing is withdrawn
        self._later()
        return None

    def _stored_challenges(self) -> dict[str, AcmeChallengeRecord]:
        """Return what earlier tries of the order show, by token."""
        with self._services.work.read() as stores:
            return {one.token: one for one in stores.acme.challenges() if one.order_id == self._order.id}

    def _former(self) -> AcmeOrderRecord | None:
        """Return the newest filled order of the same gateway and purpose."""
        with self._services.work.read() as stores:
            found = earlier_orders(stores, self._order)
        return found[-1] if found else None

    def _placed(self) -> AcmeOrder:
        """Step 3."""
        if self._lease.record.url:
            try:
                found = self._conversation.order(self._lease.record.url)
            except AcmeRefusal as refusal:
                if refusal.is_network:
                    raise
                found = None
            if found is not None and found.status is not AcmeStatus.INVALID:
                return found
        with self._lease.writing() as stores:
            count_try(self._services, stores, self._order)
        url, placed = self._conversation.place_order(self._order.hosts, self._replaced())
        with self._lease.writing(url=url):
            return placed

    def _replaced(self) -> str:
        former = self._former()
        if former is None or former.directory != self._lease.record.directory:
            return ""
        return renewal_id(x509.load_pem_x509_certificate(former.chain))

    def _show_control(self, placed: AcmeOrder) -> AcmeOrder:
        """Step 4: answer one challenge of each authorization that is pending, then wait for the order."""
        answered = []
        for url in placed.authorizations:
            authorization = self._conversation.authorization(url)
            if authorization.status is AcmeStatus.VALID:
                continue
            challenge = self._choose(authorization)
            self._show(authorization, challenge)
            answered.append(url)
            if challenge.status is AcmeStatus.PENDING:
                self._conversation.answer_challenge(challenge.url)
        placed = self._await(placed, AcmeStatus.PENDING)
        if placed.status is AcmeStatus.INVALID:
            raise self._why(placed, answered)
        return placed

    def _choose(self, authorization: AcmeAuthorization) -> AcmeChallenge:
        kind = self._means.kind
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

    def _show(self, authorization: AcmeAuthorization, challenge: AcmeChallenge) -> None:
        clock = self._services.clock
        shown = AcmeChallengeRecord(
            token=challenge.token,
            tenant=TENANT,
            order_id=self._order.id,
            host=authorization.host,
            kind=challenge.kind.value,
            authorization=key_authorization(challenge.token, self._opened.key),
            ends_at=clock.now() + LEASE,
        )
        with self._lease.writing() as stores:
            stores.acme.save_challenge(shown)
            stores.changes.note(ChangeKind.ORDER, self._order.id, clock.now())
        self._shown[shown.token] = shown
        began = clock.monotonic()
        self._means.prover.present(shown)
        took = clock.monotonic() - began  # of the gateways, or of the operator's program: not the server's
        self._until += took
        self._conversation.allow(took)

    def _await(self, placed: AcmeOrder, *passing: AcmeStatus) -> AcmeOrder:
        """Ask again while the order has a passing state, as long as patience lasts."""
        pause = FIRST_WAIT_SECONDS
        while placed.status in passing:
            seconds = max(pause, min(self._conversation.wait_seconds, PATIENCE_SECONDS))
            if self._services.clock.monotonic() + seconds > self._until:
                break
            self._means.wait(seconds)
            pause = min(2 * pause, LONGEST_WAIT_SECONDS)
            placed = self._conversation.order(self._lease.record.url)
        if placed.status is AcmeStatus.INVALID and AcmeStatus.PENDING not in passing:
            raise AcmeRefusal(
                "acme-refused", f"the server refused the order: {placed.problem or 'without words'}"
            )
        return placed

    def _why(self, placed: AcmeOrder, answered: list[str]) -> AcmeRefusal:
        """Return the server's words about the challenge that failed."""
        for url in answered:
            for one in self._conversation.authorization(url).challenges:
                if one.problem is not None:
                    return AcmeRefusal("acme-challenge-failed", f"{one.kind.value} failed: {one.problem}")
        return AcmeRefusal(
            "acme-challenge-failed", f"the server refused the order: {placed.problem or 'without words'}"
        )

    def _later(self) -> None:
        """Go on when the server says so, without counting a failure."""
        wait = max(self._conversation.wait_seconds, LONGEST_WAIT_SECONDS)
        next_try_at = self._services.clock.now() + timedelta(seconds=wait)
        with self._lease.writing(next_try_at=next_try_at, **RELEASED):
            pass
