"""What clients that never read can make the door hold."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import h2.config
import h2.connection
import h2.settings
import pytest

from doorward.enforcement.envoy.overload import RESET_FROM
from doorward.enforcement.plan import GatewayLimits
from tests.support.attacks import changed, without
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.door_site import APPS, id_of
from tests.support.doorway import eventually
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-buffers")


HEAP = 96 << 20
CONNECTIONS = 24
STREAMS = 60
SLOW_MACHINE_SECONDS = 60.0
PRESSURE = "fixed_heap.pressure"
"""Percent of the heap's bound."""

ENDLESS = ("clusters", "app_pay", "load_assignment", "endpoints", 0, "lb_endpoints", 0, "endpoint", "address")


@pytest.fixture(scope="module")
def endless() -> Iterator[int]:
    """An application that answers everything with a gigabyte: its port."""
    started, stopping = threading.Event(), threading.Event()
    port: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n")
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=4096)
        port.append(server.sockets[0].getsockname()[1])
        started.set()
        await asyncio.to_thread(stopping.wait)
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(60)
    yield port[0]
    stopping.set()
    thread.join(60)


def crowd(door: CompiledDoor, stack: ExitStack) -> None:
    """Open connections with streams that ask for everything, with the largest window, and read nothing."""
    for _ in range(CONNECTIONS):
        with suppress(OSError):
            connection = stack.enter_context(door.connect(h2=True))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            _ask_for_all(connection)


def _ask_for_all(connection: ssl.SSLSocket) -> None:
    machine = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    machine.local_settings[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = 2**31 - 1
    machine.initiate_connection()
    machine.increment_flow_control_window(2**30)
    for number in range(STREAMS):
        usual = [(":method", "GET"), (":scheme", "https"), (":authority", "pay.test")]
        machine.send_headers(2 * number + 1, [*usual, (":path", "/accounts/7")], end_stream=True)
    connection.sendall(machine.data_to_send())


def figure(door: CompiledDoor, name: str) -> int:
    """Return one of Envoy's statistics; 0 if it does not exist yet."""
    return next(iter(door.envoy.admin.statistics(f"{name}$").values()), 0)


def is_served(door: CompiledDoor) -> bool:
    """Say whether an honest client of another application gets its answer."""
    with suppress(OSError):
        return door.site.ask("GET", "/", host="other.test").status == 200
    return False


def test_the_largest_streams_are_reset_before_the_heap_is_full(kept: Kept, endless: int) -> None:
    """1,440 streams want all they can have: the largest end, then those that do not move, and others are served."""
    large = changed(*ENDLESS, to={"socket_address": {"address": "127.0.0.1", "port_value": endless}})
    door = kept(large, limits=GatewayLimits(heap_bytes=HEAP), name="bounded heap")
    door.authorizer.answers = {"app_other": facts_of(id_of("other", APPS["other"][0]))}
    with ExitStack() as stack:
        crowd(door, stack)
        assert eventually(lambda: figure(door, "reset_high_memory_stream.count") > 0, SLOW_MACHINE_SECONDS)
        assert eventually(lambda: is_served(door), SLOW_MACHINE_SECONDS)
        assert figure(door, "cluster.app_pay.upstream_rq_active") < CONNECTIONS * STREAMS


def test_without_the_actions_the_heap_grows_past_its_bound(kept: Kept, endless: int) -> None:
    """The same crowd before a door that only watches, with Envoy's own buffer of 1 MiB."""
    large = changed(*ENDLESS, to={"socket_address": {"address": "127.0.0.1", "port_value": endless}})
    door = kept(
        large,
        changed("clusters", "app_pay", "per_connection_buffer_limit_bytes", to=1 << 20),
        without("base", "overload_manager", "actions"),
        limits=GatewayLimits(heap_bytes=HEAP),
        name="unbounded heap",
    )
    with ExitStack() as stack:
        crowd(door, stack)
        assert eventually(lambda: figure(door, PRESSURE) > 120, SLOW_MACHINE_SECONDS)


def test_the_order_of_the_actions(door: CompiledDoor) -> None:
    """Streams are reset before requests are refused, and requests before connections."""
    actions = {
        one["name"].rpartition(".")[2]: one for one in door.resources.base["overload_manager"]["actions"]
    }
    threshold = {
        name: one["triggers"][0]["threshold"]["value"]
        for name, one in actions.items()
        if "threshold" in one["triggers"][0]
    }
    scaled = actions["reset_high_memory_stream"]["triggers"][0]["scaled"]
    assert scaled["scaling_threshold"] == RESET_FROM
    assert (
        threshold["shrink_heap"]
        < scaled["scaling_threshold"]
        < scaled["saturation_threshold"]
        < threshold["stop_accepting_requests"]
        < threshold["reject_incoming_connections"]
    )
