"""The settings: which source wins, and what each fault says."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from doorward.core.errors import ConfigurationError, Fault
from doorward.runtime.durations import parse_duration
from doorward.runtime.settings import (
    LONGEST_STALENESS,
    Settings,
    default_data,
    load_settings,
    parse_listen,
    read_settings_file,
    split_listen,
)


def write(folder: Path, text: str) -> None:
    """Write the settings file of a data directory."""
    (folder / "doorward.toml").write_text(text, encoding="utf-8")


def faults_of(folder: Path, environ: dict[str, str] | None = None, **explicit: object) -> tuple[Fault, ...]:
    """The faults that reading finds; there must be some."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ=environ or {}, data=folder, **explicit)
    return caught.value.faults


# which source wins


def test_everything_has_a_default(tmp_path: Path) -> None:
    """Without a file and without variables every setting has its safe default."""
    settings = load_settings(environ={}, data=tmp_path)
    assert settings == Settings(data=tmp_path)
    assert settings.max_staleness == timedelta(seconds=5)
    assert settings.status_listen.startswith("127.0.0.1:")
    assert settings.passphrase_file is None


def test_file_then_environment_then_arguments(tmp_path: Path) -> None:
    """The file beats the default, the environment the file, an argument the environment."""
    write(tmp_path, 'gateway_listen = "127.0.0.1:1"\nstatus_listen = "127.0.0.1:1"\nuser = "one"\n')
    environ = {"DOORWARD_GATEWAY_LISTEN": "127.0.0.1:2", "DOORWARD_STATUS_LISTEN": "127.0.0.1:2"}
    settings = load_settings(environ=environ, data=tmp_path, gateway_listen="127.0.0.1:3", log_level=None)
    assert settings.user == "one"
    assert settings.status_listen == "127.0.0.1:2"
    assert settings.gateway_listen == "127.0.0.1:3"
    assert settings.log_level == "info"


