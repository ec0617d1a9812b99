"""The fakes of the stores of second factors and sessions."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from doorward.core.errors import IntegrityError, RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.stores.factor_protocols import MAX_STEP_UPS
from doorward.stores.factor_records import (
    EnrolmentTicket,
    FactorRecord,
    SessionCodeRecord,
    SessionKeyRecord,
    SessionRecord,
    StepUpRecord,
    ThrottleRecord,
)
from doorward.stores.holder_notes import HolderNote
from tests.support.memory_inventory import State, Store
from tests.support.ports import NOON

_Record = TypeVar("_Record")
_UNIX = NOON - timedelta(seconds=NOON.timestamp())


def _drop(kept: dict[str, _Record], condition: Callable[[_Record], bool]) -> int:
    """Remove the matching entries; return how many."""
    gone = [key for key, one in kept.items() if condition(one)]
    for key in gone:
        del kept[key]
    return len(gone)


def _of_partner(state: State, principal_id: str, partner_id: str) -> bool:
    principal = state.principals.get(principal_id)
    return principal is not None and principal.partner == partner_id


class MemoryFactors(Store):
    """The fake of `FactorStore`."""

    def add(self, factor: FactorRecord) -> None:
        kept = self.writable(factor.tenant).factors
        if factor.id in kept or self.by_credential(factor.credential_id) is not None:
            raise RequestRefused("factor-duplicate", "this passkey is enrolled already")
        kept[factor.id] = factor

    def get(self, factor_id: str) -> FactorRecord | None:
        return self.state.factors.get(factor_id)

    def of_principal(self, principal_id: str) -> list[FactorRecord]:
        found = [one for one in self.state.factors.values() if one.principal_id == principal_id]
        return sorted(found, key=lambda one: (one.created_at, one.id))

    def by_credential(self, credential_id: str) -> FactorRecord | None:
        every = self.state.factors.values()
        return next((one for one in every if credential_id and one.credential_id == credential_id), None)

    def count_foreign(self, rp_id: str) -> int:
        return sum(one.rp_id not in {"", rp_id} for one in self.state.factors.values())

    def use(self, factor_id: str, *, expected: int, counter: int, at: datetime) -> bool:
        kept = self.writable().factors.get(factor_id)
        if kept is None or kept.counter != expected:
            return False
        self.state.factors[factor_id] = replace(kept, counter=counter, last_used_at=at)
        return True

    def rename(self, factor_id: str, name: str) -> bool:
        kept = self.writable().factors.get(factor_id)
        if kept is None:
            return False
        self.state.factors[factor_id] = replace(kept, name=name)
        return True

    def remove(self, factor_id: str) -> bool:
        return self.writable().factors.pop(factor_id, None) is not None

    def remove_all(self, principal_id: str) -> int:
        return _drop(self.writable().factors, lambda one: one.principal_id == principal_id)

    def remove_partner(self, partner_id: str) -> int:
        state = self.writable()
        return _drop(state.factors, lambda one: _of_partner(state, one.principal_id, partner_id))


class MemoryEnrolmentTickets(Store):
    """The fake of `EnrolmentTicketStore`."""

    def add(self, ticket: EnrolmentTicket) -> None:
        kept = self.writable(ticket.tenant).enrolment_tickets
        if ticket.id in kept or self.by_token(ticket.token_sha256) is not None:
            raise IntegrityError("enrolment-right-duplicate", "this token was handed out before")
        kept[ticket.id] = ticket

    def open_for(self, principal_id: str, now: datetime) -> list[EnrolmentTicket]:
        found = [one for one in self._open(now) if one.principal_id == principal_id]
        return sorted(found, key=lambda one: (one.created_at, one.id))

    def by_token(self, token_sha256: str) -> EnrolmentTicket | None:
        every = self.state.enrolment_tickets.values()
        return next((one for one in every if token_sha256 and one.token_sha256 == token_sha256), None)

    def use(self, ticket_id: str, at: datetime) -> bool:
        kept = self.writable().enrolment_tickets.get(ticket_id)
        if kept not in self._open(at):
            return False
        self.state.enrolment_tickets[ticket_id] = replace(kept, used_at=at)
        return True

    def void_all(self, principal_id: str, at: datetime) -> int:
        return self._void([one for one in self._open(at) if one.principal_id == principal_id], at)

    def void_partner(self, partner_id: str, at: datetime) -> int:
        state = self.state
        return self._void(
            [one for one in self._open(at) if _of_partner(state, one.principal_id, partner_id)], at
        )

    def void_every(self, at: datetime) -> int:
        return self._void(self._open(at), at)

    def prune(self, before: datetime) -> int:
        return _drop(self.writable().enrolment_tickets, lambda one: one.expires_at < before)

    def _open(self, at: datetime) -> list[EnrolmentTicket]:
        every = self.state.enrolment_tickets.values()
        return [one for one in every if one.used_at is None and one.expires_at > at]

    def _void(self, tickets: list[EnrolmentTicket], at: datetime) -> int:
        kept = self.writable().enrolment_tickets
        kept.update({one.id: replace(one, expires_at=at) for one in tickets})
        return len(tickets)


class MemorySessions(Store):
    """The fake of `SessionStore`."""

    def add(self, session: SessionRecord) -> None:
        kept = self.writable(session.tenant).sessions
        if session.id in kept or self.by_token(session.token_sha256) is not None:
            raise IntegrityError("session-duplicate", "this session was opened before")
        kept[session.id] = session

    def get(self, session_id: str) -> SessionRecord | None:
        return self.state.sessions.get(session_id)

    def by_token(self, token_sha256: str) -> SessionRecord | None:
        every = self.state.sessions.values()
        return next((one for one in every if token_sha256 and one.token_sha256 == token_sha256), None)

    def open_at(self, now: datetime, principal_id: str | None = None) -> list[SessionRecord]:
        found = [
            one
            for one in self.state.sessions.values()
            if one.ended_at is None and one.ends_at > now and principal_id in (None, one.principal_id)
        ]
        return sorted(found, key=lambda one: (one.created_at, one.id))

    def begun_since(self, principal_id: str, since: datetime, *, most: int) -> list[SessionRecord]:
        every = self.state.sessions.values()
        found = [one for one in every if one.principal_id == principal_id and one.created_at >= since]
        return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)[:most]

    def touch(self, session_id: str, *, seen_at: datetime, factors: Mapping[FactorKind, datetime]) -> bool:
        kept = self.writable().sessions.get(session_id)
        if kept is None or kept.ended_at is not None:
            return False
        self.state.sessions[session_id] = replace(kept, seen_at=seen_at, factors=dict(factors))
        return True

    def end(self, session_id: str, at: datetime) -> bool:
        return self._end(at, lambda one: one.id == session_id) == 1

    def end_all(self, principal_id: str, at: datetime, application_id: str | None = None) -> int:
        return self._end(
            at,
            lambda one: one.principal_id == principal_id and application_id in (None, one.application_id),
        )

    def end_certificate(self, certificate_id: str, at: datetime) -> int:
        return self._end(at, lambda one: one.certificate_id == certificate_id)

    def end_partner(self, partner_id: str, at: datetime) -> int:
        return self._end(at, lambda one: _of_partner(self.state, one.principal_id, partner_id))

    def end_every(self, at: datetime) -> int:
        return self._end(at, lambda _: True)

    def latest_end(self, certificate_id: str, application_id: str, now: datetime) -> datetime | None:
        wanted = (certificate_id, application_id)
        found = [one for one in self.open_at(now) if (one.certificate_id, one.application_id) == wanted]
        return max((one.ends_at for one in found), default=None)

    def prune(self, before: datetime) -> int:
        return _drop(self.writable().sessions, lambda one: one.ends_at < before)

    def _end(self, at: datetime, condition: Callable[[SessionRecord], bool]) -> int:
        kept = self.writable().sessions
        ended = {one.id: replace(one, ended_at=at) for one in self.open_at(at) if condition(one)}
        kept.update(ended)
        return len(ended)


class MemoryStepUps(Store):
    """The fake of `StepUpStore`."""

    def add(self, step_up: StepUpRecord) -> None:
        kept = self.writable(step_up.tenant).step_ups
        kept[step_up.id] = step_up
        same = [one for one in kept.values() if one.certificate_sha256 == step_up.certificate_sha256]
        for old in sorted(same, key=lambda one: (one.created_at, one.id))[:-MAX_STEP_UPS]:
            del kept[old.id]

    def get(self, step_up_id: str) -> StepUpRecord | None:
        return self.state.step_ups.get(step_up_id)

    def remove(self, step_up_id: str) -> bool:
        return self.writable().step_ups.pop(step_up_id, None) is not None

    def remove_all(self, principal_id: str) -> int:
        return _drop(self.writable().step_ups, lambda one: one.principal_id == principal_id)

    def prune(self, before: datetime) -> int:
        return _drop(self.writable().step_ups, lambda one: one.expires_at < before)


class MemorySessionCodes(Store):
    """The fake of `SessionCodeStore`."""

    def add(self, code: SessionCodeRecord) -> None:
        kept = self.writable(code.tenant).session_codes
        if code.code_sha256 in kept:
            raise IntegrityError("session-code-duplicate", "this code was handed out before")
        kept[code.code_sha256] = code

    def take(self, code_sha256: str) -> SessionCodeRecord | None:
        return self.writable().session_codes.pop(code_sha256, None)

    def remove_all(self, principal_id: str) -> int:
        return _drop(self.writable().session_codes, lambda one: one.principal_id == principal_id)

    def prune(self, before: datetime) -> int:
        return _drop(self.writable().session_codes, lambda one: one.expires_at < before)


class MemoryEpochs(Store):
    """The fake of `EpochStore`."""

    def of(self, principal_id: str, application_id: str) -> str:
        kept = self.state.epochs
        keys = ("", ""), (principal_id, ""), (principal_id, application_id)
        return ".".join(str(kept.get(key, 0)) for key in keys)

    def raise_for(self, principal_id: str = "", application_id: str = "") -> None:
        if application_id and not principal_id:
            raise ValueError("the epoch of an application is kept for each principal")
        kept = self.writable().epochs
        kept[principal_id, application_id] = kept.get((principal_id, application_id), 0) + 1

    def raise_all(self, at: datetime) -> None:
        kept = self.writable().epochs
        least = (at - _UNIX) // timedelta(microseconds=1)
        kept["", ""] = max(kept.get(("", ""), 0) + 1, least)


class MemoryThrottles(Store):
    """The fake of `ThrottleStore`."""

    def get(self, keys: Collection[str]) -> dict[str, ThrottleRecord]:
        kept = self.state.throttles
        return {key: kept[key] for key in keys if key in kept}

    def save(self, throttle: ThrottleRecord) -> None:
        self.writable(throttle.tenant).throttles[throttle.key] = throttle

    def forget(self, key: str) -> None:
        self.writable().throttles.pop(key, None)

    def prune(self, before: datetime) -> int:
        return _drop(
            self.writable().throttles,
            lambda one: one.last_at < before and (one.blocked_until is None or one.blocked_until < before),
        )


class MemorySessionKeys(Store):
    """The fake of `SessionKeyStore`."""

    def list(self) -> builtins.list[SessionKeyRecord]:
        every = self.state.session_keys.values()
        return sorted(every, key=lambda one: (one.created_at, one.id), reverse=True)

    def add(self, key: SessionKeyRecord) -> None:
        kept = self.writable(key.tenant).session_keys
        if key.id in kept:
            raise IntegrityError("session-key-duplicate", "a session key with this id is there already")
        kept[key.id] = key

    def retire(self, key_id: str, at: datetime) -> bool:
        kept = self.writable().session_keys.get(key_id)
        if kept is None or kept.retired_at is not None:
            return False
        self.state.session_keys[key_id] = replace(kept, retired_at=at)
        return True

    def remove(self, key_id: str) -> bool:
        return self.writable().session_keys.pop(key_id, None) is not None


class MemoryHolderNotes(Store):
    """The fake of `HolderNoteStore`."""

    def of(self, certificate_ids: Collection[str]) -> dict[str, HolderNote]:
        return {one: note for one in certificate_ids if (note := self.state.holder_notes.get(one))}

    def save(self, note: HolderNote) -> None:
        self.writable(note.tenant).holder_notes[note.certificate_id] = note
