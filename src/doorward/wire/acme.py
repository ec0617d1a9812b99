"""What an ACME server answers, as values: directory, order, authorization, problem, renewal window, chain.

The server is not trusted: it only gets what a stranger may know, and each of its answers is judged before it is used.
1. Each parser is total within its limit: any bytes give a value or `MalformedInput` (`acme-answer-malformed`).
2. Each URL has the origin of the directory (`https`, same host and port). So a server cannot send this machine elsewhere.
3. A token is base64url, because it becomes part of a path (RFC 8555 section 8.3), a file name of a hook never.
4. Its words are cut, and have printable characters only: operators read them on a terminal.

Not here: signed requests (acme_jws), the conversation (authority.acme).
Standard: RFC 8555 (ACME), RFC 7807 (problem documents), RFC 9773 (renewal information).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, NoReturn
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.core.errors import MalformedInput
from doorward.wire.json_object import parse_json_object

MAX_ANSWER_BYTES = 256 * 1024
"""An order with 100 names has about 20 KiB."""

MAX_CHAIN_CERTIFICATES = 10
MAX_NAMES = 100
MAX_CHALLENGES = 32
MAX_WORDS = 400
"""Characters of a server's explanation that are kept."""

LONGEST_RETRY = timedelta(days=30)
"""A longer wait is cut to this one: no answer may stop renewal for ever."""

_CODE = "acme-answer-malformed"
_LONGEST_TIME = 64
_URL_LIMIT = 2048
_PRINTABLE = re.compile(r"[!-~]+")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,256}")
_SECONDS = re.compile(r"[0-9]{1,9}")
_PEM_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
_ERROR_PREFIX = "urn:ietf:params:acme:error:"


class AcmeStatus(Enum):
    """The states of orders, authorizations and challenges (RFC 8555 section 7.1.6)."""

    PENDING = "pending"
    PROCESSING = "processing"
    READY = "ready"
    VALID = "valid"
    INVALID = "invalid"
    DEACTIVATED = "deactivated"
    EXPIRED = "expired"
    REVOKED = "revoked"


