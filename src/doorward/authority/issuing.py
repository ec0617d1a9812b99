"""CA and VA: the one place where certificates come from; nothing else may reach the mint.

The order is the safety (boulder's): no certificate leaves without its record.
1. The request is parsed and the registration rules are asked, on one snapshot.
2. The certificate is prepared: built, and linted under a throw-away key.
3. First transaction: the rules are asked again, an invitation is claimed, and the intent is recorded
   with its serial number, state INTENDED, event `certificate:intended`.
4. The authority's key signs.
5. Second transaction: the rules are asked a last time, the certificate is completed, state VALID,
   event `certificate:issued`, its number in the change sequence, its OCSP answers made ahead.
6. Only then it is handed out.
A crash between 3 and 5 leaves an intent: its serial is never used again and it is never valid.
Refusals are events too (`certificate:refused`).

Renewal: the old certificate stays valid beside the new one until it expires or is revoked as superseded.
The holder's agent installs the new one first; where the old one died at once, a lost answer would
lock its holder out.

Not here: who may ask (registration, enrolment), revoking (revocation).
Standard: RFC 5280 section 4; RFC 2986.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509

from doorward.audit.events import Event, EventType, printable
from doorward.authority.answers import AnswerSigner, load_signer, replace_answers
from doorward.authority.gateways import require_order
from doorward.authority.inventory import require_certificate
from doorward.authority.journal import write_event
from doorward.authority.publication import publication_addresses
from doorward.authority.records import (
    AuthorityKind,
    AuthorityRecord,
    CertificateRecord,
    ChangeKind,
    OrderRecord,
    OrderState,
    TenantRecord,
)
from doorward.authority.registration import require_active, require_hosts, require_renewable
from doorward.authority.services import Services
from doorward.authority.standing import load_key, require_authority, require_tenant
from doorward.authority.stores import Books
from doorward.core.certificate import CertificateFacts, CertificateState
from doorward.core.entities import TENANT, Principal
from doorward.core.errors import DoorwardError, MalformedInput, RequestRefused
from doorward.core.names import COMMON_NAME_LIMIT, build_subject, render_principal_uri
from doorward.core.ports import PrivateKey, PublicKey
from doorward.pki.csr import CertificationRequest, parse_csr
from doorward.pki.keys import choose_lint_kind
from doorward.pki.minting import (
    MintedCertificate,
    MintingRequest,
    PreparedCertificate,
    PublicationUrls,
    mint_issuing,
    mint_root,
    new_serial,
    prepare,
    sign,
)
from doorward.pki.profiles import (
    ISSUING,
    OCSP_RESPONDER,
    ROOT,
    SERVER,
    CertificateProfile,
    choose_validity,
    profile_for,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate that is in the inventory and valid; `chain_der`: leaf first, without the root."""

    record: CertificateRecord
    chain_der: tuple[bytes, ...]
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Press:
    """What signing needs, from one snapshot: the authority, its certificate and key, the addresses."""

    tenant: TenantRecord
    authority: AuthorityRecord
    certificate: x509.Certificate
    key: PrivateKey
    lint_key: PrivateKey
    signer: AnswerSigner


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """One certificate on its way: `holder` is the principal or gateway that events name."""

    press: _Press
    prepared: PreparedCertificate
    record: CertificateRecord
    holder: str
    key_kind: str
    actor: str


def issue(
    services: Services,
    principal: Principal,
    csr: bytes,
    *,
    actor: str,
    replaces: str = "",
    invitation_id: str = "",
) -> Issued:
    """Issue a client certificate to a principal.

    Args:
        services: the ports of this process.
        principal: who it is for; its state is read anew.
        csr: PKCS#10, PEM or DER, at most 16 KiB; only its key counts, the names are the directory's.
        actor: who acts.
        replaces: the id of the certificate that it succeeds (use `renew`).
        invitation_id: the invitation to claim with it.

    Returns:
        The certificate, durably recorded.

    Raises:
        MalformedInput: as `pki.csr.parse_csr`.
        RequestRefused: `principal-suspended`, `principal-removed`, `certificate-not-renewable`,
            `invitation-invalid` (claimed meanwhile), `certificate-refused` (lint).
        NotFound: `not-founded`, `principal-unknown`.
        Unavailable: `keys-unavailable`, or the database is away: nothing was issued.
    """
    return _issue_client(
        services,
        principal.id,
        principal.name,
        csr,
        actor=actor,
        replaces=replaces,
        invitation_id=invitation_id,
    )


