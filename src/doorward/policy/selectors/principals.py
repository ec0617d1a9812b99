"""The selector keys about the principal: `kind`, `persons`, `devices`, `services`, `groups`.

Names are those of the directory; they are compared exactly.
"""

from __future__ import annotations

from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput
from doorward.core.names import parse_partner_principal_name, parse_principal_name
from doorward.policy.node_reader import suggest
from doorward.policy.selectors.key import NamesKey, either
from doorward.policy.subject import Subject

_KINDS = {kind.value: kind for kind in PrincipalKind}


class _KindKey(NamesKey):
    """`kind`: person, device or service."""

    def __init__(self) -> None:
        super().__init__("kind", _parse_kind, lambda subject: (subject.principal.kind.value,))

    def explain(self, value: frozenset[str], subject: Subject) -> str:
        who = subject.principal
        return f"{who.name} is a {who.kind.value}, not {either(value)}"

    def possible_kinds(self, value: frozenset[str]) -> frozenset[PrincipalKind]:
        return frozenset(_KINDS[one] for one in value)


class NamedKey(NamesKey):
    """`persons`, `devices` or `services`: single principals of one kind."""

    def __init__(self, word: str, kind: PrincipalKind) -> None:
        def find_name(subject: Subject) -> tuple[str, ...]:
            return (subject.principal.name,) if subject.principal.kind is kind else ()

        super().__init__(word, _parse_any_principal, find_name)
        self.kind = kind

    def explain(self, value: frozenset[str], subject: Subject) -> str:
        """Name the principal and the wanted names."""
        who = subject.principal
        return f"{who.kind.value} {who.name} is not {self.kind.value} {either(value)}"

    def possible_kinds(self, _value: frozenset[str]) -> frozenset[PrincipalKind]:
        """The one kind."""
        return frozenset({self.kind})


class _GroupsKey(NamesKey):
    """`groups`: the members of one of these groups."""

    def __init__(self) -> None:
        super().__init__("groups", parse_principal_name, lambda subject: subject.principal.groups)

    def explain(self, value: frozenset[str], subject: Subject) -> str:
        return f"{subject.principal.name} is not in {either(value)}"


def _parse_kind(text: str) -> str:
    if text not in _KINDS:
        raise MalformedInput("unknown-value", f"there is no kind {text!r}", hint=suggest(text, _KINDS))
    return text


def _parse_any_principal(text: str) -> str:
    """Return the name of one of our own principals, or of a partner's principal, `<partner>/<identity>`."""
    if "/" not in text:
        return parse_principal_name(text)
    parse_partner_principal_name(text)
    return text


KIND = _KindKey()
NAMED = (
    NamedKey("persons", PrincipalKind.PERSON),
    NamedKey("devices", PrincipalKind.DEVICE),
    NamedKey("services", PrincipalKind.SERVICE),
)
GROUPS = _GroupsKey()
