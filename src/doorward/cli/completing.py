"""The completion of names: what a shell offers for the last word of a line.

Commands and options come from the table and from click. Names come from the installation that the line names. If a
completion fails, it offers nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from doorward.cli import parts
from doorward.cli.command import read_state
from doorward.core.entities import PrincipalKind

if TYPE_CHECKING:
    from doorward.stores.services import Services

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def completer(names: Callable[[Services], Iterable[str]]) -> Completer:
    """Return a completion function that offers the names which begin as the word does."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001  click's
        try:
            with ctx:  # close the installation afterwards
                installation = read_state(ctx).installation()
                return [name for name in names(installation.services) if name.startswith(incomplete)]
        except Exception:  # noqa: BLE001  a failed completion must not print an error
            return []

    return complete


def complete_principal(kind: PrincipalKind | None = None) -> Completer:
    """Return a completion function for the names of one kind of principal, or of all."""
    return completer(lambda services: (one.name for one in parts.principals.list_principals(services, kind)))


def _groups(services: Services) -> Iterable[str]:
    return parts.principals.list_groups(services)


def _applications(services: Services) -> Iterable[str]:
    return parts.completion_names.list_application_names(services)


def _partners(services: Services) -> Iterable[str]:
    return parts.completion_names.list_partner_names(services)


def _revisions(services: Services) -> Iterable[str]:
    return map(str, parts.completion_names.list_revision_numbers(services))


def _invitations(services: Services) -> Iterable[str]:
    return (record.id for record, _ in parts.invitations.list_open(services))


def _sessions(services: Services) -> Iterable[str]:
    return (one.session.id for one in parts.session_views.list_session_views(services))


def _members(services: Services) -> Iterable[str]:
    yield from (one.name for one in parts.principals.list_principals(services))
    yield from _groups(services)


def _issuers(services: Services) -> Iterable[str]:
    return parts.completion_names.list_issuer_ids(services)


def _manufacturers(services: Services) -> Iterable[str]:
    return (one.manufacturer.name for one in parts.manufacturers.list_manufacturers(services))


def _tags(services: Services) -> Iterable[str]:
    return (one.name for one in parts.tags.list_tags(services))


def _enrolments(services: Services) -> Iterable[str]:
    return (one.id for one, _ in parts.approving.list_enrolments(services))


complete_manufacturer = completer(_manufacturers)
complete_tag = completer(_tags)
complete_enrolment = completer(_enrolments)
complete_group = completer(_groups)
complete_member = completer(_members)
complete_issuer = completer(_issuers)
complete_app = completer(_applications)
complete_partner = completer(_partners)
complete_revision = completer(_revisions)
complete_invitation = completer(_invitations)
complete_session = completer(_sessions)


def complete_profile(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001  click's
    """Offer the profiles of our own client certificates: they have the names of the kinds of principals."""
    return [kind.value for kind in PrincipalKind if kind.value.startswith(incomplete)]


def complete_key(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001  click's
    """Offer the kinds of public keys that a rule may name."""
    return [name for name in parts.rule_lines.list_key_kinds() if name.startswith(incomplete)]


def complete_event(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001  click's
    """Offer types of events, and the nouns that they begin with."""
    return [name for name in parts.catalogue.list_event_names() if name.startswith(incomplete)]
