"""What a publication rests on: policy, applications and authorities, as of one number of the change sequence.

Not here: compiling and publishing it (publishing), and judging by it (`authority.access`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.authority.policies import current_document, document_of
from doorward.authority.records import AuthorityKind
from doorward.authority.services import Services
from doorward.authority.standing import require_tenant
from doorward.core.entities import TENANT
from doorward.core.names import enrolment_host
from doorward.enforcement.transition import rule_ids
from doorward.policy.model import AppPolicy, Document

ENROL_PURPOSE = "enrol"
"""What the certificate of the enrolment host is ordered for; those of applications are for their ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One document and its surroundings; `ids` are application names to ids, also of those not in it."""

    seq: int
    revision: int
    document: Document
    ids: Mapping[str, str]
    trust_domain: str
    trust: tuple[str, ...]

    @property
    def policies(self) -> dict[str, AppPolicy]:
        """The policy of each application, by id: what the gate compares a judgement with."""
        return {self.ids[app.name]: app for app in self.document.apps}

    @property
    def names(self) -> dict[str, str]:
        """Names of applications by id."""
        return {one: name for name, one in self.ids.items()}

    def rule_ids(self) -> dict[str, frozenset[str]]:
        """Return the ids that the rules of each application ask for."""
        return {one: rule_ids(app, TENANT, one) for one, app in self.policies.items()}

    def wanted_hosts(self) -> dict[str, tuple[str, ...]]:
        """Return the hosts that each purpose needs a server certificate for."""
        hosts = {ENROL_PURPOSE: (enrolment_host(self.trust_domain),)}
        return hosts | {one: app.hosts for one, app in self.policies.items()}


def read_ground(services: Services) -> Ground:
    """Return what is newest; raises as `current_document`."""
    with services.work.read() as books:
        tenant = require_tenant(books)
        document, revision = current_document(books)
        return Ground(
            seq=books.changes.head(),
            revision=revision,
            document=document,
            ids={one.name: one.id for one in books.applications.list()},
            trust_domain=tenant.trust_domain,
            trust=tuple(
                x509.load_der_x509_certificate(one.der).public_bytes(Encoding.PEM).decode("ascii")
                for one in books.authorities.list()
                if one.kind is AuthorityKind.ISSUING
            ),
        )


def read_former_ground(services: Services, newest: Ground, number: int | None) -> Ground | None:
    """Return the same with the document of an older revision, None where there is no such revision.

    Applications that the newest document does not know any more are left out: their doors close.
    """
    if number is None or not 0 <= number < newest.revision:
        return None
    with services.work.read() as books:
        document = document_of(books, number)
    if document is None:
        return None
    apps = tuple(app for app in document.apps if app.name in newest.ids)
    return replace(newest, document=replace(document, apps=apps), revision=number)
