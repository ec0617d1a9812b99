"""Renders the options of a command line as the YAML lines of a rule.

Not here: reading it (`policy.document`) and adding it (`shortcuts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from doorward.core.errors import MalformedInput
from doorward.policy.scalars import render_scalar
from doorward.policy.selectors.certificates import KEYS

PRINCIPALS = ("persons", "devices", "services", "groups", "kind")
CERTIFICATE = ("issuer", "profile", "san-dns", "san-email", "san-uri", "policy-oid", "key")


def render_rule(
    *,
    name: str,
    deny: bool,
    who: Mapping[str, Sequence[str]],
    certificate: Mapping[str, Sequence[str]],
    source: Sequence[str] = (),
    to: Mapping[str, Sequence[str]],
    require: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Return the lines of a rule, without indent and without `- `; empty values are left out.

    Args:
        name: of the rule, or empty.
        deny: whether it is a deny rule.
        who: names by key of `PRINCIPALS`.
        certificate: values by key of `CERTIFICATE`.
        source: networks of the peer.
        to: `methods` and `paths`.
        require: `factor` or `level`, and `within`.

    Raises:
        MalformedInput: `rule-without-principals`.
    """
    selected = _lists(PRINCIPALS, who)
    if of_certificate := _lists(CERTIFICATE, certificate):
        selected.append(f"certificate: {{{', '.join(of_certificate)}}}")
    selected += _lists(("source",), {"source": source})
    if not selected:
        raise MalformedInput(
            "rule-without-principals",
            "the rule selects no principal, certificate or source",
            hint="add --group, --person, --device, --service, --kind, an option about the certificate (--issuer ...) or --source",
        )
    lines = [f"name: {render_scalar(name)}"] if name else []
    lines.append(f"{'deny' if deny else 'allow'}: {{{', '.join(selected)}}}")
    if limits := _lists(("methods", "paths"), to):
        lines.append(f"to: {{{', '.join(limits)}}}")
    if asked := [f"{key}: {render_scalar(value)}" for key, value in require.items() if value]:
        lines.append(f"require: {{{', '.join(asked)}}}")
    return lines


def list_key_kinds() -> list[str]:
    """Return the kinds of public keys that a rule may name, sorted."""
    return sorted(KEYS)


def _lists(keys: Sequence[str], given: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"{key}: [{', '.join(map(render_scalar, given[key]))}]" for key in keys if given.get(key)]
