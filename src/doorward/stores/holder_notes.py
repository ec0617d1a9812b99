"""Notes of holders about their certificates: the name of the device, and whether the device was reported lost.

Names are for people and decide nothing. If the holder reported the device lost, a passkey can get the holder a new
certificate (`directory.passkey_renewal`); a certificate that an administrator revoked has no such note.
A note may also be about a factor that was taken from a person (`directory.factor_losses`); it then has an id of its own.
Not here: SQL (storage), who may write a note (`directory.own_certificates`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

MAX_NAME_CHARACTERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderNote:
    """The note of one certificate. `name` is empty if none was given; `lost_at` is when the loss was reported."""

    certificate_id: str
    tenant: str
    name: str = ""
    lost_at: datetime | None = None


class HolderNoteStore(Protocol):
    """Notes of certificates; a certificate without one has an empty note."""

    def of(self, certificate_ids: Collection[str]) -> Mapping[str, HolderNote]:
        """Return the notes of these certificates, by certificate id; those without a note are left out."""
        ...

    def save(self, note: HolderNote) -> None:
        """Insert or replace the note of its certificate."""
        ...
