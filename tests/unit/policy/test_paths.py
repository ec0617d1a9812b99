"""policy.paths: the pattern grammar, what patterns match, and the matchers they compile to."""

from __future__ import annotations

import pytest

from doorward.core.errors import MalformedInput
from doorward.policy.normalisation import NormalisedPath, normalise
from doorward.policy.paths import (
    EVERY_PATH,
    PATTERN_LIMIT,
    Exact,
    PathPattern,
    Prefix,
    Regex,
    pattern_of,
)


def path(raw: str) -> NormalisedPath:
    """A path that is not refused."""
    found = normalise(raw)
    assert isinstance(found, NormalisedPath)
    return found


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("/", ["/"], ["/a"]),
        ("/**", ["/", "/a", "/a/b/"], []),
        ("/a", ["/a", "/a/", "/%61"], ["/", "/A", "/ab", "/a/b"]),
        ("/a/**", ["/a", "/a/", "/a/b/c"], ["/ab", "/", "/b/a"]),
        ("/*", ["/a", "/a/"], ["/", "/a/b"]),
        ("/a/*", ["/a/b", "/a/b/"], ["/a", "/a/", "/a/b/c"]),
        ("/a/*/c/**", ["/a/b/c", "/a/b/c/d"], ["/a/c", "/a/b/d"]),
        ("/x@y", ["/x@y", "/x%40y"], ["/x", "/y%40x"]),
        ("/%C3%A9", ["/%c3%a9", "/é"], ["/e"]),
        ("/%2A", ["/*", "/%2a"], ["/a"]),
    ],
)
def test_matches(pattern: str, inside: list[str], outside: list[str]) -> None:
    """A pattern holds the paths that its grammar says, by decoded characters."""
    assert all(PathPattern(pattern).matches(path(raw)) for raw in inside)
    assert not any(PathPattern(pattern).matches(path(raw)) for raw in outside)


@pytest.mark.parametrize(
    ("pattern", "forms"),
    [
        ("/", (Exact("/"),)),
        ("/**", (Prefix("/"),)),
        ("/a/b", (Exact("/a/b"), Exact("/a/b/"))),
        ("/a/**", (Exact("/a"), Prefix("/a/"))),
        ("/a/*", (Regex("/a/[^/]+/?"),)),
        ("/*/b/**", (Regex("/[^/]+/b(?:/.*)?"),)),
        ("/a@b", (Regex("/a(?:@|%40)b/?"),)),
        ("/%2A/%7C", (Regex(r"/(?:\*|%2[Aa])/%7[Cc]/?"),)),
    ],
)
def test_forms(pattern: str, forms: tuple[Exact | Prefix | Regex, ...]) -> None:
    """Plain patterns compile to string comparisons, the others to one expression."""
    assert PathPattern(pattern).forms() == forms


@pytest.mark.parametrize(
    ("text", "word", "hint"),
    [
        ("a/b", "does not begin with /", "put a /"),
        ("", "does not begin with /", "put a /"),
        ("/a/", "empty segment", "/x covers /x/"),
        ("/a//b", "empty segment", "single slashes"),
        ("/**/a", "before the end", "only be the last"),
        ("/a*", "only part", "%2A"),
        ("/a?b", "query", "leave out"),
        ("/a b", "canonical", "write it as a%20b"),
        ("/é", "canonical", "write it as %C3%A9"),
        ("/%c3%a9", "canonical", "write it as %C3%A9"),
        ("/%61", "canonical", "write it as a"),
        ("/a%40b", "canonical", "write it as a@b"),
        ("/50%", "canonical", "write it as 50%25"),
        ("/..", "path-not-canonical", "remove"),
        ("/a;b", "path-ambiguous-escape", "remove"),
        ("/a\\b", "path-ambiguous-escape", "remove"),
        ("/%2561", "path-ambiguous-escape", "remove"),
        ("/%C3", "path-not-utf8", "remove"),
        ("/\ud800", "path-not-utf8", "remove"),
    ],
)
def test_refused(text: str, word: str, hint: str) -> None:
    """A pattern that could never match, or has a better spelling, is refused with the mend."""
    with pytest.raises(MalformedInput) as caught:
        PathPattern(text)
    assert caught.value.code == "path-pattern"
    assert word in caught.value.detail
    assert hint in caught.value.hint


def test_length_is_limited() -> None:
    """The longest pattern is accepted and one more character is not."""
    assert PathPattern("/" + "a" * (PATTERN_LIMIT - 1))
    with pytest.raises(MalformedInput, match="at most"):
        PathPattern("/" + "a" * PATTERN_LIMIT)


def test_covers() -> None:
    """One pattern covers another where each of its paths is within."""
    chain = ["/**", "/a/**", "/a/*/**", "/a/*", "/a/b"]
    for at, wide in enumerate(chain):
        for narrow in chain[at:]:
            assert pattern_of(wide).covers(pattern_of(narrow))
        for wider in chain[:at]:
            assert not pattern_of(wide).covers(pattern_of(wider))


def test_overlaps() -> None:
    """Two patterns overlap where one path is within both."""
    for one, other, meets in (
        ("/a/*", "/*/b", True),
        ("/a/**", "/a", True),
        ("/a/b/**", "/a/**", True),
        ("/a", "/a/b", False),
        ("/a", "/a/b/**", False),
        ("/a/**", "/b/**", False),
    ):
        assert PathPattern(one).overlaps(PathPattern(other)) is meets
        assert PathPattern(other).overlaps(PathPattern(one)) is meets


def test_patterns_are_values() -> None:
    """Patterns of the same text are equal, and the widest one is there to be shared."""
    assert PathPattern("/**") == EVERY_PATH
    assert len({PathPattern("/a"), PathPattern("/a")}) == 1
