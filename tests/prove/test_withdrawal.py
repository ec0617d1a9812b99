"""Authority withdrawn takes effect within a second, usually in some hundredths, on the processes that people run.

Prints a table: median and worst over the tries since the commit time of the change, with CAP_NET_ADMIN
and without.
"""

from __future__ import annotations

import json

import pytest

from tests.support.doorway import is_root
from tests.support.house import open_house
from tests.support.tcp import greeter
from tests.support.withdrawal import GOAL_SECONDS, HEADING, LIMIT_SECONDS, Figures, Scene, measure
from tests.support.withdrawer import KINDS

TRIES = 20


@pytest.mark.needs("setpriv")
@pytest.mark.parametrize("without_net_admin", [False, True], ids=["with-net-admin", "without-net-admin"])
def test_withdrawn_at_once_and_nobody_else_disturbed(*, without_net_admin: bool) -> None:
    """Revoked, suspended, out of the group, denied: nothing comes through a second later, bystanders go on."""
    if not without_net_admin and not is_root():
        pytest.skip("CAP_NET_ADMIN needs root")
    with greeter() as server, open_house(without_net_admin=without_net_admin) as house:
        scene = Scene(house, server.port)
        means = json.loads(house.gateway_status())["cuts_by"]
        assert means == ("pidfd" if without_net_admin else "sock-destroy")
        print(f"\n\ncut by {means}\n{HEADING}")
        every = [measure(scene, kind, TRIES) for kind in KINDS]
    report(every)
    for one in every:
        assert one.faults == [], one.kind
        assert all(len(values) == TRIES for values in one.seconds.values())
        assert one.worst() <= LIMIT_SECONDS, one.kind


def report(every: list[Figures]) -> None:
    """Print how many missed the goal."""
    values = [value for one in every for some in one.seconds.values() for value in some]
    missed = sum(value > GOAL_SECONDS for value in values)
    print(f"{missed} of {len(values)} took longer than {GOAL_SECONDS * 1000:.0f} ms")
