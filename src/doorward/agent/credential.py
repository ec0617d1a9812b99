"""The answer to an enrolment request, and every check before it is stored.

Not here: fetching (`client`) and storing (`store`). The server has proved that it belongs to the link's
authority. These checks find its mistakes, such as a certificate for another key.
Standard: RFC 8555 section 9.1 (PEM chain), RFC 5280 sections 4.2.1.12 and 6.1.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from doorward.core.errors import IntegrityError, MalformedInput, RequestRefused
from doorward.core.ports import PrivateKey, PublicKey

MAX_CHAIN = 5
"""The leaf and four intermediates; our own authorities have one intermediate."""

CLOCK_SKEW = timedelta(minutes=5)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]{1,24000}-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A checked certificate, the issuers between it and its root, and the roots that the identity trusts, at least one.

    There is more than one root during a rollover of the root (`agent.roots`).
    """

    certificate: x509.Certificate
    issuers: tuple[x509.Certificate, ...]
    roots: tuple[x509.Certificate, ...]

    @property
    def name(self) -> str:
        """The holder's name if it is safe as a file name, otherwise `identity`: the server must not choose paths here."""
        names = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        text = str(names[0].value) if names else ""
        return text if _NAME.fullmatch(text) else "identity"

    @property
    def dates(self) -> tuple[datetime, datetime]:
        """Return the begin of the certificate, and the first end in its chain: an issuer may end before the leaf."""
        ends = (one.not_valid_after_utc for one in (self.certificate, *self.issuers))
        last = max(one.not_valid_after_utc for one in self.roots)
        return self.certificate.not_valid_before_utc, min(*ends, last)


def parse_root(data: bytes, sha256: str) -> x509.Certificate:
    """Return the root certificate of an answer if it is the one that the link pins.

    Args:
        data: PEM; exactly one certificate. If there were two, only the first would be compared, but every program
            that loads the file would trust both.
        sha256: lower-case hex of the DER.

    Raises:
        MalformedInput: `root-malformed`.
        RequestRefused: `root-not-pinned`.
    """
    roots = parse_certificates(data, "root-malformed", "the root certificate")
    if len(roots) != 1:
        raise MalformedInput(
            "root-malformed",
            "the server sent more than one root certificate, and exactly one is expected",
            hint="do not use this answer; report it to the administrator of the server",
        )
    found = hashlib.sha256(roots[0].public_bytes(Encoding.DER)).hexdigest()
    if not hmac.compare_digest(found, sha256):
        raise RequestRefused(
            "root-not-pinned",
            "the server's root certificate is not the one that your link names",
            hint="somebody may intercept the connection: use another network, or ask for a new link",
        )
    return roots[0]


def parse_credential(
    data: bytes, key: PrivateKey, roots: Sequence[x509.Certificate], now: datetime
) -> Credential:
    """Return the certificate of an answer after every check.

    1. PEM, leaf first, at most 5; 2. the leaf holds our key; 3. the leaf is within its dates; 4. the leaf is for
    clients; 5. the chain ends in one of the roots.

    Args:
        data: PEM chain without the root.
        key: the key that was made here.
        roots: the trusted roots, at least one.
        now: aware, UTC.

    Raises:
        MalformedInput: `chain-malformed`.
        RequestRefused: `certificate-of-another-key`, `certificate-out-of-time`,
            `certificate-not-for-clients`, `certificate-not-trusted`.

    Standard: RFC 5280 section 6.1. Not checked: revocation, because the certificate is seconds old.
    """
    # 1. form
    leaf, *issuers = parse_certificates(data, "chain-malformed", "the certificate")
    # 2. key
    if encode_public(leaf.public_key()) != encode_public(key.public_key()):
        raise _refused(
            "certificate-of-another-key", "the server sent a certificate for another key than yours"
        )
    # 3. time
    if now + CLOCK_SKEW < leaf.not_valid_before_utc or now >= leaf.not_valid_after_utc:
        raise _refused(
            "certificate-out-of-time",
            f"the certificate is valid from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC, but the clock of this "
            f"machine says {now:%Y-%m-%d %H:%M} UTC",
            hint="set the clock of this machine, then run the command again",
        )
    # 4. purpose
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except Exception:  # noqa: BLE001  no such extension, two of them, or any extension that does not parse
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise _refused(
            "certificate-not-for-clients", "the certificate is not for client authentication (no clientAuth)"
        )
    # 5. chain
    moment = max(now, leaf.not_valid_before_utc)
    verifier = (
        PolicyBuilder()
        .store(Store(list(roots)))
        .time(moment)
        .max_chain_depth(MAX_CHAIN)
        .build_client_verifier()
    )
    try:
        verifier.verify(leaf, issuers)
    except VerificationError:
        raise _refused(
            "certificate-not-trusted", "the certificate was not issued by the authority of your link"
        ) from None
    return Credential(certificate=leaf, issuers=tuple(issuers), roots=tuple(roots))


def parse_certificates(data: bytes, code: str, what: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM text, at most 5; raise `MalformedInput` with this code for anything else."""
    blocks = _PEM.findall(data)
    if not 1 <= len(blocks) <= MAX_CHAIN or data.count(b"-----BEGIN") != len(blocks):
        raise MalformedInput(
            code,
            f"the server did not send {what} as PEM",
            hint="report it to the administrator of the server; a proxy may have changed the answer",
        )
    try:
        certificates = [x509.load_pem_x509_certificate(block) for block in blocks]
        for certificate in certificates:
            certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            certificate.subject.public_bytes()
            _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except Exception:  # noqa: BLE001  key, name and dates are parsed only here, and the library raises many types
        raise MalformedInput(
            code,
            f"{what} that the server sent cannot be parsed",
            hint="report it to the administrator of the server; a proxy may have changed the answer",
        ) from None
    return certificates


def parse_key(data: bytes) -> PrivateKey:
    """Return the private key of an identity.

    Raises:
        IntegrityError: `identity-damaged`.
    """
    try:
        key = load_pem_private_key(data, password=None)
    except Exception:  # noqa: BLE001  the library raises many types, also for an encrypted key
        key = None
    if not isinstance(key, PrivateKey):
        raise _damaged("the private key")
    return key


def read_chain(data: bytes) -> list[x509.Certificate]:
    """Return the certificates of an identity's own file, leaf first.

    Raises:
        IntegrityError: `identity-damaged`.
    """
    try:
        return parse_certificates(data, "identity-damaged", "the certificate")
    except MalformedInput:
        raise _damaged("the certificate") from None


def read_roots(data: bytes) -> tuple[x509.Certificate, ...]:
    """Return the root certificates of an identity's own file; more than one during a rollover of the root.

    Raises:
        IntegrityError: `identity-damaged`.
    """
    try:
        return tuple(parse_certificates(data, "identity-damaged", "the root certificate"))
    except MalformedInput:
        raise _damaged("the root certificate") from None


def _damaged(what: str) -> IntegrityError:
    return IntegrityError(
        "identity-damaged",
        f"{what} in the folder of the identity cannot be read",
        hint="restore the folder from a backup, or enrol again with --force",
    )


def encode_public(key: object) -> bytes:
    """Return the SubjectPublicKeyInfo of a key in DER; empty for a kind that Doorward does not know."""
    if not isinstance(key, PublicKey):
        return b""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _refused(
    code: str, detail: str, hint: str = "nothing was installed; ask your administrator"
) -> RequestRefused:
    return RequestRefused(code, detail, hint=hint)
