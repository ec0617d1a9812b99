"""Every client reconnects at once after a restart: all are served, the rate does not collapse, newcomers are served first.

The door is killed as a whole, and CLIENTS connect again and again while it starts: each that is refused comes again after one
second, without the growing pauses of our agent. Who was served stays connected. Meanwhile people who were not there open
connections, too: a stampede that waits must not keep them waiting until its end.

CLIENTS=50000 by default, or as many as one process may open files on this machine; 2,000 take about ten seconds.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
import time
from statistics import median

import pytest

from bench.installation import LIFTED
from bench.load import Loaded, LoadFailed, Target, send, write_requests
from bench.peers import application
from tests.support.doorway import DOMAIN, eventually, is_root, render_document
from tests.support.house import House, open_house
from tests.support.watching import NewConnections

CLIENTS = int(os.environ.get("CLIENTS", "50000"))
PEOPLE = 64
SPARE_FILES = 3_000
"""Files that Envoy has open beside the connections of clients."""

LEAST_END_RATE = 0.5
"""Of the second half of the clients, as a share of the rate of the first half."""

MOST_NEWCOMER_SECONDS = 10.0
"""The median wait of a newcomer that is served."""

RAISED = "".join(f"{name} = {value}\n" for name, value in LIFTED.items())

pytestmark = [
    pytest.mark.skipif(not is_root(), reason="the parts give up root, which needs root"),
    pytest.mark.needs("gcc", "nginx"),
]


def stampede(
    house: House, target: Target, clients: int, outcome: list[Loaded | Exception]
) -> threading.Thread:
    """Begin to reconnect in a thread; return it."""

    def run() -> None:
        try:
            outcome.append(send(target, "storm", clients, clients))
        except LoadFailed as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.timeout(1800)
def test_everybody_reconnects_after_a_restart() -> None:
    """All are served; the rate at the end is not below half of the rate at the beginning."""
    clients = min(CLIENTS, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_FILES)
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
        outcome: list[Loaded | Exception] = []
        for pid in house.processes():
            os.kill(pid, signal.SIGKILL)
        house.clear()
        began = time.time()
        thread = stampede(house, target, clients, outcome)
        house.start(seconds=300)
        opened = time.time()
        assert eventually(lambda: house.lets_in(newcomer), 300)
        news = NewConnections(house, newcomer, pause=0.2)
        with news:
            thread.join()
        (loaded,) = outcome
        assert isinstance(loaded, Loaded), loaded
        report(loaded, clients, opened - began, news)
        print(f"  answers of the authorizer: {json.loads(house.gateway_status())['measured']['answers']}")
        assert loaded.ok == clients
        begin, end = rates(loaded, clients, opened - began)
        assert end >= LEAST_END_RATE * begin
        assert news.good
        assert median(one.arrived - one.began for one in news.good) <= MOST_NEWCOMER_SECONDS


def rates(loaded: Loaded, clients: int, closed: float) -> tuple[float, float]:
    """Return how many were served a second from the opening to the median, and from there to 99 %."""
    middle, end = loaded.latency_us["p50"] / 1e6, loaded.latency_us["p99"] / 1e6
    return 0.5 * clients / max(middle - closed, 0.001), 0.49 * clients / max(end - middle, 0.001)


def report(loaded: Loaded, clients: int, closed: float, news: NewConnections) -> None:
    """Print the figures."""
    waits = sorted(one.arrived - one.began for one in news.good)
    begin, end = rates(loaded, clients, closed)
    print(
        f"\n  {clients:,} clients after a restart that took {closed:.1f} s: the last one was served after"
        f" {loaded.seconds:.1f} s, half of them after {loaded.latency_us['p50'] / 1e6:.1f} s;"
        f" {loaded.refused:,} were refused and came again"
    )
    print(f"  the first half at {begin:.0f} a second, the second half up to 99 % at {end:.0f} a second")
    print(
        f"  newcomers meanwhile: {len(waits)} served, after {median(waits):.2f} s (median) and {waits[-1]:.2f} s (worst);"
        f" {len(news.refused)} refused"
    )
