"""Certificate policies along a path: the valid policies, as a graph of bounded size.

RFC 5280's policy tree can grow exponentially with the length of the path (CVE-2023-0464). RFC 9618 replaces it by a
graph with one node for each policy and depth; it accepts the same paths. Only what the verdict needs is kept: for
each depth, a map from a policy to the policies that are expected of the next certificate, and to the policies above.

Standard: RFC 5280 sections 6.1.2 to 6.1.5, as updated by RFC 9618 section 5.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from doorward.verification.path.certificate import ANY_POLICY, PathCertificate
from doorward.verification.path.constraints import ComparisonBudget

_STEP_COST = 5
"""An edge of the graph takes as long as this many comparisons of names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInputs:
    """The inputs (c), (e), (f), (g) of RFC 5280 section 6.1.1.

    `acceptable` is the user-initial-policy-set, dotted; None means any policy, and so does a set that contains anyPolicy.
    """

    acceptable: frozenset[str] | None = None
    explicit: bool = False
    inhibit_mapping: bool = False
    inhibit_any: bool = False


@dataclass(slots=True)
class _Node:
    """One valid policy at one depth: the policies expected below, and the policies above that lead to it."""

    expected: set[str]
    parents: set[str] = field(default_factory=set)


class PolicyGraph:
    """The state of policy processing: call `process` for each certificate in order, then `wrap_up`.

    Args:
        inputs: see `PolicyInputs`.
        length: certificates in the path, without the anchor.
        budget: pays for the edges of the graph; None for a new one.
    """

    def __init__(self, inputs: PolicyInputs, length: int, budget: ComparisonBudget | None = None) -> None:
        self._inputs = inputs
        self._budget = budget or ComparisonBudget()
        self._explicit = 0 if inputs.explicit else length + 1
        self._any = 0 if inputs.inhibit_any else length + 1
        self._mapping = 0 if inputs.inhibit_mapping else length + 1
        self._depths: list[dict[str, _Node]] | None = [{ANY_POLICY: _Node({ANY_POLICY})}]

    def process(self, certificate: PathCertificate, *, last: bool) -> bool:
        """Steps (d) to (f) of 6.1.3; return whether the path is still valid.

        Raises:
            ComparisonsExceeded: the budget is used up.
        """
        if certificate.policies is None:
            self._depths = None
        elif self._depths is not None:
            edges = sum(len(node.expected) for node in self._depths[-1].values())
            self._budget.spend(_STEP_COST * (edges + len(certificate.policies)))
            may_be_any = self._any > 0 or (not last and certificate.self_issued)
            self._depths.append(
                self._next_depth(certificate.policies, self._depths[-1], may_be_any=may_be_any)
            )
            if not self._depths[-1]:
                self._depths = None
        return self._explicit > 0 or self._depths is not None

    @staticmethod
    def _next_depth(
        policies: frozenset[str], above: dict[str, _Node], *, may_be_any: bool
    ) -> dict[str, _Node]:
        """Step (d): return the nodes of the next depth, each with the policies above that expect it."""
        depth: dict[str, _Node] = {}
        expecting: dict[str, set[str]] = {}  # inverted once: a search for each policy would be quadratic
        for name, node in above.items():
            for policy in node.expected:
                expecting.setdefault(policy, set()).add(name)
        for policy in policies - {ANY_POLICY}:
            parents = expecting.get(policy, set())
            if not parents and ANY_POLICY in above:
                parents = {ANY_POLICY}
            if parents:
                depth[policy] = _Node({policy}, parents)
        if ANY_POLICY in policies and may_be_any:
            for policy in expecting.keys() - depth.keys():
                depth[policy] = _Node({policy}, expecting[policy])
        return depth

    def prepare_next(self, certificate: PathCertificate) -> bool:
        """Steps (a), (b) and (h) to (j) of 6.1.4; return whether the path is still valid."""
        if any(ANY_POLICY in pair for pair in certificate.mappings):
            return False
        if certificate.mappings and self._depths is not None:
            self._map(certificate)
        if not certificate.self_issued:
            self._explicit = max(0, self._explicit - 1)
            self._mapping = max(0, self._mapping - 1)
            self._any = max(0, self._any - 1)
        if certificate.explicit_policy is not None:
            self._explicit = min(self._explicit, certificate.explicit_policy)
        if certificate.inhibit_mapping is not None:
            self._mapping = min(self._mapping, certificate.inhibit_mapping)
        if certificate.inhibit_any is not None:
            self._any = min(self._any, certificate.inhibit_any)
        return True

    def _map(self, certificate: PathCertificate) -> None:
        """Step (b) of 6.1.4."""
        assert self._depths is not None
        depth = self._depths[-1]
        mapped: dict[str, set[str]] = {}
        for issuer, subject in certificate.mappings:
            mapped.setdefault(issuer, set()).add(subject)
        for policy, subjects in mapped.items():
            if self._mapping > 0:
                if policy in depth:
                    depth[policy].expected = subjects
                elif ANY_POLICY in depth:
                    depth[policy] = _Node(subjects, {ANY_POLICY})
            else:
                depth.pop(policy, None)
        if not depth:
            self._depths = None

    def wrap_up(self, certificate: PathCertificate) -> bool:
        """Steps (a), (b) and (g) of 6.1.5; return whether the path is acceptable."""
        self._explicit = max(0, self._explicit - 1)
        if certificate.explicit_policy == 0:
            self._explicit = 0
        return self._explicit > 0 or bool(self.user_constrained_policies())

    def user_constrained_policies(self) -> frozenset[str]:
        """Return the policies that are valid for the path and acceptable (user-constrained-policy-set).

        `2.5.29.32.0` in it means any policy.
        """
        valid = self._valid()
        wanted = self._inputs.acceptable
        if wanted is None or ANY_POLICY in wanted:
            return frozenset(valid)
        return wanted if ANY_POLICY in valid else wanted & valid

    def _valid(self) -> set[str]:
        """Return the policies as the first authority that named them calls them (6.1.5 g 2 to 4)."""
        if self._depths is None:
            return set()
        reached = set(self._depths[-1])
        valid = reached & {ANY_POLICY}
        for depth in reversed(self._depths[1:]):
            nodes = {policy: depth[policy] for policy in reached}
            valid |= {
                name for name, node in nodes.items() if name != ANY_POLICY and node.parents == {ANY_POLICY}
            }
            reached = {parent for node in nodes.values() for parent in node.parents}
        return valid
