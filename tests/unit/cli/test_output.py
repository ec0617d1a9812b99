"""How the command line speaks: results, errors, exit codes; one JSON document where it is asked for."""

from __future__ import annotations

import io
import json
import os
import sys
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

import pytest

from doorward.cli.output import (
    DONE,
    INTEGRITY,
    INTERNAL,
    REFUSED,
    UNAVAILABLE,
    USAGE,
    Output,
    exit_code,
    has_reader,
)
from doorward.core.errors import (
    AccessDenied,
    ConfigurationError,
    DoorwardError,
    Fault,
    IntegrityError,
    MalformedInput,
    NotFound,
    RequestRefused,
    Unavailable,
)

FAULTS = ConfigurationError(
    [
        Fault(
            code="one", message="first [b]", hint="mend [/it]", file="a.yaml", line=3, column=7, key="apps"
        ),
        Fault(code="two", message="second"),
    ]
)
ERRORS: list[tuple[DoorwardError, int]] = [
    (MalformedInput("m", "not understood"), 2),
    (FAULTS, 2),
    (RequestRefused("r", "refused"), 1),
    (NotFound("n", "not there"), 1),
    (AccessDenied("denied", reasons=["certificate-revoked"]), 1),
    (Unavailable("u", "away", hint="try later"), 3),
    (IntegrityError("i", "altered"), 4),
    (DoorwardError("d", "something else"), 70),
]


