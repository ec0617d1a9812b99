"""Whatever happens, each complete CRL that has not ended says with the newest delta what a complete CRL of this moment would say."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.authority import revocation
from doorward.authority.status import crl_deltas, crls
from doorward.authority.status.partitions import (
    delta_of,
    division_of,
    is_delta,
    partition_names,
    partition_of,
)
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.stores.records import AuthorityKind, CrlRecord
from doorward.stores.services import Services
from tests.support.deltas import apply_delta, base_number, entries_of, freshest
from tests.support.world import OPERATOR, World, found_world

CERTIFICATES = 4
STEPS = st.one_of(
    st.tuples(
        st.sampled_from(["hold", "release", "revoke", "revoke-held"]), st.integers(0, CERTIFICATES - 1)
    ),
    st.tuples(st.just("pass"), st.sampled_from([11, 7_200, 11_000, 43_201])),
    st.tuples(st.just("set back"), st.sampled_from([7_200, 180_000])),
    st.tuples(st.just("full"), st.just(0)),
    st.tuples(st.just("switch"), st.booleans()),
)


class Published:
    """An authority with two partitions, and every CRL that it has published."""

    def __init__(self) -> None:
        self.world: World = found_world(document="")
        self.services: Services = replace(self.world.services, crl_deltas=True, crl_partitions=2)
        self.lists: list[CrlRecord] = []
        self.was_ahead = False
        self.taken: list[CrlRecord] = []
        """By relying parties: without those that began, or had ended, only by a clock that was ahead."""
        self.make()
        self.held = [self.world.issue("sensor-1").record for _ in range(CERTIFICATES)]

    def make(self, *names: str) -> None:
        """Make these CRLs and what is due; remember them."""
        due = {*names, *crls.due_crls(self.services, self.world.clock.now())}
        if due:
            made = crls.publish_crls(self.services, due).values()
            self.lists += made
            self.taken += made

    def apply(self, step: str, number: int) -> None:
        """Do one step."""
        if step == "pass":
            self.world.clock.turn(seconds=number)
        elif step == "set back":
            self.was_ahead = True
            ended = self.world.clock.now()
            self.world.clock.turn(seconds=-number)
            now = self.world.clock.now()
            self.taken = [one for one in self.taken if one.this_update <= now and ended < one.next_update]
        elif step == "full":
            self.make("", *partition_names(2))
        elif step == "switch":
            self.services = replace(self.services, crl_deltas=bool(number))
        else:
            self._change(step, number)

    def _change(self, step: str, number: int) -> None:
        with self.world.work.read() as stores:
            record = stores.certificates.get(self.held[number].id)
        assert record is not None
        state = record.state
        if step == "hold" and state is CertificateState.VALID:
            revocation.hold(self.services, record.id, OPERATOR)
        elif step == "release" and state is CertificateState.ON_HOLD:
            revocation.release(self.services, record.id, OPERATOR)
        elif (step == "revoke" and state is CertificateState.VALID) or (
            step == "revoke-held" and state is CertificateState.ON_HOLD
        ):
            revocation.revoke(self.services, record.id, RevocationReason.SUPERSEDED, OPERATOR)

    def truth(self, scope: str) -> dict[int, str]:
        """What the inventory says about the certificates of a scope."""
        with self.world.work.read() as stores:
            records = [stores.certificates.get(one.id) for one in self.held]
        return {
            one.serial: one.reason.value.replace("-", "_")
            for one in records
            if one is not None
            and one.reason is not None
            and partition_of(one.serial, division_of(scope)) == scope
        }

    def newest(self, name: str) -> CrlRecord | None:
        """What is served under a name."""
        with self.world.work.read() as stores:
            issuing = stores.authorities.current(AuthorityKind.ISSUING)
            assert issuing is not None
            return stores.status.crl(issuing.id, name)

    def check(self, scope: str) -> None:
        """Compare what relying parties know with the truth, after all that is due was made."""
        now, truth = self.world.clock.now(), self.truth(scope)
        complete, delta = self.newest(scope), self.newest(delta_of(scope))
        assert complete is not None
        assert complete.next_update > now
        if delta is None or complete.number >= delta.number:
            assert entries_of(complete.der) == truth
        if delta is None:
            left = [one for one in self.taken if self._names_delta(one, scope) and one.next_update > now]
            assert not left or (self.was_ahead and all(one.number < complete.number for one in left))
            return
        assert delta.next_update > now
        for one in self.taken:
            if self._names_delta(one, scope) and one.next_update > now:
                if one.number >= base_number(delta.der):
                    assert apply_delta(one.der, delta.der) == truth
                else:
                    assert one.number < complete.number  # given up for a newer one

    def _names_delta(self, one: CrlRecord, scope: str) -> bool:
        return one.partition == scope and freshest(one.der) is not None

    def check_numbers(self) -> None:
        """Numbers of one scope grow, and so do bases; lists of one number were made together."""
        for scope in ("", *partition_names(2)):
            complete = [one for one in self.lists if one.partition == scope]
            deltas = [one for one in self.lists if one.partition == delta_of(scope)]
            for group in (complete, deltas):
                numbers = [one.number for one in group]
                assert numbers == sorted(set(numbers))
            bases = [base_number(one.der) for one in deltas]
            assert bases == sorted(bases)
            made = {one.number: one for one in complete}
            for one in deltas:
                assert is_delta(one.partition)
                assert one.number not in made or made[one.number].through_seq == one.through_seq


@settings(max_examples=60)
@given(st.lists(STEPS, max_size=25), st.sampled_from([1, 2, 100]))
def test_a_base_and_its_delta_are_a_complete_list(steps: list[tuple[str, int]], bound: int) -> None:
    """Revocations, holds, releases, time, clocks set back, full lists out of turn, deltas switched on and off or too large."""
    with patch.object(crl_deltas, "FEWEST_CHANGES", bound):
        authority = Published()
        for step, number in steps:
            authority.apply(step, number)
            authority.world.clock.turn(seconds=11)
            authority.make()
            for scope in ("", *partition_names(2)):
                authority.check(scope)
        authority.check_numbers()
