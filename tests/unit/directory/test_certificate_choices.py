"""Notes of choices are bounded, and strangers take no share of those who have a good certificate."""

from __future__ import annotations

import pytest

from doorward.core.errors import RequestRefused
from doorward.directory.certificate_choices import MOST_OF_STRANGERS, CertificateChoiceRecorder
from doorward.stores.certificate_choice import CertificateChoice
from doorward.stores.records import ChangeKind
from tests.support.world import World


def choice(number: int = 0) -> CertificateChoice:
    """One of many."""
    return CertificateChoice.of("app_pay", f"{number:064x}", "192.0.2.7")


def noted(world: World) -> list[str]:
    """The subjects in the sequence."""
    with world.work.read() as stores:
        return [one.subject for one in stores.changes.since(0) if one.kind is ChangeKind.CHOICE]


def test_the_same_choice_is_noted_once_in_ten_seconds(world: World) -> None:
    """A second press does not cut the dialog's connection."""
    choice_recorder = CertificateChoiceRecorder(world.services)
    first = choice_recorder.record(choice(), good=True)
    assert choice_recorder.record(choice(), good=True).seq == first.seq
    world.clock.turn(seconds=10)
    assert choice_recorder.record(choice(), good=True).seq > first.seq
    assert noted(world) == [choice().subject] * 2


def test_a_flood_of_strangers_is_bounded_and_keeps_no_person_out(world: World) -> None:
    """Beyond so many in a minute they are told to wait; holders are not, and neither are strangers later."""
    choice_recorder = CertificateChoiceRecorder(world.services)
    for number in range(MOST_OF_STRANGERS):
        choice_recorder.record(choice(number), good=False)
    with pytest.raises(RequestRefused) as refusal:
        choice_recorder.record(choice(9999), good=False)
    assert refusal.value.code == "too-many-choices"
    choice_recorder.record(choice(9999), good=True)
    world.clock.turn(minutes=1)
    choice_recorder.record(choice(10_000), good=False)
    assert len(noted(world)) == MOST_OF_STRANGERS + 2
