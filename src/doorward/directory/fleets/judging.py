"""Is this a good certificate of one of a manufacturer's factories.

1. The chain has at most `CHAIN_LIMIT` certificates, each of which can be parsed.
2. A signature by an imported authority, or by one below it, is on the first certificate (`_is_certified`). This is found
   downwards from the imported authorities, so a stranger's key verifies nothing: a stranger costs about as much as its
   TLS handshake, for which no count is needed that would refuse devices behind the same address.
3. A path leads from the first certificate to an authority of this manufacturer (RFC 5280 section 6.1). The other
   certificates of the chain may be on the path, but only the manufacturer's own authorities are trusted.
4. It is an end entity's certificate; its key usage, if present, allows digital signatures (IEEE 802.1AR-2018
   section 8.10).
5. Its extended key usage is absent, as in most of these certificates, or contains clientAuth or anyExtendedKeyUsage. The
   same holds for the authorities on the path (RFC 5280 section 4.2.1.12).
The dates are judged with the path. A certificate that never ends has the date 99991231235959Z (RFC 5280 section 4.1.2.5).

Not checked: possession of the key, which TLS proves; revocation: nothing is fetched for the sake of a stranger, and an
operator bars a serial number instead (`admission`).
Standard: IEEE 802.1AR-2018 section 8; RFC 5280 section 6.1; docs/design/0081.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from doorward.audit.events import printable
from doorward.core.entities import Outcome
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.pki.keys import digest_key_of
from doorward.stores.fleet_records import ManufacturerAuthorityRecord, ManufacturerRecord
from doorward.stores.protocols import Stores
from doorward.verification.path.building import WorkBudget, WorkExceeded, judge_path
from doorward.verification.path.certificate import PathCertificate, parse_path_certificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.signatures import is_signature_valid
from doorward.verification.path.store import TrustStore

CHAIN_LIMIT = 6
"""Certificates that a device may show: its own and five authorities; real ones have two or three."""

SERIAL_LIMIT = 64
"""Characters of a serial number; RFC 5280 appendix A, ub-serial-number."""

FACTORY_CERTIFICATE_LIMIT = 8 * 1024
"""Bytes: it is kept with the enrolment; real ones have about 1 KiB, with RSA of 4,096 bits 2 KiB."""

SUBJECT_LIMIT = 200

_PURPOSES = frozenset(
    one.dotted_string for one in (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
)
_INPUTS = PathInputs(purpose=None)  # step 5 judges the purpose, because these certificates often state none


_RECOGNITION = 48
"""Signatures of step 2, in units of one with P-256 (`WorkBudget`): at most some milliseconds. A device of a factory with two
generations of P-384 authorities needs half of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactoryCertificate:
    """A good factory certificate.

    Args:
        manufacturer: its authority certified the device.
        fingerprint: SHA-256 over issuer, serial number and key: not over the signature, of which one certificate may
            have several (ECDSA).
        key_sha256: SHA-256 of its public key (SubjectPublicKeyInfo).
        serial: the device's serial number (serialNumber, X.520); empty if it states none, or several.
        subject: RFC 4514, printable.
        der: the certificate.
    """

    manufacturer: ManufacturerRecord
    fingerprint: str
    key_sha256: str
    serial: str
    subject: str
    der: bytes


def judge_factory_certificate(stores: Stores, chain: Sequence[bytes], now: datetime) -> FactoryCertificate:
    """Return the factory certificate at the start of a chain, if it is good.

    Args:
        stores: of a transaction.
        chain: DER, leaf first, as the device showed it; it is not trusted.
        now: aware, UTC.

    Raises:
        RequestRefused: `factory-certificate-refused`, with the reason in words for the operator's log.

    Standard: RFC 5280 section 6.1. Not checked: see the module.
    """
    leaf, *others = _parse(chain)
    why = _find_fault(leaf)
    if why:
        raise refuse_factory_certificate(why)
    work = WorkBudget()  # one for all manufacturers
    why = "no manufacturer certified it"
    for manufacturer, authorities in _find_makers(stores, leaf, others):
        store = _build_store(authorities, others)
        judgement = judge_path(leaf, store, _INPUTS, now, work)
        if judgement.outcome is Outcome.GOOD:
            if not all(_allows_clients(one) for one in judgement.path[1:]):
                raise refuse_factory_certificate("an authority on its path may not certify TLS clients")
            if _is_below_ours(stores, judgement.path):
                raise refuse_factory_certificate("an authority on its path is one of ours")
            return _make(manufacturer, leaf)
        why = str(judgement.faults[0]) if judgement.faults else why
    raise refuse_factory_certificate(why)


def is_of_manufacturer(stores: Stores, chain: Sequence[bytes]) -> bool:
    """Return whether an imported manufacturer certified the first certificate of a chain; it may still be refused.

    Only the signatures are verified: this is for counting, and decides nothing.
    """
    try:
        leaf, *others = _parse(chain)
    except RequestRefused:
        return False
    return next(_find_makers(stores, leaf, others), None) is not None


