"""A rollover with a root that is elsewhere: a request for the new key, and the certificate that the root made of it.

`request_certificate` makes the key here, where it stays. The root signs wherever its key is. `install` accepts the
certificate only if all of this holds:
1. it is well-formed, and a rollover waits for it;
2. its key is the pending one, and its name is that of the request;
3. our present root signed it;
4. it has exactly the content of an issuing authority's certificate (pki.lint, profile `issuing`): a CA with path length 0,
   keyCertSign and cRLSign, the key identifiers of its key and of the root, within the root's dates, no other extension than CRL
   and AIA addresses;
   Its CRL address must be that of the root's CRL here, and a caIssuers address, if there is one, that of the root's certificate
   here: an address in a certificate can never be changed, and with a wrong one relying parties do not learn that this
   authority was retired. The operator may accept others, if the root publishes its list elsewhere;
5. it has begun, has not ended, and does not end before the present authority;
6. no other certificate of our root has its serial number.

Not here: a root with its key in the key store or in an export (preparing).
Standard: RFC 2986; RFC 5280 sections 4.1.2.2, 4.2 and 6.1.
"""

from __future__ import annotations

from dataclasses import replace

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from doorward.audit.values import printable
from doorward.authority.making import build_common_name, new_key
from doorward.authority.rollover.moving import move_within, require_rollover, rollover_event
from doorward.authority.rollover.preparing import add_next_authority
from doorward.authority.rollover.schedule import DEFAULT_WINDOW
from doorward.authority.rollover.table import RolloverStep, check_step
from doorward.authority.status.publication import URL_LIMIT, PublicationAddresses, publication_addresses
from doorward.core.entities import TENANT
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.pki.csr import build_csr, parse_csr
from doorward.pki.facts import describe_certificate
from doorward.pki.keys import check_public_key, encode_public_key
from doorward.pki.lint import lint_certificate
from doorward.pki.profiles import ISSUING
from doorward.stores.authority_protocols import RolloverRecord, RolloverState
from doorward.stores.change_result import ChangeResult
from doorward.stores.prerequisites import require_authority, require_keys, require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, ChangeKind
from doorward.stores.services import Services
from doorward.verification.parsing import parse_certificate

_ISSUERS = AuthorityInformationAccessOID.CA_ISSUERS
_ADDRESSES_HINT = (
    "sign again with the extensions of `doorward ca csr --extensions`; or, if the root publishes its list elsewhere, "
    "add --accept-addresses"
)
_HINT = "ask the root for a certificate as docs/how-to/keep-the-root-offline.md shows it"


def request_certificate(services: Services, *, actor: str) -> ChangeResult[RolloverRecord]:
    """Make the key of the next issuing authority, and the request for its certificate; again, return the same request.

    Args:
        services: the ports of this process, with keys.
        actor: who acts.

    Returns:
        The rollover; `request` is PKCS#10 in DER.

    Raises:
        NotFound: `not-founded`.
        RequestRefused: `rollover-step-refused`.
        Unavailable: `keys-unavailable`.
    """
    keys = require_keys(services)
    with services.work.read() as stores:
        tenant = require_tenant(stores)
        going = stores.rollovers.open()
    if going is not None and going.state is RolloverState.REQUESTED:
        return ChangeResult(
            value=going, seq=going.seq, notes=("the request was made before; it is the same",)
        )
    check_step(going.state if going else None, RolloverStep.REQUEST)
    with services.work.read() as stores:
        name, key = new_key(services, stores, keys, "issuing")
    request = parse_csr(build_csr(key, build_common_name(tenant.trust_domain, "Issuing", name)))
    now = services.clock.now()
    with services.work.change() as stores:
        old = require_authority(stores, AuthorityKind.ISSUING)
        rollover = RolloverRecord(
            id=services.new_id("rol"),
            tenant=TENANT,
            state=RolloverState.REQUESTED,
            old_id=old.id,
            new_id="",
            key_name=name,
            request=request.der,
            began_at=now,
            moved_at=now,
            seq=stores.changes.note(ChangeKind.AUTHORITY, old.id, now),
            window=DEFAULT_WINDOW,
        )
        stores.rollovers.add(rollover)
        stores.outbox.add(rollover_event(services, rollover, actor=actor, now=now))
    return ChangeResult(value=rollover, seq=rollover.seq)


