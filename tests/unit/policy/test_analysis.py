"""policy.analysis: odd rules, unknown names, differences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.policy.analysis import DifferenceKind, PolicyFinding, check_names, diff_documents, lint_document
from doorward.policy.document import parse_document
from doorward.policy.model import Document, HttpUpstream
from tests.support.records import principal

HEAD = "trust_domain: a.b\napps:\n  pay:\n    hosts: [pay.a.b]\n    upstream: http://127.0.0.1:9000\n    rules:\n"


def document(*rules: str) -> Document:
    """One application with these rules, each the text of a flow mapping without its braces."""
    return parse_document(HEAD + "".join(f"      - {{{rule}}}\n" for rule in rules))


def codes(*rules: str) -> list[tuple[str, str]]:
    """Code and rule of each finding about these rules."""
    return [(one.code, one.rule) for one in lint_document(document(*rules))]


ALL_TELLERS = "name: all, allow: {groups: [tellers]}"
READ = "name: read, allow: {groups: [tellers]}, to: {methods: [GET], paths: [/a, /b/*]}"


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ([READ], []),
        ([], [("app-closed", "")]),
        (["name: d, deny: {groups: [x]}"], [("app-closed", "")]),
        ([ALL_TELLERS, READ], [("rule-redundant", "read")]),
        ([READ, ALL_TELLERS], [("rule-redundant", "read")]),
        ([READ, READ.replace("name: read", "name: again")], [("rule-redundant", "again")]),
        (
            [READ, "allow: {groups: [tellers], kind: person}, to: {paths: [/b/1], methods: [GET]}"],
            [("rule-redundant", "rule 2")],
        ),
        ([READ, "allow: {groups: [tellers]}, to: {paths: [/b/1]}"], []),
        ([READ, "allow: {groups: [tellers, others]}, to: {paths: [/a], methods: [GET]}"], []),
        (["allow: {kind: person}", "allow: {groups: [x]}"], []),
        (["allow: {kind: person}", "allow: {persons: [x]}"], [("rule-redundant", "rule 2")]),
        ([READ, "name: d, deny: {groups: [tellers]}, to: {paths: [/**]}"], [("rule-overruled", "read")]),
        ([READ, "name: d, deny: {groups: [x]}, to: {paths: [/c]}"], [("deny-idle", "d")]),
        ([READ, "name: d, deny: {groups: [x]}, to: {methods: [POST]}"], [("deny-idle", "d")]),
        ([READ, "name: d, deny: {groups: [x]}, to: {methods: [GET, POST]}"], []),
        ([READ, "name: d, deny: {groups: [x]}, to: {paths: [/b/**]}"], []),
        (["allow: {persons: [a]}", "name: d, deny: {persons: [b]}"], [("deny-idle", "d")]),
        (["allow: {persons: [a]}", "name: d, deny: {devices: [b]}"], [("deny-idle", "d")]),
        (["allow: {persons: [a]}", "name: d, deny: {persons: [b, a]}, to: {paths: [/x]}"], []),
        (["allow: {groups: [g]}, to: {methods: [GTE]}"], [("method-unusual", "rule 1")]),
        (
            [f"allow: {{certificate: {{san-dns: ['{one}']}}}}" for one in ("*.x.test", "a.x.test")],
            [("rule-redundant", "rule 2")],
        ),
        (
            [f"allow: {{certificate: {{key: {one}}}}}" for one in ("rsa-4096+", "rsa-2048+")],
            [("rule-redundant", "rule 1")],
        ),
        (["allow: {certificate: {key: ec-p256}}", "allow: {kind: person}"], []),
        (
            ["allow: {certificate: {san-uri: urn:a:b}}", "name: d, deny: {certificate: {san-uri: urn:a:c}}"],
            [],
        ),
        (
            [
                "allow: {kind: person, certificate: {key: ec-p256}}",
                "name: d, deny: {certificate: {key: ec-p256}}",
            ],
            [("rule-overruled", "rule 1")],
        ),
    ],
)
def test_lint(rules: list[str], found: list[tuple[str, str]]) -> None:
    """Rules that are certainly without effect or probably not wanted are found, and nothing else."""
    assert codes(*rules) == found


def test_unusual_methods_get_a_suggestion() -> None:
    """A method that looks misspelt comes with the nearest known one, others without."""
    near, far = lint_document(document("allow: {groups: [g]}, to: {methods: [GETT, XYZZY]}"))
    assert near.hint == "did you mean GET?"
    assert far.hint == ""


def test_unknown_names() -> None:
    """Names that the directory does not know are found, kind by kind, with the nearest or the command."""
    text = (
        "allow: {groups: [tellers, tellres], kind: person}",
        "allow: {persons: [alice]}",
        "allow: {devices: [alice]}",
    )
    alice = principal("alice", tenant="ten_1", id="per_1")
    findings = check_names(document(*text), principals=[alice], groups=["tellers"])
    assert [str(one) for one in findings] == [
        "pay, 'rule 1': the directory has no group tellres (did you mean tellers?)",
        "pay, 'rule 3': the directory has no device alice (doorward device add alice)",
    ]
    unknown = check_names(document("allow: {groups: [g]}"), principals=[], groups=[])
    assert unknown[0].hint == "doorward group add g MEMBER"


def test_issuers_of_which_no_certificate_can_come() -> None:
    """An unknown authority, and one that the application does not trust."""
    text = document("allow: {certificate: {issuer: [aut_own, aut_clinic, aut_gone]}}")
    known = {"aut_own": "own", "aut_clinic": "clinic"}
    findings = check_names(text, principals=[], groups=[], authorities=known)
    assert [(one.code, one.message.partition(" is an")[0].split()[-1]) for one in findings] == [
        ("issuer-not-trusted", "aut_clinic"),
        ("issuer-unknown", "aut_gone"),
    ]


def test_findings_as_text() -> None:
    """A finding about an application alone names no rule, and one without a hint has no brackets."""
    assert str(PolicyFinding(code="c", app="pay", rule="", message="m")) == "pay: m"


def test_no_difference() -> None:
    """Equal documents have no difference."""
    assert diff_documents(document(READ), document(READ)) == []


def test_first_document() -> None:
    """Before the first document everything is new."""
    lines = [str(one) for one in diff_documents(None, document(READ))]
    assert lines == [
        "+ trust_domain: a.b",
        "+ apps.pay",
        "+ apps.pay.hosts: pay.a.b",
        "+ apps.pay.upstream: http://127.0.0.1:9000",
        '+ apps.pay.rules.read: allow: {groups: [tellers]}, to: {methods: [GET], paths: ["/a", "/b/*"]}',
    ]


def test_changes() -> None:
    """Rules are told apart by name; a changed part shows before and after."""
    old = document(READ, "name: gone, deny: {groups: [x]}")
    app = replace(
        document(READ.replace("GET", "PUT"), "name: new, deny: {groups: [x]}").apps[0],
        upstream=HttpUpstream(host="::1", port=1),
    )
    new = Document(trust_domain="c.d", apps=(app,))
    found = diff_documents(old, new)
    assert [(one.change, one.key) for one in found] == [
        (DifferenceKind.CHANGED, "trust_domain"),
        (DifferenceKind.CHANGED, "apps.pay.upstream"),
        (DifferenceKind.CHANGED, "apps.pay.rules.read"),
        (DifferenceKind.REMOVED, "apps.pay.rules.gone"),
        (DifferenceKind.ADDED, "apps.pay.rules.new"),
    ]
    assert str(found[1]) == "~ apps.pay.upstream: http://127.0.0.1:9000 -> http://[::1]:1"


def test_applications_come_and_go() -> None:
    """A removed application is one line; an added one shows all its parts."""
    old = document(READ)
    new = Document(trust_domain="a.b", apps=(replace(old.apps[0], name="other"),))
    assert [str(one) for one in diff_documents(old, new)][:2] == ["- apps.pay", "+ apps.other"]


def test_order_alone() -> None:
    """If only the order differs, one difference says so: the text in force changes, but not its effect."""
    old, new = document(ALL_TELLERS, READ), document(READ, ALL_TELLERS)
    assert [str(one) for one in diff_documents(old, new)] == ["~ document: the order of its entries"]


def test_a_partner_that_no_application_trusts() -> None:
    """A name in `trust` that is no partner's is found, with the nearest or the command; `own` always is one."""
    text = HEAD.replace("    rules:", "    trust: [own, clinik, ward]\n    rules:") + f"      - {{{READ}}}\n"
    found = check_names(parse_document(text), principals=[], groups=["tellers"], partners=["clinic"])
    assert [(one.code, one.message) for one in found] == [
        ("partner-unknown", "no partner named clinik is trusted"),
        ("partner-unknown", "no partner named ward is trusted"),
    ]
    assert found[0].hint == "did you mean clinic?"
    assert found[1].hint == "doorward ca import ward CERTIFICATE..."


def test_a_change_of_trust_is_told() -> None:
    """The partners that an application trusts are a difference of their own."""
    before = document(READ)
    after = replace(before, apps=(replace(before.apps[0], trust=("clinic", "own")),))
    assert [str(one) for one in diff_documents(before, after)] == ["+ apps.pay.trust: clinic, own"]
