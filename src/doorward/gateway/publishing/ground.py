"""What a publication rests on: policy, applications and authorities, as of one number of the change sequence.

Not here: compiling and publishing it (publishing), and judging by it (`access.deciding`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.core.entities import TENANT
from doorward.core.names import OWN_AUTHORITY, enrolment_host
from doorward.enforcement.transition import rule_ids
from doorward.enforcement.trust import Trust, build_trust
from doorward.gateway.publishing.last_published import Configuration
from doorward.policy.model import AppPolicy, Document
from doorward.stores.policy_snapshot import current_document, document_of
from doorward.stores.records import AuthorityKind
from doorward.stores.services import Services
from doorward.stores.standing import require_tenant

ENROL_PURPOSE = "enrol"
"""What the certificate of the enrolment host is ordered for; those of applications are for their ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One document and its surroundings.

    `ids` are application names to ids, also of those not in the document; `trust` is PEM of our own issuing
    authorities, `authorities` DER of each authority that a document may trust, by what it is called there.
    """

    seq: int
    revision: int
    document: Document
    ids: Mapping[str, str]
    trust_domain: str
    trust: tuple[str, ...]
    authorities: Mapping[str, tuple[bytes, ...]]

    @property
    def configuration(self) -> Configuration:
        """What makes this the same for Envoy as another: the document, and the authorities of each door."""
        trusts = {self.ids[app.name]: self._digest(app) for app in self.document.apps if _has_partners(app)}
        return Configuration(revision=self.revision, trusts=trusts)

    def _digest(self, app: AppPolicy) -> str:
        digest = hashlib.sha256()
        for name in app.trust:
            for der in (name.encode(), *self.authorities.get(name, ())):
                digest.update(len(der).to_bytes(4) + der)
        return digest.hexdigest()

    @property
    def policies(self) -> dict[str, AppPolicy]:
        """The policy of each application, by id: what the gate compares a judgement with."""
        return {self.ids[app.name]: app for app in self.document.apps}

    @property
    def names(self) -> dict[str, str]:
        """Names of applications by id."""
        return {one: name for name, one in self.ids.items()}

    @property
    def partners(self) -> dict[str, Trust]:
        """The trust of each application that hears more than our own authority, by its name.

        A door that has lost all of its partners is not in it: Envoy verifies its chain by our own authorities, and
        the authorizer admits those only if the document says so.
        """
        found = {}
        for app in self.document.apps:
            if not _has_partners(app):
                continue
            own = self.authorities[OWN_AUTHORITY] if OWN_AUTHORITY in app.trust else ()
            theirs = [
                der for name in app.trust if name != OWN_AUTHORITY for der in self.authorities.get(name, ())
            ]
            if theirs:
                with suppress(ValueError):
                    found[app.name] = build_trust(own, theirs)
        return found

    def rule_ids(self) -> dict[str, frozenset[str]]:
        """Return the ids that the rules of each application ask for."""
        return {one: rule_ids(app, TENANT, one) for one, app in self.policies.items()}

    def wanted_hosts(self) -> dict[str, tuple[str, ...]]:
        """Return the hosts that each purpose needs a server certificate for."""
        hosts = {ENROL_PURPOSE: (enrolment_host(self.trust_domain),)}
        return hosts | {one: app.hosts for one, app in self.policies.items()}


def read_ground(services: Services) -> Ground:
    """Return what is newest; raises as `current_document`."""
    with services.work.read() as stores:
        tenant = require_tenant(stores)
        document, revision = current_document(stores)
        own = tuple(one.der for one in stores.authorities.list() if one.kind is AuthorityKind.ISSUING)
        partners = {
            partner.name: tuple(one.der for one in stores.partners.authorities(partner.id))
            for partner in stores.partners.list()
        }
        return Ground(
            seq=stores.changes.head(),
            revision=revision,
            document=document,
            ids={one.name: one.id for one in stores.applications.list()},
            trust_domain=tenant.trust_domain,
            trust=tuple(
                x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM).decode("ascii") for one in own
            ),
            authorities={OWN_AUTHORITY: own, **partners},
        )


def read_former_ground(services: Services, newest: Ground, former: Configuration) -> Ground | None:
    """Return what of an older configuration may be in force beside the newest; None if it is no older one.

    Applications that the newest document does not know any more are left out: their doors close. So are
    those that trust other authorities by now: the older ones are not there any more, and a door with the
    newer ones would be the newest configuration again.
    """
    if former.revision > newest.revision or former == newest.configuration:
        return None
    with services.work.read() as stores:
        document = document_of(stores, former.revision)
    if document is None:
        return None
    apps = tuple(app for app in document.apps if app.name in newest.ids)
    found = replace(newest, document=replace(document, apps=apps), revision=former.revision)
    now = found.configuration.trusts
    same = tuple(
        app
        for app in apps
        if not _has_partners(app) or now[found.ids[app.name]] == former.trusts.get(found.ids[app.name])
    )
    return replace(found, document=replace(document, apps=same))


def _has_partners(app: AppPolicy) -> bool:
    return app.trust != (OWN_AUTHORITY,)
