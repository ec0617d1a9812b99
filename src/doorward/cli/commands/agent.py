"""`doorward agent`: keeping certificates on this machine valid."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.output import REFUSED, UNAVAILABLE
from doorward.cli.screen import escape
from doorward.cli.state import State
from doorward.core.errors import DoorwardError

if TYPE_CHECKING:
    from doorward.agent.keeper import Outcome
    from doorward.agent.options import IdentityOptions, Machine

DEFAULT_FOLDER = Path("doorward-certificate")

DIRECTORIES = click.option(
    "--dir",
    "directories",
    type=click.Path(file_okay=False, path_type=Path),
    multiple=True,
    help="Folder of an identity, as `doorward enroll` made it. Repeat it for several. [default: doorward-certificate]",
)
CONFIG = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the identities and their options (agent.toml), in place of the other options.",
)
_TARGETS: tuple[Callable[[Any], Any], ...] = (
    click.option("--server", metavar="URL", help="Enrolment host, if the folder does not name it."),
    click.option(
        "--try", "trial", metavar="HOST:PORT", help="Application that must accept the new certificate first."
    ),
    click.option(
        "--exec",
        "commands",
        metavar="COMMAND",
        multiple=True,
        help="Run this after each renewal, without a shell.",
    ),
    click.option(
        "--reload",
        "units",
        metavar="UNIT",
        multiple=True,
        help="Reload this systemd unit after each renewal.",
    ),
    click.option(
        "--nss",
        type=click.Path(file_okay=False, path_type=Path),
        multiple=True,
        help="Folder of an NSS database (profile of Firefox, ~/.pki/nssdb) that gets the certificate.",
    ),
    click.option("--keychain", is_flag=True, help="Put the certificate into the login keychain of macOS."),
    click.option(
        "--windows-store", is_flag=True, help="Put the certificate into the user's store of Windows."
    ),
    click.option(
        "--p12-password-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File (mode 0600) with the password of the PKCS#12 file; without it, a renewal leaves no PKCS#12 file.",
    ),
)


def identity_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which identities are kept, and what is done for them."""
    for option in reversed((DIRECTORIES, CONFIG, *_TARGETS)):
        function = option(function)
    return function


@click.command("renew", cls=Command)
@identity_options
@click.pass_obj
def renew(state: State, /, **given: Any) -> None:
    """Renew certificates now, and bring them to the programs that use them."""
    machine = _machine()
    done: list[Outcome] = []
    failed: list[DoorwardError] = []
    for options in _read(given):
        try:
            done.append(parts.keeper.Keeper(options, machine).renew_now(machine.clock.now()))
        except DoorwardError as error:  # the other identities are renewed all the same
            failed.append(error)
    if failed:
        for one in done:
            failed[0].add_note(f"renewed {one.directory}")
        for other in failed[1:]:
            failed[0].add_note(f"{other.detail} ({other.code})")
        raise failed[0]
    say_renewed(state, done)
    if any(one.problems for one in done):
        sys.exit(UNAVAILABLE)


def say_renewed(state: State, done: list[Outcome]) -> None:
    """Print what was renewed, and what was not deployed."""
    if state.output.as_json:
        rows = [
            {
                "dir": str(one.directory),
                "name": one.credential.name,
                "serial": f"{one.credential.certificate.serial_number:x}",
                "not_after": one.credential.dates[1],
                "tried": one.tried,
                "deployed": not one.problems,
                "problems": dict(one.problems),
                "left_out": list(one.left_out),
            }
            for one in done
        ]
        state.output.document({"renewed": rows})
        return
    for one in done:
        state.output.out.print(
            f"[green]✓[/green] renewed [bold]{escape(one.credential.name)}[/bold] in {escape(one.directory)}, "
            f"until {one.credential.dates[1]:%Y-%m-%d %H:%M}Z"
        )
        for name in one.left_out:
            state.output.note(
                f"{name} was removed: it held the old certificate, and its password is not known; "
                "--p12-password-file keeps one"
            )
        for name, problem in one.problems.items():
            state.output.err.print(
                f"[red]error[/red] renewed, but not deployed to {escape(name)}: {escape(problem)}"
            )


@click.command("run", cls=Command)
@identity_options
@click.pass_obj
def run(state: State, /, **given: Any) -> None:
    """Keep certificates valid until Ctrl-C: renew, report, deploy."""
    machine = _machine()
    keepers = [parts.keeper.Keeper(options, machine) for options in _read(given)]
    parts.log.log_to_stderr()
    with parts.stop_signals.stopping(at_once=None) as stop:  # a step that has begun ends first
        parts.loop.run(keepers, machine.clock, stop, started=lambda: say_running(state, len(keepers)))


def say_running(state: State, count: int) -> None:
    """Print that the agent runs; people read what it does in its log."""
    state.output.result({"identities": count, "pid": os.getpid()})
    sys.stdout.flush()


