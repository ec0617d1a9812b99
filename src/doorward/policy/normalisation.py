r"""Normalisation of request paths, as Envoy 1.40 does it before it matches and forwards them.

Not here: patterns (`paths`). Not predicted: what Envoy's HTTP/1 codec refuses on its own (raw bytes above 0x7E, unknown
methods, headers above the configured size). Such a request is refused, so the result here does not matter.

Measured against Envoy 1.40 with `normalize_path`, `merge_slashes` and
`path_with_escaped_slashes_action: REJECT_REQUEST`, over HTTP/1.1 and HTTP/2, in this order:
1. control characters, space, DEL and `#` are refused, in the query too; the path ends at `?`;
2. `%2F` and `%5C` are refused;
3. a segment that is `.` or `..` followed by `;` and parameters loses the parameters;
4. escaped unreserved characters are unescaped, `\` becomes `/`, dot segments go, bytes that a URL
   may not hold are escaped, `%00` is refused;
5. runs of `/` become one, except in a path that consists of slashes only.

The result may still have one meaning for the gateway and another for the application behind it, and another spelling of
`/admin` must not bypass a rule about `/admin`. So the gateway answers 400, before it evaluates any rule, if one of
`REFUSED_PATH_REGEXES` matches. `normalise` refuses the same paths:
- a semicolon, raw or escaped: Java servers cut `;parameters` out of the path, others do not;
- bad or double escapes, escaped control characters, and escapes that are not UTF-8: decoders differ;
- an escaped character that needs no escape, `//`, a dot segment: after steps 4 and 5 only `//` can be left; the others
  are refused in case normalisation is ever switched off.

An application may keep encoded slashes (`path_options`). Then step 2 allows `%2F`: it stays as it is, and is part of its
segment, for rules and for the application. `KEPT_SLASH_REGEXES` also refuse paths that would change in an application
that decodes once more: a `.` or `..` between any two slashes, encoded or not, and two encoded slashes in a row. `%5C` and
escapes that decode to an escape (`%252F`) are still refused.

Not checked: how an application treats case, `+`, trailing dots or look-alike characters.

Standard: RFC 3986 sections 2.3, 5.2.4 and 6.2.2; RFC 3629 section 4 (UTF-8).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

PATH_LIMIT_BYTES = 65536
"""Envoy's default for all headers of a request is 60 KiB; a longer path never arrives."""

_HEX = "[0-9a-fA-F]"
_PLAIN = r"A-Za-z0-9._~!$&'()*+,:=@/\[\]-"
# Escapes of one ASCII character: characters that need no escape, and characters that no path may have.
_NEEDLESS = "2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE]"
_SLASH = "2[fF]"
_BANNED_KEPT = f"[01]{_HEX}|3[bB]|5[cC]|7[fF]"
_BANNED = _BANNED_KEPT.replace("|", f"|{_SLASH}|", 1)
_USEFUL = "2[0-9a-cA-C]|3[aAc-fC-F]|40|5[bBdDeE]|60|7[b-dB-D]"


def _continuation(first: str = "89abAB") -> str:
    return f"%[{first}]{_HEX}"


def _no_continuation(first: str = "89abAB") -> str:
    """Return a regex for every rest of a path that does not begin with this continuation; RE2 has no look-ahead."""
    return f"(?:[^%].*|%(?:[^{first}].*|[{first}](?:[^0-9a-fA-F].*)?)?)?"


# RFC 3629 section 4: (lead byte, first hex digits of the second byte, how many more bytes follow).
_UTF8_LEADS = (
    ("(?:[cC][2-9a-fA-F]|[dD]" + _HEX + ")", "89abAB", 0),
    ("[eE]0", "abAB", 1),
    ("[eE][1-9a-cA-CeEfF]", "89abAB", 1),
    ("[eE][dD]", "89", 1),
    ("[fF]0", "9abAB", 2),
    ("[fF][1-3]", "89abAB", 2),
    ("[fF]4", "8", 2),
)

_GOOD_TOKENS = (
    f"[{_PLAIN}]",
    f"%(?:{_USEFUL})",
    *(f"%{lead}{_continuation(first)}(?:{_continuation()}){{{more}}}" for lead, first, more in _UTF8_LEADS),
)
_BAD_REST = (
    f"[^%{_PLAIN}].*",
    "//.*",
    r"/\.\.?(?:/.*)?",
    f"%{_HEX}?(?:[^0-9a-fA-F].*)?",
    f"%(?:{_NEEDLESS}|{_BANNED}|25{_HEX}{_HEX}|[89abAB]{_HEX}|[cC][01]|[fF][5-9a-fA-F]).*",
    *(f"%{lead}{_no_continuation(first)}" for lead, first, _ in _UTF8_LEADS),
    *(
        f"%{lead}{_continuation(first)}(?:{_continuation()}){{0,{more - 1}}}{_no_continuation()}"
        for lead, first, more in _UTF8_LEADS
        if more
    ),
)