def openssl_extensions(services: Services) -> str:
    """Return the section of extensions for `openssl x509 -req -extfile`; raise `NotFound` (`not-founded`)."""
    with services.work.read() as stores:
        root = require_authority(stores, AuthorityKind.ROOT)
        addresses = publication_addresses(require_tenant(stores).status_url, root.id)
    return render_extensions(addresses)


def render_extensions(addresses: PublicationAddresses) -> str:
    """Return the section of extensions for a certificate below a root with these addresses."""
    return (
        "basicConstraints = critical, CA:TRUE, pathlen:0\n"
        "keyUsage = critical, keyCertSign, cRLSign\n"
        "subjectKeyIdentifier = hash\n"
        "authorityKeyIdentifier = keyid:always\n"
        f"crlDistributionPoints = URI:{addresses.crl}\n"
        f"authorityInfoAccess = caIssuers;URI:{addresses.certificate}\n"
    )


def install(
    services: Services, der: bytes, *, actor: str, accept_addresses: bool = False
) -> ChangeResult[RolloverRecord]:
    """Check the certificate that the root made, and go on with the rollover: both authorities are trusted from now on.

    Args:
        services: the ports of this process, with keys.
        der: one certificate, DER.
        actor: who acts.
        accept_addresses: also with other addresses of the root's CRL and certificate than ours; the notes name them.

    Raises:
        MalformedInput: `certificate-malformed`, `certificate-too-large`.
        NotFound: `not-founded`, `rollover-none`.
        RequestRefused: `rollover-step-refused`, `rollover-moved`; `authority-refused`, with every rule that it breaks;
            `root-ends-soon`; `rollover-key-missing`.
        Unavailable: `keys-unavailable`.
    """
    certificate, kind = _read_certificate(der)  # step 1
    rollover = require_rollover(services)
    with services.work.read() as stores:
        installed = stores.authorities.get(rollover.new_id) if rollover.new_id else None
    if installed is not None and installed.der == der:
        return ChangeResult(
            value=rollover, seq=rollover.seq, notes=("this certificate is installed already",)
        )
    check_step(rollover.state, RolloverStep.INSTALL)
    keys = require_keys(services)
    if rollover.key_name not in keys.names():
        raise RequestRefused(
            "rollover-key-missing",
            "the key store does not hold the key of the request",
            hint="restore `keys/` of the same backup as the database, or give up: doorward ca rotate undo",
        )
    key, now = keys.load(rollover.key_name), services.clock.now()
    with services.work.change() as stores:
        root = require_authority(stores, AuthorityKind.ROOT)
        faults = find_content_faults(certificate, rollover.request, x509.load_der_x509_certificate(root.der))
        addresses = publication_addresses(require_tenant(stores).status_url, root.id)
        others = find_other_addresses(certificate, addresses)
        if not accept_addresses:
            faults += others
        # 5. dates
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
            faults.append("it is not valid now")
        # 6. the serial number
        if _is_serial_used(stores, certificate):
            faults.append("another certificate of the root has its serial number")
        if faults:
            raise RequestRefused(
                "authority-refused",
                f"this certificate cannot be used: {'; '.join(faults)}",
                hint=_ADDRESSES_HINT if faults == others else _HINT,
            )
        old = require_authority(stores, AuthorityKind.ISSUING)
        authority = add_next_authority(
            services,
            stores,
            describe_certificate(certificate, kind),
            root=root,
            old=old,
            key_name=rollover.key_name,
            key=key,
            actor=actor,
            now=now,
        )
        wanted = replace(rollover, new_id=authority.id)
        moved = move_within(services, stores, wanted, RolloverStep.INSTALL, actor=actor, now=now)
        return replace(moved, notes=(*moved.notes, *others))


