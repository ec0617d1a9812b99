"""The settings: one frozen value, read once from TOML and `DOORWARD_*`.

The environment overrides the file; an empty variable counts as not set. Every field has a safe default; secrets are file
references. No room below floor 6 sees this value: `runtime.compose` passes each part what it needs.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl

# No plugin of another package may take part in reading our settings; the search would read every package's metadata.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from doorward.authority.status.partitions import MOST_PARTITIONS
from doorward.authority.status.publication import parse_status_url
from doorward.core.errors import ConfigurationError, DoorwardError, Fault
from doorward.core.names import parse_dns_name, parse_principal_name, parse_trust_domain
from doorward.enforcement.capacity import (
    CONNECTIONS,
    CONNECTIONS_PER_PRINCIPAL,
    CONNECTIONS_PER_SOURCE,
    HSTS,
    REQUESTS_PER_CERTIFICATE,
)
from doorward.runtime.acme_settings import AcmeSettings
from doorward.runtime.certificate_settings import CertificateSettings
from doorward.runtime.durations import Duration
from doorward.runtime.metrics_settings import MetricsSettings
from doorward.runtime.notice_settings import NoticeSettings
from doorward.stores.factor_records import LONGEST_SESSION
from doorward.stores.renewal_terms import DAYS_AFTER_END, LONGEST_AFTER_END, RENEWALS_PER_DAY
from doorward.stores.services import APPROVAL_DAYS

HIGHEST_PORT = 65535
MOST_CONNECTIONS = 1_000_000
MOST_MEMORY_MIB = 1 << 20
LONGEST_STALENESS = timedelta(seconds=5)
"""After 15 s without a sign of life, a gateway counts as one that lets no connection in (`authority.gateways`)."""

_PREFIX = "DOORWARD_"
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_NEAR = 0.85


def parse_listen(text: str) -> str:
    """Check `address:port` (an IPv6 address in brackets) and return it."""
    host, _, port = text.rpartition(":")
    try:
        bracketed = host.startswith("[") and host.endswith("]")
        version = ip_address(host[1:-1] if bracketed else host).version
        good = (version == 6) is bracketed and _PORT.fullmatch(port) and 1 <= int(port) <= HIGHEST_PORT  # noqa: PLR2004
    except ValueError:
        good = False
    if not good:
        raise ValueError("write it as address:port, for instance 127.0.0.1:8443 or [::]:8443")
    return text


def split_listen(text: str) -> tuple[str, int]:
    """Return address (without brackets) and port of a checked listen value."""
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)


def parse_database(text: str) -> str:
    """Check the address of a PostgreSQL database and return it; an empty text is SQLite's file.

    Raises:
        ValueError: it is another kind of address, or contains a password: settings and variables are shown, logged
            and passed to other programs.
    """
    if not text:
        return text
    if not text.startswith(POSTGRESQL):
        raise ValueError("write it as postgresql://user@host/name; for SQLite leave it out")
    rest = text.partition("://")[2]
    # As libpq parses it: user information ends at the first @ before any slash. urllib also ends it at ? and #.
    end = re.search("[@/]", rest)
    user, rest = (rest[: end.start()], rest[end.end() :]) if end and end.group() == "@" else ("", rest)
    place, _, query = rest.partition("?")
    named = {key.lower() for key, _ in parse_qsl(query, keep_blank_values=True)}
    secret = ":" in user or "@" in rest or "#" in text or not named.isdisjoint(_SECRETS)
    if not secret and not all(map(_HOST.fullmatch, place.partition("/")[0].split(","))):
        raise ValueError("it cannot be read: write it as postgresql://user@host/name")
    if secret:
        raise ValueError(
            "it contains a password, or one of : @ # where a password could be: write these as %3A %40 %23, and put a "
            "password into a file of mode 0600 as host:port:database:user:password, "
            "and add ?passfile=/path/of/the/file to the address"
        )
    return text


def parse_host(text: str) -> str:
    """Check a host name in lower case and return it; raises `MalformedInput`."""
    if parse_dns_name(text) != text:
        raise ValueError(f"hosts are lower case: write {text.lower()}")
    return text


def _checked(parse: Callable[[str], object]) -> AfterValidator:
    """Return a validator that takes what `parse` takes, and an empty text."""

    def check(text: str) -> str:
        try:
            if text:
                parse(text)
        except DoorwardError as error:
            raise ValueError("; ".join(filter(None, (error.detail, error.hint)))) from None
        return text

    return AfterValidator(check)


POSTGRESQL = ("postgresql://", "postgres://")
_SECRETS = frozenset({"password", "sslpassword"})
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:[0-9]*)?")
_UNTOLD = frozenset({"database"})
"""Settings with values that errors do not repeat, because they may contain a password."""
_MESSAGES = {
    **dict.fromkeys(("bool_parsing", "bool_type"), "it must be true or false"),
    **dict.fromkeys(("int_parsing", "int_type"), "it must be a whole number"),
}
Listen = Annotated[str, AfterValidator(parse_listen)]


class Settings(AcmeSettings, CertificateSettings, MetricsSettings, NoticeSettings):
    """Everything that can be set; the description of each field is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = Field(description="Directory of the database, the keys and the gateway's files.")
    trust_domain: Annotated[str, _checked(parse_trust_domain)] = Field(
        default="", description="Domain of all names in certificates; fixed by `init`."
    )
    gateway_listen: Listen = Field(default="0.0.0.0:8443", description="Where the door listens.")
    gateway_public_port: int = Field(
        default=0,
        ge=0,
        le=HIGHEST_PORT,
        description="Port that people see in links; 0 is the gateway's own port.",
    )
    gateway_name: Annotated[str, _checked(parse_principal_name)] = Field(
        default="gateway-1", min_length=1, description="Name of this gateway in status and records."
    )
    gateway_workers: int = Field(default=2, ge=1, le=256, description="Envoy's worker threads.")
    status_listen: Listen = Field(
        default="127.0.0.1:8480", description="Where CRL, OCSP and CA certificates are served."
    )
    status_url: Annotated[str, _checked(parse_status_url)] = Field(
        default="",
        description="Public address of the status listener; certificates contain it. Empty is http://status_listen.",
    )
    database: Annotated[str, AfterValidator(parse_database)] = Field(
        default="",
        description="Address of a PostgreSQL database, such as postgresql://doorward@db.corp.example/doorward?passfile=/etc/doorward/pgpass; it never holds a password. Empty is a SQLite file in the data directory.",
    )
    passphrase_file: Path | None = Field(
        default=None, description="File with the passphrase of the key store; readable by its owner only."
    )
    user: str = Field(
        default="doorward",
        min_length=1,
        description="Ordinary user of the processes if root starts them; if it is not set and there is no such user, `nobody`.",
    )
    max_staleness: Duration = Field(
        default=LONGEST_STALENESS,
        gt=timedelta(0),
        le=LONGEST_STALENESS,
        description="How old a gateway's knowledge may be before it refuses new connections.",
    )
    connection_lifetime: Duration = Field(
        default=timedelta(hours=12),
        ge=timedelta(minutes=1),
        le=timedelta(days=30),
        description="Longest life of one connection; the certificate's end may come first.",
    )
    max_connections: int = Field(
        default=CONNECTIONS,
        ge=100,
        le=MOST_CONNECTIONS,
        description="Most connections of the door; one application may have half of them. The door accepts at most half as many as Envoy may open files (LimitNOFILE).",
    )
    max_connections_per_source: int = Field(
        default=CONNECTIONS_PER_SOURCE,
        ge=1,
        le=MOST_CONNECTIONS,
        description="Most connections from one IPv4 address or IPv6 /64. Behind a balancer set it to max_connections; undecided connections then have no share by source.",
    )
    max_memory_mib: int = Field(
        default=0,
        ge=0,
        le=MOST_MEMORY_MIB,
        description="How much memory Envoy may use, in MiB; near this limit it resets the largest streams, then refuses new requests. 0 is a third of the memory of the machine or its control group.",
    )
    max_connections_per_principal: int = Field(
        default=CONNECTIONS_PER_PRINCIPAL,
        ge=1,
        le=MOST_CONNECTIONS,
        description="Most connections of one person, device or service to all applications; at most half of max_connections_per_source, or 32 if half is less than 32.",
    )
    max_requests_per_certificate: int = Field(
        default=REQUESTS_PER_CERTIFICATE,
        ge=1,
        le=MOST_CONNECTIONS,
        description="Most requests a second of one certificate at one application, and ten times as many at once; more get 429. It may open twelve times as many connections in a minute.",
    )
    hsts: Duration = Field(
        default=HSTS,
        ge=timedelta(0),
        le=timedelta(days=730),
        description="How long browsers remember to use TLS only (Strict-Transport-Security), for every host except `.localhost`; 0 sends no such header.",
    )
    drain_time: Duration = Field(
        default=timedelta(seconds=30),
        ge=timedelta(0),
        le=timedelta(hours=1),
        description="How long connections of a replaced Envoy may stay open.",
    )
    crl_lifetime: Duration = Field(
        default=timedelta(hours=24),
        ge=timedelta(minutes=1),
        le=timedelta(days=30),
        description="Time between a CRL's thisUpdate and nextUpdate.",
    )
    ocsp_lifetime: Duration = Field(
        default=timedelta(hours=12),
        ge=timedelta(minutes=1),
        le=timedelta(days=30),
        description="Time between an OCSP response's thisUpdate and nextUpdate.",
    )
    crl_partitions: int = Field(
        default=1,
        ge=1,
        le=MOST_PARTITIONS,
        description="How many parts the CRL has, for certificates issued from now on; 1 is the full CRL alone.",
    )
    crl_deltas: bool = Field(
        default=False,
        description="Whether a revocation is published in a small delta of the CRL until the next full one. Clients that ignore deltas learn of it only from that one, after half of crl_lifetime.",
    )
    est: bool = Field(
        default=True,
        description="Whether devices can get and renew certificates by EST (RFC 7030) at est_host.",
    )
    est_host: Annotated[str, _checked(parse_host)] = Field(
        default="", description="Host of the EST server; empty is est.TRUST_DOMAIN."
    )
    est_server_keygen: bool = Field(
        default=False,
        description="Whether the EST server makes keys for devices that ask for it. Such a key is sent once, inside of TLS, and is not stored.",
    )
    portal_host: Annotated[str, _checked(parse_host)] = Field(
        default="",
        description="Host of the portal; empty is portal.TRUST_DOMAIN. If it changes, every passkey is lost: they belong to this host.",
    )
    portal_certificate: Path | None = Field(
        default=None,
        description="PEM file with the portal's server certificate and its chain, leaf first, from an authority that browsers trust; read again when it changes. Without it the portal's certificate is from our own authority.",
    )
    portal_key: Path | None = Field(
        default=None,
        validate_default=True,
        description="PEM file with the key of portal_certificate, not encrypted; readable by the ordinary user of the processes.",
    )
    root_is_deployed: bool = Field(
        default=False,
        description="Whether the browsers of your people trust your own root: only then, or with portal_certificate, people can join at the portal.",
    )
    session_lifetime: Duration = Field(
        default=timedelta(hours=8),
        ge=timedelta(minutes=5),
        le=LONGEST_SESSION,
        description="Longest life of a second-factor session at an application; streams on routes that need a factor end with it.",
    )
    session_key_lifetime: Duration = Field(
        default=timedelta(days=30),
        ge=timedelta(days=1),
        le=timedelta(days=366),
        description="How long one key signs the sessions of applications before a new one replaces it.",
    )
    portal_session_idle: Duration = Field(
        default=timedelta(minutes=15),
        ge=timedelta(minutes=1),
        le=timedelta(hours=12),
        description="How long a session at the portal may be without a request before it ends.",
    )
    passkey_renewal_days: int = Field(
        default=30,
        ge=1,
        le=365,
        description="How many days after the end of their last certificate people get a new one by passkey at the portal.",
    )
    late_renewal_days_device: int = Field(
        default=DAYS_AFTER_END,
        ge=0,
        le=LONGEST_AFTER_END.days,
        description="How many days after its end a device's certificate can still be renewed, once, without a person; 0 is never.",
    )
    late_renewal_days_service: int = Field(
        default=DAYS_AFTER_END,
        ge=0,
        le=LONGEST_AFTER_END.days,
        description="How many days after its end a service's certificate can still be renewed, once, without a person; 0 is never.",
    )
    device_approval_days: int = Field(
        default=APPROVAL_DAYS,
        ge=1,
        le=365,
        description="How many days an approved device has to fetch its certificate; then it waits for an operator again.",
    )
    renewals_per_day: int = Field(
        default=RENEWALS_PER_DAY,
        ge=1,
        le=100_000,
        description="Most renewals of one person, device or service in 24 hours; more get 429.",
    )
    hold_suspected_clones: bool = Field(
        default=False,
        description="Whether the newest certificate of a device or service is put on hold if an older one of its line is to be renewed with another key. Otherwise this is only recorded and shown.",
    )
    help_desk_group: Annotated[str, _checked(parse_principal_name)] = Field(
        default="",
        description="Group of the directory that may look up incident ids at the portal, on the page /help-desk; if empty, there is no such page.",
    )
    breached_passwords: Path | None = Field(
        default=None,
        description="File with passwords that are refused when a person chooses one: SHA-1 in hex, sorted, one in each line (the format of Have I Been Pwned), or at most 64 MiB of plain passwords.",
    )
    acme_http_listen: Annotated[str, _checked(parse_listen)] = Field(
        default="",
        description="Where ACME authorities that use http-01 may ask, for instance 0.0.0.0:80; they ask port 80. It leads browsers to the door by https, and answers nothing else. Empty is off.",
    )
    log_level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="Detail of the log."
    )

    @field_validator("portal_key")
    @classmethod
    def _has_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        """Check that certificate and key are named together."""
        if "portal_certificate" in info.data and (key is None) != (info.data["portal_certificate"] is None):
            raise ValueError("only one of portal_certificate and portal_key is set: set both, or neither")
        return key

    @property
    def public_status_url(self) -> str:
        """The status address in certificates, without a trailing slash."""
        return (self.status_url or f"http://{self.status_listen}").rstrip("/")

    @property
    def public_port(self) -> int:
        """The port in links for people."""
        return self.gateway_public_port or split_listen(self.gateway_listen)[1]


