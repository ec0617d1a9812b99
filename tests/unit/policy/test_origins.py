"""policy.origins: a list has origins in the spelling of browsers (RFC 6454)."""

from __future__ import annotations

import pytest

from doorward.core.errors import MalformedInput
from doorward.policy.origins import own_origins, parse_origin


@pytest.mark.parametrize(
    "text",
    [
        "https://a.example",
        "https://a.example:8443",
        "http://localhost:3000",
        "http://a.example:443",
        "https://[2001:db8::1]:8443",
        "https://192.0.2.1",
        "chrome-extension://abcdefghijklmnop",
        "https://xn--bcher-kva.example",
    ],
)
def test_what_a_browser_sends_is_taken_as_it_is(text: str) -> None:
    """RFC 6454 section 6.2: scheme, host, and a port that is not the scheme's own."""
    assert parse_origin(text) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("null", "list the page's own origin"),
        ("*", "list each origin"),
        ("https://*.example", "list each origin"),
        ("https://A.Example", "write https://a.example"),
        ("https://a.example/", "write https://a.example"),
        ("https://a.example.", "write https://a.example"),
        ("https://a.example/path", "write https://host[:port]"),
        ("https://user@a.example", "write https://host[:port]"),
        ("a.example", "write https://host[:port]"),
        ("https://bücher.example", "write https://host[:port]"),
        ("https://a.example:443", "write https://a.example"),
        ("http://a.example:80", "write http://a.example"),
        ("https://a.example:65536", "write a port from 1 to 65535"),
        ("https://a.example:0", "write https://host[:port]"),
        ("https://a.example:08443", "write https://host[:port]"),
        ("https://a.example,https://b.example", "write https://host[:port]"),
        ("https://a.example\n", "write https://host[:port]"),
        ("", "write https://host[:port]"),
    ],
)
def test_every_other_spelling_is_refused_with_its_mend(text: str, hint: str) -> None:
    """A spelling that no browser sends is refused."""
    with pytest.raises(MalformedInput) as caught:
        parse_origin(text)
    assert caught.value.code == "origin-malformed"
    assert caught.value.hint == hint


def test_own_origins_are_https_with_each_port() -> None:
    """443 is left out, as browsers leave it out; every other port is written."""
    assert own_origins(["b.test", "a.test"], [443, 8443]) == (
        "https://a.test",
        "https://a.test:8443",
        "https://b.test",
        "https://b.test:8443",
    )
    assert own_origins(["a.test"], []) == ()
