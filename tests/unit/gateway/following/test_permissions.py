"""The permissions of live connections by one policy: the cache gives the same as separate judgements."""

from __future__ import annotations

from itertools import product

from doorward.core.entities import TENANT, PrincipalKind, PrincipalState
from doorward.gateway.following.permissions import PermissionsCache
from doorward.policy.decision import permissions_of
from doorward.policy.document import parse_document
from doorward.policy.subject import Subject
from tests.support import records
from tests.support.ports import NOON
from tests.unit.gateway.live import live

DOCUMENT = parse_document(
    """\
trust_domain: corp.example
apps:
  payments:
    hosts: [payments.corp.example]
    upstream: http://127.0.0.1:9000
    trust: [own, clinic]
    rules:
      - {name: a, allow: {groups: [tellers]}, to: {paths: ["/a/**"]}}
      - {name: b, allow: {persons: [alice]}, to: {paths: ["/b/**"]}}
      - {name: c, allow: {devices: [bob]}, to: {paths: ["/c/**"]}}
      - {name: d, deny: {kind: [device, service]}, to: {paths: ["/a/d/**"]}}
      - {name: e, deny: {groups: [contractors], persons: [dave]}}
""",
    file="test.yaml",
)
APP = "app_" + "a" * 20


def test_alike_or_not_each_gets_its_own() -> None:
    """For every combination of name, kind, state, tenant and groups the cached permissions equal the computed ones."""
    authorities = PermissionsCache({APP: DOCUMENT.apps[0]}, NOON)
    names = ("alice", "bob", "carol", "dave", "erin")
    groups = ((), ("tellers",), ("contractors",), ("contractors", "tellers"))
    partners = ("", "clinic", "ward")
    mixtures = product(names, PrincipalKind, PrincipalState, (TENANT, "ten_other"), groups, partners)
    for cookie, (name, kind, state, tenant, member_of, partner) in enumerate(mixtures):
        who = records.principal(
            f"{partner}/{name}" if partner else name,
            kind,
            tenant=tenant,
            id=f"per_{cookie}",
            state=state,
            groups=member_of,
            partner=partner,
        )
        one = live(cookie, application_id=APP, subject=Subject(principal=who))
        alone = permissions_of(DOCUMENT.apps[0], TENANT, APP, Subject(principal=who, time=NOON))
        assert authorities.of(one) == alone, who


def test_who_cannot_be_compared_gets_nothing() -> None:
    """An adopted connection, and one to an application that is gone, have no known permissions."""
    authorities = PermissionsCache({APP: DOCUMENT.apps[0]}, NOON)
    alice = records.principal("alice", id="per_a")
    assert authorities.of(live(1, application_id=APP)) is None
    assert authorities.of(live(1, application_id="app_gone", subject=Subject(principal=alice))) is None
    assert (
        PermissionsCache({}, NOON).of(live(1, application_id=APP, subject=Subject(principal=alice))) is None
    )