AMBIGUOUS_PATH_REGEX = f"(?:{'|'.join(_GOOD_TOKENS)})*(?:{'|'.join(_BAD_REST)})"
"""RE2; for paths that begin with a slash: matches those for which `fault_of` returns a fault."""

REFUSED_PATH_REGEXES = (f"(?:[^/].*)?|{AMBIGUOUS_PATH_REGEX}",)
"""RE2; each matches whole normalised paths (without query) that the gateway must answer with 400."""

_EITHER_SLASH = f"(?:/|%{_SLASH})"
_BAD_REST_KEPT = (
    *(one.replace(f"|{_BANNED}|", f"|{_BANNED_KEPT}|") for one in _BAD_REST),
    rf"{_EITHER_SLASH}\.\.?(?:{_EITHER_SLASH}.*)?",
    f"%{_SLASH}%{_SLASH}.*",
)
KEPT_SLASH_REGEXES = (
    f"(?:[^/].*)?|(?:{'|'.join((*_GOOD_TOKENS, f'%{_SLASH}'))})*(?:{'|'.join(_BAD_REST_KEPT)})",
)
"""The same for an application that keeps encoded slashes."""

RE2_PROGRAM_LIMIT = 4096
"""The value of `re2.max_program_size.error_level` that our expressions need; Envoy's default of 100 is too small."""


KEPT_SLASH = "%2F"
"""The form of an encoded slash in a segment; a request may also have `%2f`."""


class PathFault(Enum):
    """Why a request path is refused before any rule is evaluated."""

    NOT_ABSOLUTE = "path-not-absolute"
    TOO_LONG = "path-too-long"
    FORBIDDEN_CHARACTER = "path-forbidden-character"
    BAD_ESCAPE = "path-bad-escape"
    AMBIGUOUS_ESCAPE = "path-ambiguous-escape"
    NOT_UTF8 = "path-not-utf8"
    NOT_CANONICAL = "path-not-canonical"


@dataclass(frozen=True, slots=True)
class PathRefused:
    """A path without one clear meaning; the gateway answers 400."""

    fault: PathFault


@dataclass(frozen=True, slots=True)
class NormalisedPath:
    """A path as Envoy matches and forwards it, without query; only `normalise` makes one.

    `segments` are decoded, without the empty one after a trailing slash; `/` has none. A kept slash is `%2F` in its
    segment; no other escape decodes to this text.
    """

    text: str
    segments: tuple[str, ...]


def normalise(raw_path: str | bytes, *, keep_slashes: bool = False) -> NormalisedPath | PathRefused:
    """Normalise a request path as Envoy does.

    Args:
        raw_path: the request target in origin form as received, query included; at most 64 KiB.
            Text is taken as UTF-8.
        keep_slashes: whether the application keeps encoded slashes.

    Returns:
        The path that Envoy matches and forwards, or why it refuses the path. Total: never raises.

    Standard: RFC 9112 section 3.2.1 (origin form); the module's steps 1 to 5.
    """
    raw = raw_path.encode("utf-8", "surrogatepass") if isinstance(raw_path, str) else raw_path
    if len(raw) > PATH_LIMIT_BYTES:
        return PathRefused(PathFault.TOO_LONG)
    if not raw.startswith(b"/"):
        return PathRefused(PathFault.NOT_ABSOLUTE)
    if re.search(rb"[\x00-\x20\x7f#]", raw):  # step 1
        return PathRefused(PathFault.FORBIDDEN_CHARACTER)
    path = raw.partition(b"?")[0]
    if not keep_slashes and re.search(rb"%(?:2f|5c)", path, re.IGNORECASE):  # step 2
        return PathRefused(PathFault.AMBIGUOUS_ESCAPE)
    path = re.sub(rb"(?<=/)(\.\.?);[^/]*", rb"\1", path)  # step 3
    canonical = _canonicalise(path)  # step 4
    if canonical is None:
        return PathRefused(PathFault.AMBIGUOUS_ESCAPE)
    text = _merge_slashes(canonical).decode("ascii")  # step 5
    fault = fault_of(text, keep_slashes=keep_slashes)
    if fault:
        return PathRefused(fault)
    return NormalisedPath(text, decode_segments(text, keep_slashes=keep_slashes))


