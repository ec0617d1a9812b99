"""Which second factors a person must have by the policy, and does not have.

The document's `factors` names groups. A person who lacks a factor is told so by the portal, and does not remove the last
one of a kind that is required.

Not here: what a rule asks for (policy.requirements); that is enforced by the door for each request.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from doorward.core.errors import RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.directory.callers import Caller
from doorward.policy.group_factors import NO_FACTORS, RequiredFactors, required_factors
from doorward.stores.factor_records import FactorRecord
from doorward.stores.partner_records import in_partners_groups
from doorward.stores.policy_snapshot import current_document
from doorward.stores.protocols import Stores
from doorward.stores.services import Services


def find_required(stores: Stores, principal_id: str) -> RequiredFactors:
    """Return what the document in force requires a principal to have; nothing if the directory has no such principal."""
    who = stores.directory.get(principal_id)
    document, _ = current_document(stores)
    if who is None or not document.factors:
        return NO_FACTORS
    partner = stores.partners.get(who.partner) if who.partner else None
    if partner is not None:
        who = in_partners_groups(stores.directory, who, partner.groups)
    return required_factors(document, who)


def find_missing_factors(
    services: Services, caller: Caller, kinds: Collection[FactorKind]
) -> RequiredFactors:
    """Return what the caller must have and does not have among these kinds."""
    with services.work.read() as stores:
        return find_required(stores, caller.principal_id).find_missing(kinds)


def refuse_if_required(
    stores: Stores, caller: Caller, left: Sequence[FactorRecord], kind: FactorKind
) -> None:
    """Refuse to remove a factor of a kind if the caller would then lack one that is required.

    Args:
        stores: of the change.
        caller: who removes it.
        left: the factors that would be left.
        kind: of the one that goes.

    Raises:
        RequestRefused: `factor-required`.
    """
    missing = find_required(stores, caller.principal_id).find_missing({one.kind for one in left})
    if kind in missing.kinds:
        raise RequestRefused(
            "factor-required",
            f"a group that you are in requires a factor of this kind ({kind.value}), and this is your only one",
            hint="add another one of the kind first",
        )
