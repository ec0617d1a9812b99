"""Parts of Envoy's configuration by a policy snapshot: the trust of each door, the hosts of certificates, ids of rules.

Not here: the snapshot (`stores.policy_snapshot`), compiling and publishing it (transition).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.core.entities import TENANT
from doorward.core.names import OWN_AUTHORITY, PORTAL_APPLICATION, enrolment_host
from doorward.enforcement.transition import rule_ids
from doorward.enforcement.trust import DoorTrust, build_trust
from doorward.gateway.publishing.last_published import Configuration
from doorward.policy.model import AppPolicy
from doorward.policy.server_certificates import CertificateSource, CertifiedBy
from doorward.stores.policy_snapshot import PolicySnapshot, document_of
from doorward.stores.protocols import Stores

ENROL_PURPOSE = "enrol"
"""The purpose of the enrolment host's certificate; the purpose of an application's certificate is its id."""
EST_PURPOSE = "est"
"""The purpose of the EST host's certificate."""


def configuration_of(snapshot: PolicySnapshot) -> Configuration:
    """Return what distinguishes the configuration of a snapshot: its revision, and the authorities of each door."""
    authorities = _authorities(snapshot)
    return Configuration(
        revision=snapshot.revision,
        trusts={
            one: _digest(app, authorities) for one, app in snapshot.policies.items() if _has_partners(app)
        },
    )


def former_snapshot(stores: Stores, newest: PolicySnapshot, former: Configuration) -> PolicySnapshot | None:
    """Return the part of an older configuration that may be in force in place of the newest; None if it is not older.

    Applications that are no longer in the newest document are left out: their doors close. Applications that trust
    other authorities now are left out, too: the older authorities are no longer stored, and a door with the newer
    ones would be the newest configuration again.
    """
    if former.revision > newest.revision or former == configuration_of(newest):
        return None
    document = document_of(stores, former.revision)
    if document is None:
        return None
    apps = tuple(app for app in document.apps if app.name in newest.ids)
    found = replace(newest, document=replace(document, apps=apps), revision=former.revision)
    now = configuration_of(found).trusts
    same = tuple(
        app
        for one, app in found.policies.items()
        if one != PORTAL_APPLICATION and (not _has_partners(app) or now[one] == former.trusts.get(one))
    )
    return replace(found, document=replace(document, apps=same))


def own_trust(snapshot: PolicySnapshot) -> tuple[str, ...]:
    """Return the PEM of each of our own issuing authorities."""
    return tuple(
        x509.load_der_x509_certificate(one.der).public_bytes(Encoding.PEM).decode("ascii")
        for one in snapshot.issuers
    )


def staying_issuers(snapshot: PolicySnapshot) -> frozenset[str]:
    """Return the SHA-256 of each of our issuing authorities with server certificates that stay in use."""
    staying = (one for one in snapshot.issuers if one.id != snapshot.replaced_issuer)
    return frozenset(hashlib.sha256(one.der).hexdigest() for one in staying)


def partner_trusts(snapshot: PolicySnapshot) -> dict[str, DoorTrust]:
    """Return the trust of each application that trusts partners, by the application's name.

    A door that has lost all of its partners is left out: Envoy then verifies certificates by our own authorities, and
    the authorizer admits them only if the document trusts our own authority there.
    """
    authorities = _authorities(snapshot)
    found = {}
    for app in snapshot.document.apps:
        if not _has_partners(app):
            continue
        own = authorities[OWN_AUTHORITY] if OWN_AUTHORITY in app.trust else ()
        theirs = [der for name in app.trust if name != OWN_AUTHORITY for der in authorities.get(name, ())]
        if theirs:
            with suppress(ValueError):
                found[app.name] = build_trust(own, theirs)
    return found


def ids_of_rules(snapshot: PolicySnapshot) -> dict[str, frozenset[str]]:
    """Return the ids of the rules of each application, by the application's id."""
    return {one: rule_ids(app, TENANT, one) for one, app in snapshot.policies.items()}


def portal_trust(snapshot: PolicySnapshot) -> DoorTrust:
    """Return the trust of the portal: our own authority, and each partner that an application trusts."""
    authorities = _authorities(snapshot)
    trusted = snapshot.policies[PORTAL_APPLICATION].trust
    theirs = [der for name in trusted if name != OWN_AUTHORITY for der in authorities.get(name, ())]
    return build_trust(authorities[OWN_AUTHORITY], theirs)


def wanted_hosts(
    snapshot: PolicySnapshot, portal_host: str = "", est_host: str = ""
) -> dict[str, tuple[str, ...]]:
    """Return the hosts of each purpose that need a server certificate.

    Args:
        snapshot: the policy.
        portal_host: the portal's host; empty if there is no portal, or if another authority certifies it.
        est_host: the EST server's host; empty if there is no EST server.
    """
    hosts = {ENROL_PURPOSE: (enrolment_host(snapshot.trust_domain),)}
    if est_host:
        hosts[EST_PURPOSE] = (est_host,)
    if portal_host:
        hosts[PORTAL_APPLICATION] = (portal_host,)
    return hosts | {one: app.hosts for one, app in snapshot.policies.items() if one != PORTAL_APPLICATION}


def certificate_sources(
    snapshot: PolicySnapshot, *, portal_from_acme: bool = False
) -> dict[str, CertificateSource]:
    """Return the ACME authority of each purpose that has one."""
    portal = {PORTAL_APPLICATION: CertificateSource(by=CertifiedBy.ACME)} if portal_from_acme else {}
    return portal | {
        one: app.certificates
        for one, app in snapshot.policies.items()
        if app.certificates.by is CertifiedBy.ACME and one != PORTAL_APPLICATION
    }


def _authorities(snapshot: PolicySnapshot) -> Mapping[str, tuple[bytes, ...]]:
    """Return the DER of the authorities that a document may trust, by their name in the document."""
    return {OWN_AUTHORITY: tuple(one.der for one in snapshot.issuers), **snapshot.partners}


def _digest(app: AppPolicy, authorities: Mapping[str, tuple[bytes, ...]]) -> str:
    digest = hashlib.sha256()
    for name in app.trust:
        for der in (name.encode(), *authorities.get(name, ())):
            digest.update(len(der).to_bytes(4) + der)
    return digest.hexdigest()


def _has_partners(app: AppPolicy) -> bool:
    return app.trust != (OWN_AUTHORITY,)
