"""Path validation, RFC 5280 section 6.1: the rules that concern several certificates of a complete path.

Each certificate was checked alone (conformance), and signatures and names were chained (building). What remains:

1. path length: the limit of each authority, and our own; self-issued certificates are not counted (6.1.4 l, m);
2. names: those of each certificate within the constraints of all authorities above it, and within the
   initial ones; self-issued certificates are excepted, but never the leaf (6.1.1 h, i; 6.1.3 b, c; 6.1.4 g);
3. policies: the graph of valid policies, and whether an acceptable one remains (6.1.3 d to f,
   6.1.4 a, b, h to j, 6.1.5 a, b, g).

Standard: RFC 5280 section 6.1; RFC 5937 for the anchor's constraints; RFC 9618.
Not checked here: revocation, which is judged afterwards for a path that is otherwise good.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.constraints import (
    ComparisonBudget,
    NameRefused,
    Subtrees,
    check_names,
    group_subtrees,
)
from doorward.verification.path.policies import PolicyGraph
from doorward.verification.path.rules import CertificationPathFault, PathRule

CertificationPath = tuple[PathCertificate, ...]
"""Leaf first, anchor last; at least two certificates."""


def check_path(
    path: CertificationPath, inputs: PathInputs, budget: ComparisonBudget
) -> tuple[CertificationPathFault, ...]:
    """Return the rules that a complete path breaks; empty if it is good.

    Args:
        path: leaf first, anchor last.
        inputs: requirements for the path.
        budget: for comparisons of names and policies, shared by all paths of one judgement.

    Raises:
        ComparisonsExceeded: the budget is used up.
    """
    return (
        *_check_length(path, inputs),
        *_check_names(path, inputs, budget),
        *_check_policies(path, inputs, budget),
    )


def _check_length(path: CertificationPath, inputs: PathInputs) -> Sequence[CertificationPathFault]:
    """Step 1: below an authority with a limit of n are at most n certificates that are not self-issued, and the leaf."""
    faults = []
    below = 0
    for authority in path[1:]:
        if authority.path_length is not None and below > authority.path_length:
            faults.append(
                CertificationPathFault(
                    rule=PathRule.PATH_TOO_LONG,
                    certificate=authority.sha256,
                    detail=f"{below} authorities below it, at most {authority.path_length}",
                )
            )
        below += not authority.self_issued
    count = sum(not one.self_issued for one in path[1:-1])
    if count > inputs.max_intermediates:
        detail = f"{count} intermediates, at most {inputs.max_intermediates}"
        faults.append(
            CertificationPathFault(rule=PathRule.PATH_TOO_LONG, certificate=path[0].sha256, detail=detail)
        )
    return faults


def _list_subtrees(
    path: CertificationPath, inputs: PathInputs
) -> Iterator[tuple[CertificationPath, Subtrees, str]]:
    """Yield the certificates that constraints apply to, the constraints, and who set them."""
    for position, authority in enumerate(path):
        if authority.subtrees is not None:
            yield path[:position], authority.subtrees, authority.sha256[:16]
    if inputs.initial_permitted or inputs.initial_excluded:
        yield path[:-1], group_subtrees(inputs.initial_permitted, inputs.initial_excluded), "the inputs"


def _check_names(
    path: CertificationPath, inputs: PathInputs, budget: ComparisonBudget
) -> Sequence[CertificationPathFault]:
    """Step 2."""
    faults = []
    for bound, subtrees, owner in _list_subtrees(path, inputs):
        for depth, below in enumerate(bound):
            if depth and below.self_issued:
                continue
            try:
                check_names(below.names, subtrees, budget)
            except NameRefused as refused:
                detail = f"{refused} of {owner}"
                faults.append(
                    CertificationPathFault(
                        rule=PathRule.NAME_NOT_PERMITTED, certificate=below.sha256, detail=detail
                    )
                )
    return faults


def _check_policies(
    path: CertificationPath, inputs: PathInputs, budget: ComparisonBudget
) -> Sequence[CertificationPathFault]:
    """Step 3."""
    fault, _ = _process_policies(path, inputs, budget)
    return [] if fault is None else [fault]


def list_valid_policies(path: CertificationPath, inputs: PathInputs) -> frozenset[str]:
    """Return the policies that are valid for a good path and acceptable; `2.5.29.32.0` in it means any.

    Standard: RFC 5280 section 6.1.6, the user-constrained-policy-set, as the first authority calls them.
    """
    if any(one.policies is None for one in path[:-1]):
        return frozenset()  # 6.1.3 (e): one certificate without policies ends the graph
    _, graph = _process_policies(path, inputs, ComparisonBudget())
    return graph.user_constrained_policies()


def _process_policies(
    path: CertificationPath, inputs: PathInputs, budget: ComparisonBudget
) -> tuple[CertificationPathFault | None, PolicyGraph]:
    """Process the policies from the anchor down, without the anchor's own policies (6.1.1)."""
    graph = PolicyGraph(inputs.policies, len(path) - 1, budget)
    for position in range(len(path) - 2, -1, -1):
        certificate = path[position]
        last = position == 0
        if not graph.process(certificate, last=last):
            return CertificationPathFault(
                rule=PathRule.POLICY_NOT_ACCEPTABLE, certificate=certificate.sha256
            ), graph
        if not last and not graph.prepare_next(certificate):
            return CertificationPathFault(
                rule=PathRule.POLICY_MAPPING_INVALID, certificate=certificate.sha256
            ), graph
    if not graph.wrap_up(path[0]):
        return CertificationPathFault(rule=PathRule.POLICY_NOT_ACCEPTABLE, certificate=path[0].sha256), graph
    return None, graph
