"""Path patterns: what a rule's `paths` may say, what they match, and the matchers they compile to.

Not here: the normalisation of request paths (`normalisation`); patterns see normalised paths only.

The grammar: `/` and segments joined by `/`. A segment is literal, or `*` (exactly one segment, never
empty), or, as the last one, `**` (a tail of any length, also none: `/admin/**` covers `/admin`, so
that a deny of the tree denies its root). Case-sensitive. A trailing slash of the request makes no
difference: `/x` covers `/x/`, because most applications answer both alike and a deny must not be
passed by adding one.

Literals mean *decoded* characters: `/a@b` also covers `/a%40b`. Each has one spelling, the canonical
one: characters that a URL may hold stand for themselves, all others (and a literal star, `%2A`) are
escaped UTF-8 with upper-case digits. Any other spelling is refused with the canonical one as the mend.
`%2F` is an encoded slash inside a segment, for applications that keep them (`path_options`).

`{principal}` is the segment that is the name of the connection's principal, as it stands in a normalised path
(`owner_segment`). A name that has no single spelling there is in no path.

Standard: RFC 3986 sections 2.2 to 2.4 and 3.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, unquote

from doorward.core.errors import MalformedInput
from doorward.policy.normalisation import KEPT_SLASH, REFUSED_PATH_REGEXES, NormalisedPath, fault_of

__all__ = [
    "EVERY_PATH",
    "NO_OWNER",
    "OWNED",
    "OWNER",
    "PATTERN_LIMIT",
    "REFUSED_PATH_REGEXES",
    "Exact",
    "Form",
    "PathPattern",
    "Prefix",
    "Regex",
    "owner_segment",
    "pattern_of",
]

PATTERN_LIMIT = 512
"""Characters; more than any router of the field writes, and it bounds the size of the expressions."""

_RAW = "!$&'()+,:=@[]"  # beside unreserved characters: what stands for itself, raw or escaped in a request
_TAIL = "**"

OWNER = "{principal}"
"""How a pattern writes the segment of the connection's principal."""
OWNED = "\0"
"""The same among the segments of a pattern; no path has this character."""
NO_OWNER = ""
"""The segment of a principal without one, and of nobody: no path has an empty one."""
_LONGEST_NAME = 63


@dataclass(frozen=True, slots=True)
class Exact:
    """Matches the path that equals `text` (Envoy: `exact`)."""

    text: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """Matches each path that begins with `text` (Envoy: `prefix`)."""

    text: str


@dataclass(frozen=True, slots=True)
class Regex:
    """Matches each path that `text`, in RE2 syntax, matches as a whole (Envoy: `safe_regex`)."""

    text: str


Form = Exact | Prefix | Regex


@dataclass(frozen=True, slots=True)
class PathPattern:
    """One path pattern, in canonical spelling.

    `segments` are decoded, None for `*`, `OWNED` for `{principal}`; `tail` says that `**` follows them.

    Args:
        text: the pattern, at most 512 characters.

    Raises:
        MalformedInput: the text is no pattern, could never match, or is not canonical; the hint mends it.
    """

    text: str
    segments: tuple[str | None, ...] = field(init=False, compare=False, repr=False)
    tail: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        segments, tail = _parse(self.text)
        object.__setattr__(self, "segments", segments)
        object.__setattr__(self, "tail", tail)

    def matches(self, path: NormalisedPath, owner: str = NO_OWNER) -> bool:
        """Say whether a normalised path is within this pattern; `owner` is the principal's segment."""
        extra = len(path.segments) - len(self.segments)
        if extra < 0 or (extra and not self.tail):
            return False
        return all(
            want is None or (owner if want == OWNED else want) == have
            for want, have in zip(self.segments, path.segments, strict=False)
        )

    @property
    def owned(self) -> tuple[int, ...]:
        """The places of `{principal}` among the segments, from 0."""
        return tuple(at for at, segment in enumerate(self.segments) if segment == OWNED)

    def owned_by(self, owner: str) -> PathPattern | None:
        """Return the pattern as it is for one principal; None if no path is within it then."""
        if not self.owned:
            return self
        return None if owner == NO_OWNER else pattern_of(self.text.replace(OWNER, owner))

    @property
    def has_kept_slash(self) -> bool:
        """Whether a segment holds an encoded slash: only an application that keeps them has such paths."""
        return KEPT_SLASH in self.text

    def covers(self, other: PathPattern) -> bool:
        """Say whether every path of the other pattern is within this one."""
        extra = len(other.segments) - len(self.segments)
        if extra < 0 or ((extra or other.tail) and not self.tail):
            return False
        return all(
            want is None or want == have for want, have in zip(self.segments, other.segments, strict=False)
        )

    def overlaps(self, other: PathPattern) -> bool:
        """Say whether some path is within both patterns, for some principal."""
        extra = len(other.segments) - len(self.segments)
        if (extra > 0 and not self.tail) or (extra < 0 and not other.tail):
            return False
        pairs = zip(self.segments, other.segments, strict=False)
        return all(
            mine in (None, OWNED) or theirs in (None, OWNED) or mine == theirs for mine, theirs in pairs
        )

    def forms(self) -> tuple[Form, ...]:
        """Return matchers of normalised paths; a path is within this pattern where any of them matches.

        In the place of `{principal}` they match every segment.
        """
        if not self.segments:
            return (Prefix("/"),) if self.tail else (Exact("/"),)
        if all(segment is not None and _is_unreserved(segment) for segment in self.segments):
            stem = "/" + "/".join(segment or "" for segment in self.segments)
            return (Exact(stem), Prefix(stem + "/") if self.tail else Exact(stem + "/"))
        stem = "".join("/" + _segment_regex(segment) for segment in self.segments)
        return (Regex(stem + ("(?:/.*)?" if self.tail else "/?")),)


