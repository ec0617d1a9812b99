"""policy.normalisation: Envoy's normalised path, and refused paths."""

from __future__ import annotations

import re

import pytest

from doorward.policy.normalisation import (
    PATH_LIMIT_BYTES,
    REFUSED_PATH_REGEXES,
    NormalisedPath,
    PathFault,
    PathRefused,
    fault_of,
    normalise,
)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("/", "/"),
        ("/a/b?x=/../y", "/a/b"),
        ("/%61dmin", "/admin"),
        ("/a%7e%2D", "/a~-"),
        ("/a/./b/../c", "/a/c"),
        ("/a/%2e%2E/b", "/b"),
        ("/../../a", "/a"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/a/...", "/a/..."),
        ("/a//b///c/", "/a/b/c/"),
        ("/a//../b", "/a/b"),
        ("/a\\..\\b", "/b"),
        ("/a/..;x=1/b", "/b"),
        ("/a/.;x/b", "/a/b"),
        ("/a|b", "/a%7Cb"),
        ("/é", "/%C3%A9"),
        ("/%c3%a9", "/%c3%a9"),
        ("/a%40b@c", "/a%40b@c"),
        ("/100%25", "/100%25"),
        ("/[a]%20b", "/[a]%20b"),
        ("/.a%2e", "/.a."),
    ],
)
def test_normalised(raw: str, text: str) -> None:
    """A path becomes the path that a running Envoy forwarded."""
    path = normalise(raw)
    assert isinstance(path, NormalisedPath)
    assert path.text == text
    assert normalise(raw.encode()) == path


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        ("", PathFault.NOT_ABSOLUTE),
        ("*", PathFault.NOT_ABSOLUTE),
        ("a/b", PathFault.NOT_ABSOLUTE),
        ("http://a/b", PathFault.NOT_ABSOLUTE),
        ("/a b", PathFault.FORBIDDEN_CHARACTER),
        ("/a?b\n", PathFault.FORBIDDEN_CHARACTER),
        ("/a#b", PathFault.FORBIDDEN_CHARACTER),
        ("/a?b#c", PathFault.FORBIDDEN_CHARACTER),
        ("/a;b", PathFault.FORBIDDEN_CHARACTER),
        ("/a\\..;x\\b", PathFault.FORBIDDEN_CHARACTER),
        ("/a%2fb", PathFault.AMBIGUOUS_ESCAPE),
        ("/a%5Cb", PathFault.AMBIGUOUS_ESCAPE),
        ("/a%00", PathFault.AMBIGUOUS_ESCAPE),
        ("/a%0a", PathFault.AMBIGUOUS_ESCAPE),
        ("/a%7F", PathFault.AMBIGUOUS_ESCAPE),
        ("/a%3bb", PathFault.AMBIGUOUS_ESCAPE),
        ("/%2561", PathFault.AMBIGUOUS_ESCAPE),
        ("/%25%36%31", PathFault.AMBIGUOUS_ESCAPE),
        ("/a%", PathFault.BAD_ESCAPE),
        ("/a%4", PathFault.BAD_ESCAPE),
        ("/%zz", PathFault.BAD_ESCAPE),
        ("/%u0041", PathFault.BAD_ESCAPE),
        ("/%c0%ae", PathFault.NOT_UTF8),
        ("/%C3", PathFault.NOT_UTF8),
        ("/%ed%a0%80", PathFault.NOT_UTF8),
        ("/\ud800", PathFault.NOT_UTF8),
        ("//", PathFault.NOT_CANONICAL),
        ("/\\", PathFault.NOT_CANONICAL),
        ("/" + "a" * PATH_LIMIT_BYTES, PathFault.TOO_LONG),
    ],
)
def test_refused(raw: str, fault: PathFault) -> None:
    """A path without one clear meaning is refused, with the reason."""
    assert normalise(raw) == PathRefused(fault)


@pytest.mark.parametrize("raw", ["/%2%65", "/%%32%65", "/%%32e", "/%2%2%65", "/a/%2e%%32%65/b", "/%%3%32%65"])
def test_nothing_is_unescaped_twice(raw: str) -> None:
    """An escape that unescaping would complete stays an escaped percent sign, and is refused."""
    assert isinstance(normalise(raw), PathRefused)


def test_nested_escape_by_its_digits() -> None:
    """A broken escape next to an unescaped character that does not complete it is just broken."""
    assert normalise("/%2%67") == PathRefused(PathFault.BAD_ESCAPE)
    assert normalise("/%2%65/../a") == NormalisedPath("/a", ("a",))
    assert normalise("/%/../%65") == NormalisedPath("/e", ("e",))


def test_segments_are_decoded() -> None:
    """Segments come without escapes and without the empty one after a trailing slash."""
    assert normalise("/a%40b/%C3%A9/%25/") == NormalisedPath("/a%40b/%C3%A9/%25/", ("a@b", "é", "%"))


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("", PathFault.NOT_ABSOLUTE),
        ("a", PathFault.NOT_ABSOLUTE),
        ("/%61", PathFault.AMBIGUOUS_ESCAPE),
        ("/a//b", PathFault.NOT_CANONICAL),
        ("/..", PathFault.NOT_CANONICAL),
        ("/./a", PathFault.NOT_CANONICAL),
        ("/%F4%90%80%80", PathFault.NOT_UTF8),
        ("/%F0%9F%98%80/a.b/..c", None),
    ],
)
def test_defence_without_normalisation(path: str, fault: PathFault | None) -> None:
    """Our regex also refuses everything that Envoy normalises, in case normalisation is ever off."""
    assert fault_of(path) is fault
    assert any(re.fullmatch(regex, path) for regex in REFUSED_PATH_REGEXES) is (fault is not None)
