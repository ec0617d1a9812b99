"""A CRL that a root elsewhere has signed: checked, then published as the root's next CRL.

It is accepted only if all of this holds:
1. it is a CRL of our root: its issuer and its signature;
2. it is about everything that the root issued: no critical extension, in it or in an entry (a partial, indirect or delta CRL has one);
3. it has begun, has a nextUpdate that is to come, and a CRL number larger than that of the published one: otherwise it would
   take back what a newer list said;
4. it lists each retired authority that has not ended (root_crl).

Not here: lists that are signed here (root_crl).
Standard: RFC 5280 sections 5.1.2, 5.2.3, 5.2.5 and 6.3.3.
"""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.authority.status.crl_signing import store_list
from doorward.authority.status.partitions import FULL
from doorward.authority.status.root_crl import retired_below, serial_of
from doorward.core.entities import TENANT
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.stores.prerequisites import require_authority, trusted_issuers
from doorward.stores.records import AuthorityKind, AuthorityRecord, CrlRecord
from doorward.stores.services import Services

MAX_BYTES = 64 * 1024
"""A root's list has a few entries. Agents read at most as much."""


def install_root_list(services: Services, data: bytes, *, actor: str) -> CrlRecord:
    """Check a CRL that the root has signed elsewhere, and publish it; the key store is not needed.

    Args:
        services: the ports of this process.
        data: DER or PEM, at most 64 KiB.
        actor: who acts.

    Raises:
        MalformedInput: `root-list-malformed`.
        RequestRefused: `root-list-refused`, with every rule that it breaks.
        NotFound: `not-founded`.
    """
    crl = _load(data)
    now = services.clock.now()
    with services.work.change() as stores:
        root = require_authority(stores, AuthorityKind.ROOT)
        head = next(iter(stores.status.crl_heads(root.id)), None)
        missing = {serial_of(one) for one in retired_below(stores, root) if one.not_after > now}
        faults = _find_faults(crl, root, now)
        number = _number_of(crl)
        if number is None:
            faults.append("it has no CRL number")
        elif head is not None and number <= head.number:
            faults.append(f"its number {number} is not larger than that of the published list, {head.number}")
        if missing - {one.serial_number for one in crl}:
            faults.append("it does not list every retired authority")
        if faults or number is None or crl.next_update_utc is None:
            raise RequestRefused(
                "root-list-refused",
                f"this list cannot be published: {'; '.join(faults)}",
                hint="the published list is unchanged; sign another one as docs/how-to/found-below-an-offline-root.md shows it",
            )
        record = CrlRecord(
            authority_id=root.id,
            partition=FULL,
            tenant=TENANT,
            number=number,
            der=crl.public_bytes(Encoding.DER),
            this_update=crl.last_update_utc,
            next_update=crl.next_update_utc,
            through_seq=stores.changes.head(),
        )
        store_list(services, stores, record, entries=len(crl), actor=actor)
    return record


def revoked_in_use(services: Services, data: bytes) -> tuple[AuthorityRecord, ...]:
    """Return the issuing authorities that doors trust and that a CRL revokes, for a question before it is published.

    Agents that read such a list refuse our own hosts. It is still published if the operator wants it: it may be true.

    Args:
        services: the ports of this process.
        data: DER or PEM, at most 64 KiB; not checked further here.

    Raises:
        MalformedInput: `root-list-malformed`.
    """
    serials = {one.serial_number for one in _load(data)}
    with services.work.read() as stores:
        return tuple(one for one in trusted_issuers(stores) if serial_of(one) in serials)


def _load(data: bytes) -> x509.CertificateRevocationList:
    try:
        if len(data) > MAX_BYTES:
            raise ValueError("too large")  # noqa: TRY301  one error for every unusable file
        crl = (
            x509.load_pem_x509_crl(data)
            if data.lstrip().startswith(b"-----BEGIN")
            else x509.load_der_x509_crl(data)
        )
        for entry in crl:
            list(entry.extensions)
        list(crl.extensions)
        crl.issuer.public_bytes()
    except Exception:  # noqa: BLE001  a parser must be total, and the library raises many types
        raise MalformedInput(
            "root-list-malformed",
            f"the file is no CRL, or is larger than {MAX_BYTES // 1024} KiB",
            hint="give the file that the root has signed, in PEM or DER",
        ) from None
    return crl


def _number_of(crl: x509.CertificateRevocationList) -> int | None:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None


def _find_faults(crl: x509.CertificateRevocationList, root: AuthorityRecord, now: datetime) -> list[str]:
    faults = []
    certificate = x509.load_der_x509_certificate(root.der)
    # 1. of our root
    try:
        signed = crl.is_signature_valid(certificate.public_key())  # type: ignore[arg-type]  # any key; it raises
    except (TypeError, ValueError):
        signed = False
    if not signed or crl.issuer.public_bytes() != certificate.subject.public_bytes():
        faults.append("our root has not signed it")
    # 2. complete
    extensions = [*crl.extensions, *(one for entry in crl for one in entry.extensions)]
    if any(one.critical for one in extensions):
        faults.append("it is only a part of a list")
    # 3. current
    if crl.last_update_utc > now:
        faults.append("its time is to come")
    if crl.next_update_utc is None or crl.next_update_utc <= now:
        faults.append("its nextUpdate is missing or over")
    return faults
