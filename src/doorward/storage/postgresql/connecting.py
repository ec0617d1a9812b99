"""Opening a connection to a PostgreSQL database.

Not here: pools and transactions (`database`). libpq reads the address, its password file and its environment variables
(PGPASSFILE, PGSSLROOTCERT …). If neither the address nor the environment sets them, these defaults apply:

    1. TLS with a verified name (`sslmode=verify-full`) to every host that is not this machine
    2. timeouts: for connecting, for a lost packet, for a silent server
    3. the primary among several servers (`target_session_attrs=read-write`)

Every session:
    1. refuses a standby, because a standby may lag and a reader would miss a revocation
    2. looks up names in the server's own catalogue first, then in our schema, and nowhere else
    3. has timeouts for a lock, and for an idle transaction

Standard: https://www.postgresql.org/docs/current/libpq-connect.html and /runtime-config-client.html.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from itertools import zip_longest

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from doorward.storage.postgresql.faults import STANDBY, translated_connect

IDLE_IN_CHANGE = timedelta(seconds=60)
"""A process that is stopped within a change blocks every other change for at most this long."""
IDLE_IN_SNAPSHOT = timedelta(hours=1)
"""An export may pause while a person reads it, but an endless snapshot would fill the server's disk."""
_DEFAULTS: Mapping[str, str | int] = {
    "application_name": "doorward",
    "client_encoding": "utf8",
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # ms
}
# The search path is not set yet, so each name has the prefix pg_catalog; otherwise a function of another user could run.
# PostgreSQL searches `pg_catalog` first if the path does not contain it. It must not be in the path, because tables
# would be made there. With synchronous_commit = off, a power cut could lose a decision that has taken effect;
# `remote_apply` is stronger than `on`, so it is kept.
_SESSION = """SELECT pg_catalog.pg_is_in_recovery(),
    pg_catalog.set_config('search_path', CASE WHEN pg_catalog.current_schema() IS NULL THEN 'pg_temp'
        ELSE pg_catalog.format('%%I, pg_temp', pg_catalog.current_schema()) END, false),
    pg_catalog.set_config('lock_timeout', %(timeout)s, false),
    pg_catalog.set_config('idle_in_transaction_session_timeout', %(idle)s, false),
    pg_catalog.set_config('statement_timeout', '0', false),
    pg_catalog.set_config('synchronous_commit', CASE WHEN pg_catalog.current_setting('synchronous_commit')
        OPERATOR(pg_catalog.=) 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)"""


def connect(
    url: str, *, timeout: timedelta, read_only: bool = False, autocommit: bool = False
) -> psycopg.Connection:
    """Open a connection.

    Args:
        url: `postgresql://…`, without a password.
        timeout: how long a statement waits for a lock.
        read_only: transactions see one snapshot and cannot write; otherwise each statement sees all commits
            before it.
        autocommit: each statement is a transaction of its own.

    Raises:
        Unavailable: `store-unavailable`, `store-refused`, `store-missing`; `store-read-only` for a standby.
    """
    with translated_connect():
        connection = psycopg.connect(make_conninfo("", **parameters(url, os.environ)), autocommit=True)
        try:
            idle = IDLE_IN_SNAPSHOT if read_only else IDLE_IN_CHANGE
            _set_up(connection, timeout=timeout, idle=idle)
            level = psycopg.IsolationLevel
            connection.isolation_level = level.REPEATABLE_READ if read_only else level.READ_COMMITTED
            connection.read_only = read_only
            connection.autocommit = autocommit
        except BaseException:
            connection.close()
            raise
        return connection


def _set_up(connection: psycopg.Connection, *, timeout: timedelta, idle: timedelta) -> None:
    times = {"timeout": _milliseconds(timeout), "idle": _milliseconds(idle)}
    row = connection.execute(_SESSION, times).fetchone()
    if row is None or row[0]:  # a primary must restart to become a standby, which closes this connection
        raise STANDBY.build("in-recovery")


def parameters(url: str, environ: Mapping[str, str]) -> dict[str, str | int]:
    """Return the parameters for libpq: the address, and the defaults above for missing ones.

    Args:
        url: `postgresql://…`.
        environ: the environment; libpq's variables in it are not overridden.
    """
    named = conninfo_to_dict(url)
    found: dict[str, str | int] = {**_DEFAULTS, **{key: str(value) for key, value in named.items()}}
    peers = _peers(named, environ)
    unknown = "service" in named or environ.get("PGSERVICE")  # the service file may name the host
    if "sslmode" not in named and not environ.get("PGSSLMODE") and (unknown or not all(map(_is_here, peers))):
        found["sslmode"] = "verify-full"  # libpq ignores it for a unix socket
    several = len(peers) > 1 and not environ.get("PGTARGETSESSIONATTRS")
    if several and "target_session_attrs" not in named:
        found["target_session_attrs"] = "read-write"
    return found


def _peers(named: Mapping[str, object], environ: Mapping[str, str]) -> list[str]:
    """Return the servers that libpq connects to: the address of each if given, otherwise its name."""
    hosts = str(named.get("host") or environ.get("PGHOST", "")).split(",")
    addresses = str(named.get("hostaddr") or environ.get("PGHOSTADDR", "")).split(",")
    return [address or host for address, host in zip_longest(addresses, hosts, fillvalue="")]


def _is_here(host: str) -> bool:
    """Return whether a host is this machine: the folder of a socket, or a loopback address."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _milliseconds(span: timedelta) -> str:
    return str(max(1, span // timedelta(milliseconds=1)))
