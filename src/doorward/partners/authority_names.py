"""Warnings for an application that trusts many authorities: the TLS handshake may have no room for all names.

In the handshake the door lists the names of the authorities that it accepts (RFC 8446 section 4.2.4).
Not here: what the door does if the list is too long (`enforcement.trust`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from doorward.core.errors import MalformedInput
from doorward.core.names import OWN_AUTHORITY
from doorward.policy.analysis import PolicyFinding
from doorward.policy.model import Document
from doorward.stores.prerequisites import trusted_issuers
from doorward.stores.protocols import Stores
from doorward.verification.path.ca_names import CA_NAMES_LIMIT, CA_NAMES_LIMIT_OF_JAVA, count_ca_name_octets
from doorward.verification.path.certificate import PathCertificate, parse_path_certificate


def check_authority_names(
    stores: Stores, document: Document, replacing: Mapping[str, Sequence[bytes]] | None = None
) -> Iterator[PolicyFinding]:
    """Yield a finding for each application with a list of authority names that is too long for some clients.

    Args:
        stores: a snapshot.
        document: the policy document; it says which application trusts which partner.
        replacing: partner name to the authorities, DER, that would replace the partner's present authorities.
    """
    ders = _read_all(stores, replacing or {})
    for app in document.apps:
        yield from _check(app.name, [der for name in app.trust for der in ders.get(name, ())])


def check_authority_names_of_import(
    stores: Stores, document: Document, name: str, ders: Sequence[bytes]
) -> Iterator[PolicyFinding]:
    """Yield the findings that would exist after the import of a partner with these authorities.

    If no application trusts it yet, check a possible application that trusts our own authority and this partner.
    """
    yield from check_authority_names(stores, document, {name: ders})
    if not any(name in app.trust for app in document.apps):
        authorities = _read_all(stores, {name: ders})
        yield from _check(
            f"an application that trusts {OWN_AUTHORITY} and {name}", [*authorities[OWN_AUTHORITY], *ders]
        )


def _read_all(stores: Stores, replacing: Mapping[str, Sequence[bytes]]) -> dict[str, Sequence[bytes]]:
    """Return the authorities, DER, for each name that `trust` may contain."""
    ders: dict[str, Sequence[bytes]] = {
        one.name: [each.der for each in stores.partners.authorities(one.id)] for one in stores.partners.list()
    }
    own = [one.der for one in trusted_issuers(stores)]
    return {**ders, **replacing, OWN_AUTHORITY: own}


def _check(app: str, ders: Sequence[bytes]) -> Iterator[PolicyFinding]:
    if sum(map(len, ders)) <= CA_NAMES_LIMIT_OF_JAVA:  # a name is shorter than its certificate
        return
    octets = count_ca_name_octets(_parse(ders))
    if octets > CA_NAMES_LIMIT_OF_JAVA:
        consequence = (
            "the door sends no names, and clients offer all their certificates"
            if octets > CA_NAMES_LIMIT
            else "Java clients accept at most 32 KiB"
        )
        yield PolicyFinding(
            code="authority-names-large",
            app=app,
            rule="",
            message=f"the names of its authorities take {octets} bytes in the TLS handshake: {consequence}",
            hint="trust fewer partners in this application, or import fewer authorities for each partner",
        )


def _parse(ders: Iterable[bytes]) -> Iterator[PathCertificate]:
    for der in ders:
        with suppress(MalformedInput):
            yield parse_path_certificate(der)
