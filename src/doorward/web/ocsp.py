"""OCSP over HTTP, below the framework: the requests of one turn of the event loop are answered by one call in one thread.

    POST /ocsp, GET /ocsp/<b64>

The framework costs fifteen times as much as a pre-signed response, and so does a thread for each request. So `ocsp_protocol` takes
requests to these paths from the parser, and this surface answers them.

There are two queues, each with one call at a time: responses that need no signature, and those that are signed now. A slow key
delays only the second.

Not here: the responses (authority.status.ocsp_answering), reading requests (ocsp_protocol).
Standard: RFC 6960 appendix A, RFC 5019 sections 5 and 6.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import unquote

from cryptography import x509
from cryptography.x509 import ocsp

from doorward.authority.status.ocsp_answering import OcspAnswerer
from doorward.authority.status.publication import OCSP_PATH
from doorward.core.errors import Unavailable
from doorward.pki.ocsp import OcspFailure, OcspRequest, render_failure
from doorward.stores.services import Services
from doorward.web.caching import NO_STORE, caching_fields
from doorward.web.pool import UseCasePool
from doorward.web.problems import note_incident
from doorward.web.shared_crl import render_tag

MAX_OCSP_REQUEST_BYTES = 4 * 1024
"""Precedent: RFC 5019 section 5: one certificate in each request, and less than 255 bytes in a GET."""

OCSP_MAX_AGE = timedelta(minutes=5)
MOST_TOGETHER = 256
"""Requests in one call. Each connection waits for one response, so the queue is no longer than the connections are many."""

WORKERS = 2
"""Threads: one for each queue."""

Job = TypeVar("Job")
Answer = TypeVar("Answer")


class OcspSurface:
    """Answers the OCSP requests of one listener.

    Args:
        services: the ports of this process.
        pool: runs the two queues; its own, so that no other use case delays revocation status.
    """

    def __init__(self, services: Services, pool: UseCasePool) -> None:
        self._services = services
        answerer = OcspAnswerer(services)
        self._unsigned = _Queue[bytes, bytes | OcspRequest](answerer.answer_unsigned, pool)
        self._signed = _Queue[OcspRequest, bytes](answerer.sign_answers, pool)

    def ask(self, request: bytes, give: Callable[[bytes], None]) -> None:
        """Answer a request: `give` gets a DER OCSPResponse, in a later turn of this event loop."""

        def unsigned(found: bytes | OcspRequest) -> None:
            if isinstance(found, OcspRequest):
                self._signed.add(found, give)
            else:
                give(found)

        self._unsigned.add(request, unsigned)

    def caching(self, der: bytes) -> dict[str, str]:
        """Return the caching fields of a response to a GET."""
        return ocsp_caching(der, self._services.clock.now())


class _Queue(Generic[Job, Answer]):
    """Jobs that one call at a time works off; for one event loop."""

    def __init__(self, work: Callable[[Sequence[Job]], Sequence[Answer | bytes]], pool: UseCasePool) -> None:
        self._work = work
        self._pool = pool
        self._waiting: list[tuple[Job, Callable[[Answer | bytes], None]]] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, job: Job, give: Callable[[Answer | bytes], None]) -> None:
        """Add a job. The call begins in the next turn of the loop, with all jobs that came in this one."""
        self._waiting.append((job, give))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work_off())

    async def _work_off(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[:MOST_TOGETHER]
                del self._waiting[:MOST_TOGETHER]
                answers = await self._run([job for job, _ in batch])
                for (_, give), answer in zip(batch, answers, strict=True):
                    give(answer)
        finally:
            self._task = None

    async def _run(self, jobs: list[Job]) -> Sequence[Answer | bytes]:
        failure = OcspFailure.INTERNAL_ERROR
        try:
            return await self._pool.run(lambda: self._work(jobs))
        except Unavailable:
            failure = OcspFailure.TRY_LATER
        except Exception as error:  # noqa: BLE001 - last resort: every request gets an answer
            note_incident(error)
        return [render_failure(failure)] * len(jobs)


def decode_ocsp_path(raw_path: bytes) -> bytes:
    """Return the OCSP request of a GET path; empty, and so malformed, if it is not base64.

    Some clients encode `/`, `+` and `=` as RFC 6960 appendix A.1 says, others do not. The raw path is used, because a
    decoded path does not distinguish `%2F` from `/` and may lose `//`.
    """
    if len(raw_path) > 4 * MAX_OCSP_REQUEST_BYTES:
        return b""
    text = unquote(raw_path.decode("latin-1").removeprefix(OCSP_PATH + "/"))
    try:
        return base64.b64decode((text + "=" * (-len(text) % 4)).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""


def ocsp_caching(der: bytes, now: datetime) -> dict[str, str]:
    """Return the caching fields of an OCSP response; errors and answers with a nonce are not cached.

    Standard: RFC 5019 section 6.2.
    """
    window = _cacheable_window(der)
    if window is None or window.until <= now:
        return NO_STORE
    age = min(OCSP_MAX_AGE, window.until - now)
    return _render_window(window, age if age is OCSP_MAX_AGE else timedelta(seconds=int(age.total_seconds())))


class _Window(NamedTuple):
    """The tag and the times of a response that may be cached."""

    tag: str
    since: datetime
    until: datetime


@lru_cache(maxsize=1024)
def _cacheable_window(der: bytes) -> _Window | None:
    response = ocsp.load_der_ocsp_response(der)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL or _has_nonce(response):
        return None
    single = next(iter(response.responses))
    until = single.next_update_utc
    return None if until is None else _Window(render_tag(der), single.this_update_utc, until)


@lru_cache(maxsize=1024)
def _render_window(window: _Window, age: timedelta) -> dict[str, str]:
    return caching_fields(window.tag, age, since=window.since, until=window.until)


def _has_nonce(response: ocsp.OCSPResponse) -> bool:
    return any(isinstance(extension.value, x509.OCSPNonce) for extension in response.extensions)
