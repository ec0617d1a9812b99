"""Bad documents: every fault an error, the old policy in force."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from doorward.access.policies import export_revision
from tests.integration.bad_input.conftest import DICE, refused
from tests.support.doorway import DOMAIN, Doorway

pytestmark = pytest.mark.xdist_group("bad-documents")

# documents


def bad_documents(good: str) -> dict[str, bytes]:
    """Documents that no policy can be made of."""
    return {
        "empty": b"",
        "garbage": DICE.randbytes(2000),
        "not UTF-8": good.encode("utf-16"),
        "a list": b"- 1\n- 2\n",
        "tabs": good.replace("  ", "\t").encode(),
        "deep": b"a: " + b"[" * 5000,
        "many aliases": b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 120)),
        "a tag": good.replace("trust_domain:", "!!python/object/apply:os.system ['true']\ntrust_domain:").encode(),
        "twice the key": (good + good).encode(),
        "another domain": good.replace(f"trust_domain: {DOMAIN}", "trust_domain: other.example").encode(),
        "our own host": good.replace(f"app.{DOMAIN}", f"enroll.{DOMAIN}").encode(),
        "an unknown key": good.replace("rules:", "ruels:").encode(),
        "a bad upstream": good.replace("upstream: http://", "upstream: gopher://").encode(),
        "huge": b"# " + b"x" * (1 << 21),
        "many": good.encode() + b"".join(b"      - {allow: {groups: [g%d]}}\n" % n for n in range(30_000)),
    }  # fmt: skip


KINDS = list(bad_documents("trust_domain: x\n"))


@pytest.mark.parametrize("kind", KINDS)
def test_bad_documents(door: Doorway, kind: str, tmp_path: Path) -> None:
    """A document with faults is refused by every command that takes one, with the exit code of faults."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(bad_documents(export_revision(door.services)[0])[kind])
    for words in (["apply"], ["diff"], ["policy", "check"]):
        refused(door, *words, "-f", str(path), code=2)


def test_truncated_documents(door: Doorway, tmp_path: Path) -> None:
    """A document cut off anywhere is refused, or means what it says; nothing in between comes into force."""
    text = export_revision(door.services)[0]
    path = tmp_path / "policy.yaml"
    for length in range(0, len(text.rstrip()), 7):
        path.write_text(text[:length])
        result = door.command("policy", "check", "-f", str(path), "--json")
        assert result.exit_code in {0, 2}, (length, result.output)
        json.loads(result.stdout.splitlines()[-1])


def test_a_document_on_standard_input_is_bounded(door: Doorway) -> None:
    """A document from a pipe has the same limit as a file."""
    settings = door.installation.settings
    done = subprocess.run(
        [sys.executable, "-m", "doorward.cli", "apply", "-f", "-", "--json", "--data", str(settings.data)],
        input=b"# " + b"x" * (3 << 20),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] in {"file-too-large", "document-too-large"}
