"""Founding below a root that was never on this machine: a request, and the certificate that the root made of it.

`request_founding` makes the issuing authority's key here, where it stays. Nothing is founded: there is no tenant, so every other
use case refuses. The root signs wherever its key is. `found_below` founds the authority in one transaction if all of this holds:
1. both certificates are well-formed, and nothing is founded here yet;
2. the root signed itself, is valid now, is a CA with room for an authority below it (no path length, or at least 1), may sign
   certificates and CRLs, has a key identifier, and constrains no names and no policies: a constraint would refuse certificates
   only later, at relying parties;
3. the issuing certificate has the key and the name of the request, the root's signature, and exactly the content of the
   profile `issuing` (as in authority.rollover.ceremony); it is valid now;
4. its addresses are those at which this installation will publish the root's certificate and CRL.
Every fault is told at once, because the root may be an hour away.

Not here: keeping the request between the two steps (runtime.root_ceremony), a root that is made here (founding).
Standard: RFC 2986; RFC 5280 sections 4.1.2.2, 4.2 and 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from doorward.authority.making import (
    add_authority,
    add_responder,
    build_common_name,
    build_record,
    choose_key_name,
    new_key,
)
from doorward.authority.rollover.ceremony import find_content_faults, find_other_addresses, render_extensions
from doorward.authority.status.publication import parse_status_url, publication_addresses
from doorward.core.certificate import CertificateFacts
from doorward.core.entities import TENANT
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.core.names import parse_trust_domain
from doorward.pki.csr import build_csr, parse_csr
from doorward.pki.facts import describe_certificate
from doorward.pki.keys import check_public_key, encode_public_key
from doorward.stores.prerequisites import require_keys
from doorward.stores.records import AuthorityKind, AuthorityRecord, ChangeKind, TenantRecord
from doorward.stores.services import Services
from doorward.verification.parsing import parse_certificate

_CONSTRAINTS = (x509.NameConstraints, x509.PolicyConstraints, x509.InhibitAnyPolicy)
_HINT = "nothing was founded; see docs/how-to/found-below-an-offline-root.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundingRequest:
    """A founding that waits for the root's signature; nothing in it is secret.

    Args:
        root_id: the id that the root will have; the addresses of its CRL and of its certificate contain it.
        key_name: the issuing authority's key in the key store.
        trust_domain: of the authority that will be founded.
        status_url: of the same.
        request: PKCS#10, DER.
    """

    root_id: str
    key_name: str
    trust_domain: str
    status_url: str
    request: bytes


def request_founding(services: Services, *, trust_domain: str, status_url: str) -> FoundingRequest:
    """Make the issuing authority's key, and the request for its certificate.

    Args:
        services: the ports of this process, with keys.
        trust_domain: as `founding.found`.
        status_url: as `founding.found`.

    Raises:
        RequestRefused: `already-founded`.
        MalformedInput: `trust-domain-malformed`, `status-url-malformed`.
        Unavailable: `keys-unavailable`.
    """
    parse_trust_domain(trust_domain)
    address = parse_status_url(status_url)
    keys = require_keys(services)
    with services.work.read() as stores:
        if stores.tenants.get() is not None:
            raise _founded()
        name, key = new_key(services, stores, keys, "issuing")
    request = parse_csr(build_csr(key, build_common_name(trust_domain, "Issuing", name)))
    return FoundingRequest(
        root_id=services.new_id("aut"),
        key_name=name,
        trust_domain=trust_domain,
        status_url=address,
        request=request.der,
    )


def founding_extensions(founding: FoundingRequest) -> str:
    """Return the section of extensions for `openssl x509 -req -extfile`."""
    return render_extensions(publication_addresses(founding.status_url, founding.root_id))


def found_below(
    services: Services, founding: FoundingRequest, *, issuing: bytes, root: bytes, actor: str
) -> TenantRecord:
    """Found the authority below a root elsewhere; its certificate becomes the anchor that links name.

    Args:
        services: the ports of this process, with keys.
        founding: what `request_founding` returned.
        issuing: the certificate that the root made of the request, DER.
        root: the root's own certificate, DER.
        actor: who acts.

    Raises:
        MalformedInput: `certificate-malformed`, `certificate-too-large`.
        RequestRefused: `already-founded`; `authority-refused`, with every rule that is broken.
        Unavailable: `keys-unavailable`. NotFound: the key of the request is not in the key store.
    """
    # 1. well-formed
    above, root_facts = _read(root)
    certificate, facts = _read(issuing)
    keys, now = require_keys(services), services.clock.now()
    key = keys.load(founding.key_name)
    addresses = publication_addresses(founding.status_url, founding.root_id)
    faults = [
        *_find_root_faults(above, now),
        *find_content_faults(certificate, founding.request, above),
        *find_other_addresses(certificate, addresses),
    ]
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        faults.append("it is not valid now")
    if encode_public_key(key.public_key()) == encode_public_key(check_public_key(above.public_key())[0]):
        faults.append("the root has the key of the request, so it is not elsewhere")
    if faults:
        told = "; ".join(faults)
        raise RequestRefused("authority-refused", f"this certificate cannot be used: {told}", hint=_HINT)
    with services.work.change() as stores:
        if stores.tenants.get() is not None:
            raise _founded()
        tenant = TenantRecord(
            id=TENANT, trust_domain=founding.trust_domain, status_url=founding.status_url, created_at=now
        )
        stores.tenants.add(tenant)
        anchor = AuthorityRecord(
            id=founding.root_id,
            tenant=TENANT,
            kind=AuthorityKind.ROOT,
            der=root_facts.der,
            key_name=choose_key_name(stores, keys, "root"),  # of no key: it was never here
            created_at=now,
            not_after=root_facts.not_after,
            current=True,
        )
        add_authority(services, stores, anchor, root_facts, actor=actor)
        record = build_record(
            services, AuthorityKind.ISSUING, facts, founding.key_name, now=now, issuer_id=anchor.id
        )
        add_authority(services, stores, record, facts, actor=actor)
        domain = founding.trust_domain
        add_responder(services, stores, keys, record, key, trust_domain=domain, actor=actor, now=now)
        stores.changes.note(ChangeKind.AUTHORITY, record.id, now)
    return tenant


def _read(der: bytes) -> tuple[x509.Certificate, CertificateFacts]:
    parse_certificate(der)
    try:
        certificate = x509.load_der_x509_certificate(der)
        return certificate, describe_certificate(certificate, check_public_key(certificate.public_key())[1])
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise MalformedInput("certificate-malformed", "this is not an X.509 v3 certificate") from None


def _find_root_faults(root: x509.Certificate, now: datetime) -> list[str]:
    """Step 2."""
    faults = []
    try:
        root.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        faults.append("the root has not signed itself")
    if not root.not_valid_before_utc <= now < root.not_valid_after_utc:
        faults.append("the root is not valid now")
    try:
        found = {type(one.value): one for one in root.extensions}
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return [*faults, "the root's extensions cannot be read"]
    basic, usage = found.get(x509.BasicConstraints), found.get(x509.KeyUsage)
    if basic is None or not basic.critical or not basic.value.ca or basic.value.path_length == 0:
        faults.append("the root is no CA with room for an authority below it")
    if usage is None or not (usage.value.key_cert_sign and usage.value.crl_sign):
        faults.append("the root may not sign certificates and CRLs")
    if x509.SubjectKeyIdentifier not in found:
        faults.append("the root has no subject key identifier")
    if any(one in found for one in _CONSTRAINTS):
        faults.append("the root constrains names or policies")
    known = (x509.BasicConstraints, x509.KeyUsage, *_CONSTRAINTS)
    if any(one.critical and kind not in known for kind, one in found.items()):
        faults.append("the root has another critical extension")
    return faults


def _founded() -> RequestRefused:
    return RequestRefused(
        "already-founded",
        "there is an authority here already",
        hint="to make another authority, give another data directory with --data or DOORWARD_DATA",
    )
