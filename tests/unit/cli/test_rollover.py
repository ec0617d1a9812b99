"""`doorward ca csr` and `doorward ca rotate`: what destroys a key is asked, and no file is overwritten by mistake."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

from cryptography import x509

from doorward.authority.status.root_crl import serial_of
from doorward.stores.prerequisites import load_key, require_authority
from doorward.stores.records import AuthorityKind
from tests.support.certificates.issuing import CertifiedKey
from tests.support.certificates.status import crl_of
from tests.unit.cli.conftest import Site


def keys_of(site: Site) -> set[str]:
    """The names of the issuing authorities' keys in the key store."""
    return {path.stem for path in site.data.rglob("issuing-*.key")}


def test_a_request_is_given_up_only_by_a_word(site: Site) -> None:
    """`undo` after `ca csr` destroys the new key: a script needs `--yes`, a person answers."""
    site.do("ca", "csr")
    assert keys_of(site) == {"issuing-1", "issuing-2"}
    refused = site.do("ca", "rotate", "undo", code=1)
    assert (refused["code"], "--yes" in refused["hint"]) == ("not-confirmed", True)
    assert "issuing-2 is destroyed" in refused["detail"]
    assert site.run("ca", "rotate", "undo").exit_code == 1
    assert site.ask("ca", "rotate", "undo", answer="n\n").exit_code == 1
    assert keys_of(site) == {"issuing-1", "issuing-2"}
    assert site.ask("ca", "rotate", "undo", answer="y\n").exit_code == 0
    assert keys_of(site) == {"issuing-1"}
    site.do("ca", "rotate", "prepare")
    assert site.do("ca", "rotate", "undo", "--yes")["state"] == "withdrawn"


def test_a_script_retires_only_by_a_word(site: Site) -> None:
    """`retire --json` without `--yes` changes nothing; going back one phase destroys nothing and is not asked."""
    for words in (["prepare"], ["activate"], ["undo"], ["activate"], ["drain", "--over", "0s"]):
        site.do("ca", "rotate", *words)
    refused = site.do("ca", "rotate", "retire", code=1)
    assert refused["code"] == "not-confirmed"
    assert site.do("ca", "rotate", "status")["state"] == "draining"
    assert keys_of(site) == {"issuing-1", "issuing-2"}
    assert site.do("ca", "rotate", "retire", "--yes", "--compromised")["state"] == "retired"
    assert keys_of(site) == {"issuing-2"}


def test_the_root_offline_is_the_next_step(site: Site, tmp_path: Path) -> None:
    """After a retirement without the root's key, the output, `rotate status` and `status` say what to sign, until it is signed."""
    exported, passphrase = tmp_path / "root.pem", tmp_path / "secret"
    passphrase.write_text("correct horse battery")
    passphrase.chmod(0o600)
    with_pass = ("--passphrase-file", str(passphrase))
    site.do("ca", "export", "--root", "--out", str(exported), *with_pass)
    for words in (["prepare"], ["activate"], ["drain", "--over", "0s"]):
        site.do("ca", "rotate", *words)
    site.do("ca", "remove-root-key", "--exported", str(exported), *with_pass)
    assert "doorward ca renew-root-list" in site.do("ca", "rotate", "retire", "--yes")["next"]
    assert "doorward ca renew-root-list" in site.do("ca", "rotate", "status")["next"]
    assert "does not name every retired issuing authority (1 missing)" in site.run("status").output
    site.do("ca", "renew-root-list", "--exported", str(exported), *with_pass)
    assert "doorward ca rotate prepare" in site.do("ca", "rotate", "status")["next"]
    assert "does not name" not in site.run("status").output


def test_a_request_overwrites_no_file(site: Site, tmp_path: Path) -> None:
    """A file that exists is kept, and no key is made; `--force` replaces it."""
    request, extensions = tmp_path / "issuing.csr", tmp_path / "issuing.ext"
    words = ("ca", "csr", "--out", str(request), "--extensions", str(extensions))
    for path in (request, extensions):
        path.write_text("mine")
        assert site.do(*words, code=1)["code"] == "file-exists"
        assert (path.read_text(), keys_of(site)) == ("mine", {"issuing-1"})
        path.unlink()
    site.do(*words)
    first = request.read_text()
    assert site.do(*words, code=1)["code"] == "file-exists"
    request.write_text("mine")
    site.do(*words, "--force")
    assert request.read_text() == first


def test_a_list_that_revokes_what_is_in_use_is_asked_about(site: Site, tmp_path: Path) -> None:
    """A list made elsewhere may revoke the wrong authority: agents that read it would refuse our hosts."""
    with closing(site.opened()) as installation, installation.services.work.read() as stores:
        root = require_authority(stores, AuthorityKind.ROOT)
        serial = serial_of(require_authority(stores, AuthorityKind.ISSUING))
        now = installation.services.clock.now()
        above = CertifiedKey(
            certificate=x509.load_der_x509_certificate(root.der), key=load_key(installation.services, root)
        )
    times = {"this_update": now - timedelta(minutes=1), "next_update": now + timedelta(days=300)}
    for name, entries, number in (("mistaken", (serial,), 50), ("right", (), 51)):
        (tmp_path / name).write_bytes(crl_of(above, *entries, number=number, **times))
    refused = site.do("ca", "renew-root-list", "--signed", str(tmp_path / "mistaken"), code=1)
    assert (refused["code"], "--yes" in refused["hint"]) == ("not-confirmed", True)
    assert site.do("ca", "renew-root-list", "--signed", str(tmp_path / "right"))["number"] == 51