class ChallengeKind(Enum):
    """How control of a name is shown."""

    HTTP = "http-01"
    TLS_ALPN = "tls-alpn-01"
    DNS = "dns-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeDirectory:
    """The resources of a server; `renewal_info` is empty if it has none."""

    new_nonce: str
    new_account: str
    new_order: str
    renewal_info: str = ""
    external_account_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeProblem:
    """Why a server refused: `kind` without the prefix of RFC 8555 section 6.7, and its words."""

    kind: str
    words: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.words}" if self.words else self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeOrder:
    """An order at the server; `certificate` is empty until it is valid."""

    status: AcmeStatus
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str = ""
    problem: AcmeProblem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeChallenge:
    """One way to show control of a name."""

    kind: ChallengeKind
    url: str
    token: str
    status: AcmeStatus
    problem: AcmeProblem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeAuthorization:
    """The authorization for one host, in lower case; challenges of unknown kinds are left out."""

    host: str
    status: AcmeStatus
    challenges: tuple[AcmeChallenge, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalWindow:
    """When a server wants a certificate to be renewed (RFC 9773 section 4.2); UTC."""

    start: datetime
    end: datetime


def parse_directory(body: bytes, url: str) -> AcmeDirectory:
    """Return the resources in a directory.

    Args:
        body: the answer, at most `MAX_ANSWER_BYTES`.
        url: where it came from; every other URL must have its origin.

    Raises:
        MalformedInput: `acme-answer-malformed`.

    Standard: RFC 8555 section 7.1.1.
    """
    found = _object(body, "the directory")
    meta = found.get("meta", {})
    required = meta.get("externalAccountRequired") if isinstance(meta, dict) else None
    return AcmeDirectory(
        new_nonce=_url(found.get("newNonce"), url, "newNonce"),
        new_account=_url(found.get("newAccount"), url, "newAccount"),
        new_order=_url(found.get("newOrder"), url, "newOrder"),
        renewal_info=_url(found["renewalInfo"], url, "renewalInfo") if "renewalInfo" in found else "",
        external_account_required=required is True,
    )


def parse_order(body: bytes, url: str) -> AcmeOrder:
    """Return an order; arguments and errors as `parse_directory`.

    Standard: RFC 8555 section 7.1.3.
    """
    found = _object(body, "an order")
    listed = found.get("authorizations")
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_NAMES:
        _malformed(f"an order does not list 1 to {MAX_NAMES} authorizations")
    return AcmeOrder(
        status=_status(found.get("status")),
        authorizations=tuple(_url(one, url, "an authorization") for one in listed),
        finalize=_url(found.get("finalize"), url, "finalize"),
        certificate=_url(found["certificate"], url, "certificate") if found.get("certificate") else "",
        problem=_problem(found.get("error")),
    )


def parse_authorization(body: bytes, url: str) -> AcmeAuthorization:
    """Return an authorization; arguments and errors as `parse_directory`.

    Standard: RFC 8555 section 7.1.4.
    """
    found = _object(body, "an authorization")
    identifier = found.get("identifier")
    value = identifier.get("value") if isinstance(identifier, dict) else None
    if not isinstance(identifier, dict) or identifier.get("type") != "dns" or not isinstance(value, str):
        _malformed("an authorization is not for a DNS name")
    listed = found.get("challenges")
    if not isinstance(listed, list) or len(listed) > MAX_CHALLENGES:
        _malformed(f"an authorization does not list at most {MAX_CHALLENGES} challenges")
    return AcmeAuthorization(
        host=value[:255].lower(),
        status=_status(found.get("status")),
        challenges=tuple(one for one in (_challenge(each, url) for each in listed) if one is not None),
    )


def _challenge(found: object, url: str) -> AcmeChallenge | None:
    if not isinstance(found, dict):
        _malformed("a challenge is not a JSON object")
    kind = found.get("type")
    known = next((one for one in ChallengeKind if one.value == kind), None)
    if known is None:
        return None
    token = found.get("token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        _malformed("the token of a challenge is not 16 to 256 characters of base64url")
    return AcmeChallenge(
        kind=known,
        url=_url(found.get("url"), url, "a challenge"),
        token=token,
        status=_status(found.get("status", "pending")),
        problem=_problem(found.get("error")),
    )


def parse_problem(body: bytes) -> AcmeProblem:
    """Return the problem in an answer; never raises: what cannot be read is a problem without words.

    Standard: RFC 8555 section 6.7, RFC 7807 section 3.1.
    """
    try:
        found = _problem(_object(body, "a problem"))
    except MalformedInput:
        found = None
    return found or AcmeProblem(kind="unknown", words="")


def parse_renewal_window(body: bytes) -> RenewalWindow:
    """Return the suggested window.

    Raises:
        MalformedInput: `acme-answer-malformed`, also if the window ends before it begins.

    Standard: RFC 9773 section 4.2.
    """
    found = _object(body, "renewal information").get("suggestedWindow")
    if not isinstance(found, dict):
        _malformed("renewal information has no suggested window")
    start, end = _moment(found.get("start")), _moment(found.get("end"))
    if end <= start:
        _malformed("the suggested window ends before it begins")
    return RenewalWindow(start=start, end=end)


def parse_chain(body: bytes) -> tuple[bytes, ...]:
    """Return the certificates of a downloaded chain, DER, leaf first.

    Args:
        body: PEM (`application/pem-certificate-chain`), at most `MAX_ANSWER_BYTES`.

    Raises:
        MalformedInput: `acme-answer-malformed`: not 1 to 10 certificates, or one cannot be read.

    Standard: RFC 8555 section 9.1.
    """
    if len(body) > MAX_ANSWER_BYTES:
        _malformed("a chain is too long")
    blocks = _PEM_BLOCK.findall(body)
    rest = _PEM_BLOCK.sub(b"", body)
    if not 0 < len(blocks) <= MAX_CHAIN_CERTIFICATES or rest.strip():
        _malformed(f"the answer is not 1 to {MAX_CHAIN_CERTIFICATES} certificates in PEM and nothing else")
    try:
        found = [x509.load_pem_x509_certificate(one) for one in blocks]
        return tuple(one.public_bytes(Encoding.DER) for one in found)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        _malformed("a certificate of the chain cannot be read")


def parse_retry_after(text: str, now: datetime) -> timedelta | None:
    """Return how long a server asks us to wait, at most 30 days; None if it does not say so in a way we can read.

    Standard: RFC 9110 section 10.2.3.
    """
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return min(timedelta(seconds=int(text)), LONGEST_RETRY)
    try:
        until = parsedate_to_datetime(text[:64])
        until = until.replace(tzinfo=UTC) if until.tzinfo is None else until
        return min(max(until - now, timedelta(0)), LONGEST_RETRY)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def check_acme_url(url: str, base: str = "") -> str:
    """Return a URL that may be asked: https, without user, query that is printable, and of the origin of `base`.

    Raises:
        MalformedInput: `acme-answer-malformed`.
    """
    return _url(url, base or url, "the address")


def _url(value: object, base: str, what: str) -> str:
    if not isinstance(value, str) or len(value) > _URL_LIMIT or not _PRINTABLE.fullmatch(value):
        _malformed(f"{what} is not a URL")
    try:
        found, own = urlsplit(value), urlsplit(base)
        same = (found.scheme, found.hostname, found.port or 443) == ("https", own.hostname, own.port or 443)
    except ValueError:
        _malformed(f"{what} is not a URL")
    if not same or not found.hostname or "@" in found.netloc or found.fragment:
        _malformed(f"{what} is not an https URL of the host of the directory")
    return value


def _object(body: bytes, what: str) -> dict[str, Any]:
    if len(body) > MAX_ANSWER_BYTES:
        _malformed(f"{what} is longer than {MAX_ANSWER_BYTES} bytes")
    return parse_json_object(body, code=_CODE, what=what)


def _status(value: object) -> AcmeStatus:
    found = next((one for one in AcmeStatus if one.value == value), None)
    if found is None:
        _malformed("a status is unknown")
    return found


def _problem(value: object) -> AcmeProblem | None:
    if not isinstance(value, dict):
        return None
    kind, detail = value.get("type"), value.get("detail")
    words = detail if isinstance(detail, str) else ""
    nested = value.get("subproblems")
    for one in nested[:3] if isinstance(nested, list) else []:
        if isinstance(one, dict) and isinstance(one.get("detail"), str):
            words = f"{words}; {one['detail']}"
    return AcmeProblem(
        kind=clean_words(kind.removeprefix(_ERROR_PREFIX) if isinstance(kind, str) else "unknown", 64),
        words=clean_words(words, MAX_WORDS),
    )


def clean_words(text: str, most: int) -> str:
    """Return a stranger's words on one line: printable characters only, others as `?`, cut to a length."""
    cut = text[: 2 * most]
    line = " ".join("".join(one if one.isprintable() or one.isspace() else "?" for one in cut).split())
    return line[:most]


def _moment(value: object) -> datetime:
    try:
        found = (
            datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= _LONGEST_TIME else None
        )
        found = found.astimezone(UTC) if found is not None and found.tzinfo is not None else None
    except (ValueError, OverflowError):
        found = None
    if found is None:
        _malformed("a time of the window is not RFC 3339")
    return found


def _malformed(detail: str) -> NoReturn:
    raise MalformedInput(_CODE, detail) from None


def render_payload(value: object) -> bytes:
    """Return a request's payload as JSON."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
