"""Ours, as it is run: the processes of `doorward up` on the measured core, with its data on the disk of the checkout.

Everything runs as in production: the access log, its ingestion, sequencing, checkpoints, all jobs of `serve`. A run ends when nothing is left
to do: every answer's line is a leaf of the tree, and a checkpoint covers it (`Door.send`). Only the limits of one client are lifted
(requests and connections of one certificate), because one machine stands for all of them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.envoys import build_request
from bench.load import Loaded, LoadFailed, Target, send, write_requests
from bench.machine import CACHE, MEASURED, ROOT, cpu_by_thread, family, on_core
from doorward.access.policies import apply_document
from doorward.authority.issuing import OperatorClaim, issue
from doorward.core.entities import PrincipalKind
from doorward.directory.principals import add_principal
from doorward.enforcement.plan import GatewayLimits
from doorward.pki.csr import build_csr
from doorward.runtime.compose import Installation
from doorward.runtime.initialise import initialise
from doorward.runtime.privileges import most_open_files
from doorward.runtime.settings import Settings
from doorward.runtime.world import SystemRandom
from tests.support.doorway import ACTOR, DOMAIN, parts_of, settings_in
from tests.support.house import House
from tests.support.upstream import Upstream, running_upstream

HOST = f"app.{DOMAIN}"
RULES = 100
START_SECONDS = 300.0
CATCH_UP_SECONDS = 120.0
LIFTED = {
    "max_connections": 200_000,
    "max_connections_per_source": 200_000,
    "max_connections_per_principal": 100_000,
    "max_requests_per_certificate": 40_000,
}
_LOOK_SECONDS = 0.01
_SPARE = 200
"""Connections of the application beside those of the load."""


def most_connected() -> int:
    """Return how many clients may stay connected to one application with `LIFTED` limits: the machine's open files bound it."""
    limits = GatewayLimits(connections=LIFTED["max_connections"], open_files=most_open_files())
    return limits.connections_per_door - _SPARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A run with everything that it left to do.

    Args:
        loaded: what the generator counted.
        seconds: of the load, and from its end until every line was a leaf.
        cpu_seconds: of all our processes, until the checkpoint.
        by_thread: the same by process and thread.
    """

    loaded: Loaded
    seconds: float
    cpu_seconds: float
    by_thread: Counter[str]

    @property
    def envoy_seconds(self) -> float:
        """The part of Envoy."""
        return sum(one for name, one in self.by_thread.items() if name.startswith("envoy"))


@dataclass(slots=True, kw_only=True)
class Door:
    """A running installation, and the load that it gets."""

    house: House
    target: Target
    opened_after: float = 0.0
    """Seconds from the start of `up` until it let a client in; 0 if that was not waited for."""

    def processes(self) -> dict[str, set[int]]:
        """Return our processes by part."""
        assert self.house.parent is not None
        parts = {name: {self.house.pid(name)} for name in ("serve", "gateway", "envoy")}
        rest = family(self.house.parent.pid) - set().union(*parts.values())
        return {**parts, "up": rest}

    def send(self, mode: str, connections: int, count: int, *, leaves_each: int = 1) -> Finished:
        """Send load, and return when nothing is left to do.

        Args:
            mode: as `bench.load.send`.
            connections: as there.
            count: as there.
            leaves_each: how many events one of them makes at least.
        """
        pids = self.processes()
        size, before = self._size(), Counter[str]()
        opened = size + 2 * connections if mode == "keep" else size

        def begin() -> None:
            nonlocal size, before
            self._await(
                lambda: self._size() >= opened and self._is_idle(), "the installation did not come to rest"
            )
            size, before = self._size(), cpu_by_thread(pids)

        loaded = send(self.target, mode, connections, count, ready=begin)
        ended = time.monotonic()
        self._await(
            lambda: self._size() >= size + count * leaves_each and self._is_idle(),
            f"the record did not catch up with {count} x {leaves_each} events",
        )
        seconds = loaded.seconds + time.monotonic() - ended
        reached = self._size()
        self._await(lambda: self._signed() >= reached, "no checkpoint covers the leaves")
        used = cpu_by_thread(pids)
        used.subtract(before)
        return Finished(loaded=loaded, seconds=seconds, cpu_seconds=sum(used.values()), by_thread=used)

    def _await(self, done: Callable[[], bool], what: str) -> None:
        limit = time.monotonic() + CATCH_UP_SECONDS
        while not done():
            if time.monotonic() > limit:
                raise LoadFailed(f"{what}; {self.house.words()}")
            time.sleep(_LOOK_SECONDS)

    def _size(self) -> int:
        with self.house.installation.event_log.read() as store:
            return store.tree_size()

    def _signed(self) -> int:
        with self.house.installation.event_log.read() as store:
            text = store.latest_checkpoint()
        return int(text.splitlines()[1]) if text else 0

    def _is_idle(self) -> bool:
        return not self.house.waiting()


APART = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
"""Starts a program in a network of its own: no other program reaches it, and connections of other programs do not wake it."""


@contextmanager
def opened(
    installation: Installation,
    identities: Sequence[tuple[Path, Path]],
    *,
    is_open: bool = True,
    is_apart: bool = False,
) -> Iterator[Door]:
    """Run `doorward up` on an installation until the end of the block.

    Args:
        installation: with its keys at hand.
        identities: files of chain and key of the clients.
        is_open: whether to wait until the door lets a client in without a session.
        is_apart: whether it runs in a network of its own, if this user may make one.
    """
    with (
        running_upstream() as upstream
    ):  # for the withdrawals; the application of the load is another process
        prefix = APART if is_apart and os.geteuid() == 0 else ()
        yield from _opened(installation, identities, upstream, prefix, is_open=is_open)


def _opened(
    installation: Installation,
    identities: Sequence[tuple[Path, Path]],
    upstream: Upstream,
    prefix: tuple[str, ...],
    *,
    is_open: bool,
) -> Iterator[Door]:
    folder = installation.layout.data.parent
    house = House(
        **parts_of(installation, upstream),
        gateway=None,  # type: ignore[arg-type]
        data=installation.layout.data,
        prefix=prefix,
        environment={
            "DOORWARD_GATEWAY_WORKERS": "1",
            "PYTHONPATH": f"{ROOT / 'bench' / 'thread_names'}:{ROOT / 'src'}",
        },
        log=folder / "up.log",
    )
    requests = write_requests(folder / "requests", [build_request(HOST)])
    door = Door(
        house=house, target=Target(port=house.port, name=HOST, requests=requests, identities=identities)
    )
    try:
        began = time.monotonic()
        with on_core(MEASURED):
            house.start(seconds=START_SECONDS)
        if is_open:
            _await_open(door)
            door.opened_after = time.monotonic() - began
        yield door
    finally:
        if house.parent is not None:
            house.stop()


def _await_open(door: Door) -> None:
    """Wait until the door lets a client in."""
    limit = time.monotonic() + START_SECONDS
    while True:
        try:
            send(door.target, "new", 1, 1)
        except LoadFailed:
            if time.monotonic() > limit:
                raise
            time.sleep(0.2)
        else:
            return


@contextmanager
def fresh(
    application_port: int, clients: int, *, asks: bool = False, is_apart: bool = False
) -> Iterator[Door]:
    """Found an installation for this run, run it (`is_apart` as for `opened`), and remove it at the end."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="i-", dir=CACHE))
    try:
        installation, identities = found(folder, application_port, clients)
        with closing(installation):
            if asks:
                document = build_document(application_port, asks=True)
                apply_document(installation.services, document, file="bench.yaml", actor=ACTOR)
            is_open = not (asks or is_apart)
            with opened(installation, identities, is_open=is_open, is_apart=is_apart) as door:
                yield door
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def found(folder: Path, application_port: int, clients: int) -> tuple[Installation, list[tuple[Path, Path]]]:
    """Found an installation with 100 rules, and issue certificates for so many people.

    Args:
        folder: on a disk; the data are in `data` below it.
        application_port: where the application listens, on loopback.
        clients: how many people with one certificate each there are.

    Returns:
        The installation with its keys at hand, and the files of chain and key of each client.
    """
    folder.chmod(0o711)  # as root, the running parts become a user who must pass
    made = initialise(settings_in(folder, **LIFTED), SystemRandom(), actor=ACTOR).settings
    _write_limits(made)
    installation = Installation(made)
    installation.unlock()
    apply_document(installation.services, build_document(application_port), file="bench.yaml", actor=ACTOR)
    people = folder / "people"
    people.mkdir()
    return installation, [_client(installation, people, number) for number in range(clients)]


