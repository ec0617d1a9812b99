"""Shortcuts: each makes a revision, twice is once, and two at the same time both succeed."""

from __future__ import annotations

import pytest

from doorward.access import policies, shortcuts
from doorward.core.errors import ConfigurationError, NotFound, RequestRefused
from doorward.policy.model import AppPolicy, HttpUpstream, OnRefusal, Scheme, UpstreamTls
from doorward.policy.server_certificates import OWN_CERTIFICATES
from doorward.stores.policy_snapshot import current_document
from tests.support.refusals import refused
from tests.support.world import OPERATOR, World, found_world

DOCUMENT = """\
trust_domain: corp.example
apps:
  # money
  payments:
    hosts: [payments.corp.example]
    upstream: http://127.0.0.1:9000
    rules:
      - allow: {groups: [tellers]}
"""
RULE = ["allow: {groups: [auditors]}", 'to: {methods: [GET], paths: ["/a/**"]}']


@pytest.fixture
def world() -> World:
    """A founded authority with one application."""
    made = found_world(document="")
    policies.apply_document(made.services, DOCUMENT, file="f", actor=OPERATOR)
    return made


def app(world: World, name: str = "payments") -> AppPolicy | None:
    """An application in force."""
    with world.work.read() as stores:
        return current_document(stores)[0].app(name)


def add(world: World, name: str, check: policies.Check = policies.accept_any) -> policies.ApplyResult:
    """Add an application."""
    return shortcuts.add_app(
        world.services,
        name,
        hosts=[f"{name}.corp.example"],
        upstream="http://127.0.0.1:1",
        actor=OPERATOR,
        check=check,
    )


def test_adding_twice_is_adding_once(world: World) -> None:
    """The second time nothing changes; other values are refused."""
    assert add(world, "wiki").changed
    assert not add(world, "wiki").changed


def test_an_application_is_changed_and_removed(world: World) -> None:
    """Other values stay, a second run changes nothing, and comments of other applications stay."""
    services = world.services
    assert shortcuts.set_app(services, "payments", upstream="http://127.0.0.1:7", actor=OPERATOR).changed
    assert not shortcuts.set_app(services, "payments", upstream="http://127.0.0.1:7", actor=OPERATOR).changed
    assert shortcuts.set_app(services, "payments", hosts=["p.corp.example"], actor=OPERATOR).changed
    found = app(world)
    assert found is not None
    assert (found.hosts, found.upstream.url, len(found.rules)) == (
        ("p.corp.example",),
        "http://127.0.0.1:7",
        1,
    )
    assert "# money" in policies.export_revision(services)[0]
    with pytest.raises(NotFound):
        shortcuts.set_app(services, "wiki", actor=OPERATOR)
    with pytest.raises(ConfigurationError):
        shortcuts.set_app(services, "payments", hosts=["portal.corp.example"], actor=OPERATOR)
    assert shortcuts.remove_app(services, "payments", actor=OPERATOR).changed
    assert not shortcuts.remove_app(services, "payments", actor=OPERATOR).changed
    assert app(world) is None


@pytest.mark.parametrize(
    ("given", "tls"),
    [
        ("https://records.internal:9443", UpstreamTls(ca_file="/etc/ca.pem", server_name="records")),
        ("http://127.0.0.1:7", None),
        ("unix:///run/pay.sock", None),
    ],
)
def test_another_address_is_verified_as_the_former_was(
    world: World, given: str, tls: UpstreamTls | None
) -> None:
    """RFC 9525 section 6: the TLS options stay, otherwise the system's authorities would replace the configured ones."""
    secured = "{url: https://records.internal, ca_file: /etc/ca.pem, server_name: records}"
    text = DOCUMENT.replace("http://127.0.0.1:9000", secured)
    policies.apply_document(world.services, text, file="f", actor=OPERATOR)
    assert shortcuts.set_app(world.services, "payments", upstream=given, actor=OPERATOR).changed
    found = app(world)
    assert found is not None
    assert (found.upstream.url, getattr(found.upstream, "tls", None)) == (given, tls)
    assert shortcuts.set_app(
        world.services, "payments", upstream="https://a.internal:1", actor=OPERATOR
    ).changed
    found = app(world)
    assert found is not None
    assert found.upstream == HttpUpstream(
        host="a.internal", port=1, scheme=Scheme.HTTPS, tls=tls or UpstreamTls()
    )


