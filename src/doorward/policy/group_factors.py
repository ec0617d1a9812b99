"""The key `factors` of a document: the second factors that members of a group must have enrolled.

    factors: {tellers: [webauthn], staff: [any]}

Not here: requirements of rules (`requirements`), enrolling a factor (directory), asking people to enrol one (web).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from doorward.core.entities import Principal, PrincipalKind
from doorward.core.errors import MalformedInput
from doorward.core.factor_kinds import FactorKind
from doorward.core.names import parse_principal_name
from doorward.policy.node_reader import NodeReader
from doorward.policy.requirement_text import read_factor
from doorward.policy.requirements import ANY_FACTOR, SECOND_FACTORS
from doorward.policy.scalars import render_list, render_scalar
from doorward.policy.yaml_tree import Node, Scalar

if TYPE_CHECKING:
    from doorward.policy.model import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredFactors:
    """The factors that a person must have.

    Args:
        kinds: all of these kinds.
        any_kind: at least one factor of any kind; False if `kinds` is not empty.
    """

    kinds: frozenset[FactorKind] = frozenset()
    any_kind: bool = False

    def __post_init__(self) -> None:
        if not self.kinds <= SECOND_FACTORS or (self.any_kind and self.kinds):
            raise ValueError("required factors are either kinds of second factors, or one of any kind")

    @property
    def words(self) -> tuple[str, ...]:
        """The words in a document: the kinds, sorted, or `any`."""
        return (ANY_FACTOR,) if self.any_kind else tuple(sorted(kind.value for kind in self.kinds))

    def find_missing(self, enrolled: Collection[FactorKind]) -> RequiredFactors:
        """Return the required factors that are not among these kinds."""
        has_any = not SECOND_FACTORS.isdisjoint(enrolled)
        return RequiredFactors(kinds=self.kinds.difference(enrolled), any_kind=self.any_kind and not has_any)

    def __or__(self, other: RequiredFactors) -> RequiredFactors:
        kinds = self.kinds | other.kinds
        return RequiredFactors(kinds=kinds, any_kind=not kinds and (self.any_kind or other.any_kind))

    def __bool__(self) -> bool:
        return bool(self.words)


NO_FACTORS = RequiredFactors()

GroupFactors = tuple[tuple[str, RequiredFactors], ...]
"""Groups with the factors that their members must have, sorted by group, each group once, each with a factor."""


def required_factors(document: Document, principal: Principal) -> RequiredFactors:
    """Return the factors that all groups of a principal require together. Devices and services have no second factor.

    `principal` has its current groups, including those of its partner.
    """
    if principal.kind is not PrincipalKind.PERSON:
        return NO_FACTORS
    return _join(factors for group, factors in document.factors if group in principal.groups)


def _join(every: Iterable[RequiredFactors]) -> RequiredFactors:
    joined = NO_FACTORS
    for one in every:
        joined |= one
    return joined


def read_group_factors(reader: NodeReader, node: Node) -> GroupFactors:
    """Return the value of the key; note faults."""
    if isinstance(node, Scalar) and not node.given:
        return ()
    found = {}
    for group, value in reader.entries(node, "factors", example="{tellers: [webauthn], staff: [any]}"):
        key = f"factors.{group.value}"
        try:
            name = parse_principal_name(group.value)
        except MalformedInput as error:
            reader.add_malformed(group, error, key=key)
            continue
        found[name] = _join(
            RequiredFactors(kinds=frozenset() if kind is None else frozenset({kind}), any_kind=kind is None)
            for kind in [read_factor(reader, text, key) for text in reader.texts(value, key)]
        )
    return tuple(sorted(found.items()))


def check_group_factors(factors: GroupFactors) -> None:
    """Raise `ValueError` unless the groups are sorted, each once, and each requires something."""
    groups = [group for group, _ in factors]
    if groups != sorted(set(groups)) or not all(required for _, required in factors):
        raise ValueError("groups with required factors are sorted, each once, each with a factor")


def render_group_factors(factors: GroupFactors) -> list[str]:
    """Return the lines of the key in the canonical document; none if nothing is required."""
    lines = [f"  {render_scalar(group)}: {render_list(required.words)}" for group, required in factors]
    return ["factors:", *lines] if lines else []


def group_facts(factors: GroupFactors) -> dict[str, str]:
    """Return the facts that `diff` compares."""
    return {f"factors.{group}": ", ".join(required.words) for group, required in factors}
