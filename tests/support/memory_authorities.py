"""Fakes of the stores of our own authorities and of rollovers; `memory_store` puts them together."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import NotFound, RequestRefused
from doorward.stores.authority_protocols import (
    FINAL_STATES,
    CertificateLine,
    RolloverRecord,
)
from doorward.stores.records import AuthorityKind, AuthorityRecord
from tests.support.memory_inventory import Store


class MemoryAuthorities(Store):
    """The fake of `AuthorityStore`."""

    def add(self, authority: AuthorityRecord) -> None:
        kept = self.writable(authority.tenant).authorities
        if authority.current:
            self._replace_current(authority)
        kept[authority.id] = authority

    def get(self, authority_id: str) -> AuthorityRecord | None:
        return self.state.authorities.get(authority_id)

    def current(self, kind: AuthorityKind) -> AuthorityRecord | None:
        if kind is AuthorityKind.OCSP_RESPONDER:
            issuing = self.current(AuthorityKind.ISSUING)
            return self.responder(issuing.id) if issuing is not None else None
        return next((a for a in self.state.authorities.values() if a.kind is kind and a.current), None)

    def responder(self, issuing_id: str) -> AuthorityRecord | None:
        kind, every = AuthorityKind.OCSP_RESPONDER, self.state.authorities.values()
        return next((a for a in every if a.kind is kind and a.current and a.issuer_id == issuing_id), None)

    def make_current(self, authority_id: str) -> None:
        kept = self.writable().authorities
        self._replace_current(self._required(authority_id))
        kept[authority_id] = replace(kept[authority_id], current=True)

    def retire(self, authority_id: str, at: datetime, reason: RevocationReason) -> None:
        found = self._required(authority_id)
        self.writable().authorities[authority_id] = replace(found, retired_at=at, retired_reason=reason)

    def list(self) -> list[AuthorityRecord]:
        return sorted(self.state.authorities.values(), key=lambda a: (a.created_at, a.id), reverse=True)

    def unended(self, now: datetime, after_id: str, limit: int) -> list[CertificateLine]:
        found = sorted(
            (
                one
                for one in self.state.certificates.values()
                if one.id > after_id and one.not_after > now and one.state is not CertificateState.INTENDED
            ),
            key=lambda one: one.id,
        )
        return [
            CertificateLine(**{name: getattr(one, name) for name in CertificateLine.__slots__})
            for one in found[:limit]
        ]

    def _required(self, authority_id: str) -> AuthorityRecord:
        found = self.get(authority_id)
        if found is None:
            raise NotFound("authority-unknown", f"there is no authority certificate {authority_id} here")
        return found

    def _replace_current(self, authority: AuthorityRecord) -> None:
        alone = authority.kind is not AuthorityKind.OCSP_RESPONDER
        for other in list(self.state.authorities.values()):
            if other.kind is authority.kind and (alone or other.issuer_id == authority.issuer_id):
                self.state.authorities[other.id] = replace(other, current=False)


class MemoryRollovers(Store):
    """The fake of `RolloverStore`."""

    def open(self) -> RolloverRecord | None:
        return next((one for one in self.state.rollovers.values() if one.state not in FINAL_STATES), None)

    def list(self) -> list[RolloverRecord]:
        return sorted(self.state.rollovers.values(), key=lambda one: (one.began_at, one.id), reverse=True)

    def add(self, rollover: RolloverRecord) -> None:
        kept = self.writable(rollover.tenant).rollovers
        if self.open() is not None:
            raise RequestRefused("rollover-open", "a rollover of the authority is going on already")
        kept[rollover.id] = rollover

    def move(self, rollover: RolloverRecord, before: RolloverRecord) -> bool:
        kept = self.writable(rollover.tenant).rollovers
        found = kept.get(rollover.id)
        if found is None or (found.state, found.seq) != (before.state, before.seq):
            return False
        kept[rollover.id] = rollover
        return True
