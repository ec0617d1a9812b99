"""What every command has, and what the command line does before any of them runs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from doorward.cli.__main__ import main
from doorward.cli.command import Command
from doorward.cli.groups import Entry, walk
from doorward.cli.output import Output
from doorward.cli.program import Program
from doorward.cli.state import State, actor, ask_passphrase
from doorward.cli.table import COMMANDS
from doorward.core.errors import RequestRefused
from tests.support.commands import run_program

ALL = {path: entry.load() for path, entry in walk(COMMANDS)}
IDS = [" ".join(path) for path in ALL]


def run(*words: str) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize("path", ALL, ids=IDS)
def test_every_command_takes_json_and_data(path: tuple[str, ...]) -> None:
    """No command lacks --json, --data and words of help."""
    found = ALL[path]
    names = {option for param in found.params for option in param.opts}
    assert {"--json", "--data"} <= names
    assert found.get_short_help_str()
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert "--json" in result.output
    shown = [one for one in found.params if isinstance(one, click.Option) and not one.hidden]
    assert all(one.help for one in shown)


@pytest.mark.parametrize(
    "words", [("--json", "status"), ("person", "--json", "list"), ("--data", "x", "status")]
)
def test_options_of_every_command_stand_behind_it(words: tuple[str, ...]) -> None:
    """Before the command they are refused, and the answer says where they belong."""
    result = run(*words)
    assert result.exit_code == 2
    assert "comes after the command" in result.output


def test_choices_are_listed_without_escapes() -> None:
    """Click lists what a missing argument may be with tabs: they are spaces on the screen."""
    result = run("completion")
    assert result.exit_code == 2
    assert "  zsh" in result.output
    assert "\\x09" not in result.output


def test_the_commands_that_scripts_rely_on() -> None:
    """The names of the interface are there."""
    names = set(IDS)
    for kind in ("person", "device", "service"):
        assert {f"{kind} {verb}" for verb in ("add", "list", "show", "suspend", "resume", "remove")} <= names
    assert {
        "demo", "up", "init", "serve", "gateway", "status", "apply", "diff", "export", "app add", "app list",
        "policy check", "policy explain", "group add", "group remove", "group list", "invite", "enroll",
        "cert list", "cert show", "cert revoke", "cert renew", "cert hold", "cert release", "ca list", "ca export",
        "audit tail", "audit verify", "audit export", "completion",
    } <= names  # fmt: skip


@pytest.mark.parametrize(
    ("words", "meant"),
    [(["stats"], "status"), (["cert", "revok"], "revoke"), (["persn"], "person"), (["person", "ad"], "add")],
)
def test_a_slip_of_the_pen(words: list[str], meant: str) -> None:
    """An unknown command says what was probably meant, and exits as a usage error."""
    result = run(*words)
    assert result.exit_code == 2
    assert f"Did you mean '{meant}'?" in result.stderr
    assert result.stdout == ""


def test_a_command_that_resembles_none() -> None:
    """Nonsense is named, without a guess."""
    result = run("xyzzy")
    assert result.exit_code == 2
    assert "xyzzy" in result.stderr
    assert "Did you mean" not in result.stderr


@pytest.mark.parametrize(
    ("words", "detail", "hint"),
    [
        (["xyzzy", "--json"], "No such command 'xyzzy'.", "--help"),
        (["person", "--json"], "--json", "person --help"),
        (["cert", "revoke", "--json"], "CERTIFICATE", "cert revoke --help"),
        (["cert", "revoke", "x", "--reason", "whim", "--json"], "whim", "cert revoke --help"),
        (["invite", "alice", "--hours", "0", "--json"], "--hours", "invite --help"),
        (["apply", "--json", "-f", "/nowhere/x.yaml"], "/nowhere/x.yaml", "apply --help"),
        (["status", "--json", "--nonsense"], "--nonsense", "status --help"),
        (["--json", "status"], "--json", "--help"),
    ],
)
def test_a_usage_error_is_a_document_too(words: list[str], detail: str, hint: str) -> None:
    """With --json a usage error is one JSON document on standard output, and its exit code is 2."""
    result = run(*words)
    assert result.exit_code == 2
    error = json.loads(result.stdout)["error"]
    assert error["code"] == "usage-error"
    assert detail in error["detail"]
    assert error["hint"].endswith(hint)
    assert result.stderr == ""


@pytest.mark.parametrize("words", [["cert", "revoke"], ["invite", "a", "--hours", "0"]])
def test_a_usage_error_for_people(words: list[str]) -> None:
    """Without --json a usage error shows how the command is used, on standard error."""
    result = run(*words)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr
    assert result.stdout == ""


def test_json_behind_the_dashes_is_a_name() -> None:
    """What stands behind -- is an argument, not a wish."""
    result = run("cert", "revoke", "--", "--json", "x")
    assert result.exit_code == 2
    assert "Usage:" in result.stderr


def test_a_group_alone_shows_its_help() -> None:
    """A group without a command shows what there is."""
    result = run("cert")
    assert result.exit_code == 2
    assert "revoke" in result.output
    assert run().exit_code == 2


def test_help_and_version_are_fine() -> None:
    """Asking for help or the version is no error."""
    from doorward import __version__

    assert run("--help").exit_code == 0
    assert __version__ in run("--version").output


# what goes wrong inside


def group_of(work: object) -> click.Group:
    """A command line with one command that does this."""

    @click.command("work", cls=Command)
    @click.pass_obj
    def command(state: State) -> None:
        work(state)  # type: ignore[operator]

    class One(Program):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            return command if cmd_name == "work" else None

    return One("doorward", entries={"work": Entry(where="", summary="Work.")})


def raising(error: BaseException) -> object:
    """Work that fails."""

    def work(_state: State) -> None:
        raise error

    return work


@pytest.mark.parametrize("words", [["work"], ["work", "--json"]])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RequestRefused("no", "refused"), 1),
        (PermissionError(13, "Permission denied", "/x/y"), 3),
        (FileNotFoundError(2, "No such file or directory", "/x/y"), 3),
        (OSError(28, "No space left on device"), 3),
        (TimeoutError(), 3),
        (ValueError("a defect with hunter2"), 70),
        (RecursionError(), 70),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 1),
    ],
)
def test_no_trace_reaches_the_user(words: list[str], error: BaseException, code: int) -> None:
    """Every error inside a command gives a message and an exit code, and one document with --json."""
    result = CliRunner().invoke(group_of(raising(error)), words)
    assert result.exit_code == code
    assert "Traceback" not in result.output
    assert "hunter2" not in result.output
    if "--json" in words:
        assert json.loads(result.stdout)["error"]["code"]
    else:
        assert result.stdout == ""
        assert result.stderr


def test_a_file_that_cannot_be_used_is_named() -> None:
    """An error of the operating system names the file and says what to look at."""
    error = PermissionError(13, "Permission denied", "/x/y")
    result = CliRunner().invoke(group_of(raising(error)), ["work", "--json"])
    value = json.loads(result.stdout)["error"]
    assert value["code"] == "file-unusable"
    assert value["detail"] == "/x/y: Permission denied"
    assert value["hint"]


def test_a_reader_that_went_away_is_no_defect() -> None:
    """`doorward … | head` ends quietly."""
    result = CliRunner().invoke(group_of(raising(BrokenPipeError(32, "Broken pipe"))), ["work"])
    assert result.exit_code == 1
    assert "internal" not in result.output


def test_exit_codes_of_commands_are_kept() -> None:
    """A command that ends with a code of its own keeps it."""
    assert CliRunner().invoke(group_of(lambda _state: sys.exit(4)), ["work"]).exit_code == 4
    assert CliRunner().invoke(group_of(lambda _state: None), ["work"]).exit_code == 0
    context = click.get_current_context
    assert CliRunner().invoke(group_of(lambda _state: context().exit(3)), ["work"]).exit_code == 3


def test_without_standing_alone_errors_are_raised() -> None:
    """A Python caller of the command line gets exceptions."""
    with pytest.raises(click.UsageError):
        main.main(["xyzzy"], standalone_mode=False)


def test_the_options_are_remembered(tmp_path: Path) -> None:
    """--json and --data are accepted by the command at any position."""
    seen: list[tuple[bool, Path | None]] = []
    group = group_of(lambda state: seen.append((state.output.as_json, state.data)))
    CliRunner().invoke(group, ["work", "--data", str(tmp_path), "--json"])
    CliRunner().invoke(group, ["work"])
    assert seen == [(True, tmp_path), (False, None)]


def test_settings_come_from_the_options_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--data wins over DOORWARD_DATA; other settings come from the environment."""
    monkeypatch.setenv("DOORWARD_DATA", "/elsewhere")
    monkeypatch.setenv("DOORWARD_USER", "nobody")
    assert State(output=Output(as_json=False)).settings().data == Path("/elsewhere")
    state = State(output=Output(as_json=False), data=tmp_path)
    assert state.settings().data == tmp_path
    assert state.settings(user="other").user == "other"
    assert state.settings().user == "nobody"


