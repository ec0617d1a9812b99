"""The revisions lead to the schema that the program uses."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from doorward.core.addresses import PRIVATE_NETWORKS, parse_private_networks
from doorward.core.entities import TENANT
from doorward.pki.keys import digest_key_of
from doorward.storage.migrating import upgrade_to
from doorward.storage.schema import metadata
from doorward.storage.schema_versions import HEAD, migrate
from doorward.storage.sqlite.database import SqliteDatabase
from doorward.stores.partner_records import EvidenceKind
from tests.support.certificates.issuing import toy_ca
from tests.support.sql_store import sql_work


def statements(path: Path) -> dict[str, list[str]]:
    """The statement of each table and index, with sorted lines, because the order of constraints has no meaning."""
    with closing(sqlite3.connect(path)) as raw:
        found = raw.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {
        name: sorted(part.strip().rstrip(",") for part in re.split(r"\n", sql))
        for name, sql in found
        if name != "alembic_version"
    }


def test_metadata_and_revisions_agree(tmp_path: Path) -> None:
    """Alembic finds no difference, and neither does the text of any table, check constraints included."""
    database = SqliteDatabase(tmp_path / "migrated.db")
    migrate(database)
    with database.write() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'direct.db'}")
    metadata.create_all(engine)
    engine.dispose()
    assert statements(tmp_path / "migrated.db") == statements(tmp_path / "direct.db")


def test_a_partner_keeps_its_private_networks(tmp_path: Path) -> None:
    """If private addresses were allowed, every private network is allowed; otherwise none."""
    path = tmp_path / "older.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        upgrade_to(connection, "0001")
        for number in (0, 1):
            connection.execute(
                text(
                    "INSERT INTO partners (id, tenant, name, revocation, max_staleness, refresh, allow_private, "
                    "source, kind, domain, groups, everyone, permitted, excluded, created_at) VALUES "
                    f"('ptn_{number}', 'ten_1', 'p{number}', 'require', 0, 60, {number}, 'email', 'person', '', "
                    "'[]', 0, '[]', '[]', 0)"
                )
            )
        upgrade_to(connection, HEAD)
        rows = connection.execute(
            text("SELECT allow_private, crl_urls, ocsp_urls FROM partners ORDER BY id")
        ).all()
    engine.dispose()
    assert json.loads(rows[0][0]) == []
    assert parse_private_networks(json.loads(rows[1][0])) == tuple(
        sorted(PRIVATE_NETWORKS, key=lambda one: (one.version, int(one.network_address)))
    )
    assert [row[1:] for row in rows] == [("[]", "[]"), ("[]", "[]")]


def test_keys_of_older_certificates_and_origins_of_links_are_kept(tmp_path: Path) -> None:
    """Each certificate gets the digest of its key, and an unused link the certificate from which it was made."""
    path, holder = tmp_path / "older.db", toy_ca().leaf("alice")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        upgrade_to(connection, "0007")
        for number in range(1, 703):
            state, der = ("intended", b"no certificate") if number == 2 else ("valid", holder.der)
            connection.execute(
                text(
                    "INSERT INTO certificates (id, tenant, authority_id, serial, sha256, profile, state, not_before, "
                    "not_after, created_at, principal_id, subject_name, replaces, der) VALUES (:id, 'ten_1', 'aut_1', "
                    ":id, :id, 'person', :state, 0, 1, 0, 'per_1', 'alice', '', :der)"
                ),
                {"id": f"crt_{number:04d}", "state": state, "der": der if number != 3 else b"broken"},
            )
        for name, used in (("open", "NULL"), ("used", "1")):
            connection.execute(
                text(
                    "INSERT INTO invitations (id, tenant, principal_id, token_sha256, created_at, expires_at, used_at, "
                    f"certificate_id) VALUES ('{name}', 'ten_1', 'per_1', '{name}', 0, 1, {used}, 'crt_0001')"
                )
            )
        upgrade_to(connection, HEAD)
        keys = [
            row[0] for row in connection.execute(text("SELECT spki_sha256 FROM certificates ORDER BY id"))
        ]
        links = connection.execute(
            text("SELECT id, made_from, certificate_id FROM invitations ORDER BY id")
        ).all()
    engine.dispose()
    digest = digest_key_of(holder.der)
    assert len(digest) == 64
    assert keys == [digest, "", "", *[digest] * 699]
    assert [tuple(row) for row in links] == [("open", "crt_0001", ""), ("used", "", "crt_0001")]


def test_older_authorities_know_which_one_signed_them(tmp_path: Path) -> None:
    """The root signed the issuing authority, which signed every responder, former ones too; none is retired."""
    engine = create_engine(f"sqlite:///{tmp_path / 'older.db'}")
    rows = [("r", "root", 1), ("i", "issuing", 1), ("o1", "ocsp-responder", 0), ("o2", "ocsp-responder", 1)]
    with engine.begin() as connection:
        upgrade_to(connection, "0013")
        for id_, kind, current in rows:
            connection.execute(
                text(
                    "INSERT INTO authorities (id, tenant, kind, der, key_name, created_at, not_after, current) "
                    "VALUES (:id, 'ten_1', :kind, x'00', :id, 0, 1, :current)"
                ),
                {"id": id_, "kind": kind, "current": current},
            )
        upgrade_to(connection, HEAD)
        found = connection.execute(
            text("SELECT id, kind, current, issuer_id, retired_at FROM authorities ORDER BY id")
        ).all()
    engine.dispose()
    assert [tuple(row) for row in found] == [
        ("i", "issuing", 1, "r", None),
        ("o1", "ocsp-responder", 0, "i", None),
        ("o2", "ocsp-responder", 1, "i", None),
        ("r", "root", 1, "", None),
    ]


def test_older_acme_orders_stay_with_their_certificates(tmp_path: Path) -> None:
    """The table is built again for the word of a lease; nothing of a row is lost."""
    engine = create_engine(f"sqlite:///{tmp_path / 'older.db'}")
    row = ("o", "ten_1", "", 3, "u", 2, 4, 5, 6, "c", "p", b"pem", 7, 8, 9)
    with engine.begin() as connection:
        upgrade_to(connection, "0015")
        connection.exec_driver_sql(f"INSERT INTO acme_orders VALUES ({', '.join('?' * len(row))})", row)
        upgrade_to(connection, HEAD)
        found = connection.execute(text("SELECT * FROM acme_orders")).all()
    engine.dispose()
    assert [tuple(one) for one in found] == [(*row, None)]


def test_crls_are_kept_in_pieces(tmp_path: Path) -> None:
    """Each CRL, long or short, is the same after the migration, with all that is known about it."""
    path = tmp_path / "older.db"
    long = bytes(range(256)) * 3000
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        upgrade_to(connection, "0022")
        add = text(
            "INSERT INTO crls (authority_id, partition, tenant, number, this_update, next_update, through_seq, der) "
            f"VALUES ('aut_1', :name, '{TENANT}', :number, 1, 2, 3, :der)"
        )
        connection.execute(add, {"name": "", "number": 7, "der": long})
        connection.execute(add, {"name": "1-of-2", "number": 8, "der": b"short"})
        upgrade_to(connection, HEAD)
    engine.dispose()
    with closing(SqliteDatabase(path)) as database, sql_work(database).change() as stores:
        full, part = stores.status.crl("aut_1"), stores.status.crl("aut_1", "1-of-2")
        assert stores.status.forget_crl_pieces(10) == 0
    assert full is not None
    assert part is not None
    assert (full.number, full.through_seq, full.der) == (7, 3, long)
    assert (part.number, part.der) == (8, b"short")


def test_long_crls_of_partners_are_kept_in_pieces(tmp_path: Path) -> None:
    """Each is the same after the migration, also if two rows have it; a short one, and a damaged one, stay in their rows.

    The damaged one is not handed out.
    """
    path = tmp_path / "older.db"
    long = bytes(range(256)) * 3000
    digest, of_short = hashlib.sha256(long).hexdigest(), hashlib.sha256(b"short").hexdigest()
    rows = {"a": (long, digest), "b": (long, digest), "c": (b"short", of_short), "d": (long, "0")}
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        upgrade_to(connection, "0024")
        add = text(
            "INSERT INTO evidence (partner_id, kind, source, about, tenant, try_at, sha256, etag, failures, problem, unusable, der) "
            f"VALUES ('ptn_1', 'crl', :source, '', '{TENANT}', 1, :sha256, '', 0, '', false, :der)"
        )
        for source, (der, sha256) in rows.items():
            connection.execute(add, {"source": source, "sha256": sha256, "der": der})
        upgrade_to(connection, HEAD)
        inline = connection.execute(text("SELECT source FROM evidence WHERE length(der) > 0 ORDER BY source"))
        assert [source for (source,) in inline] == ["c", "d"]
    engine.dispose()
    with closing(SqliteDatabase(path)) as database, sql_work(database).change() as stores:
        for source, (der, sha256) in rows.items():
            found = stores.evidence.get("ptn_1", EvidenceKind.CRL, source, "")
            assert found is not None
            assert (found.der, found.sha256) == (b"" if source == "d" else der, sha256)
        assert stores.evidence.unused_pieces() == []
