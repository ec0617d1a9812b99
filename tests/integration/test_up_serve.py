"""`doorward serve` in this process: its jobs, its start and its end."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from prometheus_client.parser import text_string_to_metric_families

from doorward.authority import orders as orders_module
from doorward.authority.gateways import confirm, register_gateway
from doorward.authority.issuing import Claim, Issued, issue, issue_each
from doorward.authority.orders import order_status, place_order
from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.core.entities import PrincipalKind
from doorward.core.errors import Unavailable
from doorward.core.ports import KeyKind
from doorward.demo.ports import free_port
from doorward.directory.principals import add_principal
from doorward.directory.session_keys import current_session_key
from doorward.gateway.authorizer.measuring import ConnectionMeter, Step
from doorward.pki.csr import build_csr
from doorward.runtime import evidence as room
from doorward.runtime import serve as module
from doorward.runtime.compose import Installation
from doorward.runtime.evidence import Evidence
from doorward.runtime.serve import Serve
from doorward.runtime.world import SoftwareKeys
from doorward.stores.records import AuthorityKind, OrderState
from doorward.stores.services import Services
from doorward.web.metrics import SHARED_SECONDS
from doorward.wire.jose import parse_jwks
from tests.support.doorway import ACTOR, eventually
from tests.support.refusals import refused
from tests.support.world import operator_claim

pytestmark = pytest.mark.usefixtures("quick_keys")


def get(installation: Installation, path: str) -> bytes:
    """The answer of the status listener."""
    url = f"http://{installation.settings.status_listen}{path}"
    with urllib.request.urlopen(url, timeout=60) as answer:
        return bytes(answer.read())


def test_a_session_key_is_made_and_published(installation: Installation) -> None:
    """The first start makes the key that signs sessions, and applications find its public half at /jwks.json."""
    serve = Serve(installation)
    serve.start()
    try:
        assert eventually(lambda: bool(parse_jwks(get(installation, "/jwks.json").decode()).keys))
        kids = list(parse_jwks(get(installation, "/jwks.json").decode()).keys)
    finally:
        serve.stop()
    assert kids == [current_session_key(installation.services)[0]]


def test_serving_and_its_end(installation: Installation) -> None:
    """While it serves it answers; afterwards nothing listens, no socket is left, and the log is signed."""
    serve = Serve(installation)
    serve.start()
    assert get(installation, "/healthz")
    assert installation.layout.enrol_socket.exists()
    serve.stop()
    with pytest.raises(OSError, match="refused"):
        get(installation, "/healthz")
    assert not installation.layout.enrol_socket.exists()
    assert list(installation.layout.run.glob("*.notify")) == []
    evidence = Evidence(installation)
    assert evidence.checkpoint() is not None
    report = evidence.verify()
    assert report.faults == ()
    assert report.signature_verified
    assert report.anchored_size == report.size == evidence.size() > 0


def test_orders_are_filled_at_once(installation: Installation) -> None:
    """An order that a gateway places is filled within a moment; one that may not be is refused, and says so."""
    services = installation.services
    gateway = register_gateway(services, name="gateway-1", assertion_jwk="{}")
    serve = Serve(installation)
    serve.start()
    try:
        key = SoftwareKeys().generate(KeyKind.P256)
        hosts = ("enroll.corp.example",)
        good = place_order(services, gateway.id, "enrol", hosts, build_csr(key, hosts[0], dns=hosts))
        evil = place_order(
            services,
            gateway.id,
            "evil",
            ("evil.example",),
            build_csr(key, "evil.example", dns=("evil.example",)),
        )
        assert eventually(lambda: order_status(services, good.id).order.state is OrderState.FILLED)
        assert eventually(lambda: order_status(services, evil.id).order.state is OrderState.REFUSED)
    finally:
        serve.stop()


def test_an_order_that_cannot_be_filled_now_stays_open(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault is no refusal: the order waits, the job is told, and orders behind it are answered meanwhile."""
    services = installation.services
    gateway = register_gateway(services, name="gateway-1", assertion_jwk="{}")
    key = SoftwareKeys().generate(KeyKind.P256)
    orders = [
        place_order(services, gateway.id, purpose, (host,), build_csr(key, host, dns=(host,)))
        for purpose, host in (
            ("a", "enroll.corp.example"),
            ("b", "evil.example"),
            ("c", "enroll.corp.example"),
        )
    ]

    def issue_later(services: Services, wanted: Sequence[tuple[bytes, Claim]]) -> list[Issued | Exception]:
        return [Unavailable("keys-unavailable", "the keys are away"), *issue_each(services, wanted[1:])]

    monkeypatch.setattr(orders_module, "issue_each", issue_later)
    serve = Serve(installation)
    with refused(Unavailable, "keys-unavailable"):
        serve._fill_orders()
    states = [order_status(services, one.id).order.state for one in orders]
    assert states == [OrderState.OPEN, OrderState.REFUSED, OrderState.FILLED]
    serve.stop()


