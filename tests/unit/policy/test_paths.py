"""policy.paths: the grammar of patterns, the paths that they match, and their matchers."""

from __future__ import annotations

import pytest

from doorward.core.errors import MalformedInput
from doorward.policy.normalisation import NormalisedPath, PathRefused, normalise
from doorward.policy.paths import (
    EVERY_PATH,
    NO_OWNER,
    PATTERN_LIMIT,
    Exact,
    PathPattern,
    Prefix,
    Regex,
    owner_segment,
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
        ("a/b", "does not begin with /", "write a /"),
        ("", "does not begin with /", "write a /"),
        ("/a/", "empty segment", "/x covers /x/"),
        ("/a//b", "empty segment", "single slashes"),
        ("/**/a", "not the last segment", "only be the last"),
        ("/a*", "only a part", "%2A"),
        ("/a?b", "query", "without the query"),
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
    """A pattern that could never match, or has a better spelling, is refused with a hint that says what to write."""
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
    """One pattern covers another if it matches all its paths."""
    chain = ["/**", "/a/**", "/a/*/**", "/a/*", "/a/b"]
    for at, wide in enumerate(chain):
        for narrow in chain[at:]:
            assert pattern_of(wide).covers(pattern_of(narrow))
        for wider in chain[:at]:
            assert not pattern_of(wide).covers(pattern_of(wider))


def test_overlaps() -> None:
    """Two patterns overlap if one path matches both."""
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


# the principal in the path


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        (
            "/records/{principal}/**",
            ("/records/ann", "/records/ann/", "/records/ann/x/y", "/records/%61nn/x", "/x/../records/ann"),
            ("/records", "/records/ben", "/records/anna", "/records/Ann", "/records/x/ann", "/records/?/x"),
        ),
        ("/{principal}", ("/ann", "/ann/"), ("/", "/ann/x", "/{principal}", "/%7Bprincipal%7D")),
        ("/*/{principal}/b", ("/x/ann/b",), ("/ann/x/b", "/x/ben/b")),
        ("/{principal}/{principal}", ("/ann/ann",), ("/ann/ben", "/ben/ann")),
    ],
)
def test_the_principals_segment(pattern: str, inside: tuple[str, ...], outside: tuple[str, ...]) -> None:
    """`{principal}` is a whole segment that equals the principal's name; a connection without a name matches no path."""
    one = PathPattern(pattern)
    paths = [found for raw in outside if not isinstance(found := normalise(raw), PathRefused)]
    assert all(one.matches(path(raw), "ann") for raw in inside)
    assert not any(one.matches(found, "ann") for found in paths)
    assert not any(one.matches(path(raw)) for raw in inside)
    mine = one.owned_by("ann")
    assert mine is not None
    assert all(mine.matches(path(raw)) for raw in inside)
    assert one.owned_by(NO_OWNER) is None
    assert not any(one.matches(found) for found in paths)


@pytest.mark.parametrize(
    "text", ["/{principals}", "/{principal", "/x{principal}", "/{group}/**", "/{principal}s", "/a}"]
)
def test_braces_are_one_word_and_a_whole_segment(text: str) -> None:
    """Any other use of them is refused with a hint that says what to write."""
    with pytest.raises(MalformedInput) as caught:
        PathPattern(text)
    assert "{principal}" in caught.value.hint


def test_a_pattern_fits_with_every_name() -> None:
    """The longest name in its place keeps within the limit."""
    begin = "/" + "a" * (PATTERN_LIMIT - 65)
    longest = PathPattern(begin + "/{principal}").owned_by("n" * 63)
    assert longest is not None
    assert len(longest.text) == PATTERN_LIMIT
    with pytest.raises(MalformedInput):
        PathPattern(begin + "a/{principal}")


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("ann", "ann"),
        ("a.b_c-d", "a.b_c-d"),
        ("clinic/ann@clinic.example", NO_OWNER),
        ("clinic/ann", NO_OWNER),
        ("n" * 64, NO_OWNER),
    ],
)
def test_only_names_with_one_spelling_are_segments(name: str, segment: str) -> None:
    """A name that a path could spell in two ways, or that holds a slash, is in no path."""
    assert owner_segment(name) == segment


def test_patterns_with_and_without_a_principal_are_compared() -> None:
    """A star covers every name, a name covers no other word, and each may meet the others."""
    owned, star, literal = (PathPattern(text) for text in ("/a/{principal}", "/a/*", "/a/ann"))
    assert star.covers(owned)
    assert owned.covers(owned)
    assert not owned.covers(star)
    assert not owned.covers(literal)
    assert not literal.covers(owned)
    assert owned.overlaps(star)
    assert owned.overlaps(literal)
    assert literal.overlaps(owned)
