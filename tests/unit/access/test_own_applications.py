"""The applications that a person may open."""

from __future__ import annotations

from doorward.access.own_applications import list_own_applications
from doorward.directory.principals import suspend
from doorward.stores.policy_snapshot import PolicySnapshots
from tests.support.world import OPERATOR, World, found_world

DOCUMENT = """\
trust_domain: corp.example
apps:
  payments:
    hosts: [payments.corp.example, pay.corp.example]
    upstream: http://127.0.0.1:9000
    rules:
      - name: tellers with a passkey
        allow: {groups: [tellers]}
        to: {paths: ["/accounts/**"]}
        require: {factor: webauthn}
  archive:
    hosts: [archive.corp.example]
    upstream: http://127.0.0.1:9001
    rules:
      - allow: {kind: person, source: 192.0.2.0/24}
  vault:
    hosts: [vault.corp.example]
    upstream: http://127.0.0.1:9002
    rules:
      - allow: {kind: person}
      - deny: {groups: [tellers]}
  queue:
    hosts: [queue.corp.example]
    upstream: tcp://127.0.0.1:9003
    rules:
      - allow: {kind: person}
"""


def names(world: World, source: str = "192.0.2.7") -> list[str]:
    """Return the applications that Alice, a teller, may open from this address."""
    found = list_own_applications(
        world.services,
        PolicySnapshots(),
        principal="alice",
        certificate_id=world.issue("alice").record.id,
        source=source,
    )
    return [f"{one.name} at {one.host}" for one in found]


def test_a_rule_that_lets_her_in_is_enough() -> None:
    """Also one that will ask for a factor; not one that denies, nor an application without pages, nor the portal."""
    world = found_world(document=DOCUMENT)
    assert names(world) == ["archive at archive.corp.example", "payments at payments.corp.example"]


def test_where_she_comes_from_counts() -> None:
    """A rule about the address is asked about hers."""
    assert names(found_world(document=DOCUMENT), source="203.0.113.9") == [
        "payments at payments.corp.example"
    ]


def test_a_suspended_person_may_open_nothing() -> None:
    """As at the door."""
    world = found_world(document=DOCUMENT)
    certificate = world.issue("alice").record.id
    suspend(world.services, "alice", actor=OPERATOR)
    assert (
        list_own_applications(
            world.services, PolicySnapshots(), principal="alice", certificate_id=certificate
        )
        == []
    )
