"""Publishing: what a failure leaves, how certificates are waited for, and the thread that does it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from doorward.gateway.publishing.watches import SPARE, InotifyUsage, watches_needed

from doorward.audit.events import EventType
from doorward.core.errors import ConfigurationError, DoorwardError, Unavailable
from doorward.gateway.publishing import transition as module
from doorward.gateway.publishing.configuration import ENROL_PURPOSE
from doorward.gateway.publishing.transition import CHECK_SECONDS, RETRY_SECONDS
from tests.support.refusals import refused
from tests.support.world import DOCUMENT, found_world
from tests.unit.gateway.publishing.conftest import Site, make_site

# failures


def test_a_refused_configuration_changes_nothing(site: Site) -> None:
    """A configuration that Envoy would refuse changes no file, gate or connection, and is reported."""
    site.enter("alice", 1)
    before = site.files()
    site.validator.refusal = "an odd thing"
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    assert site.publishing.step() == RETRY_SECONDS
    assert site.files() == before
    assert site.gate.revision == 1
    assert "an odd thing" in site.publishing.trouble()
    assert site.story == ["checked"]
    assert site.events(EventType.GATEWAY_PUBLISHED) == []


def test_a_failure_is_recorded_once(site: Site) -> None:
    """Trying again and failing the same way is no news; another failure is."""
    site.validator.refusal = "an odd thing\nin two lines"
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    site.publishing.step()
    site.publishing.step()
    (event,) = site.events(EventType.GATEWAY_ROLLED_BACK)
    assert (event["revision"], event["reason"]) == (1, "envoy-refused-configuration")
    site.validator.refusal = "another thing"
    site.publishing.step()
    assert len(site.events(EventType.GATEWAY_ROLLED_BACK)) == 2
    site.validator.refusal = ""
    site.publishing.step()
    assert site.publishing.trouble() == ""
    assert site.gate.revision == 2


def test_what_envoy_rejects_is_rolled_back(site: Site) -> None:
    """If the running Envoy does not take a configuration that it validated, the former files are put back."""
    assert site.envoy is not None
    site.envoy.statistics()
    before = site.files()
    site.envoy.rejecting = True
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    assert site.publishing.step() == RETRY_SECONDS
    assert site.files() == before
    assert site.gate.revision == 1
    (event,) = site.events(EventType.GATEWAY_ROLLED_BACK)
    assert event["reason"] == "publication-rolled-back"
    site.envoy.rejecting = False
    assert site.publishing.step() == CHECK_SECONDS
    assert site.gate.revision == 2


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

    def defect() -> None:
        raise RuntimeError("a defect")

    before = site.files()
    site.validator.before = defect
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    assert site.publishing.step() == RETRY_SECONDS
    assert site.files() == before
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


MORE = "  more:\n    hosts: [more.corp.example]\n    upstream: http://127.0.0.1:9002\n"


def test_more_files_than_envoy_may_watch_are_refused(site: Site) -> None:
    """Envoy would abort on the first file too many: nothing is written, and status says what to raise."""
    before = site.files()
    site.apply(DOCUMENT + MORE)
    site.stock()
    site.inotify_usage = InotifyUsage(limit=2 * watches_needed(4) + SPARE - 1)
    assert site.publishing.step() == RETRY_SECONDS
    assert "inotify" in site.publishing.trouble()
    assert site.files() == before
    (event,) = site.events(EventType.GATEWAY_ROLLED_BACK)
    assert event["reason"] == "watches-exhausted"
    site.inotify_usage = InotifyUsage(limit=2 * watches_needed(4) + SPARE)
    assert site.publishing.step() == CHECK_SECONDS
    assert "no further application has room" in site.publishing.trouble()


def test_what_other_processes_of_the_user_hold_counts(site: Site) -> None:
    """The kernel counts by user (inotify(7)): with 100 of 128 held elsewhere a new door is refused beforehand."""
    before = site.files()
    site.inotify_usage = InotifyUsage(limit=128, envoys=watches_needed(3), others=100)
    site.publishing.requests.request(site.apply(DOCUMENT + MORE))
    site.stock()
    assert site.publishing.step() == RETRY_SECONDS
    assert site.files() == before
    assert "other processes have 100" in site.publishing.trouble()
    assert site.publishing.requests.pending() is not None  # no command is told that it is in force
    site.inotify_usage = InotifyUsage(limit=128, envoys=watches_needed(3), others=0)
    assert site.publishing.step() == CHECK_SECONDS
    assert site.publishing.requests.pending() is None


def test_what_watches_nothing_new_needs_no_room(site: Site) -> None:
    """An edited rule is published also if others took all instances, and status says what comes next."""
    site.inotify_usage = InotifyUsage(limit=128, envoys=watches_needed(3), others=128)
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    assert site.publishing.step() == CHECK_SECONDS
    assert site.gate.revision == 2
    assert "the next change of the policy will be refused" in site.publishing.trouble()


def test_no_envoy_is_started_that_would_abort(tmp_path: Path) -> None:
    """If there is no room for its files, Envoy is not started."""
    site = make_site(found_world(), tmp_path)
    site.stock()
    site.inotify_usage = InotifyUsage(limit=20)
    with refused(ConfigurationError, "watches-exhausted"):
        site.prepare()


def test_what_was_in_force_starts_with_room_for_once(site: Site) -> None:
    """An Envoy that died comes back also if others took the room that a change would need."""
    site.publishing.step()
    site.inotify_usage = InotifyUsage(limit=128, others=128 - watches_needed(3))
    site.prepare()
    assert site.gate.revision == 1
    site.inotify_usage = InotifyUsage(limit=128, others=128 - watches_needed(3) + 1)
    with pytest.raises(ConfigurationError):
        site.prepare()


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
    assert not (site.envoy.xds / "rds" / "doorward_enrol.json").exists()
    assert ENROL_PURPOSE in site.publishing.trouble()
    site.fill()
    site.publishing.step()
    assert (site.envoy.xds / "rds" / "doorward_enrol.json").exists()


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

    def issuing(wanted: dict[str, tuple[str, ...]]) -> object:
        ready = ensure(wanted)
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
    before = site.files()
    for folder in (site.folder / "keys").iterdir():
        for order in folder.iterdir():
            (order / "chain.pem").write_text("garbage")
    assert site.publishing.step() == RETRY_SECONDS
    assert site.files() == before
    assert "certificate" in site.publishing.trouble()
    site.fill()
    assert site.publishing.step() == CHECK_SECONDS


def test_keys_are_deleted_only_when_nothing_names_them(site: Site) -> None:
    """The key of an application that is removed stays until the policy without it is in force."""
    sensors = site.world.application_id("sensors")
    site.apply(DOCUMENT.split("  sensors:\n    hosts")[0])
    site.validator.refusal = "no"
    site.publishing.step()
    assert (site.folder / "keys" / sensors).exists()
    site.validator.refusal = ""
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
    assert published.wait(10)
    published.clear()
    site.publishing.requests.order_changed()
    assert published.wait(10)
    stop.set()
    site.publishing.requests.wake()
    worker.join(10)
    assert not worker.is_alive()
    assert site.gate.revision == 2


def test_what_failed_waits_for_its_time(site: Site) -> None:
    """A policy that Envoy refuses is not tried again at once, but something newer is."""
    site.validator.refusal = "no"
    site.publishing.requests.request(site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET]")))
    stop = threading.Event()
    site.validator.before = stop.set
    site.publishing.run(stop)
    assert site.publishing.requests.pending() is not None
    assert not site.publishing.requests.is_due()
    site.publishing.requests.request(site.world.head() + 1)
    assert site.publishing.requests.is_due()


def test_the_bootstrap_names_the_run(site: Site) -> None:
    """Every run of Envoy has its own folder for what it reads."""
    bootstrap = json.loads(site.prepare().read_text())
    assert str(site.folder / "run" / "xds") in json.dumps(bootstrap)
