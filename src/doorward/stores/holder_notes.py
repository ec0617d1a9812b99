"""What the holder of a certificate says of it: what the device is called, and that it was lost.

Names are for people and decide nothing. That a device was reported lost by its own holder lets a passkey bring the
holder back (`directory.passkey_renewal`); a certificate that an administrator revoked has no such note.
A note may also be about what was taken from a person (`directory.factor_losses`); its id is then made for it.
Not here: SQL (storage), and who may write a note (`directory.own_certificates`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

MAX_NAME_CHARACTERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderNote:
    """The note of one certificate; an empty `name` is none, `lost_at` is when the loss was reported."""

    certificate_id: str
    tenant: str
    name: str = ""
    lost_at: datetime | None = None


class HolderNoteStore(Protocol):
    """Notes of certificates; a certificate without one has an empty note."""

    def of(self, certificate_ids: Collection[str]) -> Mapping[str, HolderNote]:
        """Return the notes of those certificates that have one, by certificate."""
        ...

    def save(self, note: HolderNote) -> None:
        """Keep a note instead of the one before."""
        ...