def build_document(application_port: int, *, asks: bool = False) -> str:
    """Return the policy: 100 rules, 20 of them on the route of the request; the one that allows it may require a factor."""
    require = ", require: {factor: webauthn, within: 30m}" if asks else ""
    rules = "".join(
        f"      - {{name: rule {number}, allow: {{groups: [group{number}]}}, to: {{methods: [GET, HEAD], "
        f'paths: ["/app{number // 20}/s{number}/**"]}}{require if number == 19 else ""}}}\n'
        for number in range(RULES)
    )
    return (
        f"trust_domain: {DOMAIN}\napps:\n  app:\n    hosts: [{HOST}]\n"
        f"    upstream: http://127.0.0.1:{application_port}\n    rules:\n{rules}"
    )


def _write_limits(settings: Settings) -> None:
    """`init` writes only some settings; the processes read the others from the file too."""
    file = settings.data / "doorward.toml"
    file.write_text(file.read_text() + "".join(f"{name} = {value}\n" for name, value in LIFTED.items()))


def _client(installation: Installation, folder: Path, number: int) -> tuple[Path, Path]:
    name = f"client-{number}"
    groups = [f"group{one}" for one in range(20)]
    person = add_principal(
        installation.services, PrincipalKind.PERSON, name, groups=groups, actor=ACTOR
    ).value
    key = ec.generate_private_key(ec.SECP256R1())
    claim = OperatorClaim(actor=ACTOR, holder=person.id, name=person.name)
    issued = issue(installation.services, build_csr(key, name), claim)
    chain, secret = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_bytes(
        b"".join(x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in issued.chain_der)
    )
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return chain, secret
