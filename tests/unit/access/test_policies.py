"""The policy document and its revisions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.access import policies, shortcuts
from doorward.access.explanation import explain
from doorward.audit.events import EventType
from doorward.core.entities import Outcome, PrincipalKind, Reason
from doorward.core.errors import ConfigurationError, Fault, IntegrityError, NotFound, RequestRefused
from doorward.directory import principals as directory
from doorward.stores.policy_snapshot import current_document
from doorward.stores.records import ChangeKind
from tests.support import records
from tests.support.refusals import refused
from tests.support.world import DOCUMENT, OPERATOR, TRUST_DOMAIN, empty_world, found_world


@pytest.fixture
def world():
    """A founded authority."""
    return found_world(document="")


def apply(world, text=DOCUMENT, **options):
    """Apply a document."""
    return policies.apply_document(world.services, text, file="apps.yaml", actor=OPERATOR, **options)


def trust_clinic(world):
    """Trust a partner; all its people are in the group `clinicians`."""
    with world.work.change() as stores:
        stores.partners.add(records.partner("clinic"))


def ids(world):
    """The applications' ids by name."""
    with world.work.read() as stores:
        return {one.name: one.id for one in stores.applications.list()}


def test_first_document_is_revision_one(world):
    """Applying stores the text, gives every application an id, and is events and changes."""
    done = apply(world)
    assert (done.revision.number, done.changed, done.seq) == (1, True, world.head())
    assert done.revision.document == DOCUMENT
    assert done.differences
    assert set(ids(world)) == {"payments", "sensors"}
    event = world.events(EventType.POLICY_APPLIED)[-1]
    assert dict(event.data) == {
        "revision": 1, "sha256": done.revision.sha256, "applications": 2, "rules_count": 3,
    }  # fmt: skip
    created = world.events(EventType.APPLICATION_CREATED)
    assert [one.data["name"] for one in created] == ["payments", "sensors"]
    with world.work.read() as stores:
        assert stores.changes.since(done.seq - 1)[0].kind is ChangeKind.POLICY


def test_same_meaning_makes_no_revision(world):
    """Applying a document with the meaning of the one in force changes nothing, even with another text."""
    first = apply(world)
    before = world.work.events
    again = apply(world, "# a comment\n" + DOCUMENT)
    assert (again.changed, again.revision, again.seq) == (False, first.revision, first.seq)
    assert again.differences == ()
    assert world.work.events == before


def test_empty_document_can_be_the_first(world):
    """The first document makes revision 1, even if it allows nothing."""
    done = apply(world, f"trust_domain: {TRUST_DOMAIN}\napps: {{}}\n")
    assert (done.changed, done.revision.number) == (True, 1)


def test_ids_outlive_edits_and_not_removal(world):
    """An application keeps its id by its name; a name that comes back is another application."""
    apply(world)
    first = ids(world)
    apply(world, DOCUMENT.replace("127.0.0.1:9000", "127.0.0.1:9999"))
    assert ids(world) == first
    without = DOCUMENT.partition("  sensors:")[0]
    apply(world, without)
    assert ids(world) == {"payments": first["payments"]}
    assert world.events(EventType.APPLICATION_REMOVED)[-1].data["application"] == first["sensors"]
    apply(world)
    assert ids(world)["payments"] == first["payments"]
    assert ids(world)["sensors"] != first["sensors"]


def test_expected_number_guards_against_overwriting(world):
    """A change of an old revision is refused, and nothing changes."""
    apply(world, expected_number=0)
    with refused(RequestRefused, "revision-conflict") as refusal:
        apply(world, DOCUMENT.replace("GET", "PUT"), expected_number=0)
    assert "revision 1" in refusal.value.detail
    assert apply(world, DOCUMENT.replace("GET", "PUT"), expected_number=1).revision.number == 2


def test_unreadable_document_changes_nothing(world):
    """Faults are raised before anything is stored."""
    apply(world)
    before = world.head()
    with pytest.raises(ConfigurationError):
        apply(world, "apps: [")
    assert world.head() == before


def test_what_cannot_be_enforced_is_not_stored(world):
    """A check of the caller's refuses before anything is stored, for every way to change the document."""

    def refuse(document):
        assert document.apps
        raise ConfigurationError([Fault(code="upstream-own", message="it is the door")])

    before = world.head()
    for use_case in (
        lambda: policies.apply_document(world.services, DOCUMENT, file="f", actor=OPERATOR, check=refuse),
        lambda: policies.check_document(world.services, DOCUMENT, file="f", check=refuse),
        lambda: shortcuts.add_app(
            world.services, "more", hosts=["m.corp.example"], upstream="http://127.0.0.1:1", actor=OPERATOR,
            check=refuse,
        ),
    ):  # fmt: skip
        with refused(ConfigurationError, "upstream-own"):
            use_case()
    assert world.head() == before


