"""The records of device fleets: manufacturers, the enrolments of their devices, tags, and known serial numbers.

A manufacturer's authority certifies what its factory makes (IEEE 802.1AR calls such a certificate an IDevID). It is no
part of the trust of any door; it only lets a device ask for a certificate of ours (an LDevID).

Not here: judging a factory certificate (`directory.fleets.judging`), the rules of admission (`directory.fleets.admission`).
All moments are aware and UTC; `der` is DER; `sha256` is lower-case hex.
Standard: IEEE 802.1AR-2018; docs/design/0081.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class EnrolmentState(Enum):
    """The states of a device's enrolment; `directory.fleets.states` has the transitions."""

    PENDING = "pending"
    APPROVED = "approved"
    ENROLLED = "enrolled"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


class ApprovalMode(Enum):
    """Who approves the devices of a tag."""

    OPERATOR = "operator"
    EXPECTED = "expected"
    FIRST = "first"
    AUTOMATIC = "automatic"


class SerialStanding(Enum):
    """What the operator said about a serial number before its device came."""

    EXPECTED = "expected"
    BARRED = "barred"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManufacturerRecord:
    """One manufacturer of devices.

    Args:
        id: `mfr_…`.
        name: for operators.
        tag: the name of the tag of its devices; empty if an operator approves each of them.
        most_pending: at most this many of its devices wait for an operator.
        removed_at: when it was removed; None while its devices may ask for certificates.
    """

    id: str
    tenant: str
    name: str
    tag: str
    most_pending: int
    created_at: datetime
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManufacturerAuthorityRecord:
    """One certificate of a manufacturer's authorities: a trust anchor, or an intermediate that may sign."""

    id: str
    tenant: str
    manufacturer_id: str
    sha256: str
    anchor: bool
    der: bytes
    not_after: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEnrolmentRecord:
    """The enrolment of one device: one row for each factory certificate.

    Args:
        id: `den_…`.
        fingerprint: SHA-256 over issuer, serial number and key of the factory certificate.
        serial: the device's serial number as the factory certificate states it; empty if it states none.
        subject: the subject of the factory certificate, RFC 4514, made printable.
        factory_der: the factory certificate.
        reason: why it is pending, a duplicate or refused, as a word.
        tag: the name of its manufacturer's tag at the first contact; empty if there was none.
        wanted_key: SHA-256 of the key of the last request.
        issued_key: SHA-256 of the key of the certificate; empty before.
        source: the address of the last contact.
        contacts: contacts that were counted: at most one a minute.
        keys: how many different keys were requested, as counted.
        sources: how many times the address changed, plus one.
        principal_id: the device; empty before the approval.
        certificate_id: the certificate, or the intent of one; empty before.
        seen_at: the last contact that was counted.
        decided_by: who approved or refused it; empty before.
    """

    id: str
    tenant: str
    manufacturer_id: str
    fingerprint: str
    serial: str
    subject: str
    factory_der: bytes
    state: EnrolmentState
    created_at: datetime
    seen_at: datetime
    reason: str = ""
    tag: str = ""
    wanted_key: str = ""
    issued_key: str = ""
    source: str = ""
    contacts: int = 1
    keys: int = 1
    sources: int = 1
    principal_id: str = ""
    certificate_id: str = ""
    decided_by: str = ""
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentTagRecord:
    """A tag: how the devices of a manufacturer are approved, named and grouped.

    Args:
        id: `tag_…`.
        approval: who approves.
        groups: names of groups that its devices get into, or templates of such names.
        name_template: makes the device's name from the factory certificate; empty if an operator gives names.
        closed_at: when a tag of mode `first` had its device; None while it is open.
    """

    id: str
    tenant: str
    name: str
    approval: ApprovalMode
    groups: tuple[str, ...]
    name_template: str
    created_at: datetime
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorySerialRecord:
    """A serial number of a manufacturer's device that the operator stated beforehand.

    Args:
        standing: expected, or barred: no device with this number gets a certificate.
        principal_id: the device that is in the directory already; empty if there is none yet.
    """

    tenant: str
    manufacturer_id: str
    serial: str
    standing: SerialStanding
    created_at: datetime
    principal_id: str = ""
