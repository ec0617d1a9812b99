"""policy.on_refusal: whether people without a good certificate get a page, or an alert."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.core.entities import Outcome, Reason
from doorward.core.errors import ConfigurationError
from doorward.policy.analysis import diff_documents
from doorward.policy.decision import Request, anonymous_permissions, decide_anonymous
from doorward.policy.document import append_app, parse_document, render_document
from doorward.policy.model import OnRefusal, TcpUpstream

APP = """\
trust_domain: corp.example
apps:
  pay:
    hosts: [pay.corp.example]
    upstream: http://127.0.0.1:9000
"""
PAGE = APP + "    on_refusal: page\n"


def test_the_alert_is_what_nothing_says() -> None:
    """Written or left out, it is the same document."""
    assert parse_document(APP) == parse_document(APP + "    on_refusal: alert\n")
    assert "on_refusal" not in render_document(parse_document(APP))


def test_a_page_is_read_and_rendered() -> None:
    """The canonical document means the same."""
    document = parse_document(PAGE)
    assert document.apps[0].on_refusal is OnRefusal.PAGE
    assert parse_document(render_document(document)) == document


def test_an_application_is_added_with_pages() -> None:
    """In the layout of the document, and in a canonical one."""
    for text in (APP, "{trust_domain: corp.example}\n"):
        added = append_app(
            text, "b", hosts=["b.corp.example"], upstream="http://[::1]:1", on_refusal=OnRefusal.PAGE
        )
        assert parse_document(added).apps[-1].on_refusal is OnRefusal.PAGE


def test_a_difference_says_what_people_see() -> None:
    """In both directions."""
    without, document = parse_document(APP), parse_document(PAGE)
    told = "apps.pay.on_refusal: page: people without a good certificate get a page that says what to do"
    assert [str(one)[:2] + str(one)[2:].partition(",")[0] for one in diff_documents(without, document)] == [
        f"+ {told}"
    ]
    assert [str(one).partition(",")[0] for one in diff_documents(document, without)] == [f"- {told}"]


def test_another_node_is_answered_with_what_to_write() -> None:
    """A mapping is no word."""
    with pytest.raises(ConfigurationError) as caught:
        parse_document(APP + "    on_refusal: {page: true}\n")
    (fault,) = caught.value.faults
    assert (fault.code, fault.hint[:10]) == ("wrong-type", "write page")


def test_a_page_admits_a_connection_to_nothing() -> None:
    """A connection without a good certificate may live there, and no request of it is allowed."""
    (app,) = parse_document(PAGE).apps
    assert app.admits_anonymous
    assert anonymous_permissions(app).allowed == frozenset()
    decision = decide_anonymous(app, Request(method="GET", raw_path="/"))
    assert (decision.outcome, decision.reasons) == (
        Outcome.BAD,
        (Reason.ANONYMOUS, Reason.NO_RULE_MATCHED),
    )


def test_an_application_of_tcp_has_no_page() -> None:
    """There is no request to answer."""
    (app,) = parse_document(APP).apps
    with pytest.raises(ValueError, match="no requests"):
        replace(app, upstream=TcpUpstream(host="::1", port=1), on_refusal=OnRefusal.PAGE)


@pytest.mark.parametrize("host", ["portal.corp.example", "a.portal.corp.example", "b.a.portal.corp.example"])
def test_no_application_is_below_the_portal(host: str) -> None:
    """Its pages could ask browsers for the passkeys of the portal's host (WebAuthn section 5.1.2)."""
    document = parse_document(APP)
    with pytest.raises(ConfigurationError) as caught:
        parse_document(APP.replace("pay.corp.example", host))
    assert [one.code for one in caught.value.faults] == ["host-reserved"]
    with pytest.raises(ValueError, match="portal's host"):
        replace(document, apps=(replace(document.apps[0], hosts=(host,)),))
