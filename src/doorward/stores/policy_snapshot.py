"""The policy in force: the parsed document, with the applications, authorities, partners and session keys.

A `PolicySnapshot` is immutable. The decider, the follower and the publisher of one process share one object
(`PolicySnapshots`), which is replaced when one of its parts changes.

Not here: applying and comparing documents (`access.policies`), judging by them (`access.deciding`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from doorward.core.errors import ConfigurationError, IntegrityError
from doorward.core.names import PORTAL_APPLICATION, PORTAL_AUDIENCE
from doorward.policy.document import parse_document
from doorward.policy.model import AppPolicy, Document
from doorward.policy.portal import build_portal_policy
from doorward.stores.prerequisites import replaced_issuer, require_tenant, trusted_issuers
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityRecord, ChangeKind, RevisionRecord, TenantRecord

SNAPSHOT_CHANGES = frozenset(
    {
        ChangeKind.AUTHORITY,
        ChangeKind.APPLICATION,
        ChangeKind.POLICY,
        ChangeKind.PARTNER,
        ChangeKind.SESSION_KEY,
    }
)
"""The kinds of changes that make a new snapshot necessary."""

_LOOK_BACK = 200
"""Changes that are read to see whether the snapshot is still valid; after more of them it is loaded again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySnapshot:
    """The policy in force from one number of the change sequence until the next of `SNAPSHOT_CHANGES`.

    Args:
        revision: number of the document; 0 before the first.
        document: the parsed document.
        ids: application name to id, also of applications that are not in the document.
        trust_domain: of the tenant.
        issuers: our own issuing authorities that are trusted, the current one first.
        replaced_issuer: the id of the one with certificates that are issued again now; empty if there is none.
        partners: name of a partner to the DER of its authorities.
        session_keys: the public keys that verify sessions, as JWK JSON, newest first.
    """

    revision: int
    document: Document
    ids: Mapping[str, str]
    trust_domain: str
    issuers: tuple[AuthorityRecord, ...]
    partners: Mapping[str, tuple[bytes, ...]]
    session_keys: tuple[str, ...] = ()
    replaced_issuer: str = ""
    policies: Mapping[str, AppPolicy] = field(init=False)
    """Application id to its part of the document; the portal always has one."""

    def __post_init__(self) -> None:
        """Look up the id of each application once, because every connection needs one."""
        policies = {self.ids[app.name]: app for app in self.document.apps if app.name in self.ids}
        policies[PORTAL_APPLICATION] = build_portal_policy(self.document)
        object.__setattr__(self, "policies", policies)

    @property
    def names(self) -> dict[str, str]:
        """Names of applications by id, the portal included."""
        return {**{one: name for name, one in self.ids.items()}, PORTAL_APPLICATION: PORTAL_AUDIENCE}


def load_snapshot(stores: Stores) -> PolicySnapshot:
    """Return the policy in force; raises as `current_document`."""
    document, revision = current_document(stores)
    return PolicySnapshot(
        revision=revision,
        document=document,
        ids={one.name: one.id for one in stores.applications.list()},
        trust_domain=require_tenant(stores).trust_domain,
        issuers=tuple(trusted_issuers(stores)),
        replaced_issuer=replaced_issuer(stores),
        partners={
            partner.name: tuple(one.der for one in stores.partners.authorities(partner.id))
            for partner in stores.partners.list()
        },
        session_keys=tuple(one.public_jwk for one in stores.session_keys.list()),
    )


class PolicySnapshots:
    """The snapshot of one process, loaded again only after a change; safe to share between threads.

    After a restore of the database the process must be restarted.
    """

    def __init__(self) -> None:
        self._kept: tuple[PolicySnapshot, int] | None = None

    def current(self, stores: Stores) -> tuple[PolicySnapshot, int]:
        """Return the policy in force for this transaction, and its number in the change sequence.

        Raises:
            NotFound, IntegrityError: as `current_document`.
        """
        found, seq = self._find(stores)
        if found is None:
            # Two threads may both load it, and the one with the older transaction may finish later. That costs
            # another load, but never gives a wrong answer, because the snapshot is stored with its number.
            found = load_snapshot(stores)
        self._kept = found, seq
        return found, seq

    def loaded(self, stores: Stores) -> tuple[PolicySnapshot, int] | None:
        """Return the same as `current`, or None if it would have to be loaded, which may take long."""
        found, seq = self._find(stores)
        if found is None:
            return None
        self._kept = found, seq
        return found, seq

    def _find(self, stores: Stores) -> tuple[PolicySnapshot | None, int]:
        kept, seq = self._kept, stores.changes.head()
        is_valid = kept is not None and (kept[1] == seq or _is_valid(stores, since=kept[1], until=seq))
        return kept[0] if kept is not None and is_valid else None, seq


def _is_valid(stores: Stores, *, since: int, until: int) -> bool:
    """Return whether no change made the snapshot invalid; False also if there are too many changes to read."""
    changes = stores.changes.since(since, limit=_LOOK_BACK) if since < until else []
    reached = bool(changes) and changes[-1].seq == until
    return reached and not any(one.kind in SNAPSHOT_CHANGES for one in changes)


def current_document(stores: Stores) -> tuple[Document, int]:
    """Return the document in force and its number; the empty document and 0 before the first revision.

    Raises:
        NotFound: `not-founded`.
        IntegrityError: `revision-unreadable`: the stored document was valid when it was stored, and is not any more.
    """
    latest = stores.revisions.latest()
    return (empty_document(require_tenant(stores)), 0) if latest is None else (_parsed(latest), latest.number)


def document_of(stores: Stores, number: int) -> Document | None:
    """Return the document of a revision, the empty one for 0, None if there is none; raises as `current_document`."""
    if number == 0:
        return empty_document(require_tenant(stores))
    revision = stores.revisions.get(number)
    return None if revision is None else _parsed(revision)


def _parsed(revision: RevisionRecord) -> Document:
    try:
        return parse_document(revision.document, file=f"revision {revision.number}")
    except ConfigurationError as fault:
        raise IntegrityError(
            "revision-unreadable",
            f"revision {revision.number} of the policy document, read from the database, is not valid: {fault}",
            hint="apply the document again from your own copy: doorward apply -f FILE",
        ) from fault


def empty_document(tenant: TenantRecord) -> Document:
    """Return the document that is in force before the first revision; it has no application."""
    return Document(trust_domain=tenant.trust_domain)
