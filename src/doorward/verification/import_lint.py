"""Checks of a partner's authorities before they are trusted: errors, warnings and notes.

An error is a fault that the path validator would refuse, or that makes no sense: no certificate would pass, or
certificates of another organisation would. A warning is what the operator should know; a note is harmless.

1. Each authority alone: conformance, dates, key, limits, name constraints.
2. An anchor need not be self-signed. It is trusted by the operator's decision, so neither its signature nor the
   hash of that signature proves anything.
3. Each intermediate needs a path to one of the anchors, path length left below it, and addresses of CRLs or OCSP.
4. All together: no duplicates, none of our own authorities, none above or below them, none of another partner, no two that can be confused.

Not here: parsing (a certificate that does not parse is refused earlier), and the decision to import.
Standard: RFC 5280 sections 4.2 and 6.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtensionOID

from doorward.core.certificate_names import render_general_name
from doorward.core.entities import Outcome
from doorward.core.errors import MalformedInput
from doorward.verification.path.building import judge_path
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.conformance import PathInputs, check_authority, check_dates, check_leaf
from doorward.verification.path.constraints import DIRECTORY, DNS, EMAIL, URI, read_subtree
from doorward.verification.path.names import CanonicalName
from doorward.verification.path.rules import PathRule
from doorward.verification.path.signatures import Strength, is_signature_valid
from doorward.verification.path.store import TrustStore
from doorward.verification.path.validation import CertificationPath

IMPORT_LIMIT = 1_000
"""Certificates of one partner. All authorities of a country are some hundreds. A path is searched from each of them,
which costs up to some tens of milliseconds if a bundle is crafted to be slow."""

EXPIRES_SOON = timedelta(days=90)
LONG_VALIDITY = timedelta(days=25 * 365 + 7)  # 25 years with their leap days
RSA_BITS = 3072  # NIST SP 800-57 part 1, table 2: 128 bits of strength
_IDENTITY_FORMS = (EMAIL, DNS, URI, DIRECTORY)


class Severity(Enum):
    """Whether a finding prevents the import, needs the operator's attention, or only informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class LintCode(Enum):
    """The closed catalogue of findings; `.severity` and `.mend` say what a finding means for an import."""

    VERSION_NOT_3 = "version-not-3"
    ALGORITHM_FIELDS_DIFFER = "algorithm-fields-differ"
    KEY_WEAK = "key-weak"
    EXPIRED = "expired"
    ISSUER_EMPTY = "issuer-empty"
    SUBJECT_EMPTY = "subject-empty"
    NOT_A_CA = "not-a-ca"
    CANNOT_SIGN_CERTIFICATES = "cannot-sign-certificates"
    CRITICAL_EXTENSION_UNKNOWN = "critical-extension-unknown"
    CRITICALITY_WRONG = "criticality-wrong"
    KEY_IDENTIFIER_MISSING = "key-identifier-missing"
    SERIAL_TOO_LONG = "serial-too-long"
    PURPOSE_WRONG = "purpose-wrong"
    NO_REV_AVAIL_MISUSED = "no-rev-avail-misused"
    NO_PATH_TO_AN_ANCHOR = "no-path-to-an-anchor"
    CERTIFICATE_TWICE = "certificate-twice"
    OWN_AUTHORITY = "own-authority"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRES_SOON = "expires-soon"
    VALIDITY_LONG = "validity-long"
    RSA_SHORT = "rsa-short"
    NAMES_UNCONSTRAINED = "names-unconstrained"
    CONSTRAINT_UNSATISFIABLE = "constraint-unsatisfiable"
    PATH_LENGTH_UNLIMITED = "path-length-unlimited"
    PATH_LENGTH_EXHAUSTED = "path-length-exhausted"
    SUBJECT_SHARED = "subject-shared"
    OTHER_PARTNER = "other-partner"
    SUBJECT_OF_OTHER_PARTNER = "subject-of-other-partner"
    STATUS_ADDRESS_MISSING = "status-address-missing"
    STATUS_ADDRESS_NOT_HTTP = "status-address-not-http"
    NAMES_PARTLY_CONSTRAINED = "names-partly-constrained"
    ANCHOR_NOT_SELF_SIGNED = "anchor-not-self-signed"
    ANCHOR_SIGNATURE_OLD = "anchor-signature-old"
    POLICY_CONSTRAINTS = "policy-constraints"

    @property
    def severity(self) -> Severity:
        """An error, a warning or a note."""
        if self in _WARNINGS:
            return Severity.WARNING
        return Severity.NOTE if self in _NOTES else Severity.ERROR

    @property
    def mend(self) -> str:
        """What the operator can do about it."""
        return _MENDS[self]


