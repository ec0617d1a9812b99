"""The `.p12` file: form, password, content. Whether importers accept it: tests/protocol/test_pkcs12_importers.py."""

from __future__ import annotations

import re

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from doorward.agent.pkcs12 import Pkcs12Form, Target, choose_form, local_target, make_password, render_pkcs12
from tests.support.certificates.issuing import toy_ca
from tests.support.ports import FakeRandom


@pytest.mark.parametrize("form", Pkcs12Form)
def test_key_certificate_and_issuer_are_inside(form: Pkcs12Form) -> None:
    """The file holds the key, the certificate with its name and the issuer, under the password."""
    authority = toy_ca()
    leaf = authority.leaf("alice")
    data = render_pkcs12(
        leaf.key, leaf.certificate, [authority.certificate], name="alice", password="pass-word-123", form=form
    )
    found = pkcs12.load_pkcs12(data, b"pass-word-123")
    assert found.key is not None
    assert found.key.public_key() == leaf.key.public_key()
    assert found.cert is not None
    assert (found.cert.certificate, found.cert.friendly_name) == (leaf.certificate, b"alice")
    assert [one.certificate for one in found.additional_certs] == [authority.certificate]
    with pytest.raises(ValueError, match="password"):
        pkcs12.load_pkcs12(data, b"pass-word-124")


def test_a_made_password_has_120_bits_and_fits_every_importer() -> None:
    """Four groups of six letters and digits: 24 times 5 bits, 27 characters."""
    password = make_password(FakeRandom())
    assert re.fullmatch(r"[a-z2-7]{6}(-[a-z2-7]{6}){3}", password)
    assert make_password(FakeRandom("other")) != password


def test_macos_gets_the_form_that_it_imports() -> None:
    """On macOS the legacy form is chosen, elsewhere the modern one."""
    legacy = {one for one in Target if choose_form(one) is Pkcs12Form.LEGACY}
    assert legacy == {Target.MACOS, Target.IOS, Target.ANDROID}
    assert [local_target(one) for one in ("darwin", "win32", "linux")] == [
        Target.MACOS,
        Target.WINDOWS,
        Target.LINUX,
    ]
