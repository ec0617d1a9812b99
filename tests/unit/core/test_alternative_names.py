"""core.alternative_names: one spelling of each name, lower case only if case has no meaning, and nothing guessed."""

from __future__ import annotations

import pytest

from doorward.core.alternative_names import spell_dns, spell_mailbox, spell_uri, split_uri
from doorward.core.errors import MalformedInput


@pytest.mark.parametrize(
    ("spell", "text", "spelled"),
    [
        (spell_dns, "Printer7.Corp.EXAMPLE", "printer7.corp.example"),
        (spell_dns, "a_b.corp.example", "a_b.corp.example"),
        (spell_mailbox, "Ann.B+x@Corp.Example", "Ann.B+x@corp.example"),
        (spell_uri, "SPIFFE://Corp.Example/Ns/Web", "spiffe://corp.example/Ns/Web"),
        (spell_uri, "https://h.example:8443", "https://h.example:8443"),
        (spell_uri, "https://[2001:DB8::1]/a/", "https://[2001:db8::1]/a/"),
        (spell_uri, "https://h.example/a%20b?Q=../x#F", "https://h.example/a%20b?Q=../x#F"),
        (spell_uri, "URN:UUID:F81D", "urn:uuid:F81D"),
        (spell_uri, "mailto:A@B", "mailto:A@B"),
    ],
)
def test_one_spelling(spell, text: str, spelled: str) -> None:
    """RFC 4343: DNS names have no case; RFC 5321: a local part has; RFC 3986: scheme and host have none, a path has."""
    assert spell(text) == spelled
    assert spell(spelled) == spelled


@pytest.mark.parametrize(
    ("spell", "text"),
    [
        (spell_dns, "*.corp.example"),
        (spell_dns, "corp.example."),
        (spell_dns, "a b.example"),
        (spell_dns, "a..example"),
        (spell_dns, "-a.example"),
        (spell_dns, "a.b.7"),
        (spell_dns, ""),
        (spell_mailbox, '"ann"@corp.example'),
        (spell_mailbox, "ann"),
        (spell_mailbox, "a@b@corp.example"),
        (spell_mailbox, "ann@[192.0.2.1]"),
        (spell_mailbox, "ünn@corp.example"),
        (spell_mailbox, "a" * 65 + "@corp.example"),
        (spell_uri, "corp.example/a"),
        (spell_uri, "spiffe://user@corp.example/a"),
        (spell_uri, "spiffe://corp.example/a/../b"),
        (spell_uri, "spiffe://corp.example/./b"),
        (spell_uri, "spiffe://corp.example//b"),
        (spell_uri, "spiffe://corp.example/%61"),
        (spell_uri, "spiffe://corp.example/a%2fb"),
        (spell_uri, "spiffe://corp.example/a%2Fb"),
        (spell_uri, "spiffe://corp.example/a%c3"),
        (spell_uri, "spiffe://corp.example/a\\b"),
        (spell_uri, "spiffe://corp.example/a b"),
        (spell_uri, "spiffe:///a"),
        (spell_uri, "spiffe://corp.example/" + "a" * 2048),
    ],
)
def test_what_has_no_plain_spelling_is_refused(spell, text: str) -> None:
    """Another spelling of a name, or a part of one, is refused and not taken for another name."""
    with pytest.raises(MalformedInput):
        spell(text)


def test_the_path_of_a_uri() -> None:
    """Query and fragment are no part of the path; a URI without an authority has none."""
    assert split_uri("spiffe://x.example/a/b?c/d#e/f") == ("spiffe://x.example", ("a", "b"))
    assert split_uri("https://x.example") == ("https://x.example", ())
    assert split_uri("urn:a:http://x") is None
