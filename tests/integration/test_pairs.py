"""A pair of certificate and key is judged as Envoy judges it, and a bad one costs its own door only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat

from doorward.gateway.publishing.discovery.api import load_api
from doorward.gateway.publishing.door_packing import DoorPacker
from doorward.gateway.publishing.pairs import check_pair
from tests.support.attacks import added, changed
from tests.support.certificates.self_signed import Pair, pair, pem
from tests.support.compiled_door import CompiledDoor, open_door, standing_door
from tests.support.door_site import APPS, DoorSite
from tests.support.resources import Resource

P256 = ec.generate_private_key(ec.SECP256R1())
ON_P256 = pair(P256)[0]
STAPLE = x509.TLSFeature([x509.TLSFeatureType.status_request])
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
GARBAGE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


GOOD = {
    "P-256": pair(P256),
    "P-384": pair(ec.generate_private_key(ec.SECP384R1())),
    "P-521": pair(ec.generate_private_key(ec.SECP521R1())),
    "Ed25519": pair(ed25519.Ed25519PrivateKey.generate()),
    "RSA 2048": pair(rsa.generate_private_key(65537, 2048)),
    "ended": pair(P256, days=(-9, -3)),
    "not begun": pair(P256, days=(3, 9)),
    "unknown extension": pair(P256, extensions=[UNKNOWN]),
    "text behind": (ON_P256 + b"text\n", pem(P256)),
    "another form": (ON_P256, pem(P256, PrivateFormat.TraditionalOpenSSL)),
}
BAD = {
    "another key": (ON_P256, pem(ec.generate_private_key(ec.SECP256R1()))),
    "another kind of key": (ON_P256, pem(ed25519.Ed25519PrivateKey.generate())),
    "secp256k1": pair(ec.generate_private_key(ec.SECP256K1())),
    "P-224": pair(ec.generate_private_key(ec.SECP224R1())),
    "Ed448": pair(ed448.Ed448PrivateKey.generate()),
    "RSA 1024": pair(rsa.generate_private_key(65537, 1024)),
    "must-staple": pair(P256, extensions=[STAPLE]),
    "garbage behind": (ON_P256 + GARBAGE, pem(P256)),
    "no certificate": (b"text\n", pem(P256)),
    "no key": (ON_P256, b"text\n"),
    "encrypted": (ON_P256, pem(P256, password=b"x")),
}


def secret(door: CompiledDoor, found: Pair, name: str = "server-1") -> Resource:
    """Return the door's certificate with other content."""
    parts = ("certificate_chain", "private_key")
    inline = {part: {"inline_string": text.decode()} for part, text in zip(parts, found, strict=True)}
    return {**door.resources.secrets["server-1"], "name": name, "tls_certificate": inline}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CompiledDoor]:
    """A running door that is given one certificate after the other."""
    with standing_door(tmp_path_factory.mktemp("door")) as one:
        yield one


@pytest.mark.parametrize("kind", GOOD)
def test_what_envoy_takes_is_sent(door: CompiledDoor, kind: str) -> None:
    """The check is no stricter than Envoy."""
    assert check_pair(*GOOD[kind]) == ""
    assert door.offering.put(secret(door, GOOD[kind])) == {}


@pytest.mark.parametrize("kind", BAD)
def test_what_envoy_refuses_is_not_sent(door: CompiledDoor, kind: str) -> None:
    """Each one has a sentence without a word of the key."""
    said = check_pair(*BAD[kind])
    assert said
    assert "PRIVATE" not in said
    assert list(door.offering.put(secret(door, BAD[kind]))) == ["Secret/server-1"]


def test_a_pair_that_does_not_fit_is_a_fault_of_its_door_alone(tmp_path: Path) -> None:
    """The other doors are packed, the shared trust too; nothing of the bad door is."""
    site = DoorSite(tmp_path, 1)
    plan = site.plan(APPS)
    wrong = replace(site.server_certificate("wrong"), key_path=site.certificate.key_path)
    doors = [replace(one, certificate=wrong) if one.id == "app_pay" else one for one in plan.doors]
    renewed = replace(plan, doors=tuple(doors))
    packed = DoorPacker(load_api()).pack(renewed)
    assert packed.faults == {"app_pay": "the key does not fit its certificate"}
    assert "app_other" in packed.doors


def test_a_renewed_pair_that_does_not_fit_leaves_the_former_one(tmp_path: Path) -> None:
    """Its door is packed with the certificate that it has, as often as it is tried, and with the new one once it fits."""
    site = DoorSite(tmp_path, 1)
    plan, packer = site.plan(APPS), DoorPacker(load_api())
    before = packer.pack(plan).doors["app_pay"]
    fresh = replace(site.server_certificate("fresh"), name=site.certificate.name)
    key = Path(fresh.key_path)
    good = key.read_bytes()
    key.write_bytes(Path(site.certificate.key_path).read_bytes())
    renewed = replace(plan, doors=tuple(replace(one, certificate=fresh) for one in plan.doors))
    for _ in range(2):
        packed = packer.pack(renewed)
        assert packed.kept["app_pay"] == "the key does not fit its certificate"
        assert packed.faults == {}
        assert packed.doors["app_pay"] == before
    key.write_bytes(good)
    packed = packer.pack(renewed)
    assert packed.kept == {}
    assert packed.doors["app_pay"].own[before.certificate] != before.own[before.certificate]


def test_unchecked_it_would_shut_another_door(door: CompiledDoor, tmp_path: Path) -> None:
    """Envoy refuses the shared trust because of another door's pair; one start shuts `pay` though its own pair is good.

    It stays shut after the bad pair was replaced, until the trust is sent once more with another version.
    """
    other = ("listeners", "door", "filter_chains", "app_other", "transport_socket")
    site = DoorSite(tmp_path, door.site.upstream.port)
    edits = (
        changed(*other, to=lambda old: json.loads(json.dumps(old).replace('"server-1"', '"server-2"'))),
        added("secrets", "server-2", value=secret(door, BAD["another key"], "server-2")),
    )
    with open_door(site, *edits, whole=False) as shut:
        refusals = shut.offering.refusals()
        assert "Secret/trust" in refusals
        assert "Secret/server-1" not in refusals
        with pytest.raises(OSError, match=r"reset|EOF"):
            site.ask("GET", "/accounts/7")
        trust = shut.resources.secrets["trust"]
        repaired = {**shut.resources.secrets["server-1"], "name": "server-2"}
        assert shut.offering.put(repaired) == {}
        context = trust["validation_context"]
        again = {"trusted_ca": {"inline_string": context["trusted_ca"]["inline_string"] + "\n"}}
        assert shut.offering.put({**trust, "validation_context": {**context, **again}}) == {}
        assert site.ask("GET", "/accounts/7").status == 200
