"""A revision of which Envoy refuses one application: it is in force, this application is closed, and status tells why."""

from __future__ import annotations

import pytest

from doorward.audit.events import EventType
from doorward.gateway.publishing.discovery.messages import ROUTES, SECRET
from doorward.gateway.publishing.last_published import LastPublished
from doorward.gateway.publishing.transition import CHECK_SECONDS, RETRY_SECONDS
from tests.support.world import DOCUMENT
from tests.unit.gateway.publishing.conftest import Site

CHANGED = DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]")
WIDER = f"{CHANGED}  more:\n    hosts: [more.corp.example]\n    upstream: http://127.0.0.1:9002\n"
WORDS = "missing ): (("
TOLD = f"Envoy refused the configuration of payments, which is closed until it is corrected: {WORDS}"


@pytest.fixture
def refused(site: Site) -> Site:
    """Revision 2 changes payments and adds an application; Envoy refuses the table of payments."""
    site.publishing.step()
    site.refuse_table("payments", WORDS)
    site.publishing.requests.request(site.apply(WIDER))
    site.stock()
    assert site.publishing.step() == CHECK_SECONDS
    return site


def test_only_the_refused_application_is_closed(refused: Site) -> None:
    """The revision is in force: all its other applications admit new connections, also the one that is new."""
    assert refused.gate.revision == 2
    assert refused.lets_in("sensors")
    assert refused.lets_in("more")
    assert not refused.lets_in("payments")
    assert "application-closed" in refused.table()
    assert refused.publishing.requests.pending() is None
    assert LastPublished(refused.folder / "published").number() == 2


def test_a_judgement_for_a_closed_application_does_not_wait(refused: Site) -> None:
    """It is refused at once, however long it would have time."""
    newest = refused.world.snapshot()
    one = newest.ids["payments"]
    assert not refused.gate.wait(newest.revision, one, newest.policies[one], 1_000.0)


def test_it_is_told_with_envoys_words(refused: Site) -> None:
    """Status, the list of refusals, and one event that is not repeated; other words are another event."""
    assert refused.publishing.trouble() == TOLD
    assert refused.publishing.refusals() == {"payments": WORDS}
    refused.publishing.step()
    (event,) = refused.events(EventType.GATEWAY_ROLLED_BACK)
    assert event["revision"] == 2
    assert event["reason"] == "envoy-refused-configuration"
    assert event["detail"] == f"payments: {WORDS}"
    refused.refuse_table("payments", "another thing")
    refused.apply(WIDER.replace("POST", "PUT"))
    refused.publishing.step()
    assert [one["detail"] for one in refused.events(EventType.GATEWAY_ROLLED_BACK)] == [
        f"payments: {WORDS}",
        "payments: another thing",
    ]


def test_it_stays_closed_while_others_are_published(refused: Site) -> None:
    """A later revision of another application does not send it again."""
    assert refused.envoy is not None
    refused.envoy.received.clear()
    refused.apply(WIDER.replace("http://127.0.0.1:9002", "http://127.0.0.1:9003"))
    assert refused.publishing.step() == CHECK_SECONDS
    assert (ROUTES, refused.world.application_id("payments")) not in refused.envoy.received
    assert refused.gate.revision == 3
    assert not refused.lets_in("payments")
    assert refused.lets_in("more")
    assert refused.publishing.trouble() == TOLD


def test_a_corrected_application_opens(refused: Site) -> None:
    """With the next revision that changes it; nothing is told any more."""
    refused.refuse_table("payments", "")
    refused.apply(WIDER.replace("POST", "PUT"))
    refused.publishing.step()
    assert refused.lets_in("payments")
    assert "PUT" in refused.table()
    assert refused.publishing.trouble() == ""
    assert refused.publishing.refusals() == {}


def test_a_new_envoy_is_asked_again(refused: Site) -> None:
    """If it refuses too, the application is closed from the beginning; otherwise it opens."""
    refused.prepare()
    assert refused.gate.revision == 2
    assert not refused.lets_in("payments")
    assert refused.lets_in("more")
    assert refused.publishing.trouble() == TOLD
    refused.refuse_table("payments", "")
    refused.prepare()
    assert refused.lets_in("payments")
    assert refused.publishing.trouble() == ""


def test_the_gate_is_closed_before_a_connection_is_told_of_the_revision(site: Site) -> None:
    """When the listeners of a publication are called, the application is closed already."""
    seen: list[bool] = []
    site.publishing._published = lambda: seen.append(site.lets_in("payments"))
    site.refuse_table("payments", WORDS)
    site.apply(CHANGED)
    site.publishing.step()
    assert seen == [False]


def test_what_cannot_be_packed_costs_its_application_only(site: Site) -> None:
    """A field that Envoy does not know, in one application's table."""
    one = site.world.application_id("payments")
    site.unfit = lambda text: "an unknown field" if "RouteConfiguration" in text and one in text else ""
    site.apply(WIDER)
    site.stock()
    assert site.publishing.step() == RETRY_SECONDS  # a file may be repaired
    assert not site.lets_in("payments")
    assert site.lets_in("more")
    assert site.publishing.refusals() == {"payments": "an unknown field"}
    assert "application-closed" in site.table()
    site.unfit = lambda _: ""
    assert site.publishing.step() == CHECK_SECONDS
    assert site.lets_in("payments")


def test_a_refused_renewed_certificate_closes_nothing(site: Site) -> None:
    """The former one is served, and status tells of the new one."""
    assert site.envoy is not None
    one = site.world.application_id("payments")
    before = site.in_force()[SECRET, one]
    site.envoy.judge = lambda key, body: WORDS if key == (SECRET, one) and body != before else ""
    site.world.clock.turn(days=25)  # certificates are renewed
    site.stock()
    assert site.publishing.step() == CHECK_SECONDS
    assert site.in_force()[SECRET, one] == before
    assert site.lets_in("payments")
    assert site.publishing.trouble() == f"Envoy refused the configuration of payments: {WORDS}"
