"""The status surface: revocation lists and certificates that relying parties fetch to judge our certificates.

    GET  /crl/<authority>.crl    the newest revocation list, DER (the CRL address in certificates)
    GET  /crl/<authority>/<n>-of-<count>.crl   one partition, if the list is divided
    GET  /crl/<authority>/delta.crl, /crl/<authority>/<n>-of-<count>-delta.crl   what has changed since, if lists name deltas
    GET  /ca/<authority>.cer     an authority's certificate, DER (the AIA address)
    GET  /root.pem               the root certificate, PEM
    GET  /roots.pem              every trusted root, and their cross-certificates, PEM
    GET  /jwks.json              the public keys of assertions: keys of gateways and of sessions
    GET  /healthz, /readyz       whether this process answers; whether it can serve revocation status

Everything here is public, and no request causes a signature.
Not here: OCSP (ocsp), freshness (authority.status.published_objects), sharing large lists (shared_crl, downloads).
Standard: RFC 5280 sections 4.2.1.13 and 4.2.2.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from doorward.authority.authority_certificates import root_bundle
from doorward.authority.inventory import root_certificate
from doorward.authority.status.partitions import FULL, division_of, scope_of
from doorward.authority.status.publication import AUTHORITY_PATH, CRL_PATH, PARTITION_PATH
from doorward.authority.status.published_objects import authority_certificate, find_faults
from doorward.authority.status.root_crl import newest_root_lists
from doorward.core.errors import DoorwardError, MalformedInput, NotFound
from doorward.stores.services import Services
from doorward.web.caching import caching_fields, is_cached_by_client
from doorward.web.downloads import MAX_DOWNLOADS, Downloads
from doorward.web.pool import UseCasePool
from doorward.web.shared_crl import SharedCrls, render_tag
from doorward.wire.jose import parse_jwk, render_jwks

_log = structlog.get_logger("doorward.web.status")

CRL_MAX_AGE = timedelta(minutes=1)
"""A cache may hide a revocation for this time; in return, the authority gets far fewer requests."""

KEYS_MAX_AGE = timedelta(minutes=5)
STABLE_MAX_AGE = timedelta(hours=1)
"""For content that never changes at its URL (authority certificates) or changes rarely (keys, the root)."""

_AUTHORITY_ID = re.compile(r"aut_[a-z0-9]{20}")
_CRL_TYPE, _CERTIFICATE_TYPE = "application/pkix-crl", "application/pkix-cert"
_PEM_TYPE = "application/x-pem-file"


class StatusSurface:
    """The routes of the status listener over one set of services.

    Args:
        services: the ports of this process.
        pool: the threads that run use cases.
        downloads: how many large CRLs may be sent at the same time.
    """

    def __init__(self, services: Services, pool: UseCasePool, *, downloads: int = MAX_DOWNLOADS) -> None:
        self._services = services
        self._pool = pool
        self._crls = SharedCrls(services)
        self._downloads = Downloads(downloads)

    def routes(self) -> list[Route]:
        """Return the routes; every GET answers HEAD too."""
        return [
            Route(CRL_PATH, self.crl),
            Route(PARTITION_PATH, self.crl),
            Route(AUTHORITY_PATH, self.certificate),
            Route("/root.pem", self.root),
            Route("/roots.pem", self.roots),
            Route("/jwks.json", self.jwks),
            Route("/healthz", self.health),
            Route("/readyz", self.readiness),
        ]

    async def crl(self, request: Request) -> Response:
        """Answer with the newest revocation list of an authority: the full list, one partition, or a delta of either."""
        authority, partition = _authority_id(request), _partition(request)
        shared = await self._pool.run(lambda: self._crls.find(authority, partition))
        if shared is None:
            raise NotFound(
                "crl-unknown",
                f"there is no revocation list of {authority}",
                hint="use the CRL address in the certificate, or the address of the delta in the list",
            )
        crl = shared.record
        age = min(CRL_MAX_AGE, crl.next_update - self._services.clock.now())
        headers = caching_fields(shared.tag, age, since=crl.this_update, until=crl.next_update)
        if _is_known(request, headers):
            return Response(status_code=304, headers=headers)
        return self._downloads.answer(request, crl.der, _CRL_TYPE, headers)

    async def certificate(self, request: Request) -> Response:
        """Answer with an authority's certificate."""
        authority = _authority_id(request)
        der = await self._pool.run(lambda: authority_certificate(self._services, authority))
        return _answer_stable(request, der, _CERTIFICATE_TYPE)

    async def root(self, request: Request) -> Response:
        """Answer with the root certificate, as text."""
        return _answer_stable(request, await self._pool.run(lambda: root_pem(self._services)), _PEM_TYPE)

    async def roots(self, request: Request) -> Response:
        """Answer with every trusted root and their cross-certificates; during a rollover of the root there are two."""
        return _answer_stable(request, await self._pool.run(lambda: roots_pem(self._services)), _PEM_TYPE)

    async def jwks(self, request: Request) -> Response:
        """Answer with the public keys under which assertions are signed (RFC 7517 section 5)."""
        keys = await self._pool.run(self._read_keys)
        document = JSONResponse(keys, media_type="application/jwk-set+json")
        return _answer_stable(request, bytes(document.body), "application/jwk-set+json", max_age=KEYS_MAX_AGE)

    def _read_keys(self) -> dict[str, list[dict[str, str]]]:
        """Return the keys of the gateways, and the keys that sign the assertions of sessions."""
        with self._services.work.read() as stores:
            owned_keys = [(gateway.id, gateway.assertion_jwk) for gateway in stores.gateways.list()]
            owned_keys += [(key.id, key.public_jwk) for key in stores.session_keys.list()]
        keys = []
        for owner, jwk in owned_keys:
            try:
                keys.append(parse_jwk(jwk))
            except MalformedInput:
                _log.warning("assertion-key-malformed", key_of=owner)
        return render_jwks(keys)

    async def health(self, _request: Request) -> Response:
        """Say that this process answers. The database is not checked: a slow database must not make a supervisor restart the process."""
        return PlainTextResponse("ok\n", headers={"Cache-Control": "no-store"})

    async def readiness(self, _request: Request) -> Response:
        """Say whether status can be served: the database answers, and the CRL and the certificate of the OCSP responder are valid."""
        faults = await self._pool.run(self._find_faults)
        return JSONResponse(
            {"ready": not faults, "faults": faults},
            status_code=503 if faults else 200,
            headers={"Cache-Control": "no-store"},
        )

    def _find_faults(self) -> list[str]:
        """Return the codes of the faults, without details: this page is public."""
        try:
            root_certificate(self._services)
            return list(find_faults(self._services, self._services.clock.now()))
        except DoorwardError as error:
            return [error.code]


