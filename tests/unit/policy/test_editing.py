"""Changes of single applications in a document's text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.core.errors import ConfigurationError
from doorward.policy.document import parse_document
from doorward.policy.editing import replace_app

TEXT = """\
# who may reach what
trust_domain: corp.example
apps:
    # the wiki
    wiki:
        hosts: [wiki.corp.example]
        upstream: http://127.0.0.1:9001

    # money
    payments:
        hosts: [payments.corp.example]
        upstream: http://127.0.0.1:9000
        rules:
            - allow: {groups: [tellers]}
# the end
"""


@pytest.mark.parametrize("name", ["wiki", "payments"])
def test_an_application_is_taken_out(name: str) -> None:
    """Lines of other applications stay, with their comments."""
    text = replace_app(TEXT, name, None)
    (left,) = parse_document(text).apps
    assert left.name != name
    assert "# who may reach what" in text
    assert "# the end" in text


@pytest.mark.parametrize("name", ["wiki", "payments"])
def test_an_application_is_changed(name: str) -> None:
    """Its lines are canonical, the others are as they were."""
    before = parse_document(TEXT).app(name)
    assert before is not None
    text = replace_app(TEXT, name, replace(before, hosts=("other.corp.example",)))
    after = parse_document(text).app(name)
    assert after == replace(before, hosts=("other.corp.example",))
    assert "# money" in text
    assert "# the end" in text


@pytest.mark.parametrize(
    "text",
    [
        "trust_domain: corp.example\napps: {wiki: {hosts: [wiki.corp.example], upstream: 'http://127.0.0.1:1'}}\n",
        "trust_domain: corp.example\napps:\n  wiki:\n    hosts: [wiki.corp.example]\n    upstream: http://127.0.0.1:1\n",
        "{trust_domain: corp.example, apps: {wiki: {hosts: [wiki.corp.example], upstream: 'http://127.0.0.1:1'}}}\n",
    ],
    ids=["flow", "only one", "all flow"],
)
def test_an_unusual_layout_becomes_canonical(text: str) -> None:
    """A document that cannot be edited by lines is rendered canonically, with the same meaning."""
    (app,) = parse_document(text).apps
    assert parse_document(replace_app(text, "wiki", None)).apps == ()
    changed = replace(app, hosts=("a.corp.example",))
    assert parse_document(replace_app(text, "wiki", changed)).apps == (changed,)


def test_a_host_that_another_has_is_a_fault() -> None:
    """The changed document is read like any other."""
    before = parse_document(TEXT).app("wiki")
    assert before is not None
    with pytest.raises(ConfigurationError):
        replace_app(TEXT, "wiki", replace(before, hosts=("payments.corp.example",)))