def test_the_exit_codes_are_what_scripts_rely_on() -> None:
    """The numbers never change."""
    assert (DONE, REFUSED, USAGE, UNAVAILABLE, INTEGRITY, INTERNAL) == (0, 1, 2, 3, 4, 70)


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=[type(error).__name__ for error, _ in ERRORS])
def test_every_kind_of_error_has_its_code(error: DoorwardError, code: int) -> None:
    """An error's class decides the exit code."""
    assert exit_code(error) == code


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=[type(error).__name__ for error, _ in ERRORS])
def test_an_error_for_people(error: DoorwardError, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """People read what is wrong and what to do on standard error; standard output stays empty."""
    assert Output(as_json=False).error(error) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "error" in err
    if not isinstance(error, ConfigurationError):
        assert error.detail in err
        assert f"({error.code})" in err
        assert error.hint in err


def test_every_fault_is_shown_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    """A document's faults are all listed, with line and column, and words are not taken for markup."""
    Output(as_json=False).error(FAULTS)
    err = capsys.readouterr().err
    assert "a.yaml:3:7: first [b] (apps)" in err
    assert "mend [/it]" in err
    assert "second" in err


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=[type(error).__name__ for error, _ in ERRORS])
def test_an_error_for_programs(error: DoorwardError, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json an error is exactly one document, with code, words and hint."""
    assert Output(as_json=True).error(error) == code
    out, err = capsys.readouterr()
    assert err == ""
    value = json.loads(out)["error"]
    assert (value["code"], value["detail"], value["hint"]) == (error.code, error.detail, error.hint)


def test_what_errors_carry_is_in_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Faults, reasons and context are there for programs."""
    out = Output(as_json=True)
    out.error(FAULTS)
    assert json.loads(capsys.readouterr().out)["error"]["faults"][0] == {
        "code": "one",
        "message": "first [b]",
        "hint": "mend [/it]",
        "file": "a.yaml",
        "line": 3,
        "column": 7,
        "key": "apps",
    }
    out.error(AccessDenied("denied", reasons=["certificate-revoked"]))
    assert json.loads(capsys.readouterr().out)["error"]["reasons"] == ["certificate-revoked"]
    out.error(Unavailable("gateways-behind", "behind", seq=42))
    assert json.loads(capsys.readouterr().out)["error"]["seq"] == 42


@pytest.mark.parametrize("as_json", [True, False])
def test_a_defect_shows_nothing_of_its_inside(*, as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """An unexpected exception is named by kind and incident; its words may hold secrets and stay inside."""
    assert Output(as_json=as_json).internal(ValueError("the passphrase is hunter2")) == INTERNAL
    out, err = capsys.readouterr()
    assert "hunter2" not in out + err
    assert "Traceback" not in out + err
    assert "ValueError" in (out if as_json else err)
    assert "incident" in (out if as_json else err)
    assert "DOORWARD_DEBUG" in (out if as_json else err)
    if as_json:
        assert json.loads(out)["error"]["code"] == "internal-error"
    else:
        assert out == ""


def test_a_defect_shows_its_trace_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With DOORWARD_DEBUG the trace is on standard error, and --json still one document."""
    monkeypatch.setenv("DOORWARD_DEBUG", "1")
    Output(as_json=True).internal(ValueError("the inside"))
    out, err = capsys.readouterr()
    assert "the inside" in err
    assert json.loads(out)


class Colour(Enum):
    """A value that JSON does not know."""

    RED = "red"


def test_values_that_json_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    """Moments are RFC 3339 with Z, paths and others are their text, letters stay letters."""
    moment = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    Output(as_json=True).result({"at": moment, "path": Path("/ä"), "colour": Colour.RED}, "unused")
    assert json.loads(capsys.readouterr().out) == {
        "at": "2026-11-23T12:00:00Z",
        "path": "/ä",
        "colour": "Colour.RED",
    }


def test_results_are_for_people_or_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """A result is the lines or the document, never both; notes are for people only."""
    for as_json in (True, False):
        out = Output(as_json=as_json)
        out.note("by the way [x]")
        out.result({"a": 1}, "[bold]one[/bold]", "two")
    captured = capsys.readouterr()
    assert captured.out == '{"a": 1}\none\ntwo\n'
    assert captured.err == "by the way [x]\n"


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows are a list for programs and columns for people; none are said in words."""
    rows = [
        {
            "name": "al[b]ice",
            "groups": ["a", "b"],
            "until": datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
            "id": 1,
        }
    ]
    columns = ["name", "groups", "until", "missing"]
    Output(as_json=True).table(rows, columns, empty="none")
    assert json.loads(capsys.readouterr().out)[0]["id"] == 1
    Output(as_json=False).table(rows, columns, empty="none")
    text = capsys.readouterr().out
    assert "al[b]ice" in text
    assert "a, b" in text
    assert "2026-11-23 12:00" in text
    Output(as_json=False).table([], columns, empty="nobody yet")
    assert capsys.readouterr().out == "nobody yet\n"
    Output(as_json=True).table([], columns, empty="nobody yet")
    assert json.loads(capsys.readouterr().out) == []


def test_a_cell_without_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    """A missing value is a dash for people, and null for programs."""
    rows = [{"name": "laptop", "last_used_at": None}]
    Output(as_json=False).table(rows, ["name", "last_used_at"], empty="none")
    assert capsys.readouterr().out.splitlines()[-1].split() == ["laptop", "-"]
    Output(as_json=True).table(rows, ["name", "last_used_at"], empty="none")
    assert json.loads(capsys.readouterr().out) == rows


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe sees no progress."""
    for as_json in (True, False):
        with Output(as_json=as_json).progress("verifying") as step:
            step(1, 2)
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        """Say that it is a terminal."""
        return True


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person at a terminal sees how far it is."""
    out = Output(as_json=False)
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    with out.progress("verifying") as step:
        step(3, 4)
    assert "verifying" in stream.getvalue()
    assert "3/4" in stream.getvalue()


@pytest.mark.parametrize(
    ("hint", "repeated"),
    [
        ("run `doorward init`, or restore", "run `doorward init --data '/srv/a b'`, or restore"),
        ("add it: doorward person add bob", "add it: doorward person add bob --data '/srv/a b'"),
        ("[dim]next:[/dim] doorward invite bob", "[dim]next:[/dim] doorward invite bob --data '/srv/a b'"),
        ("doorward up", "doorward up --data '/srv/a b'"),
        ("ask your administrator", "ask your administrator"),
    ],
)
def test_hints_repeat_the_data_directory(hint: str, repeated: str) -> None:
    """What is copied from a hint goes to the same installation; without `--data` it is as it was."""
    out = Output(as_json=False)
    assert out.with_data(hint) == hint
    out.data = "/srv/a b"
    assert out.with_data(hint) == repeated


def test_a_pipe_without_a_reader_is_noticed() -> None:
    """What follows for ever ends with its reader; a stream without a descriptor has one."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        assert has_reader(stream)
        os.close(reading)
        assert not has_reader(stream)
    assert has_reader(io.StringIO())
