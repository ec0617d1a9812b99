"""Judging within a round: certificates of our own inventory that are not known yet, or no longer.

Judging them in the round costs less than handing each to a thread: they share the transaction, the commit and the answer. But
everything else that comes in this turn waits meanwhile. So only what takes a few look-ups is judged here:
1. `pick` chooses calls by one look-up each: certificates of the inventory that an authority of ours issued and that are valid,
   at an application with admissions that may be repeated. A stranger's certificate, a partner's or a refused one never gets further;
2. `judge` judges them by the same code as a single judgement, on the transaction in which the round read the change sequence. It
   does so for `MOST_SECONDS` of processor time in a round, and only if the policy is loaded already;
3. only an admission that may be repeated is the result. A refusal, and whatever fails, is judged again by the threads, which
   record the reasons.

Not here: the steps of a round (rounds), the judgement itself (`access.deciding`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence

import structlog

from doorward.access.deciding import AccessDecider, PolicyBasis
from doorward.access.known_admissions import is_repeatable_policy
from doorward.core.entities import Outcome
from doorward.core.errors import DoorwardError
from doorward.core.names import PORTAL_APPLICATION
from doorward.enforcement.envoy.names import AuthorizerMetadata
from doorward.gateway.authorizer.calls import Call
from doorward.gateway.authorizer.facts import FactsBuilder
from doorward.gateway.authorizer.gate import PolicyGate
from doorward.gateway.authorizer.judging import decode_certificate
from doorward.gateway.authorizer.templates import AdmissionTemplate, build_template
from doorward.gateway.connections.connection import LiveConnection, PendingConnection
from doorward.stores.protocols import Stores

MOST_LOOKED_UP = 64
"""Calls of one turn that are looked up in the inventory, 25 µs each; so a flood of strangers' certificates delays a turn by 2 ms."""
LONGEST = 4_096
"""Of a certificate that is looked up, as Envoy sends it: twice what one with a 2048-bit RSA key has. Decoding costs 10 µs for each KiB."""
MOST_SECONDS = 0.01
"""Processor time for the judgements of one round, about 30 of them. Known certificates of the same turn wait that much longer."""

_APPLICATION = AuthorizerMetadata.APPLICATION.value

_log = structlog.get_logger("doorward.authorizer")


class OwnJudge:
    """Judges for rounds; for the one thread of the server's loop.

    Args:
        decider: judges.
        gate: the policies that Envoy enforces.
        facts: builds the facts for Envoy.
        thread_time: processor seconds of this thread.
    """

    def __init__(
        self,
        decider: AccessDecider,
        gate: PolicyGate,
        facts: FactsBuilder,
        *,
        thread_time: Callable[[], float] = time.thread_time,
    ) -> None:
        self._decider = decider
        self._gate = gate
        self._facts = facts
        self._thread_time = thread_time

    def pick(self, calls: Sequence[Call]) -> dict[int, bytes]:
        """Return the certificates that a round may judge, in DER, by the place of their call; of many calls the newest.

        It never raises: a call that is not picked goes to the threads.

        Args:
            calls: with certificates that are not known, the newest last.
        """
        try:
            found: dict[int, bytes] = {}
            newest = range(len(calls) - 1, -1, -1)
            repeatable: dict[str, bool] = {}
            for place in newest[:MOST_LOOKED_UP]:
                call = calls[place]
                application_id = call.metadata.get(_APPLICATION, "")
                if application_id not in repeatable:
                    repeatable[application_id] = self._is_repeatable(application_id)
                if repeatable[application_id] and len(call.certificate) <= LONGEST:
                    presented = decode_certificate(call.certificate)
                    if presented:
                        found[place] = presented
            if not found:
                return {}
            own = self._decider.are_own([hashlib.sha256(one).hexdigest() for one in found.values()])
            return {place: der for (place, der), is_own in zip(found.items(), own, strict=True) if is_own}
        except DoorwardError:  # the threads meet it too, and refuse with its reason
            return {}
        except Exception:  # noqa: BLE001  a fault here must refuse no connection
            _log.exception("certificates cannot be looked up together; each is judged alone")
            return {}

    def begin(self, stores: Stores) -> RoundJudgements | None:
        """Return the judgements of one round, in its transaction; None if the policy is not loaded yet.

        Raises:
            Unavailable: the database cannot be read.
        """
        basis = self._decider.prepared(stores)
        if basis is None:
            return None
        return RoundJudgements(self._decider, self._facts, stores, basis, self._thread_time)

    def _is_repeatable(self, application_id: str) -> bool:
        policy = self._gate.enforced(application_id)
        return policy is not None and application_id != PORTAL_APPLICATION and is_repeatable_policy(policy)


class RoundJudgements:
    """The judgements of one round; as long as its transaction is open."""

    def __init__(
        self,
        decider: AccessDecider,
        facts: FactsBuilder,
        stores: Stores,
        basis: PolicyBasis,
        thread_time: Callable[[], float],
    ) -> None:
        self._decider = decider
        self._facts = facts
        self._stores = stores
        self._basis = basis
        self._thread_time = thread_time
        self._until = thread_time() + MOST_SECONDS

    def judge(self, pending: PendingConnection, presented: bytes) -> AdmissionTemplate | None:
        """Judge a connection that is registered as pending.

        Args:
            pending: the connection.
            presented: its certificate, which was picked, in DER.

        Returns:
            The admission; None if the threads must judge it.
        """
        if self._thread_time() >= self._until:
            return None
        try:
            decision = self._decider.decide_own(self._stores, self._basis, pending, presented)
            if decision is None or decision.verdict.outcome is not Outcome.GOOD:
                return None
            live = LiveConnection.admitted(pending, decision)
            return build_template(live, decision, self._facts.build(live, decision, ()))
        except DoorwardError:  # as in `pick`
            return None
        except Exception:  # noqa: BLE001  as in `pick`
            _log.exception("a certificate cannot be judged in a round; it is judged alone")
            return None