def test_rules_are_added_and_removed(world: World) -> None:
    """A rule without a name gets the next number; the same again is nothing; a name is taken once."""
    services = world.services
    assert shortcuts.add_rule(services, "payments", RULE, actor=OPERATOR).changed
    assert not shortcuts.add_rule(services, "payments", RULE, actor=OPERATOR).changed
    named = ["name: few", "deny: {persons: [bob]}"]
    assert shortcuts.add_rule(services, "payments", named, actor=OPERATOR).changed
    assert not shortcuts.add_rule(services, "payments", named, actor=OPERATOR).changed
    with refused(RequestRefused, "rule-exists"):
        shortcuts.add_rule(services, "payments", ["name: few", "deny: {persons: [eve]}"], actor=OPERATOR)
    found = app(world)
    assert found is not None
    assert [one.name for one in found.rules] == ["rule 1", "rule 2", "few"]
    assert shortcuts.remove_rule(services, "payments", "rule 1", actor=OPERATOR).changed
    assert not shortcuts.remove_rule(services, "payments", "rule 1", actor=OPERATOR).changed
    shortcuts.add_rule(services, "payments", ["allow: {groups: [more]}"], actor=OPERATOR)
    found = app(world)
    assert found is not None
    assert [one.name for one in found.rules] == ["rule 2", "few", "rule 3"]
    with pytest.raises(ConfigurationError):
        shortcuts.add_rule(services, "payments", ["allow: {}"], actor=OPERATOR)
    with pytest.raises(NotFound):
        shortcuts.add_rule(services, "wiki", RULE, actor=OPERATOR)


def test_an_application_of_tcp_is_added_and_changed(world: World) -> None:
    """With its protocols; a rule about requests is refused as it would be in the document."""
    services, words = world.services, {"hosts": ["q.corp.example"], "upstream": "tcp://127.0.0.1:1883"}
    for alpn, changed in (("mqtt", True), ("mqtt", False)):
        done = shortcuts.add_app(services, "q", **words, alpn=[alpn], actor=OPERATOR)  # type: ignore[arg-type]
        assert done.changed is changed
    with refused(RequestRefused, "app-exists"):
        shortcuts.add_app(services, "q", **words, actor=OPERATOR)  # type: ignore[arg-type]
    assert shortcuts.set_app(services, "q", alpn=["b", "a"], actor=OPERATOR).changed
    assert not shortcuts.set_app(services, "q", alpn=["a", "b"], actor=OPERATOR).changed
    assert shortcuts.add_rule(services, "q", ["allow: {groups: [x]}"], actor=OPERATOR).changed
    with pytest.raises(ConfigurationError) as caught:
        shortcuts.add_rule(services, "q", ["allow: {groups: [x]}", "to: {methods: [GET]}"], actor=OPERATOR)
    assert [one.code for one in caught.value.faults] == ["http-only"]
    for wrong in ({"upstream": "http://127.0.0.1:1"}, {"upstream": "unix:///run/a.sock"}):
        with refused(RequestRefused, "app-unfit") as caught:
            shortcuts.set_app(services, "q", **wrong, actor=OPERATOR)  # type: ignore[arg-type]
        assert "q would have alpn: a, b, which only TCP applications have" in str(caught.value)
        assert "--alpn ''" in caught.value.hint
    about_requests = ["allow: {groups: [x]}", "to: {methods: [GET]}"]
    assert shortcuts.add_rule(services, "payments", about_requests, actor=OPERATOR).changed
    with refused(RequestRefused, "app-unfit"):
        shortcuts.set_app(services, "payments", upstream="tcp://127.0.0.1:1", actor=OPERATOR)


