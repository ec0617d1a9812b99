"""The contract of `HolderNoteStore`."""

from __future__ import annotations

import pytest

from doorward.core.entities import TENANT
from doorward.stores.holder_notes import HolderNote
from doorward.stores.protocols import UnitOfWork
from tests.support.ports import NOON
from tests.support.records import opaque

LAPTOP, PHONE = opaque("crt", "laptop"), opaque("crt", "phone")


def test_a_note_is_kept_and_replaced(work: UnitOfWork) -> None:
    """The last note of a certificate is returned; a certificate without a note is left out."""
    first = HolderNote(certificate_id=LAPTOP, tenant=TENANT, name="laptop")
    last = HolderNote(certificate_id=LAPTOP, tenant=TENANT, name="old laptop", lost_at=NOON)
    with work.change() as stores:
        stores.holder_notes.save(first)
    with work.change() as stores:
        assert stores.holder_notes.of([LAPTOP, PHONE]) == {LAPTOP: first}
        stores.holder_notes.save(last)
    with work.read() as stores:
        assert stores.holder_notes.of([LAPTOP]) == {LAPTOP: last}
        assert stores.holder_notes.of([]) == {}


def test_a_note_of_another_tenant_is_refused(work: UnitOfWork) -> None:
    """A store of one tenant writes for no other."""
    with pytest.raises(ValueError, match="another tenant"), work.change() as stores:
        stores.holder_notes.save(HolderNote(certificate_id=LAPTOP, tenant="tnt_other", name="laptop"))
