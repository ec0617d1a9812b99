"""The chain that a client showed, as Envoy passes it on: one form is read, and nothing that a client could write."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import quote

import pytest

from doorward.core.errors import MalformedInput
from doorward.wire.forwarded_chain import LENGTH_LIMIT, MOST_CERTIFICATES, parse_forwarded_chain
from tests.support.refusals import refused

LEAF, ISSUER = b"leaf" * 40, b"issuer" * 40


def pem(*ders: bytes) -> str:
    """Return PEM blocks; what is inside of them is not looked at."""
    return "".join(
        f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(one).decode()}-----END CERTIFICATE-----\n"
        for one in ders
    )


def field(*ders: bytes, of: bytes = LEAF) -> str:
    """Return the field as Envoy writes it."""
    return f'Hash={hashlib.sha256(of).hexdigest()};Chain="{quote(pem(*ders), safe="")}"'


def test_a_chain_is_read_leaf_first() -> None:
    """All certificates, in their order."""
    assert parse_forwarded_chain(field(LEAF, ISSUER)) == (LEAF, ISSUER)


def test_the_first_certificate_is_the_one_of_the_proof() -> None:
    """A chain that begins with another certificate than the peer's names somebody else."""
    with refused(MalformedInput, "shown-chain-malformed"):
        parse_forwarded_chain(field(ISSUER, LEAF))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "By=x;Subject=alice",
        f"{field(LEAF)},{field(LEAF)}",
        f'Cert="x";{field(LEAF)}',
        f"{field(LEAF)};Subject=x",
        field(),
        field(LEAF)[:-1],
        field(b"leaf" + LEAF[:-1]).replace("%0A-----END", "A%0A-----END"),
        field(LEAF).replace("BEGIN", "BEG%0AIN"),
        field(LEAF).replace("%0A", "%0A%00"),
        f'Hash={hashlib.sha256(LEAF).hexdigest()};Chain="{quote(pem(LEAF) + "x", safe="")}"',
    ],
)
def test_any_other_form_is_malformed(value: str) -> None:
    """Two elements, other keys, text between the blocks, nothing at all."""
    with refused(MalformedInput, "shown-chain-malformed"):
        parse_forwarded_chain(value)


def test_a_chain_has_limits() -> None:
    """At most six certificates, and 64 KiB."""
    assert len(parse_forwarded_chain(field(*[LEAF] * MOST_CERTIFICATES))) == MOST_CERTIFICATES
    with refused(MalformedInput, "shown-chain-malformed"):
        parse_forwarded_chain(field(*[LEAF] * (MOST_CERTIFICATES + 1)))
    with refused(MalformedInput, "shown-chain-malformed"):
        parse_forwarded_chain(field(LEAF * LENGTH_LIMIT, of=LEAF * LENGTH_LIMIT))
