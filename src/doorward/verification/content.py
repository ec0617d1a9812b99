"""What rules may ask about a certificate: its names, policies and key.

Nothing is guessed. If a name has no canonical spelling or cannot be decoded, or if there are too many, all names
of its kind are undetermined (None). The policy anyPolicy stands for every policy, so it makes the policies undetermined.

Not here: whether the certificate is good. The caller uses the content only if it is.
Standard: RFC 5280 sections 4.1.2.7, 4.2.1.4 and 4.2.1.6; RFC 9598 (mailboxes that are not ASCII).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa

from doorward.core.alternative_names import spell_dns, spell_mailbox, spell_uri
from doorward.core.certificate import NAMES_LIMIT, CertificateContent
from doorward.core.errors import MalformedInput
from doorward.core.opaque_names import OpaqueName
from doorward.verification.path.certificate import ANY_POLICY

_CURVES = {"secp256r1": "ec-p256", "secp384r1": "ec-p384", "secp521r1": "ec-p521"}
_MAILBOX_TAG, _DNS_TAG, _URI_TAG = 0x81, 0x82, 0x86
_SMTP_UTF8_MAILBOX = "1.3.6.1.5.5.7.8.9"


def read_content(
    names: Sequence[x509.GeneralName], policies: Iterable[str] | None, key: object
) -> CertificateContent:
    """Return what rules may ask about a certificate.

    Args:
        names: its subject alternative names, opaque ones included.
        policies: its own policies, dotted; None if it has no such extension.
        key: its public key; None if the key is of an unknown kind.
    """
    dns: list[str] = []
    mailboxes: list[str] = []
    uris: list[str] = []
    undecoded: set[int] = set()  # tags of kinds with a name that is not text
    for one in names:
        match one:
            case x509.UniformResourceIdentifier():
                uris.append(one.value)
            case x509.DNSName():
                dns.append(one.value)
            case x509.RFC822Name():
                mailboxes.append(one.value)
            case OpaqueName():
                undecoded.update(one.value[:1])
            case x509.OtherName() if one.type_id.dotted_string == _SMTP_UTF8_MAILBOX:
                undecoded.add(_MAILBOX_TAG)
    return CertificateContent(
        dns=None if _DNS_TAG in undecoded else _spell(dns, spell_dns),
        mailboxes=None if _MAILBOX_TAG in undecoded else _spell(mailboxes, spell_mailbox),
        uris=None if _URI_TAG in undecoded else _spell(uris, spell_uri),
        policies=determine_policies(policies or ()),
        key=_name_key(key),
    )


def determine_policies(policies: Iterable[str]) -> frozenset[str] | None:
    """Return the policies that rules may ask about; None if anyPolicy is one of them."""
    found = frozenset(policies)
    return None if ANY_POLICY in found else found


def _spell(found: list[str], spell: Callable[[str], str]) -> tuple[str, ...] | None:
    if len(found) > NAMES_LIMIT:
        return None
    try:
        return tuple(dict.fromkeys(map(spell, found)))
    except MalformedInput:
        return None


def _name_key(key: object) -> str | None:
    match key:
        case ec.EllipticCurvePublicKey(curve=curve):
            return _CURVES.get(curve.name)
        case ed25519.Ed25519PublicKey():
            return "ed25519"
        case ed448.Ed448PublicKey():
            return "ed448"
        case rsa.RSAPublicKey(key_size=bits):
            return f"rsa-{bits}"
        case mldsa.MLDSA44PublicKey():
            return "ml-dsa-44"
        case mldsa.MLDSA65PublicKey():
            return "ml-dsa-65"
        case mldsa.MLDSA87PublicKey():
            return "ml-dsa-87"
    return None
