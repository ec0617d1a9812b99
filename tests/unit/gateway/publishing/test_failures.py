"""Publishing: what a failure leaves, how certificates are waited for, and the thread that does it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from doorward.audit.events import EventType
from doorward.core.errors import DoorwardError, Unavailable
from doorward.gateway.publishing import publisher
from doorward.gateway.publishing import transition as module
from doorward.gateway.publishing.configuration import ENROL_PURPOSE
from doorward.gateway.publishing.transition import CHECK_SECONDS, RETRY_SECONDS
from doorward.policy.server_certificates import CertificateSource
from tests.support.refusals import refused
from tests.support.world import DOCUMENT, found_world
from tests.unit.gateway.publishing.conftest import Site, make_site

# failures

MORE = "  more:\n    hosts: [more.corp.example]\n    upstream: http://127.0.0.1:9002\n"


def unfit_listener(words: str) -> Callable[[str], str]:
    """What packs no listener with the host `more.corp.example`."""
    return lambda text: words if "v3.Listener" in text and "more.corp.example" in text else ""


def test_a_refused_configuration_changes_no_door(site: Site) -> None:
    """What all doors share cannot be brought into force: no table, gate or connection changes, and it is reported."""
    site.enter("alice", 1)
    listener, table = site.listener(), site.table()
    site.unfit = unfit_listener("an odd thing")
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]") + MORE)
    site.stock()
    assert site.publishing.step() == RETRY_SECONDS
    assert (site.listener(), site.table()) == (listener, table)
    assert site.gate.revision == 1
    assert "an odd thing" in site.publishing.trouble()
    assert site.cutter.cut == []
    assert site.events(EventType.GATEWAY_PUBLISHED) == []


def test_a_failure_is_recorded_once(site: Site) -> None:
    """Trying again and failing the same way is no news; another failure is."""
    site.unfit = unfit_listener("an odd thing\nin two lines")
    site.apply(DOCUMENT + MORE)
    site.stock()
    site.publishing.step()
    site.publishing.step()
    (event,) = site.events(EventType.GATEWAY_ROLLED_BACK)
    assert (event["revision"], event["reason"]) == (1, "envoy-refused-configuration")
    site.unfit = unfit_listener("another thing")
    site.publishing.step()
    assert len(site.events(EventType.GATEWAY_ROLLED_BACK)) == 2
    site.unfit = lambda _: ""
    site.publishing.step()
    assert site.publishing.trouble() == ""
    assert site.gate.revision == 2


def test_an_envoy_that_does_not_answer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate stays, and it is told once; as soon as Envoy answers, the publication goes on."""
    assert site.envoy is not None
    site.envoy.is_silent = True
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    with monkeypatch.context() as patch:
        patch.setattr(publisher, "CONFIRM_SECONDS", 0.0)
        for _ in range(2):
            assert site.publishing.step() == RETRY_SECONDS
    assert site.gate.revision == 1
    (event,) = site.events(EventType.GATEWAY_ROLLED_BACK)
    assert event["reason"] == "publication-unconfirmed"
    site.connect_again()
    assert site.publishing.step() == CHECK_SECONDS
    assert site.gate.revision == 2
    assert site.publishing.trouble() == ""


def test_a_store_that_is_away_changes_nothing(site: Site) -> None:
    """Without the store nothing is published, and the thread goes on."""
    site.world.work.broken = Unavailable("database-unavailable", "the disk is gone")
    assert site.publishing.step() == RETRY_SECONDS
    assert site.publishing.trouble() == "the disk is gone"
    site.world.work.broken = None
    assert site.publishing.step() == CHECK_SECONDS
    assert site.publishing.trouble() == ""


def test_a_defect_is_borne_and_said(site: Site) -> None:
    """An unexpected exception leaves the old configuration in force, and status says so."""

    def defect(_: str) -> str:
        raise RuntimeError("a defect")

    before = site.in_force()
    site.unfit = defect
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    assert site.publishing.step() == RETRY_SECONDS
    assert site.in_force() == before
    assert site.gate.revision == 1
    assert site.publishing.trouble()


def test_a_listener_that_fails_does_not_end_the_thread(site: Site) -> None:
    """If the callback after a publication fails, nothing else fails."""

    def fail() -> None:
        raise Unavailable("database-unavailable", "locked")

    site.publishing._published = fail
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    assert site.publishing.step() == RETRY_SECONDS
    assert site.gate.revision == 2


def test_a_record_that_fails_holds_up_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publication comes into force also if its event cannot be recorded."""

    def full(_events: object) -> None:
        raise Unavailable("database-unavailable", "the disk is full")

    monkeypatch.setattr(site.world.work, "record", full)
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    assert site.publishing.step() == CHECK_SECONDS
    assert site.gate.revision == 2


# certificates


def test_a_door_without_a_certificate_is_left_out_until_it_comes(tmp_path: Path) -> None:
    """Doors that have a certificate open at once; the others follow, and status names them meanwhile."""
    site = make_site(found_world(), tmp_path)
    site.stock("sensors")
    site.prepare()
    payments, sensors = (site.world.application_id(name) for name in ("payments", "sensors"))
    assert site.doors() == {payments}
    assert "sensors" in site.publishing.trouble()
    assert site.publishing.step() == RETRY_SECONDS
    site.fill()
    assert site.publishing.step() == CHECK_SECONDS
    assert site.doors() == {payments, sensors}
    assert site.publishing.trouble() == ""


def test_the_enrolment_door_may_come_later_too(tmp_path: Path) -> None:
    """Applications do not wait for the enrolment host's certificate."""
    site = make_site(found_world(), tmp_path)
    payments = site.world.application_id("payments")
    site.certificates.ensure({payments: ("payments.corp.example",)})
    site.fill()
    site.prepare()
    assert site.envoy is not None
    assert "doorward_enrol" not in site.envoy.chains()
    assert ENROL_PURPOSE in site.publishing.trouble()
    site.fill()
    site.publishing.step()
    assert "doorward_enrol" in site.envoy.chains()


