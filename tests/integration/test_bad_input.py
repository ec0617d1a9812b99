"""Bad input of every kind at a standing door: a clear error, nothing half written, the old configuration in force."""

from __future__ import annotations

import json
import os
import random
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from doorward.audit.events import EventType
from doorward.authority.directory import add_principal
from doorward.authority.inventory import certificate_counts
from doorward.authority.policies import export_document
from doorward.cli.__main__ import main
from doorward.core.entities import PrincipalKind
from doorward.core.ports import KeyKind
from doorward.enrolment.invitation import invite
from doorward.pki.csr import build_csr
from doorward.runtime.confirming import await_gateways
from doorward.runtime.evidence import Evidence
from tests.support.doorway import ACTOR, DOMAIN, Doorway, Identity, eventually, open_doorway
from tests.support.house import House, open_house
from tests.support.ports import PlainKeys

pytestmark = pytest.mark.xdist_group("bad-input")
RULES = '- {allow: {groups: [staff]}, to: {paths: ["/reports/**"]}}'
DICE = random.Random(7)
"""Repeatable garbage."""


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """A door with one application and alice, who may read reports."""
    with open_doorway() as made:
        made.apply(RULES)
        made.person("alice", "staff")
        yield made


@pytest.fixture(autouse=True)
def unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test at the door: the same policy, no certificate more, and alice is let in as before."""
    if "door" not in request.fixturenames:
        yield
        return
    door: Doorway = request.getfixturevalue("door")
    policy, counts = export_document(door.services), certificate_counts(door.services)
    yield
    assert export_document(door.services) == policy
    assert certificate_counts(door.services) == counts
    assert door.get(door.identities["alice"], "/reports/1").status == 200
    assert door.gateway.trouble() == []


def command(door: Doorway, *words: str) -> Result:
    """Run a command on the door's installation."""
    settings = door.installation.settings
    environ = {
        "DOORWARD_DATA": str(settings.data),
        "DOORWARD_PASSPHRASE_FILE": str(settings.passphrase_file),
        "DOORWARD_GATEWAY_LISTEN": settings.gateway_listen,
        "DOORWARD_STATUS_LISTEN": settings.status_listen,
    }
    return CliRunner(env=environ).invoke(main, words)


def refused(door: Doorway, *words: str, code: int) -> dict[str, Any]:
    """Run a command that must fail so; return its error."""
    result = command(door, *words, "--json")
    assert result.exit_code == code, (words, result.output[:500], result.exception)
    assert "Traceback" not in result.output
    error = dict(json.loads(result.stdout.splitlines()[-1])["error"])
    assert error["code"] != "internal-error"
    assert error["detail"]
    plain = command(door, *words)
    assert plain.exit_code == code
    assert "error" in plain.stderr.lower()
    return error


def csr(name: str = "alice") -> bytes:
    """A good request."""
    return build_csr(PlainKeys().generate(KeyKind.P256), name)


