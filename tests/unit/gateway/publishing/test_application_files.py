"""Certificates of applications from files: read again when they change, told by the application's name."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from doorward.gateway.publishing.application_files import ApplicationFiles
from doorward.policy.document import parse_document
from doorward.policy.model import AppPolicy
from tests.support.certificates.issuing import toy_ca
from tests.support.ports import NOON

HOSTS = ("a.corp.example", "b.corp.example")
CA = toy_ca()


def put(folder: Path, *hosts: str) -> None:
    """Write a new pair."""
    issued = CA.server(*hosts)
    (folder / "a.pem").write_bytes(issued.pem + CA.pem)
    (folder / "a.key").write_bytes(issued.key_pem)


def policies(folder: Path, *names: str) -> dict[str, AppPolicy]:
    """Return applications that name the pair."""
    files = f"{{from: files, certificate: {folder}/a.pem, key: {folder}/a.key}}"
    apps = "".join(
        f"  {name}:\n    hosts: [{name}.corp.example, b{at}.corp.example]\n"
        f"    upstream: http://127.0.0.1:9000\n    certificates: {files}\n"
        for at, name in enumerate(names)
    )
    found = parse_document(f"trust_domain: corp.example\napps:\n{apps}")
    return {f"app_{app.name}": app for app in found.apps}


def test_a_pair_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """The new certificate has the same name for Envoy, so no connection ends."""
    put(tmp_path, "*.corp.example")
    files, apps = ApplicationFiles(tmp_path / "kept"), policies(tmp_path, "a")
    first = files.read(apps, NOON)["app_a"]
    assert (first.name, first.hosts) == ("app_a", ("a.corp.example", "b0.corp.example"))
    assert (files.has("app_a"), files.has("app_b"), files.changed()) == (True, False, False)
    put(tmp_path, "*.corp.example")
    assert files.changed()
    second = files.read(apps, NOON)["app_a"]
    assert second.name == first.name
    assert Path(second.chain_path).read_bytes() != Path(first.chain_path).read_bytes()


def test_a_certificate_must_name_every_host(tmp_path: Path) -> None:
    """The fault names the application, the file and the host."""
    put(tmp_path, "a.corp.example")
    files = ApplicationFiles(tmp_path / "kept")
    assert files.read(policies(tmp_path, "a"), NOON) == {}
    assert files.trouble().startswith("the certificate of a cannot be used, and a is shut")
    assert "a.pem does not name b0.corp.example" in files.trouble()


def test_a_bad_pair_leaves_the_former_one_in_use(tmp_path: Path) -> None:
    """Until its end."""
    put(tmp_path, "*.corp.example")
    files, apps = ApplicationFiles(tmp_path / "kept"), policies(tmp_path, "a")
    first = files.read(apps, NOON)
    (tmp_path / "a.key").write_text("damaged")
    assert files.read(apps, NOON) == first
    assert "the former certificate stays in use" in files.trouble()
    assert files.read(apps, NOON + timedelta(days=4000)) == {}


def test_a_pair_that_is_not_renewed_is_told_before_its_end(tmp_path: Path) -> None:
    """The earliest end of the chain counts; the pair is used until then."""
    issued = CA.server(
        "*.corp.example", not_before=NOON - timedelta(days=70), not_after=NOON + timedelta(days=20)
    )
    (tmp_path / "a.pem").write_bytes(issued.pem)
    (tmp_path / "a.key").write_bytes(issued.key_pem)
    files, apps = ApplicationFiles(tmp_path / "kept"), policies(tmp_path, "a")
    assert len(files.read(apps, NOON)) == 1
    assert files.trouble() == ""
    assert len(files.read(apps, NOON + timedelta(days=2))) == 1
    assert files.trouble().startswith("the certificate of a ends 2026-12-13 12:00 UTC and was not renewed")


def test_an_application_that_names_no_files_any_more_is_forgotten(tmp_path: Path) -> None:
    """Its copies, which have a key, are deleted."""
    put(tmp_path, "*.corp.example")
    files = ApplicationFiles(tmp_path / "kept")
    assert len(files.read(policies(tmp_path, "a", "c"), NOON)) == 2
    files.read(policies(tmp_path, "c"), NOON)
    assert [one.name for one in (tmp_path / "kept").iterdir()] == ["app_c"]


def test_many_faults_are_cut(tmp_path: Path) -> None:
    """The status has the first ones and their number."""
    files = ApplicationFiles(tmp_path / "kept")
    files.read(policies(tmp_path, *"abcde"), NOON)
    assert files.trouble().count("cannot be used") == 3
    assert files.trouble().endswith("and 2 more applications")
