"""The fake of `DeltaStore`."""

from __future__ import annotations

from datetime import datetime

from doorward.core.certificate import CertificateState
from doorward.stores.records import CrlBase, StatusChange
from tests.support.memory_inventory import Store


class MemoryDeltas(Store):
    """The fake of `DeltaStore`."""

    def note(self, authority_id: str, seq: int, serial: int) -> None:
        self.writable().status_changes[authority_id, seq] = serial

    def since(self, authority_id: str, seq: int) -> list[StatusChange]:
        every = self.state.certificates.values()
        listed = {
            one.serial: one
            for one in every
            if one.authority_id == authority_id
            and one.state in (CertificateState.REVOKED, CertificateState.ON_HOLD)
        }
        found = []
        for (issuer, number), serial in sorted(self.state.status_changes.items()):
            if issuer == authority_id and number > seq:
                change = StatusChange(seq=number, serial=serial, is_listed=serial in listed)
                if one := listed.get(serial):
                    assert one.revoked_at is not None
                    assert one.reason is not None
                    change = change._replace(
                        end=int(one.not_after.timestamp()),
                        at=int(one.revoked_at.timestamp()),
                        reason=one.reason,
                    )
                found.append(change)
        return found

    def forget(self, authority_id: str, seq: int, most: int) -> None:
        kept = self.writable().status_changes
        for key in sorted(key for key in kept if key[0] == authority_id and key[1] <= seq)[:most]:
            del kept[key]

    def bases(self, authority_id: str) -> list[CrlBase]:
        return [one for key, one in sorted(self.state.crl_bases.items()) if key[0] == authority_id]

    def add_base(self, base: CrlBase) -> None:
        kept = self.writable(base.tenant).crl_bases
        key = base.authority_id, base.partition, base.number
        assert key not in kept
        kept[key] = base

    def drop_bases(self, authority_id: str, partition: str, *, before: int, now: datetime) -> None:
        kept = self.writable().crl_bases
        for key, one in list(kept.items()):
            if key[:2] == (authority_id, partition) and (one.number < before or one.next_update <= now):
                del kept[key]

    def end(self, authority_id: str, partition: str) -> None:
        self.writable().crls.pop((authority_id, partition), None)