def refuse_factory_certificate(why: str) -> RequestRefused:
    """Return the error for a factory certificate that is not good; `why` is for the operator."""
    return RequestRefused(
        "factory-certificate-refused",
        f"the factory certificate is not accepted: {printable(why, 200)}",
        hint="`doorward manufacturer list` names the manufacturers that are known here",
    )


def _is_below_ours(stores: Stores, path: Sequence[PathCertificate]) -> bool:
    """Return whether a shown authority has a key of ours: its manufacturer may have certified it after the import."""
    own = {digest_key_of(one.der) for one in stores.authorities.list()}
    return any(digest_key_of(one.der) in own for one in path[1:])


def _parse(chain: Sequence[bytes]) -> list[PathCertificate]:
    """Step 1."""
    if not 0 < len(chain) <= CHAIN_LIMIT:
        raise refuse_factory_certificate(f"it came with {len(chain)} certificates, not 1 to {CHAIN_LIMIT}")
    if len(chain[0]) > FACTORY_CERTIFICATE_LIMIT:
        raise refuse_factory_certificate(
            f"it has {len(chain[0])} bytes, not at most {FACTORY_CERTIFICATE_LIMIT}"
        )
    try:
        return [parse_path_certificate(der) for der in chain]
    except MalformedInput as fault:
        raise refuse_factory_certificate(fault.detail) from fault


def _find_makers(
    stores: Stores, leaf: PathCertificate, shown: Sequence[PathCertificate]
) -> Iterator[tuple[ManufacturerRecord, Sequence[ManufacturerAuthorityRecord]]]:
    """Step 2: yield the manufacturers that certified a device, with their authorities."""
    work = WorkBudget(signatures=_RECOGNITION)
    for manufacturer in stores.manufacturers.list():
        authorities = stores.manufacturers.authorities(manufacturer.id)
        with suppress(WorkExceeded):
            if _is_certified(leaf, shown, [_parse_authority(one.der) for one in authorities], work):
                yield manufacturer, authorities


def _is_certified(
    leaf: PathCertificate,
    shown: Sequence[PathCertificate],
    imported: Sequence[PathCertificate],
    work: WorkBudget,
) -> bool:
    """Return whether an imported authority, or one of the shown ones below it, signed the leaf."""
    issuers, unproven = list(imported), [leaf, *shown]
    for issuer in issuers:  # grows by what is proven
        for one in [one for one in unproven if one.issuer == issuer.subject]:
            work.spend_signature(issuer.key)
            if not is_signature_valid(issuer.key, one.signed, _INPUTS.strength):
                continue
            if one is leaf:
                return True
            unproven.remove(one)
            issuers.append(one)
    return False


def _find_fault(leaf: PathCertificate) -> str:
    """Steps 4 and 5, for the device's own certificate."""
    if leaf.is_ca:
        return "it is an authority's certificate"
    if not leaf.signs:
        return "its key usage does not allow digital signatures"
    if not _allows_clients(leaf):
        return "its extended key usage does not contain clientAuth"
    if leaf.certificate.public_bytes(Encoding.DER) != leaf.der:
        return "it can be read in part only"
    return "" if digest_key_of(leaf.der) else "its kind of key is unknown"


def _allows_clients(certificate: PathCertificate) -> bool:
    return certificate.purposes is None or bool(certificate.purposes & _PURPOSES)


def _make(manufacturer: ManufacturerRecord, leaf: PathCertificate) -> FactoryCertificate:
    key = digest_key_of(leaf.der)
    about = f"{leaf.issuer_der.hex()} {leaf.serial:x} {key}"
    return FactoryCertificate(
        manufacturer=manufacturer,
        fingerprint=hashlib.sha256(about.encode("ascii")).hexdigest(),
        key_sha256=key,
        serial=_read_serial(leaf.certificate.subject),
        subject=printable(leaf.subject_text, SUBJECT_LIMIT),
        der=leaf.der,
    )


def _read_serial(subject: x509.Name) -> str:
    """Return the one serialNumber of a subject; empty if there is none, or if it is no plain text."""
    found = subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    text = found[0].value if len(found) == 1 else ""
    return text if isinstance(text, str) and is_plain_serial(text) else ""


def is_plain_serial(text: str) -> bool:
    """Return whether a serial number is 1 to 64 printable ASCII characters, without a space at the start or the end."""
    return 0 < len(text) <= SERIAL_LIMIT and text.isascii() and text.isprintable() and text == text.strip()


def _build_store(
    authorities: Sequence[ManufacturerAuthorityRecord], shown: Sequence[PathCertificate]
) -> TrustStore:
    """Step 3: what the device showed is known, but only what was imported is trusted."""
    imported = [(one.anchor, _parse_authority(one.der)) for one in authorities]
    anchors = [one for anchor, one in imported if anchor]
    return TrustStore(anchors, [*(one for anchor, one in imported if not anchor), *shown])


@functools.lru_cache(maxsize=1024)
def _parse_authority(der: bytes) -> PathCertificate:
    return parse_path_certificate(der)
