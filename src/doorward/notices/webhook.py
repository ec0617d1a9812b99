"""Posts one signed message to the operator's webhook, in the form of Standard Webhooks.

    webhook-id         the notice's id; the same for each try, so that a receiver can drop a repetition
    webhook-timestamp  seconds since 1970; a receiver refuses old ones
    webhook-signature  v1,BASE64(HMAC-SHA256(secret, id "." timestamp "." body))

The URL is a setting of the operator, not a stranger's. It must be https, with a certificate that is verified; plain http is
allowed to this machine alone, and only by a setting that says that it is unsafe. A redirect is not followed: it is a failure.
Not here: when to try again (`sender`).
Standard: RFC 9110; Standard Webhooks 1.0; RFC 2104.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from doorward.core.errors import MalformedInput
from doorward.directory.notice_planning import EndingContent
from doorward.notices.failures import SendFailed

TIMEOUT_SECONDS = 10.0
LONGEST_ANSWER = 4096
SHORTEST_SECRET, LONGEST_SECRET = 24, 64
"""Octets, as Standard Webhooks recommends."""

_PREFIX = "whsec_"
_GOOD = range(200, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where messages are posted.

    Args:
        url: as `webhook_url.check_webhook_url` accepts it.
        read_secret: reads the secret each time, because its file may be replaced.
        authorities: a PEM file with the authorities of the server's certificate; None for those of the system.
    """

    url: str
    read_secret: Callable[[], bytes]
    authorities: Path | None = None


def parse_webhook_secret(text: str) -> bytes:
    """Return the secret in a text `whsec_BASE64`, 24 to 64 octets.

    Raises:
        MalformedInput: `webhook-secret-malformed`; the text is not repeated.
    """
    try:
        secret = base64.b64decode(text.strip().removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET:
        raise MalformedInput(
            "webhook-secret-malformed",
            f"the file of the webhook's secret does not hold {SHORTEST_SECRET} to {LONGEST_SECRET} octets in base64",
            hint="make one: (printf whsec_; head -c 32 /dev/urandom | base64) > FILE",
        )
    return secret


def build_signature(secret: bytes, id_: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`."""
    signed = b"%s.%d.%s" % (id_.encode("ascii"), timestamp, body)
    return f"v1,{base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode('ascii')}"


def render_event(content: EndingContent, days: int, at: datetime) -> dict[str, Any]:
    """Return the message about a certificate that ends, or of which the issuer is being replaced."""
    record, holder = content.certificate, content.holder
    return {
        "type": "certificate.ends" if content.renew_by is None else "certificate.issuer-replaced",
        "timestamp": _moment(at),
        "data": {
            "certificate": record.id,
            "serial": f"{record.serial:x}",
            "sha256": record.sha256,
            "principal": holder.id,
            "name": holder.name,
            "kind": holder.kind.value,
            "not_after": _moment(record.not_after),
            **({"days": days} if content.renew_by is None else {"renew_by": _moment(content.renew_by)}),
        },
    }


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def post_webhook(webhook: Webhook, message: Mapping[str, Any], *, id_: str, at: datetime) -> None:
    """Post one message.

    Args:
        webhook: see `Webhook`.
        message: a JSON object.
        id_: of the notice; the same for each try.
        at: now, aware.

    Raises:
        SendFailed: there was no answer, or none with a status from 200 to 299.
    """
    body = json.dumps(message, separators=(",", ":"), sort_keys=True).encode("utf-8")
    timestamp = int(at.timestamp())
    try:
        secret = parse_webhook_secret(webhook.read_secret().decode("ascii", "replace"))
    except (MalformedInput, OSError) as fault:
        raise SendFailed(f"the webhook's secret cannot be used: {fault}") from None
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Doorward",
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": build_signature(secret, id_, timestamp, body),
    }
    parts = urlsplit(webhook.url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _connect(webhook, parts.scheme, parts.hostname or "", parts.port)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read(LONGEST_ANSWER)
        status = answer.status
    except (OSError, http.client.HTTPException, ValueError) as fault:
        raise SendFailed(f"the webhook at {parts.hostname}: {fault or type(fault).__name__}") from None
    finally:
        connection.close()
    if status not in _GOOD:
        raise SendFailed(f"the webhook at {parts.hostname} answers {status}")


def _connect(webhook: Webhook, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    authorities = None if webhook.authorities is None else str(webhook.authorities)
    context = ssl.create_default_context(cafile=authorities)
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
