"""The forms of `upstream:`: schemes, base paths, and how TLS is verified."""

from __future__ import annotations

import pytest

from doorward.core.errors import ConfigurationError, MalformedInput
from doorward.policy.document import parse_document, render_document
from doorward.policy.model import AppPolicy, Document, HttpUpstream, Scheme, UpstreamTls
from doorward.policy.request_headers import HeaderOptions
from doorward.policy.upstreams import parse_upstream, render_upstream

HEAD = "trust_domain: corp.example\napps:\n  pay:\n    hosts: [pay.corp.example]\n    upstream: "


def document(upstream: str) -> Document:
    """Read a document with one application."""
    return parse_document(HEAD + upstream + "\n")


def faults(upstream: str) -> list[tuple[str, str]]:
    """Return code and key of each fault."""
    with pytest.raises(ConfigurationError) as caught:
        document(upstream)
    return [(one.code, one.key) for one in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("h2c://grpc.internal:50051", HttpUpstream(host="grpc.internal", port=50051, scheme=Scheme.H2C)),
        ("h2c://[::1]", HttpUpstream(host="::1", port=80, scheme=Scheme.H2C)),
        (
            "https://records.internal",
            HttpUpstream(host="records.internal", port=443, scheme=Scheme.HTTPS, tls=UpstreamTls()),
        ),
        ("http://a:1/", HttpUpstream(host="a", port=1)),
        ("http://a:1/app/", HttpUpstream(host="a", port=1, base="/app")),
        ("http://a:1/app/v1.2", HttpUpstream(host="a", port=1, base="/app/v1.2")),
    ],
)
def test_schemes_and_bases(text: str, upstream: HttpUpstream) -> None:
    """RFC 3986 section 3: scheme, authority, path; the port of the scheme is the default (RFC 9110 section 4.2)."""
    assert parse_upstream(text) == upstream
    assert parse_upstream(render_upstream(upstream)) == upstream


@pytest.mark.parametrize(
    "base",
    [
        "//",
        "///",
        "/a//b",
        "/a/../b",
        "/.",
        "/a/%2e%2e",
        "/a%2fb",
        "/a;b",
        "/a\\b",
        "/é",
        "/a b",
        "/" + "a" * 256,
    ],
)
def test_a_base_has_one_meaning(base: str) -> None:
    """RFC 3986 section 6.2.2: a base path with two possible meanings is refused."""
    with pytest.raises(MalformedInput) as caught:
        parse_upstream(f"http://a:1{base}")
    assert caught.value.code == "upstream-malformed"


def test_tls_belongs_to_https() -> None:
    """A value that says otherwise cannot be made."""
    with pytest.raises(ValueError, match="https"):
        HttpUpstream(host="a", port=1, tls=UpstreamTls())
    with pytest.raises(ValueError, match="https"):
        HttpUpstream(host="a", port=1, scheme=Scheme.HTTPS)


def test_the_options_of_tls() -> None:
    """They are read, and rendered so that they read back."""
    text = '{url: "https://10.0.0.7/api", ca_file: /etc/ca.pem, server_name: Records.internal, client_certificate: /var/door}'
    read = document(text)
    tls = UpstreamTls(ca_file="/etc/ca.pem", server_name="records.internal", client_certificate="/var/door")
    assert read.apps[0].upstream == HttpUpstream(
        host="10.0.0.7", port=443, scheme=Scheme.HTTPS, base="/api", tls=tls
    )
    assert parse_document(render_document(read)) == read
    assert document('{url: "https://a", server_name: "::1"}').apps[0].upstream.url == "https://a:443"


def test_a_base_and_a_second_path_exclude_each_other() -> None:
    """RFC 4918 section 10.3: the application would take a Destination outside its base."""
    judged = "\n    headers: {destination: judge}"
    assert faults("http://a/base" + judged) == [("base-with-destination", "apps.pay.upstream")]
    assert document("http://a" + judged).apps[0].headers.destination
    with pytest.raises(ValueError, match="base"):
        AppPolicy(
            name="pay",
            hosts=("pay.test",),
            upstream=HttpUpstream(host="a", port=1, base="/base"),
            headers=HeaderOptions(destination=True),
        )
    assert document("unix:///run/a.sock" + judged).apps[0].headers.destination


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ca_file: /a}", [("missing-key", "apps.pay.upstream")]),
        ("{url: http://a, ca_file: /a}", [("upstream-malformed", "apps.pay.upstream.ca_file")]),
        ("{url: unix:///a, server_name: b}", [("upstream-malformed", "apps.pay.upstream.server_name")]),
        ("{url: https://a, ca_file: relative}", [("upstream-malformed", "apps.pay.upstream.ca_file")]),
        ("{url: https://a, server_name: a_b}", [("upstream-malformed", "apps.pay.upstream.server_name")]),
        ("{url: https://a, server_name: [a]}", [("wrong-type", "apps.pay.upstream.server_name")]),
        ("{url: https://a, verify: no}", [("unknown-key", "apps.pay.upstream.verify")]),
        ("{url: [a]}", [("wrong-type", "apps.pay.upstream")]),
        ("{url: 'ftp://a', ca_file: /a}", [("upstream-malformed", "apps.pay.upstream")]),
    ],
)
def test_bad_options(text: str, expected: list[tuple[str, str]]) -> None:
    """Each fault names its key; there is no way to switch verification off."""
    assert faults(text) == expected
