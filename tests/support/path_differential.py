"""The differential check of paths, as long as it is asked to run: chains with faults put in, three judges.

`check_against_openssl` and `check_against_library` fail where judges disagree in a way that nobody has read
up (path_differences).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hypothesis import event, note
from hypothesis import strategies as st

from doorward.verification.path.policies import PolicyInputs
from tests.support.chains import FAULTS, P1, P2, Built, Chain, build
from tests.support.path_differences import LIBRARY, OPENSSL, Difference, find_kind
from tests.support.path_judges import Opinion, judge_library, judge_openssl, judge_ours

_DEEPEST = 3
_FAULTS = st.sampled_from(sorted(FAULTS))


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    """Chains of up to three authorities below the anchor, with up to three faults."""
    authorities = draw(st.integers(0, _DEEPEST))
    one = st.integers(1, max(authorities, 1))
    some = (
        st.one_of(st.just(frozenset()), st.frozensets(one, max_size=2))
        if authorities
        else st.just(frozenset())
    )
    return Chain(
        authorities=authorities,
        faults=tuple(draw(st.lists(st.tuples(st.integers(0, authorities + 1), _FAULTS), max_size=3))),
        self_issued=draw(some),
        crossed=draw(some),
        twins=tuple(draw(st.lists(st.tuples(one, _FAULTS), max_size=1 if authorities else 0))),
        with_policies=draw(st.booleans()),
    )


policy_inputs = st.builds(
    PolicyInputs,
    acceptable=st.sampled_from([None, None, frozenset({P1}), frozenset({P2})]),
    explicit=st.booleans(),
    inhibit_mapping=st.booleans(),
    inhibit_any=st.booleans(),
)
"""For chains with policies; others are judged without, or nearly all would be bad."""


def check_against_openssl(chain: Chain, policies: PolicyInputs, folder: Path) -> None:
    """Hold our verdict against that of `openssl verify`."""
    asked = policies if chain.with_policies else PolicyInputs()

    def judge_both(built: Built) -> tuple[Opinion, Opinion]:
        ours = judge_ours(built, asked)
        theirs = judge_openssl(built, asked, folder)
        if ours.good and not theirs.good and len(built.others) > len(ours.path) - 2:
            event("openssl was asked again with our path only")
            theirs = judge_openssl(built, asked, folder, ours.path[1:-1])
        return ours, theirs

    _compare(chain, judge_both, OPENSSL)


def check_against_library(chain: Chain) -> None:
    """Hold our verdict against that of the library's ClientVerifier, without policy inputs."""
    _compare(chain, lambda built: (judge_ours(built, PolicyInputs()), judge_library(built)), LIBRARY)


def _compare(
    chain: Chain, judge_both: Callable[[Built], tuple[Opinion, Opinion]], kinds: tuple[Difference, ...]
) -> None:
    """Take the faults of the kind that explains a disagreement out, until both agree."""
    ours, theirs = judge_both(build(chain))
    event(f"we say {'good' if ours.good else 'bad'}")
    while ours.good != theirs.good:
        note(f"{chain}\nours: {ours.good} {ours.why}\ntheirs: {theirs.good} {theirs.why}")
        kind = find_kind(kinds, chain, ours, theirs)
        assert kind is not None, "they disagree, and no kind of difference explains it"
        event(f"they differ: {kind.name}")
        chain = chain.without(kind.faults)
        ours, theirs = judge_both(build(chain))