def renew(services: Services, certificate_id: str, csr: bytes, *, actor: str) -> Issued:
    """Issue the successor of a valid certificate to the same principal; the old one stays valid meanwhile.

    Raises:
        NotFound: `certificate-unknown`, and as `issue` does.
        RequestRefused: `certificate-not-renewable`, and as `issue` does.
    """
    with services.work.read() as books:
        record = require_certificate(books, certificate_id)
    return _issue_client(
        services, record.principal_id, record.subject_name, csr, actor=actor, replaces=record.id
    )


def issue_server(services: Services, order_id: str, *, actor: str) -> Issued:
    """Fill a gateway's order with a server certificate.

    Raises:
        NotFound: `order-unknown`, `not-founded`.
        RequestRefused: `order-not-open`; `host-not-ours` and `certificate-refused`, after which the
            order says so too.
        Unavailable: nothing was issued and the order is still open.
    """
    with services.work.read() as books:
        order = _require_open(books, order_id)

    def draft() -> _Draft:
        request = parse_csr(order.csr)
        with services.work.read() as books:
            press = _load_press(services, books)
            require_hosts(books, press.tenant, order.hosts)
        return _draft_server(services, press, order, request, actor=actor)

    def intend(books: Books, drafted: _Draft) -> None:
        _require_open(books, order_id)
        require_hosts(books, drafted.press.tenant, order.hosts)

    def settle(books: Books, drafted: _Draft) -> None:
        # Another process may have filled it meanwhile; then this intent comes to nothing.
        _require_open(books, order_id)
        books.orders.fill(order_id, drafted.record.id)
        books.changes.note(ChangeKind.ORDER, order_id, drafted.record.created_at)

    try:
        return _issue(
            services, draft, intend, settle, actor=actor, holder=order.gateway_id, name=order.hosts[0]
        )
    except (MalformedInput, RequestRefused) as refusal:
        _refuse_order(services, order_id, refusal)
        raise


def certify_root(
    services: Services, *, common_name: str, key: PrivateKey, now: datetime
) -> MintedCertificate:
    """Make a self-signed root for the founding; it is recorded by the caller, in its transaction."""
    return mint_root(
        subject=build_subject(common_name),
        key=key,
        validity=choose_validity(ROOT, now),
        serial=new_serial(services.random),
        lint_key=services.factory.generate(choose_lint_kind(key.public_key())),
    )


def certify_issuing(
    services: Services,
    *,
    common_name: str,
    public_key: PublicKey,
    root: x509.Certificate,
    root_key: PrivateKey,
    certificate_url: str,
    now: datetime,
) -> MintedCertificate:
    """Make an issuing authority's certificate, signed by the root; `certificate_url` is the root's address."""
    return mint_issuing(
        subject=build_subject(common_name),
        public_key=public_key,
        validity=choose_validity(ISSUING, now, issuer=root),
        serial=new_serial(services.random),
        issuer=root,
        issuer_key=root_key,
        lint_key=services.factory.generate(choose_lint_kind(root_key.public_key())),
        urls=PublicationUrls(ca_issuers=certificate_url),
    )


def certify_responder(
    services: Services,
    *,
    common_name: str,
    public_key: PublicKey,
    issuer: x509.Certificate,
    issuer_key: PrivateKey,
    now: datetime,
) -> MintedCertificate:
    """Make the certificate of a delegated OCSP responder (RFC 6960 section 4.2.2.2)."""
    request = MintingRequest(
        profile=OCSP_RESPONDER,
        subject=build_subject(common_name),
        public_key=public_key,
        validity=choose_validity(OCSP_RESPONDER, now, issuer=issuer),
        serial=new_serial(services.random),
        issuer=issuer,
    )
    lint_key = services.factory.generate(choose_lint_kind(issuer_key.public_key()))
    return sign(prepare(request, lint_key), issuer_key)


