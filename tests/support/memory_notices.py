"""The fakes of the stores of ends, mail addresses and notices."""

from __future__ import annotations

import builtins
from dataclasses import replace
from datetime import datetime

from doorward.core.certificate import CertificateState
from doorward.core.entities import PrincipalState
from doorward.core.errors import NotFound
from doorward.stores.notice_protocols import Notice, NoticeOutcome
from doorward.stores.records import CertificateRecord
from tests.support.memory_facts import MemoryFactStores
from tests.support.memory_inventory import State, Store


class MemoryEndings(Store):
    """The fake of `EndingStore`."""

    def list(
        self, since: datetime, until: datetime, *, every: bool = False, after: str = "", limit: int = 100
    ) -> builtins.list[CertificateRecord]:
        kept = self.state.certificates
        if after and after not in kept:
            raise NotFound("certificate-unknown", "the list cannot continue")
        begin = (kept[after].not_after, after) if after else None
        found = [
            one
            for one in kept.values()
            if since < one.not_after <= until
            and one.state is CertificateState.VALID
            and self._is_ours(one)
            and (every or self.is_current(one.id))
            and (begin is None or (one.not_after, one.id) > begin)
        ]
        return sorted(found, key=lambda one: (one.not_after, one.id))[:limit]

    def _is_ours(self, one: CertificateRecord) -> bool:
        holder = self.state.principals.get(one.principal_id)
        return holder is not None and not holder.partner

    def count(self, since: datetime, until: datetime) -> int:
        return len(self.list(since, until, limit=1_000_000))

    def is_current(self, certificate_id: str) -> bool:
        one = self.state.certificates.get(certificate_id)
        if one is None or one.state is not CertificateState.VALID:
            return False
        holder = self.state.principals.get(one.principal_id)
        renewed = any(
            c.replaces == certificate_id and c.state is not CertificateState.INTENDED
            for c in self.state.certificates.values()
        )
        ours = self._is_ours(one)
        return ours and holder is not None and holder.state is PrincipalState.ACTIVE and not renewed


class MemoryMailAddresses(Store):
    """The fake of `MailAddressStore`."""

    def get(self, principal_id: str) -> str:
        return self.state.mail_addresses.get(principal_id, "")

    def set(self, principal_id: str, address: str) -> bool:
        kept = self.writable().mail_addresses
        before = kept.pop(principal_id, "")
        if address:
            kept[principal_id] = address
        return before != address


class MemoryNotices(Store):
    """The fake of `NoticeStore`."""

    def has(self, mark: str) -> bool:
        return any(one.mark == mark for one in self.state.notices.values())

    def add(self, notice: Notice) -> bool:
        kept = self.writable(notice.tenant).notices
        if self.has(notice.mark):
            return False
        kept[notice.id] = notice
        return True

    def due(self, now: datetime, limit: int) -> builtins.list[Notice]:
        found = [one for one in self._waiting() if one.try_at <= now]
        return sorted(found, key=lambda one: (one.try_at, one.id))[:limit]

    def _waiting(self) -> builtins.list[Notice]:
        return [one for one in self.state.notices.values() if one.outcome is NoticeOutcome.WAITING]

    def lease(self, notice: Notice, until: datetime) -> bool:
        kept = self.writable().notices
        one = kept.get(notice.id)
        if one is None or one.outcome is not NoticeOutcome.WAITING or one.try_at != notice.try_at:
            return False
        kept[notice.id] = replace(one, try_at=until)
        return True

    def save(self, notice: Notice) -> None:
        kept = self.writable().notices
        one = kept.get(notice.id)
        if one is not None and one.outcome is NoticeOutcome.WAITING:
            kept[notice.id] = replace(
                one,
                try_at=notice.try_at,
                failures=notice.failures,
                problem=notice.problem,
                outcome=notice.outcome,
                done_at=notice.done_at,
            )

    def list(self, *, outcome: NoticeOutcome | None = None, limit: int = 100) -> builtins.list[Notice]:
        kept = self.state.notices.values()
        if outcome is None:
            return sorted(kept, key=lambda one: (one.created_at, one.id), reverse=True)[:limit]
        found = [one for one in kept if one.outcome is outcome]
        return sorted(found, key=lambda one: (one.try_at, one.id), reverse=True)[:limit]

    def counts(self) -> tuple[int, int]:
        waiting = self._waiting()
        return len(waiting), sum(one.failures > 0 for one in waiting)

    def forget(self, before: datetime, limit: int = 1000) -> int:
        kept = self.writable().notices
        done = [(one.done_at, one.id) for one in kept.values() if one.done_at and one.done_at < before]
        for _, id_ in sorted(done)[:limit]:
            del kept[id_]
        return len(done[:limit])


class MemoryNoticeStores(MemoryFactStores):
    """The stores of this module, those of facts and of fleets, over the state of one transaction."""

    def __init__(self, state: State, tenant: str, *, write: bool) -> None:
        super().__init__(state, tenant, write=write)
        self.endings = MemoryEndings(state, tenant, write=write)
        self.mail_addresses = MemoryMailAddresses(state, tenant, write=write)
        self.notices = MemoryNotices(state, tenant, write=write)