_WARNINGS = frozenset(
    {
        LintCode.NOT_YET_VALID,
        LintCode.EXPIRES_SOON,
        LintCode.VALIDITY_LONG,
        LintCode.RSA_SHORT,
        LintCode.NAMES_UNCONSTRAINED,
        LintCode.CONSTRAINT_UNSATISFIABLE,
        LintCode.PATH_LENGTH_UNLIMITED,
        LintCode.PATH_LENGTH_EXHAUSTED,
        LintCode.SUBJECT_SHARED,
        LintCode.OTHER_PARTNER,
        LintCode.SUBJECT_OF_OTHER_PARTNER,
        LintCode.STATUS_ADDRESS_MISSING,
        LintCode.STATUS_ADDRESS_NOT_HTTP,
    }
)
_NOTES = frozenset(
    {
        LintCode.NAMES_PARTLY_CONSTRAINED,
        LintCode.ANCHOR_NOT_SELF_SIGNED,
        LintCode.ANCHOR_SIGNATURE_OLD,
        LintCode.POLICY_CONSTRAINTS,
    }
)
_ASK_CONFORMING = "ask the partner for an authority certificate that conforms to RFC 5280"
_MENDS = {
    LintCode.VERSION_NOT_3: _ASK_CONFORMING,
    LintCode.ALGORITHM_FIELDS_DIFFER: "treat it as an attack; " + _ASK_CONFORMING,
    LintCode.KEY_WEAK: "ask the partner for an authority with RSA of 2048 bits or more, P-256, or Ed25519",
    LintCode.EXPIRED: "ask the partner for the certificate in force",
    LintCode.ISSUER_EMPTY: _ASK_CONFORMING,
    LintCode.SUBJECT_EMPTY: _ASK_CONFORMING,
    LintCode.NOT_A_CA: "import the certificate of the authority, not a certificate that it issued",
    LintCode.CANNOT_SIGN_CERTIFICATES: "import the authority that issues certificates; this one may not sign any",
    LintCode.CRITICAL_EXTENSION_UNKNOWN: "it asks for something that is not understood here; "
    + _ASK_CONFORMING,
    LintCode.CRITICALITY_WRONG: _ASK_CONFORMING,
    LintCode.KEY_IDENTIFIER_MISSING: _ASK_CONFORMING,
    LintCode.SERIAL_TOO_LONG: _ASK_CONFORMING,
    LintCode.PURPOSE_WRONG: "import the partner's authority for TLS clients; this one is for another purpose",
    LintCode.NO_REV_AVAIL_MISUSED: "ask the partner for an authority certificate without noRevAvail (RFC 9608 section 2)",
    LintCode.NO_PATH_TO_AN_ANCHOR: "import the missing authorities between it and an anchor, or leave it out",
    LintCode.CERTIFICATE_TWICE: "leave out one of the two",
    LintCode.OWN_AUTHORITY: "leave it out: certificates of our own authorities are judged by the inventory, and nothing else"
    " may lead to or from them",
    LintCode.NOT_YET_VALID: "check the clock of this machine; no certificate below it is accepted before that day",
    LintCode.EXPIRES_SOON: "ask the partner for its successor, and import both",
    LintCode.VALIDITY_LONG: "ask the partner how its key is protected; plan when to stop trusting it",
    LintCode.RSA_SHORT: "ask for its successor; 2048 bits are enough until 2030",
    LintCode.NAMES_UNCONSTRAINED: "permit the partner's own names, such as --permit email:clinic.example",
    LintCode.CONSTRAINT_UNSATISFIABLE: "ask the partner for a certificate with the constraint that was meant: a host without"
    " a dot before it (DNS), a host and no URI, an address or a host (e-mail)",
    LintCode.PATH_LENGTH_UNLIMITED: "nothing: only authorities that were imported count, even if it certifies others",
    LintCode.PATH_LENGTH_EXHAUSTED: "leave it out, or ask for an authority above it with a larger path length",
    LintCode.SUBJECT_SHARED: "nothing during a rotation of the key; otherwise ask the partner which one is genuine",
    LintCode.OTHER_PARTNER: "know that a holder is a different principal at each partner; if an application trusts both,"
    " the first partner by name decides",
    LintCode.SUBJECT_OF_OTHER_PARTNER: "ask which one is genuine; let no application trust both partners, because they"
    " would share the limit of work of one judgement",
    LintCode.STATUS_ADDRESS_MISSING: "if revocation is required, give the address of its issuer's CRL",
    LintCode.STATUS_ADDRESS_NOT_HTTP: "if revocation is required, give an http: address of its issuer's CRL",
    LintCode.NAMES_PARTLY_CONSTRAINED: "check that the form of name that identifies the holders is constrained",
    LintCode.ANCHOR_NOT_SELF_SIGNED: "check that this is the authority that you want to trust; then nothing else is needed",
    LintCode.ANCHOR_SIGNATURE_OLD: "nothing: the signature of an anchor is not used",
    LintCode.POLICY_CONSTRAINTS: "check that the certificates have the policies that it requires",
}
_BY_RULE = {
    PathRule.VERSION_NOT_3: LintCode.VERSION_NOT_3,
    PathRule.ALGORITHM_FIELDS_DIFFER: LintCode.ALGORITHM_FIELDS_DIFFER,
    PathRule.KEY_WEAK: LintCode.KEY_WEAK,
    PathRule.NOT_YET_VALID: LintCode.NOT_YET_VALID,
    PathRule.EXPIRED: LintCode.EXPIRED,
    PathRule.ISSUER_EMPTY: LintCode.ISSUER_EMPTY,
    PathRule.SUBJECT_EMPTY: LintCode.SUBJECT_EMPTY,
    PathRule.NOT_A_CA: LintCode.NOT_A_CA,
    PathRule.CANNOT_SIGN_CERTIFICATES: LintCode.CANNOT_SIGN_CERTIFICATES,
    PathRule.CRITICAL_EXTENSION_UNKNOWN: LintCode.CRITICAL_EXTENSION_UNKNOWN,
    PathRule.CRITICALITY_WRONG: LintCode.CRITICALITY_WRONG,
    PathRule.KEY_IDENTIFIER_MISSING: LintCode.KEY_IDENTIFIER_MISSING,
    PathRule.SERIAL_TOO_LONG: LintCode.SERIAL_TOO_LONG,
    PathRule.PURPOSE_WRONG: LintCode.PURPOSE_WRONG,
    PathRule.NO_REV_AVAIL_MISUSED: LintCode.NO_REV_AVAIL_MISUSED,
}
"""The rules that an authority can break alone."""


