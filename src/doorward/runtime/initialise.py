"""The first start: directory, settings file, passphrase, key store, database, authority.

Each step may be repeated: run an interrupted `init` again. No existing file is overwritten; missing lines are added to the
settings file. A complete installation is refused with a clear error. The authority is founded last, in one transaction, so
that an installation is either complete or does not exist.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType

from doorward.core.errors import ConfigurationError, Fault, RequestRefused
from doorward.core.ports import RandomSource
from doorward.files import replace_file, sync_folder
from doorward.runtime.compose import Installation
from doorward.runtime.layout import only_one
from doorward.runtime.root_ceremony import RootFiles, refuse_waiting, request
from doorward.runtime.settings import Settings, read_settings_file, split_listen
from doorward.stores.records import TenantRecord

PASSPHRASE_BYTES = 24
WRITTEN = (
    "trust_domain",
    "database",
    "gateway_listen",
    "gateway_public_port",
    "portal_host",
    "status_listen",
    "status_url",
    "gateway_name",
    "user",
)
"""The settings that `init` writes into the settings file for later commands."""

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialised:
    """What `init` made; `passphrase_made` says whether the passphrase file is new."""

    tenant: TenantRecord
    settings: Settings
    passphrase_file: Path
    passphrase_made: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialisedBelowRoot:
    """What `init --root-offline` made; `passphrase_made` says whether the passphrase file is new."""

    files: RootFiles
    passphrase_file: Path
    passphrase_made: bool


def initialise(
    settings: Settings, random: RandomSource, *, actor: str, explicit: Mapping[str, str] = _NOTHING
) -> Initialised:
    """Found an installation.

    Args:
        settings: with `trust_domain` set.
        random: for the passphrase.
        actor: who acts, for the record.
        explicit: the settings that were named in this call. A settings file with other values is refused, because later
            commands would read those.

    Raises:
        RequestRefused: `already-initialised`.
        ConfigurationError: a setting that is missing, a path or a user that cannot be used.
        Unavailable: another `init` runs here.
    """
    with _first_start(settings, random, explicit) as start:
        refuse_waiting(start.installation.layout)
        tenant = start.installation.found(actor=actor)
        start.installation.close()
        start.installation.mark_founded(tenant)
    return Initialised(
        tenant=tenant,
        settings=start.installation.settings,
        passphrase_file=start.passphrase_file,
        passphrase_made=start.passphrase_made,
    )


def initialise_below_root(
    settings: Settings, random: RandomSource, *, explicit: Mapping[str, str] = _NOTHING
) -> InitialisedBelowRoot:
    """Make everything of an installation except its authority, and the request to a root elsewhere; safe to repeat.

    The arguments and errors are those of `initialise`, and of `root_ceremony.request`.
    """
    with _first_start(settings, random, explicit) as start:
        start.installation.begin_founding()
        files = request(start.installation)
        start.installation.close()
    return InitialisedBelowRoot(
        files=files, passphrase_file=start.passphrase_file, passphrase_made=start.passphrase_made
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _FirstStart:
    installation: Installation
    passphrase_file: Path
    passphrase_made: bool


@contextmanager
def _first_start(
    settings: Settings, random: RandomSource, explicit: Mapping[str, str]
) -> Iterator[_FirstStart]:
    """Make directory, passphrase and settings file, and hold the lock of the founding."""
    _check(settings, explicit)
    installation = Installation(settings)
    installation.account()  # report a missing user before anything is created
    installation.layout.create()
    with only_one(installation.layout, "init"):
        if installation.is_founded():
            raise RequestRefused(
                "already-initialised",
                f"{settings.data} holds an installation already",
                hint="start it with `doorward up`, or name another directory with --data",
            )
        installation.begin_database()
        passphrase_file = (settings.passphrase_file or default_passphrase_file(settings.data)).absolute()
        made = write_passphrase(passphrase_file, random)
        settings = settings.model_copy(update={"passphrase_file": passphrase_file})
        write_settings(settings, installation.layout.settings_file)
        yield _FirstStart(
            installation=Installation(settings), passphrase_file=passphrase_file, passphrase_made=made
        )


def _check(settings: Settings, explicit: Mapping[str, str]) -> None:
    """Refuse values that could not be corrected later; all faults at once."""
    faults = []
    if not settings.trust_domain:
        faults.append(
            Fault(
                code="trust-domain-missing",
                message="a trust domain is needed",
                hint="for instance: doorward init --trust-domain corp.example",
                key="trust_domain",
            )
        )
    if not settings.status_url and ip_address(split_listen(settings.status_listen)[0]).is_unspecified:
        faults.append(
            Fault(
                code="status-url-missing",
                message=f"clients cannot connect to {settings.status_listen}, and certificates contain the status address",
                hint="name the public one, for instance: --status-url http://pki.corp.example",
                key="status_url",
            )
        )
    file = Installation(settings).layout.settings_file
    kept = read_settings_file(file) if explicit else {}
    faults += [
        Fault(
            code="settings-differ",
            message=f"the file says {kept[key]!r}, and the option says {value!r}"
            if key != "database"  # the file's address was not checked yet: it may hold a password
            else "the file names another database",
            hint="change or remove the line in the file, or leave the option out",
            file=str(file),
            key=key,
        )
        for key, value in explicit.items()
        if key in kept and kept[key] != value
    ]
    if faults:
        raise ConfigurationError(faults)


def check_unchanged(current: Settings, named: Settings, explicit: Iterable[str]) -> None:
    """Refuse options that a repeated `init` would ignore, because it does not write settings a second time.

    Args:
        current: the settings as they are.
        named: the same with the options of this call.
        explicit: the settings that were named in this call.

    Raises:
        RequestRefused: `already-initialised`.
    """
    for key in explicit:
        if getattr(named, key) != getattr(current, key):
            raise RequestRefused(
                "already-initialised",
                f"{key} is {getattr(current, key)} here, and `init` does not change settings of an existing installation",
                hint=f"write {key} into doorward.toml there, or leave the option out",
            )


def check_founded(fixed: Mapping[str, str], explicit: Mapping[str, str]) -> None:
    """Refuse options that only the founding can use, if they differ from the founded values.

    Args:
        fixed: `Installation.founded_with`.
        explicit: the settings that were named in this call.

    Raises:
        RequestRefused: `already-initialised`.
    """
    for key, value in fixed.items():
        if explicit.get(key, value).rstrip("/") != value:
            raise RequestRefused(
                "already-initialised",
                f"{key} is {value} here and is in every certificate: it cannot be changed",
                hint="leave the option out, or name another directory with --data",
            )


def default_passphrase_file(data: Path) -> Path:
    """Return the passphrase file of a data directory: outside of it, so that a copy of the directory lacks it."""
    base = (
        Path("/etc")
        if os.geteuid() == 0
        else Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    )
    mark = hashlib.sha256(os.fsencode(data.absolute())).hexdigest()[:8]
    return base / "doorward" / f"{data.name}-{mark}.passphrase"


def write_passphrase(path: Path, random: RandomSource) -> bool:
    """Write a fresh passphrase, readable by its owner only; False if there is one, which stays.

    Raises:
        ConfigurationError: `passphrase-file-unusable`.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = _open_empty(path)
        if descriptor is None:
            return False
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(base64.urlsafe_b64encode(random.token(PASSPHRASE_BYTES)) + b"\n")
            file.flush()
            os.fsync(descriptor)
        sync_folder(path.parent)  # a power cut must not lose the passphrase: the keys would be lost with it
    except OSError as error:
        raise ConfigurationError(
            [
                Fault(
                    code="passphrase-file-unusable",
                    message=f"{path} cannot be written: {error.strerror}",
                    hint="name another file with passphrase_file or DOORWARD_PASSPHRASE_FILE",
                    key="passphrase_file",
                )
            ]
        ) from None
    return True


def _open_empty(path: Path) -> int | None:
    """Return a descriptor of a new file, or of the empty one that an interrupted start left."""
    flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return None if path.lstat().st_size else os.open(path, flags)


def write_settings(settings: Settings, path: Path) -> None:
    """Write the settings that later commands need; existing lines stay unchanged."""
    kept = read_settings_file(path)
    lines = [
        f"{name} = {_toml(getattr(settings, name))}"
        for name in (*WRITTEN, "passphrase_file")
        if name not in kept and _is_worth_writing(settings, name)
    ]
    if not lines:
        return
    before = path.read_text(encoding="utf-8") if path.exists() else _HEADING
    replace_file(path, ("\n".join([before.rstrip("\n"), *lines]) + "\n").encode(), mode=0o644)


_HEADING = (
    "# Settings of this Doorward installation; `doorward` reads them, DOORWARD_* variables override them."
)


def _is_worth_writing(settings: Settings, name: str) -> bool:
    value = getattr(settings, name)
    return name in {"trust_domain", "passphrase_file"} or value != Settings.model_fields[name].default


def _toml(value: object) -> str:
    if isinstance(value, int):
        return str(value)
    # A basic string of TOML is a JSON string, except for DEL.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
