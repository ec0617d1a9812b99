"""EST on the wire: bodies in base64, Basic credentials, the answer with a key in two parts.

Old clients differ: base64 in one line, in lines of 64 or 76 characters, with CRLF or without; PEM; plain DER. All are read
(`parse_body`). Base64 in one line is written, because strongSwan reads no other; libest reads only short lines, and is
known by its name (docs/design/0080).
Not here: PKCS#10 and PKCS#7 (pki), who may get a certificate (enrolment.est).
Standard: RFC 8951 sections 2 and 3 (base64 whatever Content-Transfer-Encoding says), RFC 7030 section 4, RFC 7617.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from doorward.core.errors import MalformedInput

BODY_LIMIT = 32 * 1024
"""Bytes: base64 of the largest PKCS#10 request that `pki.csr` reads, with line breaks."""

CREDENTIALS_LIMIT = 1024
"""Characters of an Authorization field: a name has 63 characters, a token 43."""

_BEGIN = b"-----BEGIN"
_SPACES = re.compile(rb"[ \t\r\n]+")
_BASIC = re.compile(r"[Bb][Aa][Ss][Ii][Cc] +([A-Za-z0-9+/]+={0,2}) *", re.ASCII)
_SEQUENCE, _LONG_LENGTH = 0x30, 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicCredentials:
    """A user name and a password as a client sent them; the password is not in `repr`."""

    name: str
    password: str = field(repr=False)


def parse_body(body: bytes) -> bytes:
    """Return the DER (or the PEM) in the body of a request.

    1. PEM is returned as it is. 2. DER is recognised by its first two octets, which are no base64. 3. Anything else is
    base64: spaces and line breaks are ignored anywhere, and padding may be missing.

    Args:
        body: at most 32 KiB.

    Raises:
        MalformedInput: `est-body-malformed`.

    Standard: RFC 8951 section 3.1; RFC 4648 section 4.
    """
    if len(body) > BODY_LIMIT:
        raise _malformed(f"it has more than {BODY_LIMIT} bytes")
    if _BEGIN in body:
        return body
    if len(body) > 1 and body[0] == _SEQUENCE and body[1] >= _LONG_LENGTH:
        return body
    text = _SPACES.sub(b"", body).rstrip(b"=")
    if not text:
        raise _malformed("it is empty")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise _malformed("it is not base64") from None


def render_body(der: bytes, *, short_lines: bool = False) -> bytes:
    """Return base64 in one line, or in lines of 76 characters, which end with a line feed."""
    return base64.encodebytes(der) if short_lines else base64.b64encode(der) + b"\n"


def needs_short_lines(user_agent: str) -> bool:
    """Say whether a client reads only short lines of base64: libest, by its User-Agent."""
    return user_agent.startswith("libest")


def parse_basic(value: str) -> BasicCredentials:
    """Return the credentials of an Authorization field.

    Args:
        value: the field value, at most 1024 characters.

    Raises:
        MalformedInput: `credentials-malformed`; the error does not repeat the value.

    Standard: RFC 7617 section 2: the name ends at the first colon; both parts are UTF-8.
    """
    found = _BASIC.fullmatch(value) if len(value) <= CREDENTIALS_LIMIT else None
    try:
        text = base64.b64decode(found[1], validate=True).decode("utf-8") if found else ""
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    name, colon, password = text.partition(":")
    if not colon:
        raise MalformedInput(
            "credentials-malformed",
            "the Authorization field is not Basic with a name and a password",
            hint="the user name is the name of the device, and the password is the token of its one-time link",
        )
    return BasicCredentials(name=name, password=password)


def render_key_and_certificate(
    key: bytes, certificates: bytes, *, short_lines: bool = False
) -> tuple[str, bytes]:
    """Return the media type and the body of an answer to `serverkeygen`.

    Args:
        key: PKCS#8, DER, not encrypted.
        certificates: certs-only PKCS#7, DER.
        short_lines: as for `render_body`.

    Standard: RFC 7030 section 4.4.2; RFC 2046 section 5.1.
    """
    # Base64 has no hyphen, so no boundary that begins with hyphens can be inside of a part.
    boundary = "doorward-est"
    parts = (
        ("application/pkcs8", render_body(key, short_lines=short_lines)),
        (
            "application/pkcs7-mime; smime-type=certs-only",
            render_body(certificates, short_lines=short_lines),
        ),
    )
    body = b"".join(
        f"--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode("ascii")
        + text.rstrip(b"\n")
        + b"\r\n"
        for kind, text in parts
    )
    return f"multipart/mixed; boundary={boundary}", body + f"--{boundary}--\r\n".encode("ascii")


def _malformed(why: str) -> MalformedInput:
    hint = "send the request as base64 (RFC 8951): openssl req -new … -outform DER | openssl base64"
    return MalformedInput("est-body-malformed", f"the body is not a request: {why}", hint=hint)
