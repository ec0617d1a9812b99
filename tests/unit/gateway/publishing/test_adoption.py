"""An Envoy of an earlier gateway gets the newest policy only once its live connections were compared with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from doorward.audit.events import EventType
from doorward.core.errors import Unavailable
from doorward.directory import principals as directory
from doorward.enforcement import transition
from doorward.gateway.connections.journal import Followed
from doorward.gateway.publishing.discovery.messages import ROUTES
from doorward.gateway.publishing.starting import StartConfigurations
from doorward.gateway.publishing.transition import CHECK_SECONDS
from tests.support.fake_envoy import FakeEnvoy
from tests.support.refusals import refused
from tests.support.world import DOCUMENT, OPERATOR, found_world
from tests.unit.gateway.live import token_of
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
    left.story.clear()
    assert adopt(left)
    assert left.story == [f"caught up with {left.world.head()}"]
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
    """If the connections cannot be compared with it, either, the Envoy is not adopted."""
    real = StartConfigurations.prepare

    def late(self: StartConfigurations, *args: Any) -> object:
        left.apply(DOCUMENT)
        left.stock()
        return real(self, *args)

    monkeypatch.setattr(StartConfigurations, "prepare", late)
    with refused(Unavailable, "follower-behind"):
        adopt(left)
    assert left.publishing.open_stream() is None


# after it was adopted, in the middle of a publication of the earlier gateway

EDITED = DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [tellers, clerks]}")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A gateway that has a journal, and an Envoy that runs."""
    made = make_site(found_world(), tmp_path, journal=tmp_path / "journal")
    made.stock()
    made.prepare()
    return made


def interrupted(site: Site) -> None:
    """A revision gives a rule of alice another id, and the gateway dies before it is in force."""
    site.publishing.step()  # so that the former revision is known as the last one in force
    site.enter("alice", 1)
    site.publishing.requests.request(site.apply(EDITED))
    site.judge_again(1)
    compared(site)


def test_connections_that_lost_nothing_go_on(site: Site) -> None:
    """Their class token is accepted instead of the new id; the number of the revision is no longer pending."""
    interrupted(site)
    assert adopt(site)
    envoy = site.start()
    assert site.publishing.requests.pending() is None
    assert site.publishing.step() == CHECK_SECONDS
    assert site.cutter.cut == []
    one = site.connections.get(1)
    assert one is not None
    assert token_of(one) in str(envoy.resource(ROUTES, one.application_id))


def test_a_connection_that_could_not_show_a_new_id_is_ended(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an alias it would be refused what an older id let it do; its client connects again."""
    interrupted(site)
    monkeypatch.setattr(transition, "MAX_ALIASES", 0)
    monkeypatch.setattr(transition, "MAX_OWN_ALIASES", 0)
    assert adopt(site)
    assert site.cutter.cut == []
    site.start()
    assert site.cutter.cut == [1]
    assert [one["reason"] for one in site.events(EventType.CONNECTION_CUT)] == ["authority-changed"]


class Gone(FakeEnvoy):
    """An Envoy that has ended: its admin socket refuses."""

    def statistics(self, pattern: str = "") -> Mapping[str, int]:
        raise Unavailable("envoy-admin-unavailable", f"nothing listens: {pattern}")


def test_one_that_ends_meanwhile_is_not_waited_for(site: Site) -> None:
    """A start may take 30 s, but no answer comes from an Envoy without stream and admin socket."""
    assert adopt(site)
    stream = site.publishing.open_stream()
    assert stream is not None
    stream.close()
    began = time.monotonic()
    with refused(Unavailable, "publication-unconfirmed"):
        site.publishing.verify(Gone())
    assert time.monotonic() - began < 10


def test_one_that_connects_again_is_waited_for(site: Site) -> None:
    """The end of a stream is not the end of Envoy: the publication goes on with the next one."""
    interrupted(site)
    assert adopt(site)
    first = site.publishing.open_stream()
    assert first is not None
    first.close()
    envoy = FakeEnvoy()
    timer = threading.Timer(0.7, lambda: envoy.connect(site.publishing.open_stream()))  # type: ignore[arg-type]
    timer.start()
    site.publishing.verify(envoy)
    assert site.gate.revision == 2