def test_an_application_is_added_for_people(world: World) -> None:
    """The application answers with pages; an empty value keeps this, and another value is refused."""
    services = world.services
    words = {"hosts": ["w.corp.example"], "upstream": "http://127.0.0.1:1"}
    for on_refusal, changed in (("page", True), ("page", False), ("", False)):
        done = shortcuts.add_app(services, "w", **words, on_refusal=on_refusal, actor=OPERATOR)  # type: ignore[arg-type]
        assert done.changed is changed
    with refused(RequestRefused, "app-exists"):
        shortcuts.add_app(services, "w", **words, on_refusal="alert", actor=OPERATOR)  # type: ignore[arg-type]
    for on_refusal, changed in (("alert", True), ("alert", False), ("page", True), ("", False)):
        assert shortcuts.set_app(services, "w", on_refusal=on_refusal, actor=OPERATOR).changed is changed
    assert app(world, "w").on_refusal is OnRefusal.PAGE  # type: ignore[union-attr]
    with refused(RequestRefused, "app-unfit"):
        shortcuts.set_app(services, "w", upstream="tcp://127.0.0.1:1", actor=OPERATOR)


def test_another_authority_certifies_an_application(world: World) -> None:
    """A directory that the document names stays if the source is the same."""
    services = world.services
    for certificates, changed in (("acme", True), ("acme", False), ("", False), ("own", True)):
        done = shortcuts.set_app(services, "payments", certificates=certificates, actor=OPERATOR)
        assert done.changed is changed
    found = app(world, "payments")
    assert found is not None
    assert found.certificates == OWN_CERTIFICATES


def test_protocols_are_taken_away(world: World) -> None:
    """Protocols change alone or together with the upstream; other values stay."""
    services, tcp, http = world.services, "tcp://127.0.0.1:1883", "http://127.0.0.1:1"
    words = {"hosts": ["q.corp.example"], "upstream": tcp, "alpn": ["mqtt"]}
    shortcuts.add_app(services, "q", **words, actor=OPERATOR)  # type: ignore[arg-type]
    assert not shortcuts.set_app(services, "q", upstream=tcp, actor=OPERATOR).changed
    assert shortcuts.set_app(services, "q", alpn=[], actor=OPERATOR).changed
    assert not shortcuts.set_app(services, "q", alpn=[], actor=OPERATOR).changed
    assert shortcuts.set_app(services, "q", alpn=["mqtt"], actor=OPERATOR).changed
    assert shortcuts.set_app(services, "q", upstream=http, alpn=[], actor=OPERATOR).changed
    assert shortcuts.set_app(services, "q", upstream=tcp, alpn=["mqtt"], actor=OPERATOR).changed


def test_two_at_once_both_succeed(world: World) -> None:
    """Somebody applies between the look and the change: the shortcut looks again."""
    done = []

    def meanwhile(_document: object) -> None:
        if not done:
            done.append(add(world, "other"))

    assert add(world, "wiki", check=meanwhile).changed
    assert app(world, "other") is not None
    assert app(world, "wiki") is not None


def test_it_does_not_try_for_ever(world: World) -> None:
    """If another revision is applied during each try, the shortcut is refused in the end."""
    count = iter(range(1000))

    def always(_document: object) -> None:
        shortcuts.add_rule(
            world.services, "payments", [f"name: r{next(count)}", "deny: {groups: [x]}"], actor=OPERATOR
        )

    with refused(RequestRefused, "revision-conflict"):
        add(world, "wiki", check=always)


def test_revisions_are_listed_and_found(world: World) -> None:
    """Revisions are listed newest first; dropped applications are named; an unknown revision is refused."""
    add(world, "wiki")
    assert [one.number for one in policies.list_revisions(world.services, 10)] == [2, 1]
    assert policies.find_revision(world.services, 1).document == DOCUMENT
    assert policies.export_revision(world.services)[1] == 2
    assert policies.find_dropped(world.services, DOCUMENT, file="f") == ["wiki"]
    with refused(NotFound, "revision-unknown"):
        policies.find_revision(world.services, 9)
