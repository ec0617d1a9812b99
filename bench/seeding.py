"""An installation with 1,000,000 certificates, half of them revoked, made once and kept in a folder that git ignores.

The clients' certificates are issued as always. The others are rows in the product's own tables, written in bulk, while no process has the
file open: without its secondary indexes, which are made afterwards, and without a journal. Each has a
certificate of its own (the bytes of an issued one with another serial number; nothing verifies its signature again), its own
digests, one of 250,000 persons, and dates within the last month. The CRL with its 500,000 entries is published by the product,
and 20,000 certificates have pre-signed OCSP responses. Not made: the events of the issuing, and the other OCSP responses, which
would only be more rows in tables that are read by key.

The folder's name depends on the schema and on `MADE`, and it is made again after a week, before anything in it ends.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from bench.installation import Door, build_document, found, opened
from bench.machine import CACHE, ROOT
from bench.peers import PeerSite
from bench.rows import Row, single
from doorward.access.policies import apply_document
from doorward.authority.status.crls import due_crls, publish_crls
from doorward.authority.status.ocsp_refresh import refresh_ocsp
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import TENANT, PrincipalKind, PrincipalState
from doorward.pki.crl import build_crl, encode_entries, sign_crl
from doorward.runtime.compose import Installation
from doorward.runtime.settings import load_settings
from doorward.storage.values import to_microseconds
from doorward.stores.records import CertificateFilter, CertificateRecord
from tests.support.doorway import ACTOR

MADE = 1
"""Raised if this file makes other rows than before."""

CERTIFICATES = 1_000_000
PERSONS = 250_000
CLIENTS = 200
PRE_SIGNED = 20_000
CRL_ENTRIES = 1_000_000
_CRL_SECONDS = 120.0
_KEPT = timedelta(days=7)
_LIFETIMES = 'crl_lifetime = "30d"\nocsp_lifetime = "30d"\n'
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def missing(*, quick: bool) -> str:
    """Return why there is no such installation in this run; empty if there is one, or if this run may take the time to make it."""
    if quick and not _is_kept(_folder()):
        return "not seeded yet, which takes minutes: `make bench NAMES=seed` once"
    return ""


def measure(_scene: object) -> Iterator[Row]:
    """Make the installation, and yield how long it took."""
    yield single("seeding 1,000,000 certificates", [seed()], unit="s", notes=("Once; kept for a week.",))


def seed() -> float:
    """Make the installation unless it is kept from before; return the seconds that it took, from its own notes."""
    folder = _folder()
    if not _is_kept(folder):
        for old in CACHE.glob("million-*"):
            shutil.rmtree(old)
        folder.mkdir(parents=True)
        print(f"bench: seeding {CERTIFICATES:,} certificates, once", flush=True)
        began = time.monotonic()
        installation, identities = found(folder, 9, CLIENTS)
        with closing(installation):
            file = installation.layout.settings_file
            file.write_text(file.read_text() + _LIFETIMES)
        with closing(_open(folder)) as installation:
            template, now = _find_template(installation), installation.services.clock.now()
            file = installation.layout.database
        first = _fill(file, template, CERTIFICATES - len(identities), now)
        with closing(_open(folder)) as installation:
            _publish(installation, first)
        seconds = time.monotonic() - began
        names = [[one.name, other.name] for one, other in identities]
        (folder / "kept.json").write_text(
            json.dumps({"seconds": seconds, "made": time.time(), "clients": names})
        )
    return float(json.loads((folder / "kept.json").read_text())["seconds"])


@contextmanager
def opened_million(application_port: int) -> Iterator[Door]:
    """Run the installation, in front of this run's application."""
    seed()
    folder = _folder()
    names = json.loads((folder / "kept.json").read_text())["clients"]
    identities = [(folder / "people" / one, folder / "people" / other) for one, other in names]
    with closing(_open(folder)) as installation:
        apply_document(
            installation.services, build_document(application_port), file="bench.yaml", actor=ACTOR
        )
        with opened(installation, identities) as door:
            _await_crl(installation)
            yield door


def _await_crl(installation: Installation) -> None:
    """Wait for the CRL that `serve` publishes after its start: it takes seconds of CPU, once, and is measured apart."""
    limit = time.monotonic() + _CRL_SECONDS
    while due_crls(installation.services, installation.services.clock.now()):
        if time.monotonic() > limit:
            raise TimeoutError("the CRL was not published")
        time.sleep(0.5)


def _folder() -> Path:
    return CACHE / f"million-{_digest()}"


@cache
def _digest() -> str:
    storage = ROOT / "src" / "doorward" / "storage"
    files = [*sorted(storage.glob("schema*.py")), *sorted(storage.glob("migrations/**/*.py"))]
    return hashlib.sha256(b"".join((b"%d" % MADE, *(one.read_bytes() for one in files)))).hexdigest()[:12]


def _is_kept(folder: Path) -> bool:
    note = folder / "kept.json"
    return note.exists() and time.time() - note.stat().st_mtime < _KEPT.total_seconds()


def _open(folder: Path) -> Installation:
    installation = Installation(load_settings(environ={}, data=folder / "data"))
    installation.unlock()
    return installation


def _find_template(installation: Installation) -> CertificateRecord:
    with installation.services.work.read() as stores:
        client = stores.directory.by_name("client-0")
        assert client is not None
        (template,) = stores.certificates.list(CertificateFilter(principal_id=client.id))
    return template


