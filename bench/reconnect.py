"""Every client reconnects at once, as after a restart: all are served, and how long the last one waits.

The clients come from many addresses of loopback. One that is refused comes again after a second; one that was served stays connected.
How many there are depends on how many files Envoy may open on this machine.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.installation import most_connected
from bench.rows import Row, single
from bench.scene import Scene
from doorward.runtime.privileges import most_open_files

CLIENTS, QUICK_CLIENTS = 50_000, 1_000


def measure(scene: Scene) -> Iterator[Row]:
    """Yield the time to the last client."""
    wanted = QUICK_CLIENTS if scene.quick else CLIENTS
    clients = min(wanted, most_connected())
    door = scene.few()
    done = door.send("storm", clients, clients, leaves_each=2)
    loaded = done.loaded
    yield single(
        f"{clients:,} clients reconnecting at once",
        [loaded.seconds],
        unit="s to the last one",
        notes=(
            f"All served, {clients / loaded.seconds:.0f} a second; {loaded.refused} were refused and came again.",
            (
                f"Median {loaded.latency_us['p50'] / 1e6:.1f} s, p99 {loaded.latency_us['p99'] / 1e6:.1f} s;"
                f" in the record after {done.seconds:.1f} s."
            ),
            *(
                [f"This machine allows {most_open_files():,} open files, so there are fewer than {wanted:,}."]
                if clients < wanted
                else []
            ),
        ),
    )
    scene.close_door()  # its clients are gone, and their ends must not count for others