@lru_cache(maxsize=4096)
def pattern_of(text: str) -> PathPattern:
    """Return the pattern of a text that was one before, without parsing it again."""
    return PathPattern(text)


def owner_segment(name: str) -> str:
    """Return the segment of normalised paths that is a principal's name; `NO_OWNER` if there is no single one.

    Names of our own people, devices and services stand for themselves. A partner's hold a slash, and often more that a
    path may spell in two ways, so none is in a path.
    """
    return name if len(name) <= _LONGEST_NAME and _is_unreserved(name) else NO_OWNER


def _parse(text: str) -> tuple[tuple[str | None, ...], bool]:
    if len(text.replace(OWNER, "x" * _LONGEST_NAME)) > PATTERN_LIMIT:
        raise MalformedInput(
            "path-pattern-too-long", f"a path pattern has at most {PATTERN_LIMIT} characters"
        )
    if not text.startswith("/"):
        raise MalformedInput(
            "path-pattern", f"path pattern {text!r} does not begin with /", hint="put a / before it"
        )
    if text == "/":
        return (), False
    parts = text[1:].split("/")
    tail = parts[-1] == _TAIL
    if tail:
        parts.pop()
    return tuple(_parse_segment(part, text) for part in parts), tail


def _parse_segment(part: str, whole: str) -> str | None:
    """Return the decoded literal, None for `*`, `OWNED` for `{principal}`."""
    if part == "*":
        return None
    if part == OWNER:
        return OWNED
    problem, hint = _problem_of(part)
    if problem:
        raise MalformedInput("path-pattern", f"path pattern {whole!r}: {problem}", hint=hint)
    return KEPT_SLASH.join(unquote(one) for one in part.split(KEPT_SLASH))


def _problem_of(part: str) -> tuple[str, str]:
    """Say what is wrong with a segment, and the mend; two empty strings where nothing is."""
    if not part:
        return "it has an empty segment, which no normalised path has", (
            "write single slashes and none at the end: /x covers /x/ too, /x/** covers all below"
        )
    if part == _TAIL:
        return "** stands before the end", "use * for one segment; ** may only be the last"
    if "*" in part:
        return (
            f"* is only part of the segment {part!r}",
            "a wildcard is a whole segment; a literal star is %2A",
        )
    if "{" in part or "}" in part:
        return f"braces are only part of the segment {part!r}, or hold another word", (
            f"{OWNER} is a whole segment, and the only word; literal braces are %7B and %7D"
        )
    if "?" in part:
        return "it holds a query", "paths are matched without the query; leave out ? and what follows"
    canonical = quote(unquote(part, errors="surrogateescape"), safe=_RAW, errors="surrogatepass")
    fault = fault_of("/" + canonical, keep_slashes=True)
    if fault:
        return f"no request path ever has the segment {part!r} ({fault.value})", (
            "the gateway answers 400 to such a path before any rule is asked; remove it"
        )
    if canonical != part:
        return f"the segment {part!r} is not in its canonical spelling", f"write it as {canonical}"
    return "", ""


def _is_unreserved(segment: str) -> bool:
    """Say whether a decoded segment has a single spelling in normalised paths."""
    return re.fullmatch(r"[A-Za-z0-9._~-]+", segment) is not None


def _segment_regex(segment: str | None) -> str:
    """Every spelling of a segment in normalised paths: reserved characters raw or escaped, any hex case."""
    if segment in (None, OWNED):
        return "[^/]+"
    return "%2[Ff]".join(
        "".join(_character_regex(character) for character in part) for part in str(segment).split(KEPT_SLASH)
    )


def _character_regex(character: str) -> str:
    if _is_unreserved(character):
        return re.escape(character)
    escaped = "".join(f"%{_digits(byte)}" for byte in character.encode("utf-8"))
    return f"(?:{re.escape(character)}|{escaped})" if character in _RAW or character == "*" else escaped


def _digits(byte: int) -> str:
    return "".join(f"[{digit}{digit.lower()}]" if digit.isalpha() else digit for digit in f"{byte:02X}")


EVERY_PATH = PathPattern("/**")
"""What a rule is about that names no paths."""
