"""The policy document and its numbered revisions: apply, compare, export.

One document says who may reach what; every shortcut (`shortcuts`) makes a revision of it. Applying a document with the
same meaning makes no revision. An application keeps its id while its name is in the document. If a name is removed and
added again, it is another application with another id, so that no old grant is valid for it.

Not here: reading YAML (policy.document), decisions (policy.decision), publishing to Envoy (the gateway follows the change).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from doorward.audit.events import EventType
from doorward.core.entities import TENANT, Application
from doorward.core.errors import ConfigurationError, Fault, NotFound, RequestRefused
from doorward.core.names import OWN_AUTHORITY, PORTAL_AUDIENCE
from doorward.partners.authority_names import check_authority_names
from doorward.policy.analysis import PolicyDifference, PolicyFinding, check_names, diff_documents
from doorward.policy.capacity import check_capacity
from doorward.policy.document import parse_document, render_document
from doorward.policy.model import Document
from doorward.stores.events import new_event
from doorward.stores.policy_snapshot import current_document, empty_document
from doorward.stores.prerequisites import require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, ChangeKind, RevisionRecord, TenantRecord
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """The result of applying a document: its revision, its differences, and findings for the author.

    `changed` is False if the document has the same meaning as the revision in force: then no revision was made. `str()`
    of a difference or finding is a line for people.
    """

    revision: RevisionRecord
    seq: int
    changed: bool
    differences: tuple[PolicyDifference, ...]
    findings: tuple[PolicyFinding, ...]


DocumentCheck = Callable[[Document], None]
"""Raises `ConfigurationError` if a valid document cannot be enforced by this installation."""


def accept_any(_document: Document) -> None:
    """Accept every document: the check of a caller that does not know the limits of a gateway."""


def apply_document(
    services: Services,
    text: str,
    *,
    file: str,
    actor: str,
    expected_number: int | None = None,
    check: DocumentCheck = accept_any,
) -> ApplyResult:
    """Put a document into force as the next revision.

    Args:
        services: the ports of this process.
        text: YAML.
        file: its name, for error messages.
        actor: who acts.
        expected_number: refuse unless this is the number of the revision in force (0 before the first), so that two
            people who edit at once do not overwrite each other.
        check: another check; a document that the gateway would refuse later is not stored.

    Raises:
        ConfigurationError: every fault of the document; nothing was changed.
        RequestRefused: `revision-conflict`.
        NotFound: `not-founded`.
    """
    document = parse_document(text, file=file)
    check_capacity(document, file=file)
    check(document)
    return _apply(services, document, text, file=file, actor=actor, expected_number=expected_number)


def check_document(
    services: Services,
    text: str,
    *,
    file: str,
    check: DocumentCheck = accept_any,
    expected_number: int | None = None,
) -> tuple[PolicyFinding, ...]:
    """Return the findings about a document and change nothing; raises as `apply_document`."""
    document = parse_document(text, file=file)
    check_capacity(document, file=file)
    check(document)
    with services.work.read() as stores:
        _check_fit(require_tenant(stores), document, file=file)
        _check_number(current_document(stores)[1], expected_number)
        return _find(stores, document)


def diff_document(services: Services, text: str, *, file: str) -> tuple[PolicyDifference, ...]:
    """Return what applying a document would change; raises as `apply_document`."""
    document = parse_document(text, file=file)
    with services.work.read() as stores:
        _check_fit(require_tenant(stores), document, file=file)
        current, _ = current_document(stores)
    return tuple(diff_documents(current, document))


def export_revision(services: Services) -> tuple[str, int]:
    """Return the text of the document in force, and its number; before the first, an empty document and 0."""
    with services.work.read() as stores:
        latest = stores.revisions.latest()
        if latest is None:
            return render_document(empty_document(require_tenant(stores))), 0
        return latest.document, latest.number


def find_dropped(services: Services, text: str, *, file: str) -> list[str]:
    """Return the applications in force that are not in a document, sorted; raises as `apply_document`."""
    document = parse_document(text, file=file)
    with services.work.read() as stores:
        current, _ = current_document(stores)
    return sorted({app.name for app in current.apps} - {app.name for app in document.apps})


def list_revisions(services: Services, limit: int) -> Sequence[RevisionRecord]:
    """Return the newest revisions, newest first."""
    with services.work.read() as stores:
        require_tenant(stores)
        return stores.revisions.list(limit)


def find_revision(services: Services, number: int) -> RevisionRecord:
    """Return a revision; raise `NotFound` (`revision-unknown`)."""
    with services.work.read() as stores:
        found = stores.revisions.get(number)
    if found is None:
        raise NotFound(
            "revision-unknown", f"there is no revision {number}", hint="`doorward policy history` lists them"
        )
    return found


def _apply(
    services: Services,
    document: Document,
    text: str,
    *,
    file: str,
    actor: str,
    expected_number: int | None,
) -> ApplyResult:
    with services.work.read() as stores:  # before the change, because others wait while it is open
        findings = _find(stores, document)
    now = services.clock.now()
    with services.work.change() as stores:
        _check_fit(require_tenant(stores), document, file=file)
        current, number = current_document(stores)
        _check_number(number, expected_number)
        latest = stores.revisions.latest()
        if latest is not None and document == current:
            return ApplyResult(
                revision=latest, seq=stores.changes.head(), changed=False, differences=(), findings=findings
            )
        revision = RevisionRecord(
            number=number + 1,
            tenant=TENANT,
            document=text,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            actor=actor,
            created_at=now,
        )
        stores.revisions.add(revision)
        _follow_applications(services, stores, document, revision)
        event = new_event(
            services,
            EventType.POLICY_APPLIED,
            actor=actor,
            at=now,
            data={
                "revision": revision.number,
                "sha256": revision.sha256,
                "applications": len(document.apps),
                "rules_count": sum(len(app.rules) for app in document.apps),
            },
        )
        stores.outbox.add(event)
        seq = stores.changes.note(ChangeKind.POLICY, str(revision.number), now)
    return ApplyResult(
        revision=revision,
        seq=seq,
        changed=True,
        differences=tuple(diff_documents(current, document)),
        findings=findings,
    )


def _check_number(number: int, expected: int | None) -> None:
    if expected not in (None, number):
        raise RequestRefused(
            "revision-conflict",
            f"revision {number} is in force, not {expected}: somebody else applied a document meanwhile",
            hint="read the output of `doorward diff`, then apply again",
        )


def _find(stores: Stores, document: Document) -> tuple[PolicyFinding, ...]:
    """Return the findings about a document, such as names that the directory does not know."""
    selectors = [rule.selector for app in document.apps for rule in app.rules]
    names = {name for selector in selectors for _, named in selector.named for name in named}
    # Only named principals are looked up: the directory may have a million devices.
    people = [one for one in map(stores.directory.by_name, sorted(names)) if one is not None]
    partners = stores.partners.list()
    found = check_names(
        document,
        principals=people,
        groups={*stores.directory.groups(), *(group for one in partners for group in one.groups)},
        partners=[one.name for one in partners],
        authorities=_list_issuers(stores),
    )
    return (*found, *check_authority_names(stores, document))


def _list_issuers(stores: Stores) -> dict[str, str]:
    """Return the ids of all authorities that may issue client certificates, each with its name in `trust`."""
    names = {one.id: one.name for one in stores.partners.list()}
    every = (
        stores.partners.every_authority()
    )  # also former ones: a renewed authority may have the same name and key
    found = {one.id: names[one.partner_id] for one in every if one.partner_id in names}
    own = (one for one in stores.authorities.list() if one.kind is AuthorityKind.ISSUING)
    return found | {one.id: OWN_AUTHORITY for one in own}


def _check_fit(tenant: TenantRecord, document: Document, *, file: str) -> None:
    """Refuse a document for another trust domain, and an application with the portal's name.

    The hosts were checked when the document was read.
    """
    if document.app(PORTAL_AUDIENCE) is not None:
        fault = Fault(
            code="name-reserved",
            message=f"{PORTAL_AUDIENCE} is the name of Doorward's own portal",
            hint="choose another name for the application",
            file=file,
            key=f"apps.{PORTAL_AUDIENCE}",
        )
        raise ConfigurationError([fault])
    if document.trust_domain != tenant.trust_domain:
        fault = Fault(
            code="trust-domain-other",
            message=f"the document has the trust domain {document.trust_domain}, and this installation has {tenant.trust_domain}",
            hint=f"write trust_domain: {tenant.trust_domain}",
            file=file,
            key="trust_domain",
        )
        raise ConfigurationError([fault])


def _follow_applications(
    services: Services, stores: Stores, document: Document, revision: RevisionRecord
) -> None:
    """Add an application with a new id for each new name, and remove the applications without a name in the document."""
    known = {one.name: one for one in stores.applications.list()}
    named = {app.name: app for app in document.apps}
    for name in sorted(known.keys() - named.keys()):
        stores.applications.remove(known[name].id, revision.created_at)
        _note_application(services, stores, EventType.APPLICATION_REMOVED, known[name], revision, hosts=())
    for name in sorted(named.keys() - known.keys()):
        application = Application(id=services.new_id("app"), tenant=TENANT, name=name)
        stores.applications.add(application, revision.created_at)
        created = EventType.APPLICATION_CREATED
        _note_application(services, stores, created, application, revision, hosts=named[name].hosts)


def _note_application(
    services: Services,
    stores: Stores,
    happened: EventType,
    application: Application,
    revision: RevisionRecord,
    *,
    hosts: tuple[str, ...],
) -> None:
    data: dict[str, str | int | tuple[str, ...]] = {
        "application": application.id,
        "name": application.name,
        "hosts": hosts,
        "revision": revision.number,
    }
    at = revision.created_at
    stores.outbox.add(new_event(services, happened, actor=revision.actor, at=at, data=data))
    stores.changes.note(ChangeKind.APPLICATION, application.id, at)
