"""What the measurements of a run share: how long they are, the peers (started when first asked for), and rounds in turn."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench import envoys, peers, seeding
from bench.installation import Door, fresh
from bench.load import send, write_requests
from bench.machine import CACHE, MEASURED, REST, core_times, cpu_seconds, family
from bench.peers import HOST, Peer, PeerSite
from bench.rows import Row, compare_rates, single

_LEAVES = {"new": 2, "keep": 1, "plain": 0}
"""How many events one of them makes: the decision about a connection, and the line of a request."""

WARM_UP = 0.2
_BY_THE_CLOCK = {"ms", "s", "s to the last one", "a second"}
MOST_FOREIGN = 0.1
"""If others use more of the measured core, times by the clock say little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One measurement of one side.

    Args:
        rate: how many a second, everything that was left to do included.
        cpu_us: microseconds of CPU for each.
        edge_us: of ours, the part of Envoy; of a peer, the same as `cpu_us`.
        foreign: the share of the measured core that other programs used meanwhile.
        generator: the share of its core that the generator used.
        rest: the share of that core that everything on it used, the application included.
        latency_us: percentiles.
        by_thread: of ours, the microseconds of CPU for each, by process and thread.
    """

    rate: float
    cpu_us: float
    edge_us: float
    foreign: float
    generator: float = 0.0
    rest: float = 0.0
    latency_us: Mapping[str, float] = field(default_factory=dict)
    by_thread: Mapping[str, float] = field(default_factory=dict)


Measurement = Callable[[float], Round]
"""Measures one side once, with this share of its work."""


@dataclass
class Scene:
    """One run of the bench.

    Args:
        quick: a fifth of the work, for five minutes in all.
        folder: for everything that the peers write.
    """

    quick: bool
    folder: Path
    _stack: ExitStack
    _door: ExitStack = field(default_factory=ExitStack)
    _doors: dict[str, Door] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """How often each side is measured."""
        return 3 if self.quick else 5

    def count(self, number: int) -> int:
        """Return how many to send: this number, or a fifth of it in a quick run.

        Ours ends with a third of a second in which the core has little to do: Envoy writes its last lines, and they become leaves.
        A whole run is so long that this is some 4 % of it. In a quick run it is a fifth, and the CPU in the notes says more.
        """
        return number // 5 if self.quick else number

    @cached_property
    def application_port(self) -> int:
        """Where the application behind every door listens."""
        return self._stack.enter_context(peers.application(self.folder))

    def few(self) -> Door:
        """Return a running installation with 2 certificates; one with a million is stopped before."""
        return self._only("few", lambda: fresh(self.application_port, 2))

    def million(self) -> Door:
        """Return the running installation with 1,000,000 certificates; another one is stopped before."""
        return self._only("million", lambda: seeding.opened_million(self.application_port))

    def _only(self, kind: str, opening: Callable[[], AbstractContextManager[Door]]) -> Door:
        """Only one installation runs at a time: an idle one uses the measured core too."""
        if kind not in self._doors:
            self.close_door()
            self._doors[kind] = self._door.enter_context(opening())
        return self._doors[kind]

    def close_door(self) -> None:
        """Stop the installation that runs, if one does."""
        self._doors.clear()
        self._door.close()

    @cached_property
    def site(self) -> PeerSite:
        """Certificates of the peers."""
        place = self.folder / "site"
        place.mkdir()
        return PeerSite(place, self.application_port)

    @cached_property
    def requests(self) -> Path:
        """The request that the peers get."""
        return write_requests(self.folder / "requests", [envoys.build_request(HOST)])

    @cached_property
    def nginx(self) -> Peer:
        """The nginx with `ssl_verify_client on`."""
        return self.enter(peers.nginx(self.folder, self.site, self.requests))

    @cached_property
    def nginx_with_crl(self) -> Peer:
        """The same nginx with a CRL of a million entries."""
        crl = seeding.write_peer_crls(self.site)
        return self.enter(peers.nginx(self.folder, self.site, self.requests, crl=crl))

    @cached_property
    def haproxy(self) -> Peer:
        """The HAProxy with `verify required`."""
        return self.enter(peers.haproxy(self.folder, self.site, self.requests))

    @cached_property
    def bare(self) -> Peer:
        """The Envoy with nothing of ours."""
        return self.enter(envoys.bare_envoy(self.folder / "bare", self.application_port))

    @cached_property
    def asking(self) -> Peer:
        """The nginx that asks a judge in Python by `auth_request`."""
        return self.enter(peers.nginx_asking(self.folder, self.site, self.requests, python=True))

    @cached_property
    def asking_itself(self) -> Peer:
        """The nginx that asks itself by `auth_request`, and always gets a yes."""
        return self.enter(peers.nginx_asking(self.folder, self.site, self.requests, python=False))

    def enter(self, peer: AbstractContextManager[Peer]) -> Peer:
        """Start a peer that runs until the end of the bench."""
        return self._stack.enter_context(peer)


@contextmanager
def open_scene(*, quick: bool) -> Iterator[Scene]:
    """Make the folder of a run; end the peers and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="peers-", dir=CACHE))
    folder.chmod(0o711)
    try:
        with ExitStack() as stack:
            scene = Scene(quick, folder, stack)
            stack.callback(scene.close_door)
            yield scene
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def of_peer(peer: Peer, mode: str, connections: int, most: int) -> Measurement:
    """Return the measurement of a peer, with so many connections or requests."""

    def measure(share: float) -> Round:
        count = int(most * share)
        pids = family(*peer.pids)
        before = 0.0

        def begin() -> None:
            nonlocal before
            before = cpu_seconds(pids)

        with busy_on(REST) as rest, busy_on(MEASURED) as core:
            loaded = send(peer.target, mode, connections, count, ready=begin)
        used = (cpu_seconds(pids) - before) / count * 1e6
        return Round(
            rate=count / loaded.seconds,
            cpu_us=used,
            edge_us=used,
            foreign=core.share(less=used * count / 1e6),
            generator=loaded.share,
            rest=rest.share(),
            latency_us=loaded.latency_us,
        )

    return measure


