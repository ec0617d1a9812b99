"""The files of upstreams that speak TLS: read, checked, copied under their digest."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from doorward.gateway.forbidden_upstreams import ForbiddenUpstreams
from doorward.gateway.publishing import upstream_files
from doorward.gateway.publishing.upstream_files import KEPT, MOST_BYTES, UpstreamParts, UpstreamReader
from doorward.policy.model import AppPolicy, Document, HttpUpstream, Scheme, UpstreamTls
from tests.support.certificates.issuing import toy_ca
from tests.support.ports import NOON

DATES = {"not_before": NOON - timedelta(days=1), "not_after": NOON + timedelta(days=1)}
CA = toy_ca(**DATES)


def read(folder: Path, **tls: str) -> UpstreamParts:
    """Read a document with one application behind TLS."""
    upstream = HttpUpstream(host="up.test", port=443, scheme=Scheme.HTTPS, tls=UpstreamTls(**tls))
    app = AppPolicy(name="pay", hosts=("pay.test",), upstream=upstream)
    reader = UpstreamReader(folder / "kept", ForbiddenUpstreams(folder=folder / "data"))
    return reader.read(Document(trust_domain="corp.example", apps=(app,)), NOON)


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    """The authorities of the upstream."""
    (tmp_path / "ca.pem").write_bytes(b"# ours\n" + CA.pem)
    return str(tmp_path / "ca.pem")


def identity(folder: Path, chain: bytes, key: bytes) -> str:
    """Make the folder of a service."""
    folder.mkdir()
    (folder / "chain.pem").write_bytes(chain)
    (folder / "key.pem").write_bytes(key)
    return str(folder)


def test_files_are_copied_under_their_digest(tmp_path: Path, ca_file: str) -> None:
    """The same content has the same path, another content another; others cannot read them."""
    leaf = CA.leaf("door", **DATES)
    me = identity(tmp_path / "me", leaf.pem + CA.pem, leaf.key_pem)
    files = read(tmp_path, ca_file=ca_file, client_certificate=me).files["pay"]
    assert Path(files.ca).read_bytes() == CA.pem
    assert Path(files.key).read_bytes() == leaf.key_pem
    assert read(tmp_path, ca_file=ca_file).files["pay"].ca == files.ca
    Path(ca_file).write_bytes(toy_ca("other", **DATES).pem)
    assert read(tmp_path, ca_file=ca_file).files["pay"].ca != files.ca
    assert all(one.stat().st_mode & 0o077 == 0 for one in (tmp_path / "kept").iterdir())


def test_old_copies_go(tmp_path: Path, ca_file: str) -> None:
    """A copy that nothing names is deleted after a day: Envoy may still name it for a while."""
    (tmp_path / "kept").mkdir()
    for name, age in (("old", KEPT * 2), ("new", KEPT / 2)):
        (tmp_path / "kept" / f"{name}.pem").touch()
        at = (NOON - age).timestamp()
        os.utime(tmp_path / "kept" / f"{name}.pem", (at, at))
    ca = read(tmp_path, ca_file=ca_file).files["pay"].ca
    assert {one.name for one in (tmp_path / "kept").iterdir()} == {"new.pem", Path(ca).name}


def test_the_system_s_store(tmp_path: Path, ca_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's store is used if no file is named; a machine without one says so."""
    monkeypatch.setattr(upstream_files, "SYSTEM_STORES", (tmp_path / "none", Path(ca_file)))
    assert Path(read(tmp_path).files["pay"].ca).read_bytes() == CA.pem
    monkeypatch.setattr(upstream_files, "SYSTEM_STORES", ())
    assert "no system store" in read(tmp_path).objections["pay"]


def _wrong_pair(folder: Path) -> str:
    one, other = CA.leaf("door", **DATES), CA.leaf("door", **DATES)
    return identity(folder / "me", one.pem, other.key_pem)


def _ended(folder: Path) -> str:
    leaf = CA.leaf("door", not_before=NOON - timedelta(days=2), not_after=NOON - timedelta(days=1))
    return identity(folder / "me", leaf.pem, leaf.key_pem)


def _server(folder: Path) -> str:
    leaf = CA.server("up.test", **DATES)
    return identity(folder / "me", leaf.pem, leaf.key_pem)


def _rubbish(folder: Path) -> str:
    return identity(folder / "me", b"rubbish", b"rubbish")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_wrong_pair, "do not belong together"),
        (_ended, "not valid now"),
        (_server, "clientAuth"),
        (_rubbish, ""),
        (lambda folder: str(folder / "missing"), "cannot be read"),
    ],
)
def test_a_certificate_that_cannot_be_shown(tmp_path: Path, ca_file: str, make: object, said: str) -> None:
    """RFC 5280 section 4.2.1.12: the application cannot reach its upstream, with the reason."""
    assert callable(make)
    grounds = read(tmp_path, ca_file=ca_file, client_certificate=make(tmp_path))
    assert grounds.files == {}
    assert said in grounds.objections["pay"]


def test_bad_authorities(tmp_path: Path) -> None:
    """Rubbish, too much, and a folder in place of a file."""
    (tmp_path / "rubbish").write_text("rubbish")
    said = read(tmp_path, ca_file=f"{tmp_path}/rubbish").objections["pay"]
    assert said == f"{tmp_path}/rubbish has no certificates in PEM, or one of them is damaged"
    (tmp_path / "much").write_bytes(b"x" * (MOST_BYTES + 1))
    for name in ("rubbish", "much", ""):
        assert read(tmp_path, ca_file=f"{tmp_path}/{name}").objections["pay"]
