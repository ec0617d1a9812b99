"""The file by which a system starts `doorward agent run`: a systemd unit, a launchd property list, a Windows task.

| system | file | loaded with |
| --- | --- | --- |
| systemd | `/etc/systemd/system/doorward-agent.service`, or the user's folder of units | `systemctl` |
| launchd | `/Library/LaunchDaemons/doorward-agent.plist`, or the user's `LaunchAgents` | `launchctl` |
| Windows | `doorward-agent.xml` | `schtasks /Create /XML`: a scheduled task that starts with the system or the session |

The systemd unit is checked by systemd's own programs in the tests. The other two are only parsed there: their systems are
not at hand.
Standard: systemd.exec(5), systemd.service(5), launchd.plist(5), Task Scheduler Schema 1.2.
"""

from __future__ import annotations

import plistlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from xml.etree import ElementTree as ET

from doorward.agent.options import IdentityOptions
from doorward.core.errors import RequestRefused
from doorward.files import read_limited, replace_file

NAME = "doorward-agent"
_TASKS = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_SYSTEM = "S-1-5-18"
_MAX_BYTES = 64 * 1024
_HOMES = ("/home", "/root", "/run/user")


class ServiceKind(Enum):
    """What starts the agent."""

    SYSTEMD = "systemd"
    LAUNCHD = "launchd"
    WINDOWS = "windows"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFile:
    """A file that starts the agent.

    Args:
        kind: of the system.
        path: where the system looks for it.
        data: its content.
        commands: what loads and starts it, for people.
    """

    kind: ServiceKind
    path: Path
    data: bytes
    commands: tuple[str, ...]


def choose_service_kind(platform: str) -> ServiceKind:
    """Return what starts programs on this system; `platform` is `sys.platform`."""
    return {"darwin": ServiceKind.LAUNCHD, "win32": ServiceKind.WINDOWS}.get(platform, ServiceKind.SYSTEMD)


def build_service_file(
    kind: ServiceKind,
    command: Sequence[str],
    identities: Sequence[IdentityOptions],
    *,
    home: Path,
    system: bool,
    programs: Sequence[Path] = (),
) -> ServiceFile:
    """Return the file for a command.

    Args:
        kind: of the system.
        command: the program and its arguments, with absolute paths.
        identities: what the agent writes to; the systemd unit may write nowhere else.
        home: of the user.
        system: for the whole machine, not for one user.
        programs: where the program and its interpreter are; if one of them is in a home, the unit may read homes.

    Raises:
        RequestRefused: `service-text-unprintable`: a line break in a path would be a new line of the file.
    """
    paths = [str(path) for one in identities for path in (one.directory, *one.nss)]
    odd = next((word for word in (*command, *paths) if not word.isprintable()), None)
    if odd is not None:
        raise RequestRefused(
            "service-text-unprintable",
            f"{odd!a} has characters that cannot be printed",
            hint="name a folder without such characters",
        )
    match kind:
        case ServiceKind.SYSTEMD:
            return _build_systemd(command, identities, home, system=system, programs=programs)
        case ServiceKind.LAUNCHD:
            return _build_launchd(command, home, system=system)
        case ServiceKind.WINDOWS:
            return _build_windows(command, home, system=system)


def place_service_file(file: ServiceFile, *, force: bool) -> None:
    """Write the file where the system looks for it.

    Raises:
        RequestRefused: `service-file-exists`. OSError: it cannot be written.
    """
    try:
        there: bytes | None = read_limited(file.path, _MAX_BYTES)
    except FileNotFoundError:
        there = None
    except ValueError:
        there = b""
    if there is not None and there != file.data and not force:
        raise RequestRefused(
            "service-file-exists",
            f"{file.path} is there, with another content",
            hint="compare the two, then replace it with --force",
        )
    file.path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file.path, file.data, mode=0o644)


def _build_systemd(
    command: Sequence[str],
    identities: Sequence[IdentityOptions],
    home: Path,
    *,
    system: bool,
    programs: Sequence[Path],
) -> ServiceFile:
    lines = [
        "[Unit]",
        "Description=Doorward agent, keeps certificates valid",
        "Documentation=man:systemd.service(5)",
        *(["Wants=network-online.target", "After=network-online.target"] if system else []),
        "",
        "[Service]",
        f"ExecStart={_quote(command[0])} {' '.join(map(_quote_argument, command[1:]))}",
        "Restart=always",
        "RestartSec=30",
        "UMask=0077",
        "NoNewPrivileges=yes",
        "LockPersonality=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "SystemCallArchitectures=native",
        *(_harden(identities, [*command, *map(str, programs)]) if system else []),
        "",
        "[Install]",
        f"WantedBy={'multi-user' if system else 'default'}.target",
        "",
    ]
    folder = Path("/etc/systemd/system") if system else home / ".config/systemd/user"
    control = "systemctl" if system else "systemctl --user"
    return ServiceFile(
        kind=ServiceKind.SYSTEMD,
        path=folder / f"{NAME}.service",
        data="\n".join(lines).encode("utf-8"),
        commands=(f"{control} daemon-reload", f"{control} enable --now {NAME}"),
    )


