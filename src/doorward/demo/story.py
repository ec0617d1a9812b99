"""The scenes of the demo: what a door must do, done with the real programs and compared with what must happen.

Each scene is one function. If a scene fails, it is reported as failed and the next scene is played, so that one run
shows everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from doorward.access.explanation import explain
from doorward.access.policies import apply_document
from doorward.authority.gateways import await_confirmations
from doorward.authority.inventory import list_certificates
from doorward.authority.revocation import revoke
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.demo.clients import Outcome, Visitor, ended_within
from doorward.demo.endings import WITHIN_SECONDS, Ending, SocketEnding, judge_end
from doorward.demo.environment import ACTOR, DENY, DemoEnvironment
from doorward.demo.report import Report
from doorward.demo.strangers import make_stranger
from doorward.demo.tampering import alter_one_byte
from doorward.demo.transfer import transfer_by_passkey
from doorward.runtime.evidence import Evidence
from doorward.stores.records import CertificateFilter

Scene = tuple[str, str, Callable[[DemoEnvironment, Report], None]]
"""A scene: its title, one sentence that gives the reason for its result, and the function that plays it."""

SPOOFED = {
    "Doorward-Principal": "person/root",
    "Doorward-Assertion": "eyJhbGciOiJub25lIn0.e30.",
    "Client-Cert": ":AAAA:",
    "X-Forwarded-Client-Cert": "URI=spiffe://doorward.localhost/person/root",
}


def play(scene: DemoEnvironment, report: Report, scenes: Sequence[Scene] | None = None) -> None:
    """Play every scene in order: those of the little bank, or others."""
    for number, (title, why, run) in enumerate(SCENES if scenes is None else scenes, start=1):
        report.begin(number, title, why)
        try:
            run(scene, report)
        except Exception as error:  # noqa: BLE001  a scene that fails is a finding, not the end of the demo
            report.judge(
                "the scene was played to its end", "yes", f"{type(error).__name__}: {error}", good=False
            )


def _no_certificate(scene: DemoEnvironment, report: Report) -> None:
    before = scene.bank.calls
    outcome = Visitor(door=scene.door).knock("/accounts")
    report.compare("the handshake ends with the alert", "certificate_required", outcome.failure)
    report.compare("requests that reached the bank", "0", str(scene.bank.calls - before))


def _stranger(scene: DemoEnvironment, report: Report) -> None:
    before = scene.bank.calls
    for what, alert, same_name in (
        ("an authority that the door does not know", "unknown_ca", False),
        ("an authority with our authority's name", "decrypt_error", True),
    ):
        folder = scene.folder / "people" / f"mallory-{alert}"
        chain, key = make_stranger(folder, scene.installation, same_name=same_name)
        outcome = Visitor(door=scene.door, certificate=chain, key=key).knock("/accounts")
        report.compare(what, alert, outcome.failure)
    report.compare("requests that reached the bank", "0", str(scene.bank.calls - before))


def _alice_reads(scene: DemoEnvironment, report: Report) -> None:
    outcome = scene.visitors["alice"].get("/accounts")
    report.compare("GET /accounts", "200", _status(outcome))
    accounts = outcome.body.get("accounts", {}) if isinstance(outcome.body, dict) else {}
    report.compare(
        "the bank knows her", "alice", str(outcome.body.get("holder", "")) if accounts else "no one"
    )
    for number, balance in accounts.items():
        report.aside(f"account {number}: {balance}")


def _bob_refused(scene: DemoEnvironment, report: Report) -> None:
    before = scene.bank.calls
    bob = scene.visitors["bob"]
    report.compare("GET / (visitors may)", "200", _status(bob.get("/")))
    report.compare("GET /accounts", "403", _status(bob.get("/accounts")))
    services = scene.installation.services
    decision = explain(services, principal="bob", app="bank", method="GET", path="/accounts").decision
    report.compare("the reason", "no-rule-matched", decision.reasons[-1].value)
    for finding in decision.findings:
        report.aside(f"{finding.rule}: {finding.why}")
    report.compare("requests that reached the bank", "1", str(scene.bank.calls - before))


def _spoofing(scene: DemoEnvironment, report: Report) -> None:
    outcome = scene.visitors["alice"].get("/whoami", headers=SPOOFED)
    headers: dict[str, Any] = outcome.body if isinstance(outcome.body, dict) else {}
    report.compare("Doorward-Principal at the bank", "person/alice", str(headers.get("doorward-principal")))
    arrived = [name for name, value in SPOOFED.items() if headers.get(name.lower()) == value]
    report.compare("spoofed values that arrived", "none", ", ".join(arrived) or "none")


def _deny_added(scene: DemoEnvironment, report: Report) -> None:
    alice, services = scene.visitors["alice"], scene.installation.services
    report.compare(
        "GET /accounts/8 on an open connection", "200", _status(alice.get("/accounts/8", keep=True))
    )
    ended = Ending(alice)
    applied = apply_document(services, scene.document + DENY, file="the demo's document", actor=ACTOR)
    committed = committed_at(scene, applied.seq)
    judge_end(report, "her open connection ends", ended.moment(), committed)
    await_confirmations(services, applied.seq, sleep=time.sleep)
    report.compare("GET /accounts/8 on a new connection", "403", _status(alice.get("/accounts/8")))
    report.compare("GET /accounts/7, still allowed", "200", _status(alice.get("/accounts/7")))
    alice.close()


def _revoked(scene: DemoEnvironment, report: Report) -> None:
    alice, services = scene.visitors["alice"], scene.installation.services
    report.compare("GET /accounts on an open connection", "200", _status(alice.get("/accounts", keep=True)))
    with scene.visitors["carol"].live("/accounts/live") as carols, alice.live("/accounts/live") as hers:
        carols.recv(timeout=WITHIN_SECONDS)
        hers.recv(timeout=WITHIN_SECONDS)
        on_request, on_socket = Ending(alice), SocketEnding(hers)
        scene.installation.unlock()
        principal = list_certificates(services, CertificateFilter(state=CertificateState.VALID))
        certificate = next(one for one in principal if one.subject_name == "alice")
        seq = revoke(scene.installation.services, certificate.id, RevocationReason.KEY_COMPROMISE, ACTOR)
        committed = committed_at(scene, seq)
        refused = alice.get("/accounts")
        refused_at = time.time()
        judge_end(report, "her open request connection ends", on_request.moment(), committed)
        judge_end(report, "her open WebSocket ends", on_socket.moment(), committed)
        report.judge(
            "a new connection is refused",
            "access_denied",
            refused.failure or _status(refused),
            good=refused.failure in {"access_denied", "connection closed"},
            note=f"request and refusal within {1000 * (refused_at - committed.timestamp()):.0f} ms of the commit",
        )
        lives = ended_within(carols, 0.3) is None
        report.compare("Carol's WebSocket", "stays open", "stays open" if lives else "ended")


def _evidence(scene: DemoEnvironment, report: Report) -> None:
    scene.up.end()  # no other process may use the database while the record is checked and altered
    evidence = Evidence(scene.installation)
    verified = evidence.verify()
    report.compare("the log verifies", "yes", "yes" if verified.verified else str(verified.faults[:1]))
    report.aside(f"{verified.size} events, {verified.anchored_size} of them under a signed checkpoint")
    number, event = next(
        (one["number"], one) for one in evidence.events(0) if one["type"] == "certificate:revoked"
    )
    scene.installation.close()
    where = alter_one_byte(scene.installation, str(event["id"]))
    report.aside(f"one byte of the stored event is changed {where}")
    faults = Evidence(scene.installation).verify().faults
    named = next((fault for fault in faults if fault.number == number), None)
    report.judge(
        "verification names the event",
        f"event {number}, certificate:revoked",
        f"event {named.number}, {named.event_type or 'altered beyond reading'}" if named else "nothing",
        good=named is not None,
        note=named.code.value if named else "",
    )


def committed_at(scene: DemoEnvironment, seq: int) -> datetime:
    """Return when the change with that number was made."""
    with scene.installation.services.work.read() as stores:
        return stores.changes.since(seq - 1, 1)[0].at


def _status(outcome: Outcome) -> str:
    return str(outcome.status) if outcome.status else outcome.failure


SCENES: tuple[Scene, ...] = (
    (
        "No certificate, no entry",
        "The TLS handshake asks for a certificate; without one there is no connection.",
        _no_certificate,
    ),
    (
        "A stranger's certificate is worth nothing",
        'Anybody can write "alice" into a certificate; only our authority\'s signature counts.',
        _stranger,
    ),
    (
        "Alice reads her accounts",
        "Her key was made on her machine; the bank learns her name from the door.",
        _alice_reads,
    ),
    (
        "Bob has a certificate, but not the right",
        "A request that no rule allows is refused, and the decision can be explained.",
        _bob_refused,
    ),
    (
        "A header that claims another name does not arrive",
        "The door removes identity headers of the client, and writes its own.",
        _spoofing,
    ),
    (
        "A transfer needs Alice's passkey too",
        "The rule asks for a second factor; her session is bound to her certificate.",
        transfer_by_passkey,
    ),
    (
        "A rule is added while Alice is connected",
        "A connection that loses a permission is cut at once. The next one is judged by the new rules.",
        _deny_added,
    ),
    (
        "Alice's certificate is revoked while she is connected",
        "The door waits for no CRL and no cache. Exactly her connections end.",
        _revoked,
    ),
    (
        "The record cannot be rewritten",
        "Every event is a leaf of a Merkle tree with a signed checkpoint.",
        _evidence,
    ),
)
