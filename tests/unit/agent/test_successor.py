"""A renewed certificate is compared with the one that it replaces; a server's mistake takes no identity from a machine."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID as Use
from cryptography.x509.oid import ExtensionOID

from doorward.agent.credential import Credential
from doorward.agent.identity_condition import read_condition
from doorward.agent.keeper import Keeper
from doorward.agent.options import IdentityOptions
from doorward.agent.successor import check_successor
from doorward.core.errors import RequestRefused
from tests.support.certificates.issuing import toy_ca
from tests.support.ports import NOON, FakeClock
from tests.support.refusals import code_of, refused
from tests.support.renewal_server import RenewalServer, pair_of

ROOT = toy_ca()
ISSUING = ROOT.issuing()
SOON = NOON + timedelta(minutes=29)


def credential(name: str = "sensor", **options: Any) -> Credential:
    """A certificate of one device for thirty days, unless the options say something else."""
    leaf = ISSUING.leaf(name, **{"not_after": NOON + timedelta(days=30), "kind": "device", **options})
    return Credential(certificate=leaf.certificate, issuers=(ISSUING.certificate,), roots=(ROOT.certificate,))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ({}, {"name": "other", "uris": ["spiffe://corp.example/device/sensor"]}, "subject"),
        ({}, {"uris": ["spiffe://corp.example/device/other"]}, "alternative names"),
        ({}, {"kind": "person"}, "alternative names"),
        ({}, {"emails": ["sensor@corp.example"]}, "alternative names"),
        ({}, {"uris": ()}, "alternative names"),
        ({}, {"raw": [(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"odd", False)]}, "alternative names"),
        ({"purposes": (Use.CLIENT_AUTH, Use.EMAIL_PROTECTION)}, {}, "purpose"),
        ({}, {"purposes": ()}, "purpose"),
        ({}, {"not_after": SOON}, "too soon"),
    ],
)
def test_what_differs_is_refused(old: dict[str, Any], new: dict[str, Any], why: str) -> None:
    """Another holder, a lost purpose, an end that leaves no time for the next renewal."""
    with refused(RequestRefused, "renewal-differs") as caught:
        check_successor(credential(**new), credential(**old), NOON)
    assert why in caught.value.detail


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"not_after": NOON + timedelta(hours=1)}),
        ({"not_after": NOON + timedelta(minutes=5)}, {"not_after": SOON}),
        ({"not_after": NOON - timedelta(days=2)}, {"not_after": SOON}),
        ({}, {"purposes": (Use.CLIENT_AUTH, Use.EMAIL_PROTECTION)}),
        ({"uris": ()}, {"uris": ()}),
    ],
    ids=["a shorter lifetime", "a short life", "late", "one purpose more", "no names"],
)
def test_what_is_in_order_is_taken(old: dict[str, Any], new: dict[str, Any]) -> None:
    """An administrator may make lifetimes shorter and add purposes."""
    check_successor(credential(**new), credential(**old), NOON)


def test_the_old_pair_stays_and_status_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before the end: a person must look, because another try gets the same certificate."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    server = RenewalServer(FakeClock())
    folder = server.enrolled(tmp_path / "id")
    before = pair_of(folder)
    server.leaf_options = {"uris": ["spiffe://corp.example/person/mallory"]}
    keeper = Keeper(IdentityOptions(directory=folder), server.machine())
    assert code_of(keeper.renew_now, server.clock.now()) == "renewal-differs"
    assert pair_of(folder) == before
    (sentence,) = read_condition(folder, server.clock.now()).attention
    assert "its alternative names differ (renewal-differs)" in sentence
