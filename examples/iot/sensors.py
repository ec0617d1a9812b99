"""The sensors of the example: what is inside each of them, and what they say on the network.

A sensor leaves the factory with a key and a certificate of its maker (IEEE 802.1AR calls it IDevID). It speaks EST
(RFC 7030) to get and to renew its certificate for this site, and MQTT 3.1.1 to publish. Everything is real TLS: each
sensor has keys of its own and opens its own connections.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs7,
)
from cryptography.x509.oid import NameOID

SECONDS = 60.0
"""How long one exchange may take: a thousand sensors share a small machine."""
NO_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The end of a factory certificate: the lifetime of the sensor is not known (RFC 5280 section 4.1.2.5)."""
AT_ONCE = 24
"""How many sensors do the same thing at the same time: two processors do all of the cryptography, of both sides."""
_MAX_ANSWER_BYTES = 64 * 1024
T = TypeVar("T")


def _save_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


class Factory:
    """The maker of the sensors, with an authority of its own that signs one certificate for each sensor."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme Sensors")])
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        self._authority = (
            x509.CertificateBuilder(
                self._name, self._name, self._key.public_key(), x509.random_serial_number()
            )
            .not_valid_before(datetime.now(UTC) - timedelta(days=365))
            .not_valid_after(datetime.now(UTC) + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.authority = folder / "acme-sensors.pem"
        self.authority.write_bytes(self._authority.public_bytes(Encoding.PEM))

    def make(self, number: int) -> Sensor:
        """Return a new sensor with the serial number `A` and five digits."""
        serial = f"A{number:05}"
        folder = self._folder / serial
        folder.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme Sensors"),
                x509.NameAttribute(NameOID.SERIAL_NUMBER, serial),
            ]
        )
        certificate = (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(days=1))
            .not_valid_after(NO_END)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        _save_key(folder / "factory-key.pem", key)
        (folder / "factory.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        return Sensor(serial=serial, folder=folder, source=f"127.0.{1 + number // 250}.{1 + number % 250}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the sensors connect: the port of the door, the names of its hosts, and the root that they trust."""

    port: int
    est: str
    broker: str
    root: Path

    def context(self, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
        """Return a TLS context that trusts this site only."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.root)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to an EST request: its status, the seconds of Retry-After (0 if there is none), and its body."""

    status: int
    retry_after: int
    body: bytes


@dataclass(slots=True, kw_only=True)
class Sensor:
    """One sensor; `source` is the address that it connects from.

    `present` names the files of its certificate and key of this site, without the end `.pem`; empty before enrolment.
    """

    serial: str
    folder: Path
    source: str
    present: str = ""
    generation: int = 0
    line: Line | None = field(default=None, repr=False)

    @property
    def chain(self) -> Path:
        """The certificate that the sensor uses at this site, with its issuer."""
        return self.folder / f"{self.present}.pem"

    @property
    def key(self) -> Path:
        """The key of that certificate."""
        return self.folder / f"{self.present}-key.pem"

    @property
    def certificate(self) -> x509.Certificate:
        """That certificate."""
        return x509.load_pem_x509_certificate(self.chain.read_bytes())

    def copy(self, folder: Path) -> Sensor:
        """Return a clone: a second machine with a copy of all files."""
        folder.mkdir()
        for file in self.folder.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        return Sensor(
            serial=self.serial,
            folder=folder,
            source="127.0.9.9",
            present=self.present,
            generation=self.generation,
        )

    async def enrol(self, site: Site) -> Answer:
        """Ask for a certificate of this site, with the factory's certificate."""
        context = site.context(self.folder / "factory.pem", self.folder / "factory-key.pem")
        return await self._ask(site, context, "simpleenroll")

    async def renew(self, site: Site) -> Answer:
        """Ask for the next certificate, with a new key and with the present certificate."""
        return await self._ask(site, site.context(self.chain, self.key), "simplereenroll")

    async def _ask(self, site: Site, context: ssl.SSLContext, operation: str) -> Answer:
        """Send a request for a new key; keep the certificate if there is one in the answer."""
        body = base64.b64encode(self.make_request())
        answer = await _post(site, context, self.source, f"/.well-known/est/{operation}", body)
        if answer.status == 200:
            issued = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.body))
            self.keep([one.public_bytes(Encoding.DER) for one in issued])
        return answer

    def make_request(self) -> bytes:
        """Return a request (PKCS#10, DER) for the next key. A sensor that asks again asks for the same key."""
        path = self._next.with_name(f"{self._next.name}-key.pem")
        if not path.exists():
            _save_key(path, ec.generate_private_key(ec.SECP256R1()))
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        return request.sign(_load_key(path), hashes.SHA256()).public_bytes(Encoding.DER)

    def keep(self, chain: Sequence[bytes]) -> None:
        """Keep the certificate that was issued for the next key, with its issuer; use it from now on."""
        certificates = [x509.load_der_x509_certificate(der) for der in chain]
        key = _load_key(self._next.with_name(f"{self._next.name}-key.pem")).public_key()
        certificates.sort(key=lambda one: one.public_key() != key)
        text = b"".join(one.public_bytes(Encoding.PEM) for one in certificates)
        self._next.with_name(f"{self._next.name}.pem").write_bytes(text)
        self.present, self.generation = self._next.name, self.generation + 1

    def forget_next_key(self) -> None:
        """Make another key for the next request."""
        self._next.with_name(f"{self._next.name}-key.pem").unlink(missing_ok=True)

    @property
    def _next(self) -> Path:
        return self.folder / f"site-{self.generation + 1}"

    async def knock(self, site: Site, present: str = "") -> bool:
        """Connect to the broker once with one of the certificates; return whether the broker answered."""
        name = present or self.present
        context = site.context(self.folder / f"{name}.pem", self.folder / f"{name}-key.pem")
        line = await Line.open(site, context, self.source, f"{self.serial}-knock")
        if line is not None:
            await line.close()
        return line is not None

    async def connect(self, site: Site) -> bool:
        """Connect to the broker through the door; return whether the broker answered."""
        self.line = await Line.open(site, site.context(self.chain, self.key), self.source, self.serial)
        return self.line is not None

    async def publish(self, value: int) -> bool:
        """Publish a value; return whether the broker has acknowledged it."""
        return self.line is not None and await self.line.publish(f"hall/{self.serial}", str(value))


