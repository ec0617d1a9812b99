"""policy.open_access: reading, rendering and comparing `public` and `cors`."""

from __future__ import annotations

import pytest

from doorward.core.entities import Outcome, PrincipalState, Reason
from doorward.core.errors import ConfigurationError
from doorward.policy.analysis import diff_documents
from doorward.policy.decision import (
    Request,
    anonymous_permissions,
    check_admission,
    decide,
    decide_anonymous,
    loses_permissions,
    permissions_of,
)
from doorward.policy.document import parse_document, render_document
from doorward.policy.model import AppPolicy, Document
from doorward.policy.normalisation import NormalisedPath
from doorward.policy.subject import Subject
from tests.support import records
from tests.support.grants import decide_by_grants

BEGIN = """\
trust_domain: corp.example
apps:
  wiki:
    hosts: [wiki.corp.example]
    upstream: http://127.0.0.1:9000
"""
OPENED = (
    BEGIN
    + """\
    public: ["/share/**", "/logo"]
    cors: {origins: ["https://b.example", "https://a.example:8443"]}
    rules:
      - {name: staff, allow: {groups: [staff]}}
      - {name: quiet, deny: {groups: [interns]}, to: {paths: ["/secret/**"]}}
"""
)


def app_of(text: str) -> AppPolicy:
    """The application of a document."""
    return parse_document(text).apps[0]


def faults_of(tail: str) -> list[tuple[str, int, str]]:
    """Return code, line and key of each fault after the line of the upstream."""
    with pytest.raises(ConfigurationError) as caught:
        parse_document(BEGIN + tail)
    return [(fault.code, fault.line, fault.key) for fault in caught.value.faults]


def person(*groups: str, state: PrincipalState = PrincipalState.ACTIVE) -> Subject:
    """Alice in these groups."""
    who = records.principal("alice", tenant="ten_1", id="per_1", state=state, groups=groups)
    return Subject(principal=who)


def test_both_keys_are_read_in_one_order_and_rendered_again() -> None:
    """Sets are sorted; the canonical document means the same."""
    app = app_of(OPENED)
    assert [one.text for one in app.public] == ["/logo", "/share/**"]
    assert app.origins == ("https://a.example:8443", "https://b.example")
    assert app.admits_anonymous
    text = render_document(parse_document(OPENED))
    assert parse_document(text) == parse_document(OPENED)
    assert '    public: ["/logo", "/share/**"]\n' in text
    assert '    cors: {origins: ["https://a.example:8443", "https://b.example"]}\n' in text


def test_without_public_paths_no_subject_is_anonymous() -> None:
    """An application with neither key admits no connection without a certificate."""
    app = app_of(BEGIN)
    assert not app.admits_anonymous
    assert not app.public
    assert not app.origins
    assert anonymous_permissions(app).allowed == frozenset()


@pytest.mark.parametrize(
    ("tail", "found"),
    [
        ("    public: []\n", [("wrong-type", 6, "apps.wiki.public")]),
        ("    public: [share]\n", [("path-pattern", 6, "apps.wiki.public")]),
        ("    public: ['/of/{principal}']\n", [("public-principal", 6, "apps.wiki.public")]),
        ("    cors: {}\n", [("missing-key", 6, "apps.wiki.cors")]),
        (
            "    cors: {origin: [https://a.b]}\n",
            [
                ("missing-key", 6, "apps.wiki.cors"),
                ("unknown-key", 6, "apps.wiki.cors.origin"),
            ],
        ),
        (
            "    cors: {origins: ['*', 'null']}\n",
            [
                ("origin-malformed", 6, "apps.wiki.cors.origins"),
                ("origin-malformed", 6, "apps.wiki.cors.origins"),
            ],
        ),
        ("    cors: {origins: []}\n", [("wrong-type", 6, "apps.wiki.cors.origins")]),
        (
            "    public: ['/share/**', '/x']\n    rules:\n      - {deny: {groups: [a]}, to: {paths: ['/*/secret']}}\n",
            [("public-denied", 6, "apps.wiki.public")],
        ),
        (
            "    public: [/share/a]\n    rules:\n      - {deny: {kind: person}, to: {methods: [PUT]}}\n",
            [("public-denied", 6, "apps.wiki.public")],
        ),
    ],
)
def test_what_is_wrong_is_told_at_its_place(tail: str, found: list[tuple[str, int, str]]) -> None:
    """A public path that a deny covers in any part is a fault: the denied leave the certificate out."""
    assert sorted(faults_of(tail)) == sorted(found)


