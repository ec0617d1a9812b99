"""Mail addresses: what is accepted, and what could break a header."""

from __future__ import annotations

import pytest

from doorward.core.errors import MalformedInput
from doorward.core.mail_address import LONGEST_ADDRESS, parse_mail_address
from tests.support.refusals import refused


@pytest.mark.parametrize("text", ["alice@corp.example", "a.b+c_d-e'f@mail.corp.example"])
def test_a_plain_address_is_kept(text: str) -> None:
    """Dots, plus, underscore, hyphen and apostrophe are parts of common addresses."""
    assert parse_mail_address(text) == text


def test_the_host_is_lower_case() -> None:
    """The local part belongs to its host and is not changed."""
    assert parse_mail_address("Alice@Corp.Example") == "Alice@corp.example"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "alice@",
        "@corp.example",
        "alice@localhost",
        "alice@corp..example",
        "alice@-corp.example",
        "a..b@corp.example",
        "alice@corp.example\r\nBcc: mallory@corp.example",
        "alice, mallory@corp.example",
        '"alice"@corp.example',
        "älice@corp.example",
        f"{'a' * 65}@corp.example",
        f"alice@{'a.' * LONGEST_ADDRESS}example",
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    """Also quoted local parts, lists, and line breaks."""
    with refused(MalformedInput, "mail-address-malformed"):
        parse_mail_address(text)
