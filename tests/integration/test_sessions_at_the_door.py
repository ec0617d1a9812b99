"""Sessions at a compiled door: keys change under live connections, streams end, and our own surface is reached."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from doorward.core.factor_kinds import FactorKind
from doorward.enforcement.envoy.names import SESSION_FILTER
from doorward.enforcement.envoy.sessions import build_session_extension
from doorward.policy.requirements import Requirement
from tests.support.attacks import has_ended
from tests.support.compiled_door import CompiledDoor, standing_door
from tests.support.door_site import APPS, CLEARED, TELLER, allow, echo_surface, id_of
from tests.support.doorway import eventually, short_folder
from tests.support.envoy_process import facts_of
from tests.support.session_tokens import Mint, cookie, fingerprint

FRESH = Requirement(factor=FactorKind.WEBAUTHN, within=timedelta(minutes=5))
VAULT = allow("fresh passkey", "tellers", "/vault/**", require=[FRESH])
RULES = {**APPS, "pay": (*APPS["pay"], VAULT)}
FACTS = facts_of(TELLER, CLEARED, id_of("pay", VAULT))
LIFETIME = timedelta(seconds=3)
MINT = Mint()
UPGRADE = "GET {path} HTTP/1.1\r\nHost: pay.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{cookie}\r\n"


@pytest.fixture(scope="module")
def door() -> Iterator[CompiledDoor]:
    """A door of two applications with sessions of three seconds, and a surface of our own."""
    with short_folder() as folder, echo_surface(folder / "sessions.sock"):
        sessions = MINT.plan(folder, lifetime=LIFETIME)
        with standing_door(folder, RULES, sessions=sessions) as one:
            one.authorizer.facts = FACTS
            yield one


def token_of(door: CompiledDoor, **more: object) -> str:
    """Return a good token of the site's certificate."""
    return MINT.token(fingerprint(door.site.folder, "p256"), webauthn=10, **more)  # type: ignore[arg-type]


def put_keys(door: CompiledDoor, folder: Path, *keys: ec.EllipticCurvePrivateKey) -> None:
    """Publish other keys as the publisher does, and wait until they are in force."""
    plan = door.site.plan(RULES, sessions=MINT.plan(folder, keys=keys))
    extension = build_session_extension(plan)
    assert extension is not None
    before = statistic(door, "config_reload")
    assert door.offering.put(extension) == {}
    assert eventually(lambda: statistic(door, "config_reload") > before)


def statistic(door: CompiledDoor, name: str) -> int:
    """Return one of the figures about the shared filter."""
    found = door.envoy.admin.statistics(f"http_filter.{SESSION_FILTER}.{name}$")
    return next(iter(found.values()))


def test_all_chains_share_one_subscription(door: CompiledDoor) -> None:
    """The filter came once, for two applications."""
    assert statistic(door, "config_reload") == 1


def test_a_rotation_ends_no_connection(door: CompiledDoor) -> None:
    """A newer key, then the older one removed: the same connection goes on, and only old tokens are over."""
    folder, newer = door.site.folder, ec.generate_private_key(ec.SECP256R1())
    old, new = token_of(door), token_of(door, key=newer)
    with door.site.connect("pay.test") as connection:

        def ask(token: str) -> int:
            return door.site.ask("GET", "/vault/1", headers=[cookie(token)], over=connection).status

        assert (ask(old), ask(new)) == (200, 401)
        put_keys(door, folder, newer, *MINT.keys)
        assert (ask(old), ask(new)) == (200, 200)
        put_keys(door, folder, newer)
        assert (ask(old), ask(new)) == (401, 200)
        put_keys(door, folder, *MINT.keys)
        assert (ask(old), ask(new)) == (200, 401)
    assert not door.envoy.admin.statistics("total_filter_chains_draining").get(
        "listener_manager.total_filter_chains_draining"
    )


def open_stream(door: CompiledDoor, path: str, *, token: str) -> ssl.SSLSocket:
    """Turn a connection into a stream that echoes."""
    stream = door.site.connect("pay.test")
    name, value = cookie(token)
    stream.sendall(UPGRADE.format(path=path, cookie=f"{name}: {value}\r\n").encode())
    assert b"101" in stream.recv(4096).split(b"\r\n", 1)[0]
    return stream


def test_a_stream_ends_with_the_session(door: CompiledDoor) -> None:
    """One on a route that asks for a factor; another one opened before it goes on."""
    token = token_of(door)
    with (
        open_stream(door, "/accounts/live", token=token) as free,
        open_stream(door, "/vault/live", token=token) as held,
    ):
        held.sendall(b"ping")
        assert held.recv(4) == b"ping"
        assert has_ended(held, 60)
        free.sendall(b"ping")
        assert free.recv(4) == b"ping"


class TestOwnSurface:
    """The callback and the sign-out on an application's host."""

    def test_it_hears_who_comes_and_where(self, door: CompiledDoor) -> None:
        """The identity of the connection, the application's id from the route, and our cookies."""
        said = [
            ("Doorward-Application", "app_other"),
            ("Doorward-Principal", "person/eve"),
            ("Cookie", "__Host-doorward-begin=1-2; a=1"),
        ]
        answer = door.site.ask("GET", "/_doorward/callback?code=x", headers=said)
        assert answer.status == 200
        assert answer.seen["path"] == "/_doorward/callback?code=x"
        heard = [(name, value) for name, value in answer.seen["headers"]]
        assert [value for name, value in heard if name == "doorward-application"] == ["app_pay"]
        assert [value for name, value in heard if name == "doorward-principal"] == ["person/alice"]
        assert [value for name, value in heard if name == "cookie"] == ["__Host-doorward-begin=1-2; a=1"]

    def test_signing_out_is_for_the_application_s_own_pages(self, door: CompiledDoor) -> None:
        """POST of its own origin; a page of another site is refused."""
        own = [("Origin", f"https://pay.test:{door.site.port}")]
        assert door.site.ask("POST", "/_doorward/sign-out", headers=own, body=b"x").status == 200
        strange = [("Origin", "https://evil.example")]
        assert door.site.ask("POST", "/_doorward/sign-out", headers=strange, body=b"x").status == 403

    def test_a_connection_that_was_not_judged_good_does_not_reach_it(self, door: CompiledDoor) -> None:
        """No identity, no way there."""
        door.authorizer.answers["app_pay"] = {**FACTS, "judged": "0"}
        try:
            assert door.site.ask("GET", "/_doorward/callback?code=x").status in {403, 404}
        finally:
            door.authorizer.answers.clear()

    def test_an_application_that_asks_for_no_factor_has_none(self, door: CompiledDoor) -> None:
        """404 on its host."""
        assert door.site.ask("GET", "/_doorward/callback?code=x", host="other.test").status == 404


def test_what_was_missing_is_in_the_log_without_the_query(door: CompiledDoor) -> None:
    """Neither the code nor the query of a redirect is written down."""
    headers = [("Sec-Fetch-Dest", "document")]
    answer = door.site.ask("GET", "/vault/x?secret=1", headers=headers)
    assert answer.status == 302
    door.site.ask("GET", "/_doorward/callback?code=secret")
    assert eventually(lambda: len([one for one in door.site.log_lines() if one.get("status") == 302]) > 0)
    assert "secret" not in json.dumps(door.site.log_lines())
