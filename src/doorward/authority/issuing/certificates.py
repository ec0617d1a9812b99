"""Issuing a certificate for a claim: alone, or together with the requests of other threads.

Each certificate needs two durable transactions. So requests that come while others are worked on wait for their turn, and
then share the transactions: every thread calls `issue`, and `Services.issuing` collects them (docs/design/0087).

Not here: the six steps (steps), claims and entitlements (claims).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from doorward.authority.issuing.claims import Claim
from doorward.authority.issuing.preparation import new_refusal_event
from doorward.authority.issuing.steps import Issued, take_steps
from doorward.core.errors import DoorwardError, MalformedInput, RequestRefused, Unavailable
from doorward.pki.csr import CertificationRequest, parse_csr
from doorward.stores.batching import QueueErrors
from doorward.stores.services import Services

Wanted: TypeAlias = tuple[bytes, Claim]
"""A request and the claim to its certificate."""

_Parsed: TypeAlias = tuple[CertificationRequest, Claim]

_QUEUE_ERRORS = QueueErrors(
    busy=lambda: Unavailable(
        "issuing-busy", "too many certificates are being issued", hint="try again in a few seconds"
    ),
    interrupted=lambda: Unavailable(
        "issuing-interrupted",
        "the certificate was perhaps issued, but the thread that worked on it was stopped",
        hint="send the request again",
    ),
)


def issue(services: Services, request: bytes | Callable[[], bytes], claim: Claim) -> Issued:
    """Issue a certificate.

    Args:
        services: the ports of this process.
        request: PKCS#10, PEM or DER, at most 16 KiB; only its key is used, the names come from the entitlement. Or a
            function that makes it, with a new key: it is called only if the claim is good, because a key costs much work.
        claim: the requester's claim; it is used up with the certificate.

    Returns:
        The certificate, durably recorded.

    Raises:
        MalformedInput: as `pki.csr.parse_csr`; the claim can be used again.
        RequestRefused: as the claim refuses; `principal-suspended`, `principal-removed`; `certificate-refused`:
            lint found an error, or the entitlement changed in between; `key-used-before`: a revoked certificate had the
            principal's key.
        NotFound: `not-founded`, `principal-unknown`, and as the claim raises.
        Unavailable: `keys-unavailable`, `authority-replaced`, or the database cannot be reached: nothing was issued;
            `issuing-busy`: too many wait, or this one waited too long, and nothing was begun; `issuing-interrupted`: the
            thread that worked on it was stopped, and the certificate may have been issued.
    """
    try:
        made = request if isinstance(request, bytes) else _make_request(services, request, claim)
        parsed = parse_csr(made)
    except (MalformedInput, RequestRefused) as refusal:
        services.work.record([new_refusal_event(services, refusal, claim)])
        raise
    issued: Issued = services.issuing.run(
        (parsed, claim),
        lambda jobs: _issue_parsed(services, jobs),
        together=services,
        errors=_QUEUE_ERRORS,
        apart=claim.holder,  # their claims may be one, or to one line: one after the other, no signature is wasted
    )
    return issued


def _make_request(services: Services, make: Callable[[], bytes], claim: Claim) -> bytes:
    with services.work.read() as stores:
        claim.examine(stores, services.clock.now())
    return make()


def issue_each(services: Services, wanted: Sequence[Wanted]) -> list[Issued | Exception]:
    """Issue several certificates with as many transactions as one needs.

    Args:
        services: the ports of this process.
        wanted: the request and the claim of each certificate; other writers wait for all of them.

    Returns:
        For each its certificate, durably recorded, or the error that `issue` would raise.
    """
    found: list[Issued | Exception | None] = []
    parsed: list[_Parsed] = []
    for request, claim in wanted:
        try:
            parsed.append((parse_csr(request), claim))
            found.append(None)
        except MalformedInput as refusal:
            services.work.record([new_refusal_event(services, refusal, claim)])
            found.append(refusal)
    outcomes = iter(_issue_parsed(services, parsed))
    return [next(outcomes) if one is None else one for one in found]


def _issue_parsed(services: Services, jobs: Sequence[_Parsed]) -> list[Issued | Exception]:
    """Take the steps for all; each refusal is an event."""
    outcomes = take_steps(services, jobs)
    refused = [
        (place, outcome)
        for place, outcome in enumerate(outcomes)
        if isinstance(outcome, MalformedInput | RequestRefused)
    ]
    if refused:
        try:
            services.work.record(
                [new_refusal_event(services, refusal, jobs[place][1]) for place, refusal in refused]
            )
        except DoorwardError as fault:  # a refusal that cannot be recorded is not told
            for place, _ in refused:
                outcomes[place] = fault
    return outcomes
