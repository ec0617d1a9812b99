"""EST (RFC 7030) with other people's clients, through the door: curl with openssl, strongSwan's pki.

`make clients` runs the same attempts, the slow ones and those of clients that are in no package.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.clients.attempts import Attempt, Outcome, exit_code
from tests.clients.est import QUICK, est_door
from tests.support.doorway import Doorway

pytestmark = [pytest.mark.xdist_group("est-clients"), pytest.mark.needs("openssl", "curl", "pki")]


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """One door for all attempts."""
    with est_door() as opened:
        yield opened


@pytest.mark.parametrize("attempt", QUICK, ids=lambda one: f"{one.client}: {one.tried}")
def test_a_client_succeeds(door: Doorway, attempt: Attempt, tmp_path: Path) -> None:
    """What it gets opens the door."""
    attempt.act(door, tmp_path)


@pytest.mark.parametrize(
    ("program", "theirs", "outcome", "code"),
    [
        ("openssl", "", Outcome.OURS, 1),
        ("openssl", "it cannot count", Outcome.THEIRS, 0),
        ("no-such-program", "", Outcome.ABSENT, 0),
    ],
)
def test_only_our_faults_fail_the_run(
    tmp_path: Path, program: str, theirs: str, outcome: Outcome, code: int
) -> None:
    """A client that is absent, or is known to be wrong, is told and does not fail `make clients`."""

    def fail(_door: Doorway, _folder: Path) -> None:
        raise AssertionError("two\nlines")

    attempt = Attempt(
        client="x", programs=(program,), tried="y", act=fail, version=("openssl", "version"), theirs=theirs
    )
    result = attempt.run(cast("Doorway", None), tmp_path)
    assert (result.outcome, exit_code([result])) == (outcome, code)
    assert "\n" not in result.line()
