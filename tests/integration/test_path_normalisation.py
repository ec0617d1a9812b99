"""The normaliser and the patterns predict a running Envoy, on paths written to deceive either of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import pytest

from doorward.policy.normalisation import NormalisedPath, PathFault, PathRefused, normalise
from doorward.policy.paths import PathPattern
from tests.support.envoy_echo import Echo, EchoEnvoy, running_echo

PIECES = [
    *("/", "/", "/", "//", "\\", ".", "..", "/../", "/./", "/..;", ";", ";x", "%", "%%", "%2", "%25", "%2e"),
    *("%2E", "%2f", "%5C", "%00", "%0a", "%7f", "%zz", "%61", "%41", "%7e", "%3b", "%3B", "%40", "%c3%a9"),
    *("%C3%A9", "%c3", "%a9", "%c0%ae", "%e0%80%af", "%ed%a0%80", "%f0%9f%98%80", "%f4%90%80%80", "%ff"),
    *("%2%65", "%%32%65", "%%35c", "%2565", "%u0041", "a", "b", "admin", "e", "5", "2", "@", "[", "]", "*"),
    *("+", "|", '"', "<", "{", "^", "`", "'", "~", "?", "?x", "?/..;/", "=", "%20", "%2a"),
]
RAW = [*PIECES, "\xe9", "\xff", "\xc3\xa9"]

PATTERNS = [
    PathPattern(text)
    for text in (
        *(
            "/",
            "/**",
            "/*",
            "/*/**",
            "/a",
            "/a/**",
            "/a/*",
            "/a/*/b",
            "/*/b/**",
            "/admin/**",
            "/a@",
            "/a@/**",
        ),
        *("/%2A", "/a/%20", "/%C3%A9/**", "/[a]/*", "/%25", "/%7C", "/a.b", "/a+b/**", "/a=", "/%25a/**"),
    )
]


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoEnvoy]:
    """One Envoy for all tests of this file."""
    with running_echo(tmp_path_factory.mktemp("echo"), PATTERNS) as running:
        yield running


def odd_paths(seed: int, count: int, pieces: list[str]) -> list[bytes]:
    """Paths made of pieces that have deceived servers before; repeatable."""
    dice = random.Random(seed)
    return [
        ("/" + "".join(dice.choice(pieces) for _ in range(dice.randint(1, 9)))).encode("latin-1")
        for _ in range(count)
    ]


def predicted(raw: bytes, *, keep_slashes: bool = False) -> str | None:
    """The path that Envoy must forward by our judge; None if it must refuse."""
    path = normalise(raw, keep_slashes=keep_slashes)
    return path.text if isinstance(path, NormalisedPath) else None


def differing(
    paths: list[bytes], answers: Iterable[Echo], *, keep_slashes: bool = False
) -> dict[bytes, tuple[Echo, str | None]]:
    """The answers of Envoy that are not what we predict."""
    return {
        raw: (answer, path)
        for raw, answer in zip(paths, answers, strict=True)
        if answer.without_query != (path := predicted(raw, keep_slashes=keep_slashes))
        or answer.status not in (200, 400)
    }


def test_http1_agrees(echo: EchoEnvoy) -> None:
    """On 4,000 odd paths over HTTP/1.1, Envoy refuses what we refuse and forwards what we predict."""
    paths = odd_paths(1, 4000, PIECES)
    assert differing(paths, map(echo.ask, paths)) == {}


def test_http2_agrees(echo: EchoEnvoy) -> None:
    """On 4,000 odd paths with raw bytes over HTTP/2, which has a less strict codec, they agree too."""
    paths = odd_paths(2, 4000, RAW)
    assert differing(paths, echo.ask_http2(paths)) == {}


@pytest.mark.parametrize("form", ["/x%c", "/x%%%02xy", "/x%%%02X/../y", "/%%%02x.;y/z"])
def test_every_byte(echo: EchoEnvoy, form: str) -> None:
    """Each single byte, raw or escaped, is treated as predicted."""
    raw = [(form % octet).encode("latin-1") for octet in range(0x21, 0x100) if octet != 0x7F]
    differing = {
        one: (answer, predicted(one))
        for one, answer in zip(raw, echo.ask_http2(raw), strict=True)
        if answer.without_query != predicted(one)
    }
    assert differing == {}


@pytest.mark.parametrize("octet", [*range(0x21), 0x23, 0x7F])
def test_control_characters(echo: EchoEnvoy, octet: int) -> None:
    """A raw control character, space, DEL or # is refused by either protocol, in path and query."""
    for raw in (b"/a%cb" % octet, b"/a?%cb" % octet):
        assert predicted(raw) is None
        assert echo.ask(raw).status not in range(200, 300)
        echo.close()
        # The codec may reset the stream, end the connection, or leave it unanswered for good.
        assert echo.ask_http2([raw], patience=0.2)[0].status not in range(200, 300)


