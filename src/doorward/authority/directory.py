"""Persons, devices, services and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from doorward.authority.done import Done
from doorward.authority.services import Services
from doorward.core.entities import Principal, PrincipalKind


def add_principal(
    services: Services,
    kind: PrincipalKind,
    name: str,
    *,
    display_name: str = "",
    groups: Sequence[str] = (),
    actor: str,
) -> Done[Principal]:
    """Add one; groups that do not exist are created, said in `.notes`."""
    raise NotImplementedError


def suspend(services: Services, name: str, *, kind: PrincipalKind | None = None, actor: str) -> Done[Principal]:
    raise NotImplementedError


def resume(services: Services, name: str, *, kind: PrincipalKind | None = None, actor: str) -> Done[Principal]:
    raise NotImplementedError


def remove(services: Services, name: str, *, kind: PrincipalKind | None = None, actor: str) -> Done[Principal]:
    """Remove one and revoke its certificates (cessation-of-operation)."""
    raise NotImplementedError


def create_group(services: Services, group: str, *, actor: str) -> Done[str]:
    raise NotImplementedError


def add_member(services: Services, group: str, name: str, *, actor: str) -> Done[Principal]:
    raise NotImplementedError


def remove_member(services: Services, group: str, name: str, *, actor: str) -> Done[Principal]:
    raise NotImplementedError


def find_principal(services: Services, name: str, *, kind: PrincipalKind | None = None) -> Principal:
    raise NotImplementedError


def list_principals(services: Services, kind: PrincipalKind | None = None) -> list[Principal]:
    raise NotImplementedError


def list_groups(services: Services) -> Mapping[str, int]:
    raise NotImplementedError
