"""Importing, replacing and removing a partner: changes, events and refusals."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from doorward.audit.events import EventType
from doorward.core.entities import PrincipalKind
from doorward.core.errors import ConfigurationError, DoorwardError, MalformedInput, NotFound, RequestRefused
from doorward.directory import principals as directory
from doorward.directory import removal
from doorward.partners import examining, importing
from doorward.partners.examining import examine
from doorward.partners.importing import (
    MOST_IN_EVENT,
    find_replaced,
    import_partner,
    list_partners,
    remove_partner,
)
from doorward.partners.terms import (
    GROUPS_LIMIT,
    LONGEST_REFRESH,
    LONGEST_STALENESS,
    SHORTEST_REFRESH,
    SUBTREES_LIMIT,
    Terms,
)
from doorward.stores.fact_protocols import ReportedFacts
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, ChangeKind
from doorward.stores.services import Services
from doorward.verification.identity import SanSource
from doorward.verification.import_lint import Severity
from doorward.verification.partner import RevocationMode
from tests.support.certificates.issuing import certify
from tests.support.partner_site import partner_site
from tests.support.ports import NOON
from tests.support.refusals import refused
from tests.support.world import OPERATOR, empty_world, found_world

ROOT = certify("East Root")
ISSUING = certify("East Issuing", ROOT)


def bring_in(
    world: Any, name: str = "east", *, anchors: Any = (ROOT,), others: Any = (ISSUING,), **terms: Any
) -> Any:
    """Import a partner into a world."""
    return import_partner(
        world.services,
        name,
        Terms(**terms),
        anchors=[one.der for one in anchors],
        intermediates=[one.der for one in others],
        actor=OPERATOR,
    )


# importing


def test_a_partner_is_imported_with_its_terms() -> None:
    """Terms, authorities, event and change are one transaction."""
    world = found_world()
    done = bring_in(world, groups=("clinicians",), domain="east.example", everyone=True)
    partner = done.value.partner
    assert (partner.name, partner.domain, partner.everyone) == ("east", "east.example", True)
    assert (partner.created_at, partner.removed_at) == (NOON, None)
    assert [one.anchor for one in done.value.authorities] == [True, False]
    assert done.value.authorities[1].not_after == ISSUING.parsed.not_after
    assert list_partners(world.services) == [(partner, list(done.value.authorities))]
    (event,) = world.events(EventType.PARTNER_IMPORTED)
    assert event.actor == OPERATOR
    assert event.data["anchors"] == (ROOT.parsed.sha256,)
    assert event.data["intermediates"] == (ISSUING.parsed.sha256,)
    assert (event.data["identity"], event.data["everyone"]) == ("email", True)
    assert (event.data["domain"], event.data["groups"]) == ("east.example", ("clinicians",))
    with world.work.read() as stores:
        (change,) = stores.changes.since(done.seq - 1, limit=10)
    assert (change.kind, change.subject, change.seq) == (ChangeKind.PARTNER, partner.id, done.seq)


def test_findings_are_returned_errors_first() -> None:
    """An import returns every finding; an examination changes nothing."""
    world = found_world()
    findings = examine(world.services, "east", Terms(), anchors=[ROOT.der], intermediates=[ISSUING.der])
    assert findings
    assert findings == bring_in(world).value.findings
    ranks = [list(Severity).index(one.code.severity) for one in findings]
    assert ranks == sorted(ranks)
    head = world.head()
    examine(world.services, "east", Terms(), anchors=[ROOT.der], intermediates=[])
    assert world.head() == head


def test_an_authority_of_another_partner_is_a_warning() -> None:
    """Importing an authority of another partner gives a warning."""
    world = found_world()

    def codes(name: str, services: Services = world.services) -> list[str]:
        found = examine(services, name, Terms(), anchors=[ROOT.der], intermediates=[])
        return [f"{one.code.value}: {one.text}" for one in found if "other" in one.code.value]

    assert codes("east") == []
    bring_in(world)
    assert codes("east") == []
    assert codes("west") == ["other-partner: an authority of the partner east has the same key"]
    remove_partner(world.services, "east", actor=OPERATOR)
    assert codes("west") == []


def test_errors_are_refused_with_each_finding() -> None:
    """A leaf, and an authority without a path, are both in the error; nothing is changed."""
    world = found_world()
    leaf, stray = certify("bob", ROOT, ca=False), certify("Stray", certify("Elsewhere"))
    head = world.head()
    with pytest.raises(ConfigurationError) as caught:
        bring_in(world, others=(leaf, stray))
    codes = [one.code for one in caught.value.faults]
    assert {"not-a-ca", "no-path-to-an-anchor"} <= set(codes)
    assert any(stray.parsed.sha256[:16] in one.message for one in caught.value.faults)
    assert all(one.hint for one in caught.value.faults)
    assert world.head() == head
    assert list_partners(world.services) == []


def test_our_own_authority_cannot_be_imported() -> None:
    """Our root, our issuing authority, and other certificates with their keys are refused."""
    world = found_world()
    with world.work.read() as stores:
        own = [one.der for one in stores.authorities.list() if one.kind is not AuthorityKind.OCSP_RESPONDER]
    for der in own:
        with pytest.raises(ConfigurationError) as caught:
            import_partner(world.services, "east", Terms(), anchors=[der], actor=OPERATOR)
        assert "own-authority" in [one.code for one in caught.value.faults]


@pytest.mark.parametrize(
    ("name", "error", "code"),
    [
        ("own", RequestRefused, "name-taken"),
        ("East", MalformedInput, "name-malformed"),
        ("a/b", MalformedInput, "name-malformed"),
        ("", MalformedInput, "name-malformed"),
        ("clinic", RequestRefused, "name-taken"),
    ],
)
def test_names_that_cannot_be(name: str, error: type[DoorwardError], code: str) -> None:
    """The name of our own authority, a malformed name and a name in use are refused."""
    with refused(error, code):
        bring_in(partner_site(), name)
    with refused(error, code):
        find_replaced(partner_site().services, name, replacing=False)


def test_a_taken_name_is_reported_first() -> None:
    """A taken name is reported before faults of the authorities."""
    with refused(RequestRefused, "name-taken"):
        bring_in(partner_site(), "clinic", others=(certify("Stray", certify("Elsewhere")),))


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"groups": ("No Group",)}, "name-malformed"),
        ({"groups": tuple(f"g{n}" for n in range(GROUPS_LIMIT + 1))}, "too-many-groups"),
        ({"permitted": ("dns:a.example",) * (SUBTREES_LIMIT + 1)}, "too-many-subtrees"),
        ({"allow_private": ("8.8.8.0/24",)}, "network-malformed"),
        ({"crl_urls": ("ldap://a.example/",)}, "source-malformed"),
        ({"ocsp_urls": tuple(f"http://a.example/{number}" for number in range(17))}, "too-many-sources"),
        ({"refresh": SHORTEST_REFRESH - timedelta(seconds=1)}, "refresh-malformed"),
        ({"refresh": LONGEST_REFRESH + timedelta(seconds=1)}, "refresh-malformed"),
        ({"short_lived": timedelta(minutes=59)}, "short-life-malformed"),
        ({"short_lived": timedelta(days=7, seconds=1)}, "short-life-malformed"),
        ({"max_staleness": timedelta(seconds=-1)}, "staleness-malformed"),
        ({"max_staleness": LONGEST_STALENESS + timedelta(seconds=1)}, "staleness-malformed"),
        ({"domain": "No Domain"}, "identity-domain-malformed"),
        ({"domain": "east.example", "source": SanSource.SUBJECT}, "identity-domain-malformed"),
        ({"permitted": ("nonsense",)}, "subtree-malformed"),
        ({"excluded": ("ip:300.0.0.0/8",)}, "subtree-malformed"),
    ],
)
def test_terms_that_cannot_be(terms: dict[str, Any], code: str) -> None:
    """Each limit of the terms holds, and nothing is changed."""
    world = found_world()
    with refused(MalformedInput, code):
        bring_in(world, **terms)
    assert list_partners(world.services) == []


def test_terms_at_their_limits() -> None:
    """The limits themselves are allowed."""
    Terms(refresh=SHORTEST_REFRESH, max_staleness=LONGEST_STALENESS, short_lived=timedelta(days=7))
    Terms(short_lived=timedelta(hours=1))
    Terms(refresh=LONGEST_REFRESH, groups=tuple(f"g{n}" for n in range(GROUPS_LIMIT)))


def test_an_anchor_is_needed_and_a_founding() -> None:
    """An import without an anchor, or before the founding, is refused."""
    with refused(MalformedInput, "anchor-missing"):
        bring_in(found_world(), anchors=())
    with refused(NotFound, "not-founded"):
        bring_in(empty_world())
    with pytest.raises(NotFound):
        examine(empty_world().services, "east", Terms(), anchors=[ROOT.der], intermediates=[])
    with pytest.raises(NotFound):
        find_replaced(empty_world().services, "east", replacing=False)
    with pytest.raises(MalformedInput):
        import_partner(found_world().services, "east", Terms(), anchors=[b"nothing"], actor=OPERATOR)


def test_a_thousand_authorities_fit_into_the_record() -> None:
    """The event has the first authorities, their number, and a digest over all."""
    key = ROOT.key
    many = [certify(f"Authority {n} {'x' * 40}", ROOT, key=key, serial=n + 1) for n in range(300)]
    world = found_world()
    groups = tuple(f"{n:02}{'g' * 61}" for n in range(GROUPS_LIMIT))
    bring_in(world, others=many, groups=groups)
    (event,) = world.events(EventType.PARTNER_IMPORTED)
    assert event.data["number"] == 301
    told = event.data["intermediates"]
    assert isinstance(told, tuple)
    assert len(told) == MOST_IN_EVENT
    bring_in(world, "other", others=many[1:])
    (_, other) = world.events(EventType.PARTNER_IMPORTED)
    assert other.data["sha256"] != event.data["sha256"]


def test_a_partner_that_is_trusted_at_once_is_noted() -> None:
    """A note names the applications that trust the name already."""
    site = partner_site(publish=False)
    remove_partner(site.services, "clinic", actor=OPERATOR)
    done = site.bring_in()
    assert done.value.trusting_applications == ("payments",)
    assert done.notes == ("trusted at once: `trust` of payments names clinic already",)
    assert bring_in(found_world()).notes == ()


def test_authorities_are_examined_outside_of_the_write_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow bundle is examined before the write transaction begins."""
    site = partner_site(publish=False)
    change, changing, looked = site.services.work.change, [False], 0

    @contextmanager
    def watched() -> Iterator[Stores]:
        with change() as stores:
            changing[0] = True
            try:
                yield stores
            finally:
                changing[0] = False

    def slow(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal looked
            assert not changing[0]
            looked += 1
            return work(*given, **named)

        return call

    monkeypatch.setattr(site.services.work, "change", watched)
    for module, name in (
        (examining, "lint_authorities"),
        (examining, "parse_path_certificate"),
        (importing, "build_partner_trust"),
        (importing, "parse_path_certificate"),
    ):
        monkeypatch.setattr(module, name, slow(getattr(module, name)))
    site.bring_in(replacing=True)
    remove_partner(site.services, "clinic", actor=OPERATOR)
    site.bring_in()
    assert looked >= 6
    assert len(list_partners(site.services)) == 1


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen once, while the authorities of an import are examined."""
    lint = examining.lint_authorities

    def during(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(examining, "lint_authorities", lint)
        happens()
        return lint(*given, **named)

    monkeypatch.setattr(examining, "lint_authorities", during)


def test_a_name_taken_by_a_concurrent_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two concurrent imports one is refused; the other one stays unchanged."""
    world = found_world()
    meanwhile(monkeypatch, lambda: bring_in(world, domain="first.example"))
    with refused(RequestRefused, "name-taken"):
        bring_in(world, domain="second.example")
    ((partner, authorities),) = list_partners(world.services)
    assert partner.domain == "first.example"
    assert {one.partner_id for one in authorities} == {partner.id}


def test_a_partner_that_was_removed_meanwhile_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partner that got the name since then is not replaced."""
    site = partner_site(publish=False)
    meanwhile(monkeypatch, lambda: remove_partner(site.services, "clinic", actor=OPERATOR))
    with refused(NotFound, "partner-unknown"):
        site.bring_in(replacing=True)
    site.bring_in()

    def come_anew() -> None:
        remove_partner(site.services, "clinic", actor=OPERATOR)
        site.bring_in()

    meanwhile(monkeypatch, come_anew)
    with refused(RequestRefused, "partner-changed"):
        site.bring_in(replacing=True)


@pytest.mark.parametrize("when", ["while it is asked", "while it is looked at"])
@pytest.mark.parametrize("what", ["anchor", "kind-of-authority", "term"])
def test_a_concurrent_change_is_not_replaced(what: str, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another operator changed the partner after the report, replacing is refused."""
    site, newer = partner_site(publish=False), certify("clinic Second Root")
    given: dict[str, dict[str, Any]] = {
        "anchor": {"anchors": [site.root, newer]},
        "kind-of-authority": {"anchors": [site.root, site.issuing], "intermediates": []},
        "term": {"domain": "clinic.example"},
    }
    seen, brought = find_replaced(site.services, "clinic", replacing=True), list[Any]()

    def other_brings_in() -> None:
        brought.append(site.bring_in(replacing=True, **given[what]))

    if when == "while it is asked":
        other_brings_in()
    else:
        meanwhile(monkeypatch, other_brings_in)
    with refused(RequestRefused, "partner-changed") as caught:
        import_partner(
            site.services, "clinic", Terms(), anchors=[site.root.der], replacing=seen, actor=OPERATOR
        )
    assert caught.value.hint == "repeat the command and read the new report"
    ((partner, authorities),) = list_partners(site.services)
    assert partner.domain == given[what].get("domain", "")
    assert {(one.anchor, one.sha256) for one in authorities} == {
        (one.anchor, one.sha256) for one in brought[0].value.authorities
    }


def test_an_equal_concurrent_import_is_no_change() -> None:
    """An equal import by another operator is not a change."""
    site = partner_site(publish=False)
    seen = find_replaced(site.services, "clinic", replacing=True)
    site.clock.turn(seconds=5)
    site.bring_in(replacing=True)
    done = import_partner(
        site.services, "clinic", Terms(), anchors=[site.root.der], replacing=seen, actor=OPERATOR
    )
    assert [one.sha256 for one in done.value.authorities] == [site.root.parsed.sha256]


def test_a_concurrent_change_of_our_own_authorities_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """If our own authorities changed during the import, it is refused."""
    world = found_world()
    with world.work.read() as stores:
        ours = stores.authorities.list()[0]

    def found_another() -> None:
        with world.work.change() as stores:
            stores.authorities.add(replace(ours, id=world.services.new_id("aut"), der=ROOT.der))

    meanwhile(monkeypatch, found_another)
    with pytest.raises(RequestRefused) as caught:
        bring_in(world)
    assert (caught.value.code, caught.value.hint) == ("authorities-changed", "repeat the command")
    assert list_partners(world.services) == []
    with pytest.raises(ConfigurationError) as caught:
        bring_in(world)
    assert "own-authority" in [one.code for one in caught.value.faults]


# replacing


def test_replacing_keeps_name_and_id() -> None:
    """Replacing changes terms and authorities; the partner's id stays, and the event says changed."""
    site = partner_site(publish=False)
    before, newer = site.partner, certify("clinic Issuing", site.root, key=site.issuing.key, serial=9)
    site.clock.turn(seconds=5)
    done = site.bring_in(replacing=True, intermediates=[newer], revocation=RevocationMode.OFF)
    assert site.partner == replace(before, revocation=RevocationMode.OFF)
    assert [one.sha256 for one in done.value.authorities] == [site.root.parsed.sha256, newer.parsed.sha256]
    (event,) = site.events(EventType.PARTNER_CHANGED)
    assert event.data["revocation"] == "off"
    assert event.data["intermediates"] == (newer.parsed.sha256,)
    with refused(NotFound, "partner-unknown"):
        find_replaced(site.services, "nobody", replacing=True)


def test_principals_that_stay_without_everyone_are_noted() -> None:
    """A note has the number of principals that were added automatically and stay."""
    site = partner_site(everyone=True)
    site.decide(site.leaf("bob@clinic.example"))
    (note,) = site.bring_in(replacing=True, everyone=False).notes
    assert note.startswith("new principals are not added automatically any more; 1 was added before")
    assert "doorward person remove" in note
    assert site.bring_in(replacing=True, everyone=False).notes == ()


def test_principals_named_by_the_former_rule_are_noted() -> None:
    """After a change of the identity rule a note has the number of principals with old names."""
    site = partner_site(everyone=True)
    site.decide(site.leaf("bob@clinic.example"))
    (note,) = site.bring_in(replacing=True, source=SanSource.DNS).notes
    assert note == "1 of its principals was named by the former rule and stay in the directory"


# removing


def test_a_removed_partner_takes_everything_with_it() -> None:
    """Principals, evidence, trust and facts of the inventory are removed in one transaction."""
    site = partner_site(everyone=True)
    bob = site.leaf("bob@clinic.example")
    assert site.decide(bob).principal is not None
    partner = site.partner
    with site.work.change() as stores:
        kept = stores.certificates.by_sha256(hashlib.sha256(bob.der).hexdigest())
        assert kept is not None
        assert stores.facts.report(kept.id, ReportedFacts(host_name="laptop"), NOON)
    done = remove_partner(site.services, "clinic", actor=OPERATOR)
    assert done.value == replace(partner, removed_at=NOON)
    assert done.notes[0] == "1 of its principals was removed with it"
    assert done.notes[1].startswith("`trust` of payments still names ")
    with site.work.read() as stores:
        assert stores.directory.by_name("clinic/bob@clinic.example") is None
        assert stores.evidence.list(partner.id) == []
        assert stores.partners.by_name("clinic") is None
        assert stores.facts.of([kept.id]) == {}
    (event,) = site.events(EventType.PARTNER_REMOVED)
    assert (event.data["partner"], event.data["number"]) == (partner.id, 1)
    assert site.reasons(bob)[:2] == ["certificate-well-formed", "issuer-unknown"]
    with pytest.raises(NotFound):
        remove_partner(site.services, "clinic", actor=OPERATOR)


def test_a_partner_that_no_application_trusts_is_removed_without_a_note() -> None:
    """There is no note."""
    world = found_world()
    bring_in(world)
    assert remove_partner(world.services, "east", actor=OPERATOR).notes == ()


def test_after_a_new_import_people_come_back_as_others() -> None:
    """After a new import the same people are new principals, without their old groups."""
    site = partner_site(everyone=True)
    bob = site.leaf("bob@clinic.example")
    before = site.decide(bob).principal
    assert before is not None
    directory.add_member(site.services, "tellers", before.name, actor=OPERATOR)
    remove_partner(site.services, "clinic", actor=OPERATOR)
    site.bring_in()
    site.publish()
    after = site.decide(bob).principal
    assert after is not None
    assert after.id != before.id
    assert after.groups == ("clinicians",)


def test_a_removed_person_stays_out() -> None:
    """A removed person stays out, also with another certificate."""
    site = partner_site(everyone=True)
    site.decide(site.leaf("bob@clinic.example"))
    removal.remove(site.services, "clinic/bob@clinic.example", actor=OPERATOR)
    again = site.leaf("bob@clinic.example")
    assert site.reasons(again)[-2:] == ["principal-unknown", "application-known"]


def test_a_partners_principal_is_of_the_partners_kind() -> None:
    """A principal of another kind, or of an unknown partner, is refused."""
    site = partner_site(publish=False)
    with refused(RequestRefused, "principal-kind"):
        directory.add_principal(site.services, PrincipalKind.DEVICE, "clinic/x@y.example", actor=OPERATOR)
    with refused(NotFound, "partner-unknown"):
        directory.add_principal(site.services, PrincipalKind.PERSON, "nobody/x@y.example", actor=OPERATOR)
