"""The selector keys in `certificate: {...}`: facts of the certificate that identifies the principal.

They see only a certificate that was judged good (`core.certificate.VerifiedCertificate`). `issuer` is the id of one of
our own or an imported authority, never a name: anybody can write any name into a certificate. Two authorities may certify
the same name or assert the same policy, so a rule about one needs an issuer if the application trusts several authorities.

Not here: patterns over names (`name_patterns`).
Standard: RFC 5280 sections 4.1.2.4, 4.2.1.4 and 4.2.1.6.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from doorward.core.certificate import VerifiedCertificate
from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput
from doorward.policy.node_reader import suggest
from doorward.policy.selectors.key import NamesKey
from doorward.policy.selectors.name_patterns import (
    parse_dns_pattern,
    parse_mailbox_pattern,
    parse_uri_pattern,
    widen_dns,
    widen_mailbox,
    widen_uri,
)
from doorward.policy.subject import Subject

PROFILES = frozenset(kind.value for kind in PrincipalKind)
"""The profiles of our own client certificates (pki.profiles)."""

RSA_SIZES = (2048, 3072, 4096)
KEYS = frozenset(
    {"ec-p256", "ec-p384", "ec-p521", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"}
    | {f"rsa-{bits}+" for bits in RSA_SIZES}
)
"""Kinds of public keys (RFC 5480, 8410, 9881); `rsa-3072+` is RSA of 3,072 bits or more."""

_AUTHORITY_ID = re.compile(r"aut_[a-z0-9]{1,40}")
_POLICY = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,38})){1,32}")
_ANY_POLICY = "2.5.29.32.0"


def _of(
    find: Callable[[VerifiedCertificate], Collection[str] | None],
) -> Callable[[Subject], Collection[str] | None]:
    """Return a function from a subject to facts of its certificate; None without a certificate."""
    return lambda subject: None if subject.certificate is None else find(subject.certificate)


def _parse_authority(text: str) -> str:
    if not _AUTHORITY_ID.fullmatch(text):
        hint = "write its id (aut_...), which `doorward ca list` shows: anybody can write a name into a certificate"
        raise MalformedInput("authority-id-malformed", f"{text!r} is not the id of an authority", hint=hint)
    return text


def _parse_profile(text: str) -> str:
    return _parse_one_of("profile", PROFILES, text)


def _parse_key(text: str) -> str:
    return _parse_one_of("kind of key", KEYS, text)


def _parse_one_of(what: str, known: Collection[str], text: str) -> str:
    if text not in known:
        raise MalformedInput("unknown-value", f"there is no {what} {text!r}", hint=suggest(text, known))
    return text


def _parse_policy(text: str) -> str:
    if not _POLICY.fullmatch(text):
        hint = "write an object identifier with dots, such as 1.3.6.1.4.1.99999.1"
        raise MalformedInput("policy-oid-malformed", f"{text!r} is not an object identifier", hint=hint)
    if text == _ANY_POLICY:
        hint = "remove `policy-oid`"
        message = f"{text} is anyPolicy, which matches every policy"
        raise MalformedInput("policy-oid-malformed", message, hint=hint)
    return text


def _widen_key(key: str) -> frozenset[str]:
    """Return a kind of key and every value that covers it: `rsa-4096` is covered by `rsa-4096+`, `rsa-3072+`, `rsa-2048+`."""
    if not key.startswith("rsa-"):
        return frozenset({key})
    bits = int(key.removeprefix("rsa-").removesuffix("+"))
    return frozenset({key, *(f"rsa-{least}+" for least in RSA_SIZES if least <= bits)})


ISSUER = NamesKey("certificate.issuer", _parse_authority, _of(lambda one: one.issuers))
PROFILE = NamesKey(
    "certificate.profile", _parse_profile, _of(lambda one: (one.profile,) if one.profile else ())
)
CERTIFICATE = (
    ISSUER,
    PROFILE,
    NamesKey(
        "certificate.san-dns",
        parse_dns_pattern,
        _of(lambda one: one.content.dns),
        widen=widen_dns,
        needs_issuer=True,
    ),
    NamesKey(
        "certificate.san-email",
        parse_mailbox_pattern,
        _of(lambda one: one.content.mailboxes),
        widen=widen_mailbox,
        needs_issuer=True,
    ),
    NamesKey(
        "certificate.san-uri",
        parse_uri_pattern,
        _of(lambda one: one.content.uris),
        widen=widen_uri,
        needs_issuer=True,
    ),
    NamesKey(
        "certificate.policy-oid", _parse_policy, _of(lambda one: one.content.policies), needs_issuer=True
    ),
    NamesKey(
        "certificate.key",
        _parse_key,
        _of(lambda one: None if one.content.key is None else (one.content.key,)),
        widen=_widen_key,
    ),
)
