"""Answers OCSP requests, many in one read transaction.

A transaction, and the thread that runs it, cost far more than finding one pre-signed response. So requests that come at the
same time are answered together, and those that need a signature apart from the others, because a slow key must not delay
responses that need none. Each call reads a snapshot of its own, which begins after its requests came.

The steps of an OCSP response:
1. If the memo has the response for these bytes (ocsp_memo), return it.
2. Parse the request; if it is malformed, answer `malformedRequest`.
3. Find the issuer; if it is not one of our own issuing authorities, answer `unauthorized`.
4. Look up the certificate by its serial number.
5. If the request has no nonce and there is a fresh pre-signed response, return it.
6. Otherwise sign a response now: good, revoked, or unknown for a serial number that we never issued. If this process
   cannot sign, return the pre-signed response even for a request with a nonce (RFC 9654 section 2.1
   allows a responder to leave it out). If there is none, a process without the responder's key answers `unauthorized`,
   and a process that has reached its limit of signatures (ocsp_signing_limiter) answers `tryLater`.

Not here: HTTP, caching fields, queues (web.ocsp).
Standard: RFC 6960 sections 2.1 to 2.3; RFC 5019 section 2.2.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime

from doorward.authority.status.ocsp_memo import OcspMemo
from doorward.authority.status.ocsp_responses import AuthoritySigner, issuer_of_ids, load_authority_signer
from doorward.core.errors import DoorwardError, MalformedInput, Unavailable
from doorward.pki.ocsp import (
    OcspFailure,
    OcspRequest,
    describe_status,
    parse_ocsp_request,
    render_failure,
    sign_response,
)
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityRecord, CertificateRecord, OcspRecord
from doorward.stores.services import Services


class OcspAnswerer:
    """Answers the requests of one listener. Safe to share between threads; one call at a time uses the memo."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._memo = OcspMemo()
        self._lock = threading.Lock()

    def answer_unsigned(self, requests: Sequence[bytes]) -> list[bytes | OcspRequest]:
        """Return what needs no new signature: for each request a DER OCSPResponse, or the parsed request for `sign_answers`.

        Any bytes are a request; no request makes it raise an error.

        Args:
            requests: DER OCSPRequests, at most 8 KiB each (the HTTP surface accepts half of that).
        """
        now = self._services.clock.now()
        try:
            with self._lock, self._services.work.read() as stores:
                self._memo.follow(stores.changes)
                view = _View(self._services, stores, now)
                return [self._memo.find(one, now) or self._look_up(view, one) for one in requests]
        except DoorwardError as error:
            return [_failure_of(error)] * len(requests)

    def sign_answers(self, questions: Sequence[OcspRequest]) -> list[bytes]:
        """Return for each request a DER OCSPResponse that is signed now, within the limits of this process."""
        now = self._services.clock.now()
        granted = self._services.ocsp_signing_limiter.take(len(questions), self._services.clock.monotonic())
        try:
            with self._services.work.read() as stores:
                view = _View(self._services, stores, now)
                return [view.sign(one, granted=place < granted) for place, one in enumerate(questions)]
        except DoorwardError as error:
            return [_failure_of(error)] * len(questions)

    def _look_up(self, view: _View, request: bytes) -> bytes | OcspRequest:
        """Steps 2 to 5."""
        # 2. read
        try:
            question = parse_ocsp_request(request)
        except MalformedInput:
            return render_failure(OcspFailure.MALFORMED_REQUEST)
        can_sign = self._services.keys is not None
        if question.nonce is not None and can_sign:
            return question
        try:
            # 3. the issuer
            issuer = view.issuer(question)
            if issuer is None:
                return render_failure(OcspFailure.UNAUTHORIZED)
            # 4. and 5. the certificate, pre-signed
            found = view.pre_signed(view.certificate(issuer, question), question)
        except DoorwardError as error:
            return _failure_of(error)
        if found is None:
            return question if can_sign else render_failure(OcspFailure.UNAUTHORIZED)
        if question.nonce is None:
            self._memo.add(
                request, found.certificate_id, found.der, next_update=found.next_update, now=view.now
            )
        return found.der


class _View:
    """What one snapshot says; issuers and signers are loaded once."""

    def __init__(self, services: Services, stores: Stores, now: datetime) -> None:
        self.now = now
        self._services = services
        self._stores = stores
        self._issuers: dict[tuple[str, bytes, bytes], AuthorityRecord] | None = None
        self._signers: dict[str, AuthoritySigner | None] = {}

    def issuer(self, question: OcspRequest) -> AuthorityRecord | None:
        """Return the issuing authority that the CertID names."""
        if self._issuers is None:
            self._issuers = issuer_of_ids(self._stores)
        return self._issuers.get((question.hash_name, question.issuer_name_hash, question.issuer_key_hash))

    def certificate(self, issuer: AuthorityRecord, question: OcspRequest) -> CertificateRecord | None:
        """Return the certificate."""
        return self._stores.certificates.by_serial(issuer.id, question.serial)

    def pre_signed(self, record: CertificateRecord | None, question: OcspRequest) -> OcspRecord | None:
        """Return the pre-signed response if there is a fresh one."""
        found = self._stores.status.ocsp(record.id, question.hash_name) if record is not None else None
        return found if found is not None and self.now < found.next_update else None

    def sign(self, question: OcspRequest, *, granted: bool) -> bytes:
        """Step 6, after looking again: the state may have changed since the request was looked up."""
        try:
            issuer = self.issuer(question)
            if issuer is None:
                return render_failure(OcspFailure.UNAUTHORIZED)
            record = self.certificate(issuer, question)
            signer = self._signer(issuer) if granted else None
            if signer is None:
                refusal = OcspFailure.UNAUTHORIZED if granted else OcspFailure.TRY_LATER
                found = self.pre_signed(record, question)
                return found.der if found is not None else render_failure(refusal)
            state, at, reason = (
                (record.state, record.revoked_at, record.reason) if record else (None, None, None)
            )
            status = describe_status(state, at, reason)
            return sign_response(question, status, responder=signer.responder, window=signer.window(self.now))
        except DoorwardError as error:
            return _failure_of(error)

    def _signer(self, issuer: AuthorityRecord) -> AuthoritySigner | None:
        """Return the signer for this issuer, or None if this process has none, or if the issuer was retired."""
        if self._services.keys is None or issuer.retired_at is not None:
            return None
        if issuer.id not in self._signers:
            self._signers[issuer.id] = load_authority_signer(self._services, self._stores, issuer)
        return self._signers[issuer.id]


def _failure_of(error: DoorwardError) -> bytes:
    is_passing = isinstance(error, Unavailable)
    return render_failure(OcspFailure.TRY_LATER if is_passing else OcspFailure.INTERNAL_ERROR)
