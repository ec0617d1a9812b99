"""The suites' cases as real handshakes: each is a partner and an application of its own behind one Envoy.

A partner is stored below the import lint, which would refuse many of these authorities: here the door is
asked, with whatever was let past the lint. What the records cannot say (policies, depth, a profile that is
not held) is put where a partner's trust is built. Cases of another time are judged at theirs: the
gateway's clock stands at that moment, and Envoy, which uses the machine's clock, does not look at dates.
They must fit into one batch: what a gateway of another time still holds open it ends when that time is over.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from doorward.core.entities import TENANT, PrincipalKind, Reason
from doorward.core.errors import MalformedInput
from doorward.directory.principals import add_principal, create_group
from doorward.partners import trust as partner_trust
from doorward.partners.evidence.sources import SourceScan
from doorward.partners.examining import examine
from doorward.partners.terms import Terms
from doorward.stores.partner_records import (
    PartnerAuthorityRecord,
    PartnerRecord,
)
from doorward.stores.records import ChangeKind
from doorward.verification import partner as partner_judging
from doorward.verification.import_lint import Severity
from doorward.verification.partner import PartnerTrust, RevocationMode
from doorward.verification.path.certificate import parse_path_certificate
from doorward.verification.path.conformance import PathInputs
from tests.support.doorway import ACTOR, Doorway, open_doorway, render_document
from tests.support.records import fetched_crl
from tests.support.wire_cases import Played, WireCase

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
GROUP = "vectors"
RULES = f"- {{allow: {{groups: [{GROUP}]}}}}"
SLOTS = tuple(f"slot-{number}" for number in range(13))
"""Applications that the cases take turns in."""

_SECONDS = 10.0
_DAY = timedelta(days=1)


class TurnedClock:
    """The machine's clock, or the moment that it was turned to."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.moment: datetime | None = None

    def now(self) -> datetime:
        return self.moment or self._real.now()

    def monotonic(self) -> float:
        return float(self._real.monotonic())


