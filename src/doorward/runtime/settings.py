"""The settings: one frozen value, read once from TOML and `DOORWARD_*`.

The environment wins over the file. Every field has a safe default; secrets are file references.
Nothing below floor 6 sees this value: `runtime.compose` hands each part what it needs.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from doorward.core.errors import ConfigurationError, Fault

HIGHEST_PORT = 65535


def parse_listen(text: str) -> str:
    """Check `address:port` (an IPv6 address in brackets) and return it."""
    address, colon, port = text.rpartition(":")
    if not colon or not address or not port.isdigit() or not 0 <= int(port) <= HIGHEST_PORT:
        raise ValueError("write it as address:port, for instance 127.0.0.1:8443 or [::]:8443")
    return text


def split_listen(text: str) -> tuple[str, int]:
    """Return address (without brackets) and port of a checked listen value."""
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)


Listen = Annotated[str, AfterValidator(parse_listen)]


class Settings(BaseModel):
    """Everything that can be set. The docstring under each field is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = Field(description="Directory of the database, the keys and the gateway's files.")
    trust_domain: str = Field(default="", description="Domain of all names in certificates; fixed by `init`.")
    gateway_listen: Listen = Field(default="0.0.0.0:8443", description="Where the door listens.")
    gateway_public_port: int = Field(
        default=0, ge=0, le=HIGHEST_PORT, description="Port that people see in links; 0 is the gateway's own port."
    )
    gateway_name: str = Field(default="gateway-1", description="Name of this gateway in status and records.")
    gateway_workers: int = Field(default=2, ge=1, le=256, description="Envoy's worker threads.")
    status_listen: Listen = Field(
        default="127.0.0.1:8480", description="Where CRL, OCSP and CA certificates are served."
    )
    status_url: str = Field(
        default="",
        description="Public address of the status listener, baked into certificates; empty is http://status_listen.",
    )
    passphrase_file: Path | None = Field(
        default=None, description="File with the passphrase of the key store; readable by its owner only."
    )
    user: str = Field(default="doorward", description="Ordinary user of the running parts when started by root.")
    max_staleness: timedelta = Field(
        default=timedelta(seconds=5),
        description="How old a gateway's knowledge may be before it refuses new connections.",
    )
    connection_lifetime: timedelta = Field(
        default=timedelta(hours=12),
        description="Longest life of one connection; the certificate's end may come first.",
    )
    drain_time: timedelta = Field(
        default=timedelta(seconds=30), description="How long connections of a replaced Envoy may go on."
    )
    crl_lifetime: timedelta = Field(
        default=timedelta(hours=24), description="Time between a CRL's thisUpdate and nextUpdate."
    )
    ocsp_lifetime: timedelta = Field(default=timedelta(hours=12), description="The same for OCSP answers.")
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$", description="Detail of the log.")

    @property
    def public_status_url(self) -> str:
        """The address that is baked into certificates, without a trailing slash."""
        return (self.status_url or f"http://{self.status_listen}").rstrip("/")

    @property
    def public_port(self) -> int:
        """The port in links for people."""
        return self.gateway_public_port or split_listen(self.gateway_listen)[1]


def default_data() -> Path:
    """Return the data directory of this user where none is named."""
    if os.geteuid() == 0:
        return Path("/var/lib/doorward")
    base = os.environ.get("XDG_DATA_HOME")
    return Path(base) / "doorward" if base else Path.home() / ".local" / "share" / "doorward"


def load_settings(*, environ: Mapping[str, str], data: Path | None = None, **explicit: Any) -> Settings:
    """Read the settings: explicit arguments, then `DOORWARD_*`, then DATA/doorward.toml, then defaults.

    Raises:
        ConfigurationError: with every fault, its file or variable, and what to write instead.
    """
    folder = data or (Path(environ["DOORWARD_DATA"]) if environ.get("DOORWARD_DATA") else default_data())
    folder = folder.absolute()
    file = folder / "doorward.toml"
    values: dict[str, Any] = {"data": folder}
    origin: dict[str, str] = {}
    for key, value in _read_file(file).items():
        values[key] = value
        origin[key] = str(file)
    for name, value in environ.items():
        if name.startswith("DOORWARD_") and name.removeprefix("DOORWARD_").lower() in Settings.model_fields:
            key = name.removeprefix("DOORWARD_").lower()
            if key != "data":
                values[key] = value
                origin[key] = name
    values.update({key: value for key, value in explicit.items() if value is not None})
    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigurationError([_fault(one, origin) for one in error.errors()]) from None


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(
            [
                Fault(
                    code="settings-unreadable",
                    message=f"cannot be read: {why}",
                    hint="mend the file; `doorward init` writes one that is right",
                    file=str(file),
                )
            ]
        ) from None


def _fault(error: Any, origin: Mapping[str, str]) -> Fault:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        message, hint = (
            "there is no such setting",
            f"settings are: {', '.join(sorted(Settings.model_fields))}",
        )
    else:
        message, hint = (
            str(error["msg"]).removeprefix("Value error, "),
            f"the value was {str(error['input'])[:80]!r}",
        )
    return Fault(
        code="setting-invalid", message=message, hint=hint, file=origin.get(key, "arguments"), key=key
    )
