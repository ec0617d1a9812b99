"""One-time links as text."""

from __future__ import annotations

import pytest

from doorward.agent.link import Link, parse_link, render_link
from doorward.core.errors import MalformedInput

TOKEN = "A" * 43
PIN = "0f" * 32
TAIL = f"/join#token={TOKEN}&sha256={PIN}"


@pytest.mark.parametrize(
    ("start", "host", "port"),
    [
        ("https://enroll.corp.example", "enroll.corp.example", 443),
        ("https://enroll.localhost:8443", "enroll.localhost", 8443),
        ("https://192.0.2.7:1", "192.0.2.7", 1),
        ("https://[2001:db8::7]:65535", "2001:db8::7", 65535),
    ],
)
def test_a_link_is_read_and_written_alike(start: str, host: str, port: int) -> None:
    """A link comes back as the same text."""
    link = parse_link(start + TAIL)
    assert (link.host, link.port, link.token, link.root_sha256) == (host, port, TOKEN, PIN)
    assert render_link(link) == start + TAIL


def test_small_changes_of_a_link_are_accepted() -> None:
    """White space around the link, capitals in host and pin, and the other order are accepted."""
    text = f"  https://Enroll.Corp.Example:443/join#sha256={PIN.upper()}&token={TOKEN}\n"
    assert render_link(parse_link(text)) == f"https://enroll.corp.example{TAIL}"


def test_the_token_is_not_in_the_representation() -> None:
    """A link in a traceback or log does not show its secret."""
    assert TOKEN not in repr(parse_link("https://enroll.corp.example" + TAIL))


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("enroll.localhost", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("notlocalhost", False),
        ("localhost.example", False),
        ("192.0.2.1", False),
    ],
)
def test_names_of_this_machine_are_known(host: str, *, local: bool) -> None:
    """RFC 6761: localhost and every name below it is this machine, and nothing else by name."""
    assert Link(host=host, port=443, token=TOKEN, root_sha256=PIN).is_local is local


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not a one-time link"),
        ("doorward enroll", "not a one-time link"),
        ("http://enroll.corp.example" + TAIL, "starts with https"),
        ("https://enroll.corp.example/join", "no part after #"),
        (f"https://enroll.corp.example/join?token={TOKEN}", "no part after #"),
        (f"https://enroll.corp.example/join#token={TOKEN}", "the end of the link is missing"),
        ("https://enroll.corp.example/join#", "damaged"),
        (f"https://portal.corp.example/join#{TOKEN}", "has no token="),
        (f"https://enroll.corp.example{TAIL}&token={TOKEN}", "damaged"),
        (f"https://enroll.corp.example{TAIL}&next=evil", "damaged"),
        (f"https://enroll.corp.example/join#token=short&sha256={PIN}", "token"),
        (f"https://enroll.corp.example/join#token={TOKEN}&sha256=00", "SHA-256"),
        ("https://user@enroll.corp.example" + TAIL, "not a one-time link"),
        ("https://enroll.corp.example/other" + TAIL, "not a one-time link"),
        ("https://enroll.corp.example?a" + TAIL, "not a one-time link"),
        ("https://enroll..example" + TAIL, "host or the port"),
        ("https://-a.example" + TAIL, "host or the port"),
        ("https://127.1" + TAIL, "host or the port"),
        ("https://[::1::]" + TAIL, "host or the port"),
        ("https://[::0001]" + TAIL, "host or the port"),
        ("https://enroll.corp.example:0" + TAIL, "host or the port"),
        ("https://enroll.corp.example:65536" + TAIL, "host or the port"),
        ("https://enroll.corp.example" + TAIL + "a" * 1024, "at most 1024 characters"),
    ],
)
def test_an_invalid_link_is_refused_with_a_hint(text: str, word: str) -> None:
    """Each usual mistake has its own message, and no message repeats the secret."""
    with pytest.raises(MalformedInput, match=word) as caught:
        parse_link(text)
    assert caught.value.code == "link-malformed"
    assert TOKEN not in caught.value.detail + caught.value.hint
