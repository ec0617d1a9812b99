"""PEM in and out of files."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from doorward.core.errors import MalformedInput
from doorward.runtime.pem import read_bounded, render_pem
from tests.support.certificates.issuing import toy_ca


def test_certificates_keep_their_order() -> None:
    """The PEM of several certificates has them in the order given."""
    ca = toy_ca()
    ders = [ca.leaf("alice").der, ca.der]
    found = x509.load_pem_x509_certificates(render_pem(*ders).encode())
    assert [one.subject for one in found] == [x509.load_der_x509_certificate(der).subject for der in ders]
    assert render_pem() == ""


def test_a_file_up_to_the_limit(tmp_path: Path) -> None:
    """A file of exactly the limit is read, one byte more is refused, however large it is."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    assert read_bounded(path, 10) == b"x" * 10
    with pytest.raises(MalformedInput) as caught:
        read_bounded(path, 9)
    assert caught.value.code == "file-too-large"
    with pytest.raises(MalformedInput):
        read_bounded(Path("/dev/zero"), 1000)