def test_revocations_reach_the_list(installation: Installation) -> None:
    """A revocation is in the published list within a moment."""
    services = installation.services
    alice = add_principal(services, PrincipalKind.PERSON, "alice", actor=ACTOR).value
    key = SoftwareKeys().generate(KeyKind.P256)
    issued = issue(services, build_csr(key, "alice"), operator_claim(alice, ACTOR))
    with services.work.read() as stores:
        issuing = stores.authorities.current(AuthorityKind.ISSUING)
    assert issuing is not None
    serve = Serve(installation)
    serve.start()
    try:
        path = f"/crl/{issuing.id}.crl"
        revoke(services, issued.record.id, RevocationReason.KEY_COMPROMISE, actor=ACTOR)

        def listed() -> bool:
            try:
                crl = x509.load_der_x509_crl(get(installation, path))
            except OSError:  # not found: the first list is being made
                return False
            return crl.get_revoked_certificate_by_serial_number(issued.record.serial) is not None

        assert eventually(listed, 60)
    finally:
        serve.stop()


def test_the_responder_is_renewed_when_it_is_due(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a responder that is due is renewed."""
    renewed: list[str] = []
    due = iter([(), ("aut_one", "aut_two")])
    monkeypatch.setattr(module, "due_responders", lambda _services: next(due))
    monkeypatch.setattr(
        module, "renew_responder", lambda _services, actor, issuing_id: renewed.append(issuing_id)
    )
    serve = Serve(installation)
    assert serve._renew_responder() is False
    assert renewed == []
    assert serve._renew_responder() is False
    assert renewed == ["aut_one", "aut_two"]
    serve.stop()


def test_the_roots_list_is_renewed_when_it_is_due(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a list that is due is renewed."""
    renewed: list[str] = []
    due = iter([False, True])
    monkeypatch.setattr(module, "root_list_due", lambda _services: next(due))
    monkeypatch.setattr(module, "renew_root_list", lambda _services, actor: renewed.append(actor))
    serve = Serve(installation)
    assert serve._renew_root_list() is False
    assert renewed == []
    assert serve._renew_root_list() is False
    assert renewed == ["system"]
    serve.stop()


@pytest.mark.parametrize("which", ["status", "enrolment"])
def test_an_address_in_use_is_a_clear_error(installation: Installation, which: str) -> None:
    """If it cannot listen, it says so and leaves nothing running; once the address is free, it serves."""
    ran_before = set(threading.enumerate())  # another module's door may stand in this process
    if which == "status":
        blocker = _Listener(int(installation.settings.status_listen.rpartition(":")[2]))
        serve = Serve(installation)
        with refused(Unavailable, "address-in-use") as caught:
            serve.start()
        assert caught.value.hint
        blocker.close()
    else:
        first = Serve(installation)
        first.start()
        other = Installation(
            installation.settings.model_copy(update={"status_listen": f"127.0.0.1:{free_port()}"})
        )
        other.unlock()
        with pytest.raises(Unavailable):
            Serve(other).start()
        assert not _answers(other)
        first.stop()
        other.close()
    left = {thread.name for thread in set(threading.enumerate()) - ran_before}
    assert not [name for name in left if name.startswith(("job-", "web-"))]
    again = Serve(installation)
    again.start()
    again.stop()


def _answers(installation: Installation) -> bool:
    try:
        return bool(get(installation, "/healthz"))
    except OSError:
        return False


class _Listener:
    """Another program on a port."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))

    def close(self) -> None:
        """Free it."""
        self._socket.close()


def test_a_last_signature_that_fails_is_borne(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away at the end does not keep the process from ending."""
    serve = Serve(installation)
    serve.start()

    def away(*_: object) -> None:
        raise Unavailable("database-unavailable", "away")

    monkeypatch.setattr(module, "sign_checkpoint", away)
    serve.stop()
    assert not installation.layout.enrol_socket.exists()


def test_evidence_can_be_read_verified_and_exported(installation: Installation, tmp_path: Path) -> None:
    """The record is read with its personal data, exported, and verified from the export alone."""
    add_principal(installation.services, PrincipalKind.PERSON, "alice", actor=ACTOR)
    serve = Serve(installation)
    serve.start()
    serve.stop()
    evidence = Evidence(installation)
    events = list(evidence.events(0))
    assert [event["number"] for event in events] == list(range(evidence.size()))
    created = next(event for event in events if event["type"] == "principal:created")
    assert created["personal"]["name"] == "alice"
    assert list(evidence.events(evidence.size())) == []
    file = tmp_path / "export.jsonl"
    with file.open("wb") as export:
        evidence.export(export)
    report = room.verify_file(file, checkpoint=evidence.checkpoint(), key=evidence.verifier_key())
    assert report.faults == ()
    assert report.size == evidence.size()
    value = room.report_value(report)
    assert value["signature_verified"] is True
    assert value["faults"] == []
    data = file.read_bytes()
    file.write_bytes(data.replace(b"principal:created", b"principal:removed", 1))
    altered = room.report_value(room.verify_file(file, checkpoint=None, key=None))
    assert altered["faults"]
    assert set(altered["faults"][0]) == {"code", "message", "number", "event_id", "event_type", "field"}


def test_ocsp_answers_are_kept_fresh(installation: Installation) -> None:
    """The answers of issued certificates are signed ahead, page by page."""
    services = installation.services
    alice = add_principal(services, PrincipalKind.PERSON, "alice", actor=ACTOR).value
    issued = issue(
        services, build_csr(SoftwareKeys().generate(KeyKind.P256), "alice"), operator_claim(alice, ACTOR)
    )
    serve = Serve(installation)
    while serve._refresh_ocsp():
        pass
    with services.work.read() as stores:
        answer = stores.status.ocsp(issued.record.id, "sha1")
    assert answer is not None
    assert answer.next_update > datetime.now(UTC) + timedelta(hours=11)
    serve.stop()


def test_prometheus_reads_the_metrics(installation: Installation) -> None:
    """Of certificates, authorities and evidence, and of a gateway what it reported; in the format of Prometheus."""
    opened = Installation(installation.settings.model_copy(update={"metrics_from": ("127.0.0.1/32",)}))
    opened.unlock()
    gateway = register_gateway(opened.services, name="gateway-1", assertion_jwk="{}")
    meter = ConnectionMeter()
    meter.count("allowed")
    meter.note(Step.RECORD, 0.002)
    meter.note(Step.RECORD, 9.0)
    status = {"connections": 3, "envoys": 1, "trouble": ["one"], "measured": meter.report()}
    serve = Serve(opened)
    serve.start()
    try:
        assert eventually(lambda: b"doorward_checkpoint_timestamp_seconds" in get(opened, "/metrics"))
        confirm(opened.services, gateway.id, 0, json.dumps(status))
        time.sleep(SHARED_SECONDS)
        families = text_string_to_metric_families(get(opened, "/metrics").decode())
        found = {
            (one.name, *sorted(one.labels.values())): one.value for two in families for one in two.samples
        }
    finally:
        serve.stop()
        opened.close()
    record = ("doorward_authorizer_step_seconds_bucket",)
    assert found["doorward_gateway_up", "gateway-1"] == 1
    assert found["doorward_gateway_connections", "gateway-1"] == 3
    assert found["doorward_gateway_troubles", "gateway-1"] == 1
    assert found["doorward_connections_answered_total", "allowed", "gateway-1"] == 1
    assert found[(*record, "0.001", "gateway-1", "record")] == 0
    assert found[(*record, "0.0025", "gateway-1", "record")] == 1
    assert found[(*record, "+Inf", "gateway-1", "record")] == 2
    assert found["doorward_certificates", "valid"] == 0
    root = next(
        one for one in found if one[0] == "doorward_authority_end_timestamp_seconds" and "root" in one
    )
    assert found[root] > time.time()
    assert any(one[0] == "doorward_crl_next_update_timestamp_seconds" for one in found)
    assert found["doorward_evidence_leaves",] > 0


def test_metrics_are_off_by_default(installation: Installation) -> None:
    """Nobody reads numbers of an installation that did not ask for it, also not from this machine."""
    serve = Serve(installation)
    serve.start()
    try:
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(installation, "/metrics")
    finally:
        serve.stop()