def default_data(environ: Mapping[str, str]) -> Path:
    """Return the data directory of this user if none is named."""
    if os.geteuid() == 0:
        return Path("/var/lib/doorward")
    base = environ.get("XDG_DATA_HOME")
    return Path(base) / "doorward" if base else Path.home() / ".local" / "share" / "doorward"


def load_settings(*, environ: Mapping[str, str], data: Path | None = None, **explicit: Any) -> Settings:
    """Read the settings: explicit arguments, then `DOORWARD_*`, then DATA/doorward.toml, then defaults.

    Raises:
        ConfigurationError: with every fault, its file or variable, and what to write instead.
    """
    named = environ.get(f"{_PREFIX}DATA")
    folder = (data or (Path(named) if named else default_data(environ))).absolute()
    file = folder / "doorward.toml"
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for source, given in (
        *((str(file), one) for one in read_settings_file(file).items()),
        *((f"{_PREFIX}{key.upper()}", (key, text)) for key, text in _from_environment(environ).items()),
        *(("arguments", one) for one in explicit.items() if one[1] is not None),
    ):
        values[given[0]] = given[1]
        origin[given[0]] = source
    faults = _misspelt(environ)
    if "data" in values:
        faults.append(_no_such_setting("data", origin["data"], "name it with --data or DOORWARD_DATA"))
    try:
        settings = Settings(**{**values, "data": folder})
    except ValidationError as error:
        faults += [_fault(one, origin) for one in error.errors()]
    if faults:
        raise ConfigurationError(faults)
    return settings


