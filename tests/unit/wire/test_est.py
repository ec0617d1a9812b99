"""EST on the wire: every form of base64 that clients send, Basic credentials, the answer in two parts."""

from __future__ import annotations

import base64
import email

import pytest

from doorward.core.errors import MalformedInput
from doorward.wire.est import (
    BODY_LIMIT,
    CREDENTIALS_LIMIT,
    BasicCredentials,
    needs_short_lines,
    parse_basic,
    parse_body,
    render_body,
    render_key_and_certificate,
)
from tests.support.refusals import refused

DER = b"\x30\x82\x01\x04" + bytes(range(256)) + b"\x00\x00\x00\x00"
LINE = base64.b64encode(DER)
PEM = b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(
    "body",
    [
        LINE,
        LINE + b"\n",
        base64.encodebytes(DER),
        base64.encodebytes(DER).replace(b"\n", b"\r\n"),
        b"\r\n " + base64.encodebytes(DER) + b"\r\n\r\n",
        LINE.rstrip(b"="),
        DER,
    ],
    ids=["one line", "with its end", "RFC 2045", "CRLF", "around", "no padding", "DER"],
)
def test_every_form_of_a_body_is_read(body: bytes) -> None:
    """RFC 8951: whatever line breaks, and also without base64."""
    assert parse_body(body) == DER


def test_pem_stays_pem() -> None:
    """The parser of requests reads it."""
    assert parse_body(PEM) == PEM


@pytest.mark.parametrize(
    "body", [b"", b" \r\n", b"====", b"MII*", b"M", b"\x30", b"MIIB\x00AAA", "MIÌB".encode()]
)
def test_anything_else_is_malformed(body: bytes) -> None:
    """It is told as such, with what to send."""
    with refused(MalformedInput, "est-body-malformed"):
        parse_body(body)


def test_a_body_has_a_limit() -> None:
    """32 KiB, and not one byte more."""
    assert parse_body(b"A" * BODY_LIMIT)
    with refused(MalformedInput, "est-body-malformed"):
        parse_body(b"A" * (BODY_LIMIT + 1))


def test_an_answer_is_one_line() -> None:
    """The base64 decoder of strongSwan knows no line breaks."""
    assert render_body(DER).count(b"\n") == 1
    assert base64.b64decode(render_body(DER)) == DER


def test_libest_gets_short_lines() -> None:
    """It is known by its name, and each line has at most 76 characters."""
    assert needs_short_lines("libest 3.2.0p")
    assert not needs_short_lines("strongSwan")
    assert parse_body(render_body(DER, short_lines=True)) == DER
    assert max(map(len, render_body(DER, short_lines=True).splitlines())) == 76
    assert b"\n" in render_key_and_certificate(DER, DER, short_lines=True)[1].partition(LINE[:76])[2][:2]


@pytest.mark.parametrize(
    ("text", "name", "password"),
    [
        ("pump-1:abc", "pump-1", "abc"),
        ("pump-1:a:b", "pump-1", "a:b"),
        (":abc", "", "abc"),
        ("pümp:x", "pümp", "x"),
        ("a:", "a", ""),
    ],
)
@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_credentials_end_at_the_first_colon(text: str, name: str, password: str, scheme: str) -> None:
    """RFC 7617 section 2; the scheme is read without case."""
    value = f"{scheme} {base64.b64encode(text.encode()).decode()}"
    assert parse_basic(value) == BasicCredentials(name=name, password=password)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic",
        "Basic ",
        "Basic YQ==",
        "Basic YTpi, Basic YTpi",
        "Bearer YTpi",
        "Basic YTp",
        "Basic /zo6",
        "Basic Y*pi",
        "Basic " + base64.b64encode(b"a:" + b"b" * CREDENTIALS_LIMIT).decode(),
    ],
)
def test_other_credentials_are_malformed_and_not_repeated(value: str) -> None:
    """Two fields, another scheme, no colon, too long: no part of them is in the error."""
    with refused(MalformedInput, "credentials-malformed") as found:
        parse_basic(value)
    said = found.value.detail + found.value.hint
    assert value.partition(" ")[2].strip() not in said.split()


def test_a_password_is_not_shown() -> None:
    """Printed values end up in logs."""
    assert "secret" not in repr(BasicCredentials(name="a", password="secret"))


def test_key_and_certificate_are_two_parts() -> None:
    """A MIME parser that is not ours reads both."""
    media_type, body = render_key_and_certificate(b"key", b"certificate")
    message = email.message_from_bytes(f"Content-Type: {media_type}\r\n\r\n".encode() + body)
    key, certificate = message.get_payload()
    assert (key.get_content_type(), key.get_payload(decode=True)) == ("application/pkcs8", b"key")
    assert certificate.get_content_type() == "application/pkcs7-mime"
    assert certificate.get_param("smime-type") == "certs-only"
    assert certificate.get_payload(decode=True) == b"certificate"