class WireGate:
    """A door that plays cases; make it with `open_gate`."""

    def __init__(self, door: Doorway, clock: TurnedClock, inputs: dict[str, PathInputs]) -> None:
        self.door, self.clock, self._inputs = door, clock, inputs
        self.linted: set[str] = set()
        create_group(door.services, GROUP, actor=ACTOR)

    def play(self, cases: Sequence[WireCase]) -> dict[str, tuple[Played, ...]]:
        """Play cases, batch by batch; return what came of each, TLS 1.2 first."""
        found = {}
        for start in range(0, len(cases), len(SLOTS)):
            found.update(self._play_batch(start, cases[start : start + len(SLOTS)]))
        return found

    def _play_batch(self, start: int, batch: Sequence[WireCase]) -> dict[str, tuple[Played, ...]]:
        """The applications stay, and each trusts the partner of the next case: no door is replaced by another."""
        found = {}
        partners = {f"case-{start + number}": case for number, case in enumerate(batch)}
        playable = {name: case for name, case in partners.items() if self._store(name, case)}
        slots = dict(zip(playable, SLOTS, strict=False))
        trusted = {**dict.fromkeys(SLOTS, "own"), **{slot: name for name, slot in slots.items()}}
        self.door.apply_document(
            render_document(*(self.door.app(slot, RULES, trust=f"[{one}]") for slot, one in trusted.items()))
        )
        for name, case in partners.items():
            if name not in playable:
                found[case.id] = (Played(admitted=False, word="import"),) * len(VERSIONS)
                continue
            self.clock.moment = case.moment
            try:
                found[case.id] = tuple(self._shake(slots[name], case, version) for version in VERSIONS)
            finally:
                self.clock.moment = None
        return found

    def _store(self, name: str, case: WireCase) -> bool:
        """Trust a case's authorities; False if there is none that can be read."""
        if not case.anchors:
            return False
        now = datetime.now(UTC)
        terms = Terms(
            revocation=RevocationMode.OFF if case.crls is None else RevocationMode.REQUIRE,
            source=case.source,
            groups=(GROUP,),
            everyone=not case.name,
        )
        found = examine(
            self.door.services, name, terms, anchors=case.anchors, intermediates=case.intermediates
        )
        if any(one.code.severity is Severity.ERROR for one in found):
            self.linted.add(case.id)
        services = self.door.services
        record = PartnerRecord(
            id=services.new_id("ptn"),
            tenant=TENANT,
            name=name,
            created_at=now,
            **{field: getattr(terms, field) for field in Terms.__slots__},
        )
        self._inputs[name] = case.inputs
        with services.work.change() as stores:
            stores.partners.add(record)
            stores.partners.set_authorities(record.id, list(self._authorities(record, case, now)))
            stores.changes.note(ChangeKind.PARTNER, record.id, now)
            for number, der in enumerate(case.crls or ()):
                stores.evidence.store(fetched_crl(record.id, f"http://crl.example/{number}", der, now))
            stores.changes.note(ChangeKind.EVIDENCE, record.id, now)
        if case.name:
            with contextlib.suppress(MalformedInput):  # a name that no principal can have is in no directory
                add_principal(services, PrincipalKind.PERSON, f"{name}/{case.name}", actor=ACTOR)
        return True

    def _authorities(
        self, record: PartnerRecord, case: WireCase, now: datetime
    ) -> Iterator[PartnerAuthorityRecord]:
        for der in dict.fromkeys((*case.anchors, *case.intermediates)):
            yield PartnerAuthorityRecord(
                id=self.door.services.new_id("aut"),
                tenant=TENANT,
                partner_id=record.id,
                sha256=hashlib.sha256(der).hexdigest(),
                anchor=der in case.anchors,
                der=der,
                not_after=parse_path_certificate(der).not_after,
                created_at=now,
            )

    def _shake(self, name: str, case: WireCase, version: ssl.TLSVersion) -> Played:
        chain, key = self.door.folder / f"{name}.pem", self.door.folder / f"{name}.key"
        chain.write_text(case.chain, encoding="ascii")
        key.write_text(case.key, encoding="ascii")
        context = ssl.create_default_context(cafile=str(self.door.root))
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(chain, key)
        host = self.door.host(name)
        connected = self._connect()
        try:
            with (
                connected as plain,
                context.wrap_socket(plain, server_hostname=host) as secure,
            ):
                secure.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                answer = secure.recv(4096)
        except ssl.SSLError as error:
            return Played(admitted=False, word=f"alert: {error.reason}" if error.reason else "closed")
        except TimeoutError:
            raise  # no alert is no refusal
        except OSError:
            return Played(admitted=False, word="closed")
        if answer.startswith(b"HTTP/1.1 200 "):
            return Played(admitted=True, word="200")
        return Played(admitted=False, word=answer[:12].decode("ascii", "replace") or "closed")

    def _connect(self) -> socket.socket:
        """Connect; while one Envoy replaces another, no process listens for a moment, which is no verdict."""
        limit = time.monotonic() + _SECONDS
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.door.port), _SECONDS)
            except ConnectionRefusedError:
                assert time.monotonic() < limit, "the door does not listen"
                time.sleep(0.05)


def _ignore_dates(resource: dict[str, Any]) -> dict[str, Any]:
    if "validation_context" in resource:
        resource["validation_context"]["allow_expired_certificate"] = True
    return resource


@contextlib.contextmanager
def open_gate(
    patch: pytest.MonkeyPatch, *, any_purpose: bool = False, dates: bool = True
) -> Iterator[WireGate]:
    """Open a door for cases.

    Args:
        patch: takes back what is put in the place of ours.
        any_purpose: the leaf need not be made for TLS clients, as in NIST PKITS.
        dates: whether Envoy looks at the dates of certificates; not where cases are of another time.
    """
    inputs: dict[str, PathInputs] = {}
    build = partner_trust.build_partner_trust

    def build_with_inputs(
        record: PartnerRecord, authorities: Sequence[PartnerAuthorityRecord]
    ) -> PartnerTrust:
        return replace(build(record, authorities), inputs=inputs[record.name])

    patch.setattr(partner_trust, "build_partner_trust", build_with_inputs)
    if any_purpose:
        patch.setattr(partner_judging, "judge_purpose", lambda _parsed: Reason.PURPOSE_CLIENT)
    patch.setattr(
        SourceScan, "step", lambda _self: False
    )  # the evidence is the case's own: nothing is fetched
    clocks: list[TurnedClock] = []

    def turn(real: Any) -> TurnedClock:
        clocks.append(TurnedClock(real))
        return clocks[-1]

    with open_doorway(turn_clock=turn, alter=None if dates else _ignore_dates) as door:
        yield WireGate(door, clocks[0], inputs)
