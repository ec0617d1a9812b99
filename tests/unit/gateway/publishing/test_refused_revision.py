"""A revision that is refused: the doors that were good stay good, also over a restart, and no other opens."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from doorward.core.errors import ConfigurationError, DoorwardError
from doorward.gateway.publishing import publisher
from doorward.gateway.publishing.discovery.messages import ROUTES
from doorward.gateway.publishing.last_published import LastPublished
from doorward.gateway.publishing.transition import CHECK_SECONDS, RETRY_SECONDS
from tests.support.world import DOCUMENT
from tests.unit.gateway.publishing.conftest import Site

CHANGED = DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]")
WIDER = f"{CHANGED}  more:\n    hosts: [more.corp.example]\n    upstream: http://127.0.0.1:9002\n"


def unfit(text: str) -> str:
    """The listener with the new host cannot be packed."""
    return "an unfit field" if "v3.Listener" in text and "more.corp.example" in text else ""


@pytest.fixture
def refused(site: Site) -> Site:
    """Revision 1 in force and confirmed; revision 2 changes payments, adds an application, and is refused."""
    assert site.publishing.step() == CHECK_SECONDS
    site.unfit = unfit
    site.publishing.requests.request(site.apply(WIDER))
    site.stock()
    assert site.publishing.step() == RETRY_SECONDS
    return site


def test_only_applications_that_it_changes_admit_no_new_connection(refused: Site) -> None:
    """An application of which both revisions say the same is judged and admitted as before."""
    assert refused.gate.revision == 1
    assert refused.lets_in("sensors")
    assert not refused.lets_in("payments")
    assert not refused.lets_in("more")
    assert "revision 2 is refused" in refused.publishing.trouble()
    assert "an unfit field" in refused.publishing.trouble()


def test_an_envoy_that_starts_is_given_the_former_one(refused: Site) -> None:
    """A restart meanwhile opens the same doors to the same people, and the refusal is still said."""
    doors = refused.doors()
    keys = sorted((refused.folder / "keys").rglob("key.pem"))
    refused.prepare()
    assert refused.doors() == doors
    assert refused.gate.revision == 1
    assert refused.lets_in("sensors")
    assert not refused.lets_in("payments")
    assert "revision 2 is refused" in refused.publishing.trouble()
    assert refused.publishing.requests.pending() is not None  # no command is told that revision 2 is in force
    assert refused.publishing.step() == RETRY_SECONDS
    assert sorted((refused.folder / "keys").rglob("key.pem")) == keys
    assert LastPublished(refused.folder / "published").number() == 1


def test_it_comes_into_force_when_it_can(refused: Site) -> None:
    """Once its cause is gone, the refused revision is published, after a restart too."""
    refused.prepare()
    refused.unfit = lambda _: ""
    assert refused.publishing.step() == CHECK_SECONDS
    assert refused.gate.revision == 2
    assert all(refused.lets_in(name) for name in ("sensors", "payments", "more"))
    assert refused.publishing.trouble() == ""
    assert refused.publishing.requests.pending() is None


def test_applications_that_are_gone_stay_gone(site: Site) -> None:
    """An application that the refused revision removes has no door after a restart: Envoy need not accept a removal."""
    site.publishing.step()
    sensors, payments = (site.world.application_id(one) for one in ("sensors", "payments"))
    site.unfit = lambda text: "no" if "v3.Listener" in text and "sensors.corp.example" not in text else ""
    site.apply(CHANGED.split("  sensors:\n    hosts")[0])
    assert site.publishing.step() == RETRY_SECONDS
    assert sensors in site.doors()
    tries = iter(["no", ""])
    site.unfit = lambda text: next(tries) if "v3.Listener" in text else ""
    site.prepare()
    assert site.gate.revision == 1
    assert sensors not in site.doors()
    assert site.doors() == {payments}


@pytest.mark.parametrize("noted", ["", "7\n", "1 app_x=y\n", "-1", "x", "9" * 30])
def test_without_a_former_one_no_envoy_starts(refused: Site, noted: str) -> None:
    """If no older configuration is known, a start says why it is not possible."""
    (refused.folder / "published").write_text(noted)
    with pytest.raises(ConfigurationError) as caught:
        refused.prepare()
    assert caught.value.code == "envoy-refused-configuration"


def test_an_exchange_with_unknown_result_opens_no_changed_application(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Envoy did not answer, it may have the new rules or the old ones: only unchanged applications go on."""
    assert site.envoy is not None
    site.publishing.step()
    site.envoy.is_silent = True
    with monkeypatch.context() as patch:
        patch.setattr(publisher, "CONFIRM_SECONDS", 0.0)
        site.apply(CHANGED)
        assert site.publishing.step() == RETRY_SECONDS
        site.apply(DOCUMENT)  # back to what is believed to be in force
        assert site.lets_in("sensors")
        assert not site.lets_in("payments")
        site.envoy.await_received((ROUTES, site.world.application_id("payments")))
        assert site.publishing.step() == RETRY_SECONDS  # not believed: the answer is still open
        assert not site.lets_in("payments")
    site.connect_again()
    assert site.publishing.step() == CHECK_SECONDS
    assert site.lets_in("payments")


def test_a_number_that_cannot_be_noted_holds_up_nothing(site: Site) -> None:
    """Publishing goes on if the folder cannot be written."""
    (site.folder / "published").mkdir()
    assert site.publishing.step() == CHECK_SECONDS
    assert site.gate.revision == 1
    (site.folder / "published").rmdir()
    assert site.publishing.step() == CHECK_SECONDS
    assert LastPublished(site.folder / "published").number() == 1


def test_a_new_host_takes_nothing_from_the_old_ones(site: Site) -> None:
    """While the order for the new host's certificate is open, the old hosts are served with the old one."""
    assert site.envoy is not None
    site.publishing.step()
    two = DOCUMENT.replace(
        "hosts: [payments.corp.example]", "hosts: [payments.corp.example, pay.corp.example]"
    )
    assert two != DOCUMENT
    site.apply(two)
    for _ in range(2):
        assert site.publishing.step() == RETRY_SECONDS
        assert "payments.corp.example" in site.listener()
        assert "pay.corp.example" not in site.listener()
        assert site.publishing.trouble().endswith("payments (pay.corp.example)")
    assert site.gate.revision == 2
    site.fill()
    assert site.publishing.step() == CHECK_SECONDS
    assert "pay.corp.example" in site.listener()
    payments = site.folder / "keys" / site.world.application_id("payments")
    assert len(list(payments.iterdir())) == 1


def test_the_thread_is_told_to_stop_while_it_waits_for_the_former_one(refused: Site, tmp_path: Path) -> None:
    """A fallback without any certificate waits like any other start, and gives up like it."""
    for one in (refused.folder / "keys").rglob("chain.pem"):
        one.write_text("garbage")
    stop = threading.Event()
    stop.set()
    with pytest.raises(DoorwardError) as caught:
        refused.publishing.prepare(tmp_path / "other", stop)
    assert caught.value.code == "no-server-certificate"
