"""Adopted connections of a partner's people, and those without a good certificate."""

from __future__ import annotations

from pathlib import Path

import pytest

from doorward.authority import revocation
from doorward.core.names import PORTAL_APPLICATION
from doorward.gateway.connections.connection import LiveConnection
from doorward.partners.importing import remove_partner
from tests.support.partner_site import GUESTS, hearing
from tests.support.world import OPERATOR, Held
from tests.unit.gateway.following.conftest import ACTOR, Scene
from tests.unit.gateway.following.guests import connected_guests
from tests.unit.gateway.following.restarting import (
    TWO_GROUPS,
    WIDER,
    GuestRestart,
    Restart,
)
from tests.unit.gateway.live import pending

# connections without a good certificate


PUBLIC = TWO_GROUPS.replace(
    "    rules:\n      - name: tellers", "    public: ['/share/**']\n    rules:\n      - name: tellers"
)


def enter_anonymous(scene: Scene, cookie: int, held: Held | None = None, app: str = "payments") -> None:
    """Admit a connection without a good certificate."""
    application = PORTAL_APPLICATION if app == PORTAL_APPLICATION else scene.world.application_id(app)
    begun = pending(cookie, app=application, opened_at=scene.world.clock.now())
    scene.connections.begin(begun)
    decision = scene.world.decide(held.der if held else None, application_id=application)
    live = LiveConnection.admitted(begun, decision)
    assert live.anonymous
    assert scene.connections.admit(live, judged_at=decision.seq)


@pytest.mark.parametrize(
    ("after", "left"),
    [
        (PUBLIC, [5]),
        (PUBLIC.replace(*WIDER), [5]),
        (PUBLIC.replace("/share/**", "/share/a/**"), []),
        (TWO_GROUPS, []),
    ],
)
def test_public_paths(restart: Restart, after: str, left: list[int]) -> None:
    """A connection without a certificate ends only if public paths were taken away."""
    restart.scene.apply(PUBLIC)
    restart.scene.follow()
    enter_anonymous(restart.scene, 5)
    restart.die()
    restart.scene.apply(after)
    scene = restart.come_back()
    assert scene.left() == left
    assert all(scene.live(one).permissions is not None for one in left)


def test_a_refused_one_ends_if_its_certificate_is_good_now(restart: Restart) -> None:
    """Its peer connects again and is admitted with the certificate."""
    restart.connect("alice")
    held = restart.scene.world.held[0]
    revocation.hold(restart.scene.world.services, held.record.id, actor=ACTOR)
    restart.scene.follow()
    enter_anonymous(restart.scene, 6, held, PORTAL_APPLICATION)
    enter_anonymous(restart.scene, 7, None, PORTAL_APPLICATION)
    restart.die()
    assert restart.come_back().left() == [6, 7]
    restart.die()
    revocation.release(restart.scene.world.services, held.record.id, actor=ACTOR)
    assert restart.come_back().left() == [7]


# people of partners


@pytest.fixture
def guests(tmp_path: Path) -> GuestRestart:
    """Connections of all three, and a gateway that died."""
    made = connected_guests(tmp_path / "journal")
    made.scene.follow()
    return GuestRestart(tmp_path / "journal", made)


def test_people_of_a_partner_go_on(guests: GuestRestart) -> None:
    """Their partner is known again, and their deadline is by the newest evidence."""
    before = {one.cookie: one for one in guests.guests.scene.connections.all()}
    scene = guests.come_back()
    assert scene.left() == [1, 2, 3]
    assert {one: scene.live(one).partner_id for one in (1, 2, 3)} == {
        one: before[one].partner_id for one in (1, 2, 3)
    }
    assert scene.live(1).deadline == before[1].deadline


def test_newer_evidence_of_a_partner(guests: GuestRestart) -> None:
    """Bob was put on the list while no gateway followed."""
    guests.guests.site.publish(guests.guests.bob, load=False)
    assert guests.come_back().cutter.cut == [1]
    guests.guests.scene.follow()
    assert guests.guests.scene.left() == [2, 3]


def test_evidence_that_is_not_loaded(guests: GuestRestart) -> None:
    """It fails closed for the partner's people."""
    assert guests.come_back(loaded=False).left() == [3]


def test_evidence_that_expired(guests: GuestRestart) -> None:
    """The clock went on, and no newer list came; it is the deadline of these connections."""
    guests.guests.site.clock.turn(days=2)
    scene = guests.come_back()
    assert scene.left() == []
    assert set(scene.cuts()) == {"deadline"}


def test_a_partner_that_was_removed(guests: GuestRestart) -> None:
    """Its people lose everything."""
    remove_partner(guests.guests.site.services, "clinic", actor=OPERATOR)
    assert guests.come_back().left() == [3]


LOBBY = '      - {name: lobby, allow: {groups: [visitors]}, to: {paths: ["/lobby/**"]}}\n'


@pytest.mark.parametrize(("groups", "left"), [(("visitors",), [3]), (("visitors", "clinicians"), [3, 11])])
def test_terms_that_were_followed_only_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: tuple[str, ...], left: list[int]
) -> None:
    """The gateway died before it judged the partner's people: its mark is past the change of their groups."""
    made = connected_guests(tmp_path / "journal", groups=("clinicians", "visitors"))
    made.scene.apply(hearing("own", "clinic").replace(GUESTS, GUESTS + LOBBY))
    made.scene.follow()
    made.enter(made.bob, 11)
    made.site.bring_in(replacing=True, groups=groups)
    monkeypatch.setattr(made.scene.follower, "_judge_changed_terms", lambda: None)
    made.scene.follower.step()
    made.scene.follower.step()
    assert made.scene.left() == [1, 2, 3, 11]
    assert GuestRestart(tmp_path / "journal", made).come_back().left() == left