def bad_requests() -> dict[str, bytes]:
    """Requests that are none, one for each way to be wrong."""
    good = csr()
    lines = good.splitlines(keepends=True)
    return {
        "empty": b"",
        "garbage": DICE.randbytes(500),
        "truncated": good[: len(good) // 2],
        "without an end": b"".join(lines[:-1]),
        "a certificate's armour": good.replace(b"CERTIFICATE REQUEST", b"CERTIFICATE"),
        "altered": good.replace(lines[2][:8], b"AAAAAAAA"),
        "twice": good + good,
        "zeros": bytes(1000),
        "nested": b"0\x80" * 5000,
        "a length without end": b"\x30\x84\xff\xff\xff\xff" + bytes(100),
        "large": b"-----BEGIN CERTIFICATE REQUEST-----\n" + b"A" * 30_000,
    }


# requests for certificates


@pytest.mark.parametrize("kind", bad_requests())
def test_bad_requests_on_the_command_line(door: Doorway, kind: str, tmp_path: Path) -> None:
    """A request that is none is a usage error, and no certificate is made."""
    path = tmp_path / "request"
    path.write_bytes(bad_requests()[kind])
    out = tmp_path / "chain.pem"
    certificate = door.certificate_of("alice")
    refused(door, "cert", "renew", certificate, "--csr", str(path), "--out", str(out), code=2)
    assert not out.exists()


def test_a_huge_request_on_the_command_line(door: Doorway, tmp_path: Path) -> None:
    """A file of any size is refused without being read whole."""
    path = tmp_path / "request"
    with path.open("wb") as file:
        file.truncate(1 << 34)
    certificate = door.certificate_of("alice")
    assert refused(door, "cert", "renew", certificate, "--csr", str(path), code=2)["code"] == "file-too-large"


def ask(door: Doorway, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Send a request to the enrolment door."""
    host = f"enroll.{DOMAIN}"
    plain = socket.create_connection(("127.0.0.1", door.port), 5)
    context = ssl.create_default_context(cafile=str(door.root))
    connection = HTTPSConnection(host, door.port, timeout=5)
    connection.sock = context.wrap_socket(plain, server_hostname=host)
    try:
        connection.request("POST", "/v1/certificates", body=body, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def token(door: Doorway) -> str:
    """A token that is never used up by bad requests."""
    add_principal(door.services, PrincipalKind.PERSON, "mallory", actor=ACTOR)
    return invite(door.services, "mallory", lifetime=timedelta(hours=1), actor=ACTOR).token


@pytest.mark.parametrize("kind", bad_requests())
def test_bad_requests_at_the_enrolment_door(door: Doorway, token: str, kind: str) -> None:
    """A request that is none is refused in words of ours, without a trace, and the link stays good."""
    status, body = ask(
        door,
        bad_requests()[kind],
        {"Authorization": f"Bearer {token}", "Content-Type": "application/pkcs10"},
    )
    assert 400 <= status < 500, body
    assert b"Traceback" not in body
    assert json.loads(body)["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer " + "a" * 43},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer " + "a" * 5000},
    ],
    ids=["none", "short", "unknown", "basic", "long"],
)
def test_bad_tokens_at_the_enrolment_door(door: Doorway, headers: dict[str, str]) -> None:
    """A token that is none, or nobody's, gives nothing."""
    status, body = ask(door, csr(), {**headers, "Content-Type": "application/pkcs10"})
    assert 400 <= status < 500
    assert b"Traceback" not in body


def test_a_huge_body_at_the_enrolment_door(door: Doorway, token: str) -> None:
    """A body beyond the limit is cut off before it fills anything."""
    try:
        status, _ = ask(door, b"A" * (1 << 20), {"Authorization": f"Bearer {token}"})
    except (OSError, HTTPException):
        status = 413  # the door may hang up while the body is still coming
    assert status == 413


def test_a_request_that_stops_half_way(door: Doorway, token: str) -> None:
    """A client that promises more than it sends gets nothing and holds nobody up."""
    host = f"enroll.{DOMAIN}"
    context = ssl.create_default_context(cafile=str(door.root))
    with context.wrap_socket(
        socket.create_connection(("127.0.0.1", door.port), 5), server_hostname=host
    ) as secure:
        secure.sendall(
            f"POST /v1/certificates HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/pkcs10\r\nContent-Length: 1000\r\n\r\n".encode()
            + csr()[:100]
        )
    assert ask(door, b"x", {"Authorization": f"Bearer {token}"})[0] < 500


# links


def bad_links() -> dict[str, str]:
    """Links that are none."""
    good = f"https://enroll.{DOMAIN}:1/join#token={'t' * 43}&sha256={'ab' * 32}"
    return {
        "empty": "",
        "word": "alice",
        "truncated": good[:-10],
        "without a pin": good.partition("&")[0],
        "without a token": good.replace("t" * 43, ""),
        "plain http": good.replace("https", "http"),
        "another path": good.replace("/join", "/enter"),
        "a user": good.replace("enroll", "user@enroll"),
        "huge": good + "x" * 100_000,
        "control": good.replace("join", "join\r\nHost: x"),
        "port": good.replace(":1/", ":99999/"),
    }


@pytest.mark.parametrize("kind", bad_links())
def test_bad_links(door: Doorway, kind: str, tmp_path: Path) -> None:
    """A link that is none is a usage error; no key is made and nobody is asked."""
    out = tmp_path / "mine"
    refused(door, "enroll", bad_links()[kind], "--out", str(out), code=2)
    assert not out.exists()


def test_a_link_to_another_root(door: Doorway, tmp_path: Path) -> None:
    """Where the door's root is not the one that the link names, nothing is sent and nothing is kept."""
    add_principal(door.services, PrincipalKind.PERSON, "trudy", actor=ACTOR)
    secret = invite(door.services, "trudy", lifetime=timedelta(hours=1), actor=ACTOR).token
    link = door.installation.enrolment_link(secret)
    out = tmp_path / "mine"
    result = command(door, "enroll", link[:-64] + "00" * 32, "--out", str(out), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout.splitlines()[-1])["error"]["code"]
    assert not (out / "chain.pem").exists()


def test_a_link_to_nowhere(door: Doorway, tmp_path: Path) -> None:
    """Where nobody answers it is said, and can be tried again."""
    link = f"https://127.0.0.1:1/join#token={'t' * 43}&sha256={'ab' * 32}"
    out = tmp_path / "mine"
    refused(door, "enroll", link, "--out", str(out), code=3)
    assert not (out / "chain.pem").exists()


# documents


def bad_documents(good: str) -> dict[str, bytes]:
    """Documents that no policy can be made of."""
    return {
        "empty": b"",
        "garbage": DICE.randbytes(2000),
        "not UTF-8": good.encode("utf-16"),
        "a list": b"- 1\n- 2\n",
        "tabs": good.replace("  ", "\t").encode(),
        "deep": b"a: " + b"[" * 5000,
        "many aliases": b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 120)),
        "a tag": good.replace("trust_domain:", "!!python/object/apply:os.system ['true']\ntrust_domain:").encode(),
        "twice the key": (good + good).encode(),
        "another domain": good.replace(f"trust_domain: {DOMAIN}", "trust_domain: other.example").encode(),
        "our own host": good.replace(f"app.{DOMAIN}", f"enroll.{DOMAIN}").encode(),
        "an unknown key": good.replace("rules:", "ruels:").encode(),
        "a bad upstream": good.replace("upstream: http://", "upstream: gopher://").encode(),
        "huge": b"# " + b"x" * (1 << 21),
        "many": good.encode() + b"".join(b"      - {allow: {groups: [g%d]}}\n" % n for n in range(30_000)),
    }  # fmt: skip


