"""The pages about notices and short lives: their commands run, their settings load, their snippet verifies our signature."""

from __future__ import annotations

import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from doorward.cli.__main__ import main
from doorward.notices.webhook import build_signature, parse_webhook_secret
from doorward.runtime.certificate_condition import examine_lifetimes
from doorward.runtime.compose import Installation
from doorward.runtime.settings import Settings, load_settings
from tests.support.doorway import founded
from tests.support.walkthrough import ROOT, read_blocks

NOTICES = ROOT / "docs" / "how-to" / "be-told-before-certificates-end.md"
SHORT = ROOT / "docs" / "how-to" / "short-lived-certificates.md"


def texts(page: Path, kind: str) -> list[str]:
    """Return the blocks of one kind."""
    return [one.text for one in read_blocks(page) if one.kind == kind]


def settings_of(page: Path, folder: Path) -> Settings:
    """Load what the page says to write into doorward.toml."""
    text = "".join(texts(page, "toml"))
    assert tomllib.loads(text)
    (folder / "doorward.toml").write_text(text, encoding="utf-8")
    return load_settings(environ={}, data=folder)


def test_the_commands_run() -> None:
    """On a new installation, where `status` says that nothing runs yet."""
    with founded(quick=True, unlocked=False) as installation:
        environ = {"DOORWARD_DATA": str(installation.settings.data)}
        for line in dict.fromkeys("".join([*texts(NOTICES, "sh"), *texts(SHORT, "sh")]).splitlines()):
            result = CliRunner(env=environ).invoke(main, shlex.split(line)[1:])
            assert result.exit_code == (3 if line == "doorward status" else 0), (line, result.output)


def test_the_settings_load(tmp_path: Path) -> None:
    """Mail, webhook and lifetimes as the pages show them."""
    told = settings_of(NOTICES, tmp_path)
    assert (told.smtp_host, told.operators_mail) == ("mail.corp.example", "it@corp.example")
    assert told.webhook_secret_file == Path("/etc/doorward/webhook-secret")
    short = settings_of(SHORT, tmp_path)
    part = examine_lifetimes(Installation(short))
    assert part.text in texts(SHORT, "text")[0]


def test_the_snippet_verifies_a_message(tmp_path: Path) -> None:
    """With a secret from the page's command; a changed body and another time are refused."""
    command = next(one for one in texts(NOTICES, "text") if "whsec_" in one)
    file = tmp_path / "secret"
    subprocess.run(
        ["/bin/sh", "-c", command.replace("/etc/doorward/webhook-secret", str(file))],
        check=True,
    )
    secret = file.read_text(encoding="ascii")
    names: dict[str, Any] = {}
    exec("".join(texts(NOTICES, "python")), names)
    signature = build_signature(parse_webhook_secret(secret), "ntc_1", 1700000000, b"{}")
    headers = {"webhook-id": "ntc_1", "webhook-timestamp": "1700000000", "webhook-signature": signature}
    assert names["is_genuine"](secret, headers, b"{}")
    assert not names["is_genuine"](secret, headers, b"{ }")
    assert not names["is_genuine"](secret, headers | {"webhook-timestamp": "1700000001"}, b"{}")
