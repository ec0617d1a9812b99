"""The fake of `StatusStore`: CRLs with their pieces, and pre-signed OCSP responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from doorward.core.errors import IntegrityError
from doorward.stores.crl_pieces import CrlPiece, split_crl
from doorward.stores.records import CrlRecord, OcspRecord
from tests.support.memory_inventory import Store


class MemoryStatus(Store):
    """The fake of `StatusStore`."""

    def crl(self, authority_id: str, partition: str = "") -> CrlRecord | None:
        return self.state.crls.get((authority_id, partition))

    def check_crl(self, authority_id: str, partition: str = "") -> None:
        crl = self.crl(authority_id, partition)
        if crl is None:
            return
        if any(
            self.state.crl_pieces.get((one.sha256, one.number)) != one.content for one in split_crl(crl.der)
        ):
            raise IntegrityError("crl-damaged", "the stored CRL is not the one that was signed")

    def crl_heads(self, authority_id: str) -> list[CrlRecord]:
        kept = sorted(self.state.crls.items())
        return [replace(crl, der=b"") for (issuer, _), crl in kept if issuer == authority_id]

    def crl_number(self, authority_id: str, partition: str = "") -> int | None:
        crl = self.crl(authority_id, partition)
        return None if crl is None else crl.number

    def store_crl(self, crl: CrlRecord) -> None:
        kept = self.writable(crl.tenant).crls
        which = crl.authority_id, crl.partition
        if which in kept and kept[which].number >= crl.number:
            raise IntegrityError("crl-number", "the number of a CRL must grow")
        if which in kept:
            del self.state.crl_pieces[split_crl(kept[which].der)[0].sha256, 0]
        kept[which] = crl
        self.add_crl_pieces(split_crl(crl.der))

    def add_crl_pieces(self, pieces: Sequence[CrlPiece]) -> None:
        self.writable().crl_pieces.update({(one.sha256, one.number): one.content for one in pieces})

    def forget_crl_pieces(self, most: int) -> int:
        kept = self.writable().crl_pieces
        stored = {split_crl(one.der)[0].sha256 for one in self.state.crls.values()}
        gone = sorted(one for one in kept if one[0] not in stored)[:most]
        for one in gone:
            del kept[one]
        return len(gone)

    def ocsp(self, certificate_id: str, hash_name: str) -> OcspRecord | None:
        return self.state.ocsp.get((certificate_id, hash_name))

    def store_ocsp(self, *responses: OcspRecord) -> None:
        kept = self.writable().ocsp
        kept.update({(one.certificate_id, one.hash_name): one for one in responses})

    def forget_ocsp(self, certificate_id: str) -> None:
        kept = self.writable().ocsp
        for key in [key for key in kept if key[0] == certificate_id]:
            del kept[key]

    def await_ocsp(self, certificate_id: str, since: datetime) -> None:
        self.forget_ocsp(certificate_id)
        self.store_ocsp(OcspRecord(certificate_id=certificate_id, hash_name="", der=b"", next_update=since))

    def due_ocsp(self, by: datetime, limit: int) -> list[str]:
        ends = {(one.next_update, one.certificate_id) for one in self.state.ocsp.values()}
        return [certificate_id for end, certificate_id in sorted(ends)[:limit] if end <= by]
