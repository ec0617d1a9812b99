"""Reading and rendering the key `require` of a rule, and parsing the shown factors of a command line.

    require: {factor: webauthn, within: 5m}
    require: {level: 2}
    require: [{factor: password}, {factor: webauthn, within: 5m}]

Not here: what a requirement means (`requirements`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from doorward.core.errors import MalformedInput
from doorward.core.factor_kinds import FactorKind
from doorward.core.shown_factors import ShownFactors
from doorward.policy.node_reader import NodeReader, suggest
from doorward.policy.requirements import (
    ANY_FACTOR,
    KINDS_OF_LEVEL,
    SECOND_FACTORS,
    Requirement,
    is_good_age,
)
from doorward.policy.time_spans import parse_time_span, render_time_span
from doorward.policy.yaml_tree import Node, Sequence

MOST_REQUIREMENTS = 4
"""For one rule: as many as there are kinds of factors, and one more."""

_EXAMPLES = "{factor: any}, {factor: webauthn, within: 5m} or {level: 2}"

_EARLIEST = datetime.min.replace(tzinfo=UTC)

FACTOR_WORDS = (ANY_FACTOR, *sorted(kind.value for kind in SECOND_FACTORS))


def read_requirements(reader: NodeReader, node: Node, key: str) -> frozenset[Requirement]:
    """Return the requirements of an allow rule; note faults.

    Args:
        reader: reads nodes, and notes faults.
        node: one requirement, or a list of them that must all be met.
        key: its path in the document.
    """
    if not isinstance(node, Sequence):
        one = _read_requirement(reader, node, key)
        return frozenset() if one is None else frozenset({one})
    if not 1 <= len(node.items) <= MOST_REQUIREMENTS:
        message = f"`require` has {len(node.items)} entries; 1 to {MOST_REQUIREMENTS} are allowed"
        hint = "remove `require` if the certificate alone is enough"
        reader.add_fault(node, "requirement-malformed", message, key=key, hint=hint)
        return frozenset()
    found = set()
    for at, item in enumerate(node.items):
        one = _read_requirement(reader, item, f"{key}[{at}]")
        if one in found:
            message, hint = f"{one} appears here twice", "keep one"
            reader.add_fault(item, "duplicate-value", message, key=f"{key}[{at}]", hint=hint)
        elif one is not None:
            found.add(one)
    return frozenset(found)


def _read_requirement(reader: NodeReader, node: Node, key: str) -> Requirement | None:
    before = len(reader.faults)
    found = reader.mapping(node, key, ("factor", "level", "within"), example=_EXAMPLES)
    if len(reader.faults) == before and ("factor" in found) is ("level" in found):
        message = "a requirement needs either `factor` or `level`"
        reader.add_fault(node, "requirement-malformed", message, key=key, hint=f"write {_EXAMPLES}")
    factor = read_factor(reader, found["factor"], f"{key}.factor") if "factor" in found else None
    level = _read_level(reader, found["level"], f"{key}.level") if "level" in found else 0
    within = _read_within(reader, found["within"], f"{key}.within") if "within" in found else None
    if len(reader.faults) > before:
        return None
    return Requirement(factor=factor, level=level, within=within)


def read_factor(reader: NodeReader, node: Node, key: str) -> FactorKind | None:
    """Return the kind of factor that a word names; None for `any`, and for a fault."""
    text = reader.text(node, key)
    if text is None or text.value == ANY_FACTOR:
        return None
    if text.value in FACTOR_WORDS:
        return FactorKind(text.value)
    message = f"{text.value[:64]!r} is not a factor that can be required"
    reader.add_fault(text, "factor-unknown", message, key=key, hint=suggest(text.value, FACTOR_WORDS))
    return None


def _read_level(reader: NodeReader, node: Node, key: str) -> int:
    text = reader.text(node, key)
    if text is None:
        return 0
    for level in KINDS_OF_LEVEL:
        if text.value == str(level):
            return level
    message = f"{text.value[:64]!r} is not a level that a rule may require"
    hint = "write 2 (any second factor) or 3 (a passkey); remove `require` if the certificate alone is enough"
    reader.add_fault(text, "requirement-malformed", message, key=key, hint=hint)
    return 0


def _read_within(reader: NodeReader, node: Node, key: str) -> timedelta | None:
    text = reader.text(node, key)
    span = parse_time_span(text.value) if text else None
    if text and (span is None or not is_good_age(span)):
        message = f"{text.value[:64]!r} is not a time span from 30s to 24h"
        hint = "write a number and s, m or h, such as 5m; 30s to 24h"
        reader.add_fault(text, "requirement-malformed", message, key=key, hint=hint)
    return span


def parse_shown(text: str, time: datetime) -> ShownFactors:
    """Parse shown factors with their ages, such as `webauthn=2m,totp=1h`; without an age, a factor was shown just now.

    Args:
        text: words of factors, each once, joined by commas.
        time: the moment from which the ages count, aware, UTC.

    Raises:
        MalformedInput: `shown-malformed`.
    """
    kinds = {kind.value: kind for kind in SECOND_FACTORS}
    times: dict[FactorKind, datetime] = {}
    for part in text.split(","):
        word, has_age, age = part.strip().partition("=")
        span = parse_time_span(age) if has_age else timedelta()
        kind = kinds.get(word)
        if kind is None or kind in times or span is None or time - _EARLIEST < span:
            hint = f"write for example webauthn=2m,totp=1h; the factors are {', '.join(sorted(kinds))}, each once"
            raise MalformedInput(
                "shown-malformed", f"{part.strip()[:64]!a} is not a factor with an age", hint=hint
            )
        times[kind] = time - span
    return ShownFactors.of(times)


def render_requirement(one: Requirement) -> str:
    """Return a requirement as in the canonical document."""
    word = one.factor.value if one.factor else ANY_FACTOR
    parts = [f"level: {one.level}" if one.level else f"factor: {word}"]
    parts += [] if one.within is None else [f"within: {render_time_span(one.within)}"]
    return f"{{{', '.join(parts)}}}"


def render_requirements(requirements: Iterable[Requirement]) -> str:
    """Return the value of `require`; an empty text if nothing is required."""
    every = sorted(map(render_requirement, requirements))
    return f"[{', '.join(every)}]" if len(every) > 1 else "".join(every)
