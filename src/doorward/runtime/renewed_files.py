"""The `.p12` file of a renewed certificate, if the renewing command has the private key.

Not here: issuing (authority), and how a `.p12` is encoded (agent.pkcs12).
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from doorward.agent.pkcs12 import Pkcs12Form, make_password, render_pkcs12
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.core.ports import PrivateKey, PublicKey
from doorward.pki.csr import parse_csr
from doorward.pki.keys import check_public_key
from doorward.runtime.pem import read_bounded
from doorward.runtime.private_files import write_output
from doorward.runtime.world import SystemRandom

_LARGEST_KEY = 64 * 1024
_OPENSSL = {
    Pkcs12Form.MODERN: "",
    Pkcs12Form.LEGACY: " -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1",
}
"""The options of OpenSSL 3 for each form."""


def read_key_of(path: Path, request: bytes) -> PrivateKey:
    """Return the private key of a certification request from a PEM file without a passphrase.

    Raises:
        MalformedInput: `key-unreadable`, `file-too-large`, and what `parse_csr` raises.
        RequestRefused: `key-of-another-request`.
        OSError: there is no such file, or it cannot be read.
    """
    data = read_bounded(path, _LARGEST_KEY)
    try:
        key = load_pem_private_key(data, password=None)
        public, _ = check_public_key(key.public_key())
    except Exception as fault:  # a parser is total, whatever the library raises
        raise MalformedInput(
            "key-unreadable",
            f"{path} is not a private key in PEM without a passphrase",
            hint="convert it with `openssl pkey -in KEY -out PLAIN.pem`, and name PLAIN.pem with --key",
        ) from fault
    if _bits(public) != _bits(parse_csr(request).public_key):
        raise RequestRefused(
            "key-of-another-request",
            f"the key in {path} is not the key of the certification request; nothing was issued",
            hint="name the key of the request",
        )
    return cast("PrivateKey", key)  # a private key's kind is that of its public one


def write_p12(
    path: Path, key: PrivateKey, chain: tuple[bytes, ...], *, name: str, form: Pkcs12Form, force: bool
) -> str:
    """Write key and chain (DER, leaf first, without the root) as a file, mode 0600; return its password.

    Raises:
        RequestRefused: `file-exists`, without `force`.
        OSError: it cannot be written.
    """
    password = make_password(SystemRandom())
    leaf, *issuers = map(x509.load_der_x509_certificate, chain)
    data = render_pkcs12(key, leaf, issuers, name=name, password=password, form=form)
    write_output(path, data, force=force)
    return password


def p12_command(chain: str, form: Pkcs12Form) -> str:
    """Return the command with which the holder of the key makes the same file."""
    return f"openssl pkcs12 -export -inkey KEY.pem -in {chain} -out NEW.p12{_OPENSSL[form]}"


def _bits(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