def root_pem(services: Services) -> bytes:
    """Return the root certificate in PEM; raises `NotFound` (`not-founded`)."""
    return x509.load_der_x509_certificate(root_certificate(services).der).public_bytes(Encoding.PEM)


def root_lists_pem(services: Services) -> bytes:
    """Return the newest CRL of each trusted root in PEM; raises `NotFound` (`not-founded`)."""
    crls = (x509.load_der_x509_crl(der) for der in newest_root_lists(services))
    return b"".join(one.public_bytes(Encoding.PEM) for one in crls)


def roots_pem(services: Services) -> bytes:
    """Return the trusted roots and their cross-certificates in PEM; raises `NotFound` (`not-founded`)."""
    every = map(x509.load_der_x509_certificate, root_bundle(services))
    return b"".join(one.public_bytes(Encoding.PEM) for one in every)


def _answer_stable(
    request: Request, body: bytes, media_type: str, max_age: timedelta = STABLE_MAX_AGE
) -> Response:
    age = int(max_age.total_seconds())
    headers = {"Cache-Control": f"public, max-age={age}", "ETag": render_tag(body)}
    if _is_known(request, headers):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def _is_known(request: Request, fields: Mapping[str, str]) -> bool:
    return is_cached_by_client(request.method, request.headers.get("if-none-match", ""), fields)


def _authority_id(request: Request) -> str:
    """Return the authority id in the path; a malformed id is refused without a query."""
    text: str = request.path_params["authority_id"]
    if not _AUTHORITY_ID.fullmatch(text):
        raise NotFound(
            "authority-unknown",
            "the path has no well-formed authority id",
            hint="use the address in the certificate",
        )
    return text


def _partition(request: Request) -> str:
    """Return the name of a list in the path, a partition or a delta; empty for the full list."""
    name: str = request.path_params.get("partition", FULL)
    if not division_of(scope_of(name)):
        raise NotFound(
            "crl-unknown",
            "the path names no partition of a CRL",
            hint="use the CRL address in the certificate",
        )
    return name