def of_door(door: Door, mode: str, connections: int, most: int) -> Measurement:
    """Return the measurement of ours: it ends when nothing is left to record."""

    def measure(share: float) -> Round:
        count = int(most * share)
        with busy_on(REST) as rest, busy_on(MEASURED) as core:
            done = door.send(mode, connections, count, leaves_each=_LEAVES[mode])
        count -= done.loaded.lacking  # they took time and are no work done
        return Round(
            rate=count / done.seconds,
            cpu_us=done.cpu_seconds / count * 1e6,
            edge_us=done.envoy_seconds / count * 1e6,
            foreign=core.share(less=done.cpu_seconds),
            generator=done.loaded.share,
            rest=rest.share(),
            latency_us=done.loaded.latency_us,
            by_thread={name: seconds / count * 1e6 for name, seconds in done.by_thread.items()},
        )

    return measure


def in_turn(sides: Mapping[str, Measurement], rounds: int) -> dict[str, list[Round]]:
    """Warm every side up with a fifth of the work, which is not counted; then measure all of them in turn."""
    found: dict[str, list[Round]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, measure in sides.items():
            one = measure(1.0 if number else WARM_UP)
            if number:
                found[name].append(one)
    return found


def compare(
    name: str, ours: list[Round], peer: list[Round], *, notes: tuple[str, ...] = (), **more: Any
) -> Row:
    """Return the row of two sides that were measured in turn.

    The rates are those by the clock, if the measured core was ours. If other programs used it too, they are by CPU time,
    which those do not change, and a note says so.
    """
    rates, disturbed = choose_rates(ours, peer)
    return compare_rates(
        name,
        *rates,
        unit="a second of CPU" if disturbed else "a second",
        notes=(*([disturbed] if disturbed else []), describe_cpu(ours, peer), *notes),
        **more,
    )


def by_edge(name: str, ours: list[Round], peer: list[Round], **more: Any) -> Row:
    """Return the row that counts of ours the CPU of Envoy alone: what a core gives to Envoy if the rest has another one."""
    costs = [one.edge_us for one in ours], [one.cpu_us for one in peer]
    return compare_rates(name, *costs, inverse=True, unit="µs of CPU", **more)


def alone(name: str, ours: list[Round], *, notes: tuple[str, ...] = (), **more: Any) -> Row:
    """Return the row of a rate without a peer; by CPU time if other programs used the core too."""
    (rates, _), disturbed = choose_rates(ours, ours)
    unit = "a second of CPU" if disturbed else "a second"
    return single(name, rates, unit=unit, notes=(*([disturbed] if disturbed else []), *notes), **more)


def choose_rates(ours: list[Round], peer: list[Round]) -> tuple[tuple[list[float], list[float]], str]:
    """Return the rates of both sides, and a sentence if they are by CPU time."""
    foreign = max(_median(ours, "foreign"), _median(peer, "foreign"))
    if foreign <= MOST_FOREIGN:
        return ([one.rate for one in ours], [one.rate for one in peer]), ""
    by_cpu = [1e6 / one.cpu_us for one in ours], [1e6 / one.cpu_us for one in peer]
    return by_cpu, f"Other programs used {foreign:.0%} of the measured core, so this is by CPU time."


def mark_disturbed(row: Row, foreign: float) -> Row:
    """Return a row with a note if other programs used that share of both cores while it was measured.

    A row that is not by the clock is returned as it is.
    """
    if foreign <= MOST_FOREIGN or row.unit not in _BY_THE_CLOCK or "CPU" in row.name:
        return row
    note = f"Other programs used {foreign:.0%} of both cores meanwhile, and times by the clock are longer by that."
    return replace(row, notes=(note, *row.notes))


def describe_cpu(ours: list[Round], peer: list[Round]) -> str:
    """Return a sentence with the CPU for each, and how busy the other core was at most."""
    mine, other = _median(ours, "cpu_us"), _median(peer, "cpu_us")
    busiest = max(one.generator for one in (*ours, *peer))
    rest = max(one.rest for one in (*ours, *peer))
    return (
        f"CPU for each: ours {mine:.0f} µs (Envoy {_median(ours, 'edge_us'):.0f}), peer {other:.0f} µs: "
        f"{other / mine:.2f} x by CPU. The generator used {busiest:.0%} of its core at most, everything on that core {rest:.0%}."
    )


def profile(rounds: list[Round], most: int = 8) -> str:
    """Return a sentence with the threads that used most CPU, in microseconds for each."""
    total: Counter[str] = Counter()
    for one in rounds:
        for name, value in one.by_thread.items():
            total[name] += value / len(rounds)  # type: ignore[assignment]  # the stubs want int
    threads = ", ".join(f"{name} {value:.0f}" for name, value in total.most_common(most))
    return f"CPU by thread, µs for each: {threads}."


def _median(rounds: list[Round], name: str) -> float:
    values = sorted(float(getattr(one, name)) for one in rounds)
    return values[len(values) // 2]


class Busy:
    """How busy a core was in a block."""

    def __init__(self) -> None:
        self.busy = 0.0
        self.whole = 0.0

    def share(self, *, less: float = 0.0) -> float:
        """Return the busy share without some seconds of CPU that are accounted for."""
        return max(0.0, self.busy - less) / max(self.whole, 0.01)


@contextmanager
def busy_on(core: int) -> Iterator[Busy]:
    """Yield what says, after the block, how busy a core was in it."""
    found = Busy()
    busy, whole = core_times(core)
    yield found
    busy_then, whole_then = core_times(core)
    found.busy, found.whole = busy_then - busy, whole_then - whole
