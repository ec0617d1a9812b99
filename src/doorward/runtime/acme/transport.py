"""HTTPS to an ACME server (`authority.acme.ports.AcmeTransport`): one request, one connection.

1. TLS with a verified certificate for the host of the URL. An operator wrote the directory's URL, and every other URL has
   its origin (wire.acme); so, other than for addresses in certificates, private networks are allowed.
2. Never to an address that must not be contacted (core.addresses), nor to a listener of ours.
3. One deadline for everything; the head has at most 32 KiB, the body at most `MAX_ANSWER_BYTES`.
4. No redirect is followed: a redirect is an answer like any other. No proxy, no cookie, nothing is decompressed.

Standard: RFC 8555 section 6.1, RFC 9110, RFC 9112.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import cast

from doorward.authority.acme.ports import AcmeAnswer, AcmeRefusal
from doorward.core.addresses import PRIVATE_NETWORKS, Address, may_fetch_from, unmap_ipv4
from doorward.core.errors import ConfigurationError, DoorwardError, Fault, MalformedInput
from doorward.runtime.fetching.addresses import Place, parse_place
from doorward.runtime.fetching.fetcher import (
    ADDRESS_LIMIT,
    CONNECT_SECONDS,
    Deadline,
    TooMuch,
    Wire,
    connect_to,
    system_context,
    take_body,
)
from doorward.runtime.fetching.resolving import Resolver
from doorward.wire.acme import MAX_ANSWER_BYTES, clean_words

SECONDS = 30.0
"""For one request; an authority may take some seconds for a signature."""

_FIELDS = ("replay-nonce", "location", "retry-after")
_LONGEST_FIELD = 2048
_MEDIA_TYPE = "application/jose+json"


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return TLS with the roots of the system, and those of a file.

    Raises:
        ConfigurationError: `acme-ca-unusable`.
    """
    context = system_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=str(ca_file))
        except (OSError, ssl.SSLError) as error:
            why = error.strerror or "no certificates in PEM"
            raise ConfigurationError(
                [
                    Fault(
                        code="acme-ca-unusable",
                        message=f"{ca_file} cannot be used: {why}",
                        hint="write certificates of authorities in PEM into it, readable by the user of the processes",
                        key="acme_ca_file",
                    )
                ]
            ) from None
    return context


class HttpsTransport:
    """Asks servers; safe to share between threads.

    Args:
        context: the TLS context.
        is_ours: whether an address and port is a listener of ours.
        resolve: host and seconds to addresses.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        is_ours: Callable[[Address, int], bool],
        resolve: Callable[[str, float], list[Address]] | None = None,
    ) -> None:
        self._context = context
        self._is_ours = is_ours
        self._resolve = resolve or Resolver().resolve

    def send(
        self, method: str, url: str, body: bytes | None = None, *, seconds: float = SECONDS
    ) -> AcmeAnswer:
        """Send one request; see `AcmeTransport`."""
        until = Deadline(min(seconds, SECONDS))
        try:
            place = parse_place(url)
            return self._exchange(place, method, body, until)
        except ssl.SSLCertVerificationError as error:
            raise _unreachable(
                f"{place.authority} has no valid certificate: {error.verify_message}"
            ) from None
        except TooMuch:
            raise MalformedInput("acme-answer-malformed", f"{place.authority} answered too much") from None
        except TimeoutError:
            raise _unreachable(f"{place.authority} did not answer in time") from None
        except OSError as error:
            why = clean_words(error.strerror or type(error).__name__, 200)
            raise _unreachable(f"{place.authority} cannot be reached: {why}") from None
        except (http.client.HTTPException, ValueError):
            raise MalformedInput("acme-answer-malformed", f"{place.authority} does not speak HTTP") from None
        except AcmeRefusal:
            raise
        except DoorwardError as error:
            raise _unreachable(error.detail) from None

    def _exchange(self, place: Place, method: str, body: bytes | None, until: Deadline) -> AcmeAnswer:
        if not place.secure:
            raise _unreachable(f"{place.authority} is not asked without TLS")
        addresses = [unmap_ipv4(one) for one in self._resolve(place.host, until.left())]
        for one in addresses:
            if not may_fetch_from(one, PRIVATE_NETWORKS) or self._is_ours(one, place.port):
                raise _unreachable(f"{place.authority} has an address that is never contacted: {one}")
        fault: OSError | None = None
        for address in addresses[:ADDRESS_LIMIT]:
            try:
                raw = connect_to(address, place.port, min(until.left(), CONNECT_SECONDS))
                break
            except OSError as error:
                fault = fault or error
        else:
            raise fault or TimeoutError
        with raw:
            raw.settimeout(until.left())
            with self._context.wrap_socket(raw, server_hostname=place.host) as secure:
                secure.settimeout(until.left())
                secure.sendall(_render(place, method, body))
                wire = Wire(secure, until)
                answer = http.client.HTTPResponse(cast("ssl.SSLSocket", wire), method=method)
                with answer:
                    answer.begin()
                    found = {name: answer.getheader(name) or "" for name in _FIELDS}
                    content = b"" if method == "HEAD" else take_body(answer, wire, MAX_ANSWER_BYTES)
        fields = {name: value for name, value in found.items() if 0 < len(value) <= _LONGEST_FIELD}
        return AcmeAnswer(status=answer.status, fields=fields, body=content)


def _render(place: Place, method: str, body: bytes | None) -> bytes:
    fields = {
        "Host": place.authority,
        "User-Agent": "doorward",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    if body is not None:
        fields |= {"Content-Type": _MEDIA_TYPE, "Content-Length": str(len(body))}
    lines = [f"{method} {place.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (body or b"")


def _unreachable(why: str) -> AcmeRefusal:
    return AcmeRefusal("acme-unreachable", why, is_network=True)