# who acts, and who is asked


def test_the_actor_is_the_user_of_the_system() -> None:
    """The record names who acted."""
    assert re.fullmatch(r"os:[0-9]+", actor())


def test_nobody_is_asked_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script is not held up by a question; a person is asked, hidden, on standard error."""
    asked: list[dict[str, object]] = []

    class Terminal:
        def __init__(self, *, answer: bool) -> None:
            self._answer = answer

        def isatty(self) -> bool:
            return self._answer

    def prompt(question: str, **options: object) -> str:
        asked.append({"question": question, **options})
        return "secret words"

    monkeypatch.setattr(click, "prompt", prompt)
    monkeypatch.setattr(sys, "stdin", Terminal(answer=False))
    assert ask_passphrase("passphrase") is None
    monkeypatch.setattr(sys, "stdin", Terminal(answer=True))
    assert ask_passphrase("passphrase") == "secret words"
    assert asked == [{"question": "passphrase", "hide_input": True, "err": True}]


# what is imported when


def test_help_does_not_load_the_server() -> None:
    """The machine of a user pays neither for the database nor for Envoy to enrol or to read help."""
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom doorward.cli.__main__ import main\n"
        "CliRunner().invoke(main, ['--help'])\nCliRunner().invoke(main, ['enroll', '--help'])\n"
        "heavy = {'sqlalchemy', 'h2', 'uvicorn', 'starlette', 'pydantic', 'alembic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = run_program([sys.executable, "-c", script])
    assert done.returncode == 0, done.stderr


# completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(shell: str) -> None:
    """The script for each shell is printed, and is a document with --json."""
    plain = run("completion", shell)
    assert plain.exit_code == 0
    assert "_DOORWARD_COMPLETE" in plain.stdout
    value = json.loads(run("completion", shell, "--json").stdout)
    assert value["shell"] == shell
    assert value["script"].strip() == plain.stdout.strip()


def completed(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """What the shell is offered for the last word."""
    from click.shell_completion import BashComplete

    monkeypatch.setenv("COMP_WORDS", " ".join(("doorward", *words)))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    complete = BashComplete(main, {}, "doorward", "_DOORWARD_COMPLETE")
    return [one.split(",", 1)[1] for one in complete.complete().splitlines()]


def test_commands_and_options_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tab key knows commands, options and choices."""
    assert completed(monkeypatch, "per") == ["person"]
    assert set(completed(monkeypatch, "cert", "re")) == {"revoke", "release", "renew"}
    assert "--reason" in completed(monkeypatch, "cert", "revoke", "--r")
    assert completed(monkeypatch, "cert", "revoke", "--reason", "key") == ["key-compromise"]


def test_a_completion_that_fails_completes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without an installation the tab key stays silent."""
    monkeypatch.setenv("DOORWARD_DATA", str(tmp_path))
    assert completed(monkeypatch, "person", "show", "a") == []