def read_settings_file(file: Path) -> dict[str, Any]:
    """Return the unchecked values of a settings file; nothing if there is none.

    Raises:
        ConfigurationError: `settings-unreadable`.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        hint = "check that it is a file, and that this user may read it"
        raise _unreadable(file, str(error.strerror), hint) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        # No command writes it again: `init` reads it too, and certificates contain some of its values.
        hint = (
            'correct it, or restore it from your backup: TOML in UTF-8, each line such as log_level = "info"'
        )
        raise _unreadable(file, str(error), hint) from None


def _unreadable(file: Path, why: str, hint: str) -> ConfigurationError:
    message = f"cannot be read: {why}"
    return ConfigurationError([Fault(code="settings-unreadable", message=message, hint=hint, file=str(file))])


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    keys = (key for key in Settings.model_fields if key != "data")
    return {key: text for key in keys if (text := environ.get(f"{_PREFIX}{key.upper()}"))}


def _misspelt(environ: Mapping[str, str]) -> list[Fault]:
    """Return a fault for each variable that looks like a misspelt setting.

    Other variables are ignored: container systems set some of their own, such as DOORWARD_PORT.
    """
    names = [f"{_PREFIX}{key.upper()}" for key in Settings.model_fields]
    faults = []
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=_NEAR)
            if near:
                faults.append(_no_such_setting("", name, f"did you mean {near[0]}?"))
    return faults


def _fault(error: Any, origin: Mapping[str, str]) -> Fault:
    key = ".".join(str(part) for part in error["loc"])
    # A wrong default has no source; the key names the setting.
    place = origin.get(key, "arguments" if key == "data" else "")
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, Settings.model_fields, n=1)
        known = ", ".join(sorted(one for one in Settings.model_fields if one != "data"))
        return _no_such_setting(key, place, f"did you mean {near[0]}?" if near else f"settings are: {known}")
    return Fault(
        code="setting-invalid",
        message=_MESSAGES.get(error["type"]) or str(error["msg"]).removeprefix("Value error, "),
        hint=""
        if key in _UNTOLD or error["input"] is None
        else f"the value was {str(error['input'])[:80]!r}",
        file=place,
        key=key,
    )


def _no_such_setting(key: str, place: str, hint: str) -> Fault:
    return Fault(
        code="setting-unknown", message="there is no such setting here", hint=hint, file=place, key=key
    )