@click.command("status", cls=Command)
@DIRECTORIES
@CONFIG
@click.pass_obj
def status(state: State, /, **given: Any) -> None:
    """Show each certificate of this machine, when it is renewed, and what needs attention."""
    now = parts.world.SystemClock().now()
    found = [parts.identity_condition.read_condition(options.directory, now) for options in _read(given)]
    rows = [
        {
            "dir": str(one.directory),
            "name": one.name,
            "condition": one.word,
            "ends_at": one.ends_at,
            "renew_at": one.renew_at,
            "next_try": one.next_try,
            "renewed_at": one.state.renewed_at,
            "deployed": not one.state.deploy_problems,
            "serial": one.serial,
            "last_problem": "" if one.state.problem is None else one.state.problem.code,
            "attention": list(one.attention),
        }
        for one in found
    ]
    columns = ["dir", "name", "condition", "ends_at", "renew_at", "next_try", "last_problem"]
    state.output.table(rows, columns, empty="no identity")
    for one in found:
        for sentence in one.attention if not state.output.as_json else ():
            state.output.err.print(f"[red]![/red] {escape(str(one.directory))}: {escape(sentence)}")
    if any(one.attention for one in found):
        sys.exit(REFUSED)


@click.command("install", cls=Command)
@identity_options
@click.option(
    "--kind",
    type=click.Choice(["systemd", "launchd", "windows"]),
    help="What starts the agent; without it, that of this system.",
)
@click.option(
    "--write", is_flag=True, help="Write the file where the system looks for it, in place of printing it."
)
@click.option("--force", is_flag=True, help="With --write: replace a file with another content.")
@click.pass_obj
def install(state: State, /, *, kind: str | None, write: bool, force: bool, **given: Any) -> None:
    """Print the file by which this system starts `agent run` with these options."""
    identities = _read(given, absolute=True)
    for options in identities:
        parts.deploying.list_targets(options)  # refuses what `agent run` would refuse
    files = parts.service_files
    file = files.build_service_file(
        files.ServiceKind(kind) if kind else files.choose_service_kind(sys.platform),
        [*_program(), "agent", "run", *_words(given)],
        identities,
        home=Path.home(),
        programs=[Path(sys.prefix), Path(sys.base_prefix)],
        system=not hasattr(os, "geteuid") or os.geteuid() == 0,
    )
    if write:
        files.place_service_file(file, force=force)
    text = file.data.decode("utf-16" if file.kind is files.ServiceKind.WINDOWS else "utf-8")
    value = {"kind": file.kind.value, "path": str(file.path), "text": text, "written": write}
    if state.output.as_json:
        state.output.document({**value, "next": list(file.commands)})
        return
    if not write:
        state.output.out.write(text)
        sys.stdout.flush()
        state.output.note(f"nothing was written; the same command with --write puts this into {file.path}")
        return
    state.output.out.print(f"[green]✓[/green] written: {escape(str(file.path))}")
    for command in file.commands:
        state.output.out.print(f"[dim]next:[/dim] {escape(command)}")


def _program() -> list[str]:
    """Return how this program is started again, with absolute paths."""
    beside = Path(sys.executable).with_name("doorward")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "doorward.cli.agent_program"]


def _words(given: dict[str, Any]) -> list[str]:
    """Return the options of `agent run` that say the same as those that were given; paths are absolute."""
    words = []
    for option in (DIRECTORIES, CONFIG, *_TARGETS):
        (param,) = option(lambda: None).__click_params__
        value = given.get(param.name)
        if param.is_flag:
            words += [param.opts[0]] if value else []
            continue
        values: list[Any] = list(value or ()) if param.multiple else [value] if value else []
        for one in values:
            words += [param.opts[0], str(one.absolute() if isinstance(one, Path) else one)]
    if not given.get("directories") and not given.get("config"):
        words += ["--dir", str(DEFAULT_FOLDER.absolute())]
    return words


def _machine() -> Machine:
    """Return this machine, with the real clock, keys, requests and commands."""
    return parts.options.Machine(
        clock=parts.world.SystemClock(),
        random=parts.world.SystemRandom(),
        factory=parts.world.SoftwareKeys(),
        run=parts.commands.run_command,
        facts=parts.machine_facts.collect_facts(),
    )


def _read(given: dict[str, Any], *, absolute: bool = False) -> list[IdentityOptions]:
    """Return the identities that the options name; if asked, with absolute paths."""
    found = _read_options(given)
    if not absolute:
        return found
    return [
        replace(one, directory=one.directory.absolute(), nss=tuple(folder.absolute() for folder in one.nss))
        for one in found
    ]


def _read_options(given: dict[str, Any]) -> list[IdentityOptions]:
    config = given.get("config")
    others = {name: value for name, value in given.items() if name != "config" and value}
    if config:
        if others:
            raise click.UsageError("--config and other options cannot be combined: write them into the file.")
        return parts.configuration.load_configuration(config)
    server, trial = given.get("server"), given.get("trial")
    return [
        parts.options.IdentityOptions(
            directory=directory,
            server=parts.link.parse_server(server) if server else None,
            trial=parts.link.parse_server(trial) if trial else None,
            commands=tuple(tuple(shlex.split(one)) for one in given.get("commands", ())),
            units=tuple(given.get("units", ())),
            nss=tuple(given.get("nss", ())),
            keychain=bool(given.get("keychain")),
            windows_store=bool(given.get("windows_store")),
            p12_password_file=given.get("p12_password_file"),
        )
        for directory in given["directories"] or (DEFAULT_FOLDER,)
    ]
