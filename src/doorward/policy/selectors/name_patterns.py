"""Patterns for names in certificates: exact, or everything below a domain or a path.

| kind | exact | pattern | covers |
| --- | --- | --- | --- |
| DNS name | `printer7.corp.example` | `*.corp.example` | each name below `corp.example`, at any depth, but not `corp.example` |
| mailbox | `ann@corp.example` | `@corp.example` | each mailbox of exactly this domain |
| URI | `spiffe://corp.example/ns/web` | `spiffe://corp.example/ns/**` | `spiffe://corp.example/ns`, and each URI below it |

A pattern ends at a label, a domain or a segment, so `*.corp.example` never covers `evilcorp.example`. Each name and
pattern is widened to the patterns that cover it, so that a comparison only looks for equal texts.

Not here: the spelling of names (core.alternative_names).
"""

from __future__ import annotations

from collections.abc import Callable

from doorward.core.alternative_names import spell_dns, spell_mailbox, spell_uri, split_uri
from doorward.core.errors import MalformedInput

MOST_PARTS = 16
"""Labels or segments of a pattern. One name is widened to about as many patterns, so that judging stays cheap."""

_BELOW, _TAIL = "*.", "/**"


def parse_dns_pattern(text: str) -> str:
    """Return a DNS name or `*.domain` in lower case; raises `MalformedInput`."""
    if not text.startswith(_BELOW):
        return _explain(text, spell_dns)
    domain = spell_dns(text.removeprefix(_BELOW))
    if "." not in domain:
        hint = "write *.domain.example"
        raise MalformedInput("pattern-malformed", f"{text!r} would cover a whole top-level domain", hint=hint)
    if domain.count(".") >= MOST_PARTS:
        raise _too_deep("labels")
    return _BELOW + domain


def parse_mailbox_pattern(text: str) -> str:
    """Return a mailbox or `@domain`, the domain in lower case; raises `MalformedInput`."""
    if text.startswith("@"):
        return f"@{spell_dns(text[1:])}"
    return _explain(text, spell_mailbox)


def parse_uri_pattern(text: str) -> str:
    """Return a URI, or the beginning of a URI with `/**` after it; scheme and authority are in lower case.

    Raises:
        MalformedInput: `uri-malformed`, `pattern-malformed`, `pattern-too-deep`.
    """
    if not text.endswith(_TAIL):
        return _explain(text, spell_uri)
    base = _explain(text.removesuffix(_TAIL), spell_uri)
    parts = split_uri(base)
    if parts is None or base != "/".join((parts[0], *parts[1])) or base.endswith("/"):
        hint = "write scheme://host/segment/**"
        raise MalformedInput(
            "pattern-malformed", f"{text!r} is not the beginning of a URI with /**", hint=hint
        )
    if len(parts[1]) > MOST_PARTS:
        raise _too_deep("segments")
    return base + _TAIL


def widen_dns(name: str) -> frozenset[str]:
    """Return a DNS name or pattern and every pattern that covers it."""
    labels = name.removeprefix(_BELOW).split(".")
    first = max(1, len(labels) - MOST_PARTS)
    return frozenset({name, *(_BELOW + ".".join(labels[at:]) for at in range(first, len(labels)))})


def widen_mailbox(name: str) -> frozenset[str]:
    """Return a mailbox or pattern and the pattern that covers it."""
    return frozenset({name, "@" + name.rpartition("@")[2]})


def widen_uri(name: str) -> frozenset[str]:
    """Return a URI or pattern and every pattern that covers it."""
    parts = split_uri(name.removesuffix(_TAIL))
    if parts is None:
        return frozenset({name})
    base, segments = parts
    covering = {"/".join((base, *segments[:at])) + _TAIL for at in range(min(len(segments), MOST_PARTS) + 1)}
    return frozenset({name, *covering})


def _explain(text: str, spell: Callable[[str], str]) -> str:
    """Return an exact name in its canonical spelling; refuse a star, because its author means a pattern."""
    if "*" in text:
        hint = "write *.domain for DNS names, scheme://host/path/** for URIs, @domain for mailboxes"
        raise MalformedInput(
            "pattern-malformed", f"{text!r} has a star that is not part of a pattern", hint=hint
        )
    return spell(text)


def _too_deep(what: str) -> MalformedInput:
    message = f"the pattern has more than {MOST_PARTS} {what}"
    return MalformedInput("pattern-too-deep", message, hint="shorten it")
