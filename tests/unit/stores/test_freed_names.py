"""A name that was freed gives its next holder no rule, no certificate and no link."""

from __future__ import annotations

import pytest

from doorward.access.policies import apply_document, export_revision
from doorward.audit.events import EventType
from doorward.core.certificate import CertificateState
from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.directory import groups, nesting, removal
from doorward.directory import principals as directory
from doorward.directory.inviting import invite
from doorward.enrolment.invitation import redeem
from doorward.partners.importing import remove_partner
from tests.support.certificates.issuing import certify
from tests.support.partner_site import hearing, partner_site
from tests.support.refusals import refused
from tests.support.world import DOCUMENT as PLAIN
from tests.support.world import OPERATOR, World, found_world

PERSON = PrincipalKind.PERSON
DOCUMENT = """\
trust_domain: corp.example
apps:
  payments:
    hosts: [payments.corp.example]
    upstream: http://127.0.0.1:9000
    rules:
      - name: alice pays
        allow: {persons: [alice]}
      - name: tellers
        allow: {groups: [tellers]}
"""


@pytest.fixture
def world() -> World:
    """A founded authority with a document that names alice and the tellers."""
    return found_world(document=DOCUMENT)


def add(world: World, name: str = "alice", **options: bool) -> None:
    """Add a person."""
    directory.add_principal(world.services, PERSON, name, actor=OPERATOR, **options)  # type: ignore[arg-type]


def test_a_removed_persons_name_is_kept_from_the_next_while_rules_name_it(world: World) -> None:
    """A removal lists the rules; a second alice needs `keep_rules` or another document."""
    done = removal.remove(world.services, "alice", actor=OPERATOR)
    assert any("payments: alice pays" in note for note in done.notes)
    with refused(RequestRefused, "name-in-rules") as caught:
        add(world)
    assert "payments: alice pays" in caught.value.detail
    assert "--keep-rules" in caught.value.hint
    directory.add_principal(
        world.services, PrincipalKind.DEVICE, "alice", actor=OPERATOR
    )  # rules say persons
    removal.remove(world.services, "alice", actor=OPERATOR)
    text = DOCUMENT.replace("persons: [alice]", "persons: [bob]")
    apply_document(world.services, text, file="f", actor=OPERATOR)
    add(world)
    assert removal.remove(world.services, "alice", actor=OPERATOR).notes == ()


def test_the_rules_apply_to_the_next_holder_with_keep_rules(world: World) -> None:
    """A name that was never used needs no option."""
    removal.remove(world.services, "alice", actor=OPERATOR)
    add(world, keep_rules=True)
    assert world.principal("alice").name == "alice"
    text = DOCUMENT.replace("persons: [alice]", "persons: [newcomer]")
    apply_document(world.services, text, file="f", actor=OPERATOR)
    add(world, "newcomer")
    assert world.principal("newcomer").name == "newcomer"


def test_a_renamed_person_leaves_certificates_links_and_rules_behind(world: World) -> None:
    """A renamed person is a new identity and keeps only groups and screen name."""
    held = world.issue("alice")
    link = invite(world.services, "alice", actor=OPERATOR)
    before = world.principal("alice")
    done = removal.rename(world.services, "alice", "alicia", actor=OPERATOR)
    assert done.value.groups == before.groups
    assert done.value.id != before.id
    assert any("alice pays" in note for note in done.notes)
    with world.work.read() as stores:
        record = stores.certificates.get(held.record.id)
        assert record is not None
        assert record.state is CertificateState.REVOKED
        assert record.principal_id == before.id
    with pytest.raises(RequestRefused):
        redeem(world.services, link.token, world.csr())
    assert world.events(EventType.PRINCIPAL_REMOVED)[-1].data["reason"] == "renamed"
    with pytest.raises(NotFound):
        world.principal("alice")
    with refused(RequestRefused, "name-in-rules"):
        add(world)


def test_no_freed_name_is_reached_by_renaming(world: World) -> None:
    """Renaming to a freed name follows the same rule as adding."""
    removal.remove(world.services, "alice", actor=OPERATOR)
    with refused(RequestRefused, "name-in-rules"):
        removal.rename(world.services, "bob", "alice", actor=OPERATOR)
    removal.rename(world.services, "bob", "alice", keep_rules=True, actor=OPERATOR)
    assert world.principal("alice").name == "alice"


