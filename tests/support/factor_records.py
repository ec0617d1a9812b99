"""Values for the stores of second factors and sessions, each with good defaults; a test overrides what it is about."""

# ruff: noqa: D103 - the names say it all

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from doorward.core.entities import TENANT
from doorward.core.factor_kinds import FactorKind
from doorward.stores.factor_records import (
    EnrolmentTicket,
    FactorRecord,
    SessionCodeRecord,
    SessionKeyRecord,
    SessionRecord,
    StepUpRecord,
    ThrottleRecord,
)
from tests.support.ports import NOON
from tests.support.records import digest, opaque

ALICE = opaque("per", "alice")
LAPTOP = "crt_" + "0" * 20
BANK = opaque("app", "bank")


def factor(name: str, kind: FactorKind = FactorKind.WEBAUTHN, **changed: Any) -> FactorRecord:
    passkey = kind is FactorKind.WEBAUTHN
    made = FactorRecord(
        id=opaque("fct", name),
        tenant=TENANT,
        principal_id=ALICE,
        kind=kind,
        name=name,
        secret=b"secret of \x00 " + name.encode(),
        credential_id=f"credential-{name}" if passkey else "",
        rp_id="portal.corp.example" if passkey else "",
        created_at=NOON,
    )
    return replace(made, **changed)


def enrolment_ticket(name: str, **changed: Any) -> EnrolmentTicket:
    made = EnrolmentTicket(
        id=opaque("enr", name),
        tenant=TENANT,
        principal_id=ALICE,
        created_at=NOON,
        expires_at=NOON + timedelta(minutes=15),
    )
    return replace(made, **changed)


def session(name: str, **changed: Any) -> SessionRecord:
    made = SessionRecord(
        id=opaque("ses", name),
        tenant=TENANT,
        principal_id=ALICE,
        certificate_id=LAPTOP,
        certificate_sha256=digest("laptop"),
        application_id=BANK,
        source="192.0.2.7",
        client="Firefox",
        factors={FactorKind.WEBAUTHN: NOON},
        created_at=NOON,
        seen_at=NOON,
        ends_at=NOON + timedelta(hours=8),
    )
    return replace(made, **changed)


def step_up(name: str, **changed: Any) -> StepUpRecord:
    made = StepUpRecord(
        id=opaque("stp", name),
        tenant=TENANT,
        principal_id=ALICE,
        certificate_sha256=digest("laptop"),
        application_id=BANK,
        host="bank.corp.example",
        request=f"request {name}",
        return_path="/transfers?to=7",
        created_at=NOON,
        expires_at=NOON + timedelta(minutes=15),
    )
    return replace(made, **changed)


def session_code(name: str, **changed: Any) -> SessionCodeRecord:
    made = SessionCodeRecord(
        code_sha256=digest(name),
        tenant=TENANT,
        session_id=opaque("ses", name),
        principal_id=ALICE,
        certificate_sha256=digest("laptop"),
        application_id=BANK,
        host="bank.corp.example",
        request=f"request {name}",
        return_path="/transfers?to=7",
        factors={FactorKind.PASSWORD: NOON, FactorKind.TOTP: NOON + timedelta(seconds=9)},
        created_at=NOON,
        expires_at=NOON + timedelta(seconds=30),
    )
    return replace(made, **changed)


def throttle(key: str, **changed: Any) -> ThrottleRecord:
    made = ThrottleRecord(key=key, tenant=TENANT, failures=3, last_at=NOON)
    return replace(made, **changed)


def session_key(name: str, **changed: Any) -> SessionKeyRecord:
    made = SessionKeyRecord(
        id=name,
        tenant=TENANT,
        public_jwk=f'{{"kid":"{name}"}}',
        sealed=b"sealed \xff",
        created_at=NOON,
    )
    return replace(made, **changed)
