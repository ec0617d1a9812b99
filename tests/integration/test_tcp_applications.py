"""Applications of TCP behind one running door: plain bytes, a server that greets, MQTT, PostgreSQL."""

from __future__ import annotations

import http.client
import random
import re
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import psycopg
import pytest

from doorward.audit.events import EventType
from doorward.core.entities import TENANT, Outcome, PrincipalKind
from doorward.directory.principals import resume, suspend
from doorward.policy.decision import decide_connection
from doorward.policy.subject import Subject
from doorward.stores.policy_snapshot import current_document
from tests.support.attacks import has_ended
from tests.support.doorway import ACTOR, STAFF, Doorway, Identity, eventually, open_doorway, render_document
from tests.support.equation import PEOPLE, selectors_of_today
from tests.support.mosquitto import Subscriber, publish, running_broker
from tests.support.postgresql import running_server
from tests.support.servers import accepting
from tests.support.tcp import GREETING, Greeter, greeter, offer, read_exactly
from tests.support.watching import NewBytes, watching

PIECE = 64 * 1024


@dataclass
class Site:
    """The door, the server of bytes behind it, and the people in front of it."""

    door: Doorway
    server: Greeter
    alice: Identity
    bob: Identity
    folder: Path

    def apply(self, *rules: str, alpn: str = "[echo]", upstream: str = "", beside: str = "") -> int:
        """Put `bytes` into force with these rules, an application of HTTP beside it, and a further one."""
        where = upstream or f"tcp://127.0.0.1:{self.server.port}"
        served = self.door.app("bytes", "\n".join(rules) or STAFF, upstream=where, alpn=alpn)
        return self.door.apply_document(render_document(self.door.app(), served, beside))

    def speak(self, identity: Identity | None, **options: Any) -> bytes:
        """Connect, say something, and return what comes back until as much as expected is there."""
        with offer(self.door, identity, name=self.door.host("bytes"), **options) as client:
            client.sendall(b"hello")
            return read_exactly(client, len(GREETING) + 5)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """One door for the whole file."""
    with ExitStack() as stack:
        server = stack.enter_context(greeter())
        door = stack.enter_context(open_doorway())
        site = Site(
            door=door,
            server=server,
            alice=door.person("alice", "staff"),
            bob=door.person("bob"),
            folder=door.folder,
        )
        site.apply()
        yield site


def test_bytes_pass_both_ways_and_the_record_says_so(site: Site) -> None:
    """Allowed: every byte in order, more than any buffer holds; the end is on record with its figures."""
    site.apply()
    before = len(site.door.events(EventType.CONNECTION_CLOSED, settled=False))
    with site.door.connect(site.alice, app="bytes") as client:
        client.sendall(b"x")
        assert read_exactly(client, len(GREETING) + 1) == GREETING + b"x"
        for number in range(64):
            piece = bytes([number]) * PIECE
            client.sendall(piece)
            assert read_exactly(client, PIECE) == piece
    assert eventually(lambda: len(site.door.events(EventType.CONNECTION_CLOSED, settled=False)) > before)
    data = site.door.events(EventType.CONNECTION_CLOSED, settled=False)[-1]["data"]
    assert data["certificate"] == site.door.certificate_of("alice")
    assert data["bytes_sent"] == 64 * PIECE + len(GREETING) + 1
    assert data["bytes_received"] >= 64 * PIECE + 1
    admitted = {one["id"]: one for one in site.door.events(EventType.CONNECTION_ADMITTED, settled=False)}
    assert admitted[data["decision"]]["data"]["connection"] == data["connection"]


def test_a_server_that_greets_says_nothing_before_the_judgement(site: Site) -> None:
    """No connection to the application is opened: not for a silent or refused client, and not without a certificate."""
    site.apply()
    before = site.server.spoken
    with site.door.connect(site.alice, app="bytes") as silent:
        with pytest.raises(ssl.SSLError, match=r"ACCESS_DENIED|access denied"):
            site.speak(site.bob)
        with pytest.raises(OSError):
            site.speak(None)
        silent.settimeout(0.3)
        with pytest.raises(TimeoutError):
            silent.recv(1)
        assert site.server.spoken == before
        silent.settimeout(60)
        silent.sendall(b"now")
        assert read_exactly(silent, len(GREETING) + 3) == GREETING + b"now"
    assert site.server.spoken == before + 1


