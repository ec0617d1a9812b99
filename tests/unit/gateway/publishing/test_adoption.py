"""An Envoy of an earlier gateway gets the newest policy only once its live connections were compared with it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from doorward.core.errors import Unavailable
from doorward.directory import principals as directory
from doorward.gateway.connections.journal import Followed
from doorward.gateway.publishing.starting import StartConfigurations
from tests.support.refusals import refused
from tests.support.world import DOCUMENT, OPERATOR, found_world
from tests.unit.gateway.publishing.conftest import READ, Site, make_site

CLERKS = """\
      - name: also
        allow: {groups: [clerks]}
        to: {methods: [GET], paths: ["/accounts/**"]}
"""
TEXT = DOCUMENT.replace(READ, CLERKS + READ)


@pytest.fixture
def left(tmp_path: Path) -> Site:
    """An Envoy was started by a gateway that died since; alice is connected, with two ids."""
    world = found_world()
    first = make_site(world, tmp_path)
    first.apply(TEXT)
    first.stock()
    first.prepare()
    site = make_site(world, tmp_path, journal=tmp_path / "journal")
    directory.create_group(world.services, "clerks", actor=OPERATOR)
    directory.add_member(world.services, "clerks", "alice", actor=OPERATOR)
    site.enter("alice", 1)
    compared(site)
    return site


def compared(site: Site) -> None:
    """Note what the follower notes: every connection was compared with the newest revision."""
    site.connections.note_followed(Followed(mark="", revision=site.world.snapshot().revision))


def adopt(site: Site) -> bool:
    """Offer the Envoy of the first gateway to the next one."""
    return site.publishing.adopt(site.folder / "run", threading.Event())


def test_it_is_brought_up_to_date(left: Site) -> None:
    """Everything is ready when it connects; the gate opens once it answered."""
    assert left.publishing.open_stream() is None
    assert adopt(left)
    assert not left.lets_in("payments")
    left.start()
    assert left.lets_in("payments")
    assert left.cutter.cut == []


def test_one_with_another_bootstrap_gets_nothing(left: Site) -> None:
    """It is another one in any byte; or it cannot be read."""
    path = left.folder / "run" / "bootstrap.json"
    path.write_bytes(path.read_bytes() + b"\n")
    assert not adopt(left)
    assert left.publishing.open_stream() is None
    path.unlink()
    with pytest.raises(FileNotFoundError):
        adopt(left)
    assert left.publishing.open_stream() is None


def test_the_overreaching_are_ended_before_it_gets_anything(left: Site) -> None:
    """Alice holds an id that she does not deserve any more, and the newest policy gives that id more."""
    directory.remove_member(left.world.services, "clerks", "alice", actor=OPERATOR)
    left.judge_again(1)
    left.apply(TEXT.replace('methods: [GET], paths: ["/accounts/**"]', 'paths: ["/vault/**"]'))
    left.stock()
    compared(left)
    offered: list[object] = []
    left.cutter.before = lambda: offered.append(left.publishing.open_stream())
    assert adopt(left)
    assert left.cutter.cut == [1]
    assert offered == [None]
    assert left.publishing.open_stream() is not None


def test_connections_that_were_not_compared(left: Site) -> None:
    """A policy came after the last comparison: it is not adopted, and gets nothing."""
    left.apply(DOCUMENT)
    left.stock()
    with refused(Unavailable, "follower-behind"):
        adopt(left)
    assert left.publishing.open_stream() is None
    left.connections.forget(1)
    assert adopt(left), "without a connection there is nothing to compare"


def test_a_policy_that_comes_meanwhile(left: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waited for certificates, and a newer policy was compiled than the one that was compared."""
    real = StartConfigurations.prepare

    def late(self: StartConfigurations, stop: threading.Event) -> object:
        left.apply(DOCUMENT)
        left.stock()
        return real(self, stop)

    monkeypatch.setattr(StartConfigurations, "prepare", late)
    with refused(Unavailable, "follower-behind"):
        adopt(left)
    assert left.publishing.open_stream() is None
