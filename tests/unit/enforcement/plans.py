"""Small plans for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from doorward.core.factor_kinds import FactorKind
from doorward.enforcement.plan import (
    DoorRule,
    GatewayPaths,
    GatewayPlan,
    HttpDoor,
    OpenDoor,
    OpenRoute,
    ServerCertificate,
    SessionPlan,
    SocketAddress,
    TcpDoor,
)
from doorward.enforcement.trust import DoorTrust
from doorward.policy.model import Effect, HttpUpstream, Residual, TcpUpstream, UnixUpstream, WebUpstream
from doorward.policy.paths import PathPattern
from doorward.policy.requirements import Requirement

PASSKEY = Requirement(factor=FactorKind.WEBAUTHN, within=timedelta(minutes=5))
UPSTREAM = HttpUpstream(host="127.0.0.1", port=9000)
PATHS = GatewayPaths(
    authorizer_socket="/run/dw/authz.sock", log_file="/run/dw/access.log", discovery_socket="/run/dw/xds.sock"
)
TRUST = DoorTrust(authorities=("A",))
CERTIFICATE = ServerCertificate(
    name="pay-1",
    chain_path="/run/dw/pay.pem",
    key_path="/run/dw/pay.key",
    hosts=("pay.test", "web.test", "www.test", "app.test"),
)


def door_rule(
    id_: str,
    *paths: str,
    effect: Effect = Effect.ALLOW,
    methods: Sequence[str] | None = None,
    aliases: Sequence[str] = (),
    require: Sequence[Requirement] = (),
) -> DoorRule:
    """One rule of a door; no paths are every path."""
    residual = Residual(
        methods=frozenset(methods) if methods else None,
        paths=tuple(PathPattern(one) for one in paths or ("/**",)),
        requirements=frozenset(require),
    )
    return DoorRule(id=id_, effect=effect, residual=residual, accepted=(id_, *aliases))


def door(
    *rules: DoorRule,
    id_: str = "app_pay",
    name: str = "pay",
    upstream: WebUpstream = UPSTREAM,
    **more: Any,
) -> HttpDoor:
    """One door; `more` are further fields of it."""
    return HttpDoor(
        id=id_,
        name=name,
        hosts=(f"{name}.test",),
        upstream=upstream,
        rules=rules,
        certificate=CERTIFICATE,
        **more,
    )


def tcp_door(**changed: Any) -> TcpDoor:
    """One door of TCP, with a grant and a clearance."""
    values: dict[str, Any] = {
        "id": "app_mqtt",
        "name": "mqtt",
        "hosts": ("app.test",),
        "upstream": TcpUpstream(host="127.0.0.1", port=1883),
        "rules": (door_rule("gsensor"), door_rule("clost", effect=Effect.DENY, aliases=("told",))),
        "certificate": CERTIFICATE,
        "alpn": ("mqtt", "x-mqtt"),
    }
    return TcpDoor(**{**values, **changed})


OPEN_DOOR = OpenDoor(
    id="doorward_enrol",
    name="enrolment",
    host="enroll.test",
    socket="/run/dw/enrol.sock",
    certificate=ServerCertificate(
        name="enrol-1", chain_path="/run/dw/e.pem", key_path="/run/dw/e.key", hosts=("enroll.test",)
    ),
    routes=(OpenRoute(method="POST", path="/enrol"), OpenRoute(method="GET", path="/i/{name}")),
    connections=2_000,
    body_bytes=32_768,
)


SESSION_KEY = (  # RFC 7515 appendix A.3
    '{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",'
    '"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","kid":"k1"}'
)
SESSIONS = SessionPlan(
    issuer="https://corp.example/portal",
    jwks=(SESSION_KEY,),
    portal_origin="https://portal.test:8443",
    sessions_socket="/run/dw/sessions.sock",
)


def small_plan(**changed: Any) -> GatewayPlan:
    """Two doors and the enrolment door."""
    first = door(
        door_rule("gread", "/accounts/**", methods=("GET", "HEAD")),
        door_rule("gsend", "/transfers", "/x/*/y", methods=("POST",), aliases=("told",)),
        door_rule("cclosed", "/accounts/secret/**", effect=Effect.DENY),
    )
    second = door(door_rule("gall"), id_="app_web", name="web", upstream=UnixUpstream(path="/run/web.sock"))
    values: dict[str, Any] = {
        "listen": (SocketAddress(host="127.0.0.1", port=8443),),
        "trust": ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",),
        "doors": (first, second),
        "open_doors": (OPEN_DOOR,),
        "paths": PATHS,
    }
    return GatewayPlan(**{**values, **changed})


def every(value: Any, key: str) -> Iterator[Any]:
    """Every value that stands under a key, however deep."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from every(inner, key)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from every(inner, key)
