"""Types that several rooms share: principals, applications, reasons, verdicts.

Ids are opaque, prefixed and never reused: `ten_`, `per_`, `dev_`, `svc_`, `grp_`, `app_`, `crt_`,
`aut_`, `inv_`, `evt_`, `gtw_`, `ptn_`, `fct_`, `enr_`, `ses_`, `stp_`, each followed by 20 characters of `[a-z0-9]`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NoReturn

from doorward.core.errors import AccessDenied

TENANT = "ten_default"
"""The only tenant today. Every row carries a tenant, so that a cloud setting can have several."""


class PrincipalKind(Enum):
    """The kinds of principals that can hold a client certificate."""

    PERSON = "person"
    DEVICE = "device"
    SERVICE = "service"

    @property
    def prefix(self) -> str:
        """The id prefix of this kind."""
        return {"person": "per", "device": "dev", "service": "svc"}[self.value]


class PrincipalState(Enum):
    """Whether a principal may use what it was granted. A removed principal stays in the database for the record."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A person, device or service in the directory, with its groups (names, sorted).

    `groups` are all groups; `inherited` are those that it belongs to only through another group.
    `partner` is the id (`ptn_…`) of the partner that issues its certificates; empty for our own principals.
    """

    id: str
    tenant: str
    kind: PrincipalKind
    name: str
    state: PrincipalState
    groups: tuple[str, ...] = ()
    display_name: str = ""
    partner: str = ""
    inherited: tuple[str, ...] = ()

    @property
    def direct_groups(self) -> tuple[str, ...]:
        """The groups that the principal was added to directly."""
        return tuple(group for group in self.groups if group not in self.inherited)


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One protected application. `id` stays the same if the policy document that names it is edited."""

    id: str
    tenant: str
    name: str


class Reason(Enum):
    """The reasons in a verdict: a closed catalogue of good and bad findings."""

    __hash__ = object.__hash__  # Enum's own is slower, and each judgement looks up a dozen reasons

    CERTIFICATE_WELL_FORMED = "certificate-well-formed"
    CERTIFICATE_MISSING = "certificate-missing"
    CERTIFICATE_MALFORMED = "certificate-malformed"
    ISSUER_KNOWN = "issuer-known"
    ISSUER_UNKNOWN = "issuer-unknown"
    CERTIFICATE_KNOWN = "certificate-known"
    CERTIFICATE_UNKNOWN = "certificate-unknown"
    SERIAL_NOT_UNIQUE = "serial-not-unique"
    CERTIFICATE_VALID = "certificate-valid"
    CERTIFICATE_INTENDED = "certificate-intended"
    CERTIFICATE_ON_HOLD = "certificate-on-hold"
    CERTIFICATE_REVOKED = "certificate-revoked"
    PATH_VALID = "path-valid"
    PATH_INVALID = "path-invalid"
    CERTIFICATE_IN_TIME = "certificate-in-time"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    PURPOSE_CLIENT = "purpose-client"
    PURPOSE_WRONG = "purpose-wrong"
    REVOCATION_STATUS_GOOD = "revocation-status-good"
    REVOCATION_STATUS_UNDETERMINED = "revocation-status-undetermined"
    REVOCATION_NOT_PROVIDED = "revocation-not-provided"
    REVOCATION_STATUS_TOLERATED = "revocation-status-tolerated"
    REVOCATION_NOT_CHECKED = "revocation-not-checked"
    NAME_MATCHES = "name-matches"
    NAME_MISMATCH = "name-mismatch"
    OWN_NAME_CLAIMED = "own-name-claimed"
    PRINCIPAL_ACTIVE = "principal-active"
    PRINCIPAL_UNKNOWN = "principal-unknown"
    PRINCIPAL_SUSPENDED = "principal-suspended"
    PRINCIPAL_REMOVED = "principal-removed"
    APPLICATION_KNOWN = "application-known"
    APPLICATION_UNKNOWN = "application-unknown"
    AUTHORITY_NOT_TRUSTED = "authority-not-trusted"
    ANONYMOUS = "anonymous"
    PUBLIC_PATH = "public-path"
    RULE_ALLOWS = "rule-allows"
    RULE_DENIES = "rule-denies"
    NO_RULE_MATCHED = "no-rule-matched"
    FACTOR_MISSING = "factor-missing"
    PATH_AMBIGUOUS = "path-ambiguous"
    METHOD_AMBIGUOUS = "method-ambiguous"
    METHOD_REFUSED = "method-refused"
    DESTINATION_REFUSED = "destination-refused"
    DESTINATION_AMBIGUOUS = "destination-ambiguous"
    GRANTS_TOO_LARGE = "grants-too-large"
    CERTIFICATE_RATE_EXCEEDED = "certificate-rate-exceeded"
    KNOWLEDGE_STALE = "knowledge-stale"
    PRINCIPAL_CONNECTIONS_EXHAUSTED = "principal-connections-exhausted"
    JUDGEMENT_EXHAUSTED = "judgement-exhausted"


class Outcome(Enum):
    """The outcome of a verdict. UNDETERMINED never lets anyone in."""

    GOOD = "good"
    BAD = "bad"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A judgement with all its reasons, in the order of the steps, and the time that it was judged for.

    A verdict has no truth value: `if verdict:` raises, so that `undetermined` cannot be forgotten.
    `evidence` holds (name, value) pairs that the steps looked at, for the record.
    """

    outcome: Outcome
    reasons: tuple[Reason, ...]
    judged_at: datetime
    evidence: tuple[tuple[str, str], ...] = field(default=())

    def __bool__(self) -> NoReturn:
        raise TypeError("a Verdict has no truth value; compare .outcome or call .require()")

    def require(self) -> None:
        """Return if the outcome is good; raise `AccessDenied` with the reasons otherwise."""
        if self.outcome is not Outcome.GOOD:
            words = [reason.value for reason in self.reasons]
            raise AccessDenied(f"refused: {', '.join(words)}", reasons=words)
