"""A CRL that was served as PEM instead of DER."""

from __future__ import annotations

import base64

import pytest

from doorward.wire.pem_crl import decode_pem_crl

DER = bytes(range(256)) * 3
BLOCK = b"-----BEGIN X509 CRL-----\n" + base64.encodebytes(DER) + b"-----END X509 CRL-----\n"


@pytest.mark.parametrize(
    "data",
    [BLOCK, BLOCK.replace(b"\n", b"\r\n"), b"Certificate Revocation List (CRL):\n" + BLOCK, BLOCK.strip()],
)
def test_one_block_is_the_list(data: bytes) -> None:
    """RFC 7468 section 6: with any line ends, and with text before."""
    assert decode_pem_crl(data) == DER


@pytest.mark.parametrize(
    "data",
    [
        b"",
        DER,
        BLOCK[:-30],
        BLOCK + BLOCK,
        BLOCK.replace(b"A", b"!"),
        b"x" * 65_536 + BLOCK,
        BLOCK.replace(b" CRL", b""),
    ],
)
def test_anything_else_is_left_as_it_is(data: bytes) -> None:
    """The reader of lists refuses it; of two lists neither is chosen."""
    assert decode_pem_crl(data) == data
