"""When a certificate from an ACME server is due: by its life, by the server's window, and never too late."""

from __future__ import annotations

from datetime import timedelta

from tests.unit.authority.acme.conftest import Site

DAY = timedelta(days=1)


def test_a_certificate_that_ended_is_not_asked_about(site: Site) -> None:
    """Its application is gone, or it would have been renewed."""
    order = site.order()
    site.filling.work()
    site.world.clock.turn(days=100)
    site.ask()
    assert site.record(order).ask_again_at is None


def test_the_servers_window_makes_a_certificate_due(site: Site) -> None:
    """RFC 9773: a window in the past means now; without one two thirds of the life count."""
    order = site.order()
    site.filling.work()
    now = site.world.clock.now()
    usual = site.record(order).renew_at
    assert usual is not None
    assert timedelta(days=56) < usual - now < timedelta(days=64)
    site.server.window = (now - DAY, now - DAY / 2)
    site.make()
    site.ask()
    early = site.record(order).renew_at
    assert early is not None
    assert early < now
    assert len(site.server.asked_about) == 1
    site.ask()
    assert len(site.server.asked_about) == 1  # not before Retry-After
    site.world.clock.turn(hours=6)
    site.ask()
    assert len(site.server.asked_about) == 2


def test_a_window_after_the_end_is_not_believed(site: Site) -> None:
    """A server cannot keep us from renewing in time."""
    order = site.order()
    site.filling.work()
    now = site.world.clock.now()
    site.server.window = (now + 365 * DAY, now + 366 * DAY)
    site.make()
    site.ask()
    record = site.record(order)
    assert record.renew_at is not None
    assert record.ends_at is not None
    assert record.ends_at - record.renew_at > timedelta(days=8)


def test_a_server_without_windows_changes_nothing(site: Site) -> None:
    """Neither does one that cannot be reached."""
    order = site.order()
    site.filling.work()
    before = site.record(order).renew_at
    site.ask()
    site.world.clock.turn(hours=7)
    site.transport.down = True
    site.ask()
    assert site.record(order).renew_at == before


def test_the_renewal_says_what_it_replaces(site: Site) -> None:
    """RFC 9773 section 5: a server may then grant it outside of its limits."""
    now = site.world.clock.now()
    site.server.window = (now + 50 * DAY, now + 51 * DAY)
    site.order()
    site.filling.work()
    site.order()
    site.filling.work()
    told = [payload.get("replaces") for path, payload in site.server.payloads if path == "/new-order"]
    assert told[0] is None
    assert told[1].count(".") == 1
