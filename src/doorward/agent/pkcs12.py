"""The `.p12` file that browsers and operating systems import: its two encodings and its password.

Not here: writing the file (`store`). Which importer accepts which form (November 2026; sources in
docs/how-to/import-your-certificate.md):

| importer                                  | modern              | legacy |
|-------------------------------------------|---------------------|--------|
| Windows 10 1709, 11, Server 2019 and later| yes                 | yes    |
| Windows Server 2016 and older             | no                  | yes    |
| Firefox, Chromium on Linux (NSS)          | yes                 | yes    |
| macOS 14 and older, iOS of that time      | no                  | yes    |
| macOS 26                                  | if told the format  | yes    |
| Android 12 and older                      | no                  | yes    |
| Java 16 and later, OpenSSL 3              | yes                 | yes    |

So the default is modern; for macOS, iOS and Android it is legacy. The old algorithms of the legacy form (3DES, a
MAC with SHA-1) are no weakness if the password has 120 random bits. The agent always makes such a password; a user
cannot choose another password.
Standard: RFC 7292; RFC 8018 section 6.2 (PBES2). Not used: RFC 9879 (PBMAC1), which most importers lack.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from enum import Enum

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import KeySerializationEncryption, PrivateFormat, pkcs12

from doorward.core.ports import PrivateKey, RandomSource

KDF_ITERATIONS = 100_000
"""Iterations of the key derivation. Precedent: Java's keytool takes 10,000 and OpenSSL 2,048; NSS refuses more than 600,000."""


class Pkcs12Form(Enum):
    """How a `.p12` is encoded."""

    MODERN = "modern"
    LEGACY = "legacy"


class Target(Enum):
    """The system or program that will import a `.p12`."""

    WINDOWS = "windows"
    MACOS = "macos"
    IOS = "ios"
    ANDROID = "android"
    JAVA = "java"
    FIREFOX = "firefox"
    LINUX = "linux"


_LEGACY_TARGETS = frozenset({Target.MACOS, Target.IOS, Target.ANDROID})
"""Every version of these systems imports the legacy form; some versions cannot import the modern form."""


def choose_form(target: Target) -> Pkcs12Form:
    """Return the form that every version of the target can import, if that version is still in use."""
    return Pkcs12Form.LEGACY if target in _LEGACY_TARGETS else Pkcs12Form.MODERN


def local_target(platform: str) -> Target:
    """Return the target for a `.p12` that this machine imports; `platform` is `sys.platform`."""
    return {"darwin": Target.MACOS, "win32": Target.WINDOWS}.get(platform, Target.LINUX)


def make_password(random: RandomSource) -> str:
    """Return 120 random bits as four groups of six letters and digits that are hard to confuse.

    The password has 27 ASCII characters: some importers cut a password after 32 characters, and importers disagree on
    the encoding of other characters.
    """
    text = base64.b32encode(random.token(15)).decode("ascii").lower()
    return "-".join(text[start : start + 6] for start in range(0, 24, 6))


def render_pkcs12(
    key: PrivateKey,
    certificate: x509.Certificate,
    issuers: Sequence[x509.Certificate],
    *,
    name: str,
    password: str,
    form: Pkcs12Form,
) -> bytes:
    """Return key, certificate and issuers as one encrypted file.

    Args:
        key: the certificate's private key.
        certificate: the leaf.
        issuers: the intermediates that a server needs. The root is left out: importing a certificate should not
            also offer to trust an authority.
        name: the name that importers show.
        password: ASCII.
        form: the encoding.

    Standard: RFC 7292 section 4.
    """
    return pkcs12.serialize_key_and_certificates(
        name.encode("utf-8"), key, certificate, issuers or None, _encryption(password, form)
    )


def _encryption(password: str, form: Pkcs12Form) -> KeySerializationEncryption:
    builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(KDF_ITERATIONS)
    if form is Pkcs12Form.LEGACY:
        builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        builder = builder.hmac_hash(hashes.SHA1())  # noqa: S303 - old importers verify no other MAC
    else:
        builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        builder = builder.hmac_hash(hashes.SHA256())
    return builder.build(password.encode("ascii"))
