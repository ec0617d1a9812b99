"""No secret in a log: a whole story at debug level, and then every file that it left is searched.

The story runs as people run it (`doorward up`), with what usually spills: refused links, links used
twice, credentials in headers, cookies and queries, a stranger's certificate, a killed Envoy.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.core.errors import DoorwardError
from doorward.directory.inviting import invite
from tests.posture.conftest import RULES
from tests.support.certificates.issuing import toy_ca
from tests.support.compiled_door import CompiledDoors
from tests.support.doorway import ACTOR, Doorway, Identity, enroll_by, eventually
from tests.support.house import House, open_house

pytestmark = pytest.mark.xdist_group("posture-secrets")

CANARY = "canary-path-that-may-be-logged"
BEARER = "bearer-s3cr3t-of-the-application"
COOKIE = "cookie-s3cr3t-of-the-application"
LEVEL = "--log-level"
QUERY = "query-s3cr3t-of-the-application"


@dataclass
class Story:
    """The secrets of the story, by name, and the places where they were left."""

    house: House
    secrets: dict[str, str] = field(default_factory=dict)
    processes: dict[int, str] = field(default_factory=dict)

    def keep_key(self, name: str, path: Path) -> None:
        """Note a private key: a line from the middle of its PEM."""
        lines = [one for one in path.read_text().splitlines() if one and not one.startswith("-----")]
        self.secrets[name] = lines[len(lines) // 2][:48]


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    """Play it, stop the house, keep the files."""
    with open_house(settings={"log_level": "debug"}, environment={"DOORWARD_LOG_LEVEL": "debug"}) as house:
        told = Story(house)
        _play(told)
        house.stop()
        yield told


def _play(story: Story) -> None:
    house, secrets = story.house, story.secrets
    house.apply(RULES)
    alice = _enrol(story, "alice")
    secrets["passphrase"] = (house.folder / "passphrase").read_text().strip()
    secrets |= {"bearer": BEARER, "cookie": COOKIE, "query": QUERY}
    headers = {"Authorization": f"Bearer {BEARER}", "Cookie": f"session={COOKIE}", "X-Api-Key": BEARER}
    reply = house.get(alice, f"/{CANARY}?token={QUERY}", headers=headers)
    assert reply.status == 200
    heard = reply.upstream_headers()
    assert heard["authorization"] == f"Bearer {BEARER}"
    secrets["assertion"] = heard["doorward-assertion"].rpartition(".")[2][:48]
    assert house.get(alice, f"/secret/{CANARY}?token={QUERY}", headers=headers).status == 200
    _visit_enrolment(house, story)
    _be_refused(house)
    log = house.data / "gateway" / "log" / "access.log"
    assert eventually(lambda: '"kind":"handshake"' in log.read_text())  # a kill may take the last 50 ms
    old = house.pid("envoy")
    os.kill(old, signal.SIGKILL)
    house.wait_for_pid("envoy", other_than=old)
    assert eventually(lambda: _answers(house, alice))
    for pid in house.processes():
        parts = [Path(f"/proc/{pid}/{part}").read_bytes() for part in ("cmdline", "environ")]
        story.processes[pid] = b"\0".join(parts).decode(errors="replace")
    house.settle(
        revoke(house.services, house.certificate_of("alice"), RevocationReason.KEY_COMPROMISE, ACTOR)
    )
    with pytest.raises(OSError, match=r"ACCESS_DENIED|EOF|reset"):
        house.get(alice, "/x")
    keys = list((house.data / "gateway" / "keys").rglob("*"))
    for number, path in enumerate(one for one in keys if one.is_file() and "PRIVATE" in one.read_text()):
        story.keep_key(f"key of the gateway {number}", path)


def _enrol(story: Story, name: str) -> Identity:
    house = story.house
    house.person(name, "staff")
    token = invite(house.services, name, lifetime=timedelta(hours=1), actor=ACTOR).token
    link = house.installation.enrolment_link(token)
    story.secrets["token"] = token
    done = enroll_by(link, out=house.folder / "people" / "again")
    story.secrets["password of the PKCS#12 file"] = done.p12_password
    story.keep_key("private key", done.key)
    with pytest.raises(DoorwardError):
        enroll_by(link, out=house.folder / "people" / "twice")
    story.secrets["unused token"] = invite(
        house.services, name, lifetime=timedelta(hours=1), actor=ACTOR
    ).token
    house.identities[name] = Identity(chain=done.chain, key=done.key)
    return house.identities[name]


def _visit_enrolment(house: House, story: Story) -> None:
    """Knock at the enrolment door with tokens where they do and do not belong."""
    token = story.secrets["unused token"]
    context = house.context(None)
    for target, headers, body in (
        ("/v1/certificates", {"Authorization": f"Bearer {token}"}, b"no CSR"),
        ("/v1/certificates", {"Authorization": f"Bearer {token[::-1]}"}, b"no CSR"),
        (f"/v1/certificates/{token}", {}, b"x"),
        (f"/join?token={token}", {}, None),
        (f"/{token}", {"Cookie": token, "X-Token": token}, None),
    ):
        host = house.host("enroll")
        plain = socket.create_connection(("127.0.0.1", house.port), 5)
        with context.wrap_socket(plain, server_hostname=host) as secure:
            connection = http.client.HTTPConnection(host)
            connection.sock = secure
            connection.request(
                "POST" if body else "GET", target, body=body, headers={"Host": host, **headers}
            )
            connection.getresponse().read()
    story.secrets["reversed token"] = token[::-1]


def _be_refused(house: House) -> None:
    """Connect with a stranger's certificate, and with an unknown one."""
    stranger = toy_ca("Stranger").leaf("alice")
    (house.folder / "stranger.pem").write_bytes(stranger.pem)
    (house.folder / "stranger.key").write_bytes(stranger.key_pem)
    identity = Identity(chain=house.folder / "stranger.pem", key=house.folder / "stranger.key")
    for someone in (identity, None):
        with contextlib.suppress(OSError, ssl.SSLError):
            house.get(someone, f"/?token={QUERY}")
    status = house.installation.settings.status_listen
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"http://{status}/nothing?token={QUERY}", timeout=5)