@pytest.mark.parametrize(
    "offered",
    [["h2", "http/1.1"], ["http/1.1"], ["http/1.0"], ["echo", "http/1.1"], ["h2", "echo"], ["mqtt"], ["h3"]],
)
def test_who_offers_what_browsers_offer_is_refused(site: Site, offered: list[str]) -> None:
    """Also beside a listed protocol: a page could otherwise send bytes with the person's certificate."""
    site.apply()
    before = site.server.spoken
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        site.speak(site.alice, alpn=offered)
    assert site.server.spoken == before


def test_listed_protocols_are_selected(site: Site) -> None:
    """RFC 7301: the server says which of the offered ones it speaks; none offered, none said."""
    site.apply(alpn="[echo, other]")
    with offer(site.door, site.alice, name=site.door.host("bytes"), alpn=["other"]) as client:
        assert client.selected_alpn_protocol() == "other"
    assert site.speak(site.alice, alpn=["echo", "other"]) == GREETING + b"hello"
    assert site.speak(site.alice) == GREETING + b"hello"
    site.apply(alpn="")
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        site.speak(site.alice, alpn=["echo"])
    assert site.speak(site.alice) == GREETING + b"hello"


def test_a_refused_protocol_is_on_record(site: Site) -> None:
    """With the name that was asked for, and apart from an unknown name."""
    site.apply()
    with pytest.raises(ssl.SSLError):
        site.speak(site.alice, alpn=["h2"])

    def told() -> bool:
        return any(
            one["data"]["reason"] == "application-protocol-refused"
            and one["personal"].get("claimed_server_name") == site.door.host("bytes")
            for one in site.door.events(EventType.HANDSHAKE_FAILED, settled=False)
        )

    assert eventually(told)


def test_an_edit_that_takes_nothing_ends_nothing(site: Site) -> None:
    """New rules, new ids, another upstream: the open connection goes on; who loses is cut, at once."""
    site.apply()
    with site.door.connect(site.alice, app="bytes") as client:
        client.sendall(b"x")
        read_exactly(client, len(GREETING) + 1)
        site.apply("- allow: {groups: [staff, others]}", "- deny: {persons: [bob]}")
        client.sendall(b"more")
        assert read_exactly(client, 4) == b"more"
        with greeter() as other:
            site.apply(STAFF, upstream=f"tcp://127.0.0.1:{other.port}")
            client.sendall(b"still")
            assert read_exactly(client, 5) == b"still"
            assert site.speak(site.alice) == GREETING + b"hello"
            assert other.spoken == 1
        site.apply(STAFF, "- deny: {persons: [alice]}")
        assert has_ended(client)
    with pytest.raises(ssl.SSLError, match=r"ACCESS_DENIED|access denied"):
        site.speak(site.alice)
    site.apply()
    assert site.speak(site.alice) == GREETING + b"hello"


def test_new_connections_wait_while_rules_change_and_none_is_refused(site: Site) -> None:
    """Envoy holds a connection to the rules that it was accepted under: the answer satisfies them too."""
    site.apply()
    new = NewBytes(site.door, site.alice, app="bytes", pause=0.001)
    with watching(new):
        for edit in range(5):
            site.apply(STAFF, f"- deny: {{persons: [nobody-{edit}]}}")
    assert (new.refused, new.odd) == ([], []), new.why
    site.apply()


def test_a_suspended_holder_is_cut(site: Site) -> None:
    """The registry names connections by their socket, for every protocol; others go on."""
    site.apply()
    carol = site.door.person("carol", "staff")
    with site.door.connect(carol, app="bytes") as cut, site.door.connect(site.alice, app="bytes") as kept:
        for client in (cut, kept):
            client.sendall(b"x")
            read_exactly(client, len(GREETING) + 1)
        suspend(site.door.services, "carol", actor=ACTOR)
        assert has_ended(cut)
        kept.settimeout(60)
        kept.sendall(b"on")
        assert read_exactly(kept, 2) == b"on"
    site.door.settle(resume(site.door.services, "carol", actor=ACTOR).seq)
    assert site.speak(carol) == GREETING + b"hello"