FOREIGN = DOCUMENT.replace("trust_domain: corp.example", "trust_domain: other.example")
OWN_HOST = DOCUMENT.replace("payments.corp.example", "enroll.corp.example")


OWN_NAME = DOCUMENT.replace("  payments:", "  portal:")


@pytest.mark.parametrize(
    ("text", "code"),
    [(FOREIGN, "trust-domain-other"), (OWN_HOST, "host-reserved"), (OWN_NAME, "name-reserved")],
)
def test_foreign_trust_domain_and_own_hosts_are_faults(world, text, code):
    """A document for another trust domain is refused, and so is a host or a name that belongs to Doorward, for every caller."""
    for use_case in (apply, lambda w, t: policies.check_document(w.services, t, file="apps.yaml"),
                     lambda w, t: policies.diff_document(w.services, t, file="apps.yaml")):  # fmt: skip
        with pytest.raises(ConfigurationError) as refusal:
            use_case(world, text)
        assert [fault.code for fault in refusal.value.faults] == [code]
        assert {fault.file for fault in refusal.value.faults} == {"apps.yaml"}


def test_difference_is_told_and_nothing_done(world):
    """`diff` says what `apply` would change, and changes nothing."""
    apply(world)
    before = world.head()
    assert policies.diff_document(world.services, DOCUMENT, file="apps.yaml") == ()
    assert policies.diff_document(world.services, DOCUMENT.replace("GET", "PUT"), file="apps.yaml")
    assert world.head() == before


def test_unknown_names_are_findings(world):
    """A group without members may be a typing error: it is a finding, not a fault."""
    text = DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [telers]}")
    assert any("telers" in str(one) for one in apply(world, text).findings)
    assert any("telers" in str(one) for one in policies.check_document(world.services, text, file="a.yaml"))


def test_only_unused_names_are_findings(world):
    """A person of the directory gives no finding; a device's name in `persons` gives one."""
    text = DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {persons: [alice, sensor-1]}")
    found = [str(one) for one in policies.check_document(world.services, text, file="a.yaml")]
    assert any("sensor-1" in one for one in found)
    assert not any("alice" in one for one in found)


def test_a_partners_group_is_no_finding(world):
    """A group of a partner's terms is known, even if the directory has no member of it."""
    text = DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [clinicians]}")
    assert any(
        "clinicians" in str(one) for one in policies.check_document(world.services, text, file="a.yaml")
    )
    trust_clinic(world)
    found = policies.check_document(world.services, text, file="a.yaml")
    assert not any("clinicians" in str(one) for one in found)


def test_export_is_what_was_applied(world):
    """The text comes back as it was, comments and all; before the first there is an empty document."""
    empty = policies.export_revision(world.services)[0]
    apply(world, empty)
    text = "# ours\n" + DOCUMENT
    apply(world, text)
    assert policies.export_revision(world.services)[0] == text


def test_stored_document_that_cannot_be_read_stops_everything(world):
    """Stored documents were checked: if one cannot be parsed any more, every use case stops."""
    revision = apply(world).revision
    with world.work.change() as stores:
        stores.revisions.add(replace(revision, number=2, document="apps: ["))
    with world.work.read() as stores, refused(IntegrityError, "revision-unreadable"):
        current_document(stores)


def test_app_is_added_without_rules(world):
    """The shortcut makes a revision of the same document; the new application refuses every request."""
    apply(world)
    done = shortcuts.add_app(
        world.services, "wiki", hosts=["wiki.corp.example"], upstream="http://127.0.0.1:9002", actor=OPERATOR
    )
    assert (done.revision.number, done.changed) == (2, True)
    assert set(ids(world)) == {"payments", "sensors", "wiki"}
    with world.work.read() as stores:
        document, _ = current_document(stores)
    assert document.app("wiki").rules == ()
    assert document.app("wiki").hosts == ("wiki.corp.example",)


def test_app_can_be_the_first(world):
    """The shortcut works before any document was applied."""
    done = shortcuts.add_app(
        world.services, "wiki", hosts=["wiki.corp.example"], upstream="http://127.0.0.1:9002", actor=OPERATOR
    )
    assert done.revision.number == 1


