"""The applications that lose their connections by a change of the document, found by compiling both documents."""

from __future__ import annotations

import pytest

from doorward.enforcement.disruption import closed_applications, drained_applications
from doorward.policy.document import parse_document
from doorward.policy.model import Document

APP = """  app:
    hosts: [app.corp.example]
    upstream: http://127.0.0.1:9000
    rules:
      - {allow: {groups: [staff]}}
"""
OTHER = APP.replace("app", "other")


def document(*apps: str) -> Document:
    """A document of these applications."""
    return parse_document("trust_domain: corp.example\napps:\n" + "".join(apps), file="test.yaml")


@pytest.mark.parametrize(
    ("changed", "drained"),
    [
        (APP, ()),
        (APP.replace("[staff]", "[staff, guests]"), ()),
        (APP.replace("[app.corp", "[second.corp.example, app.corp"), ()),
        (APP.replace("9000", "9001"), ()),
        (APP.replace("    rules", "    trust: [clinic, own]\n    rules"), ("app",)),
        (APP.replace("    rules", '    public: ["/share/**"]\n    rules'), ("app",)),
    ],
)
def test_what_replaces_a_chain_is_told(changed: str, drained: tuple[str, ...]) -> None:
    """A change of rules, hosts and upstreams ends no connection; a change of `trust` or `public` does."""
    assert drained_applications(document(APP, OTHER), document(changed, OTHER)) == drained


TCP = APP.replace("http:", "tcp:")


@pytest.mark.parametrize(
    ("changed", "drained"),
    [
        (TCP.replace("[staff]", "[staff, guests]"), ()),
        (TCP.replace("      - {allow", "      - {deny: {persons: [eve]}}\n      - {allow"), ()),
        (TCP.replace("[app.corp", "[second.corp.example, app.corp"), ()),
        (TCP.replace("9000", "9001"), ()),
        (TCP.replace("    rules", "    alpn: [mqtt]\n    rules"), ("app",)),
        (TCP.replace("    rules", "    timeouts: {idle: 2h}\n    rules"), ("app",)),
        (APP, ("app",)),
    ],
)
def test_of_tcp_protocols_and_silence_are_in_the_chain(changed: str, drained: tuple[str, ...]) -> None:
    """Rules, hosts and upstreams end nothing here either; another kind of application ends all."""
    assert drained_applications(document(TCP, OTHER), document(changed, OTHER)) == drained


def test_what_is_gone_is_told_apart() -> None:
    """An application that the document does not have any more is closed, and one that is new ends nothing."""
    before, after = document(APP), document(OTHER)
    assert closed_applications(before, after) == ("app",)
    assert drained_applications(before, after) == ()
