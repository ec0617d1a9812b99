"""A revision that Envoy dies of: what it does not change stays open, and it is not given to Envoy again."""

from __future__ import annotations

import signal

import pytest

from doorward.gateway.publishing import publisher
from doorward.gateway.publishing.crash_history import MOST_UNCLEAR, PROVEN_SECONDS, SOON_SECONDS
from doorward.gateway.publishing.last_published import LastPublished
from doorward.gateway.publishing.transition import CHECK_SECONDS, RETRY_SECONDS
from tests.support.world import DOCUMENT
from tests.unit.gateway.publishing.conftest import Site

CHANGED = DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]")
ABORTED = -signal.SIGABRT


@pytest.fixture
def deadly(site: Site) -> Site:
    """Revision 1 in force; revision 2 changes payments, came into force as well, and Envoy aborted."""
    assert site.publishing.step() == CHECK_SECONDS
    site.publishing.requests.request(site.apply(CHANGED))
    assert site.publishing.step() == CHECK_SECONDS
    assert site.gate.revision == 2
    assert site.publishing.note_end(ABORTED, "it was ended by signal SIGABRT")
    return site


def test_the_next_envoy_is_given_the_one_before(deadly: Site) -> None:
    """Unchanged applications are open, the changed one admits no new connection, and status names it with the reason."""
    deadly.prepare()
    assert deadly.gate.revision == 1
    assert deadly.lets_in("sensors")
    assert not deadly.lets_in("payments")
    trouble = deadly.publishing.trouble()
    assert "(payments)" in trouble
    assert "SIGABRT" in trouble


def test_it_is_not_given_to_an_envoy_that_runs(deadly: Site) -> None:
    """A configuration that ended one Envoy is not given to the next, at any later publication."""
    deadly.prepare()
    before = deadly.in_force()
    for _ in range(3):
        assert deadly.publishing.step() == RETRY_SECONDS
    assert deadly.in_force() == before
    assert "sent" not in deadly.story


def test_a_mended_revision_is_published(deadly: Site) -> None:
    """The next document is another configuration, and is taken at its own merits."""
    deadly.prepare()
    deadly.publishing.requests.request(deadly.apply(DOCUMENT))
    assert deadly.publishing.step() == CHECK_SECONDS
    assert deadly.gate.revision == 3
    assert deadly.lets_in("payments")
    assert deadly.publishing.trouble() == ""
    assert LastPublished(deadly.folder / "published").number() == 3


def test_a_start_that_fails_is_tried_with_another_configuration(site: Site) -> None:
    """A configuration that Envoy refuses at its start is blamed at once; a slow start only the third time."""
    site.publishing.step()
    site.apply(CHANGED)
    for _ in range(MOST_UNCLEAR - 1):
        site.prepare()
        assert not site.publishing.note_end(None, "it was not ready after 15 seconds")
    site.prepare()
    assert site.gate.revision == 2
    assert site.publishing.note_end(None, "it was not ready after 15 seconds")
    site.prepare()
    assert site.gate.revision == 1
    site.apply(CHANGED.replace("POST", "PUT"))
    site.prepare()
    assert site.gate.revision == 3
    assert site.publishing.note_end(None, "it refused the listener", refused=True)
    site.prepare()
    assert site.gate.revision == 1


def test_without_another_the_deadly_one_is_tried_again(site: Site) -> None:
    """If no other configuration was ever in force, a start tries it again and again."""
    assert site.publishing.note_end(ABORTED, "it was ended by signal SIGABRT")
    site.prepare()
    assert site.gate.revision == 1
    assert site.publishing.step() == CHECK_SECONDS  # Envoy has it and lives


def test_a_crash_much_later_blames_nothing(site: Site) -> None:
    """A configuration that ran for long is not blamed: a stranger must not choose which applications are closed."""
    site.publishing.step()
    site.apply(CHANGED)
    site.publishing.step()
    site.world.clock.turn(seconds=SOON_SECONDS + 1)
    assert not site.publishing.note_end(ABORTED, "it was ended by signal SIGABRT")
    site.prepare()
    assert site.gate.revision == 2
    site.world.clock.turn(seconds=PROVEN_SECONDS)
    assert not site.publishing.note_end(ABORTED, "it was ended by signal SIGABRT")
    site.prepare()
    assert not site.publishing.note_end(ABORTED, "at once")


def test_a_crash_without_an_answer_is_blamed_on_what_was_sent(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy may have taken it: the next one gets the configuration before, and a newer document its own chance."""
    assert site.envoy is not None
    site.publishing.step()
    site.envoy.is_silent = True
    with monkeypatch.context() as patch:
        patch.setattr(publisher, "CONFIRM_SECONDS", 0.0)
        site.apply(CHANGED)
        assert site.publishing.step() == RETRY_SECONDS
    assert site.publishing.note_end(ABORTED, "it was ended by signal SIGABRT")
    site.prepare()
    assert site.gate.revision == 1
    site.apply(DOCUMENT)
    site.prepare()
    assert site.gate.revision == 3
