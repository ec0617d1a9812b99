"""Second factors that the policy requires of a group's members.

`factors` in the document names groups. The portal tells a member which factor is missing, and refuses to remove the last
factor of a required kind.

Not here: requirements of a rule (policy.requirements), which the door enforces for each request.
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
    """Return the factors that the document in force requires of a principal; none if the directory has no such principal."""
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
    """Return the required factors that are not among these kinds."""
    with services.work.read() as stores:
        return find_required(stores, caller.principal_id).find_missing(kinds)


def refuse_if_required(
    stores: Stores, caller: Caller, left: Sequence[FactorRecord], kind: FactorKind
) -> None:
    """Refuse to remove a factor if the caller would then lack a required one.

    Args:
        stores: of the transaction.
        caller: who removes the factor.
        left: the factors that would be left.
        kind: of the removed factor.

    Raises:
        RequestRefused: `factor-required`.
    """
    missing = find_required(stores, caller.principal_id).find_missing({one.kind for one in left})
    if kind in missing.kinds:
        raise RequestRefused(
            "factor-required",
            f"one of your groups requires a factor of this kind ({kind.value}), and this is your only one",
            hint="add another factor of this kind first",
        )
