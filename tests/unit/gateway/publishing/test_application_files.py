"""Certificates of applications from files: read again when they change, told by the application's name."""

from __future__ import annotations

import os
from dataclasses import replace
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


def test_a_host_that_the_files_lack_does_not_shut_the_others(tmp_path: Path) -> None:
    """The hosts that the certificate names are served; the fault names the application and the host."""
    put(tmp_path, "a.corp.example")
    files = ApplicationFiles(tmp_path / "kept")
    assert files.read(policies(tmp_path, "a"), NOON)["app_a"].hosts == ("a.corp.example",)
    said = files.trouble()
    assert said.startswith("the certificate of a does not name b0.corp.example: no such host is served")
    put(tmp_path, "*.corp.example")
    assert len(files.read(policies(tmp_path, "a"), NOON)["app_a"].hosts) == 2
    assert files.trouble() == ""


def test_a_certificate_without_any_of_the_hosts_is_not_used(tmp_path: Path) -> None:
    """The fault names the application, the file and the first host."""
    put(tmp_path, "z.corp.example")
    files = ApplicationFiles(tmp_path / "kept")
    assert files.read(policies(tmp_path, "a"), NOON) == {}
    assert files.trouble().startswith("the certificate of a cannot be used, and a is shut")
    assert "a.pem does not name a.corp.example" in files.trouble()


def test_the_former_pair_serves_what_it_names_after_an_edit(tmp_path: Path) -> None:
    """The files are damaged, and the document gets a host: the hosts that were there go on."""
    put(tmp_path, "a.corp.example", "b0.corp.example")
    files, apps = ApplicationFiles(tmp_path / "kept"), policies(tmp_path, "a")
    assert len(files.read(apps, NOON)) == 1
    (tmp_path / "a.key").write_text("damaged")
    more = {id_: replace(app, hosts=(*app.hosts, "new.corp.example")) for id_, app in apps.items()}
    assert files.read(more, NOON)["app_a"].hosts == ("a.corp.example", "b0.corp.example")
    other = {id_: replace(app, hosts=("new.corp.example",)) for id_, app in apps.items()}
    assert files.read(other, NOON) == {}


def test_an_issuer_that_ends_first_ends_the_chain(tmp_path: Path) -> None:
    """Clients refuse the chain then; it is told before, and the former pair is no longer used after."""
    ca = toy_ca(not_before=NOON - timedelta(days=90), not_after=NOON + timedelta(days=10))
    issued = ca.server(
        "*.corp.example", not_before=NOON - timedelta(days=1), not_after=NOON + timedelta(days=89)
    )
    (tmp_path / "a.pem").write_bytes(issued.pem + ca.pem)
    (tmp_path / "a.key").write_bytes(issued.key_pem)
    files, apps = ApplicationFiles(tmp_path / "kept"), policies(tmp_path, "a")
    assert len(files.read(apps, NOON)) == 1
    assert len(files.read(apps, NOON + timedelta(days=9))) == 1
    assert "was not renewed" in files.trouble()
    assert files.read(apps, NOON + timedelta(days=10, seconds=1)) == {}
    assert "a certificate of its chain ended" in files.trouble()


def test_a_pipe_in_the_place_of_a_file_blocks_no_gateway(tmp_path: Path) -> None:
    """The other applications are published."""
    put(tmp_path, "*.corp.example")
    (tmp_path / "a.key").unlink()
    os.mkfifo(tmp_path / "a.key")
    files = ApplicationFiles(tmp_path / "kept")
    assert files.read(policies(tmp_path, "a"), NOON) == {}
    assert "it is not a regular file" in files.trouble()


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
    for other in ("other/0123456789abcdef0123456789abcdef", "app_z/src"):
        (tmp_path / "kept" / other).mkdir(parents=True)
    ApplicationFiles(tmp_path / "kept").read({}, NOON)  # a gateway that starts later
    assert sorted(one.name for one in (tmp_path / "kept").glob("*/*")) == [
        "0123456789abcdef0123456789abcdef",
        "src",
    ]
    assert not (tmp_path / "kept" / "app_c").exists()


def test_many_faults_are_cut(tmp_path: Path) -> None:
    """The status has the first ones and their number."""
    files = ApplicationFiles(tmp_path / "kept")
    files.read(policies(tmp_path, *"abcde"), NOON)
    assert files.trouble().count("cannot be used") == 3
    assert files.trouble().endswith("and 2 more applications")
