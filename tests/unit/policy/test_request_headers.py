"""policy.request_headers: headers that name a second path, and the options of an application."""

from __future__ import annotations

import re

import pytest

from doorward.core.errors import ConfigurationError
from doorward.policy.document import parse_document, render_document
from doorward.policy.normalisation import AMBIGUOUS_PATH_REGEX, normalise
from doorward.policy.request_headers import (
    COPY_SOURCES,
    DESTINATION_LIMIT,
    HeaderOptions,
    parse_destination,
)

HOSTS = ("dav.corp.example",)
APP = """\
trust_domain: corp.example
apps:
  dav:
    hosts: [dav.corp.example]
    upstream: http://127.0.0.1:9000
"""
GOOD = {
    "/": "/",
    "/a/b": "/a/b",
    "/a/b/": "/a/b/",
    "/caf%C3%A9": "/caf%C3%A9",
    "/a%20b": "/a%20b",
    "https://dav.corp.example/a": "/a",
    "http://DAV.corp.example:8443/a": "/a",
}
BAD = (
    "",
    "a",
    "*",
    "https://dav.corp.example",
    "https://other.corp.example/a",
    "https://alice@dav.corp.example/a",
    "https://dav.corp.example:x@other.example/a",
    "https://dav.corp.example:123456/a",
    "//dav.corp.example/a",
    "ftp://dav.corp.example/a",
    "/a//b",
    "/a/./b",
    "/a/../b",
    "/a/..",
    "/a%2Fb",
    "/a%5cb",
    "/%2e%2e/b",
    "/%61",
    "/%2561",
    "/a;b",
    "/a?b",
    "/a#b",
    "/a b",
    "/a\tb",
    "/a%",
    "/%ff",
    "/\u00e9",
    "/" + "a" * DESTINATION_LIMIT,
)


@pytest.mark.parametrize(("value", "path"), GOOD.items())
def test_a_destination_in_normal_form_is_a_path(value: str, path: str) -> None:
    """RFC 4918 section 10.3: an absolute URI or an absolute path, with the meaning of a request path."""
    found = parse_destination(value, HOSTS)
    assert found is not None
    assert found.text == path
    assert normalise(path) == found


@pytest.mark.parametrize("value", BAD)
def test_another_destination_is_refused(value: str) -> None:
    """Another host, userinfo, a query, and every spelling that normalisation would change or refuse."""
    assert parse_destination(value, HOSTS) is None


@pytest.mark.parametrize("value", [one for one in (*GOOD, *BAD) if one.startswith("/")])
def test_the_expression_for_envoy_finds_the_same_fault(value: str) -> None:
    """Envoy's regex and Python refuse the same values; Envoy's codec limits the length."""
    refused = re.fullmatch(AMBIGUOUS_PATH_REGEX, value, re.DOTALL) is not None
    if len(value) <= DESTINATION_LIMIT:
        assert refused is (parse_destination(value, HOSTS) is None)


def test_only_headers_that_are_refused_or_removed_can_be_passed() -> None:
    """No application can have the identity headers of the client."""
    with pytest.raises(ValueError, match="refused or removed"):
        HeaderOptions(passed=frozenset({"client-cert"}))
    assert HeaderOptions().refused == ("destination", *sorted(COPY_SOURCES))
    terms = HeaderOptions(destination=True, passed=frozenset({"x-copy-from"}))
    assert not {"destination", "x-copy-from"} & set(terms.refused)


def test_an_application_opts_in() -> None:
    """Names are compared without case; the canonical document says the same."""
    document = parse_document(
        APP + "    headers: {destination: judge, pass: [X-HTTP-Method-Override, x-copy-from]}\n"
    )
    passed = frozenset({"x-http-method-override", "x-copy-from"})
    assert document.apps[0].headers == HeaderOptions(destination=True, passed=passed)
    assert parse_document(render_document(document)) == document
    plain = parse_document(APP + "    headers: {destination: refuse}\n")
    assert plain == parse_document(APP)
    assert "headers" not in render_document(plain)


@pytest.mark.parametrize(
    ("headers", "hint"),
    [
        ("{destination: allow}", "write judge or refuse"),
        ("{pass: [Client-Cert]}", "known here"),
        ("{pass: [x-method-overide]}", "did you mean x-method-override?"),
        ("{forward: [x]}", "known here"),
        ("{destination: []}", ""),
        ("yes", ""),
    ],
)
def test_another_word_is_a_fault(headers: str, hint: str) -> None:
    """Unknown keys, values and names are refused, and the hint lists the known ones."""
    with pytest.raises(ConfigurationError) as caught:
        parse_document(f"{APP}    headers: {headers}\n")
    assert hint in caught.value.faults[0].hint


def test_the_principal_in_a_path_and_a_judged_destination_do_not_go_together() -> None:
    """The second path of a request is not compared with the principal, so such a rule is refused."""
    rules = "    rules:\n      - {allow: {kind: person}, to: {paths: ['/home/{principal}/**']}}\n"
    with pytest.raises(ConfigurationError) as caught:
        parse_document(f"{APP}    headers: {{destination: judge}}\n{rules}")
    assert [one.code for one in caught.value.faults] == ["not-built-yet"]
    assert "destination" in caught.value.faults[0].hint
