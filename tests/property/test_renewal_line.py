"""Any history of renewals, withdrawals and passing time: lines never branch, and no key is certified twice."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from doorward.authority import revocation
from doorward.authority.issuing import Issued, renew
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import PrincipalState
from doorward.core.errors import RequestRefused
from doorward.core.ports import KeyKind, PrivateKey
from doorward.directory import principals as directory
from doorward.pki.csr import build_csr
from doorward.stores.records import CertificateFilter, CertificateRecord
from doorward.verification.validity import ends_at
from tests.support.certificates.issuing import cached_key
from tests.support.world import OPERATOR, World, found_world

KEYS = 12
PICK = st.integers(0, 30)
AFTER_END = timedelta(days=30)


class Line(RuleBasedStateMachine):
    """One device, an operator and a clock; every certificate may try to renew with every key at any time."""

    @initialize()
    def found(self) -> None:
        """Issue two certificates: two lines."""
        self.world: World = found_world()
        self.requests = {number: build_csr(key_number(number), "x") for number in range(KEYS)}
        for _ in range(2):
            self.world.issue("sensor-1")

    def records(self) -> list[CertificateRecord]:
        """Every certificate that was ever valid."""
        with self.world.work.read() as stores:
            every = stores.certificates.list(CertificateFilter())
        return [
            one for one in every if one.profile == "device" and one.state is not CertificateState.INTENDED
        ]

    @rule(which=PICK, key=st.integers(0, KEYS - 1))
    def renew(self, which: int, key: int) -> None:
        """Try; what succeeds must have been allowed."""
        before = self.records()
        record = before[which % len(before)]
        principal = self.world.principal("sensor-1")
        try:
            issued: Issued = renew(self.world.services, record, self.requests[key], actor=principal.id)
        except RequestRefused:
            assert len(self.records()) == len(before)
            return
        assert record.state is CertificateState.VALID
        assert principal.state is PrincipalState.ACTIVE
        assert self.world.clock.now() < ends_at(record.not_after) + AFTER_END
        assert issued.record.replaces == record.id
        assert issued.record.state is CertificateState.VALID
        if issued.record.id in {one.id for one in before}:
            assert len(self.records()) == len(before)
        else:
            assert record.id not in {one.replaces for one in before}
            assert issued.record.spki_sha256 not in {one.spki_sha256 for one in before}

    @rule(which=PICK, wanted=st.sampled_from(["revoke", "hold", "release"]))
    def withdraw(self, which: int, wanted: str) -> None:
        """Change the state of a certificate."""
        record = self.records()[which % len(self.records())]
        services = self.world.services
        try:
            if wanted == "revoke":
                revocation.revoke(services, record.id, RevocationReason.SUPERSEDED, OPERATOR)
            else:
                (revocation.hold if wanted == "hold" else revocation.release)(services, record.id, OPERATOR)
        except RequestRefused as error:
            assert error.code == "transition-refused"  # noqa: PT017  a rule has no other way

    @rule(suspended=st.booleans())
    def change_holder(self, suspended: bool) -> None:  # noqa: FBT001  as the strategy gives it
        """Suspend or resume the device."""
        (directory.suspend if suspended else directory.resume)(
            self.world.services, "sensor-1", actor=OPERATOR
        )

    @rule(days=st.sampled_from([1, 29, 31, 200, 365]))
    def wait(self, days: int) -> None:
        """Let time pass."""
        self.world.clock.turn(days=days)

    @invariant()
    def lines_do_not_branch(self) -> None:
        """Each certificate has at most one successor, and each key one certificate."""
        if not hasattr(self, "world"):
            return
        records = self.records()
        replaced = [one.replaces for one in records if one.replaces]
        assert len(set(replaced)) == len(replaced)
        assert len({one.spki_sha256 for one in records}) == len(records)

    @invariant()
    def suspicions_are_about_the_newest(self) -> None:
        """A suspicion names a certificate that was not renewed itself."""
        if not hasattr(self, "world"):
            return
        records = {one.id: one for one in self.records()}
        replaced = {one.replaces for one in records.values()}
        with self.world.work.read() as stores:
            found = stores.suspected_clones.list()
        for one in found:
            assert one.certificate_id not in replaced
            assert records[one.shown_id].id in replaced


def key_number(number: int) -> PrivateKey:
    """One of a few keys."""
    return cached_key(KeyKind.P256, number=100 + number)


TestLine = Line.TestCase
TestLine.settings = settings(max_examples=8, stateful_step_count=25, deadline=None)