KINDS = list(bad_documents("trust_domain: x\n"))


@pytest.mark.parametrize("kind", KINDS)
def test_bad_documents(door: Doorway, kind: str, tmp_path: Path) -> None:
    """A document with faults is refused by every command that takes one, with the exit code of faults."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(bad_documents(export_document(door.services))[kind])
    for words in (["apply"], ["diff"], ["policy", "check"]):
        refused(door, *words, "-f", str(path), code=2)


def test_truncated_documents(door: Doorway, tmp_path: Path) -> None:
    """A document cut off anywhere is refused, or means what it says; nothing in between comes into force."""
    text = export_document(door.services)
    path = tmp_path / "policy.yaml"
    for length in range(0, len(text.rstrip()), 7):
        path.write_text(text[:length])
        result = command(door, "policy", "check", "-f", str(path), "--json")
        assert result.exit_code in {0, 2}, (length, result.output)
        json.loads(result.stdout.splitlines()[-1])


def test_a_document_on_standard_input_is_bounded(door: Doorway) -> None:
    """What comes by a pipe has the same limit as a file."""
    settings = door.installation.settings
    done = subprocess.run(
        [sys.executable, "-m", "doorward.cli", "apply", "-f", "-", "--json", "--data", str(settings.data)],
        input=b"# " + b"x" * (3 << 20),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] in {"file-too-large", "document-too-large"}


# bytes on the wire


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n" * 100,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        DICE.randbytes(4000),
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100),
    ],
    ids=["nothing", "lines", "plain", "noise", "hello", "preface"],
)
def test_bytes_that_are_no_handshake(door: Doorway, raw: bytes) -> None:
    """Whatever is sent in the place of a TLS handshake ends that connection alone."""
    with socket.create_connection(("127.0.0.1", door.port), 5) as peer:
        _send(peer, raw)
        answer = _read(peer) or b""
    assert b"HTTP/1.1 200" not in answer


def _send(peer: socket.socket, raw: bytes) -> None:
    try:
        peer.sendall(raw)
        peer.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the door hung up first


def _read(peer: socket.socket) -> bytes | None:
    peer.settimeout(10)
    data = b""
    try:
        while more := peer.recv(65536):
            data += more
    except OSError:
        return data or None
    return data


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: app.test.localhost\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: app.test.localhost\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(300)) + b"\r\n",
        b"GET /reports/1 HTTP/1.1\r\nHost: app.test.localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /reports/1 HTTP/1.1\r\nHost: app.test.localhost\r\nHost: other\r\n\r\n",
        b"GET /reports/\x001 HTTP/1.1\r\nHost: app.test.localhost\r\n\r\n",
        DICE.randbytes(3000),
    ],
    ids=["zeros", "half", "version", "long field", "many fields", "smuggled", "two hosts", "nul", "noise"],
)  # fmt: skip
def test_requests_that_are_none(door: Doorway, raw: bytes) -> None:
    """An authenticated client that sends nonsense is answered with an error or hung up on; nothing gets through."""
    seen = door.upstream.calls
    with door.connect(door.identities["alice"]) as secure:
        _send_tls(secure, raw)
        answer = _read(secure)
    assert answer is None or answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert b"Traceback" not in (answer or b"")
    assert door.upstream.calls == seen


def _send_tls(secure: ssl.SSLSocket, raw: bytes) -> None:
    try:
        secure.sendall(raw)
        secure.unwrap()
    except OSError:
        pass


@pytest.mark.parametrize(
    "raw", [b"\x00" * 50, b"GET\r\n\r\n", DICE.randbytes(2000), b"POST /ocsp HTTP/1.1\r\n"]
)
def test_nonsense_at_the_status_listener(door: Doorway, raw: bytes) -> None:
    """The listener for revocation data hangs up on nonsense and goes on."""
    port = int(door.installation.settings.status_listen.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 5) as peer:
        _send(peer, raw)
        answer = _read(peer)
    assert b"Traceback" not in (answer or b"")
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()


# published files


def published(door: Doorway) -> dict[str, Path]:
    """The files that the running Envoy watches."""
    running = door.gateway.supervisor.running
    assert running is not None
    xds = running.folder / "xds"
    return {str(path.relative_to(xds)): path for path in xds.rglob("*.json")}


@pytest.mark.parametrize("garbage", [b"", b"garbage", b'{"version_info": "x"', b"\xff" * 1000], ids=len)
def test_garbage_in_each_published_file(door: Doorway, garbage: bytes) -> None:
    """Envoy keeps what it has when a file turns to garbage, and the next look puts every file back."""
    before = {name: path.read_bytes() for name, path in published(door).items()}
    assert {name.partition("/")[0] for name in before} == {"cds.json", "lds.json", "rds", "sds"}
    with door.session(door.identities["alice"]) as session:
        for path in published(door).values():
            draft = path.with_suffix(".garbage")
            draft.write_bytes(garbage)
            draft.replace(path)  # Envoy watches for renames
        assert session.request("GET", "/reports/1").status == 200
        assert door.get(door.identities["alice"], "/reports/1").status == 200
        assert door.get(door.identities["alice"], "/other").status == 403
        door.gateway.publishing.order_changed()
        assert eventually(lambda: {n: p.read_bytes() for n, p in published(door).items()} == before, 10)
        assert session.request("GET", "/reports/1").status == 200


def test_deleted_published_files(door: Doorway) -> None:
    """Files that somebody deleted are put back too."""
    before = {name: path.read_bytes() for name, path in published(door).items()}
    for path in published(door).values():
        path.unlink()
    assert door.get(door.identities["alice"], "/reports/1").status == 200
    door.gateway.publishing.order_changed()
    assert eventually(lambda: {n: p.read_bytes() for n, p in published(door).items()} == before, 10)


# a configuration that Envoy does not take


def test_a_policy_that_envoy_refuses() -> None:
    """The old configuration stays in force for whoever is connected, is said, tried again later, and mended."""
    broken: list[bool] = [False]

    def spoil(resources: Any) -> Any:
        if broken[0]:
            for table in resources.routes.values():
                table["no_such_field"] = 1
        return resources

    with open_doorway(wrap_resources=spoil) as door:
        door.apply(RULES)
        alice = door.person("alice", "staff")
        checks: list[int] = []
        validator = door.gateway.publishing._validator
        check = validator.check
        validator.check = lambda rendering: (checks.append(1), check(rendering))[1]  # type: ignore[method-assign]
        with door.session(alice) as session:
            assert session.request("GET", "/reports/1").status == 200
            before = {name: path.read_bytes() for name, path in published(door).items()}
            broken[0] = True
            text = export_document(door.services).replace("/reports/**", '/reports/**", "/more')
            result = _apply(door, text)
            assert result.exit_code == 3
            error = json.loads(result.stdout.splitlines()[-1])["error"]
            assert error["code"] == "gateways-behind"
            assert "stored" in error["detail"]
            assert {name: path.read_bytes() for name, path in published(door).items()} == before
            assert session.request("GET", "/reports/1").status == 200
            assert session.request("GET", "/more").status == 403
            assert any("no_such_field" in one for one in door.gateway.trouble())
            assert eventually(lambda: "no_such_field" in command(door, "status", "--json").stdout)
            assert command(door, "status").exit_code == 3
            assert len(checks) < 10, "what Envoy refuses was tried again and again without a pause"
            rolled_back = [one for one in _events(door) if one["type"] == EventType.GATEWAY_ROLLED_BACK.value]
            assert len(rolled_back) == 1
            broken[0] = False
            with door.services.work.read() as books:
                head = books.changes.head()
            assert eventually(
                lambda: all(one.confirmed for one in await_gateways(door.services, head)[0]), 10
            )
            assert session.request("GET", "/reports/1").status == 200
        assert door.get(alice, "/more").status == 200
        assert door.gateway.trouble() == []


def _apply(door: Doorway, text: str) -> Result:
    path = door.folder / "policy.yaml"
    path.write_text(text)
    return command(door, "apply", "-f", str(path), "--json")


def _events(door: Doorway) -> list[dict[str, Any]]:
    assert eventually(lambda: not _waiting(door))
    return list(Evidence(door.installation).events(0))


def _waiting(door: Doorway) -> int:
    with door.installation.event_log.read() as store:
        return store.waiting()


# garbage in the gateway's own files, found at the next start


@pytest.mark.parametrize(
    "content", [b"", b"garbage\n" * 50, b"\xff\x00" * 500], ids=["empty", "text", "bytes"]
)
def test_garbage_in_what_a_gateway_left(content: bytes) -> None:
    """The journal, certificates and runs that an earlier start left may be garbage: the door opens all the same."""
    with open_house() as house:
        house.apply(RULES)
        alice = house.person("alice", "staff")
        assert house.get(alice, "/reports/1").status == 200
        assert house.stop() == 0
        spoilt = _spoil(house, content)
        assert {"connections.journal", "chain.pem", "epoch"} <= spoilt
        house.start()
        assert eventually(lambda: _let_in(house, alice), 15), house.words()
        assert house.stop() == 0


def _spoil(house: House, content: bytes) -> set[str]:
    spoilt = set()
    for path in sorted((house.data / "gateway").rglob("*")):
        if path.is_file() and path.name not in {"assertion.pem", "access.next"}:
            path.write_bytes(content)
            spoilt.add(path.name)
    return spoilt


def _let_in(house: House, identity: Identity) -> bool:
    try:
        return house.get(identity, "/reports/1").status == 200
    except OSError:
        return False


def test_garbage_in_what_must_not_be_guessed() -> None:
    """A damaged assertion key stops the start with a hint; a damaged log counter is said by status."""
    with open_house(started=False) as house:
        key = house.data / "gateway" / "keys" / "assertion.pem"
        key.write_bytes(b"garbage")
        with pytest.raises(AssertionError):
            house.start()
        house.clear()
        assert "assertion-key-damaged" in house.words()
        assert "→" in house.words()
        key.unlink()
        folder = house.data / "gateway" / "log"
        folder.mkdir(exist_ok=True)
        (folder / "access.next").write_bytes(b"garbage")
        for path in (folder, folder / "access.next"):
            os.chown(path, *_owner(house.data / "gateway"))
        house.start()
        assert eventually(lambda: "access.next holds no number" in house.gateway_status(), 10)
        house.stop()


def _owner(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid
