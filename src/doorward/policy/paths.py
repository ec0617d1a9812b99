"""Path patterns in rules: their grammar, the paths that they match, and the matchers that they compile to.

Not here: the normalisation of request paths (`normalisation`); patterns are compared with normalised paths only.

The grammar: `/`, then segments joined by `/`. A segment is a literal, or `*` (exactly one segment, never empty). The
last one may be `**`: any number of segments, also none. So `/admin/**` covers `/admin`, and a deny rule for a tree also
denies its root. Patterns are case-sensitive. A trailing slash of the request makes no difference: `/x` covers `/x/`.
Most applications answer both in the same way, and a deny rule must not be bypassed by an added slash.

Literals are *decoded* characters: `/a@b` also covers `/a%40b`. Each literal has one canonical spelling: characters that
are allowed in a URL stand for themselves; all others, and a literal star (`%2A`), are escaped UTF-8 with upper-case hex
digits. Any other spelling is refused, and the hint shows the canonical one. `%2F` is an encoded slash inside a segment,
for applications that keep encoded slashes (`path_options`).

`{principal}` is a segment that equals the name of the connection's principal, as the name appears in a normalised path
(`owner_segment`). A name that has more than one spelling in a path matches no path.

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
"""In characters. More than the longest route of common routers; it bounds the size of the regular expressions."""

_RAW = "!$&'()+,:=@[]"  # like unreserved characters, these stand for themselves; a request has them raw or escaped
_TAIL = "**"

OWNER = "{principal}"
"""The segment of the connection's principal, as a pattern writes it."""
OWNED = "\0"
"""The same segment in `PathPattern.segments`; no path has this character."""
NO_OWNER = ""
"""For a principal with a name that matches no path, and for an anonymous connection: no path has an empty segment."""
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
        MalformedInput: the text is not a pattern, could never match, or is not canonical; the hint says what to write.
    """

    text: str
    segments: tuple[str | None, ...] = field(init=False, compare=False, repr=False)
    tail: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        segments, tail = _parse(self.text)
        object.__setattr__(self, "segments", segments)
        object.__setattr__(self, "tail", tail)

    def matches(self, path: NormalisedPath, owner: str = NO_OWNER) -> bool:
        """Return whether a normalised path matches this pattern; `owner` is the principal's segment."""
        extra = len(path.segments) - len(self.segments)
        if extra < 0 or (extra and not self.tail):
            return False
        return all(
            want is None or (owner if want == OWNED else want) == have
            for want, have in zip(self.segments, path.segments, strict=False)
        )

    @property
    def owned(self) -> tuple[int, ...]:
        """The positions of `{principal}` among the segments, counted from 0."""
        return tuple(at for at, segment in enumerate(self.segments) if segment == OWNED)

    def owned_by(self, owner: str) -> PathPattern | None:
        """Return the pattern for one principal; None if it then matches no path."""
        if not self.owned:
            return self
        return None if owner == NO_OWNER else pattern_of(self.text.replace(OWNER, owner))

    @property
    def has_kept_slash(self) -> bool:
        """Whether a segment has an encoded slash: only applications that keep encoded slashes have such paths."""
        return KEPT_SLASH in self.text

    def covers(self, other: PathPattern) -> bool:
        """Return whether every path that matches the other pattern matches this one."""
        extra = len(other.segments) - len(self.segments)
        if extra < 0 or ((extra or other.tail) and not self.tail):
            return False
        return all(
            want is None or want == have for want, have in zip(self.segments, other.segments, strict=False)
        )

    def overlaps(self, other: PathPattern) -> bool:
        """Return whether some path may match both patterns, for some principal."""
        extra = len(other.segments) - len(self.segments)
        if (extra > 0 and not self.tail) or (extra < 0 and not other.tail):
            return False
        pairs = zip(self.segments, other.segments, strict=False)
        return all(
            mine in (None, OWNED) or theirs in (None, OWNED) or mine == theirs for mine, theirs in pairs
        )

    def forms(self) -> tuple[Form, ...]:
        """Return matchers of normalised paths; a path matches this pattern if one of them matches.

        They match any segment at the position of `{principal}`.
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
    """Return the pattern of a text that is known to be a pattern; cached."""
    return PathPattern(text)


def owner_segment(name: str) -> str:
    """Return a principal's name as a segment of normalised paths; `NO_OWNER` if it has more than one spelling there.

    Names of our own people, devices and services stand for themselves. The name of a partner's principal has a slash,
    and often other characters with two spellings in a path, so it matches no path.
    """
    return name if len(name) <= _LONGEST_NAME and _is_unreserved(name) else NO_OWNER


def _parse(text: str) -> tuple[tuple[str | None, ...], bool]:
    if len(text.replace(OWNER, "x" * _LONGEST_NAME)) > PATTERN_LIMIT:
        raise MalformedInput(
            "path-pattern-too-long",
            f"a path pattern has {len(text)} characters, at most {PATTERN_LIMIT} are allowed",
        )
    if not text.startswith("/"):
        raise MalformedInput(
            "path-pattern", f"path pattern {text!r} does not begin with /", hint="write a / before it"
        )
    if text == "/":
        return (), False
    parts = text[1:].split("/")
    tail = parts[-1] == _TAIL
    if tail:
        parts.pop()
    return tuple(_parse_segment(part, text) for part in parts), tail


def _parse_segment(part: str, whole: str) -> str | None:
    """Return the decoded literal; None for `*`; `OWNED` for `{principal}`."""
    if part == "*":
        return None
    if part == OWNER:
        return OWNED
    problem, hint = _problem_of(part)
    if problem:
        raise MalformedInput("path-pattern", f"path pattern {whole!r}: {problem}", hint=hint)
    return KEPT_SLASH.join(unquote(one) for one in part.split(KEPT_SLASH))


def _problem_of(part: str) -> tuple[str, str]:
    """Return what is wrong with a segment, and a hint; two empty strings if it is good."""
    if not part:
        return "it has an empty segment, and no normalised path has one", (
            "write single slashes, and none at the end: /x covers /x/ too, /x/** covers everything below"
        )
    if part == _TAIL:
        return "** is not the last segment", "write * for one segment; ** may only be the last segment"
    if "*" in part:
        return (
            f"* is only a part of the segment {part!r}",
            "write * as a whole segment, or %2A for a literal star",
        )
    if "{" in part or "}" in part:
        return f"the segment {part!r} has braces, but is not {OWNER}", (
            f"write {OWNER} as a whole segment, or %7B and %7D for literal braces"
        )
    if "?" in part:
        return "it has a query", "remove the ? and the text after it: paths are matched without the query"
    canonical = quote(unquote(part, errors="surrogateescape"), safe=_RAW, errors="surrogatepass")
    fault = fault_of("/" + canonical, keep_slashes=True)
    if fault:
        return f"no normalised path has the segment {part!r} ({fault.value})", (
            "remove it: the gateway answers 400 to such a path before it evaluates any rule"
        )
    if canonical != part:
        return f"the segment {part!r} is not in its canonical spelling", f"write it as {canonical}"
    return "", ""


def _is_unreserved(segment: str) -> bool:
    """Return whether a decoded segment has a single spelling in normalised paths."""
    return re.fullmatch(r"[A-Za-z0-9._~-]+", segment) is not None


def _segment_regex(segment: str | None) -> str:
    """Return a regex for every spelling of a segment in normalised paths: reserved characters raw or escaped, any hex case."""
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
"""The paths of a rule that names no paths."""