def test_without_any_certificate_no_envoy_starts(tmp_path: Path) -> None:
    """If no certificate is issued, preparing waits, and gives up when `stop` is set."""
    site = make_site(found_world(), tmp_path)
    stop = threading.Event()
    stop.set()
    with refused(DoorwardError, "no-server-certificate") as caught:
        site.publishing.prepare(tmp_path / "run", stop)
    assert "doorward serve" in caught.value.hint


def test_the_first_certificate_is_waited_for(tmp_path: Path) -> None:
    """Preparing goes on as soon as the first certificate is there."""
    site = make_site(found_world(), tmp_path)

    class Issuing(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            del timeout
            site.fill()
            return False

    (tmp_path / "run").mkdir()
    assert site.publishing.prepare(tmp_path / "run", Issuing()).exists()


def test_ordered_certificates_are_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publication waits a moment for the certificates that it ordered, and has them in it."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 1.0)
    ensure = site.certificates.ensure

    def issuing(
        wanted: dict[str, tuple[str, ...]], sources: Mapping[str, CertificateSource], staying: frozenset[str]
    ) -> object:
        ready = ensure(wanted, sources, staying)
        site.fill()
        site.publishing.requests.order_changed()
        return ready

    monkeypatch.setattr(site.certificates, "ensure", issuing)
    more = "  more:\n    hosts: [more.corp.example]\n    upstream: http://127.0.0.1:9002\n    rules:\n"
    site.apply(f"{DOCUMENT}{more}      - allow: {{groups: [tellers]}}\n")
    assert site.publishing.step() == CHECK_SECONDS
    assert site.world.application_id("more") in site.doors()


def test_losing_every_certificate_is_said(site: Site) -> None:
    """If no certificate is left, the old configuration stays, and status names the missing ones."""
    before = site.in_force()
    for folder in (site.folder / "keys").iterdir():
        for order in folder.iterdir():
            (order / "chain.pem").write_text("garbage")
    assert site.publishing.step() == RETRY_SECONDS
    assert site.in_force() == before
    assert "certificate" in site.publishing.trouble()
    site.fill()
    assert site.publishing.step() == CHECK_SECONDS


def test_keys_are_deleted_only_when_nothing_names_them(site: Site) -> None:
    """The key of an application that is removed stays until the policy without it is in force."""
    sensors = site.world.application_id("sensors")
    site.apply(DOCUMENT.split("  sensors:\n    hosts")[0])
    site.unfit = lambda text: "no" if "v3.Listener" in text else ""
    site.publishing.step()
    assert (site.folder / "keys" / sensors).exists()
    site.unfit = lambda _: ""
    site.publishing.step()
    assert not (site.folder / "keys" / sensors).exists()


# the thread


def test_the_thread_publishes_what_is_asked_for_and_stops(site: Site) -> None:
    """A request wakes the thread; being told to stop ends it."""
    stop = threading.Event()
    published = threading.Event()
    site.publishing._published = published.set
    worker = threading.Thread(target=site.publishing.run, args=(stop,))
    worker.start()
    site.publishing.requests.request(
        site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    )
    assert published.wait(60)
    published.clear()
    site.publishing.requests.order_changed()
    assert published.wait(60)
    stop.set()
    site.publishing.requests.wake()
    worker.join(60)
    assert not worker.is_alive()
    assert site.gate.revision == 2


def test_what_failed_waits_for_its_time(site: Site) -> None:
    """A policy that is refused is not tried again at once, but something newer is."""
    stop = threading.Event()

    def refuse(text: str) -> str:
        stop.set()
        return "no" if "v3.Listener" in text else ""

    site.unfit = refuse
    site.publishing.requests.request(site.apply(DOCUMENT + MORE))
    site.stock()
    site.publishing.run(stop)
    assert site.publishing.requests.pending() is not None
    assert not site.publishing.requests.is_due()
    site.publishing.requests.request(site.world.head() + 1)
    assert site.publishing.requests.is_due()


def test_the_bootstrap_names_the_run_and_the_stream(site: Site) -> None:
    """Every run of Envoy has its own admin socket; the stream is at one place for all, and no file is watched."""
    bootstrap = site.prepare().read_text()
    assert str(site.folder / "run" / "admin.sock") in bootstrap
    assert "/run/envoy.sock" in bootstrap
    assert "path_config_source" not in bootstrap
    assert [one.name for one in (site.folder / "run").iterdir()] == ["bootstrap.json"]
