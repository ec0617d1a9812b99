"""The files that start the agent: judged by systemd's own programs, and by parsers for the other two."""

from __future__ import annotations

import json
import plistlib
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from doorward.agent.options import IdentityOptions
from doorward.agent.service_files import (
    ServiceKind,
    build_service_file,
    choose_service_kind,
    place_service_file,
)
from doorward.core.errors import RequestRefused
from tests.support.commands import run_program
from tests.support.refusals import refused

COMMAND = [sys.executable, "agent", "run", "--dir", '/srv/a "b" $HOME %h \\']
IDENTITIES = [IdentityOptions(directory=Path("/srv/a b"), nss=(Path("/srv/nss"),))]
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


def text_of(kind: ServiceKind, home: Path, *, system: bool = True, **other: object) -> bytes:
    """Return the content of a file."""
    arguments = {"command": COMMAND, "identities": IDENTITIES, "home": home, "system": system, **other}
    return build_service_file(kind, **arguments).data  # type: ignore[arg-type]


@pytest.mark.needs("systemd-analyze", must=False)
@pytest.mark.parametrize("system", [True, False])
def test_systemd_accepts_its_unit(tmp_path: Path, *, system: bool) -> None:
    """`systemd-analyze verify` has nothing to say."""
    unit = tmp_path / "doorward-agent.service"
    unit.write_bytes(text_of(ServiceKind.SYSTEMD, tmp_path, system=system))
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    whom = "--system" if system else "--user"
    done = run_program(["systemd-analyze", "verify", whom, str(unit)], env=environment)
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])


@pytest.mark.needs("systemd-analyze", must=False)
def test_the_unit_of_the_machine_has_few_rights(tmp_path: Path) -> None:
    """Systemd rates its exposure as OK: below 4 of 10, although it runs as root."""
    unit = tmp_path / "doorward-agent.service"
    unit.write_bytes(text_of(ServiceKind.SYSTEMD, tmp_path))
    done = run_program(["systemd-analyze", "security", "--offline=true", "--threshold=40", str(unit)])
    assert done.returncode == 0, done.stdout[-2000:]


def test_no_word_of_the_command_means_something_to_systemd(tmp_path: Path) -> None:
    """Quotes, variables, specifiers and escapes are literal."""
    text = text_of(ServiceKind.SYSTEMD, tmp_path).decode()
    assert '"/srv/a \\"b\\" $$HOME %%h \\\\"' in text
    assert 'ReadWritePaths="/srv/a b" "/srv/nss"' in text
    odd = [IdentityOptions(directory=Path('/srv/a "b" $HOME %h \\'))]
    # `$` begins a variable in ExecStart= only; doubled elsewhere, it would be another path.
    written = text_of(ServiceKind.SYSTEMD, tmp_path, identities=odd).decode()
    assert 'ReadWritePaths="/srv/a \\"b\\" $HOME %%h \\\\"\n' in written
    assert "ProtectHome=yes" in text
    kept = text_of(ServiceKind.SYSTEMD, tmp_path, programs=[Path("/root/venv")])
    assert b"ProtectHome=no" in kept  # the program could not be read otherwise
    at_home = [IdentityOptions(directory=Path("/home/alice/id"))]
    assert b"ProtectHome=no" in text_of(ServiceKind.SYSTEMD, tmp_path, identities=at_home)


@pytest.mark.parametrize("kind", ServiceKind)
def test_no_word_begins_a_new_line_of_the_file(tmp_path: Path, kind: ServiceKind) -> None:
    """Neither the command nor a folder of agent.toml can add a line such as `ExecStartPre=`."""
    odd = "/srv/a\nExecStartPre=/bin/true"
    with refused(RequestRefused, "service-text-unprintable"):
        text_of(kind, tmp_path, command=[*COMMAND, odd])
    with refused(RequestRefused, "service-text-unprintable"):
        text_of(kind, tmp_path, identities=[IdentityOptions(directory=Path(odd))])


def test_launchd_gets_a_property_list(tmp_path: Path) -> None:
    """Every argument is one string, and the agent is kept alive."""
    content = plistlib.loads(text_of(ServiceKind.LAUNCHD, tmp_path, system=False))
    assert content["ProgramArguments"] == COMMAND
    assert content["KeepAlive"]
    assert content["StandardErrorPath"].startswith(str(tmp_path))


@pytest.mark.parametrize("system", [True, False])
def test_windows_gets_a_task(tmp_path: Path, *, system: bool) -> None:
    """A task of SYSTEM that starts with the machine, or of the user that starts with the session."""
    task = ET.fromstring(text_of(ServiceKind.WINDOWS, tmp_path, system=system))
    assert task.tag == f"{TASK}Task"
    assert [one.tag.removeprefix(TASK) for one in task] == [
        "RegistrationInfo",
        "Triggers",
        "Principals",
        "Settings",
        "Actions",
    ]
    assert task.find(f"{TASK}Actions/{TASK}Exec/{TASK}Command").text == sys.executable  # type: ignore[union-attr]
    trigger = "BootTrigger" if system else "LogonTrigger"
    assert task.find(f"{TASK}Triggers/{TASK}{trigger}") is not None


def test_another_file_is_replaced_only_if_asked(tmp_path: Path) -> None:
    """The same content may be written again; a file that a person changed may not."""
    file = build_service_file(ServiceKind.SYSTEMD, COMMAND, IDENTITIES, home=tmp_path, system=False)
    place_service_file(file, force=False)
    place_service_file(file, force=False)
    file.path.write_text("# mine")
    with refused(RequestRefused, "service-file-exists"):
        place_service_file(file, force=False)
    place_service_file(file, force=True)
    assert file.path.read_bytes() == file.data


def test_the_command_prints_the_options_again(tmp_path: Path) -> None:
    """What `agent install` got, `agent run` gets, with absolute paths."""
    program = [sys.executable, "-m", "doorward.cli.agent_program", "agent", "install", "--json"]
    words = ["--dir", "x", "--exec", "a b", "--reload", "nginx.service", "--keychain", "--kind", "systemd"]
    done = run_program([*program, *words], cwd=tmp_path)
    value = json.loads(done.stdout)
    line = next(one for one in value["text"].splitlines() if one.startswith("ExecStart="))
    assert f'"--dir" "{tmp_path / "x"}"' in line
    assert '"--exec" "a b" "--reload" "nginx.service" "--keychain"' in line
    assert shutil.which("doorward", path=str(Path(sys.executable).parent)) in line or "agent_program" in line  # type: ignore[operator]


def test_each_system_has_its_kind() -> None:
    """By the name that Python has for it."""
    assert [choose_service_kind(one).value for one in ("linux", "darwin", "win32")] == [
        "systemd",
        "launchd",
        "windows",
    ]