_ANY_STRENGTH = Strength(accept_broken_algorithms=True)
"""An old signature with SHA-1 must not hide that an authority is above or below one of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LintFinding:
    """One finding: `certificate` is the SHA-256 (hex) of the authority, `text` the details."""

    code: LintCode
    certificate: str
    text: str


_Found = Iterator[tuple[LintCode, str]]
_Key = tuple[bytes, bytes]  # algorithm and bits


def lint_authorities(
    anchors: Sequence[PathCertificate],
    intermediates: Sequence[PathCertificate],
    *,
    own: Iterable[PathCertificate],
    others: Mapping[str, Iterable[PathCertificate]],
    inputs: PathInputs,
    now: datetime,
) -> tuple[LintFinding, ...]:
    """Return the findings about a partner's authorities.

    Args:
        anchors: authorities to be trusted; at most `IMPORT_LIMIT` together with the intermediates.
        intermediates: authorities to be known.
        own: our own authorities, retired ones included.
        others: the name of each other trusted partner -> its authorities.
        inputs: the inputs of the partner's paths, initial subtrees included.
        now: aware, UTC.

    Returns:
        Findings, anchors first; those of one certificate in the order of the steps.

    Raises:
        MalformedInput: `import-too-large`.

    Standard: RFC 5280 sections 4.2 and 6.1.
    """
    every = (*anchors, *intermediates)
    if len(every) > IMPORT_LIMIT:
        detail = f"there are {len(every)} authorities, and a partner may have at most {IMPORT_LIMIT}"
        raise MalformedInput(
            "import-too-large", detail, hint="import only those that issue to the partner's holders"
        )
    store = TrustStore(anchors, intermediates)
    comparison = _Comparison(own, others)
    findings = []
    for position, authority in enumerate(every):
        anchor = position < len(anchors)
        found = [
            *_lint_alone(authority, inputs, now, anchor=anchor),
            *(
                _lint_anchor(authority, inputs)
                if anchor
                else _lint_intermediate(authority, store, inputs, now)
            ),
            *comparison.lint(authority),
        ]
        findings += [LintFinding(code=code, certificate=authority.sha256, text=text) for code, text in found]
    return tuple(findings)


def _lint_alone(authority: PathCertificate, inputs: PathInputs, now: datetime, *, anchor: bool) -> _Found:
    """Step 1."""
    for fault in (*check_authority(authority, inputs, anchor=anchor), *check_dates(authority, now)):
        detail = f": {fault.detail}" if fault.detail else ""
        yield _BY_RULE[fault.rule], f"{fault.rule.section}{detail}"
    end = f"it ends on {authority.not_after:%Y-%m-%d}"
    if now <= authority.not_after < now + EXPIRES_SOON:
        yield LintCode.EXPIRES_SOON, end
    if authority.not_after - authority.not_before > LONG_VALIDITY:
        yield LintCode.VALIDITY_LONG, f"from {authority.not_before:%Y-%m-%d}, {end}"
    if isinstance(authority.key, RSAPublicKey) and authority.key.key_size < RSA_BITS:
        yield LintCode.RSA_SHORT, f"its RSA key has {authority.key.key_size} bits"
    if authority.path_length is None:
        yield LintCode.PATH_LENGTH_UNLIMITED, "it has no path length constraint"
    yield from _lint_constraints(authority)
    if ExtensionOID.POLICY_CONSTRAINTS.dotted_string in authority.present:
        yield LintCode.POLICY_CONSTRAINTS, "it has policy constraints"


def _lint_constraints(authority: PathCertificate) -> _Found:
    """Subtrees that cannot be judged: if permitted, they contain no name; if excluded, they may contain any."""
    if authority.subtrees is None:
        return
    extension = authority.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    for bases, effect in (
        (extension.permitted_subtrees, "permits no name: names of its form need another permitted subtree"),
        (extension.excluded_subtrees, "may exclude any name: every name of its form is refused"),
    ):
        for base in bases or ():
            read = read_subtree(base)
            if read.value is None:
                yield (
                    LintCode.CONSTRAINT_UNSATISFIABLE,
                    f"{render_general_name(base)[:200]} {effect} (4.2.1.10)",
                )


def _lint_anchor(anchor: PathCertificate, inputs: PathInputs) -> _Found:
    """Step 2, and the names that it may certify: authorities below it cannot certify more."""
    if not is_signature_valid(anchor.key, anchor.signed, inputs.strength):
        old = replace(inputs.strength, accept_broken_algorithms=True)
        if is_signature_valid(anchor.key, anchor.signed, old):
            yield LintCode.ANCHOR_SIGNATURE_OLD, "its own signature uses a broken algorithm"
        else:
            yield LintCode.ANCHOR_NOT_SELF_SIGNED, "another key signed it"
    constrained = {one.form for one in inputs.initial_permitted}
    constrained |= anchor.subtrees.permitted.keys() if anchor.subtrees is not None else set()
    free = [form for form in _IDENTITY_FORMS if form not in constrained]
    if len(free) == len(_IDENTITY_FORMS):
        yield LintCode.NAMES_UNCONSTRAINED, "it can certify any name"
    elif free:
        yield LintCode.NAMES_PARTLY_CONSTRAINED, f"it can certify any name of the forms {', '.join(free)}"


def _lint_intermediate(
    authority: PathCertificate, store: TrustStore, inputs: PathInputs, now: datetime
) -> _Found:
    """Step 3. An authority with faults of its own has no path because of them; those faults are reported already."""
    alone = replace(inputs, purpose=None)
    if not check_leaf(authority, alone, now):
        judgement = judge_path(authority, store, alone, now)
        if judgement.outcome is not Outcome.GOOD:
            yield LintCode.NO_PATH_TO_AN_ANCHOR, str(judgement.faults[0])
        elif not _has_room(judgement.path):
            yield (
                LintCode.PATH_LENGTH_EXHAUSTED,
                "the path length of an authority above it permits no certificate below it",
            )
    addresses = _list_addresses(authority)
    if not addresses:
        yield LintCode.STATUS_ADDRESS_MISSING, "it names neither a CRL nor an OCSP responder"
    elif not any(one.lower().startswith(("http://", "https://")) for one in addresses):
        yield LintCode.STATUS_ADDRESS_NOT_HTTP, f"it names only {addresses[0][:200]!a} and the like"


def _has_room(path: CertificationPath) -> bool:
    """Return whether a leaf below the first certificate of this path would keep all path lengths."""
    below = 0
    for lower, authority in pairwise(path):
        below += not lower.self_issued
        if authority.path_length is not None and below > authority.path_length:
            return False
    return True


def _list_addresses(authority: PathCertificate) -> list[str]:
    """Return the URIs of CRLs and OCSP responders in an authority's certificate."""
    names = [name for point in authority.crl_points for name in point.full_name or ()]
    if ExtensionOID.AUTHORITY_INFORMATION_ACCESS.dotted_string in authority.present:
        extension = authority.certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
        names += [
            one.access_location
            for one in extension.value
            if one.access_method == AuthorityInformationAccessOID.OCSP
        ]
    return [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]


