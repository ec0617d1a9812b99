"""A factory that gives its devices certificates, and the steps of a device that asks for one of ours.

factory = import_factory(world)                    # imported as the manufacturer "acme"
device = factory.device("SN-1")                    # an IDevID that never ends
found = pending(world, device)                     # the first contact
approve(world, found, "sensor-1", "sensors")       # the operator
held = enrol(world, device)                        # the next contact
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from doorward.authority.issuing import Issued
from doorward.core.ports import KeyKind
from doorward.directory.fleets import admission, approving, manufacturers
from doorward.pki.csr import build_csr
from doorward.stores.fleet_records import DeviceEnrolmentRecord
from tests.support.certificates.issuing import CertifiedKey, certify, toy_ca
from tests.support.ports import PlainKeys
from tests.support.world import OPERATOR, World

NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The end of a certificate that never ends (RFC 5280 section 4.1.2.5)."""

SOURCE = "192.0.2.7"


@dataclass(frozen=True, kw_only=True)
class Factory:
    """The root of a factory, and the authority that certifies its devices."""

    root: CertifiedKey
    issuing: CertifiedKey

    def device(self, serial_number: str | None = "SN-1", **options: Any) -> CertifiedKey:
        """An IDevID as IEEE 802.1AR has it: a serial number in the subject, no extended key usage, no end."""
        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme")]
        if serial_number is not None:
            parts.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial_number))
        given = {"purposes": (), "not_after": NEVER, "serial": x509.random_serial_number(), **options}
        return certify(x509.Name(parts), self.issuing, ca=False, **given)

    def chain(self, device: CertifiedKey) -> list[bytes]:
        """What the device shows: its certificate and the authority above it."""
        return [device.der, self.issuing.der]


def new_factory(name: str = "Acme") -> Factory:
    """A factory with a root and one authority below it."""
    root = toy_ca(f"{name} Root", not_after=NEVER)
    return Factory(root=root, issuing=root.issuing(f"{name} Devices", not_after=NEVER))


def import_factory(world: World, name: str = "acme", **options: Any) -> Factory:
    """Import the root of a new factory as a manufacturer."""
    factory = new_factory(name)
    manufacturers.import_manufacturer(
        world.services, name, anchors=[factory.root.der], actor=OPERATOR, **options
    )
    return factory


def request_for(key: Any = None) -> bytes:
    """Return a request for a new key, or for this one."""
    return build_csr(key or PlainKeys().generate(KeyKind.P256), "whatever")


_REQUESTS: dict[bytes, bytes] = {}


def request_of(device: CertifiedKey) -> bytes:
    """The request of a device: it repeats the same one until it has a certificate (RFC 7030 section 4.2.3)."""
    return _REQUESTS.setdefault(device.der, request_for())


def reset(device: CertifiedKey) -> None:
    """Let the device make another key, as after a factory reset."""
    del _REQUESTS[device.der]


def enrol(
    world: World,
    factory: Factory,
    device: CertifiedKey,
    request: bytes | None = None,
    *,
    source: str = SOURCE,
) -> Issued:
    """One contact of a device, by which it gets its certificate; without a request, with its own one."""
    return admission.enrol(
        world.services, factory.chain(device), request or request_of(device), source=source
    )


def pending(
    world: World,
    factory: Factory,
    device: CertifiedKey,
    request: bytes | None = None,
    *,
    source: str = SOURCE,
) -> DeviceEnrolmentRecord:
    """One contact of a device that has to wait; returns its enrolment."""
    with pytest.raises(admission.EnrolmentPending) as waits:
        enrol(world, factory, device, request, source=source)
    return enrolment(world, waits.value.enrolment_id)


def enrolment(world: World, enrolment_id: str) -> DeviceEnrolmentRecord:
    """Return an enrolment as it is now."""
    with world.work.read() as stores:
        found = stores.device_enrolments.get(enrolment_id)
    assert found is not None
    return found


def approve(world: World, found: DeviceEnrolmentRecord, name: str = "sensor-7", *groups: str) -> None:
    """The operator approves a device."""
    approving.approve(world.services, found.id, name=name, groups=groups, actor=OPERATOR)