def test_http1_codec_is_stricter(echo: EchoEnvoy) -> None:
    """A raw byte above 0x7E never passes the HTTP/1.1 codec, so that judging it cannot let anybody in."""
    for octet in range(0x80, 0x100):
        assert echo.ask(b"/a%c" % octet).status == 400


def test_other_request_targets(echo: EchoEnvoy) -> None:
    """A target that is no path is answered by no route: `*`, nothing, a path without its slash, an authority."""
    for method, target in (("OPTIONS", b"*"), ("GET", b"*"), ("GET", b"a/b"), ("CONNECT", b"a.test:443")):
        assert normalise(target) == PathRefused(PathFault.NOT_ABSOLUTE)
        assert echo.ask(target, method=method).status in (400, 404)
    assert echo.ask(b"http://echo/a/../b").path == b"/b"  # absolute form: the codec takes the host off


def test_refusals_are_needed(echo: EchoEnvoy) -> None:
    """Each ambiguous path that the door refuses would have reached the application without our refusal."""
    for raw in (b"/admin;x/y", b"/%3Bx", b"/%2561dmin", b"/%c0%ae", b"/%0a", b"/%zz", b"//", b"/%%32%65"):
        assert echo.ask(raw, host="bare").status == 200
        assert echo.ask(raw).status == 400
        assert predicted(raw) is None


def test_patterns_agree(echo: EchoEnvoy) -> None:
    """Each pattern's compiled matchers say in Envoy what `matches` says here, on 150 paths each."""
    paths = [
        *odd_paths(3, 80, ["/", "a", "b", "admin", "@", "%40", "é", ".b", "*", "%2A", "%20", "=", "%3D"])
    ]
    paths = [*paths, *(pattern.text.encode() for pattern in PATTERNS)]
    paths = [
        *paths,
        *(pattern.text.encode() + b"/" for pattern in PATTERNS),
        b"/%c3%a9/x",
        b"/a%40",
        b"/%5ba%5D/q",
    ]
    differing = []
    for at, pattern in enumerate(PATTERNS):
        for raw, answer in zip(paths, echo.ask_http2(paths, host=f"p{at}"), strict=True):
            path = normalise(raw)
            if isinstance(path, NormalisedPath) and pattern.matches(path) != (answer.status == 200):
                differing.append((pattern.text, raw, answer))
    assert differing == []


def test_widest_patterns_are_accepted(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The longest expressions that patterns can compile to stay within the program size that we configure."""
    widest = ("/" + "[@" * 255, "/" + "*/" * 254 + "**", "/*/" + "%2A" * 169)
    patterns = [PathPattern(text) for text in widest]
    with running_echo(tmp_path_factory.mktemp("widest"), patterns) as running:
        assert running.ask(b"/" + b"[%40" * 255, host="p0").status == 200
        assert running.ask(b"/a" * 300, host="p1").status == 200
        assert running.ask(b"/x/" + b"*%2a" * 80, host="p2").status == 404