def _find_relation(authority: PathCertificate, own: Sequence[PathCertificate]) -> str:
    """Return in words what makes an authority one of ours, or above or below one of ours; empty if nothing does.

    Below both, one certificate would have a path to an anchor of ours and to one of theirs. A key identifier is compared with
    the subject, because each of them alone is only a hint (RFC 5280 section 4.2.1.2).
    """
    key = authority.key_algorithm, authority.key_bits
    if any((one.key_algorithm, one.key_bits) == key for one in own):
        return "one of our own authorities has the same key"
    names = authority.subject, authority.subject_key_id
    if authority.subject_key_id and any((one.subject, one.subject_key_id) == names for one in own):
        return "one of our own authorities has the same subject and key identifier"
    for one in own:
        if authority.issuer == one.subject and is_signature_valid(one.key, authority.signed, _ANY_STRENGTH):
            return "one of our own authorities certified it"
        if one.issuer == authority.subject and is_signature_valid(authority.key, one.signed, _ANY_STRENGTH):
            return "it certified one of our own authorities"
    return ""


class _Comparison:
    """Step 4: compares with our own authorities, with authorities of other partners, and with earlier authorities of this import."""

    def __init__(
        self, own: Iterable[PathCertificate], others: Mapping[str, Iterable[PathCertificate]]
    ) -> None:
        self._own = tuple(own)
        self._others: dict[_Key, str] = {}
        self._namesakes: dict[CanonicalName, set[tuple[_Key, str]]] = {}
        for name, theirs in others.items():
            for one in theirs:
                key = one.key_algorithm, one.key_bits
                self._others[key] = name
                self._namesakes.setdefault(one.subject, set()).add((key, name))
        self._before: set[PathCertificate] = set()
        self._first: dict[CanonicalName, PathCertificate] = {}

    def lint(self, authority: PathCertificate) -> _Found:
        if authority in self._before:
            yield LintCode.CERTIFICATE_TWICE, "the import contains it twice"
        self._before.add(authority)
        key = authority.key_algorithm, authority.key_bits
        relation = _find_relation(authority, self._own)
        if relation:
            yield LintCode.OWN_AUTHORITY, relation
        other = self._others.get(key)
        if other is not None:
            yield LintCode.OTHER_PARTNER, f"an authority of the partner {other} has the same key"
        # Paths are searched by name, and partners share the budget of a judgement if their authorities share a name.
        there = {name for one, name in self._namesakes.get(authority.subject, ()) if one != key}
        if there:
            text = f"an authority of {', '.join(sorted(there))} has the same subject and another key"
            yield LintCode.SUBJECT_OF_OTHER_PARTNER, text
        first = self._first.setdefault(authority.subject, authority)
        if first.key_bits != authority.key_bits:
            yield LintCode.SUBJECT_SHARED, f"{first.sha256[:16]} has the same subject and another key"
