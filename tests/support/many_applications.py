"""A house with many applications, one rule and one server certificate each, and connections that are held open meanwhile.

Not here: what is proved with it (`tests/integration/test_many_applications.py`, `tests/prove/test_thousand_applications.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from doorward.access.policies import apply_document
from doorward.directory.principals import create_group
from tests.support.doorway import ACTOR, Identity, Session, render_document
from tests.support.house import House

RULE = "- {allow: {groups: [staff]}, to: {methods: [GET], paths: ['/PATH/**']}}"


def name_of(number: int) -> str:
    """The name of an application."""
    return f"app-{number:04}"


@dataclass(frozen=True, slots=True)
class Applications:
    """The document of a house: `count` applications, which allow one path each."""

    house: House
    count: int

    def text(self, *, paths: dict[int, str] | None = None, count: int | None = None) -> str:
        """Return the document; `paths` are other paths than `open`, by the application's number."""
        every = range(self.count if count is None else count)
        return render_document(
            *(
                self.house.app(name_of(one), RULE.replace("PATH", (paths or {}).get(one, "open")))
                for one in every
            )
        )

    def store(self) -> None:
        """Store the document before the gateway runs."""
        create_group(self.house.services, "staff", actor=ACTOR)
        apply_document(self.house.services, self.text(), file="test.yaml", actor=ACTOR)

    def status(self, who: Identity, number: int, path: str = "/open/x") -> int:
        """Return the status of a request on a new connection."""
        return self.house.get(who, path, app=name_of(number)).status

    @contextmanager
    def held(self, who: Identity, numbers: range) -> Iterator[dict[int, Session]]:
        """Yield an open connection to each of these applications, which has been used once."""
        with ExitStack() as stack:
            sessions = {}
            for one in numbers:
                sessions[one] = stack.enter_context(self.house.session(who, app=name_of(one)))
                # At once: the door ends a connection on which nothing is sent for some seconds.
                assert sessions[one].request("GET", "/open/x").status == 200, name_of(one)
            yield sessions


def inotify_instances(pid: int) -> int:
    """Return how many inotify instances a process has."""
    kinds = [one.readlink() for one in Path(f"/proc/{pid}/fd").iterdir() if one.is_symlink()]
    return sum("inotify" in str(one) for one in kinds)


def memory_mebibytes(pid: int) -> int:
    """Return the proportional set size of a process."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) // 1024