def test_every_setting_can_come_from_the_environment(tmp_path: Path) -> None:
    """No setting is left out of the variables."""
    values = {
        "trust_domain": "corp.example",
        "database": "postgresql:///doorward",
        "gateway_listen": "[::1]:9443",
        "gateway_public_port": "443",
        "gateway_name": "gw-2",
        "gateway_workers": "4",
        "status_listen": "127.0.0.1:9480",
        "status_url": "http://pki.corp.example",
        "passphrase_file": "/etc/doorward/p",
        "user": "nobody",
        "device_approval_days": "7",
        "max_staleness": "2s",
        "connection_lifetime": "1h",
        "max_connections": "2000",
        "max_connections_per_source": "1000",
        "max_memory_mib": "900",
        "max_requests_per_certificate": "70",
        "hsts": "30d",
        "max_connections_per_principal": "100",
        "drain_time": "0",
        "crl_lifetime": "2d",
        "ocsp_lifetime": "90m",
        "crl_partitions": "16",
        "crl_deltas": "true",
        "person_lifetime": "12h",
        "notice_days": "14 3",
        "smtp_host": "mail.corp.example",
        "smtp_port": "2525",
        "smtp_security": "tls",
        "smtp_user": "doorward",
        "smtp_password_file": "/etc/doorward/mail",
        "smtp_ca_file": "/etc/doorward/mail.pem",
        "mail_from": "doorward@corp.example",
        "mail_language": "de",
        "operators_mail": "operators@corp.example",
        "operators_digest": "week",
        "unsafe_webhook_http": "true",
        "webhook_url": "https://hooks.corp.example/doorward",
        "webhook_secret_file": "/etc/doorward/webhook",
        "webhook_ca_file": "/etc/doorward/webhook.pem",
        "device_lifetime": "7d",
        "service_lifetime": "1h",
        "help_desk_group": "help-desk",
        "est": "false",
        "est_host": "est.corp.example",
        "est_server_keygen": "true",
        "portal_host": "me.corp.example",
        "portal_certificate": "/etc/doorward/portal.pem",
        "portal_key": "/etc/doorward/portal.key",
        "root_is_deployed": "true",
        "session_lifetime": "4h",
        "session_key_lifetime": "7d",
        "portal_session_idle": "10m",
        "passkey_renewal_days": "14",
        "late_renewal_days_device": "7",
        "late_renewal_days_service": "0",
        "renewals_per_day": "50",
        "hold_suspected_clones": "true",
        "breached_passwords": "/etc/doorward/pwned.txt",
        "log_level": "debug",
        "brand_name": "Meridian Bank",
        "brand_logo": "/etc/doorward/logo.svg",
        "acme_directory": "https://acme.example/directory",
        "acme_contact": "it@corp.example",
        "acme_eab_kid": "kid-1",
        "acme_eab_key_file": "/etc/doorward/eab",
        "acme_challenge": "dns-01",
        "portal_from_acme": "true",
        "acme_dns_hook": "/etc/doorward/dns",
        "metrics_from": "10.1.2.3, 10.4.0.0/16",
        "acme_ca_file": "/etc/doorward/acme-ca.pem",
        "acme_http_listen": "0.0.0.0:80",
        "brand_accent": "#7a0010",
        "brand_help": "mailto:help@corp.example",
        "brand_hours": "Mon-Fri 8-18",
    }
    assert set(values) == set(Settings.model_fields) - {"data"}
    environ = {f"DOORWARD_{key.upper()}": value for key, value in values.items()}
    settings = load_settings(environ=environ, data=tmp_path)
    assert settings.model_dump(exclude={"data"}) == Settings(data=tmp_path, **values).model_dump(
        exclude={"data"}
    )
    assert settings.crl_lifetime == timedelta(days=2)
    assert settings.ocsp_lifetime == timedelta(minutes=90)
    assert settings.gateway_workers == 4
    assert settings.public_port == 443


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    """An empty variable leaves the file's word: a unit file may clear a variable that way."""
    write(tmp_path, 'passphrase_file = "/etc/p"\n')
    settings = load_settings(environ={"DOORWARD_PASSPHRASE_FILE": "", "DOORWARD_DATA": ""}, data=tmp_path)
    assert settings.passphrase_file == Path("/etc/p")


def test_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument, then DOORWARD_DATA, then the usual place; always absolute."""
    monkeypatch.chdir(tmp_path)
    environ = {"DOORWARD_DATA": str(tmp_path / "named"), "XDG_DATA_HOME": str(tmp_path / "xdg")}
    assert load_settings(environ=environ).data == tmp_path / "named"
    assert load_settings(environ=environ, data=Path("here")).data == tmp_path / "here"


def test_the_usual_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Root's data lie in /var/lib, others' where XDG says, or in the home directory."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_data({"XDG_DATA_HOME": "/x"}) == Path("/var/lib/doorward")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert default_data({"XDG_DATA_HOME": "/x"}) == Path("/x/doorward")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_data({}) == tmp_path / ".local" / "share" / "doorward"


# faults


@pytest.mark.parametrize("named", ["portal_certificate", "portal_key"])
def test_certificate_and_key_of_the_portal_are_named_together(tmp_path: Path, named: str) -> None:
    """One of the two alone is a fault, and not a portal with another certificate than was meant."""
    (fault,) = faults_of(tmp_path, {f"DOORWARD_{named.upper()}": "/etc/doorward/portal.pem"})
    assert fault.key == "portal_key"
    assert "set both, or neither" in fault.message
    assert "None" not in fault.hint
    assert fault.file == ("DOORWARD_PORTAL_KEY" if named == "portal_key" else "")


@pytest.mark.parametrize("host", ["Portal.corp.example", "portal corp", "127.0.0.1", "*.corp.example"])
def test_the_portals_host_is_a_host_name(tmp_path: Path, host: str) -> None:
    """Neither an address nor a name in another spelling can be the portal's host."""
    (fault,) = faults_of(tmp_path, {"DOORWARD_PORTAL_HOST": host})
    assert fault.key == "portal_host"