def _issue_client(
    services: Services,
    principal_id: str,
    name: str,
    csr: bytes,
    *,
    actor: str,
    replaces: str,
    invitation_id: str = "",
) -> Issued:
    """What issuing to a principal adds to the six steps; `name` is for the record of a refusal."""

    def require(books: Books) -> Principal:
        if replaces:
            require_renewable(books, replaces, services.clock.now())
        return require_active(books, principal_id)

    def draft() -> _Draft:
        request = parse_csr(csr)
        with services.work.read() as books:
            principal = require(books)
            press = _load_press(services, books)
        return _draft_client(services, press, principal, request, actor=actor, replaces=replaces)

    def intend(books: Books, drafted: _Draft) -> None:
        principal = require(books)
        if invitation_id:
            _claim(services, books, drafted, invitation_id, principal)

    def settle(books: Books, drafted: _Draft) -> None:
        # The principal may have been removed since the intent: its certificates were revoked then,
        # and this one was not among them yet.
        require_active(books, principal_id)
        if replaces:
            books.outbox.add(_draft_event(services, EventType.CERTIFICATE_RENEWED, drafted))

    return _issue(services, draft, intend, settle, actor=actor, holder=principal_id, name=name)


def _issue(
    services: Services,
    draft: Callable[[], _Draft],
    intend: Callable[[Books, _Draft], None],
    settle: Callable[[Books, _Draft], None],
    *,
    actor: str,
    holder: str,
    name: str,
) -> Issued:
    """The six steps; `intend` and `settle` are what one kind of certificate adds to the transactions."""
    try:
        # 1. rules, 2. prepare
        drafted = draft()
        # 3. the intent
        with services.work.change() as books:
            intend(books, drafted)
            books.certificates.add_intended(drafted.record)
            books.outbox.add(_draft_event(services, EventType.CERTIFICATE_INTENDED, drafted))
        # 4. sign
        minted = sign(drafted.prepared, drafted.press.key)
        # 5. the record
        record = replace(
            drafted.record, state=CertificateState.VALID, sha256=minted.facts.sha256, der=minted.der
        )
        answers = drafted.press.signer.sign(record, record.created_at)
        with services.work.change() as books:
            settle(books, drafted)
            books.certificates.complete(record.id, sha256=record.sha256, der=record.der)
            replace_answers(books, record.id, answers)
            issued = EventType.CERTIFICATE_ISSUED
            books.outbox.add(_draft_event(services, issued, drafted, facts=minted.facts))
            seq = books.changes.note(ChangeKind.CERTIFICATE, record.id, services.clock.now())
    except (MalformedInput, RequestRefused) as refusal:
        services.work.record([_refusal_event(services, refusal, actor=actor, holder=holder, name=name)])
        raise
    # 6. hand out
    return Issued(record=record, chain_der=(record.der, drafted.press.authority.der), seq=seq)


def _load_press(services: Services, books: Books) -> _Press:
    tenant = require_tenant(books)
    authority = require_authority(books, AuthorityKind.ISSUING)
    key = load_key(services, authority)
    return _Press(
        tenant=tenant,
        authority=authority,
        certificate=x509.load_der_x509_certificate(authority.der),
        key=key,
        lint_key=services.factory.generate(choose_lint_kind(key.public_key())),
        signer=load_signer(services, books),
    )


def _draft_client(
    services: Services,
    press: _Press,
    principal: Principal,
    request: CertificationRequest,
    *,
    actor: str,
    replaces: str,
) -> _Draft:
    uri = render_principal_uri(press.tenant.trust_domain, principal.kind, principal.name)
    return _draft(
        services,
        press,
        profile_for(principal.kind),
        request,
        common_name=principal.name,
        san=(x509.UniformResourceIdentifier(uri),),
        actor=actor,
        holder=principal.id,
        principal_id=principal.id,
        replaces=replaces,
    )


def _draft_server(
    services: Services, press: _Press, order: OrderRecord, request: CertificationRequest, *, actor: str
) -> _Draft:
    # The common name is for people; clients look at the SAN alone (RFC 9525), so a long host may be cut.
    return _draft(
        services,
        press,
        SERVER,
        request,
        common_name=order.hosts[0][:COMMON_NAME_LIMIT],
        san=tuple(x509.DNSName(host) for host in order.hosts),
        actor=actor,
        holder=order.gateway_id,
    )


