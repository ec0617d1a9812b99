"""What to know of a partner's authorities before they are trusted: errors, warnings and notes.

An error is what the judge of paths would refuse, or what makes no sense: nothing would pass, or somebody
else than the partner would. A warning is what the operator should want to know; a note is harmless.

1. Each by itself: what conformance finds, its dates, its key, its limits, its name constraints.
2. An anchor need not be self-signed: it is trusted by decision, and its signature proves nothing. Neither
   does it matter with which hash.
3. Each intermediate needs a path to one of the anchors, room below it, and addresses of evidence.
4. All together: none twice, none of our own, none of another partner, none confused with another.

Not here: parsing (a certificate that does not parse is refused before), and the decision to import.
Standard: RFC 5280 sections 4.2 and 6.1; what Envoy does otherwise is named where it matters.
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
from doorward.verification.path.signatures import is_signature_valid
from doorward.verification.path.store import TrustStore
from doorward.verification.path.validation import CertificationPath

IMPORT_LIMIT = 1_000
"""Certificates of one partner. A whole country's authorities are some hundreds; a path is looked for from
each, which costs up to some tens of milliseconds where a bundle is made to be slow."""

SOON = timedelta(days=90)
LONG = timedelta(days=25 * 365 + 7)  # 25 years with their leap days
RSA_BITS = 3072  # NIST SP 800-57 part 1, table 2: 128 bits of strength
_IDENTITY_FORMS = (EMAIL, DNS, URI, DIRECTORY)


class Severity(Enum):
    """Whether an import must be refused, should be thought over, or only knows more."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class LintCode(Enum):
    """What can be found: a closed catalogue; `.severity` and `.mend` say what it means for an import."""

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
_ASK_ANEW = "ask the partner for an authority certificate that keeps RFC 5280"
_MENDS = {
    LintCode.VERSION_NOT_3: _ASK_ANEW,
    LintCode.ALGORITHM_FIELDS_DIFFER: "treat it as an attack; " + _ASK_ANEW,
    LintCode.KEY_WEAK: "ask the partner for an authority with RSA of 2048 bits or more, P-256, or Ed25519",
    LintCode.EXPIRED: "ask the partner for the certificate in force",
    LintCode.ISSUER_EMPTY: _ASK_ANEW,
    LintCode.SUBJECT_EMPTY: _ASK_ANEW,
    LintCode.NOT_A_CA: "import the authority that issues, not a holder's certificate",
    LintCode.CANNOT_SIGN_CERTIFICATES: "import the authority that issues; this one may not",
    LintCode.CRITICAL_EXTENSION_UNKNOWN: "it asks for something that is not understood here; " + _ASK_ANEW,
    LintCode.CRITICALITY_WRONG: _ASK_ANEW,
    LintCode.KEY_IDENTIFIER_MISSING: _ASK_ANEW,
    LintCode.SERIAL_TOO_LONG: _ASK_ANEW,
    LintCode.PURPOSE_WRONG: "import the partner's authority for clients; this one issues for something else",
    LintCode.NO_PATH_TO_AN_ANCHOR: "import the authorities between, or leave it out",
    LintCode.CERTIFICATE_TWICE: "leave one out",
    LintCode.OWN_AUTHORITY: "leave it out: our own certificates are judged by the inventory",
    LintCode.NOT_YET_VALID: "nothing passes before that day; look at the clock",
    LintCode.EXPIRES_SOON: "ask the partner for its successor, and import it beside this one",
    LintCode.VALIDITY_LONG: "ask how its key is kept; plan when to drop it",
    LintCode.RSA_SHORT: "ask for its successor; 2048 bits are enough until 2030",
    LintCode.NAMES_UNCONSTRAINED: "permit the partner's own names, such as --permit email:clinic.example",
    LintCode.CONSTRAINT_UNSATISFIABLE: "ask the partner for a certificate with the constraint that was meant: a host without"
    " a dot before it (DNS), a host and no URI, an address or a host (e-mail)",
    LintCode.PATH_LENGTH_UNLIMITED: "nothing passes by authorities that were not imported; know that it may make more",
    LintCode.PATH_LENGTH_EXHAUSTED: "leave it out, or ask for an anchor with room for it",
    LintCode.SUBJECT_SHARED: "a rotation has two for a while; otherwise ask which is genuine",
    LintCode.OTHER_PARTNER: "its people are other principals at each; where an application hears both, the first by"
    " the alphabet with a good path decides",
    LintCode.SUBJECT_OF_OTHER_PARTNER: "ask which is genuine; let no application hear both: each has only a share of the"
    " work of a judgement then",
    LintCode.STATUS_ADDRESS_MISSING: "where revocation is required, name the address of its issuer's CRL",
    LintCode.STATUS_ADDRESS_NOT_HTTP: "where revocation is required, name an http: address of its issuer's CRL",
    LintCode.NAMES_PARTLY_CONSTRAINED: "see that the form that names the holders is constrained",
    LintCode.ANCHOR_NOT_SELF_SIGNED: "nothing: an anchor is trusted by decision; see that it is the one that was meant",
    LintCode.ANCHOR_SIGNATURE_OLD: "nothing: nobody relies on an anchor's signature",
    LintCode.POLICY_CONSTRAINTS: "see that the certificates have the policies that it asks for",
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
}
"""What an authority can break by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LintFinding:
    """Something found: `certificate` is the SHA-256 (hex) of the authority, `text` what was found of it."""

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
    """Return what is to be known of a partner's authorities.

    Args:
        anchors: to be trusted, as they would be imported; at most `IMPORT_LIMIT` with the intermediates.
        intermediates: to be known.
        own: our own authorities, retired ones included.
        others: the name of each other partner that is trusted -> its authorities.
        inputs: what would be asked of the partner's paths, its initial subtrees included.
        now: aware, UTC.

    Returns:
        Findings, anchors first, each certificate's own in the order of the steps.

    Raises:
        MalformedInput: `import-too-large`.

    Standard: RFC 5280 sections 4.2 and 6.1.
    """
    every = (*anchors, *intermediates)
    if len(every) > IMPORT_LIMIT:
        limit = f"a partner may have {IMPORT_LIMIT} authorities"
        raise MalformedInput("import-too-large", limit, hint="import those that issue to its holders")
    store = TrustStore(anchors, intermediates)
    together = _Together(own, others)
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
            *together.lint(authority),
        ]
        findings += [LintFinding(code=code, certificate=authority.sha256, text=text) for code, text in found]
    return tuple(findings)


def _lint_alone(authority: PathCertificate, inputs: PathInputs, now: datetime, *, anchor: bool) -> _Found:
    """Step 1."""
    for fault in (*check_authority(authority, inputs, anchor=anchor), *check_dates(authority, now)):
        said = f": {fault.detail}" if fault.detail else ""
        yield _BY_RULE[fault.rule], f"{fault.rule.section}{said}"
    end = f"it ends on {authority.not_after:%Y-%m-%d}"
    if now <= authority.not_after < now + SOON:
        yield LintCode.EXPIRES_SOON, end
    if authority.not_after - authority.not_before > LONG:
        yield LintCode.VALIDITY_LONG, f"from {authority.not_before:%Y-%m-%d}, {end}"
    if isinstance(authority.key, RSAPublicKey) and authority.key.key_size < RSA_BITS:
        yield LintCode.RSA_SHORT, f"its RSA key has {authority.key.key_size} bits"
    if authority.path_length is None:
        yield LintCode.PATH_LENGTH_UNLIMITED, "it may make authorities below authorities without end"
    yield from _lint_constraints(authority)
    if ExtensionOID.POLICY_CONSTRAINTS.dotted_string in authority.present:
        yield LintCode.POLICY_CONSTRAINTS, "it has policy constraints"


def _lint_constraints(authority: PathCertificate) -> _Found:
    """Subtrees that cannot be judged: one that is permitted holds no name, one that is excluded may hold every one."""
    if authority.subtrees is None:
        return
    extension = authority.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    for bases, effect in (
        (extension.permitted_subtrees, "holds no name: only names within another subtree of its form pass"),
        (extension.excluded_subtrees, "could be any: every name of its form is refused"),
    ):
        for base in bases or ():
            read = read_subtree(base)
            if read.value is None:
                yield (
                    LintCode.CONSTRAINT_UNSATISFIABLE,
                    f"{render_general_name(base)[:200]} {effect} (4.2.1.10)",
                )


def _lint_anchor(anchor: PathCertificate, inputs: PathInputs) -> _Found:
    """Step 2, and which names it may certify: what stands below it cannot widen that."""
    if not is_signature_valid(anchor.key, anchor.signed, inputs.strength):
        old = replace(inputs.strength, accept_broken_algorithms=True)
        if is_signature_valid(anchor.key, anchor.signed, old):
            yield LintCode.ANCHOR_SIGNATURE_OLD, "its own signature is by an algorithm that is broken"
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
    """Step 3; one with faults of its own has no path because of them, and they are told already."""
    alone = replace(inputs, purpose=None)
    if not check_leaf(authority, alone, now):
        judgement = judge_path(authority, store, alone, now)
        if judgement.outcome is not Outcome.GOOD:
            yield LintCode.NO_PATH_TO_AN_ANCHOR, str(judgement.faults[0])
        elif not _has_room(judgement.path):
            yield LintCode.PATH_LENGTH_EXHAUSTED, "an authority above it allows none so far down"
    addresses = _list_addresses(authority)
    if not addresses:
        yield LintCode.STATUS_ADDRESS_MISSING, "it names neither a CRL nor an OCSP responder"
    elif not any(one.lower().startswith(("http://", "https://")) for one in addresses):
        yield LintCode.STATUS_ADDRESS_NOT_HTTP, f"it names only {addresses[0][:200]!a} and the like"


def _has_room(path: CertificationPath) -> bool:
    """Return whether a leaf below the first certificate of this path could keep every limit of length."""
    below = 0
    for lower, authority in pairwise(path):
        below += not lower.self_issued
        if authority.path_length is not None and below > authority.path_length:
            return False
    return True


def _list_addresses(authority: PathCertificate) -> list[str]:
    """Where evidence of its status is said to be: URIs of CRLs and of OCSP responders."""
    names = [name for point in authority.crl_points for name in point.full_name or ()]
    if ExtensionOID.AUTHORITY_INFORMATION_ACCESS.dotted_string in authority.present:
        extension = authority.certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
        names += [
            one.access_location
            for one in extension.value
            if one.access_method == AuthorityInformationAccessOID.OCSP
        ]
    return [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]


class _Together:
    """Step 4: against our own and other partners', and against those before: of two the second is named."""

    def __init__(
        self, own: Iterable[PathCertificate], others: Mapping[str, Iterable[PathCertificate]]
    ) -> None:
        self._own = {(one.key_algorithm, one.key_bits) for one in own}
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
            yield LintCode.CERTIFICATE_TWICE, "it stands in the import before"
        self._before.add(authority)
        key = authority.key_algorithm, authority.key_bits
        if key in self._own:
            yield LintCode.OWN_AUTHORITY, "its key is that of an authority of our own"
        other = self._others.get(key)
        if other is not None:
            yield LintCode.OTHER_PARTNER, f"its key is that of an authority of the partner {other}"
        # A search goes by names, and partners with an authority of one name share the budget of a judgement.
        there = {name for one, name in self._namesakes.get(authority.subject, ()) if one != key}
        if there:
            text = f"another key has the same subject at {', '.join(sorted(there))}"
            yield LintCode.SUBJECT_OF_OTHER_PARTNER, text
        first = self._first.setdefault(authority.subject, authority)
        if first.key_bits != authority.key_bits:
            yield LintCode.SUBJECT_SHARED, f"{first.sha256[:16]} has the same subject and another key"
