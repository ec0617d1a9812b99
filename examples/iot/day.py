"""A day of a thousand sensors: from the factory to the broker, renewals, a theft, a long sleep and a clone.

    make example NAME=iot

Everything is real: an authority, the door, EST and a mosquitto broker run on this machine, on free ports, and are removed
afterwards. The sensors are in one program, and each of them has keys and connections of its own. It exits with 0 only if
every result is as expected.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sensors import Answer, Factory, Sensor, Site, for_each

from doorward.authority.gateways import await_confirmations
from doorward.authority.inventory import find_certificate
from doorward.authority.issuing import Entitlement, OperatorClaim, issue
from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.demo.endings import AT_ONCE_MS
from doorward.demo.environment import ACTOR, DemoEnvironment, Scenario, demo_environment, workplace
from doorward.demo.ports import free_port
from doorward.demo.report import Report, open_report
from doorward.demo.story import committed_at, play
from doorward.directory.fleets.approving import Wish, approve_each, list_enrolments
from doorward.directory.fleets.manufacturers import import_manufacturer
from doorward.directory.fleets.tags import add_tag
from doorward.directory.principals import create_group, find_principal
from doorward.runtime.evidence import Evidence
from doorward.runtime.settings import Settings
from doorward.stores.fleet_records import ApprovalMode
from doorward.stores.protocols import Stores

BROKER = "mqtt.doorward.localhost"
SENSORS = int(os.environ.get("SENSORS", "1000"))
SHORT = timedelta(seconds=4)
"""The life of one certificate, so that its sensor can sleep past the end of it."""


@dataclass(kw_only=True)
class Broker:
    """The broker; it counts nothing."""

    calls: int = 0


def find_broker() -> str:
    """Return the path of mosquitto; empty if it is not installed."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""