def _answers(house: Doorway, identity: Identity) -> bool:
    try:
        return house.get(identity, "/x").status == 200
    except OSError:
        return False


def written(story: Story) -> dict[str, bytes]:
    """Return every file that the installation wrote and that is no key: logs, database, configuration.

    The database has the evidence in compressed blocks, so it is also there as text.
    """
    house = story.house
    files = [house.log, *(one for one in house.data.rglob("*") if one.is_file())]
    kept = [one for one in files if not {"keys"} & set(one.relative_to(house.folder).parts)]
    with house.installation.event_log.read() as store:
        size = store.tree_size()
        leaves = [one.leaf for one in store.leaves(0, size)]
        openings = [one.value.encode() for _, one in store.openings(0, size)]
    found = {str(one.relative_to(house.folder)): one.read_bytes() for one in kept}
    return {**found, "evidence as text": b"\n".join([*leaves, *openings])}


def test_the_story_left_its_traces(story: Story) -> None:
    """The searched files are those of the story: processes, Envoy and its accesses, the database."""
    files = written(story)
    assert len(story.secrets) >= 13, story.secrets.keys()
    for part in ("up.log", "doorward.db", "envoy.log", "access"):
        assert any(part in name for name in files), sorted(files)
    everything = b"".join(files.values())
    for word in (
        CANARY,
        "alice",
        "certificate:revoked",
        "envoy:died",
        "request:answered",
        "handshake:failed",
    ):
        assert word.encode() in everything, word
    assert re.search(rb'"level": ?"(debug|info)"|\bdebug\b', files["up.log"])


def test_no_file_holds_a_secret(story: Story) -> None:
    """No token, link, private key, passphrase, password, assertion, Authorization or cookie anywhere."""
    found = [
        (name, what)
        for name, content in written(story).items()
        for what, secret in story.secrets.items()
        if secret.encode() in content
    ]
    assert found == []


def test_no_file_holds_what_looks_like_one(story: Story) -> None:
    """No private key in PEM, no bearer token, no JWT in any log or record."""
    patterns = {
        "private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
        "bearer": rb"[Bb]earer [A-Za-z0-9_-]{16,}",
        "token": rb"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.",
    }
    for name, content in written(story).items():
        for what, pattern in patterns.items():
            assert not re.search(pattern, content), (name, what)


def test_the_search_finds_what_is_there(story: Story) -> None:
    """With a secret written into a log the search would say so: also across the database's pages."""
    files = written(story)
    files["up.log"] += story.secrets["token"].encode()
    assert any(story.secrets["token"].encode() in content for content in files.values())


def test_command_lines_and_environments_hold_none(story: Story) -> None:
    """Files that every user may read, and the files handed to Envoy, hold no secret."""
    assert len(story.processes) >= 4
    for pid, text in story.processes.items():
        assert not [what for what, secret in story.secrets.items() if secret in text], pid
    envoys = [text for text in story.processes.values() if "--log-path" in text]
    assert envoys
    assert set(re.findall(r"DOORWARD_\w+", "".join(envoys))) == {"DOORWARD_EPOCH"}  # the number of its run


def test_envoy_stays_quiet_when_the_rest_is_at_debug(story: Story, doors: CompiledDoors) -> None:
    """Envoy's own log at debug holds whole headers: it is at warning, with every setting of ours."""
    envoys = [text.split("\0") for text in story.processes.values() if "--log-path" in text]
    assert all(words[words.index("--log-level") + 1] == "warning" for words in envoys)
    headers = [("Authorization", f"Bearer {BEARER}"), ("Cookie", f"session={COOKIE}")]
    for flags, told in (({}, False), ({"drop_flags": [LEVEL], "more_flags": [LEVEL, "debug"]}, True)):
        with doors.open(**flags) as door:
            assert door.site.ask("GET", "/accounts/7", headers=headers).status == 200
            found = eventually(lambda log=door.envoy.log: BEARER in log.read_text(), 2.0 if told else 0.3)
            assert found is told


def test_files_are_private(story: Story) -> None:
    """Of all that is written others can reach settings, the public key, and that there is an installation."""
    house = story.house
    reached = {
        one.name
        for one in house.data.rglob("*")
        if not one.is_dir() and one.stat().st_mode & 0o077 and _passable(one.parent, house.data)
    }
    assert reached <= {"doorward.toml", "log.key", "founded"}
    assert not (house.folder / "passphrase").stat().st_mode & 0o077
    for key in house.data.rglob("*.key.pem"):
        assert not key.stat().st_mode & 0o077


def _passable(folder: Path, data: Path) -> bool:
    """Return whether another user gets into a folder, all folders above it included."""
    above = [one for one in (folder, *folder.parents) if one.is_relative_to(data)]
    return all(one.stat().st_mode & 0o011 for one in above)