def test_a_kind_that_changes_sends_no_request_to_the_new_place(site: Site) -> None:
    """An open HTTP connection of an application that becomes TCP: its requests find nothing."""
    site.apply(beside=site.door.app("turning"))
    with site.door.session(site.alice, app="turning") as session:
        assert session.request("GET", "/x").status == 200
        before = site.server.spoken
        site.apply(beside=site.door.app("turning", upstream=f"tcp://127.0.0.1:{site.server.port}"))
        with suppress(OSError, http.client.HTTPException):  # the connection may end at any moment now
            assert session.request("GET", "/y").status in {404, 503}
        assert site.server.spoken == before
    site.apply()


def test_an_application_that_is_away_ends_the_connection(site: Site) -> None:
    """The client sees the end, the record says that the application could not be reached."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    before = len(site.door.events(EventType.CONNECTION_CLOSED, settled=False))
    site.apply(upstream=f"tcp://127.0.0.1:{port}")
    with site.door.connect(site.alice, app="bytes") as client:
        client.sendall(b"x")
        assert has_ended(client)
    assert eventually(lambda: len(site.door.events(EventType.CONNECTION_CLOSED, settled=False)) > before)
    assert "UF" in site.door.events(EventType.CONNECTION_CLOSED, settled=False)[-1]["data"]["response_flags"]
    site.apply()


def test_a_unix_socket(site: Site) -> None:
    """`tcp+unix://`: then there is no way to the application past the door."""
    path = site.folder / "bytes.sock"
    with accepting(Greeter().serve, path):
        path.chmod(0o666)
        site.apply(upstream=f"tcp+unix://{path}")
        assert site.speak(site.alice) == GREETING + b"hello"
        site.apply()


def test_the_door_connects_exactly_the_allowed(site: Site) -> None:
    """Generated policies: each caller's new connection, and the one that it kept, is as the judge decides.

    A kept connection lives exactly if its holder lost nothing by any of the edits since.
    """
    dice, selectors = random.Random(20261129), selectors_of_today()
    callers = {
        name: site.door.person(f"tcp-{name}", *groups, kind=kind) for name, (kind, groups) in PEOPLE.items()
    }
    outcomes: Counter[Outcome] = Counter()
    kept: dict[str, ssl.SSLSocket] = {}
    with ExitStack() as stack:
        for _ in range(POLICIES):
            rules = [
                f"- {'deny' if number and dice.random() < 0.5 else 'allow'}: {renamed(dice.choice(selectors))}"
                for number in range(dice.randint(1, 5))
            ]
            site.apply(*rules)
            for name, identity in callers.items():
                expected = judged(site, f"tcp-{name}")
                outcomes[expected] += 1
                said = (rules, name, expected)
                heard = b""
                with suppress(OSError):
                    heard = site.speak(identity)
                assert (heard == GREETING + b"hello") is (expected is Outcome.GOOD), said
                if name in kept:
                    lives = echoes(kept[name])
                    assert lives is (expected is Outcome.GOOD), ("kept", *said)
                    if not lives:
                        del kept[name]
                if name not in kept and expected is Outcome.GOOD:
                    kept[name] = stack.enter_context(site.door.connect(identity, app="bytes"))
                    kept[name].sendall(b"x")
                    read_exactly(kept[name], len(GREETING) + 1)
    assert min(outcomes[Outcome.GOOD], outcomes[Outcome.BAD]) > POLICIES, outcomes
    site.apply()


POLICIES = 16


def renamed(selector: str) -> str:
    """Return a selector about the people of this file: their names begin with `tcp-`."""
    return re.sub(r"(persons|devices|services): \[([^]]*)\]", _with_prefix, selector)


def _with_prefix(match: re.Match[str]) -> str:
    names = ", ".join(f"tcp-{one.strip()}" for one in match[2].split(","))
    return f"{match[1]}: [{names}]"


def judged(site: Site, name: str) -> Outcome:
    """Return what the judge says of a new connection from this machine now."""
    with site.door.services.work.read() as stores:
        document, _ = current_document(stores)
        ids = {one.name: one.id for one in stores.applications.list()}
        principal = stores.directory.by_name(name)
    app = document.app("bytes")
    assert app is not None
    assert principal is not None
    subject = Subject(principal=principal, source=IPv4Address("127.0.0.1"), time=datetime.now(UTC))
    return decide_connection(app, TENANT, ids["bytes"], subject).outcome


def echoes(client: ssl.SSLSocket) -> bool:
    """Whether an open connection still lives."""
    try:
        client.settimeout(60)
        client.sendall(b"?")
        return read_exactly(client, 1) == b"?"
    except OSError:
        return False


@pytest.mark.needs("mosquitto", "mosquitto_pub", "mosquitto_sub")
def test_mqtt_as_people_run_it(site: Site) -> None:
    """Publisher and subscriber with certificates: allowed, refused, and cut while subscribed.

    The host is `localhost`: the system's resolver knows no name below it, and the clients take no other address.
    """
    sensor = site.door.person("sensor-1", "sensors", kind=PrincipalKind.DEVICE)
    with running_broker(site.folder) as port:
        rules = "- allow: {kind: device, groups: [sensors]}"
        mqtt = {"upstream": f"tcp://127.0.0.1:{port}", "alpn": "[mqtt]", "hosts": "localhost"}
        site.apply(beside=site.door.app("mqtt", rules, **mqtt))
        subscriber = Subscriber(site.door, sensor)
        try:
            assert eventually(subscriber.is_subscribed), subscriber.lines
            for more in ([], ["--tls-alpn", "mqtt"], ["-V", "mqttv5"]):
                done = publish(site.door, sensor, "-m", f"21 {' '.join(more)}", *more)
                assert done.returncode == 0, done.stderr
                assert eventually(lambda: f"21 {' '.join(more)}".strip() in subscriber.lines)  # noqa: B023
            refused = publish(site.door, site.alice, "-m", "99")
            assert refused.returncode != 0
            browserlike = publish(site.door, sensor, "-m", "99", "--tls-alpn", "http/1.1")
            assert browserlike.returncode != 0
            suspend(site.door.services, "sensor-1", actor=ACTOR)
            assert eventually(lambda: any("onnection" in one for one in subscriber.lines[-3:]))
            assert publish(site.door, sensor, "-m", "99").returncode != 0
            assert not [one for one in subscriber.lines if one.startswith("99")]
        finally:
            subscriber.close()
    site.apply()


def test_postgresql_with_tls_from_the_first_byte(site: Site) -> None:
    """Libpq 17 and newer begin with TLS and demand their protocol: allowed, refused, cancelled, cut."""
    with running_server() as server:
        place = {"upstream": f"tcp+unix://{server.folder}/.s.PGSQL.5432", "alpn": "[postgresql]"}
        site.apply(beside=site.door.app("db", **place))
        with connect_postgresql(site, site.alice) as session:
            assert session.execute("SELECT sum(n) FROM generate_series(1, 100000) n").fetchone() == (
                5000050000,
            )
            with cancelling(session), pytest.raises(psycopg.errors.QueryCanceled):
                session.execute("SELECT pg_sleep(300)")
            session.rollback()
            site.apply(beside=site.door.app("db", f"{STAFF}\n- deny: {{persons: [alice]}}", **place))
            with pytest.raises(psycopg.OperationalError):
                session.execute("SELECT 1")
        for identity in (site.alice, site.bob):
            with pytest.raises(psycopg.OperationalError, match="access denied"):
                connect_postgresql(site, identity).close()
        with pytest.raises(psycopg.OperationalError):  # begins in plain text: the door sees no ClientHello
            connect_postgresql(site, site.alice, sslnegotiation="postgres").close()
    site.apply()


@contextmanager
def cancelling(session: psycopg.Connection[tuple[Any, ...]]) -> Iterator[None]:
    """Cancel what a session does, again and again: a request that comes before the query cancels nothing."""
    done = threading.Event()

    def cancel() -> None:
        while not done.wait(0.3):
            session.cancel_safe()

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def connect_postgresql(site: Site, identity: Identity, **changed: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect as the how-to says; the address is given, as nothing resolves the name here."""
    options = {
        "host": site.door.host("db"),
        "hostaddr": "127.0.0.1",
        "port": str(site.door.port),
        "dbname": "postgres",
        "user": "admin",
        "connect_timeout": "60",
        "sslmode": "verify-full",
        "sslnegotiation": "direct",
        "sslrootcert": str(site.door.root),
        "sslcert": str(identity.chain),
        "sslkey": str(identity.key),
    }
    return psycopg.connect(**{**options, **changed})  # type: ignore[arg-type]  # words of libpq
