"""The first start: directory, settings file, passphrase, key store, database, authority.

Each step may be repeated: an `init` that was interrupted is simply run again. Nothing that exists is
overwritten; an installation that is complete is refused with a clear error.
"""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from doorward.authority.records import TenantRecord
from doorward.core.errors import ConfigurationError, Fault, RequestRefused
from doorward.core.names import parse_trust_domain
from doorward.core.ports import RandomSource
from doorward.runtime.compose import Installation
from doorward.runtime.settings import Settings

PASSPHRASE_BYTES = 24
WRITTEN = (
    "trust_domain",
    "gateway_listen",
    "gateway_public_port",
    "status_listen",
    "status_url",
    "gateway_name",
    "user",
)
"""The settings that `init` writes down, so that later commands need not be told again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialised:
    """What `init` made; `passphrase_made` says whether the passphrase file is new."""

    tenant: TenantRecord
    settings: Settings
    passphrase_file: Path
    passphrase_made: bool


def initialise(settings: Settings, random: RandomSource, *, actor: str) -> Initialised:
    """Found an installation.

    Args:
        settings: with `trust_domain` set.
        random: for the passphrase.
        actor: who acts, for the record.

    Raises:
        RequestRefused: `already-initialised`.
        ConfigurationError: a trust domain that is none, or a path that cannot be used.
    """
    if not settings.trust_domain:
        raise ConfigurationError(
            [
                Fault(
                    code="trust-domain-missing",
                    message="a trust domain is needed",
                    hint="for instance: doorward init --trust-domain corp.example",
                    key="trust_domain",
                )
            ]
        )
    parse_trust_domain(settings.trust_domain)
    installation = Installation(settings)
    if installation.is_founded():
        raise RequestRefused(
            "already-initialised",
            f"{settings.data} holds an installation already",
            hint="start it with `doorward up`, or name another directory with --data",
        )
    installation.layout.create()
    passphrase_file = settings.passphrase_file or default_passphrase_file(settings.data)
    made = write_passphrase(passphrase_file, random)
    settings = settings.model_copy(update={"passphrase_file": passphrase_file})
    write_settings(settings, installation.layout.settings_file)
    installation = Installation(settings)
    tenant = installation.found(actor=actor)
    installation.hand_over()
    return Initialised(
        tenant=tenant, settings=settings, passphrase_file=passphrase_file, passphrase_made=made
    )


def default_passphrase_file(data: Path) -> Path:
    """Return where the passphrase of this data directory lies: outside of it, so that a copy of one is not both."""
    base = (
        Path("/etc")
        if os.geteuid() == 0
        else Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    )
    mark = hashlib.sha256(os.fsencode(data.absolute())).hexdigest()[:8]
    return base / "doorward" / f"{data.name}-{mark}.passphrase"


def write_passphrase(path: Path, random: RandomSource) -> bool:
    """Write a fresh passphrase, readable by its owner only; False where the file exists and stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.urlsafe_b64encode(random.token(PASSPHRASE_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return True


def write_settings(settings: Settings, path: Path) -> None:
    """Write the settings file by rename; an existing one stays as it is."""
    if path.exists():
        return
    lines = [
        "# Settings of this Doorward installation; `doorward` reads them, DOORWARD_* variables win over them."
    ]
    for name in (*WRITTEN, "passphrase_file"):
        value = getattr(settings, name)
        if name in {"trust_domain", "passphrase_file"} or value != Settings.model_fields[name].default:
            lines.append(f"{name} = {value if isinstance(value, int) else _toml(str(value))}")
    draft = path.with_suffix(".new")
    draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
    draft.chmod(0o644)
    draft.replace(path)


def _toml(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
