"""Requests on kept connections where a rule asks for a second factor, and each request has a bound session.

The same 100 rules, of which the one that allows the request asks for a passkey of the last half hour. Against a bare Envoy that gets the same
requests, with everything on one core and the record caught up; by the CPU of Envoy alone; and against nginx with `auth_request`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.envoys import bare_envoy, build_request
from bench.installation import HOST, Door, fresh
from bench.load import write_requests
from bench.peers import Peer
from bench.rows import Goal, Row
from bench.scene import Scene, by_edge, compare, in_turn, of_door, of_peer, profile
from doorward.directory.session_keys import current_session_key
from tests.support.doorway import DOMAIN
from tests.support.session_tokens import Mint, fingerprint

AT_ONCE = 64
COUNT = 100_000
AS_BARE = Goal(number=0.5)
AS_ASKING = Goal(number=2.0)


def measure(scene: Scene) -> Iterator[Row]:
    """Yield the rows."""
    count = scene.count(COUNT)
    scene.close_door()  # one installation at a time
    with _bare(scene) as bare, fresh(scene.application_port, 1, asks=True) as door:
        _bind(door)
        found = in_turn(
            {
                "ours": of_door(door, "keep", AT_ONCE, count),
                "bare": of_peer(bare, "keep", AT_ONCE, count),
                "asking": of_peer(scene.asking, "keep", AT_ONCE, count),
            },
            scene.rounds,
        )
    ours = found["ours"]
    name = f"bare {bare.name}"
    yield compare(
        "requests with a bound session, one core",
        ours,
        found["bare"],
        peer_name=name,
        goal=AS_BARE,
        notes=(profile(ours),),
    )
    yield by_edge("requests with a bound session, CPU of Envoy alone", ours, found["bare"], peer_name=name)
    yield compare(
        "requests with a bound session, against auth_request",
        ours,
        found["asking"],
        peer_name=f"{scene.asking.name} + auth_request, a judge in Python",
        goal=AS_ASKING,
    )


@contextmanager
def _bare(scene: Scene) -> Iterator[Peer]:
    with bare_envoy(scene.folder / "bare-asks", scene.application_port, asks=True) as peer:
        yield peer


def _bind(door: Door) -> None:
    """Let the requests have a session of the client, minted with the key of the installation."""
    services = door.house.services
    ((chain, _),) = door.target.identities
    with services.work.read() as stores:
        principal = stores.directory.by_name("client-0")
        application = stores.applications.list()[0].id
        assert principal is not None
        epoch = stores.epochs.of(principal.id, application)
    claims = {"iss": f"https://{DOMAIN}/portal", "aud": application, "epoch": epoch, "assertion": "a" * 700}
    mint = Mint([current_session_key(services)[1]])
    token = mint.token(fingerprint(chain.parent, chain.stem), webauthn=10, claims=claims)
    write_requests(door.target.requests, [build_request(HOST, token)])
