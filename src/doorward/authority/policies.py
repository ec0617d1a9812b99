"""The policy document and its revisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from doorward.authority.records import RevisionRecord
from doorward.authority.services import Services
from doorward.authority.stores import Books
from doorward.policy.decision import Decision
from doorward.policy.model import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """`changed` is False where the document says what the current revision says already."""

    revision: RevisionRecord
    seq: int
    changed: bool
    differences: tuple[Any, ...]  # of policy.analysis
    findings: tuple[Any, ...]  # of policy.analysis (warnings)


def apply_document(
    services: Services, text: str, *, file: str, actor: str, expected_number: int | None = None
) -> Applied:
    raise NotImplementedError


def diff_document(services: Services, text: str, *, file: str) -> tuple[Any, ...]:
    raise NotImplementedError


def export_document(services: Services) -> str:
    raise NotImplementedError


def current_document(books: Books) -> tuple[Document, int]:
    """Return the document and its number; the empty document and 0 before the first revision."""
    raise NotImplementedError


def add_app(services: Services, name: str, *, hosts: Sequence[str], upstream: str, actor: str) -> Applied:
    raise NotImplementedError


def explain(services: Services, *, principal: str, app: str, method: str, path: str) -> Decision:
    raise NotImplementedError
