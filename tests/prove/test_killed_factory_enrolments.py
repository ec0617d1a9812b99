"""kill -9 of `serve` while factory devices register themselves over EST: each gets one certificate, and each certificate is on record."""

from __future__ import annotations

import base64
import http.client
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from hashlib import sha256
from itertools import count

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from doorward.audit.events import EventType
from doorward.core.certificate import CertificateState
from doorward.core.entities import PrincipalKind
from doorward.directory.fleets import approving, manufacturers, tags
from doorward.directory.principals import list_principals
from doorward.pki.csr import parse_csr
from doorward.runtime.evidence import Evidence
from doorward.stores.fleet_records import ApprovalMode, EnrolmentState
from doorward.stores.records import CertificateFilter, CertificateRecord
from tests.support.doorway import ACTOR, Identity, eventually
from tests.support.factory import Factory, new_factory, request_for
from tests.support.house import House, open_house

ROUNDS = 50
DEVICES = 3
"""New devices in each round from each factory: the devices of one are approved by an operator, those of the other by their tag."""

LATEST_KILL_SECONDS = 0.2
AGAIN_SECONDS, LATER_SECONDS, SOON = 0.5, 20.0, 20
"""Between two requests of a device; the longer pause after its first twenty answers, as its limit is 60 in ten minutes."""

LAST_SECONDS = 300.0
"""An intent that was lost in a kill blocks its device for a minute."""

ISSUED, WAITS = 200, 202


class Device:
    """A device that asks with the same request until it has its certificate; a thread of its own."""

    def __init__(self, house: House, factory: Factory, serial: str) -> None:
        self.house, self.serial = house, serial
        folder = house.folder / serial
        folder.mkdir()
        chain, key = factory.device(serial).write(folder, "factory", factory.issuing)
        self.identity = Identity(chain=chain, key=key)
        self.body = base64.b64encode(parse_csr(request_for()).der)
        self.der = b""
        self.answers: list[int] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.der and not self.over.is_set():
            with suppress(OSError, http.client.HTTPException):
                self._ask()
            self.over.wait(AGAIN_SECONDS if len(self.answers) < SOON else LATER_SECONDS)

    def _ask(self) -> None:
        with self.house.session(self.identity, app="est") as session:
            headers = {"Content-Type": "application/pkcs10"}
            path = "/.well-known/est/simpleenroll"
            reply = session.request("POST", path, headers=headers, body=self.body)
        self.answers.append(reply.status)
        if reply.status == ISSUED:
            (leaf,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(reply.body))
            self.der = leaf.public_bytes(Encoding.DER)


class Operator:
    """Approves every device that waits, all the time."""

    def __init__(self, house: House) -> None:
        self.house, self.numbers, self.over = house, count(1), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.over.wait(0.1):
            pending = list(approving.list_enrolments(self.house.services, states=(EnrolmentState.PENDING,)))
            for one, _ in pending:
                name = f"approved-{next(self.numbers):04}"
                approving.approve(self.house.services, one.id, name=name, actor=ACTOR)

    def stop(self) -> None:
        """End."""
        self.over.set()
        self.thread.join(60)


@pytest.mark.timeout(3600)
def test_killed_while_devices_register_themselves() -> None:
    """50 rounds: no certificate without its record, no device stuck or doubled, no serial number twice."""
    dice = random.Random(20261130)
    with open_house() as house:
        house.apply("- {allow: {kind: device}}")
        factories = import_factories(house)
        operator, devices = Operator(house), list[Device]()
        for number in range(ROUNDS):
            serve = house.wait_for_pid("serve", seconds=120)
            devices += [
                Device(house, factory, f"{name}-{number}-{device}")
                for name, factory in factories.items()
                for device in range(DEVICES)
            ]
            await_answers(devices, dice.randint(1, 2 * DEVICES))
            time.sleep(dice.uniform(0.0, LATEST_KILL_SECONDS))
            os.kill(serve, signal.SIGKILL)
            house.wait_for_pid("serve", other_than=serve, seconds=120)
        served = eventually(lambda: all(one.der for one in devices), LAST_SECONDS)
        stuck = {one.serial: one.answers[-5:] for one in devices if not one.der}
        for one in devices:
            one.over.set()
        operator.stop()
        assert served, (stuck, house.words())
        assert house.stop() == 0
        check(house, devices)


def await_answers(devices: list[Device], more: int) -> None:
    """Wait until the devices have got so many more answers of `serve`, and not of the door instead, for a minute at most."""

    def given() -> int:
        return sum(answer in {ISSUED, WAITS} for one in devices for answer in one.answers)

    wanted = given() + more
    eventually(lambda: given() >= wanted, 60)


def import_factories(house: House) -> dict[str, Factory]:
    """Import both factories."""
    services = house.services
    tags.add_tag(
        services,
        "sensors",
        approval=ApprovalMode.AUTOMATIC,
        name_template="sensor-{serial}",
        actor=ACTOR,
    )
    found = {"asked": new_factory("Asked"), "tagged": new_factory("Tagged")}
    for name, factory in found.items():
        manufacturers.import_manufacturer(
            services,
            name,
            anchors=[factory.root.der],
            tag="sensors" if name == "tagged" else "",
            most_pending=1000,
            actor=ACTOR,
        )
    return found


def every_certificate(house: House) -> list[CertificateRecord]:
    """Return all certificates of devices, and the intents."""
    found: list[CertificateRecord] = []
    with house.services.work.read() as stores:
        while page := stores.certificates.list(
            CertificateFilter(after_id=found[-1].id if found else "", limit=1000)
        ):
            found += page
    return [one for one in found if one.profile == "device"]


def check(house: House, devices: list[Device]) -> None:
    """Compare what the devices have with the records and the events."""
    records = every_certificate(house)
    valid = {one.sha256: one for one in records if one.state is CertificateState.VALID}
    held = [sha256(one.der).hexdigest() for one in devices]
    assert sorted(valid) == sorted(held)
    for device, digest in zip(devices, held, strict=True):
        leaf, record = x509.load_der_x509_certificate(device.der), valid[digest]
        assert (record.der, record.serial) == (device.der, leaf.serial_number)
    assert len({one.serial for one in records}) == len(records)
    assert len({one.principal_id for one in valid.values()}) == len(devices)
    enrolments = [one for one, _ in approving.list_enrolments(house.services, states=tuple(EnrolmentState))]
    assert {one.state for one in enrolments} == {EnrolmentState.ENROLLED}
    assert sorted(one.serial for one in enrolments) == sorted(one.serial for one in devices)
    assert {one.certificate_id for one in enrolments} == {one.id for one in valid.values()}
    principals = list_principals(house.services, PrincipalKind.DEVICE)
    assert {one.id for one in principals} == {one.principal_id for one in enrolments}
    events = Counter(
        one["data"]["certificate"]
        for one in Evidence(house.installation).events(0)
        if one["type"] == EventType.CERTIFICATE_ISSUED.value
    )
    assert all(events[one.id] == 1 for one in valid.values())
    lost = len(records) - len(valid)
    answers = Counter(answer for one in devices for answer in one.answers)
    print(
        f"\n  {ROUNDS} kills: {len(devices)} devices, {lost} intents that never became valid, answers {dict(answers)}"
    )