@pytest.mark.parametrize(("most", "code"), [(100, ""), (101, "opening-too-long")])
def test_both_lists_are_bounded(most: int, code: str) -> None:
    """Envoy tries them one by one for each request."""
    paths = ", ".join(f"/p{at}" for at in range(most))
    origins = ", ".join(f"'https://o{at}.example'" for at in range(most))
    tail = f"    public: [{paths}]\n    cors: {{origins: [{origins}]}}\n"
    if not code:
        assert len(app_of(BEGIN + tail).public) == len(app_of(BEGIN + tail).origins) == most
    else:
        assert [one[0] for one in faults_of(tail)] == [code, code]


def test_such_an_application_cannot_be_made_otherwise() -> None:
    """The value refuses a denied public path, as the reader does."""
    app = app_of(OPENED)
    with pytest.raises(ValueError, match="public"):
        AppPolicy(
            name="x",
            hosts=("x.test",),
            upstream=app.upstream,
            rules=app.rules,
            public=(*app.public, app_of(BEGIN + "    public: ['/secret/x']\n").public[0]),
        )


def test_diff_shows_what_becomes_public() -> None:
    """Each path that opens or closes is a line of its own."""
    before, after = parse_document(BEGIN), parse_document(OPENED)
    lines = [str(one) for one in diff_documents(before, after)]
    assert "+ apps.wiki.public /share/**: everybody, also without a certificate" in lines
    assert "+ apps.wiki.public /logo: everybody, also without a certificate" in lines
    assert "+ apps.wiki.cors.origins: https://a.example:8443, https://b.example" in lines
    back = [str(one) for one in diff_documents(after, before)]
    assert "- apps.wiki.public /share/**: everybody, also without a certificate" in back


APP = app_of(OPENED)


@pytest.mark.parametrize(
    ("method", "path", "outcome", "reason"),
    [
        ("GET", "/share/x", Outcome.GOOD, Reason.PUBLIC_PATH),
        ("DELETE", "/share", Outcome.GOOD, Reason.PUBLIC_PATH),
        ("GET", "/logo/", Outcome.GOOD, Reason.PUBLIC_PATH),
        ("GET", "/share/../logo", Outcome.GOOD, Reason.PUBLIC_PATH),
        ("GET", "/share/../x", Outcome.BAD, Reason.NO_RULE_MATCHED),
        ("GET", "/shared", Outcome.BAD, Reason.NO_RULE_MATCHED),
        ("GET", "/Share/x", Outcome.BAD, Reason.NO_RULE_MATCHED),
        ("GET", "/share%2fx", Outcome.BAD, Reason.PATH_AMBIGUOUS),
        ("get", "/share/x", Outcome.BAD, Reason.METHOD_AMBIGUOUS),
        ("get", "/share%2fx", Outcome.BAD, Reason.METHOD_AMBIGUOUS),
    ],
)
def test_an_anonymous_connection_reaches_just_what_is_public(
    method: str, path: str, outcome: Outcome, reason: Reason
) -> None:
    """Every method of a public path, by the path language of rules."""
    request = Request(method=method, raw_path=path)
    decision = decide_anonymous(APP, request)
    assert (decision.outcome, decision.reasons) == (outcome, (Reason.ANONYMOUS, reason))
    assert [one.rule for one in decision.findings] == ["staff", "quiet"]
    assert not any(one.holds or one.selected for one in decision.findings)
    assert decide_by_grants(APP, "ten_1", "app_1", (), request) is outcome


@pytest.mark.parametrize(
    "who", [person("staff"), person("interns"), person("staff", state=PrincipalState.SUSPENDED)]
)
def test_public_paths_are_open_to_every_certificate(who: Subject) -> None:
    """Otherwise one would get further by leaving it out."""
    decision = decide(APP, "ten_1", "app_1", who, Request(method="GET", raw_path="/share/x"))
    assert decision.outcome is Outcome.GOOD
    assert decision.reasons[-1] is Reason.PUBLIC_PATH


def test_a_person_without_a_rule_is_known_at_public_paths() -> None:
    """The connection is admitted for the public paths."""
    permissions = permissions_of(APP, "ten_1", "app_1", person("nobody"))
    assert check_admission(permissions).outcome is Outcome.GOOD
    assert not any(one.startswith("g") for one in permissions.grants)


def test_a_path_that_closes_is_a_loss_and_one_that_opens_is_none() -> None:
    """So live anonymous connections end when something closes, and only then."""
    narrower = app_of(BEGIN + "    public: [/logo]\n")
    wide, narrow = anonymous_permissions(APP), anonymous_permissions(narrower)
    assert loses_permissions(wide, narrow)
    assert not loses_permissions(narrow, wide)


def test_public_is_asked_of_the_normalised_path() -> None:
    """The path language is that of rules."""
    assert APP.is_public(NormalisedPath("/share/a/b", ("share", "a", "b")))
    assert not APP.is_public(NormalisedPath("/", ()))
    assert Document(trust_domain="corp.example", apps=(APP,)).app("wiki") is APP