def test_renaming_refuses_the_same_names_as_adding(world: World) -> None:
    """A taken name and a malformed name are refused; the same name changes nothing."""
    with refused(RequestRefused, "name-taken"):
        removal.rename(world.services, "alice", "bob", actor=OPERATOR)
    with pytest.raises(MalformedInput):
        removal.rename(world.services, "alice", "Not A Name", actor=OPERATOR)
    head = world.head()
    assert removal.rename(world.services, "alice", "alice", actor=OPERATOR).notes
    assert world.head() == head


def test_a_group_that_is_named_is_not_removed(world: World) -> None:
    """Otherwise the next group with this name would get the rule's access."""
    with refused(RequestRefused, "group-in-use") as caught:
        groups.remove_group(world.services, "tellers", actor=OPERATOR)
    assert "payments: tellers" in caught.value.detail


def test_a_group_that_must_have_factors_is_not_removed(world: World) -> None:
    """Otherwise its members would need no factors any more, without a revision."""
    directory.add_member(world.services, "reviewers", "alice", actor=OPERATOR)
    text, _ = export_revision(world.services)
    apply_document(world.services, f"{text}factors: {{reviewers: [webauthn]}}\n", file="f", actor=OPERATOR)
    with pytest.raises(RequestRefused) as caught:
        groups.remove_group(world.services, "reviewers", actor=OPERATOR)
    assert "`factors` of reviewers" in caught.value.detail


def test_a_removed_group_loses_its_members(world: World) -> None:
    """A removed group loses its members; removing it twice changes nothing."""
    directory.add_member(world.services, "reviewers", "alice", actor=OPERATOR)
    assert [one.name for one in nesting.show_group(world.services, "reviewers").members] == ["alice"]
    groups.remove_group(world.services, "reviewers", actor=OPERATOR)
    assert world.events(EventType.GROUP_REMOVED)[-1].data["group_name"] == "reviewers"
    assert "reviewers" not in world.principal("alice").groups
    with pytest.raises(NotFound):
        nesting.show_group(world.services, "reviewers")
    head = world.head()
    assert groups.remove_group(world.services, "reviewers", actor=OPERATOR).notes
    assert world.head() == head
    directory.create_group(world.services, "reviewers", actor=OPERATOR)
    assert nesting.show_group(world.services, "reviewers").members == ()


def test_adding_an_equal_person_changes_nothing(world: World) -> None:
    """A person with other attributes and the same name is refused."""
    add(world, "erin")
    head = world.head()
    assert directory.add_principal(world.services, PERSON, "erin", actor=OPERATOR).notes
    assert world.head() == head
    for options in ({"display_name": "Another Erin"}, {"groups": ["tellers"]}):
        with refused(RequestRefused, "name-taken"):
            directory.add_principal(world.services, PERSON, "erin", actor=OPERATOR, **options)  # type: ignore[arg-type]


def test_the_name_on_screens_is_changed(world: World) -> None:
    """The change is an event; the same name again gives a note."""
    directory.set_display_name(world.services, "alice", "Alice B.", actor=OPERATOR)
    assert world.principal("alice").display_name == "Alice B."
    assert dict(world.events(EventType.PRINCIPAL_CHANGED)[-1].personal)["display_name"] == "Alice B."
    assert directory.set_display_name(world.services, "alice", "Alice B.", actor=OPERATOR).notes
    assert not removal.was_removed(world.services, "alice")
    removal.remove(world.services, "alice", actor=OPERATOR)
    assert removal.was_removed(world.services, "alice")


@pytest.mark.parametrize("still", ["trust", "rule"])
def test_another_partner_of_a_freed_name_inherits_nothing(still: str) -> None:
    """Rules for a removed partner do not apply to another partner with its name."""
    site = partner_site(publish=False)
    other = certify("Other Root")
    if still == "rule":
        named = hearing("own").replace("{groups: [clinicians]}", "{persons: [clinic/bob@clinic.example]}")
        apply_document(site.services, named, file="f", actor=OPERATOR)
    remove_partner(site.services, "clinic", actor=OPERATOR)
    with refused(RequestRefused, "name-in-rules") as caught:
        site.bring_in(anchors=[other], intermediates=[])
    assert ("`trust` of payments" if still == "trust" else "payments: guests") in caught.value.detail
    assert site.bring_in().value.partner.name == "clinic"  # the same anchors are the same partner
    remove_partner(site.services, "clinic", actor=OPERATOR)
    apply_document(site.services, PLAIN, file="f", actor=OPERATOR)
    assert site.bring_in(anchors=[other], intermediates=[]).notes == ()
