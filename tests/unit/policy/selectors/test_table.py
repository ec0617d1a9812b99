"""The table of words: selectors are made of words that it knows, and a plain new word needs no more than four answers."""

from __future__ import annotations

import pytest

from doorward.policy.node_reader import NodeReader
from doorward.policy.selectors.key import SelectorKey
from doorward.policy.selectors.table import KEYS, Selector, select
from doorward.policy.subject import Subject, Truth
from doorward.policy.yaml_tree import Node
from tests.unit.policy.selectors.test_certificates import PRINTER

NAMES = frozenset({"a"})


def test_words_that_are_not_known_or_not_in_order() -> None:
    """Nothing is dropped, and nothing stands twice: the text behind the ids of grants is one."""
    with pytest.raises(ValueError, match="no selector key colour"):
        select({"colour": NAMES})
    for conditions in (
        (("colour", NAMES),),
        (("groups", NAMES), ("kind", frozenset({"person"}))),
        (("groups", NAMES), ("groups", NAMES)),
    ):
        with pytest.raises(ValueError, match="out of order"):
            Selector(conditions=conditions)


def test_the_text_behind_ids_of_grants() -> None:
    """Named words in the order of the table; changing it changes every id, so it is written down here."""
    words = {
        "groups": frozenset({"tellers", "a b"}),
        "kind": frozenset({"person"}),
        "certificate.key": frozenset({"rsa-3072+"}),
    }
    assert select(words).text == 'kind=[person];groups=[a b, tellers];certificate.key=["rsa-3072+"]'
    assert [key.word for key in KEYS][:12] == [
        "kind",
        "persons",
        "devices",
        "services",
        "groups",
        "certificate.issuer",
        "certificate.profile",
        "certificate.san-dns",
        "certificate.san-email",
        "certificate.san-uri",
        "certificate.policy-oid",
        "certificate.key",
    ]


class _Initial(SelectorKey[str]):
    """A word that is as plain as can be: the first letter of the principal's name."""

    word = "initial"

    def read(self, reader: NodeReader, node: Node, key: str) -> str | None:
        text = reader.text(node, key)
        return text.value if text else None

    def render(self, value: str) -> str:
        return value

    def judge(self, value: str, subject: Subject) -> Truth:
        return Truth.TRUE if subject.principal.name.startswith(value) else Truth.FALSE

    def explain(self, value: str, subject: Subject) -> str:
        return f"{subject.principal.name} does not begin with {value}"


def test_what_follows_for_a_plain_word() -> None:
    """By default a key tells apart subjects that it judges differently, covers only equal values, and selects any kind."""
    key = _Initial()
    assert key.discriminator(("p", "q"))(PRINTER) == (Truth.TRUE, Truth.FALSE)
    assert key.alternatives("p") == {"p"}
    assert key.wider("p") == {"p"}
    assert len(key.possible_kinds("p")) == 3
