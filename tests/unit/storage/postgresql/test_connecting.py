"""The parameters for libpq."""

from __future__ import annotations

import pytest

from doorward.storage.postgresql.connecting import parameters


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://doorward@db.corp.example/doorward",
        "postgresql://doorward@10.0.0.7/doorward",
        "postgresql://doorward@localhost,db.corp.example/doorward",
        "postgresql://doorward@[2001:db8::1]/doorward",
        "postgresql:///doorward?host=/run/postgresql&hostaddr=192.0.2.1",
    ],
)
def test_another_machine_must_prove_its_name(address: str) -> None:
    """To every host that is not this machine TLS is asked for, with a verified name."""
    assert parameters(address, {})["sslmode"] == "verify-full"


@pytest.mark.parametrize(
    "address",
    [
        "postgresql:///doorward",
        "postgresql:///doorward?host=/run/postgresql",
        "postgresql:///doorward?host=@abstract",
        "postgresql://localhost/doorward",
        "postgresql://127.0.0.1/doorward",
        "postgresql://[::1]/doorward",
    ],
)
def test_this_machine_needs_no_tls_setting(address: str) -> None:
    """For a socket's folder and loopback addresses libpq's default applies."""
    assert "sslmode" not in parameters(address, {})


def test_given_parameters_are_not_overridden() -> None:
    """The address wins over our defaults, and so do libpq's variables."""
    found = parameters("postgresql://db.corp.example/d?sslmode=require&connect_timeout=9", {})
    assert (found["sslmode"], found["connect_timeout"]) == ("require", "9")
    assert "sslmode" not in parameters("postgresql://db.corp.example/d", {"PGSSLMODE": "verify-ca"})


def test_a_host_of_the_environment_counts() -> None:
    """PGHOST names the host if the address names none."""
    assert parameters("postgresql:///d", {"PGHOST": "db.corp.example"})["sslmode"] == "verify-full"


@pytest.mark.parametrize(
    ("address", "environ"),
    [
        ("postgresql:///doorward?service=prod", {}),
        ("postgresql:///doorward", {"PGSERVICE": "prod"}),
        ("postgresql:///doorward", {"PGHOST": "localhost", "PGHOSTADDR": "203.0.113.7"}),
        ("postgresql://localhost/doorward", {"PGHOSTADDR": "203.0.113.7"}),
        ("postgresql://db.corp.example,localhost/doorward?hostaddr=,127.0.0.1", {}),
    ],
)
def test_a_host_of_a_service_file_or_variable_must_prove_its_name(
    address: str, environ: dict[str, str]
) -> None:
    """A service file and a variable may name hosts too; an unknown host counts as another machine."""
    assert parameters(address, environ)["sslmode"] == "verify-full"
    assert "sslmode" not in parameters(address, {**environ, "PGSSLMODE": "require"})


def test_the_primary_among_several_servers_is_looked_for() -> None:
    """Unless the address or a variable says another kind of session."""
    several = "postgresql://one.example,two.example/d"
    assert parameters(several, {})["target_session_attrs"] == "read-write"
    assert (
        parameters("postgresql:///d", {"PGHOSTADDR": "192.0.2.1,192.0.2.2"})["target_session_attrs"]
        == "read-write"
    )
    assert parameters(f"{several}?target_session_attrs=primary", {})["target_session_attrs"] == "primary"
    assert "target_session_attrs" not in parameters(several, {"PGTARGETSESSIONATTRS": "primary"})
    assert "target_session_attrs" not in parameters("postgresql://one.example/d", {})


def test_waiting_for_a_lost_server_has_a_timeout() -> None:
    """Each way to lose a server has its limit."""
    found = parameters("postgresql:///d", {})
    assert found.keys() >= {"connect_timeout", "keepalives_idle", "keepalives_count", "tcp_user_timeout"}