def _fill(file: Path, template: CertificateRecord, count: int, now: datetime) -> list[str]:
    """Write the rows into the database; return the ids of some valid certificates."""
    chosen = random.Random(11)
    persons = [_person(chosen, number, now) for number in range(PERSONS)]
    rows = (_certificate(template, chosen, persons[one % PERSONS], one, now) for one in range(count))
    first: list[str] = []

    def noted() -> Iterator[tuple[Any, ...]]:
        for row in rows:
            if len(first) < PRE_SIGNED:
                first.append(row["id"])
            yield tuple(row.values())

    with closing(sqlite3.connect(file, isolation_level=None)) as driver:
        # Nothing else has the file open, and after a crash it is made again.
        for pragma in (
            "journal_mode = OFF",
            "synchronous = OFF",
            "cache_size = -1500000",
            "temp_store = MEMORY",
        ):
            driver.execute(f"PRAGMA {pragma}")
        indexes = driver.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'certificates' AND sql IS NOT NULL"
        ).fetchall()
        driver.execute("BEGIN")
        for name, _ in indexes:
            driver.execute(f"DROP INDEX {name}")
        _insert(driver, "principals", persons[0], (tuple(one.values()) for one in persons))
        _insert(driver, "certificates", _certificate(template, chosen, persons[0], 0, now), noted())
        for _, sql in indexes:
            driver.execute(sql)
        driver.execute("COMMIT")
        driver.execute("PRAGMA journal_mode = WAL")
    return first


def _insert(
    driver: sqlite3.Connection, table: str, row: dict[str, Any], rows: Iterable[tuple[Any, ...]]
) -> None:
    places = ", ".join("?" * len(row))
    driver.executemany(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", rows)


def _publish(installation: Installation, first: list[str]) -> None:
    """Sign the OCSP responses of these certificates and the CRL."""
    services = installation.services
    now = services.clock.now()
    with services.work.change() as stores:
        for one in first:
            stores.status.await_ocsp(one, now)
    while refresh_ocsp(services).more:
        pass
    publish_crls(services)
    installation.database.maintain()


def _person(chosen: random.Random, number: int, now: datetime) -> dict[str, Any]:
    return {
        "id": _id("per", chosen),
        "tenant": TENANT,
        "kind": PrincipalKind.PERSON.value,
        "name": f"person-{number:06d}",
        "state": PrincipalState.ACTIVE.value,
        "display_name": "",
        "partner_id": "",
        "created_at": to_microseconds(now - timedelta(seconds=PERSONS - number)),
    }


def _certificate(
    template: CertificateRecord, chosen: random.Random, person: dict[str, Any], number: int, now: datetime
) -> dict[str, Any]:
    """Return the row of a certificate as the driver takes it; every second one is revoked."""
    former = template.serial.to_bytes((template.serial.bit_length() + 7) // 8, "big")
    serial = bytes([former[0]]) + chosen.randbytes(len(former) - 1)
    der = template.der.replace(former, serial, 1)
    revoked = number % 2 == 1
    return {
        "id": _id("crt", chosen),
        "tenant": TENANT,
        "authority_id": template.authority_id,
        "serial": f"{int.from_bytes(serial):x}",
        "sha256": hashlib.sha256(der).hexdigest(),
        "profile": template.profile,
        "state": (CertificateState.REVOKED if revoked else CertificateState.VALID).value,
        "not_before": to_microseconds(template.not_before),
        "not_after": to_microseconds(template.not_after),
        "created_at": to_microseconds(now - timedelta(seconds=2 * (CERTIFICATES - number))),
        "principal_id": person["id"],
        "subject_name": person["name"],
        "reason": RevocationReason.SUPERSEDED.value if revoked else None,
        "revoked_at": to_microseconds(now - timedelta(seconds=CERTIFICATES - number)) if revoked else None,
        "replaces": "",
        "spki_sha256": hashlib.sha256(serial).hexdigest(),
        "der": der,
    }


def _id(prefix: str, chosen: random.Random) -> str:
    return f"{prefix}_" + "".join(chosen.choices(_LETTERS, k=20))


def write_peer_crls(site: PeerSite) -> Path:
    """Write the CRL of a million entries of the peers' authority, and an empty one of the root; it takes some seconds."""
    path = site.folder / "crl.pem"
    now = site.now
    entries = (
        ((1 << 120) + 7919 * one, now - timedelta(hours=1), RevocationReason.SUPERSEDED)
        for one in range(CRL_ENTRIES)
    )
    pems = []
    for issuer, listed in ((site.issuing, entries), (site.root, ())):
        unsigned = build_crl(
            issuer.certificate,
            encode_entries(listed),
            number=1,
            this_update=now - timedelta(hours=1),
            next_update=now + timedelta(days=1),
        )
        pems.append(_to_pem(sign_crl(unsigned, issuer.key)))
    path.write_bytes(b"".join(pems))
    return path


def _to_pem(der: bytes) -> bytes:
    text = base64.b64encode(der)
    lines = (text[start : start + 64] for start in range(0, len(text), 64))
    return b"\n".join((b"-----BEGIN X509 CRL-----", *lines, b"-----END X509 CRL-----", b""))
