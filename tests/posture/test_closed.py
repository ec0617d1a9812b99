"""A closed application: no request of any kind passes, on connections from before and by every way round the rules.

The first requests show that each of them passes, or is answered by the door, while the application is open.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from doorward.access.policies import apply_document
from doorward.gateway.publishing.discovery.messages import ROUTES
from tests.support.attacks import H2Client
from tests.support.doorway import (
    ACTOR,
    DOMAIN,
    TIMEOUT_SECONDS,
    Doorway,
    Identity,
    Session,
    eventually,
    open_doorway,
    render_document,
)

RULES = """\
- {allow: {groups: [staff]}}
- {allow: {groups: [staff]}, to: {paths: [/vault/**]}, require: {factor: any}}
"""
SITE = "https://site.example"
FIELDS = {"public": '["/share/**"]', "cors": f'{{origins: ["{SITE}"]}}', "on_refusal": "page"}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
CALLS: list[tuple[str, str, dict[str, str]]] = [
    ("GET", "/", {}),
    ("POST", "/deep/er", {}),
    ("GET", "/share/x", {}),
    ("OPTIONS", "/", {"Origin": SITE, "Access-Control-Request-Method": "PUT"}),
    ("GET", "/_doorward/", {}),
    ("GET", "/vault/1", {}),
    ("GET", "/", {"Accept": "text/html"}),
    ("GET", "/live", UPGRADE),
]
"""After its answer, the connection of the last one belongs to a WebSocket."""


def document(door: Doorway, rules: str) -> str:
    """Return a document with `pay`, by which the tests come round the rules, and `app`."""
    return render_document(door.app("pay", rules, **FIELDS), door.app())


@contextmanager
def closing() -> Iterator[tuple[Doorway, Identity, Callable[[], None]]]:
    """Yield a door, a member of staff, and what closes `pay`."""
    refused = [False]

    def alter(resource: dict[str, Any]) -> dict[str, Any]:
        if refused[0] and resource.get("@type") == ROUTES and f"pay.{DOMAIN}" in str(resource):
            resource["virtual_hosts"][0]["domains"] *= 2
        return resource

    with open_doorway(alter=alter) as door:
        door.apply_document(document(door, RULES))

        def close() -> None:
            refused[0] = True
            text = document(door, f"{RULES}- {{allow: {{groups: [other]}}}}")
            apply_document(door.services, text, file="test.yaml", actor=ACTOR)
            assert eventually(
                lambda: "refused the configuration of pay" in " ".join(door.gateway.trouble()), 30
            )

        yield door, door.person("alice", "staff"), close


def answers(session: Session) -> list[int]:
    """Return the status of each call, on one connection."""
    return [session.request(method, path, headers=headers).status for method, path, headers in CALLS]


def h2_client(door: Doorway, stack: ExitStack, who: Identity) -> H2Client:
    """Open a connection to `pay` over HTTP/2."""
    context = door.context(who)
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", door.port), TIMEOUT_SECONDS)
    return H2Client(stack.enter_context(context.wrap_socket(plain, server_hostname=door.host("pay"))))


class TestClosed:
    """Attacks on an application that Envoy refuses."""

    def test_nothing_passes(self) -> None:
        """HTTP/1.1 and HTTP/2, with and without a certificate: public paths, preflights, upgrades, our own paths, pages."""
        with closing() as (door, alice, close), ExitStack() as stack:
            first, *old = [stack.enter_context(door.session(who, app="pay")) for who in (alice, alice, None)]
            second, host = h2_client(door, stack, alice), door.host("pay")
            assert answers(first) == [200, 200, 200, 204, 404, 200, 200, 101]
            assert [one.request("GET", "/share/x").status for one in old] == [200, 200]
            assert second.ask("/", authority=host).status == 200
            close()
            before = door.upstream.calls
            for one in old:
                assert set(answers(one)) == {503}
            for method, path, headers in CALLS[:-1]:
                lower = [(name.lower(), value) for name, value in headers.items()]
                assert second.ask(path, *lower, method=method, authority=host).status == 503, path
            for who in (alice, None):
                assert not door.lets_in(who, "/share/x", app="pay")
            assert door.upstream.calls == before
            assert door.lets_in(alice, app="app")
