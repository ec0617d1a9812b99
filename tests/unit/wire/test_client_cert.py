"""The `Client-Cert` field."""

from __future__ import annotations

import pytest

from doorward.core.errors import MalformedInput
from doorward.wire.client_cert import MAX_DER_BYTES, parse_client_cert, render_client_cert
from tests.support.refusals import refused


def test_the_value_is_base64_between_colons() -> None:
    """RFC 9440 section 2.1: the field is one byte sequence."""
    assert render_client_cert(b"\x30\x03\x02\x01\x05") == ":MAMCAQU=:"
    assert parse_client_cert(":MAMCAQU=:") == b"\x30\x03\x02\x01\x05"
    assert parse_client_cert("  :MAMCAQU=: ") == b"\x30\x03\x02\x01\x05"


def test_the_longest_certificate_passes_both_ways() -> None:
    """A certificate of exactly the limit is rendered and parsed."""
    der = b"\x30" * MAX_DER_BYTES
    assert parse_client_cert(render_client_cert(der)) == der


@pytest.mark.parametrize("der", [b"", b"\x30" * (MAX_DER_BYTES + 1)])
def test_no_bytes_and_too_many_bytes_are_refused(der: bytes) -> None:
    """Nothing, and more than the limit, is not rendered."""
    with refused(MalformedInput, "client-cert-malformed"):
        render_client_cert(der)


@pytest.mark.parametrize(
    "value",
    [
        "",
        ":",
        "::",
        "MAMCAQU=",
        ":MAMCAQU=",
        "MAMCAQU=:",
        ":MAMCAQU:",
        ":MAMCAQU=:;a=1",
        ":MAMCAQU=:, :MAMCAQU=:",
        ":MAMC AQU=:",
        ":MAMC_QU-:",
        ":MAMCAQV=:",
        ":Mä==:",
        "\t:MAMCAQU=:",
        f":{'A' * 21852}:",
    ],
)
def test_anything_but_one_byte_sequence_is_refused(value: str) -> None:
    """Lists, parameters, other alphabets, missing padding and loose bits are refused."""
    with refused(MalformedInput, "client-cert-malformed"):
        parse_client_cert(value)
