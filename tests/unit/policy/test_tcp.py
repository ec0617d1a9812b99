"""TCP applications in a document: their keys, faults with their places, and decisions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.core.entities import Outcome, PrincipalState, Reason
from doorward.core.errors import ConfigurationError
from doorward.policy.analysis import diff_documents, lint_document
from doorward.policy.decision import (
    check_admission,
    decide_connection,
    loses_permissions,
    permissions_of,
    refuse_anonymous,
)
from doorward.policy.document import append_app, parse_document, render_document
from doorward.policy.model import AppPolicy, HttpUpstream, TcpUpstream
from doorward.policy.subject import Subject
from tests.support import records
from tests.support.policies import APP_ID, TENANT

HEAD = "trust_domain: corp.example\napps:\n  db:\n    hosts: [db.corp.example]\n"
DB = HEAD + "    upstream: tcp://127.0.0.1:5432\n"
RULES = DB + "    rules:\n"


def subject_of(name: str, *groups: str) -> Subject:
    """Return who connects: an active person."""
    return Subject(principal=records.principal(name, id="per_1", groups=frozenset(groups)))


def app_of(text: str) -> AppPolicy:
    """Return the one application of a document."""
    (app,) = parse_document(text).apps
    return app


def faults_of(text: str) -> list[tuple[str, int, int, str]]:
    """Return code, line, column and key of each fault; each has a hint."""
    with pytest.raises(ConfigurationError) as caught:
        parse_document(text)
    assert all(one.hint for one in caught.value.faults)
    return [(one.code, one.line, one.column, one.key) for one in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (DB + "    public: [/a]\n", [("http-only", 6, 13, "apps.db.public")]),
        (
            DB + "    cors: {origins: [https://a.example]}\n",
            [("http-only", 6, 11, "apps.db.cors")],
        ),
        (DB + "    headers: {destination: judge}\n", [("http-only", 6, 14, "apps.db.headers")]),
        (DB + "    paths: {encoded_slash: keep}\n", [("http-only", 6, 12, "apps.db.paths")]),
        (DB + "    limits: {headers: 1}\n", [("http-only", 6, 13, "apps.db.limits")]),
        (DB + "    on_refusal: page\n", [("http-only", 6, 17, "apps.db.on_refusal")]),
        (
            RULES + "      - {allow: {kind: person}, to: {methods: [GET]}}\n",
            [("http-only", 7, 37, "apps.db.rules[0].to")],
        ),
        (
            HEAD + "    upstream: http://127.0.0.1:1\n    alpn: [mqtt]\n",
            [("tcp-only", 6, 11, "apps.db.alpn")],
        ),
        (DB + "    alpn: [h2]\n", [("alpn-of-browsers", 6, 12, "apps.db.alpn")]),
        (DB + "    alpn: [HTTP/1.0, x]\n", [("alpn-of-browsers", 6, 12, "apps.db.alpn")]),
        (DB + "    alpn: ['a b']\n", [("alpn-malformed", 6, 12, "apps.db.alpn")]),
        (DB + '    alpn: ["a\'"]\n', [("alpn-malformed", 6, 12, "apps.db.alpn")]),
        (DB + "    alpn: [" + "a" * 65 + "]\n", [("alpn-malformed", 6, 12, "apps.db.alpn")]),
        (
            DB + f"    alpn: [{', '.join(f'a{number}' for number in range(17))}]\n",
            [("alpn-malformed", 6, 11, "apps.db.alpn")],
        ),
    ],
)
def test_what_is_about_requests_is_refused_where_it_stands(
    text: str, faults: list[tuple[str, int, int, str]]
) -> None:
    """Faults have line, column and hint: a rule with an ignored condition would admit other people."""
    assert faults_of(text) == faults


@pytest.mark.parametrize(
    "name",
    [
        *("h2", "h2c", "h2-14", "h3", "h3-29", "http/0.9", "http/1.0", "http/1.1", "hq", "hq-29", "spdy/3"),
        *("webrtc", "c-webrtc", "acme-tls/1", "H2"),
    ],
)
def test_no_protocol_of_browsers_can_be_offered(name: str) -> None:
    """Pages of any site make browsers offer these; `acme-tls/1` would give out certificates for the host (RFC 8737)."""
    assert [code for code, *_ in faults_of(f"{DB}    alpn: ['{name}']\n")] == ["alpn-of-browsers"]


@pytest.mark.parametrize("name", ["mqtt", "postgresql", "radius/1.1", "xmpp-client", "x.y_z+1", "http2"])
def test_other_protocols_can(name: str) -> None:
    """IANA's names, and those that somebody made up."""
    assert app_of(f"{DB}    alpn: {name}\n").alpn == (name,)


def test_a_whole_application_comes_back_from_its_rendering() -> None:
    """The canonical document says the same; protocols are sorted."""
    text = DB + "    alpn: [b, a]\n    timeouts: {idle: 2h}\n    rules:\n      - {deny: {groups: [x]}}\n"
    document = parse_document(text)
    assert document.apps[0].alpn == ("a", "b")
    assert document.apps[0].is_tcp
    assert parse_document(render_document(document)) == document
    assert "    alpn: [a, b]\n" in render_document(document)
    socket = parse_document(DB.replace("tcp://127.0.0.1:5432", "tcp+unix:///run/.s.PGSQL.5432"))
    assert parse_document(render_document(socket)) == socket


