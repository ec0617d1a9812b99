"""Every client reconnects at once after a restart: all are served, the rate does not collapse, newcomers are served first.

The door is killed as a whole, and CLIENTS connect again and again while it starts: each that is refused comes again after one
second, without the growing pauses of our agent. Meanwhile people who were not there open connections, too: a stampede that
waits must not keep them waiting until its end.

CLIENTS=50000 by default; 2,000 take about ten seconds. First who was served stays connected; there are as many clients then as
one application may have with the machine's limit of open files (`ulimit -Hn`). If there are more, all of them come in a second
case, from several generators; who was served leaves, and who is not connected within ten seconds tries again. If Envoy has no
place left, it closes further connections at once, and no client that got in meets an application that Envoy cannot reach.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from statistics import median

import pytest

from bench.installation import LIFTED, most_connected
from bench.load import Loaded, LoadFailed, Target, program, send, write_requests
from bench.peers import application
from doorward.runtime.privileges import most_open_files
from tests.support.doorway import DOMAIN, eventually, is_root, render_document
from tests.support.house import open_house
from tests.support.watching import NewConnections

CLIENTS = int(os.environ.get("CLIENTS", "50000"))
PEOPLE = 64
MOST_OF_A_GENERATOR = most_open_files() - 1_000
"""It needs a file for each client, and few besides."""

LEAST_END_RATE = 0.5
"""Of the second half of the clients, as a share of the rate of the first half."""

MOST_NEWCOMER_SECONDS = 10.0
"""The median wait of a newcomer that is served."""

RAISED = "".join(f"{name} = {value}\n" for name, value in LIFTED.items())

pytestmark = [
    pytest.mark.skipif(not is_root(), reason="the parts give up root, which needs root"),
    pytest.mark.needs("gcc", "nginx"),
]


class Stampede:
    """Clients that reconnect, from as many generators as are needed.

    Args:
        target: the door.
        clients: all of them.
        staying: whether who was served stays connected.
    """

    def __init__(self, target: Target, clients: int, *, staying: bool) -> None:
        generators = -(-clients // MOST_OF_A_GENERATOR)
        self.counts = [len(range(first, clients, generators)) for first in range(generators)]
        self.clients, self.staying = clients, staying
        self.found: list[Loaded] = []
        self.faults: list[LoadFailed] = []
        self._target = target
        self._threads = [threading.Thread(target=self._run, args=(count,)) for count in self.counts]

    def start(self) -> None:
        """Begin to reconnect."""
        program()  # compiled once
        for one in self._threads:
            one.start()

    def join(self) -> None:
        """Wait until everybody was served."""
        for one in self._threads:
            one.join()

    def _run(self, count: int) -> None:
        try:
            self.found.append(send(self._target, "storm" if self.staying else "visit", count, count))
        except LoadFailed as error:
            self.faults.append(error)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("staying", [True, False])
def test_everybody_reconnects_after_a_restart(*, staying: bool) -> None:
    """All are served; the rate at the end is not below half of the rate at the beginning."""
    if not staying and most_connected() >= CLIENTS:
        pytest.skip("all of them may stay")
    clients = min(CLIENTS, most_connected()) if staying else CLIENTS
    with open_house(started=False) as house, application(house.folder) as port:
        settings = house.data / "doorward.toml"
        settings.write_text(settings.read_text() + RAISED)
        house.start()
        app = house.app("app", upstream=f"http://127.0.0.1:{port}")
        house.apply_document(render_document(app))
        people = [house.person(f"client-{number}", "staff") for number in range(PEOPLE)]
        newcomer = house.person("newcomer", "staff")
        requests = write_requests(
            house.folder / "requests", [f"GET /x HTTP/1.1\r\nHost: {house.host('app')}\r\n\r\n".encode()]
        )
        target = Target(
            port=house.port,
            name=f"app.{DOMAIN}",
            requests=requests,
            identities=[(one.chain, one.key) for one in people],
        )
        storm = Stampede(target, clients, staying=staying)
        for pid in house.processes():
            os.kill(pid, signal.SIGKILL)
        house.clear()
        began = time.time()
        storm.start()
        house.start(seconds=300)
        opened = time.time()
        assert eventually(lambda: house.lets_in(newcomer), 300)
        news = NewConnections(house, newcomer, pause=0.2)
        with news:
            storm.join()
        assert storm.faults == []
        report(storm, opened - began, news)
        print(f"  answers of the authorizer: {json.loads(house.gateway_status())['measured']['answers']}")
        assert sum(one.ok for one in storm.found) == clients
        for loaded in storm.found:
            begin, end = rates(loaded, opened - began)
            assert end >= LEAST_END_RATE * begin
        assert news.good
        assert median(one.arrived - one.began for one in news.good) <= MOST_NEWCOMER_SECONDS


def rates(loaded: Loaded, closed: float) -> tuple[float, float]:
    """Return how many were served a second from the opening to the median, and from there to 99 %."""
    middle, end = loaded.latency_us["p50"] / 1e6, loaded.latency_us["p99"] / 1e6
    return 0.5 * loaded.ok / max(middle - closed, 0.001), 0.49 * loaded.ok / max(end - middle, 0.001)


def report(storm: Stampede, closed: float, news: NewConnections) -> None:
    """Print the figures; those of several generators are added, or the slowest one's."""
    waits = sorted(one.arrived - one.began for one in news.good)
    begin, end = (sum(some) for some in zip(*(rates(one, closed) for one in storm.found), strict=True))
    print(
        f"\n  {storm.clients:,} clients after a restart that took {closed:.1f} s: the last one was served after"
        f" {max(one.seconds for one in storm.found):.1f} s, half of them after"
        f" {max(one.latency_us['p50'] for one in storm.found) / 1e6:.1f} s;"
        f" {sum(one.refused for one in storm.found):,} times one was refused and came again"
    )
    print(f"  {len(storm.counts)} generators; who was served {'stayed' if storm.staying else 'left'}")
    print(f"  the first half at {begin:.0f} a second, the second half up to 99 % at {end:.0f} a second")
    print(
        f"  newcomers meanwhile: {len(waits)} served, after {median(waits):.2f} s (median) and {waits[-1]:.2f} s (worst);"
        f" {len(news.refused)} refused"
    )
