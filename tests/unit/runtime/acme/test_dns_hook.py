"""dns-01 by a program: what it gets, and what its failure says."""

from __future__ import annotations

from pathlib import Path

import pytest

from doorward.authority.acme.ports import AcmeRefusal
from doorward.core.entities import TENANT
from doorward.runtime.acme.dns_hook import DnsHookProver
from doorward.stores.acme_protocols import AcmeChallengeRecord
from doorward.wire.acme_jws import dns_value
from tests.support.ports import NOON

CHALLENGE = AcmeChallengeRecord(
    token="$(touch owned)" + "x" * 20,
    tenant=TENANT,
    order_id="ord_1",
    host="a.corp.example",
    kind="dns-01",
    authorization="token.thumbprint",
    ends_at=NOON,
)


def hook(folder: Path, body: str) -> tuple[str, ...]:
    """Write a program."""
    file = folder / "hook"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return (str(file), "zone 1")


def test_the_program_gets_name_and_value_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No word of the authority is an argument or a variable, and no variable of ours is passed on."""
    monkeypatch.setenv("SECRET", "s")
    prover = DnsHookProver(hook(tmp_path, f'echo "$@" >> {tmp_path}/out; env | sort >> {tmp_path}/out'))
    prover.present(CHALLENGE)
    prover.withdraw(CHALLENGE)
    lines = (tmp_path / "out").read_text().splitlines()
    assert lines[0] == "zone 1 present"
    assert "zone 1 cleanup" in lines
    assert "DOORWARD_ACME_HOST=a.corp.example" in lines
    assert "DOORWARD_ACME_RECORD=_acme-challenge.a.corp.example" in lines
    assert f"DOORWARD_ACME_VALUE={dns_value('token.thumbprint')}" in lines
    assert not any("touch" in line or "SECRET" in line for line in lines)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo 'no such \x1b[2Jzone' >&2; exit 3", "it ended with status 3: no such ?[2Jzone"),
        ("exec sleep 60", "it did not end within 0.2 seconds"),
    ],
)
def test_a_failure_says_why(tmp_path: Path, body: str, words: str) -> None:
    """The program's own words help; they are printable."""
    with pytest.raises(AcmeRefusal, match="acme_dns_hook failed") as error:
        DnsHookProver(hook(tmp_path, body), seconds=0.2 if "sleep" in body else 60).present(CHALLENGE)
    assert words in error.value.detail


def test_a_program_that_is_missing_says_so(tmp_path: Path) -> None:
    """Cleaning up never raises."""
    prover = DnsHookProver((str(tmp_path / "none"),))
    with pytest.raises(AcmeRefusal, match="No such file"):
        prover.present(CHALLENGE)
    prover.withdraw(CHALLENGE)