def test_app_is_added_once(world):
    """A name that is there is not touched."""
    apply(world)
    with refused(RequestRefused, "app-exists"):
        shortcuts.add_app(
            world.services, "payments", hosts=["x.example"], upstream="http://127.0.0.1:1", actor=OPERATOR
        )


@pytest.mark.parametrize(
    "change",
    [
        {"hosts": ["payments.corp.example"]},
        {"hosts": ["portal.corp.example"]},
        {"hosts": []},
        {"upstream": "ftp://x"},
    ],
)
def test_app_with_faults_is_refused(world, change):
    """A host that is taken or ours, no host, and an upstream that is none are refused."""
    apply(world)
    arguments = {"hosts": ["wiki.corp.example"], "upstream": "http://127.0.0.1:9002", **change}
    with pytest.raises(ConfigurationError):
        shortcuts.add_app(world.services, "wiki", actor=OPERATOR, **arguments)
    assert set(ids(world)) == {"payments", "sensors"}


def test_explain_judges_by_what_is_in_force(world):
    """An explanation is the judge's own answer for that person, application and request."""
    apply(world)

    def ask(name, path):
        asked = {"principal": name, "app": "payments", "method": "GET", "path": path}
        return explain(world.services, **asked).decision

    good = ask("alice", "/accounts/7")
    assert (good.outcome, good.reasons[-1]) == (Outcome.GOOD, Reason.RULE_ALLOWS)
    assert ask("bob", "/accounts/reports/7").reasons[-1] is Reason.RULE_DENIES
    assert ask("carol", "/accounts/7").reasons[-1] is Reason.NO_RULE_MATCHED
    directory.suspend(world.services, "alice", actor=OPERATOR)
    assert ask("alice", "/accounts/7").reasons == (Reason.PRINCIPAL_SUSPENDED,)


def test_explain_counts_a_partners_groups(world):
    """The groups of a partner's terms count in an explanation as they do at the door."""
    trust_clinic(world)
    name = "clinic/bob@clinic.example"
    directory.add_principal(world.services, PrincipalKind.PERSON, name, actor=OPERATOR)
    text = DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [clinicians]}")
    apply(world, text.replace("  payments:\n", "  payments:\n    trust: [own, clinic]\n", 1))
    asked = {"principal": name, "app": "payments", "method": "GET", "path": "/accounts/7"}
    assert explain(world.services, **asked).decision.reasons[-1] is Reason.RULE_ALLOWS
    apply(world, text)
    assert explain(world.services, **asked).decision.reasons[-1] is Reason.AUTHORITY_NOT_TRUSTED


def test_explain_knows_what_is_open_to_everybody(world):
    """Without a principal it judges a connection without a good certificate."""
    apply(world)
    asked = {"principal": None, "app": "payments", "method": "GET"}
    assert explain(world.services, **asked, path="/share/x").decision.reasons == (
        Reason.ANONYMOUS,
        Reason.NO_RULE_MATCHED,
    )
    apply(world, DOCUMENT.replace("    rules:", "    public: [/share/**]\n    rules:", 1))
    assert explain(world.services, **asked, path="/share/x").decision.outcome is Outcome.GOOD
    assert explain(world.services, **asked, path="/x").decision.outcome is Outcome.BAD


def test_explain_needs_known_names(world):
    """An unknown principal and an unknown application are refused with their names."""
    apply(world)
    with refused(NotFound, "principal-unknown"):
        explain(world.services, principal="nobody", app="payments", method="GET", path="/")
    with refused(NotFound, "app-unknown"):
        explain(world.services, principal="alice", app="wiki", method="GET", path="/")


def test_nothing_before_the_founding():
    """There is no document before there is an authority."""
    services = empty_world().services
    for use_case in (
        lambda: policies.apply_document(services, DOCUMENT, file="x", actor=OPERATOR),
        lambda: policies.export_revision(services)[0],
        lambda: policies.diff_document(services, DOCUMENT, file="x"),
        lambda: policies.check_document(services, DOCUMENT, file="x"),
        lambda: shortcuts.add_app(
            services, "a", hosts=["a.example"], upstream="http://127.0.0.1:1", actor=OPERATOR
        ),
        lambda: explain(services, principal="a", app="a", method="GET", path="/"),
    ):
        with refused(NotFound, "not-founded"):
            use_case()
