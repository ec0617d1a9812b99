"""A person who wants to show another certificate: the connections of the present one are cut, and no others."""

from __future__ import annotations

from doorward.core.names import PORTAL_APPLICATION
from doorward.directory.certificate_choices import CertificateChoiceRecorder
from doorward.stores.certificate_choice import CertificateChoice
from tests.unit.gateway.following.conftest import Scene


def choose(scene: Scene, cookie: int, application_id: str = "") -> None:
    """Ask for another certificate than that of a live connection."""
    one = scene.live(cookie)
    choice = CertificateChoice.of(application_id or one.application_id, one.sha256, one.source_address)
    CertificateChoiceRecorder(scene.world.services).record(choice, good=True)
    scene.follow()


def test_the_connections_of_this_certificate_here_are_cut(scene: Scene) -> None:
    """With a reason of its own; bob and the sensor stay."""
    choose(scene, 1)
    assert scene.left() == [2, 3]
    assert scene.cuts() == ["another-certificate"]


def test_at_another_application_nothing_is_cut(scene: Scene) -> None:
    """The browser asks for each host."""
    choose(scene, 1, PORTAL_APPLICATION)
    assert scene.left() == [1, 2, 3]


def test_a_note_that_is_old_cuts_nothing(scene: Scene) -> None:
    """A gateway that was away would cut who chose long ago."""
    one = scene.live(1)
    CertificateChoiceRecorder(scene.world.services).record(
        CertificateChoice.of(one.application_id, one.sha256, ""), good=True
    )
    scene.world.clock.turn(seconds=11)
    scene.follow()
    assert scene.left() == [1, 2, 3]
