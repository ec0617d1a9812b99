"""The document: any text gives a document or faults; rendering, reading and comparing agree."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core.entities import Principal
from doorward.core.errors import ConfigurationError
from doorward.policy.analysis import check_names, diff_documents
from doorward.policy.document import append_app, parse_document, render_document
from doorward.policy.model import Document
from tests.support.examples import examples
from tests.support.policies import documents

FULL = """\
trust_domain: a.b
apps:
  pay:
    hosts: [pay.a.b]
    upstream: http://127.0.0.1:9000
    rules:
      - name: x
        allow: {groups: [g], kind: person}
        to: {methods: [GET], paths: ["/a/**"]}
"""
WORDS = [
    *FULL.split(),
    "\n",
    "\n  ",
    "\n      ",
    " ",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    "&a",
    "*a",
    "!t",
    "|",
]
WORDS += [
    "%YAML 1.1\n",
    "---\n",
    "...",
    "#",
    "? ",
    "<<",
    "\\U00110000",
    "\t",
    "deny:",
    "persons:",
    "when:",
    "null",
]
yaml_like = st.lists(st.sampled_from(WORDS), max_size=25).map("".join)


def parsed(text: str) -> Document | None:
    """The document, or None if it has faults; any other error fails the test."""
    try:
        return parse_document(text, file="f")
    except ConfigurationError as error:
        faults = error.faults
    assert all(fault.message and fault.code and fault.file == "f" for fault in faults)
    return None


@given(st.text() | yaml_like)
@settings(max_examples=examples(500))
def test_parser_is_total(text: str) -> None:
    """Any text gives a document or faults."""
    parsed(text)


@given(st.integers(0, len(FULL)), st.integers(0, 12), st.sampled_from(WORDS) | st.text(max_size=3))
@settings(max_examples=examples(500))
def test_parser_is_total_on_damaged_documents(at: int, cut: int, put: str) -> None:
    """A good document, damaged anywhere, gives a document or faults."""
    parsed(FULL[:at] + put + FULL[at + cut :])


@given(documents)
@settings(max_examples=examples(200))
def test_render_round_trip(document: Document) -> None:
    """What is rendered reads back as the same document, and renders the same again."""
    text = render_document(document)
    assert parse_document(text) == document
    assert render_document(parse_document(text)) == text


@given(documents, documents)
@settings(max_examples=examples(200))
def test_differences(old: Document, new: Document) -> None:
    """There is a difference exactly if the documents differ, and each is one line."""
    found = diff_documents(old, new)
    assert (found == []) is (old == new)
    assert diff_documents(new, new) == []
    assert all(str(one) and "\n" not in str(one) for one in [*found, *diff_documents(None, new)])


@given(documents)
@settings(max_examples=examples(200))
def test_append_to_any_document(document: Document) -> None:
    """An application can be added to any document and changes nothing else."""
    text = append_app(render_document(document), "added", hosts=["added.test"], upstream="http://127.0.0.1:1")
    after = parse_document(text)
    assert after.apps[:-1] == document.apps
    assert after.apps[-1].name == "added"


@given(documents)
@settings(max_examples=examples(200))
def test_findings(document: Document) -> None:
    """Every finding names an application and a rule of it or none, or a key of the document, and reads as one line."""
    no_principals: list[Principal] = []
    for one in check_names(document, principals=no_principals, groups=["a"]):
        app = document.app(one.app)
        if not one.app:
            assert one.rule.startswith("factors.")
            continue
        assert app is not None
        assert one.rule in {"", *(rule.name for rule in app.rules)}
        assert "\n" not in str(one)
