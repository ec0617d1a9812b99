"""Patterns over names end at a label, a domain or a segment, and text that means two things is refused."""

from __future__ import annotations

import pytest

from doorward.core.errors import MalformedInput
from doorward.policy.selectors.name_patterns import (
    MOST_PARTS,
    parse_dns_pattern,
    parse_mailbox_pattern,
    parse_uri_pattern,
    widen_dns,
    widen_mailbox,
    widen_uri,
)


@pytest.mark.parametrize(
    ("widen", "pattern", "covered", "others"),
    [
        (
            widen_dns,
            "*.corp.example",
            ("a.corp.example", "b.a.corp.example", "*.a.corp.example"),
            ("corp.example", "evilcorp.example", "a.corp.example.evil.test", "*.example"),
        ),
        (
            widen_mailbox,
            "@corp.example",
            ("ann@corp.example",),
            ("ann@a.corp.example", "ann@evilcorp.example", "@example"),
        ),
        (
            widen_uri,
            "spiffe://x.example/ns/**",
            ("spiffe://x.example/ns", "spiffe://x.example/ns/web", "spiffe://x.example/ns/a/**"),
            (
                "spiffe://x.example/nsa",
                "spiffe://x.example/",
                "spiffe://x.example/**",
                "spiffe://y.example/ns/web",
            ),
        ),
        (
            widen_uri,
            "spiffe://x.example/**",
            ("spiffe://x.example", "spiffe://x.example/a/b", "spiffe://x.example/a?b"),
            ("spiffe://x.example.evil.test/a", "https://x.example/a", "urn:x"),
        ),
    ],
)
def test_what_a_pattern_covers(
    widen, pattern: str, covered: tuple[str, ...], others: tuple[str, ...]
) -> None:
    """Whole labels, the very domain, whole segments."""
    assert all(pattern in widen(one) for one in (pattern, *covered))
    assert not any(pattern in widen(one) for one in others)


@pytest.mark.parametrize(
    ("parse", "text", "parsed"),
    [
        (parse_dns_pattern, "*.Corp.Example", "*.corp.example"),
        (parse_dns_pattern, "A.corp.example", "a.corp.example"),
        (parse_mailbox_pattern, "@Corp.Example", "@corp.example"),
        (parse_mailbox_pattern, "Ann@Corp.Example", "Ann@corp.example"),
        (parse_uri_pattern, "SPIFFE://X.example/A/**", "spiffe://x.example/A/**"),
        (parse_uri_pattern, "urn:a:B", "urn:a:B"),
    ],
)
def test_patterns_have_one_spelling(parse, text: str, parsed: str) -> None:
    """As names have."""
    assert parse(text) == parsed


@pytest.mark.parametrize(
    ("parse", "text", "code"),
    [
        (parse_dns_pattern, "*.example", "pattern-malformed"),
        (parse_dns_pattern, "*", "pattern-malformed"),
        (parse_dns_pattern, "a*.corp.example", "pattern-malformed"),
        (parse_dns_pattern, "*." + "a." * MOST_PARTS + "example", "pattern-too-deep"),
        (parse_mailbox_pattern, "*@corp.example", "pattern-malformed"),
        (parse_mailbox_pattern, "@", "dns-name-malformed"),
        (parse_uri_pattern, "spiffe://x.example/*/a", "pattern-malformed"),
        (parse_uri_pattern, "spiffe://x.example/a?b/**", "pattern-malformed"),
        (parse_uri_pattern, "spiffe://x.example//**", "pattern-malformed"),
        (parse_uri_pattern, "urn:a:b/**", "pattern-malformed"),
        (parse_uri_pattern, "spiffe://x.example/../**", "uri-malformed"),
        (parse_uri_pattern, "spiffe://x.example" + "/a" * (MOST_PARTS + 1) + "/**", "pattern-too-deep"),
    ],
)
def test_bad_patterns(parse, text: str, code: str) -> None:
    """A star in any other place is refused."""
    with pytest.raises(MalformedInput) as caught:
        parse(text)
    assert caught.value.code == code


def test_long_names_are_widened_to_few_patterns() -> None:
    """The cost of a name in a certificate is bounded, and the patterns that documents may have are all met."""
    deep = ".".join("a" for _ in range(100)) + ".example"
    assert len(widen_dns(deep)) == MOST_PARTS + 1
    assert "*." + "a." * (MOST_PARTS - 1) + "example" in widen_dns(deep)
    assert len(widen_uri("spiffe://x.example" + "/a" * 500)) == MOST_PARTS + 2