def _harden(identities: Sequence[IdentityOptions], needed: Sequence[str]) -> list[str]:
    """Return what takes rights from the agent of the whole machine; it runs as root to keep owners of files."""
    written = sorted({str(path) for one in identities for path in (one.directory, *one.nss)})
    at_home = any(Path(path).is_relative_to(home) for path in (*written, *needed) for home in _HOMES)
    return [
        "ProtectSystem=strict",
        f"ReadWritePaths={' '.join(map(_quote, written))}",
        f"ProtectHome={'no' if at_home else 'yes'}",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "ProtectClock=yes",
        "ProtectControlGroups=yes",
        "ProtectHostname=yes",
        "ProtectKernelLogs=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "ProtectProc=invisible",
        "ProcSubset=pid",
        "RestrictNamespaces=yes",
        "MemoryDenyWriteExecute=yes",
        "KeyringMode=private",
        "RemoveIPC=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
        "SystemCallFilter=@system-service",
        "SystemCallErrorNumber=EPERM",
        "CapabilityBoundingSet=CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE",
        "AmbientCapabilities=",
    ]


def _quote(text: str) -> str:
    """Quote a word for systemd (systemd.syntax(7)): no specifier and no escape is left in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _quote_argument(text: str) -> str:
    """Quote an argument of a command: only there `$` begins a variable (systemd.service(5), COMMAND LINES)."""
    return _quote(text).replace("$", "$$")


def _build_launchd(command: Sequence[str], home: Path, *, system: bool) -> ServiceFile:
    folder = Path("/Library/LaunchDaemons") if system else home / "Library/LaunchAgents"
    logs = Path("/Library/Logs") if system else home / "Library/Logs"
    path = folder / f"{NAME}.plist"
    content = {
        "Label": NAME,
        "ProgramArguments": list(command),
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 30,
        "ProcessType": "Background",
        "Umask": 0o077,
        "StandardErrorPath": str(logs / f"{NAME}.log"),
    }
    domain = "system" if system else "gui/$(id -u)"
    return ServiceFile(
        kind=ServiceKind.LAUNCHD,
        path=path,
        data=plistlib.dumps(content),
        commands=(f"launchctl bootstrap {domain} {path}",),
    )


def _build_windows(command: Sequence[str], home: Path, *, system: bool) -> ServiceFile:
    ET.register_namespace("", _TASKS)
    task = ET.Element(f"{{{_TASKS}}}Task", version="1.2")

    def add(parent: ET.Element, name: str, text: str = "", **attributes: str) -> ET.Element:
        child = ET.SubElement(parent, f"{{{_TASKS}}}{name}", attributes)
        child.text = text or None
        return child

    add(add(task, "RegistrationInfo"), "Description", "Doorward agent, keeps certificates valid")
    add(add(add(task, "Triggers"), "BootTrigger" if system else "LogonTrigger"), "Enabled", "true")
    principal = add(add(task, "Principals"), "Principal", id="Author")
    if system:
        add(principal, "UserId", _SYSTEM)
    else:
        add(principal, "LogonType", "InteractiveToken")
    add(principal, "RunLevel", "LeastPrivilege")
    settings = add(task, "Settings")
    add(settings, "MultipleInstancesPolicy", "IgnoreNew")
    add(settings, "DisallowStartIfOnBatteries", "false")
    add(settings, "StopIfGoingOnBatteries", "false")
    add(settings, "StartWhenAvailable", "true")
    restart = add(settings, "RestartOnFailure")
    add(restart, "Interval", "PT1M")
    add(restart, "Count", "999")
    add(settings, "ExecutionTimeLimit", "PT0S")
    execution = add(add(task, "Actions", Context="Author"), "Exec")
    add(execution, "Command", command[0])
    add(execution, "Arguments", subprocess.list2cmdline(command[1:]))
    path = home / f"{NAME}.xml"
    return ServiceFile(
        kind=ServiceKind.WINDOWS,
        path=path,
        data=ET.tostring(task, encoding="utf-16", xml_declaration=True),
        commands=(f'schtasks /Create /TN {NAME} /XML "{path}"', f"schtasks /Run /TN {NAME}"),
    )