def fault_of(path: str, *, keep_slashes: bool = False) -> PathFault | None:
    """Return why a path is refused after Envoy has normalised it, None if it is good; the same as `REFUSED_PATH_REGEXES`."""
    if not path.startswith("/"):
        return PathFault.NOT_ABSOLUTE
    if re.search(f"[^%{_PLAIN}]", path):
        return PathFault.FORBIDDEN_CHARACTER
    if re.search(f"%(?!{_HEX}{_HEX})", path):
        return PathFault.BAD_ESCAPE
    banned = _BANNED_KEPT if keep_slashes else _BANNED
    if re.search(f"%(?:{_NEEDLESS}|{banned}|25{_HEX}{_HEX})", path):
        return PathFault.AMBIGUOUS_ESCAPE
    try:
        segments = decode_segments(path, keep_slashes=keep_slashes)
    except UnicodeDecodeError:
        return PathFault.NOT_UTF8
    parts = {part for segment in segments for part in segment.split(KEPT_SLASH)}
    if "//" in path or not parts.isdisjoint({".", ".."}) or KEPT_SLASH * 2 in path.upper():
        return PathFault.NOT_CANONICAL
    return None


def decode_segments(path: str, *, keep_slashes: bool = False) -> tuple[str, ...]:
    """Split a path that begins with `/` and unescape its segments; one trailing slash is dropped.

    With `keep_slashes` an encoded slash stays as `%2F`.

    Raises:
        UnicodeDecodeError: an escape sequence is not UTF-8.
    """
    parts = path[1:].split("/")
    if not parts[-1]:
        parts.pop()
    unescape = _unescape_but_slashes if keep_slashes else _unescape
    return tuple(re.sub(rb"%(..)", unescape, part.encode("ascii")).decode("utf-8") for part in parts)


def _unescape(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode("ascii"))


def _unescape_but_slashes(match: re.Match[bytes]) -> bytes:
    return b"%2F" if match[1].upper() == b"2F" else _unescape(match)


_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PERCENT, _BACKSLASH = b"%\\"
_ESCAPED = frozenset([*b'"<>^`{|}', *range(0x80, 0x100)])
_ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})")
_DOTS = re.compile(rb"(?:\.|%2[eE])(\.|%2[eE])?(?:[/\\]|\Z)")


def _canonicalise(path: bytes) -> bytes | None:
    """Step 4, as Envoy's URL library does it; None if it refuses the path.

    A broken escape is passed through. If an unescaped character would complete it (`%2%65`), its percent sign is
    escaped, so that nothing is ever unescaped twice.
    """
    out = bytearray()
    broken = -9  # where in `out` the last broken escape began; an old value points at no percent sign
    at = 0
    while at < len(path):
        byte = path[at]
        dots = _DOTS.match(path, at)
        escape = _ESCAPE.match(path, at)
        if dots and out.endswith(b"/"):
            if dots[1]:
                _climb(out)
            at = dots.end()
        elif escape and escape[1] == b"00":
            return None
        elif escape and (value := int(escape[1], 16)) in _UNRESERVED:
            out.append(value)
            at = escape.end()
            if broken >= len(out) - 3:
                _mend_nested(out, broken, path[at : at + 1])
        else:
            if byte == _PERCENT and not escape:
                broken = len(out)
            out += b"/" if byte == _BACKSLASH else b"%%%02X" % byte if byte in _ESCAPED else bytes([byte])
            at += 1
    return bytes(out)


def _climb(out: bytearray) -> None:
    """Remove the last segment of `out`, which ends in a slash; the first slash stays."""
    if len(out) > 1:
        del out[out.rindex(b"/", 0, len(out) - 1) + 1 :]


def _mend_nested(out: bytearray, broken: int, following: bytes) -> None:
    """Escape the percent sign at `broken` if it is now the beginning of an escape."""
    tail = bytes(out[broken:]) if broken == len(out) - 3 else bytes(out[broken:]) + following
    if _ESCAPE.fullmatch(tail):
        out[broken : broken + 1] = b"%25"


def _merge_slashes(path: bytes) -> bytes:
    """Step 5; a path that consists of slashes only keeps two of them, as in Envoy, and is then refused."""
    if b"//" not in path:
        return path
    ending = b"/" if path.endswith(b"/") else b""
    return b"/" + b"/".join(part for part in path.split(b"/") if part) + ending
