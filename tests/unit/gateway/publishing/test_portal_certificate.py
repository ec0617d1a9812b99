"""The portal's certificate from files: taken if it can be shown, kept while the files are bad, told in the status."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from doorward.core.names import PORTAL_APPLICATION
from doorward.gateway.publishing.portal_certificate import PortalCertificate
from tests.support.certificates.issuing import CLIENT, toy_ca
from tests.support.ports import NOON

HOST = "portal.corp.example"
CA = toy_ca()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A good pair."""
    pair = tmp_path / "portal.pem", tmp_path / "portal.key"
    put(pair, HOST)
    return pair


def put(files: tuple[Path, Path], *hosts: str, **options: object) -> None:
    """Write a new certificate and its key."""
    issued = CA.server(*hosts, **options)
    files[0].write_bytes(issued.pem + CA.pem)
    files[1].write_bytes(issued.key_pem)


def reader(files: tuple[Path, Path] | None, folder: Path) -> PortalCertificate:
    """Return a reader of these files."""
    return PortalCertificate(files, HOST, folder / "kept")


def test_a_good_pair_is_copied_and_shown(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Under a path of its content, in a folder that is closed to others."""
    found = reader(files, tmp_path).read(NOON)
    assert found is not None
    assert found.name == PORTAL_APPLICATION
    assert found.hosts == (HOST,)
    assert Path(found.chain_path).read_bytes() == files[0].read_bytes()
    assert Path(found.key_path).read_bytes() == files[1].read_bytes()
    assert Path(found.key_path).stat().st_mode & 0o077 == 0


def test_without_files_there_is_none(tmp_path: Path) -> None:
    """If no files are named, our own authority certifies the portal."""
    none = reader(None, tmp_path)
    assert none.read(NOON) is None
    assert (none.changed(), none.trouble(), none.is_named) == (False, "", False)


@pytest.mark.parametrize("name", ["*.corp.example", "PORTAL.corp.example"])
def test_a_name_that_covers_the_host_will_do(files: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    """A wildcard for one label, and any case."""
    put(files, "www.corp.example", name)
    assert reader(files, tmp_path).read(NOON) is not None


@pytest.mark.parametrize(
    ("hosts", "options", "word"),
    [
        (("www.corp.example",), {}, "does not name"),
        (("*.example",), {}, "does not name"),
        (("*.portal.corp.example",), {}, "does not name"),
        ((HOST,), {"not_after": NOON - timedelta(minutes=1)}, "ended on"),
        ((HOST,), {"not_before": NOON + timedelta(minutes=1)}, "not valid before"),
        ((HOST,), {"purposes": (CLIENT,)}, "serverAuth"),
    ],
)
def test_a_certificate_that_cannot_be_shown_shuts_the_portal(
    files: tuple[Path, Path], tmp_path: Path, hosts: tuple[str, ...], options: dict[str, object], word: str
) -> None:
    """The portal is shut, and the status says why."""
    put(files, *hosts, **options)
    one = reader(files, tmp_path)
    assert one.read(NOON) is None
    assert word in one.trouble()
    assert "shut" in one.trouble()


@pytest.mark.parametrize("which", [0, 1], ids=["certificate", "key"])
@pytest.mark.parametrize("what", [b"", b"garbage", None], ids=["empty", "garbage", "missing"])
def test_files_that_cannot_be_read_are_told(
    files: tuple[Path, Path], tmp_path: Path, which: int, what: bytes | None
) -> None:
    """Any content of the files gives a sentence and no exception."""
    if what is None:
        files[which].unlink()
    else:
        files[which].write_bytes(what)
    one = reader(files, tmp_path)
    assert one.read(NOON) is None
    assert str(files[which]) in one.trouble()


def test_a_changed_mode_is_a_change(files: tuple[Path, Path], tmp_path: Path) -> None:
    """A key that its user may no longer read is told while the former copy still works, not at the next start."""
    one = reader(files, tmp_path)
    assert one.read(NOON)
    assert not one.changed()
    files[1].chmod(0o400)
    assert one.changed()


def test_a_key_of_another_certificate_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Half of a renewal is no pair; the former one stays in use until the other half is there."""
    one = reader(files, tmp_path)
    before = one.read(NOON)
    files[1].write_bytes(CA.server(HOST).key_pem)
    assert one.changed()
    assert one.read(NOON) == before
    assert "the former certificate stays in use" in one.trouble()
    assert not one.changed()
    put(files, HOST)
    renewed = one.read(NOON)
    assert renewed is not None
    assert renewed != before
    assert one.trouble() == ""


def test_what_was_kept_ends_too(files: tuple[Path, Path], tmp_path: Path) -> None:
    """A certificate that is over is not shown because its successor is bad."""
    put(files, HOST, not_after=NOON + timedelta(hours=1))
    one = reader(files, tmp_path)
    assert one.read(NOON) is not None
    files[0].write_bytes(b"garbage")
    assert one.read(NOON + timedelta(hours=2)) is None
    assert "shut" in one.trouble()


def test_only_two_pairs_are_kept(files: tuple[Path, Path], tmp_path: Path) -> None:
    """The present one, and the one before: an Envoy may be starting with it."""
    one = reader(files, tmp_path)
    for _ in range(4):
        put(files, HOST)
        assert one.read(NOON) is not None
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_copies_are_deleted_once_the_settings_name_no_files(tmp_path: Path) -> None:
    """They have a key."""
    for one in ("0123456789abcdef" * 2, "other"):
        (tmp_path / "kept" / one).mkdir(parents=True)
    assert reader(None, tmp_path).read(NOON) is None
    assert [one.name for one in (tmp_path / "kept").iterdir()] == ["other"]
