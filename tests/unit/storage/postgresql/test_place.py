"""What libpq is told about a PostgreSQL database."""

from __future__ import annotations

import pytest

from doorward.storage.postgresql.place import parameters


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
def test_this_machine_needs_none(address: str) -> None:
    """A socket's folder and the loopback addresses are left to libpq."""
    assert "sslmode" not in parameters(address, {})


def test_what_is_said_is_not_overridden() -> None:
    """The address wins over our defaults, and so do libpq's variables."""
    found = parameters("postgresql://db.corp.example/d?sslmode=require&connect_timeout=9", {})
    assert (found["sslmode"], found["connect_timeout"]) == ("require", "9")
    assert "sslmode" not in parameters("postgresql://db.corp.example/d", {"PGSSLMODE": "verify-ca"})


def test_a_host_of_the_environment_counts() -> None:
    """PGHOST names the host where the address names none."""
    assert parameters("postgresql:///d", {"PGHOST": "db.corp.example"})["sslmode"] == "verify-full"


def test_waiting_for_a_peer_that_is_gone_ends() -> None:
    """Each way to lose a server has its limit."""
    found = parameters("postgresql:///d", {})
    assert found.keys() >= {"connect_timeout", "keepalives_idle", "keepalives_count", "tcp_user_timeout"}
