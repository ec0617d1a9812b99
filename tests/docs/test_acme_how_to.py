"""What the page about ACME authorities tells people to write is what the program reads."""

from __future__ import annotations

import re
import textwrap
import tomllib
from pathlib import Path

import pytest

from doorward.policy.document import parse_document
from doorward.policy.server_certificates import CertifiedBy
from doorward.runtime.settings import Settings
from tests.support.walkthrough import ROOT

PAGE = (ROOT / "docs/how-to/certificates-from-an-acme-authority.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
APP = "  accounts:\n    hosts: [accounts.corp.example]\n    upstream: http://127.0.0.1:9000\n"


def test_the_settings_are_read(tmp_path: Path) -> None:
    """Also with what http-01 needs, and the hook of dns-01."""
    (toml,) = (text for kind, text in BLOCKS if kind == "toml")
    told = tomllib.loads(toml)
    more = tomllib.loads("\n".join(re.findall(r"`(acme_(?:challenge|http_listen|dns_hook) = [^`]+)`", PAGE)))
    assert {"acme_challenge", "acme_http_listen", "acme_dns_hook"} == more.keys()
    settings = Settings(data=tmp_path, **{**told, **more})
    assert settings.acme_directory.startswith("https://")


@pytest.mark.parametrize(("at", "by"), [(0, CertifiedBy.ACME), (1, CertifiedBy.FILES)], ids=["acme", "files"])
def test_the_documents_are_read(at: int, by: CertifiedBy) -> None:
    """A whole block, or the one line of it."""
    block = [text for kind, text in BLOCKS if kind == "yaml"][at]
    lines = block if "apps:" in block else f"apps:\n{APP}{textwrap.indent(textwrap.dedent(block), '    ')}"
    (app,) = parse_document(f"trust_domain: corp.example\n{lines}").apps
    assert app.certificates.by is by