def test_every_fault_is_listed_with_key_and_place(tmp_path: Path) -> None:
    """All faults are found at once, each with its key, its file or variable, and what was written."""
    write(tmp_path, 'gateway_workers = 0\nlog_level = "loud"\ngatewy_name = "x"\n')
    found = faults_of(tmp_path, {"DOORWARD_STATUS_LISTEN": "nonsense"}, gateway_listen="also")
    by_key = {fault.key: fault for fault in found}
    file = str(tmp_path / "doorward.toml")
    assert {key: fault.file for key, fault in by_key.items()} == {
        "gateway_workers": file,
        "log_level": file,
        "gatewy_name": file,
        "status_listen": "DOORWARD_STATUS_LISTEN",
        "gateway_listen": "arguments",
    }
    assert by_key["gatewy_name"].code == "setting-unknown"
    assert "gateway_name" in by_key["gatewy_name"].hint
    assert by_key["log_level"].code == "setting-invalid"
    assert "'loud'" in by_key["log_level"].hint
    assert "address:port" in by_key["status_listen"].message


def test_an_unknown_key_that_resembles_none(tmp_path: Path) -> None:
    """Where nothing is near, the hint lists what there is."""
    write(tmp_path, "[gateway]\nlisten = 1\n")
    (fault,) = faults_of(tmp_path)
    assert fault.key == "gateway"
    assert "gateway_" in fault.hint
    write(tmp_path, "qqq = 1\n")
    assert "status_url" in faults_of(tmp_path)[0].hint


def test_the_file_cannot_name_another_directory(tmp_path: Path) -> None:
    """A settings file that names a data directory would lead elsewhere than where it lies."""
    write(tmp_path, 'data = "/elsewhere"\n')
    (fault,) = faults_of(tmp_path)
    assert (fault.key, fault.code) == ("data", "setting-unknown")
    assert "--data" in fault.hint


def test_a_misspelt_variable_is_a_fault(tmp_path: Path) -> None:
    """A variable that looks like a setting and is none is named, with what was probably meant."""
    (fault,) = faults_of(tmp_path, {"DOORWARD_GATEWAY_LISTN": "127.0.0.1:1"})
    assert fault.file == "DOORWARD_GATEWAY_LISTN"
    assert "DOORWARD_GATEWAY_LISTEN" in fault.hint


@pytest.mark.parametrize("name", ["DOORWARD_PORT", "DOORWARD_SERVICE_HOST", "DOORWARD_DEBUG", "DOORWARDX"])
def test_other_variables_are_left_alone(tmp_path: Path, name: str) -> None:
    """What surroundings put into every container is no fault."""
    assert load_settings(environ={name: "tcp://10.0.0.1:443"}, data=tmp_path) == Settings(data=tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"gateway_listen = ", b"x = {", b"a = 1\na = 2\n", b"[" * 5000],
    ids=["bytes", "half", "brace", "twice", "deep"],
)
def test_a_file_that_is_no_toml(tmp_path: Path, content: bytes) -> None:
    """Garbage in the settings file is one fault that names the file."""
    (tmp_path / "doorward.toml").write_bytes(content)
    (fault,) = faults_of(tmp_path)
    assert fault.code == "settings-unreadable"
    assert fault.file == str(tmp_path / "doorward.toml")
    assert "restore it from your backup" in fault.hint
    assert "doorward init" not in fault.hint  # reads the file as well, and stops there


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A directory in the file's place is a fault, not a trace."""
    (tmp_path / "doorward.toml").mkdir()
    (fault,) = faults_of(tmp_path)
    assert fault.code == "settings-unreadable"
    assert "this user may read it" in fault.hint


