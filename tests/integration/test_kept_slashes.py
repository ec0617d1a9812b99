"""An application that keeps encoded slashes: the normaliser and the patterns predict a running Envoy there too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doorward.policy.normalisation import NormalisedPath, normalise
from doorward.policy.paths import PathPattern
from tests.integration.test_path_normalisation import PIECES, RAW, differing, odd_paths, predicted
from tests.support.envoy_echo import EchoEnvoy, running_echo

SLASHES = [
    *("%2f", "%2F", "%2f", "%2F..", "..%2f", "%2f.", "%2e%2F", "%252f", "%25", "2f", "%5c", "%2f%2F", "..;")
]
PATTERNS = [
    PathPattern(text)
    for text in ("/a/*", "/a/**", "/a%2Fb", "/a%2Fb/**", "/%2F", "/*/x%2Fy@z/**", "/a/%2Fb", "/*")
]


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoEnvoy]:
    """One Envoy for all tests of this file."""
    with running_echo(tmp_path_factory.mktemp("echo"), PATTERNS, keep_slashes=True) as running:
        yield running


def test_http1_agrees(echo: EchoEnvoy) -> None:
    """On 2,000 odd paths over HTTP/1.1, Envoy refuses what we refuse and forwards what we predict."""
    paths = odd_paths(11, 2000, [*PIECES, *SLASHES * 3])
    assert differing(paths, map(echo.ask, paths), keep_slashes=True) == {}


def test_http2_agrees(echo: EchoEnvoy) -> None:
    """The same over HTTP/2, with raw bytes."""
    paths = odd_paths(12, 2000, [*RAW, *SLASHES * 3])
    assert differing(paths, echo.ask_http2(paths), keep_slashes=True) == {}


def test_patterns_agree(echo: EchoEnvoy) -> None:
    """A kept slash is part of its segment, in either case, for Envoy and here."""
    paths = [
        *odd_paths(13, 120, ["/", "a", "b", "%2F", "%2f", "x", "y", "@", "%40"]),
        *(b"/a%2fb", b"/a%2Fb/", b"/a/b", b"/%2f", b"/%2F/", b"/q/x%2fy%40z/1", b"/a/%2fb", b"/a%2f"),
    ]
    differing = []
    for at, pattern in enumerate(PATTERNS):
        for raw, answer in zip(paths, echo.ask_http2(paths, host=f"p{at}"), strict=True):
            path = normalise(raw, keep_slashes=True)
            if isinstance(path, NormalisedPath) and pattern.matches(path) != (answer.status == 200):
                differing.append((pattern.text, raw, answer))
    assert differing == []


def test_refusals_are_needed(echo: EchoEnvoy) -> None:
    """Each path that climbs or is merged once an application decodes it would arrive without our refusal."""
    for raw in (
        b"/a/..%2f..%2fb",
        b"/a%2f.%2fb",
        b"/a%2f%2fb",
        b"/a%2f..",
        b"/..%2fb",
        b"/a%5cb",
        b"/a%2f%252e%252e",
    ):
        assert echo.ask(raw, host="bare").status == 200
        assert echo.ask(raw).status == 400
        assert predicted(raw, keep_slashes=True) is None
