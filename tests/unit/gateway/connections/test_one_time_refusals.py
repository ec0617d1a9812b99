"""A certificate that its holder no longer wants to show is refused once, within some seconds."""

from __future__ import annotations

from datetime import timedelta

from doorward.gateway.connections.one_time_refusals import MOST_REFUSALS, OneTimeRefusals
from doorward.stores.certificate_choice import CHOICE_LIFETIME, CertificateChoice
from tests.support.ports import NOON, FakeClock

SHOWN = CertificateChoice.of("app_pay", "ab" * 32, "192.0.2.7")


def test_the_next_one_is_refused_and_no_other() -> None:
    """Exactly one, of this certificate at this application."""
    refusals = OneTimeRefusals(FakeClock())
    assert not refusals.take(SHOWN)
    assert refusals.note(SHOWN.subject, NOON)
    assert not refusals.take(CertificateChoice.of("app_other", "ab" * 32, "192.0.2.7"))
    assert not refusals.take(CertificateChoice.of("app_pay", "cd" * 32, "192.0.2.7"))
    assert refusals.take(SHOWN)
    assert not refusals.take(SHOWN)


def test_it_ends_by_itself() -> None:
    """The person pressed the button and closed the window: tomorrow they are let in at once."""
    clock = FakeClock()
    refusals = OneTimeRefusals(clock)
    refusals.note(SHOWN.subject, NOON)
    clock.turn(seconds=CHOICE_LIFETIME.total_seconds())
    assert not refusals.take(SHOWN)
    assert not refusals.note(SHOWN.subject, NOON)  # a gateway that follows late
    assert not refusals.take(SHOWN)
    assert refusals.note(SHOWN.subject, clock.now() - timedelta(seconds=1))
    assert refusals.take(SHOWN)


def test_without_a_certificate_the_source_is_meant() -> None:
    """By a digest, an IPv6 /64 as one; the sequence holds no address."""
    here = CertificateChoice.of("app_pay", "", "2001:db8::1")
    assert here == CertificateChoice.of("app_pay", "", "2001:db8::2")
    assert here != CertificateChoice.of("app_pay", "", "2001:db8:1::1")
    assert "2001" not in here.subject
    assert here.subject != CertificateChoice.of("app_web", "", "2001:db8::1").subject


def test_notes_are_few() -> None:
    """If there are too many, the oldest is dropped."""
    refusals = OneTimeRefusals(FakeClock())
    for number in range(MOST_REFUSALS + 1):
        refusals.note(f"app_pay/{number}", NOON)
    assert not refusals.take(CertificateChoice(application_id="app_pay", shown="0"))
    assert refusals.take(CertificateChoice(application_id="app_pay", shown="1"))
