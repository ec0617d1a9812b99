"""A document that may require second factors is never taken for one that does not."""

from __future__ import annotations

import pytest

from doorward.policy.document import parse_document
from doorward.policy.factor_words import may_require_factors

PLAIN = """trust_domain: corp.example
apps:
  bank:
    hosts: [bank.corp.example]
    upstream: http://127.0.0.1:8000
    rules:
      - name: all
        allow: {groups: [tellers]}
"""
RULE = f"{PLAIN}        require: {{factor: any}}\n"
ESCAPED = RULE.replace("require:", '"r\\x65quire":')
QUOTED = RULE.replace("require:", "'require':")
GROUP = f"{PLAIN}factors: {{tellers: [webauthn]}}\n"


@pytest.mark.parametrize("text", [RULE, ESCAPED, QUOTED])
def test_a_requirement_is_seen_however_its_key_is_written(text: str) -> None:
    """In quotation marks or with an escape."""
    assert parse_document(text).requires_factors
    assert may_require_factors(text)


def test_a_groups_factors_are_seen() -> None:
    """They are a key of their own."""
    assert parse_document(GROUP).requires_factors
    assert may_require_factors(GROUP)


def test_a_document_without_the_words_requires_none() -> None:
    """Then it need not be read."""
    assert not parse_document(PLAIN).requires_factors
    assert not may_require_factors(PLAIN)
