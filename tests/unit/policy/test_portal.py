"""The portal's policy: it admits certificates of every trusted authority, and others get a page."""

from __future__ import annotations

import pytest

from doorward.core.entities import TENANT, Outcome, Principal, PrincipalKind, PrincipalState
from doorward.core.names import PORTAL_APPLICATION
from doorward.policy.decision import check_admission, permissions_of
from doorward.policy.model import AppPolicy, Document, HttpUpstream, OnRefusal, TcpUpstream
from doorward.policy.portal import build_portal_policy
from doorward.policy.subject import Subject


def app(name: str, *trust: str) -> AppPolicy:
    """An application that trusts these."""
    return AppPolicy(
        name=name,
        hosts=(f"{name}.corp.example",),
        upstream=HttpUpstream(host="127.0.0.1", port=9000),
        trust=trust or ("own",),
    )


DOCUMENT = Document(trust_domain="corp.example", apps=(app("pay", "clinic"), app("web", "bank", "clinic")))


def outcome(principal: Principal, document: Document = DOCUMENT) -> Outcome:
    """Whether this principal is let in."""
    policy = build_portal_policy(document)
    return check_admission(
        permissions_of(policy, TENANT, PORTAL_APPLICATION, Subject(principal=principal))
    ).outcome


def principal(kind: PrincipalKind = PrincipalKind.PERSON, **changed: object) -> Principal:
    """An active one of our own."""
    values: dict[str, object] = {
        "id": "per_a",
        "tenant": TENANT,
        "kind": kind,
        "name": "alice",
        "state": PrincipalState.ACTIVE,
    }
    return Principal(**{**values, **changed})  # type: ignore[arg-type]  # keywords are passed through


@pytest.mark.parametrize("kind", PrincipalKind)
def test_every_active_principal_of_ours_is_let_in(kind: PrincipalKind) -> None:
    """A person in no group, also if no application trusts our own authority."""
    assert outcome(principal(kind)) is Outcome.GOOD
    assert outcome(principal(kind, state=PrincipalState.SUSPENDED)) is Outcome.BAD


def test_partners_of_applications_are_let_in_and_no_others() -> None:
    """A partner that no application trusts has nothing to see here."""
    policy = build_portal_policy(DOCUMENT)
    assert policy.trust == ("bank", "clinic", "own")
    assert outcome(principal(name="clinic/bob", partner="ptn_a")) is Outcome.GOOD
    assert outcome(principal(name="guild/bob", partner="ptn_a")) is Outcome.BAD


def test_a_refused_connection_gets_a_page() -> None:
    """Nothing is public, no site may call it, and a connection without a good certificate lives on all the same."""
    policy = build_portal_policy(Document(trust_domain="corp.example"))
    assert policy.hosts == ("portal.corp.example",)
    assert policy.has_refusal_page
    assert policy.admits_anonymous
    assert not policy.opens_something
    assert policy.trust == ("own",)


def test_an_application_of_tcp_has_no_pages() -> None:
    """There is no request to be answered."""
    with pytest.raises(ValueError, match="no requests"):
        AppPolicy(
            name="mqtt",
            hosts=("mqtt.corp.example",),
            upstream=TcpUpstream(host="127.0.0.1", port=1883),
            on_refusal=OnRefusal.PAGE,
        )
