"""OCSP responses from the status listener of `serve`, over kept HTTP connections: pre-signed ones, and ones that are signed for a nonce.

The responses are about the clients' certificates. The responder makes at most 64 signatures for requests that came together, and at most
5,000 in a second; it answers what is beyond that without the nonce. So a round with a nonce asks for fewer, and begins in a second
that has no earlier ones: it measures how fast they are, not the limit. An answer without its nonce would not be counted, but its time would.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from bench import seeding
from bench.installation import Door
from bench.load import Target, write_requests
from bench.rows import Goal, Of, Row
from bench.scene import Measurement, Round, Scene, alone, in_turn, of_door, profile
from doorward.stores.ocsp_signing_limiter import AT_ONCE as SIGNED_AT_ONCE
from doorward.stores.ocsp_signing_limiter import PER_SECOND

AT_ONCE = 64
NONCE = b"0123456789abcdef"
COUNT, COUNT_WITH_NONCE = 20_000, PER_SECOND - 500


def measure(scene: Scene) -> Iterator[Row]:
    """Yield the two rows."""
    kept = not seeding.missing(quick=scene.quick)
    door = scene.million() if kept else scene.few()
    known = "1,000,000 certificates" if kept else "2 certificates"
    for name, nonce, at_once, count, goal in (
        ("pre-signed", b"", AT_ONCE, COUNT, 15_000),
        ("with a nonce", NONCE, min(AT_ONCE, SIGNED_AT_ONCE), COUNT_WITH_NONCE, 5_000),
    ):
        target = _target(door, nonce)
        side = of_door(replace_target(door, target), "plain", at_once, scene.count(count))
        rounds = in_turn({"ours": _after_a_second(side)}, scene.rounds)["ours"]
        yield alone(
            f"OCSP responses {name}",
            rounds,
            goal=Goal(number=goal, of=Of.OURS),
            notes=(f"{known}, {at_once} at once.", profile(rounds)),
        )


def replace_target(door: Door, target: Target) -> Door:
    """Return the same door with another place for the load."""
    return Door(house=door.house, target=target)


def _after_a_second(side: Measurement) -> Measurement:
    def measure(share: float) -> Round:
        time.sleep(1.0)
        return side(share)

    return measure


def _target(door: Door, nonce: bytes) -> Target:
    settings = door.house.installation.settings
    port = int(settings.status_listen.rpartition(":")[2])
    bodies = [_question(chain, nonce) for chain, _ in door.target.identities]
    head = (
        f"POST /ocsp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bench\r\n"
        "Content-Type: application/ocsp-request\r\nContent-Length: "
    )
    file = door.target.requests.with_name("ocsp-requests")
    write_requests(file, [f"{head}{len(one)}\r\n\r\n".encode() + one for one in bodies])
    return replace(door.target, port=port, requests=file, identities=(), expected=nonce.decode("ascii"))


def _question(chain: Path, nonce: bytes) -> bytes:
    leaf, issuer = x509.load_pem_x509_certificates(chain.read_bytes())[:2]
    builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA1())
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)

    return builder.build().public_bytes(Encoding.DER)
