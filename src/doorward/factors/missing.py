"""Which factors of those that a policy requires a person does not have yet."""

from __future__ import annotations

from collections.abc import Iterable

from doorward.core.factor_kinds import FactorKind


def missing_factors(required: Iterable[FactorKind], enrolled: Iterable[FactorKind]) -> tuple[FactorKind, ...]:
    """Return the kinds that are required and not enrolled, the strongest first.

    Args:
        required: what the policy asks of all groups that the person is in.
        enrolled: what the person has.
    """
    return tuple(sorted(set(required) - set(enrolled), key=lambda kind: -kind.strength))
