"""kill -9 of the issuing process at any moment of a renewal: no client is locked out, and nothing is issued twice."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from doorward.authority.founding import found
from doorward.authority.issuing import claims, issue, renew
from doorward.core.certificate import CertificateState
from doorward.core.entities import PrincipalKind
from doorward.core.ports import Clock, KeyKind
from doorward.directory.principals import add_principal, find_principal
from doorward.pki.csr import build_csr, parse_csr
from doorward.pki.keys import digest_public_key
from doorward.runtime.world import SystemRandom
from doorward.stores.records import CertificateFilter, CertificateRecord
from doorward.stores.renewal_terms import RenewalTerms
from doorward.stores.services import Services
from tests.support.certificates.issuing import key_pem_of
from tests.support.ports import FakeClock, MemoryKeyStore, PlainKeys
from tests.support.sql_store import child, database_at, sql_work
from tests.support.world import OPERATOR, STATUS_URL, TRUST_DOMAIN, operator_claim

ROUNDS = 60
DEVICES = 3
LIFETIME = timedelta(days=9)
LATEST_KILL_SECONDS = 0.06
"""After a renewal: the next one takes about as long."""

CHILD = """
from pathlib import Path
from tests.prove.test_killed_renewals import renew_for_ever
renew_for_ever(Path({place!r}), work)
"""


def services_at(place: Path, work: object) -> Services:
    """The services of a process; the authority's keys are files, because every round is another process."""
    keys = MemoryKeyStore()
    for file in (place / "keys").glob("*.pem"):
        keys.store(file.stem, load_pem_private_key(file.read_bytes(), None))  # type: ignore[arg-type]  # our kinds
    return Services(
        work=work,  # type: ignore[arg-type]
        clock=FakeClock(),
        random=SystemRandom(),
        factory=PlainKeys(),
        keys=keys,
        renewal=RenewalTerms(most_per_day=1_000_000),
        lifetimes={"device": LIFETIME},
    )


def wait_until_due(clock: Clock, record: CertificateRecord) -> None:
    """Let the time pass that a renewed certificate has to be used before its own renewal."""
    assert isinstance(clock, FakeClock)
    due = record.not_before + LIFETIME / 2
    if clock.now() < due:
        clock.turn(seconds=(due - clock.now()).total_seconds())


def renew_for_ever(place: Path, work: object) -> None:
    """What a client and the server do: keep the new request, renew, keep the certificate, forget the request."""
    services = services_at(place, work)
    claims.require_due = lambda *_: None  # type: ignore[assignment]  # the rounds would take years otherwise
    print("ready", flush=True)
    for number in range(10_000_000):
        folder = place / f"device-{number % DEVICES}"
        pending, present = folder / "request.pem", folder / "certificate"
        with services.work.read() as stores:
            record = stores.certificates.get(present.read_text())
        assert record is not None
        if (
            not pending.exists() or key_of(pending) == record.spki_sha256
        ):  # killed after the certificate was kept
            write(pending, new_request())
        wait_until_due(services.clock, record)
        issued = renew(services, record, pending.read_bytes(), actor=record.principal_id)
        write(present, issued.record.id.encode())
        pending.unlink()
        print("renewed", flush=True)


def new_request() -> bytes:
    """A request for a new key."""
    return build_csr(PlainKeys().generate(KeyKind.P256), "x")


def key_of(request: Path) -> str:
    """The digest of the key of a request."""
    return digest_public_key(parse_csr(request.read_bytes()).public_key)


def write(file: Path, data: bytes) -> None:
    """Replace a file in one step."""
    beside = file.with_suffix(".new")
    beside.write_bytes(data)
    beside.replace(file)


def test_a_killed_renewal_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 rounds: each device's certificate is the end of its line, lines have no branches, serials and keys are unique."""
    monkeypatch.setattr(claims, "require_due", lambda *_: None)
    database = database_at(tmp_path)
    work = sql_work(database)
    (tmp_path / "keys").mkdir()
    services = services_at(tmp_path, work)
    found(services, trust_domain=TRUST_DOMAIN, status_url=STATUS_URL, actor=OPERATOR)
    assert isinstance(services.keys, MemoryKeyStore)
    for name, key in services.keys.keys.items():
        (tmp_path / "keys" / f"{name}.pem").write_bytes(key_pem_of(key))
    for number in range(DEVICES):
        add_principal(services, PrincipalKind.DEVICE, f"device-{number}", actor=OPERATOR)
        claim = operator_claim(find_principal(services, f"device-{number}"))
        record = issue(services, new_request(), claim).record
        folder = tmp_path / f"device-{number}"
        folder.mkdir()
        write(folder / "certificate", record.id.encode())
    dice = random.Random(20260729)
    for _ in range(ROUNDS):
        process = child(tmp_path, CHILD.format(place=str(tmp_path)))
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(dice.randint(1, 3)):
            assert process.stdout.readline() == "renewed\n"
        threading.Event().wait(dice.uniform(0.0, LATEST_KILL_SECONDS))
        assert process.poll() is None, "the client failed"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    records = every_certificate(services)
    intents = [one for one in records if one.state is CertificateState.INTENDED]
    valid = [one for one in records if one.state is CertificateState.VALID]
    for one in valid:
        assert one.spki_sha256
        assert x509.load_der_x509_certificate(one.der).serial_number == one.serial
    assert len({one.serial for one in records}) == len(records)
    assert len({one.spki_sha256 for one in valid}) == len(valid)
    followed = Counter(one.replaces for one in valid if one.replaces)
    assert max(followed.values()) == 1
    ends = {one.id for one in valid if one.id not in followed}
    assert len(ends) == DEVICES
    for number in range(DEVICES):  # the client has the end of its line, or the request that leads to it
        folder = tmp_path / f"device-{number}"
        present = (folder / "certificate").read_text()
        with work.read() as stores:
            record = stores.certificates.get(present)
            assert stores.suspected_clones.count() == 0
        assert record is not None
        pending = folder / "request.pem"
        last = present
        if pending.exists() and present not in ends:
            wait_until_due(services.clock, record)
            last = renew(services, record, pending.read_bytes(), actor=OPERATOR).record.id
        assert last in ends
    print(f"  {ROUNDS} rounds: {len(valid)} certificates, {len(intents)} intents that never became valid")
    database.close()


def every_certificate(services: Services) -> list[CertificateRecord]:
    """All certificates of devices."""
    found: list[CertificateRecord] = []
    with services.work.read() as stores:
        while page := stores.certificates.list(
            CertificateFilter(after_id=found[-1].id if found else "", limit=1000)
        ):
            found += page
    return [one for one in found if one.profile == "device"]