async def _post(site: Site, context: ssl.SSLContext, source: str, path: str, body: bytes) -> Answer:
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", site.port, ssl=context, server_hostname=site.est, local_addr=(source, 0)
        )
        try:
            head = (
                f"POST {path} HTTP/1.1\r\nHost: {site.est}:{site.port}\r\nContent-Type: application/pkcs10\r\n"
                f"Content-Transfer-Encoding: base64\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode("ascii") + body)
            raw = await reader.read(-1)
        finally:
            writer.close()
    return _parse(raw[:_MAX_ANSWER_BYTES])


def _parse(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
    if fields.get("transfer-encoding") == "chunked":
        body = _join_chunks(body)
    after = fields.get("retry-after", "0")
    return Answer(status=int(status.split()[1]), retry_after=int(after) if after.isdigit() else 0, body=body)


def _join_chunks(body: bytes) -> bytes:
    joined = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        joined, body = joined + body[:length], body[length + 2 :]
    return joined


class Line:
    """One open MQTT 3.1.1 connection; `ended` is set when the other side ends it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._acknowledged: asyncio.Queue[int] = asyncio.Queue()
        self._number = 0
        self.ended = asyncio.Event()
        self.ended_at = 0.0
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, site: Site, context: ssl.SSLContext, source: str, client: str) -> Line | None:
        """Connect; None if the door or the broker refuses."""
        try:
            async with asyncio.timeout(SECONDS):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", site.port, ssl=context, server_hostname=site.broker, local_addr=(source, 0)
                )
                writer.write(_packet(0x10, b"\x00\x04MQTT\x04\x02\x02\x58" + _text(client)))
                answer = await reader.readexactly(4)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            return None
        return cls(reader, writer) if answer == b"\x20\x02\x00\x00" else None

    async def publish(self, topic: str, value: str) -> bool:
        """Publish with QoS 1; return whether the broker has acknowledged it."""
        self._number += 1
        try:
            packet = _text(topic) + struct.pack(">H", self._number) + value.encode("utf-8")
            self._writer.write(_packet(0x32, packet))
            async with asyncio.timeout(SECONDS):
                return await self._acknowledged.get() == self._number
        except (OSError, TimeoutError):
            return False

    async def _read(self) -> None:
        try:
            while True:
                kind, length = await self._reader.readexactly(2)
                body = await self._reader.readexactly(length)
                if kind == 0x40:
                    self._acknowledged.put_nowait(struct.unpack(">H", body)[0])
        except (OSError, asyncio.IncompleteReadError):
            self.ended_at = datetime.now(UTC).timestamp()
            self.ended.set()
            self._acknowledged.put_nowait(0)

    async def close(self) -> None:
        """End it."""
        self._task.cancel()
        self._writer.close()


def _packet(kind: int, body: bytes) -> bytes:
    return bytes([kind, len(body)]) + body  # every packet here is shorter than 128 bytes


def _text(value: str) -> bytes:
    data = value.encode("utf-8")
    return struct.pack(">H", len(data)) + data


async def for_each(sensors: Sequence[Sensor], work: Callable[[Sensor], Awaitable[T]]) -> list[T]:
    """Do the work for each sensor, with a bounded number at the same time; return the results in order."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(sensor: Sensor) -> T:
        async with room:
            return await work(sensor)

    return await asyncio.gather(*(one(sensor) for sensor in sensors))
