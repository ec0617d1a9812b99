"""Examining a partner's authorities before they are imported: reads only.

An import refuses every finding that is an error. Warnings are shown to the operator, who decides.

Not here: importing them (`importing`), the rules of the lint (`verification.import_lint`).
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
from doorward.verification.nesting import find_nesting
from doorward.verification.path.certificate import PathCertificate, parse_path_certificate


def examine(
    services: Services, name: str, terms: Terms, *, anchors: Sequence[bytes], intermediates: Sequence[bytes]
) -> tuple[LintFinding, ...]:
    """Return the findings about a partner's authorities, errors first; nothing is changed.

    Args:
        services: the ports of this process.
        name: the partner's name, or the name that it would get.
        terms: the terms for it.
        anchors: trust anchors, DER; at least one.
        intermediates: intermediate certificates, DER.

    Raises:
        MalformedInput: a certificate or a term cannot be read.
        NotFound: `not-founded`.
    """
    with services.work.read() as stores:
        require_tenant(stores)
        known = load_known(stores, name)
    return lint(terms, anchors, intermediates, known, services.clock.now())


def examine_names(services: Services, name: str, ders: Sequence[bytes]) -> tuple[str, ...]:
    """Return a warning for each application with more authority names than some clients accept; nothing is changed.

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
    """The authorities that an import is compared with: our own, and those of other partners by name."""

    own: Sequence[PathCertificate]
    others: Mapping[str, Sequence[PathCertificate]]


def load_known(stores: Stores, name: str) -> KnownAuthorities:
    """Return our own authorities, and those of every partner except the one with this name."""
    return KnownAuthorities(own=_read_own(stores), others=_read_others(stores, name))


def _read_own(stores: Stores) -> list[PathCertificate]:
    return [parse_path_certificate(one.der) for one in stores.authorities.list()]


def require_unchanged_authorities(stores: Stores, known: KnownAuthorities) -> None:
    """Refuse if our own authorities changed since the comparison: a new one may be among the imported ones."""
    seen = {one.sha256 for one in known.own}
    if any(hashlib.sha256(one.der).hexdigest() not in seen for one in stores.authorities.list()):
        raise RequestRefused(
            "authorities-changed",
            "our own authorities changed while the partner's authorities were examined",
            hint="repeat the command",
        )


def refuse_manufacturers(stores: Stores, ders: Sequence[bytes]) -> None:
    """Refuse an authority that a manufacturer has: its factory certificates would be principals at the door.

    Also one that certifies a manufacturer's authority, or is certified by one: factory certificates are below both.

    Raises:
        RequestRefused: `authority-in-use`.
    """
    owners = {
        parse_path_certificate(one.der): manufacturer.name
        for manufacturer in stores.manufacturers.list()
        for one in stores.manufacturers.authorities(manufacturer.id)
    }
    keys = {(one.key_algorithm, one.key_bits): name for one, name in owners.items()}
    parsed = [parse_path_certificate(der) for der in ders] if owners else []
    for read in parsed:
        name = keys.get((read.key_algorithm, read.key_bits))
        if name:
            raise _in_use(read, "has the same key as", name)
    nesting = find_nesting(parsed, owners)
    if nesting is not None:
        raise _in_use(nesting.imported, nesting.relation, owners[nesting.other])


def _in_use(one: PathCertificate, relation: str, manufacturer: str) -> RequestRefused:
    return RequestRefused(
        "authority-in-use",
        f"{describe_subject(one.der)} {relation} an authority of the manufacturer {manufacturer}",
        hint=f"a door never trusts it; `doorward manufacturer remove {manufacturer}` comes first if it is a partner's",
    )


def _read_others(stores: Stores, name: str) -> dict[str, list[PathCertificate]]:
    """Return the authorities of all partners except the one with this name; those that do not parse are left out."""
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
    """Return the findings, errors first; raise `MalformedInput` if a certificate or a term cannot be read."""
    if not anchors:
        hint = "give at least one trust anchor: doorward ca import NAME FILE"
        raise MalformedInput("anchor-missing", "there is no trust anchor", hint=hint)
    IdentityRule(source=terms.source, kind=terms.kind, domain=terms.domain)  # raises for invalid terms
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
    """Raise all errors, each with the subject of its certificate, because a digest does not tell which file it is."""
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
