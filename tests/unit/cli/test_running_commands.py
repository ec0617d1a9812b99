"""What commands say that run for long or on another machine; that they run is tested with a door (integration)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from doorward.agent.client import Enrolled
from doorward.agent.credential import Credential
from doorward.agent.pkcs12 import Pkcs12Form
from doorward.cli.commands import demo, enroll, roles
from doorward.cli.output import Output
from doorward.cli.state import State
from doorward.demo.report import Report
from doorward.gateway.connections.cutter import Mechanism
from doorward.runtime.compose import Installation
from doorward.runtime.settings import Settings
from tests.support.certificates.issuing import certify


@pytest.fixture(params=[False, True], ids=["people", "json"])
def state(request: pytest.FixtureRequest) -> State:
    """What the options say."""
    return State(output=Output(as_json=request.param))


def said(capsys: pytest.CaptureFixture[str], state: State) -> tuple[str, dict[str, object]]:
    """What people read, or the document."""
    text = capsys.readouterr().out
    return ("", json.loads(text)) if state.output.as_json else (text, {})


def test_up_says_where_it_listens(state: State, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The door, the status listener, and how it is closed."""
    settings = Settings(data=tmp_path, gateway_listen="127.0.0.1:9443", status_listen="127.0.0.1:9080")
    roles.say_open(state, settings)
    text, value = said(capsys, state)
    if state.output.as_json:
        assert set(value) == {"listening", "status", "pid"}
        assert (value["listening"], value["status"]) == ("127.0.0.1:9443", "127.0.0.1:9080")
    else:
        assert text == (
            "✓ the door is open on 127.0.0.1:9443; status on http://127.0.0.1:9080; Ctrl-C closes it\n"
        )


def test_the_roles_say_that_they_are_ready(
    state: State, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With --json as a document; people read it in the log."""
    settings = Settings(data=tmp_path, gateway_name="gw-1")
    roles.say_serving(state, Installation(settings))
    text, value = said(capsys, state)
    assert text == ""
    if state.output.as_json:
        assert set(value) == {"status", "enrolment", "pid"}
    roles.say_gateway(state, settings, Mechanism.SOCK_DESTROY)
    text, value = said(capsys, state)
    assert text == ""
    if state.output.as_json:
        assert set(value) == {"listening", "name", "cuts_by", "pid"}
        assert value["name"] == "gw-1"


def test_the_demo_invites_to_try(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command with what it shows."""
    demo.say_commands(state, [("alice reads", "curl https://bank")])
    text, value = said(capsys, state)
    if state.output.as_json:
        assert value == {"commands": [{"shows": "alice reads", "command": "curl https://bank"}]}
    else:
        assert "# alice reads\ncurl https://bank\n" in text


@pytest.mark.parametrize("good", [True, False])
def test_the_demo_says_how_it_came_out(
    state: State, capsys: pytest.CaptureFixture[str], tmp_path: Path, *, good: bool
) -> None:
    """A story that came out otherwise is exit code 1; a kept record is said to be the altered one."""
    report = Report(None)
    report.begin(1, "alice", "she is a teller")
    report.judge("alice reads", "200", "200" if good else "403", good=good)
    if good:
        demo.say_end(state, report, 1.5, kept=tmp_path)
    else:
        with pytest.raises(SystemExit) as end:
            demo.say_end(state, report, 1.5, kept=tmp_path)
        assert end.value.code == 1
    _, value = said(capsys, state)
    if state.output.as_json:
        assert value["record_altered"] is True
        assert value["kept"] == str(tmp_path)


def test_what_enroll_made(state: State, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The files, the end of the certificate, and the password that is shown only now."""
    certificate = certify("alice").certificate
    done = Enrolled(
        credential=Credential(certificate=certificate, issuers=(), roots=(certificate,)),
        directory=tmp_path,
        p12=tmp_path / "alice.p12",
        p12_form=Pkcs12Form.MODERN,
        p12_password="correct-horse",
        previous=tmp_path / "before",
    )
    enroll.say_enrolled(state, done)
    text, value = said(capsys, state)
    if state.output.as_json:
        assert set(value) == {
            "name", "key", "certificate", "chain", "root", "p12", "p12_password", "not_after", "previous",
        }  # fmt: skip
        assert (value["name"], value["p12_password"]) == ("alice", "correct-horse")
    else:
        assert "✓ a certificate for alice, until " in text
        assert f"import {tmp_path}/alice.p12" in text
        assert "its password, shown only now: correct-horse" in text
        assert f"what was there before is in {tmp_path}/before" in text