def _draft(
    services: Services,
    press: _Press,
    profile: CertificateProfile,
    request: CertificationRequest,
    *,
    common_name: str,
    san: tuple[x509.GeneralName, ...],
    actor: str,
    holder: str,
    principal_id: str = "",
    replaces: str = "",
) -> _Draft:
    """Step 2. The row of an intent holds the bytes that will be signed, and their digest."""
    now = services.clock.now()
    addresses = publication_addresses(press.tenant.status_url, press.authority.id)
    validity = choose_validity(profile, now, issuer=press.certificate)
    serial = new_serial(services.random)
    prepared = prepare(
        MintingRequest(
            profile=profile,
            subject=build_subject(common_name),
            public_key=request.public_key,
            validity=validity,
            serial=serial,
            issuer=press.certificate,
            san=san,
            urls=PublicationUrls(crl=addresses.crl, ocsp=addresses.ocsp, ca_issuers=addresses.certificate),
        ),
        press.lint_key,
    )
    record = CertificateRecord(
        id=services.new_id("crt"),
        tenant=TENANT,
        authority_id=press.authority.id,
        serial=serial,
        sha256=prepared.tbs_sha256,
        profile=profile.name,
        state=CertificateState.INTENDED,
        not_before=validity.not_before,
        not_after=validity.not_after,
        der=prepared.tbs,
        created_at=now,
        principal_id=principal_id,
        subject_name=common_name,
        replaces=replaces,
    )
    return _Draft(
        press=press, prepared=prepared, record=record, holder=holder, key_kind=request.key_kind, actor=actor
    )


def _claim(
    services: Services, books: Books, drafted: _Draft, invitation_id: str, principal: Principal
) -> None:
    """Use an invitation up, for exactly this certificate; of several callers one gets past here."""
    if not books.invitations.claim(invitation_id, services.clock.now()):
        raise RequestRefused("invitation-invalid", "this invitation cannot be used", hint="ask for a new one")
    books.invitations.bind(invitation_id, drafted.record.id)
    event = write_event(
        services,
        EventType.INVITATION_REDEEMED,
        actor=drafted.actor,
        data={"invitation": invitation_id, "principal": principal.id, "certificate": drafted.record.id},
        personal={"name": principal.name},
    )
    books.outbox.add(event)


def _require_open(books: Books, order_id: str) -> OrderRecord:
    order = require_order(books, order_id)
    if order.state is not OrderState.OPEN:
        raise RequestRefused("order-not-open", f"this order is {order.state.value} already")
    return order


def _refuse_order(services: Services, order_id: str, refusal: DoorwardError) -> None:
    """Tell the gateway; an order that somebody else filled meanwhile stays filled."""
    with services.work.change() as books:
        if require_order(books, order_id).state is OrderState.OPEN:
            books.orders.refuse(order_id, refusal.detail)
            books.changes.note(ChangeKind.ORDER, order_id, services.clock.now())


def _draft_event(
    services: Services, kind: EventType, drafted: _Draft, *, facts: CertificateFacts | None = None
) -> Event:
    record = drafted.record
    data: dict[str, str | datetime] = {
        "certificate": record.id,
        "principal": drafted.holder,
        "authority": record.authority_id,
        "serial": f"{record.serial:x}",
        "profile": record.profile,
        "key_kind": drafted.key_kind,
        "not_before": record.not_before,
        "not_after": record.not_after,
    }
    personal = {"name": printable(record.subject_name)}
    if facts is not None:
        data["sha256"] = facts.sha256
        personal["subject"] = printable(facts.subject)
        personal["san"] = printable(", ".join(facts.san))
    if kind is EventType.CERTIFICATE_RENEWED:
        data["replaces"] = record.replaces
    return write_event(services, kind, actor=drafted.actor, data=data, personal=personal)


def _refusal_event(
    services: Services, refusal: DoorwardError, *, actor: str, holder: str, name: str
) -> Event:
    return write_event(
        services,
        EventType.CERTIFICATE_REFUSED,
        actor=actor,
        data={"reasons": [refusal.code], "principal": holder},
        personal={"name": printable(name)},
    )
