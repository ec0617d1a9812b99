"""What to think of a partner's authorities before they are trusted: reads only.

Whatever is wrong for certain is refused when they are imported; the rest is told to the operator, who decides.

Not here: trusting them (`importing`), and the rules of the lint (`verification.import_lint`).
Standard: RFC 5280 section 6.1.1 (d), trust anchors; RFC 5937.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from doorward.audit.events import printable
from doorward.core.errors import ConfigurationError, Fault, MalformedInput, RequestRefused
from doorward.partners.authority_names import check_authority_names_of_import
from doorward.partners.terms import Terms
from doorward.partners.trust import read_inputs
from doorward.stores.policy_snapshot import current_document
from doorward.stores.prerequisites import require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.services import Services
from doorward.verification.identity import IdentityRule
from doorward.verification.import_lint import LintFinding, Severity, lint_authorities
from doorward.verification.path.certificate import PathCertificate, parse_path_certificate


def examine(
    services: Services, name: str, terms: Terms, *, anchors: Sequence[bytes], intermediates: Sequence[bytes]
) -> tuple[LintFinding, ...]:
    """Return what to think of a partner's authorities, errors first; nothing is changed.

    Args:
        services: the ports of this process.
        name: what the partner is, or would be, called.
        terms: under which they are to be trusted.
        anchors: DER of what is trusted by decision; at least one.
        intermediates: DER of what may sign below them.

    Raises:
        MalformedInput: a certificate or a term cannot be read.
        NotFound: `not-founded`.
    """
    with services.work.read() as stores:
        require_tenant(stores)
        known = load_known(stores, name)
    return lint(terms, anchors, intermediates, known, services.clock.now())


def examine_names(services: Services, name: str, ders: Sequence[bytes]) -> tuple[str, ...]:
    """Return which applications would name more authorities than some clients take; nothing is changed.

    Raises:
        NotFound: `not-founded`.
    """
    with services.work.read() as stores:
        require_tenant(stores)
        return check_names(stores, name, ders)


def check_names(stores: Stores, name: str, ders: Sequence[bytes]) -> tuple[str, ...]:
    """As `examine_names`, in the caller's transaction."""
    document, _ = current_document(stores)
    return tuple(map(str, check_authority_names_of_import(stores, document, name, ders)))


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAuthorities:
    """Authorities that an import is held against: our own, and those of other partners by name."""

    own: Sequence[PathCertificate]
    others: Mapping[str, Sequence[PathCertificate]]


def load_known(stores: Stores, name: str) -> KnownAuthorities:
    """Return our own authorities, and those of every partner but the one of that name."""
    return KnownAuthorities(own=_read_own(stores), others=_read_others(stores, name))


def _read_own(stores: Stores) -> list[PathCertificate]:
    return [parse_path_certificate(one.der) for one in stores.authorities.list()]


def require_same_own(stores: Stores, known: KnownAuthorities) -> None:
    """Refuse what was held against fewer authorities of our own than there are now: one may be among those."""
    seen = {one.sha256 for one in known.own}
    if any(hashlib.sha256(one.der).hexdigest() not in seen for one in stores.authorities.list()):
        raise RequestRefused(
            "authorities-changed",
            "our own authorities changed while the partner's were looked at",
            hint="repeat the command",
        )


def _read_others(stores: Stores, name: str) -> dict[str, list[PathCertificate]]:
    """Return the authorities of all partners but the one of that name, less those that do not parse."""
    others: dict[str, list[PathCertificate]] = {}
    for partner in stores.partners.list():
        if partner.name == name:
            continue
        for one in stores.partners.authorities(partner.id):
            with suppress(MalformedInput):
                others.setdefault(partner.name, []).append(parse_path_certificate(one.der))
    return others


def lint(
    terms: Terms,
    anchors: Sequence[bytes],
    intermediates: Sequence[bytes],
    known: KnownAuthorities,
    now: datetime,
) -> tuple[LintFinding, ...]:
    """Return what is found, errors first; raise `MalformedInput` for what cannot be read."""
    if not anchors:
        hint = "name at least one certificate that is trusted by decision"
        raise MalformedInput("anchor-missing", "there is no trust anchor", hint=hint)
    IdentityRule(source=terms.source, kind=terms.kind, domain=terms.domain)  # refuses what makes no rule
    found = lint_authorities(
        [parse_path_certificate(one) for one in anchors],
        [parse_path_certificate(one) for one in intermediates],
        own=known.own,
        others=known.others,
        inputs=read_inputs(terms.permitted, terms.excluded),
        now=now,
    )
    return tuple(sorted(found, key=lambda one: list(Severity).index(one.code.severity)))


def refuse_errors(findings: Sequence[LintFinding], ders: Sequence[bytes]) -> None:
    """Raise every error, each with the subject of its certificate: a digest alone tells nobody which file it is."""
    errors = [one for one in findings if one.code.severity is Severity.ERROR]
    subjects = {hashlib.sha256(der).hexdigest(): describe_subject(der) for der in ders} if errors else {}
    if errors:
        raise ConfigurationError(
            [
                Fault(
                    code=one.code.value,
                    message=f"{subjects[one.certificate]} ({one.certificate[:16]}): {one.code.value}, {one.text}",
                    hint=one.code.mend,
                )
                for one in errors
            ]
        )


def describe_subject(der: bytes) -> str:
    """Return the subject of an authority's certificate as RFC 4514 text, safe for a screen."""
    try:
        return printable(parse_path_certificate(der).subject_text or "no subject", 200)
    except MalformedInput:
        return "a certificate that cannot be read"
