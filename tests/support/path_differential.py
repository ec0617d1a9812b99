"""The differential check of paths, as long as it is asked to run: chains with faults put in, three judges.

`check_against_openssl` and `check_against_library` fail if judges disagree in a way that was not read
up (path_differences).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hypothesis import event, note
from hypothesis import strategies as st

from doorward.verification.path.policies import PolicyInputs
from tests.support.certificates.chains import FAULTS, P1, P2, Built, Chain, build
from tests.support.path_differences import LIBRARY, OPENSSL, Difference, find_kind
from tests.support.path_judges import Opinion, judge_library, judge_openssl, judge_ours

_DEEPEST = 3
_THEMES = (
    ("ends-now", "expired", "begins-now", "future"),
    ("path-length-0", "path-length-1", "no-basic-constraints", "not-ca"),
    ("purpose-server", "purpose-client", "purpose-any", "no-purpose"),
    ("cannot-certify", "no-usage", "basic-uncritical"),
    ("policy-1", "policy-2", "policy-both", "policy-any", "explicit-0", "explicit-1", "inhibit-any-0"),
    (
        "policy-1",
        "policy-2",
        "policy-both",
        "map-1-2",
        "map-swap",
        "map-any",
        "explicit-0",
        "inhibit-mapping-0",
    ),
    ("wrong-signature", "other-issuer", "unknown-critical", "unknown-uncritical", "no-key-ids"),
    tuple(sorted(FAULTS)),
)
"""Faults that have to do with each other: drawn from all at once, they would seldom meet."""

_FORMS = ("dns", "email", "uri", "ip", "dn")


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    """Chains of up to three authorities below the anchor, with up to three faults of one theme."""
    authorities = draw(st.integers(0, _DEEPEST))
    one = st.integers(1, max(authorities, 1))
    some = (
        st.one_of(st.just(frozenset()), st.frozensets(one, max_size=2))
        if authorities
        else st.just(frozenset())
    )
    faults = draw(st.one_of(_faults_of_a_theme(authorities + 1), _constraints_and_names(authorities + 1)))
    twin = st.sampled_from(sorted(FAULTS))
    return Chain(
        authorities=authorities,
        faults=tuple(faults),
        self_issued=draw(some),
        crossed=draw(some),
        twins=tuple(draw(st.lists(st.tuples(one, twin), max_size=1 if authorities else 0))),
        with_policies=draw(st.booleans()),
    )


def _faults_of_a_theme(top: int) -> st.SearchStrategy[list[tuple[int, str]]]:
    where = st.integers(0, top)
    return st.sampled_from(_THEMES).flatmap(
        lambda theme: st.lists(st.tuples(where, st.sampled_from(theme)), max_size=3)
    )


def _constraints_and_names(top: int) -> st.SearchStrategy[list[tuple[int, str]]]:
    """Subtrees in authorities, and names of the same form below them."""

    def of_form(form: str) -> st.SearchStrategy[list[tuple[int, str]]]:
        trees = [name for name in sorted(FAULTS) if name.startswith((f"permit-{form}", f"exclude-{form}"))]
        names = [name for name in sorted(FAULTS) if name.startswith(f"name-{form}")]
        above = st.lists(st.tuples(st.integers(1, top), st.sampled_from(trees)), min_size=1, max_size=2)
        below = st.lists(st.tuples(st.integers(0, top - 1), st.sampled_from(names)), min_size=1, max_size=2)
        return st.builds(lambda one, other: [*one, *other], above, below)

    return st.sampled_from(_FORMS).flatmap(of_form)


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
