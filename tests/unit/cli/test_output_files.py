"""A file that `--out` names and that exists is replaced with `--force` only, and nothing is issued before that is clear."""

from __future__ import annotations

import stat
from pathlib import Path

from doorward.core.ports import KeyKind
from doorward.pki.csr import build_csr
from tests.support.ports import PlainKeys
from tests.unit.cli.conftest import Site


def test_renewing_does_not_overwrite_a_file(site: Site) -> None:
    """The file is whole and no certificate is issued; with --force, or under another name, it is written."""
    old = site.certificate("alice")
    request = site.file("new.csr", build_csr(PlainKeys().generate(KeyKind.P256), "alice"))
    kept = Path(site.file("kept.pem", "precious"))
    words = ("cert", "renew", old, "--csr", request, "--out")
    before = len(site.do("cert", "list", "--of", "alice", code=0))
    error = site.do(*words, str(kept), code=1)
    assert (error["code"], "--force" in error["hint"]) == ("file-exists", True)
    assert kept.read_text() == "precious"
    assert len(site.do("cert", "list", "--of", "alice", code=0)) == before
    chain = site.do(*words, str(kept), "--force")["pem"]
    assert kept.read_text() == chain
    assert stat.S_IMODE(kept.stat().st_mode) == 0o644


def test_an_export_of_the_log_does_not_overwrite_a_file(site: Site) -> None:
    """Last month's evidence stays; --force replaces it, readable by its owner only."""
    kept = Path(site.file("log.jsonl", "last month"))
    error = site.do("audit", "export", "--out", str(kept), code=1)
    assert (error["code"], "--force" in error["hint"]) == ("file-exists", True)
    assert kept.read_text() == "last month"
    site.do("audit", "export", "--out", str(kept), "--force")
    assert kept.read_text() != "last month"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
