"""A compiled door: configuration only, in front of an upstream, with an authorizer that says what a test tells it.

    with standing_door(folder) as door: ...            # as compiled, before an upstream that echoes
    with open_door(site, *edits) as door: ...          # of a site that the test made, altered as told
    with doors.open(*edits) as door: ...               # one of many of the same certificates (posture)

Everything is real (TLS, Envoy, HTTP) except the authorizer.
"""

from __future__ import annotations

import copy
import itertools
import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doorward.demo.ports import free_port
from doorward.enforcement.envoy.bootstrap import build_bootstrap
from doorward.enforcement.plan import GatewayPaths
from doorward.policy.model import Rule
from tests.support.attacks import Edit, H2Client, altered, exchange, statuses
from tests.support.door_site import APPS, CLEARED, TELLER, DoorSite, echo_upstream
from tests.support.envoy_process import (
    RunningEnvoy,
    ToyAuthorizer,
    facts_of,
    launched_envoy,
)
from tests.support.offering import Oddity, Offering
from tests.support.resources import Resources


@dataclass
class CompiledDoor:
    """A running door, who it asks, and its processes."""

    site: DoorSite
    authorizer: ToyAuthorizer
    envoy: RunningEnvoy
    resources: Resources
    offering: Offering

    def connect(
        self, host: str = "pay.test", certificate: str | None = "p256", *, h2: bool = False
    ) -> ssl.SSLSocket:
        """Open a connection; the caller closes it."""
        context = self.site.tls(certificate)
        context.set_alpn_protocols(["h2"] if h2 else ["http/1.1"])
        return self.site.connect(host, context=context)

    def ask(
        self,
        path: str,
        *headers: tuple[str, str],
        method: str = "GET",
        host: str = "pay.test",
        sni: str = "",
        certificate: str | None = "p256",
        body: bytes = b"",
        h2: bool = False,
    ) -> int:
        """Send one request as it is, on a connection of its own; return its status, 0 for an end without one."""
        with self.connect(sni or host, certificate, h2=h2) as connection:
            if h2:
                lower = [(name.lower(), value) for name, value in headers]
                heard = H2Client(connection).ask(path, *lower, method=method, authority=host, body=body)
                return heard.status
            sent = [("Host", host), *headers, *([("Content-Length", str(len(body)))] if body else [])]
            lines = "".join(f"{name}: {value}\r\n" for name, value in sent)
            head = f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
            return (statuses(exchange(connection, head + body, answers=1)) or [0])[0]


Kept = Callable[..., CompiledDoor]
"""Opens doors that stay while they are used; the same arguments give the same door."""


@contextmanager
def open_door(
    site: DoorSite,
    *edits: Edit,
    apps: Mapping[str, Sequence[Rule]] = APPS,
    resources: Resources | None = None,
    authorizer: ToyAuthorizer | None = None,
    serve: bool = True,
    whole: bool = True,
    odd: Oddity = lambda packed: packed,
    run: Mapping[str, Any] | None = None,
    **options: Any,
) -> Iterator[CompiledDoor]:
    """Open a door over compiled resources, altered as told.

    Args:
        site: of the certificates and the upstream.
        edits: what is taken out.
        apps: the policy.
        resources: in the place of those that are compiled of the policy.
        authorizer: who answers; by default one that admits a teller.
        serve: whether the authorizer listens at all.
        odd: makes of each packed resource what is offered in its place.
        whole: whether Envoy must have taken every resource that it asked for.
        run: arguments of `launched`.
        options: of `DoorSite.plan`.
    """
    used = authorizer or ToyAuthorizer(facts_of(TELLER, CLEARED))
    compiled = altered(resources or site.resources(apps, **options), *edits)
    with ExitStack() as stack:
        offering = stack.enter_context(Offering(Path(site.paths.discovery_socket)).serving(compiled, odd))
        if serve:
            stack.enter_context(used.serving(site.folder / "authz.sock"))
        envoy = stack.enter_context(launched(compiled, site, **(run or {})))
        assert not whole or not offering.refusals(), envoy.log.read_text()
        yield CompiledDoor(site, used, envoy, compiled, offering)


@contextmanager
def launched(
    resources: Resources,
    site: DoorSite,
    *,
    bootstrap: Sequence[Edit] = (),
    drop_flags: Sequence[str] = (),
    more_flags: Sequence[str] = (),
) -> Iterator[RunningEnvoy]:
    """Run Envoy for an offering that is there already; `bootstrap` are edits of the bootstrap."""
    path = write_bootstrap(resources, site, *bootstrap)
    with launched_envoy(path, site.folder, drop_flags=drop_flags, more_flags=more_flags) as envoy:
        yield envoy


def write_bootstrap(resources: Resources, site: DoorSite, *edits: Edit) -> Path:
    """Write the bootstrap of a run, altered as told."""
    socket = str(site.folder / "admin.sock")
    config = build_bootstrap(resources.base, node="test", admin_socket=socket)
    for edit in edits:
        edit.apply(config)
    path = site.folder / "bootstrap.json"
    path.write_text(json.dumps(config))
    return path


@contextmanager
def standing_door(
    folder: Path, apps: Mapping[str, Sequence[Rule]] = APPS, **options: Any
) -> Iterator[CompiledDoor]:
    """Open a door as compiled in front of an upstream that echoes, as long as the block runs."""
    with echo_upstream() as port, open_door(DoorSite(folder, port), apps=apps, **options) as door:
        yield door


@dataclass
class CompiledDoors:
    """One site of authorities, certificates and an upstream, in front of which many doors are opened."""

    site: DoorSite
    folder: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def open(
        self,
        *edits: Edit,
        drop_flags: Sequence[str] = (),
        more_flags: Sequence[str] = (),
        bootstrap: Sequence[Edit] = (),
        port: int = 0,
        **options: Any,
    ) -> Iterator[CompiledDoor]:
        """Open a door of its own folder; as `open_door` and `launched`, and `port` 0 takes a free one."""
        site = self.twin()
        site.port = port or site.port
        run = {"drop_flags": drop_flags, "more_flags": more_flags, "bootstrap": bootstrap}
        with open_door(site, *edits, run=run, **options) as door:
            yield door

    def twin(self) -> DoorSite:
        """Return a site of the same certificates with a folder and a port of its own."""
        site = copy.copy(self.site)
        site.folder = self.folder / f"d{next(self._numbers)}"
        site.folder.mkdir(mode=0o700)  # as the gateway has it: its sockets are for its own user
        for one in (*self.site.folder.glob("*.pem"), *self.site.folder.glob("*.key")):
            (site.folder / one.name).symlink_to(one)
        site.port = free_port()
        site.paths = GatewayPaths(
            authorizer_socket=str(site.folder / "authz.sock"),
            discovery_socket=str(site.folder / "ads" / "s"),
            log_file=str(site.folder / "access.log"),
        )
        return site
