"""Paths: the normaliser is total and settles, the expressions say what the code says, patterns agree."""

from __future__ import annotations

import contextlib
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core.errors import MalformedInput
from doorward.policy.normalisation import (
    KEPT_SLASH_REGEXES,
    REFUSED_PATH_REGEXES,
    NormalisedPath,
    PathRefused,
    fault_of,
    normalise,
)
from doorward.policy.paths import Exact, Form, PathPattern, Prefix
from tests.support.examples import examples

PIECES = [
    "/",
    "/",
    ".",
    "..",
    ";",
    "%",
    "%25",
    "%2e",
    "%2f",
    "%2F",
    "%61",
    "%C3",
    "%A9",
    "%c3%a9",
    "%e2%82%ac",
    "%00",
]
PIECES += [
    "%40",
    "%3B",
    "%f0%9f%98%80",
    "%ed",
    "%f4",
    "%e0",
    "%80",
    "%9f",
    "a",
    "b",
    "2",
    "5",
    "@",
    "*",
    "é",
    "?",
]
odd_text = st.lists(st.sampled_from(PIECES) | st.characters(codec="latin-1"), max_size=10).map("".join)
raw_paths = st.text() | odd_text.map("/{}".format)
texts_without_newline = odd_text.map("/{}".format).filter(str.isascii).filter(lambda text: "\n" not in text)

literals = st.sampled_from(["a", "b", "a.b", "x@y", "%C3%A9", "%2A", "%25", "[a]", "a%20b", "100%25", "~"])
patterns = st.builds(
    lambda parts, tail: PathPattern("/" + "/".join([*parts, *(["**"] if tail else [])])),
    st.lists(literals | st.just("*"), max_size=4),
    st.booleans(),
)
clean_paths = (
    st.lists(
        st.sampled_from(
            ["a", "b", "a.b", "x@y", "x%40y", "%c3%A9", "*", "%2a", "%25", "[a]", "%5ba]", "a%20b"]
        )
    )
    .map(lambda parts: normalise("/" + "/".join(parts)))
    .filter(lambda path: isinstance(path, NormalisedPath))
)


def form_matches(form: Form, text: str) -> bool:
    """What Envoy does with a form."""
    if isinstance(form, Exact):
        return text == form.text
    if isinstance(form, Prefix):
        return text.startswith(form.text)
    return re.fullmatch(form.text, text) is not None


@given(raw_paths | st.binary(max_size=40))
@settings(max_examples=examples(500))
def test_normaliser_is_total_and_settles(raw: str | bytes) -> None:
    """Any text or bytes give a path or a refusal, and a normalised path stays as it is."""
    path = normalise(raw)
    assert isinstance(path, NormalisedPath | PathRefused)
    if isinstance(path, NormalisedPath):
        assert normalise(path.text) == path
        assert not {"", ".", ".."} & set(path.segments)


@given(texts_without_newline)
@settings(max_examples=examples(1000))
def test_expression_says_what_the_code_says(text: str) -> None:
    """The expression that Envoy refuses by, and the checks in Python, agree on every text."""
    refused = any(re.fullmatch(regex, text) for regex in REFUSED_PATH_REGEXES)
    assert refused is (fault_of(text) is not None)


@given(st.lists(st.integers(0x80, 0xFF), min_size=1, max_size=5).map(bytes))
@settings(max_examples=examples(1000))
def test_expression_knows_utf8(octets: bytes) -> None:
    """Escaped octets are accepted exactly if they are UTF-8."""
    text = "/" + "".join(f"%{octet:02x}" for octet in octets) + "x"
    refused = any(re.fullmatch(regex, text) for regex in REFUSED_PATH_REGEXES)
    assert refused is (octets.decode("utf-8", "replace").encode() != octets)


@given(st.text() | odd_text.map("/{}".format))
@settings(max_examples=examples(500))
def test_patterns_are_total(text: str) -> None:
    """Any text gives a pattern or MalformedInput."""
    with contextlib.suppress(MalformedInput):
        assert PathPattern(text).forms()


@given(odd_text.filter(lambda text: not set(text) & set("/*?")))
@settings(max_examples=examples(500))
def test_the_mend_is_accepted(segment: str) -> None:
    """Where a better spelling is offered, it is a pattern, and covers the path as it was spelt."""
    try:
        PathPattern(f"/{segment}")
    except MalformedInput as error:
        if error.hint.startswith("write it as "):
            mended = PathPattern("/" + error.hint.removeprefix("write it as "))
            path = normalise(f"/{segment}")
            assert isinstance(path, PathRefused) or mended.matches(path)


@given(patterns, clean_paths)
@settings(max_examples=examples(500))
def test_forms_match_what_patterns_match(pattern: PathPattern, path: NormalisedPath) -> None:
    """The compiled matchers accept a path exactly if the pattern does."""
    assert any(form_matches(form, path.text) for form in pattern.forms()) is pattern.matches(path)


@given(patterns, patterns, clean_paths)
@settings(max_examples=examples(500))
def test_cover_and_overlap(one: PathPattern, other: PathPattern, path: NormalisedPath) -> None:
    """A covering pattern has every path of the other; patterns that share a path overlap."""
    if one.covers(other) and other.matches(path):
        assert one.matches(path)
    if one.matches(path) and other.matches(path):
        assert one.overlaps(other)
        assert other.overlaps(one)


@given(odd_text.map("/{}".format).filter(str.isascii).filter(lambda text: "\n" not in text))
def test_kept_slashes_are_refused_alike(text: str) -> None:
    """The expression of an application that keeps encoded slashes says what the code says."""
    refused = any(re.fullmatch(regex, text) for regex in KEPT_SLASH_REGEXES)
    assert refused is (fault_of(text, keep_slashes=True) is not None)


@given(raw_paths)
def test_keeping_slashes_settles(raw: str) -> None:
    """What passes is left alone the second time; what has no encoded slash means what it means otherwise."""
    path = normalise(raw, keep_slashes=True)
    if isinstance(path, NormalisedPath):
        assert normalise(path.text, keep_slashes=True) == path
        if "%2f" not in path.text.lower():
            assert normalise(raw) == path
