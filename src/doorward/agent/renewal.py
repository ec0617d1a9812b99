"""The renewal protocol of the enrolment host, as its client: nonce, renewal, report.

    GET  /roots.crl      the revocation lists of the roots
    GET  /roots.pem      the roots to trust from now on (`roots`)
    GET  /renew/nonce    a nonce for one proof, and the server's time
    POST /renew          the present certificate, a request with a new key, a proof by the old key -> the new certificate
    POST /renew/report   the present certificate, facts about this machine, a proof -> when to renew

The server proves its name by the identity's own root on each connection. A proof is bound to the nonce, the certificate
and the message (`pki.proof`), so that it is of no use to anybody else. If an answer is lost, the same request key gets
the same certificate again.

Not here: files (`generations`), and when to renew (`schedule`).
Standard: RFC 2986 (request), RFC 9457 (refusals), RFC 3339 (times).
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.agent.client import CHAIN_TYPE, read_problem, take_root_list
from doorward.agent.generations import Identity
from doorward.agent.link import Server
from doorward.agent.root_list import ROOT_LISTS_PATH, ROOT_LISTS_TYPE, RootList
from doorward.agent.roots import ROOTS_TYPE, Roots, learn_roots, render_roots
from doorward.agent.transport import Response, fetch, pinned_context
from doorward.core.errors import MalformedInput
from doorward.core.ports import PrivateKey
from doorward.pki.csr import build_csr
from doorward.pki.proof import NONCE_LIMIT, ProofUse, sign_proof
from doorward.wire.json_object import parse_json_object

LONGEST_CHECK = timedelta(days=7)
SHORTEST_CHECK = timedelta(minutes=1)
"""Bounds for what the server says about the next report."""

MAX_FACT_CHARACTERS = 200
_NONCE_STALE = "nonce-stale"
_JSON = "application/json"
_PLACES = {ProofUse.RENEW: ("/renew", "request"), ProofUse.REPORT: ("/renew/report", "facts")}
"""For each use: the path, and the member that holds the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request to an enrolment host; `body` is JSON, None for a GET; `root_list` refuses servers."""

    method: str
    path: str
    accept: str
    body: bytes | None = field(default=None, repr=False)
    root_list: RootList | None = None


class Send(Protocol):
    """How a request is made. `send_over_tls` is the real one; a fleet of agents in one process can have another."""

    def __call__(self, server: Server, roots: Roots, exchange: Exchange) -> Response:
        """Return the response; raises as `transport.fetch`."""
        ...


def send_over_tls(server: Server, roots: Roots, exchange: Exchange) -> Response:
    """Make one request on one new connection to a server that proves its name by one of these roots."""
    context = pinned_context(render_roots(roots).decode("ascii"))
    headers = {"Accept": exchange.accept}
    if exchange.body is not None:
        headers["Content-Type"] = "application/json"
    return fetch(
        server,
        exchange.method,
        exchange.path,
        context,
        headers=headers,
        body=exchange.body,
        root_list=exchange.root_list,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Nonce:
    """A nonce for one proof, and the time that the server's clock showed."""

    value: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The server's answer to a report.

    Args:
        now: renew now; `reason` says why.
        renew_at: when the server expects a renewal; None if it did not say.
        check_again: when to report again.
        time: the server's clock.
        reason: printable text for people.
    """

    now: bool
    renew_at: datetime | None
    check_again: timedelta
    time: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentHost:
    """An enrolment host as a client of renewals sees it.

    Args:
        server: host and port.
        roots: the roots of the identity.
        send: how a request is made.
        root_list: the newest list of the first root that was seen: of the root that retires, while there are two.
    """

    server: Server
    roots: Roots
    send: Send = send_over_tls
    root_list: RootList | None = None

    def with_newest_list(self) -> EnrolmentHost:
        """Return the same host with the newest list of the root; the present one if no newer one can be had.

        Raises:
            RequestRefused: `server-not-trusted`.
        """
        return self.with_roots(self.roots)

    def with_roots(self, roots: Roots) -> EnrolmentHost:
        """Return the same host for other roots, with the newest list of the first; the present list judges the connection.

        Raises:
            RequestRefused: `server-not-trusted`.
        """
        exchange = Exchange(
            method="GET", path=ROOT_LISTS_PATH, accept=ROOT_LISTS_TYPE, root_list=self.root_list
        )
        kept = self.root_list if roots[0] == self.roots[0] else None
        found = take_root_list(lambda: self.send(self.server, roots, exchange), roots[0], kept)
        return replace(self, roots=roots, root_list=found)

    def nonce(self) -> Nonce:
        """Fetch a nonce.

        Raises:
            Unavailable, RequestRefused, MalformedInput: the server's refusal, or `server-answer-malformed`.
        """
        exchange = Exchange(method="GET", path="/renew/nonce", accept=_JSON, root_list=self.root_list)
        members = self._members(self.send(self.server, self.roots, exchange))
        value = members.get("nonce")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise self._malformed()
        if not 0 < len(value) <= NONCE_LIMIT:
            raise self._malformed()
        return Nonce(value=value, time=self._time(members.get("time")))

    def learn_roots(self, now: datetime) -> Roots:
        """Return the roots to trust from now on, as `roots.learn_roots`.

        Raises:
            Unavailable: the host did not answer.
        """

        def get(path: str, roots: Roots) -> Response:
            exchange = Exchange(method="GET", path=path, accept=ROOTS_TYPE, root_list=self.root_list)
            return self.send(self.server, roots, exchange)

        return learn_roots(self.roots, get, now, self.root_list)

    def renew(self, identity: Identity, key: PrivateKey) -> tuple[bytes, datetime]:
        """Ask for the successor of a certificate, for a new key.

        Args:
            identity: the present certificate and its key.
            key: the new key.

        Returns:
            The PEM chain, not checked, and the server's time.

        Raises:
            RequestRefused: `certificate-not-renewable`, `renewal-superseded`, `proof-invalid`, `key-used-before`.
            Unavailable, MalformedInput: as `nonce`.
        """
        # The server ignores the name in the request.
        pem = build_csr(key, "renewal")
        request = x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER)
        answer, time = self._prove(ProofUse.RENEW, identity, request, CHAIN_TYPE)
        if answer.status not in (200, 201) or answer.media_type != CHAIN_TYPE:
            raise read_problem(answer, self.server)
        return answer.body, time

    def report(self, identity: Identity, facts: Mapping[str, str]) -> Advice:
        """Tell the server about this machine; return when it wants a renewal.

        Args:
            identity: the certificate and key that prove who reports.
            facts: texts; each is cut to 200 printable characters.

        Raises:
            RequestRefused, Unavailable, MalformedInput: as `renew`.
        """
        texts = {name: _printable(text) for name, text in facts.items()}
        message = json.dumps(texts, separators=(",", ":"), sort_keys=True).encode("utf-8")
        answer, _ = self._prove(ProofUse.REPORT, identity, message, _JSON)
        members = self._members(answer)
        seconds = members.get("check_again_seconds")
        if (
            members.get("renew") not in ("now", "later")
            or isinstance(seconds, bool)
            or not isinstance(seconds, int)
        ):
            raise self._malformed()
        at, reason = members.get("renew_at"), members.get("reason", "")
        bounded = min(max(seconds, SHORTEST_CHECK.total_seconds()), LONGEST_CHECK.total_seconds())
        return Advice(
            now=members["renew"] == "now",
            renew_at=None if at is None else self._time(at),
            check_again=timedelta(seconds=bounded),
            time=self._time(members.get("time")),
            reason=_printable(reason if isinstance(reason, str) else ""),
        )

    def _prove(
        self, use: ProofUse, identity: Identity, message: bytes, accept: str
    ) -> tuple[Response, datetime]:
        """Send a message with a proof; if the nonce was too old, once more with another one."""
        path, name = _PLACES[use]
        for last in (False, True):
            nonce = self.nonce()
            signature = sign_proof(
                identity.key, use, nonce=nonce.value, certificate=identity.der, message=message
            )
            body = {
                "certificate": _base64(identity.der),
                "nonce": nonce.value,
                name: _base64(message),
                "signature": _base64(signature),
            }
            exchange = Exchange(
                method="POST",
                path=path,
                accept=accept,
                body=json.dumps(body).encode("ascii"),
                root_list=self.root_list,
            )
            answer = self.send(self.server, self.roots, exchange)
            if last or answer.status < 400 or read_problem(answer, self.server).code != _NONCE_STALE:  # noqa: PLR2004
                break
        return answer, nonce.time

    def _members(self, answer: Response) -> dict[str, Any]:
        if answer.status != 200 or answer.media_type != "application/json":  # noqa: PLR2004 - OK
            raise read_problem(answer, self.server)
        return parse_json_object(answer.body, code="server-answer-malformed", what="the server's answer")

    def _time(self, value: object) -> datetime:
        try:
            found = datetime.fromisoformat(value) if isinstance(value, str) else None
            if found is not None and found.tzinfo is not None:
                return found.astimezone(UTC)
        except (ValueError, OverflowError):  # no time, or one that is in no calendar in UTC
            pass
        raise self._malformed()

    def _malformed(self) -> MalformedInput:
        return MalformedInput(
            "server-answer-malformed",
            f"{self.server.authority} did not answer as an enrolment host that renews",
            hint="check the address in the file `server` of the identity's folder",
        )


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:MAX_FACT_CHARACTERS]
