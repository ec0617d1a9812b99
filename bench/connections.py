"""New connections with judgement and policy: each one a full handshake with a client certificate, and one request.

64 at once. Everything that judges, enforces and records runs on one core; ours is counted until every connection and request
is a leaf of the record. Against nginx with `ssl_verify_client on` (no revocation, no policy), the same with a CRL of a million entries,
HAProxy, and a bare Envoy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench import seeding
from bench.installation import Door
from bench.peers import Peer, haproxy_name
from bench.rows import Goal, Row
from bench.scene import Round, Scene, by_edge, compare, in_turn, of_door, of_peer, profile

AT_ONCE = 64
COUNT = 10_000
CRL_AT_ONCE, CRL_COUNT = 4, 40
"""nginx verifies the signature of the whole CRL for each connection: some ten connections a second."""

AS_NGINX = Goal(number=1.0)
ALONE = Goal(number=1.2)
AS_NGINX_WITH_CRL = Goal(number=80.0)


def measure(scene: Scene) -> Iterator[Row]:
    """Yield the rows with few certificates, then those with a million."""
    yield from _rows(scene, scene.few(), "2 certificates", {})
    reason = seeding.missing(quick=scene.quick)
    if reason:
        for name in ("one core", "one core, against a CRL of 1,000,000 entries"):
            yield Row(name=f"new connections, 1,000,000 certificates, {name}", missing=reason)
        return
    yield from _rows(scene, scene.million(), "1,000,000 certificates", {"crl": scene.nginx_with_crl})


def _rows(scene: Scene, door: Door, known: str, more: Mapping[str, Peer]) -> Iterator[Row]:
    count = scene.count(COUNT)
    sides = {
        "ours": of_door(door, "new", AT_ONCE, count),
        "nginx": of_peer(scene.nginx, "new", AT_ONCE, count),
        "bare": of_peer(scene.bare, "new", AT_ONCE, count),
    }
    if haproxy_name():
        sides["haproxy"] = of_peer(scene.haproxy, "new", AT_ONCE, count)
    if "crl" in more:
        sides["crl"] = of_peer(more["crl"], "new", CRL_AT_ONCE, scene.count(CRL_COUNT * 5))
    found = in_turn(sides, scene.rounds)
    ours = found["ours"]
    title = f"new connections, {known}"
    nginx = scene.nginx.name
    yield compare(
        f"{title}, one core",
        ours,
        found["nginx"],
        peer_name=nginx,
        goal=AS_NGINX,
        notes=(profile(ours), _latency(ours)),
    )
    yield by_edge(f"{title}, CPU of Envoy alone", ours, found["nginx"], peer_name=nginx, goal=ALONE)
    if "crl" in found:
        yield compare(
            f"{title}, one core, against a CRL of 1,000,000 entries",
            ours,
            found["crl"],
            peer_name=f"{nginx} with ssl_crl",
            goal=AS_NGINX_WITH_CRL,
            notes=(f"The peer has {CRL_AT_ONCE} connections at once: it verifies the whole CRL for each.",),
        )
    yield compare(f"{title}, one core, against bare Envoy", ours, found["bare"], peer_name=scene.bare.name)
    if "haproxy" in found:
        yield compare(f"{title}, one core, against HAProxy", ours, found["haproxy"], peer_name=haproxy_name())


def _latency(rounds: list[Round]) -> str:
    last = rounds[-1].latency_us
    return f"From connect to answer with {AT_ONCE} at once: median {last['p50'] / 1e3:.0f} ms, p99 {last['p99'] / 1e3:.0f} ms."
