"""The difference between this machine's clock and the clock of the database's server, on which all machines agree.

Certificates, deadlines and sessions end by the wall clock of the machine that judges them, and were issued by that of
another. So no part starts on a machine that is more than `MOST_SECONDS` off the server: any two parts are then at most
five seconds apart (docs/design/0105). A clock that is stepped later is reported by `doorward status` on that machine.

Not here: SQLite, which has no server. All parts are then on one machine, with one clock.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from doorward.core.errors import Unavailable
from doorward.core.ports import Clock

ServerClock = Callable[[], datetime | None]
"""`Database.server_clock`."""

MOST_SECONDS = 2.5
"""Half of the five seconds that two parts may be apart."""


def find_clock_difference(server_clock: ServerClock, clock: Clock) -> float:
    """Return by how many seconds this machine's clock is ahead of the server's; negative if it is behind.

    The server's time lies between question and answer: what this could explain is no difference, so a slow answer never
    makes one. 0.0 also if the database has no server.

    Raises:
        Unavailable, IntegrityError: as `Database.read`.
    """
    asked = clock.now()
    there = server_clock()
    answered = clock.now()
    if there is None or asked <= there.astimezone(UTC) <= answered:
        return 0.0
    nearest = asked if asked > there else answered
    return (nearest - there).total_seconds()


def is_too_large(seconds: float) -> bool:
    """Return whether no part may start with this difference."""
    return abs(seconds) > MOST_SECONDS


def describe_difference(seconds: float) -> str:
    """Return a difference as the end of a sentence."""
    return f"{abs(seconds):.1f} seconds {'ahead of' if seconds > 0 else 'behind'} the clock of the database's server"


def require_clock(server_clock: ServerClock, clock: Clock) -> None:
    """Return unless this machine's clock differs too much from the server's.

    Raises:
        Unavailable: `clock-differs`, and as `find_clock_difference`.
    """
    seconds = find_clock_difference(server_clock, clock)
    if is_too_large(seconds):
        raise Unavailable(
            "clock-differs",
            f"the clock of this machine is {describe_difference(seconds)}",
            hint=f"set the clocks of both machines, for example by chrony; {MOST_SECONDS:g} seconds are allowed",
        )