@contextmanager
def run_broker(settings: Settings) -> Iterator[tuple[Broker, int]]:
    """Run mosquitto as long as the block runs, on loopback only."""
    port, folder = free_port(), settings.data.parent
    file = folder / "mosquitto.conf"
    user = pwd.getpwuid(os.geteuid()).pw_name
    file.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser {user}\npersistence false\nmax_connections -1\n"
    )
    with (folder / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen([find_broker(), "-c", str(file)], stdout=log, stderr=log)  # noqa: S603  our own arguments
    try:
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield Broker(), port
    finally:
        process.terminate()
        process.wait(10)


def write_policy(port: int) -> str:
    """Return policy.yaml for a broker on that port."""
    text = (Path(__file__).parent / "policy.yaml").read_text(encoding="utf-8")
    return text.replace("tcp://127.0.0.1:1883", f"tcp://127.0.0.1:{port}")


SCENARIO = Scenario(host=BROKER, people={}, document=write_policy, application=run_broker)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortClaim(OperatorClaim):
    """An operator's request for a certificate that ends soon."""

    def examine(self, stores: Stores, now: datetime) -> Entitlement:
        """Return the device's entitlement, with a short lifetime."""
        return replace(OperatorClaim.examine(self, stores, now), lifetime=SHORT)


@dataclass(kw_only=True)
class Day:
    """The state that the scenes share: the running door, the factory and the sensors."""

    scene: DemoEnvironment
    loop: asyncio.AbstractEventLoop
    factory: Factory = field(init=False)
    sensors: list[Sensor] = field(init=False)
    site: Site = field(init=False)
    twin: Sensor = field(init=False)

    def __post_init__(self) -> None:
        installation, door = self.scene.installation, self.scene.door
        folder = self.scene.folder / "sensors"
        folder.mkdir()
        self.factory = Factory(folder)
        self.sensors = [self.factory.make(number) for number in range(SENSORS)]
        self.site = Site(port=door.port, est=installation.est_host(), broker=BROKER, root=door.root)

    def scenes(self) -> tuple[Any, ...]:
        """Return the scenes of the day, in order."""
        told = (
            (
                "The operator imports the maker's authority",
                "It says which machines may ask. No door of an application trusts it.",
                self.manufacturer,
            ),
            (
                "Every sensor asks for a certificate, and waits",
                "Each first contact is one waiting device, which is in no group and can reach nothing.",
                self.first_contact,
            ),
            (
                "The operator approves all of them",
                "A template makes the names; each sensor asks again, and gets its certificate.",
                self.approval,
            ),
            (
                "All publish",
                "The broker is behind a TCP door and accepts whom the door lets in.",
                self.publishing,
            ),
            (
                "All renew",
                "Each with a new key, and with the certificate that it has. No person does anything.",
                self.renewal,
            ),
            (
                "One is stolen",
                "Its certificate is revoked: its connection ends at once, and all others go on.",
                self.theft,
            ),
            (
                "One sleeps past the end of its certificate",
                "An ended certificate opens no application, but brings the sensor back once.",
                self.sleeper,
            ),
            (
                "One is cloned",
                "Two machines with one key: only the first that renewed goes on, and the second one is seen.",
                self.clone,
            ),
            (
                "The record of the day",
                "Every step is an event in a log that shows any later change.",
                self.record,
            ),
        )
        return tuple((title, why, lambda _scene, report, run=run: run(report)) for title, why, run in told)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do the work of sensors."""
        return self.loop.run_until_complete(work)

    def manufacturer(self, report: Report) -> None:
        """Import the authority; a sensor that shows its factory certificate to the broker gets nothing."""
        services = self.scene.installation.services
        create_group(services, "sensors", actor=ACTOR)
        add_tag(
            services,
            "hall",
            approval=ApprovalMode.OPERATOR,
            groups=["sensors"],
            name_template="sensor-{serial}",
            actor=ACTOR,
        )
        anchor = x509.load_pem_x509_certificate(self.factory.authority.read_bytes())
        done = import_manufacturer(
            services, "acme", anchors=[anchor.public_bytes(Encoding.DER)], tag="hall", actor=ACTOR
        )
        report.compare("imported", "acme", done.value.manufacturer.name)
        report.compare(
            "the factory certificate at the broker", "refused", self._knock(self.sensors[0], "factory")
        )

    def first_contact(self, report: Report) -> None:
        """All ask by EST; all are told to wait."""
        began = time.monotonic()
        answers = self.run(for_each(self.sensors, lambda one: one.enrol(self.site)))
        report.compare("answers", f"{SENSORS} times 202", _count(answers))
        report.aside(_rate(began))
        least = min(one.retry_after for one in answers)
        report.judge("told to come again after", "30 s or more", f"{least} s or more", good=least >= 30)
        waiting = sum(1 for _ in list_enrolments(self.scene.installation.services))
        report.compare("waiting devices", str(SENSORS), str(waiting))

    def approval(self, report: Report) -> None:
        """The operator approves; the sensors ask again, with the same keys."""
        services = self.scene.installation.services
        began = time.monotonic()
        wishes = [Wish(enrolment_id=one.id) for one, _ in list_enrolments(services)]
        done = list(approve_each(services, wishes, actor=ACTOR))
        report.compare("approved", str(SENSORS), str(sum(one.error is None for one in done)))
        report.aside(f"the first: {done[0].name} ({_rate(began)})")
        began = time.monotonic()
        answers = self.run(for_each(self.sensors, lambda one: one.enrol(self.site)))
        report.compare("answers", f"{SENSORS} times 200", _count(answers))
        report.aside(_rate(began))

    def publishing(self, report: Report) -> None:
        """All connect and publish a value."""
        self._wait_for_gateway()
        began = time.monotonic()
        report.compare("connected", str(SENSORS), str(self._connect()))
        report.compare("values that the broker acknowledged", str(SENSORS), str(self._publish()))
        report.aside(_rate(began))

    def renewal(self, report: Report) -> None:
        """All renew, and connect with the new certificate; their old connections go on meanwhile."""
        before = {one.serial: one.certificate.serial_number for one in self.sensors}
        self.twin = self.sensors[13].copy(self.scene.folder / "sensors" / "clone")
        began = time.monotonic()
        answers = self.run(for_each(self.sensors, lambda one: one.renew(self.site)))
        report.compare("answers", f"{SENSORS} times 200", _count(answers))
        report.aside(_rate(began))
        new = sum(one.certificate.serial_number != before[one.serial] for one in self.sensors)
        report.compare("other certificates than before", str(SENSORS), str(new))
        report.compare("old connections that still publish", str(SENSORS), str(self._publish()))
        lines = [one.line for one in self.sensors]
        report.compare("connected with the new certificate", str(SENSORS), str(self._connect()))
        self.run(_close(lines))

    def theft(self, report: Report) -> None:
        """One certificate is revoked; its connection ends, and no other."""
        stolen, services = self.sensors[7], self.scene.installation.services
        self.scene.installation.unlock()
        record = find_certificate(services, f"{stolen.certificate.serial_number:x}")
        others = [one for one in self.sensors if one is not stolen]

        async def end() -> float:
            assert stolen.line is not None
            seq = await asyncio.to_thread(revoke, services, record.id, RevocationReason.KEY_COMPROMISE, ACTOR)
            with suppress(TimeoutError):
                await asyncio.wait_for(stolen.line.ended.wait(), 5)
            return (stolen.line.ended_at - committed_at(self.scene, seq).timestamp()) * 1000

        late = self.run(end())
        good = 0 <= late <= AT_ONCE_MS
        report.judge(
            "its connection ends", f"within {AT_ONCE_MS} ms", f"{late:.0f} ms after the commit", good=good
        )
        report.compare("a new connection", "refused", self._knock(stolen))
        alive = sum(one.line is not None and not one.line.ended.is_set() for one in others)
        report.compare("connections of the others", str(SENSORS - 1), str(alive))
        report.compare("… and they publish", str(SENSORS - 1), str(self._publish(others)))
        answer = self.run(stolen.renew(self.site))
        report.compare("the thief asks for a renewal", "403", str(answer.status))

    def sleeper(self, report: Report) -> None:
        """A certificate ends while its sensor sleeps; it comes back by itself, once."""
        sensor, services = self.sensors[11], self.scene.installation.services
        device = find_principal(services, f"sensor-{sensor.serial.lower()}")
        issued = issue(
            services,
            sensor.make_request(),
            ShortClaim(actor=ACTOR, holder=device.id, name=device.name),
        )
        sensor.keep(issued.chain_der)
        self._wait_for_gateway(issued.seq)
        report.compare("before it sleeps, the broker", "answers", self._knock(sensor))
        left = sensor.certificate.not_valid_after_utc.timestamp() - time.time()
        time.sleep(max(0.0, left) + 1.1)
        report.compare("after the end, the broker", "refused", self._knock(sensor))
        twin = sensor.copy(self.scene.folder / "sensors" / "twin")
        report.compare("it asks for a renewal", "200", str(self.run(sensor.renew(self.site)).status))
        report.compare("the broker", "answers", self._knock(sensor))
        twin.forget_next_key()
        report.compare("a second time, with another key", "403", str(self.run(twin.renew(self.site)).status))

    def clone(self, report: Report) -> None:
        """A copy from before the renewal renews from the same certificate as the sensor did, with a key of its own."""
        answer = self.run(self.twin.renew(self.site))
        report.compare("the clone renews", "403", str(answer.status))
        report.aside(answer.body.decode("utf-8", "replace").strip()[:160])
        seen = [
            one
            for one in Evidence(self.scene.installation).events(0)
            if one["type"] == "certificate:clone-suspected"
        ]
        report.judge("the record has it", "certificate:clone-suspected", str(len(seen)), good=bool(seen))

    def record(self, report: Report) -> None:
        """The record verifies."""
        evidence = Evidence(self.scene.installation)
        verified = evidence.verify()
        report.compare("the log verifies", "yes", "yes" if verified.verified else str(verified.faults[:1]))
        report.aside(f"{verified.size} events, {verified.anchored_size} of them under a signed checkpoint")
        counted = Counter(str(one["type"]) for one in evidence.events(0))
        for kind, times in {"device:pending": SENSORS, "device:approved": SENSORS}.items():
            report.compare(kind, str(times), str(counted.pop(kind, 0)))
        for kind in sorted(counted):
            report.aside(f"{counted[kind]:>5}  {kind}")

    def _connect(self) -> int:
        return sum(self.run(for_each(self.sensors, lambda one: one.connect(self.site))))

    def _publish(self, sensors: list[Sensor] | None = None) -> int:
        return sum(self.run(for_each(sensors or self.sensors, lambda one: one.publish(21))))

    def _knock(self, sensor: Sensor, present: str = "") -> str:
        """Connect once with one certificate of the sensor; say what happened."""
        return "answers" if self.run(sensor.knock(self.site, present)) else "refused"

    def _wait_for_gateway(self, seq: int | None = None) -> None:
        services = self.scene.installation.services
        if seq is None:
            with services.work.read() as stores:
                seq = stores.changes.head()
        await_confirmations(services, seq, sleep=time.sleep)


async def _close(lines: list[Any]) -> None:
    for line in lines:
        if line is not None:
            await line.close()


def _count(answers: list[Answer]) -> str:
    found = Counter(one.status for one in answers)
    return ", ".join(f"{times} times {status}" for status, times in sorted(found.items()))


def _rate(began: float) -> str:
    seconds = time.monotonic() - began
    return f"{seconds:.1f} s, {SENSORS / seconds:.0f} a second"


def main() -> int:
    """Play the day; return 0 if every result is as expected."""
    if not find_broker():
        sys.exit("this example needs the MQTT broker mosquitto; on Debian: apt-get install mosquitto")
    began = time.monotonic()
    report = open_report(silent=False)
    report.title(
        f"A day of {SENSORS:,} sensors", f"mqtts://{BROKER}, on this machine only; everything is real"
    )
    loop = asyncio.new_event_loop()
    with ExitStack() as standing:
        folder = standing.enter_context(workplace(None))
        with report.preparing(f"making an authority and {SENSORS:,} sensors, and opening the door"):
            scene = standing.enter_context(demo_environment(folder, port=None, scenario=SCENARIO))
            day = Day(scene=scene, loop=loop)
        play(scene, report, day.scenes())
        for sensor in day.sensors:
            if sensor.line is not None:
                loop.run_until_complete(sensor.line.close())
    report.end(time.monotonic() - began)
    return 0 if report.well else 1


if __name__ == "__main__":
    sys.exit(main())