def test_an_application_is_appended_with_its_protocols() -> None:
    """As `doorward app add --alpn` does it."""
    text = append_app(
        "trust_domain: a.b\n", "q", hosts=["q.a.b"], upstream="tcp://127.0.0.1:1883", alpn=("mqtt",)
    )
    assert app_of(text) == AppPolicy(
        name="q", hosts=("q.a.b",), upstream=TcpUpstream(host="127.0.0.1", port=1883), alpn=("mqtt",)
    )


def test_diff_names_the_protocols() -> None:
    """A comparison shows the new protocols."""
    (found,) = diff_documents(parse_document(DB), parse_document(DB + "    alpn: [postgresql]\n"))
    assert str(found) == "+ apps.db.alpn: postgresql"


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpn": ("b", "a")},
        {"alpn": ("a", "a")},
        {"alpn": ("a",), "upstream": HttpUpstream(host="a", port=1)},
        {"origins": ("https://a.example",)},
        {"keeps_slashes": True},
    ],
)
def test_impossible_applications_are_refused(wrong: dict[str, object]) -> None:
    """Constructors refuse the same values as the reader."""
    with pytest.raises(ValueError, match="TCP"):
        replace(app_of(DB), **wrong)  # type: ignore[arg-type]


def test_an_upstream_has_one_place() -> None:
    """A host and a port, or a socket."""
    for wrong in ({}, {"host": "a"}, {"port": 1}, {"host": "a", "port": 1, "path": "/a"}):
        with pytest.raises(ValueError, match="either"):
            TcpUpstream(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("upstream", "alpn", "codes"),
    [
        ("tcp://a:22", "", ["server-speaks-first"]),
        ("tcp://a:3306", "x", ["server-speaks-first"]),
        ("tcp://a:1883", "", []),
        ("tcp://a:5432", "", ["postgresql-alpn"]),
        ("tcp://a:5432", "postgresql", []),
        ("tcp+unix:///run/.s.PGSQL.5433", "", ["postgresql-alpn"]),
        ("http://a:22", "", []),
        ("tcp://a:1883", "MQTT", ["alpn-capitals"]),
        ("tcp://a:1883", "MQTT, mqtt", []),
        ("tcp://a:5432", "PostgreSQL", ["alpn-capitals", "postgresql-alpn"]),
    ],
)
def test_what_will_not_work_is_found(upstream: str, alpn: str, codes: list[str]) -> None:
    """`policy check` and `app add` print it: the port says which protocol it probably is."""
    text = f"{HEAD}    upstream: {upstream}\n{f'    alpn: [{alpn}]' if alpn else ''}\n"
    found = [one.code for one in lint_document(parse_document(text))]
    assert found == ["app-closed", *codes]


class TestJudgement:
    """Who may connect: the same selectors and the same equation as for requests."""

    TEXT = RULES + "      - {allow: {groups: [dba]}}\n      - {deny: {persons: [mallory]}}\n"

    @pytest.mark.parametrize(
        ("name", "groups", "outcome", "reason", "determining"),
        [
            ("alice", ("dba",), Outcome.GOOD, Reason.RULE_ALLOWS, ("rule 1",)),
            ("alice", (), Outcome.BAD, Reason.NO_RULE_MATCHED, ()),
            ("mallory", ("dba",), Outcome.BAD, Reason.RULE_DENIES, ("rule 2",)),
        ],
    )
    def test_rules(
        self,
        name: str,
        groups: tuple[str, ...],
        outcome: Outcome,
        reason: Reason,
        determining: tuple[str, ...],
    ) -> None:
        """A deny rule overrides, and without a rule the answer is deny; the grants give the same decision."""
        app, subject = app_of(self.TEXT), subject_of(name, *groups)
        decision = decide_connection(app, TENANT, APP_ID, subject)
        assert (decision.outcome, decision.reasons[-1]) == (outcome, reason)
        assert decision.determining == determining
        assert check_admission(permissions_of(app, TENANT, APP_ID, subject)).outcome is outcome

    def test_who_is_refused_whatever_the_rules_say(self) -> None:
        """A suspended person, and a person with too many grants, are refused."""
        subject = subject_of("alice", "dba")
        suspended = Subject(principal=replace(subject.principal, state=PrincipalState.SUSPENDED))
        decision = decide_connection(app_of(self.TEXT), TENANT, APP_ID, suspended)
        assert (decision.outcome, decision.reasons[-1]) == (Outcome.BAD, Reason.PRINCIPAL_SUSPENDED)
        denies = "".join(f"      - {{deny: {{groups: [g{at}]}}}}\n" for at in range(200))
        large = app_of(RULES + "      - {allow: {groups: [dba]}}\n" + denies)
        decision = decide_connection(large, TENANT, APP_ID, subject)
        assert (decision.outcome, decision.reasons[-1]) == (Outcome.BAD, Reason.GRANTS_TOO_LARGE)

    def test_no_certificate(self) -> None:
        """Nothing of a TCP application is open to everybody."""
        decision = refuse_anonymous(app_of(self.TEXT))
        assert decision.outcome is Outcome.BAD
        assert Reason.ANONYMOUS in decision.reasons

    def test_a_deny_that_is_added_is_a_loss(self) -> None:
        """The connections of a denied person are cut; others go on."""
        before = app_of(RULES + "      - {allow: {groups: [dba]}}\n")
        for name, lost in (("mallory", True), ("alice", False)):
            subject = subject_of(name, "dba")
            old, new = (permissions_of(one, TENANT, APP_ID, subject) for one in (before, app_of(self.TEXT)))
            assert loses_permissions(old, new) is lost
