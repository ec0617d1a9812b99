"""Clients that connect again and again during a rollover, and the renewal of their certificates."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from doorward.authority.issuing import RenewalClaim, issue
from doorward.core.errors import RequestRefused
from doorward.core.ports import KeyKind
from doorward.pki.csr import build_csr
from doorward.runtime.world import SoftwareKeys
from doorward.stores.authority_protocols import RolloverRecord
from doorward.stores.change_result import ChangeResult
from doorward.stores.records import CertificateRecord
from tests.support.doorway import ACTOR, Doorway, Identity

LONG_SECONDS = 60.0
"""Each step takes well under a second."""

_NUMBERS = itertools.count(1)


def renew(doorway: Doorway, name: str) -> CertificateRecord:
    """Renew the newest certificate of a principal with a new key, as an agent does; return the successor."""
    with doorway.services.work.read() as stores:
        old = stores.certificates.get(doorway.certificate_of(name))
    assert old is not None
    key = SoftwareKeys().generate(KeyKind.P256)
    issued = issue(doorway.services, build_csr(key, name), RenewalClaim(actor=ACTOR, certificate=old))
    folder = doorway.folder / "people" / f"{name}-renewed-{next(_NUMBERS)}"
    folder.mkdir(parents=True)
    chain, file = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(
        b"".join(x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in issued.chain_der)
    )
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    doorway.identities[name] = Identity(chain=chain, key=file)
    return issued.record


def done(doorway: Doorway, step: Callable[[], ChangeResult[RolloverRecord]]) -> RolloverRecord:
    """Make a step as soon as every gateway has followed, and wait until the gateway enforces it."""
    limit = time.monotonic() + LONG_SECONDS
    while True:
        try:
            made = step()
        except RequestRefused as refusal:
            if refusal.code != "rollover-unconfirmed" or time.monotonic() > limit:
                raise
            time.sleep(0.02)
        else:
            doorway.settle(made.seq)
            return made.value


@dataclass(slots=True)
class Reconnecting:
    """What clients saw that connect again and again: how many answers, and every failure."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)


@contextlib.contextmanager
def reconnecting(
    doorway: Doorway, *names: str, threads: int = 2, pause_seconds: float = 0.01
) -> Iterator[Reconnecting]:
    """Connect and ask in turn as each of these principals, with its newest certificate, on new connections only."""
    seen, stop, lock = Reconnecting(), threading.Event(), threading.Lock()

    def run(offset: int) -> None:
        for number in itertools.count(offset):
            if stop.wait(pause_seconds):
                return
            name = names[number % len(names)]
            identity = doorway.identities[name]
            try:
                status = doorway.get(identity, "/x").status
                failure = "" if status == 200 else f"{name}: {status}"
            except (OSError, http.client.HTTPException) as error:
                failure = f"{name}: {error!r}"
            with lock:
                seen.answered += not failure
                seen.failures += [failure] if failure else []

    running = [threading.Thread(target=run, args=(one,), daemon=True) for one in range(threads)]
    for one in running:
        one.start()
    try:
        yield seen
    finally:
        stop.set()
        for one in running:
            one.join(30)