def test_no_file_says_nothing(tmp_path: Path) -> None:
    """A data directory without a file has no settings of its own."""
    assert read_settings_file(tmp_path / "doorward.toml") == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_staleness", "5.001"),
        ("max_staleness", "0"),
        ("max_staleness", "-1"),
        ("connection_lifetime", "59s"),
        ("connection_lifetime", "31d"),
        ("drain_time", "2h"),
        ("crl_lifetime", "99999999d"),
        ("crl_lifetime", "0"),
        ("ocsp_lifetime", "1"),
        ("gateway_workers", "257"),
        ("max_connections", "99"),
        ("max_connections", "1000001"),
        ("max_connections_per_source", "0"),
        ("max_connections_per_principal", "0"),
        ("gateway_public_port", "65536"),
        ("gateway_name", "../other"),
        ("gateway_name", "G"),
        ("trust_domain", "Corp.Example"),
        ("trust_domain", "corp example"),
        ("status_url", "ftp://x"),
        ("status_url", "http://x?y"),
        ("log_level", "DEBUG"),
    ],
)
def test_values_out_of_bounds(tmp_path: Path, key: str, value: str) -> None:
    """Each limit holds, and the fault names the key."""
    (fault,) = faults_of(tmp_path, {f"DOORWARD_{key.upper()}": value})
    assert fault.key == key
    assert fault.message
    assert "the value was" in fault.hint


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("crl_deltas", "yes please", "it must be true or false"),
        ("max_connections", "many", "it must be a whole number"),
    ],
)
def test_a_value_of_another_kind(tmp_path: Path, key: str, value: str, message: str) -> None:
    """The fault says in plain words what the value must be."""
    (fault,) = faults_of(tmp_path, {f"DOORWARD_{key.upper()}": value})
    assert (fault.key, fault.message, fault.hint) == (key, message, f"the value was {value!r}")


def test_staleness_is_what_revocations_rely_on() -> None:
    """A gateway counts as away after three times the longest staleness that can be set."""
    from doorward.authority.gateways import FRESH_WITHIN

    assert FRESH_WITHIN >= 3 * LONGEST_STALENESS


# addresses and durations


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("127.0.0.1:8443", "127.0.0.1", 8443),
        ("0.0.0.0:1", "0.0.0.0", 1),
        ("[::]:65535", "::", 65535),
        ("[2001:db8::1]:443", "2001:db8::1", 443),
    ],
)
def test_addresses_are_split(text: str, address: str, port: int) -> None:
    """An address and its port, brackets taken off."""
    assert parse_listen(text) == text
    assert split_listen(text) == (address, port)


@pytest.mark.parametrize(
    "text",
    ["", ":80", "80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1",
     "127.0.0.1:\uff18\uff10", "127.0.0.1:²", "::1:80", "[127.0.0.1]:80", "[::1:80", "localhost:80", "127.0.0.1 :80",
     "127.0.0.1:80 ", "1.2.3:80", "[]:80", "x" * 10_000],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    """Anything else is refused in words that say how to write it."""
    with pytest.raises(ValueError, match="address:port"):
        parse_listen(text)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (5, 5),
        (0.5, 0.5),
        ("5", 5),
        ("5s", 5),
        ("5 s", 5),
        ("30m", 1800),
        ("12h", 43200),
        ("1.5d", 129600),
        (0, 0),
    ],
)
def test_durations(value: object, seconds: float) -> None:
    """A number is seconds; a unit may follow."""
    assert parse_duration(value) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value", ["", "s", "-5s", "5w", "5ss", "1e3", "five", True, None, "\uff19s", "PT5S", "5\n"]
)
def test_what_is_no_duration(value: object) -> None:
    """Anything else is refused in words that say how to write it."""
    with pytest.raises(ValueError, match="number and a unit"):
        parse_duration(value)


# what others are told