def _read_certificate(der: bytes) -> tuple[x509.Certificate, str]:
    """Return a well-formed certificate and the kind of its key."""
    parse_certificate(der)
    try:
        certificate = x509.load_der_x509_certificate(der)
        kind = check_public_key(certificate.public_key())[1]
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise MalformedInput(
            "certificate-malformed",
            "this is not an X.509 v3 certificate",
            hint="name the certificate that the root made of the request, in PEM or DER",
        ) from None
    return certificate, kind


def render_request(rollover: RolloverRecord) -> bytes:
    """Return the request of a rollover in PEM."""
    return x509.load_der_x509_csr(rollover.request).public_bytes(Encoding.PEM)


def find_content_faults(
    certificate: x509.Certificate, wanted_by: bytes, above: x509.Certificate
) -> list[str]:
    """Return what is wrong with the certificate of an issuing authority: steps 2 to 4 without the addresses.

    Every fault is told, because the root's key may be an hour away.

    Args:
        certificate: what the root made.
        wanted_by: the request, PKCS#10, DER.
        above: the root's certificate.
    """
    faults = []
    try:
        # 2. key and name
        request = x509.load_der_x509_csr(wanted_by)
        wanted, _ = check_public_key(request.public_key())
        found, _ = check_public_key(certificate.public_key())
        if encode_public_key(found) != encode_public_key(wanted):
            faults.append("it is for another key than that of the request")
        if certificate.subject.public_bytes() != request.subject.public_bytes():
            faults.append(f"its name is not that of the request, {request.subject.rfc4514_string()}")
        # 3. the root
        faults += _find_signature_faults(certificate, above)
        # 4. the content
        faults += [one.message for one in lint_certificate(certificate, ISSUING, above)]
    except (ValueError, TypeError, UnsupportedAlgorithm, MalformedInput) as fault:
        faults.append(f"it cannot be read: {fault}")
    return faults


def _find_signature_faults(certificate: x509.Certificate, root: x509.Certificate) -> list[str]:
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return [f"our root, {root.subject.rfc4514_string()}, has not signed it"]
    return []


def find_other_addresses(certificate: x509.Certificate, ours: PublicationAddresses) -> list[str]:
    """Step 4, the addresses: return what relying parties would not find where this installation publishes it."""
    try:
        crls, issuers = _read_addresses(certificate)
    except (ValueError, TypeError, x509.DuplicateExtension):
        return ["its CRL and caIssuers addresses cannot be read"]
    faults = []
    if crls != [ours.crl]:
        faults.append(f"its CRL address is {_name(crls)}, and the root's list is published at {ours.crl}")
    if issuers not in ([], [ours.certificate]):
        faults.append(
            f"its caIssuers address is {_name(issuers)}, and the root is published at {ours.certificate}"
        )
    return faults


def _read_addresses(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    """Return the addresses of the CRL and of the issuer's certificate; other places than addresses count as themselves."""
    crls, issuers = [], []
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.CRLDistributionPoints):
            crls = [str(name.value) for point in extension.value for name in point.full_name or ()]
        if isinstance(extension.value, x509.AuthorityInformationAccess):
            issuers = [
                str(one.access_location.value) for one in extension.value if one.access_method == _ISSUERS
            ]
    return crls, issuers


def _name(addresses: list[str]) -> str:
    return ", ".join(printable(one, URL_LIMIT) for one in addresses) or "missing"


def _is_serial_used(stores: Stores, certificate: x509.Certificate) -> bool:
    every = (x509.load_der_x509_certificate(one.der) for one in stores.authorities.list())
    issuer = certificate.issuer.public_bytes()
    return any(
        one.serial_number == certificate.serial_number and one.issuer.public_bytes() == issuer
        for one in every
    )
