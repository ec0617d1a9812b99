"""A person with an invitation reaches the application; what it learns comes from the door."""

from __future__ import annotations

import pytest

from doorward.core.entities import PrincipalKind
from doorward.core.ports import KeyKind
from doorward.directory.principal_inventory import list_inventory
from doorward.gateway.precedence import Precedence
from tests.support.doorway import open_doorway


def test_from_invitation_to_application() -> None:
    """A link becomes a certificate, the certificate a connection, and the application learns who it is; the inventory, when and where."""
    with open_doorway() as door:
        door.apply('- {allow: {groups: [staff]}, to: {paths: ["/reports/**"]}}')
        alice = door.person("alice", "staff")
        bob = door.person("bob", "staff", key=KeyKind.ED25519)
        reply = door.get(alice, "/reports/7?year=2026")
        assert reply.status == 200
        assert reply.json()["path"] == "/reports/7"
        assert reply.upstream_headers()["doorward-principal"] == "person/alice"
        assert door.get(bob, "/reports/7").status == 200
        assert door.get(alice, "/other").status == 403
        assert door.gateway.last_seen.note() == 2
        seen, _ = list_inventory(door.services, PrincipalKind.PERSON)
        assert [(one.principal.name, one.where) for one in seen] == [("alice", "app"), ("bob", "app")]


def test_a_judgement_made_singly_gives_way_to_the_follower(monkeypatch: pytest.MonkeyPatch) -> None:
    """The authorizer's threads wait for comparisons of the follower of the same gateway (docs/design/0124)."""
    gave_way: set[Precedence] = set()

    def give_way(precedence: Precedence) -> None:
        gave_way.add(precedence)

    monkeypatch.setattr(Precedence, "give_way", give_way)
    with open_doorway() as door:
        door.apply("- {allow: {groups: [staff]}}")
        with pytest.raises(OSError):  # somebody without a right is judged singly
            door.get(door.person("carol"), "/")
        assert gave_way == {door.gateway.precedence}