def test_the_public_addresses(tmp_path: Path) -> None:
    """What goes into certificates and links is the public address if there is one."""
    plain = Settings(data=tmp_path, status_listen="127.0.0.1:8480", gateway_listen="0.0.0.0:8443")
    assert plain.public_status_url == "http://127.0.0.1:8480"
    assert plain.public_port == 8443
    public = Settings(data=tmp_path, status_url="http://pki.corp.example/", gateway_public_port=443)
    assert public.public_status_url == "http://pki.corp.example"
    assert public.public_port == 443


def test_settings_do_not_change() -> None:
    """What was read once stays."""
    settings = Settings(data=Path("/x"))
    with pytest.raises(ValueError, match="frozen"):
        settings.user = "root"


# the database


@pytest.mark.parametrize(
    "address",
    [
        "",
        "postgresql:///doorward",
        "postgresql://doorward@db.corp.example:5433/doorward?passfile=/etc/doorward/pgpass",
        "postgres://doorward@[2001:db8::1]/doorward?sslrootcert=/etc/ssl/db.pem",
        "postgresql://one,two/doorward?target_session_attrs=read-write",
        "postgresql://one:5433,[2001:db8::1]:5434/doorward",
        "postgresql://user%3Aname@%2Frun%2Fpostgresql/doorward?host=%40abstract",
    ],
)
def test_an_address_of_a_database_is_taken(tmp_path: Path, address: str) -> None:
    """SQLite is meant by nothing, PostgreSQL by its address."""
    assert load_settings(environ={"DOORWARD_DATABASE": address}, data=tmp_path).database == address


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://doorward:geheim@db.corp.example/doorward",
        "postgresql://:geheim@db.corp.example/doorward",
        "postgresql://doorward@db.corp.example/doorward?password=geheim",
        "postgresql:///doorward?sslpassword=geheim",
        "postgresql:///doorward?pass%77ord=geheim",
        "postgresql://doorward:geheim?x@db.corp.example/doorward",
        "postgresql://doorward:geheim#x@db.corp.example/doorward",
        "postgresql://doorward:x?geheim@db.corp.example/doorward",
        "postgresql://doorward:x/geheim@db.corp.example/doorward",
        "postgresql://doorward:x@geheim@db.corp.example/doorward",
        "postgresql://doorward:geheim",
        "postgresql://db.corp.example/doorward?user=doorward:geheim@db",
        "postgresql://db.corp.example/doorward#geheim",
        "mysql://doorward:geheim@db/doorward",
        "postgresql://[geheim/doorward",
    ],
)
@pytest.mark.parametrize("place", ["file", "variable", "option"])
def test_no_password_in_an_address(tmp_path: Path, address: str, place: str) -> None:
    """An address with a password, or of another database, is refused, and no word of it is repeated."""
    if place == "file":
        write(tmp_path, f'database = "{address}"')
        (fault,) = faults_of(tmp_path)
    elif place == "variable":
        (fault,) = faults_of(tmp_path, {"DOORWARD_DATABASE": address})
    else:
        (fault,) = faults_of(tmp_path, database=address)
    assert (fault.code, fault.key) == ("setting-invalid", "database")
    assert "geheim" not in f"{fault.message}{fault.hint}"
    assert "postgresql://user@host/name" in fault.message or "passfile=" in fault.message


def test_readers_of_metrics_are_addresses_and_networks(tmp_path: Path) -> None:
    """A word that is neither is refused: a reader that was misspelt must not become everybody."""
    found = load_settings(environ={"DOORWARD_METRICS_FROM": "10.1.2.3, fd00::/8"}, data=tmp_path)
    assert found.metrics_from == ("10.1.2.3/32", "fd00::/8")
    for wrong in ("prometheus.example", "10.4.0.1/16", "*", " ".join(["10.1.2.3"] * 21)):
        with pytest.raises(ConfigurationError):
            load_settings(environ={"DOORWARD_METRICS_FROM": wrong}, data=tmp_path)
