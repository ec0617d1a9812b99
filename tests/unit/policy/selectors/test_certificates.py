"""`certificate: {...}` in rules: selected certificates, undetermined facts, and faults in a document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from doorward.core.certificate import CertificateContent, VerifiedCertificate
from doorward.core.entities import Outcome, PrincipalKind
from doorward.core.errors import ConfigurationError
from doorward.pki.profiles import PROFILES as MADE
from doorward.policy.decision import Request, decide, permissions_of
from doorward.policy.document import parse_document, render_document
from doorward.policy.model import AppPolicy
from doorward.policy.selectors.certificates import CERTIFICATE, PROFILES
from doorward.policy.selectors.table import select
from doorward.policy.subject import Subject, Truth
from tests.support import records

CONTENT = CertificateContent(
    dns=("printer7.corp.example",),
    mailboxes=("Ann@corp.example",),
    uris=("spiffe://corp.example/device/printer7",),
    policies=frozenset({"1.3.6.1.4.1.99999.1"}),
    key="rsa-3072",
)
PRINTER = Subject(
    principal=records.principal("printer7", PrincipalKind.DEVICE, tenant="ten_1", id="dev_1"),
    certificate=VerifiedCertificate(issuers=frozenset({"aut_1"}), profile="device", content=CONTENT),
)
REQUEST = Request(method="GET", raw_path="/")


def printer(**content: Any) -> Subject:
    """The printer, its certificate changed."""
    assert PRINTER.certificate is not None
    return replace(PRINTER, certificate=replace(PRINTER.certificate, content=replace(CONTENT, **content)))


def app(*rules: str, trust: str = "[own]") -> AppPolicy:
    """An application with these rules."""
    text = "trust_domain: corp.example\napps:\n  app:\n    hosts: [app.corp.example]\n"
    text += f"    upstream: http://127.0.0.1:9000\n    trust: {trust}\n    rules:\n"
    return parse_document(text + "".join(f"      - {rule}\n" for rule in rules), file="test.yaml").apps[0]


def faults(rule: str, trust: str = "[own]") -> list[tuple[str, str, int]]:
    """Code, key and column of each fault of a rule."""
    with pytest.raises(ConfigurationError) as caught:
        app(rule, trust=trust)
    return [(one.code, one.key, one.column) for one in caught.value.faults]


@pytest.mark.parametrize(
    ("word", "good", "bad", "why"),
    [
        ("issuer", "aut_1", "aut_2", "has aut_1, the rule needs aut_2"),
        ("profile", "device", "person", "has device, the rule needs person"),
        (
            "san-dns",
            "*.corp.example",
            "*.lab.corp.example",
            "has printer7.corp.example, the rule needs *.lab.corp.example",
        ),
        (
            "san-email",
            "@corp.example",
            "ann@corp.example",
            "has Ann@corp.example, the rule needs ann@corp.example",
        ),
        (
            "san-uri",
            "spiffe://corp.example/device/**",
            "spiffe://corp.example/person/**",
            "has spiffe://corp.example/device/printer7, the rule needs spiffe://corp.example/person/**",
        ),
        (
            "policy-oid",
            "1.3.6.1.4.1.99999.1",
            "1.3.6.1.4.1.99999.2",
            "has 1.3.6.1.4.1.99999.1, the rule needs 1.3.6.1.4.1.99999.2",
        ),
        ("key", "rsa-2048+", "rsa-4096+", "has rsa-3072, the rule needs rsa-4096+"),
    ],
)
def test_each_word(word: str, good: str, bad: str, why: str) -> None:
    """Each word selects by its own fact, and the explanation names the fact with its value."""
    word = f"certificate.{word}"
    assert select({word: frozenset({good})}).judge(PRINTER) is Truth.TRUE
    wrong = select({word: frozenset({bad})})
    assert wrong.judge(PRINTER) is Truth.FALSE
    assert wrong.explain(PRINTER) == f"{word}: {why}"
    assert wrong.judge(replace(PRINTER, certificate=None)) is Truth.UNDETERMINED


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        ("dns", '{san-dns: ["*.corp.example"]}'),
        ("mailboxes", '{san-email: ["@corp.example"]}'),
        ("uris", '{san-uri: ["spiffe://corp.example/**"]}'),
        ("policies", "{policy-oid: 1.3.6.1.4.1.99999.1}"),
        ("key", "{key: rsa-3072+}"),
    ],
)
def test_what_cannot_be_determined_withholds_grant_and_clearance(field: str, rule: str) -> None:
    """Neither an allow nor a deny rule is taken to be in the favour of a certificate with an unknown fact."""
    unknown = printer(**{field: None})
    allow = app(f"{{allow: {{certificate: {rule}}}}}")
    assert permissions_of(allow, "ten_1", "app_1", PRINTER).allowed
    assert not permissions_of(allow, "ten_1", "app_1", unknown).grants
    assert decide(allow, "ten_1", "app_1", unknown, REQUEST).outcome is Outcome.BAD
    deny = app("{allow: {kind: device}}", f"{{deny: {{certificate: {rule}}}}}")
    found = permissions_of(deny, "ten_1", "app_1", unknown)
    assert len(found.grants) == 1
    assert found.grants[0].startswith("g")
    assert found.denied
    decision = decide(deny, "ten_1", "app_1", unknown, REQUEST)
    assert decision.outcome is Outcome.BAD
    assert "cannot be determined" in decision.findings[1].why
    assert "so the rule denies" in decision.findings[1].why


def test_one_false_word_settles_it() -> None:
    """A deny rule that is false by one word clears, though another one of its words cannot be determined."""
    deny = app("{allow: {kind: device}}", "{deny: {kind: person, certificate: {key: ec-p256}}}")
    assert decide(deny, "ten_1", "app_1", printer(key=None), REQUEST).outcome is Outcome.GOOD


def test_a_certificate_without_such_a_fact() -> None:
    """None of it is an answer, not a doubt."""
    selector = select({"certificate.san-dns": frozenset({"*.corp.example"})})
    assert selector.judge(printer(dns=())) is Truth.FALSE
    assert selector.explain(printer(dns=())) == "certificate.san-dns: has none, the rule needs *.corp.example"
    many = tuple(f"{at}.lab.example" for at in range(9))
    assert selector.explain(printer(dns=many)).endswith(
        "4.lab.example and 4 more, the rule needs *.corp.example"
    )


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ('{allow: {certificate: {issuer: ["Clinic CA"]}}}', ("authority-id-malformed", "issuer", 41)),
        ("{allow: {certificate: {profile: printer}}}", ("unknown-value", "profile", 41)),
        ('{allow: {certificate: {san-dns: "*corp.example"}}}', ("pattern-malformed", "san-dns", 41)),
        ("{allow: {certificate: {policy-oid: 2.5.29.32.0}}}", ("policy-oid-malformed", "policy-oid", 44)),
        ("{allow: {certificate: {policy-oid: 1.02}}}", ("policy-oid-malformed", "policy-oid", 44)),
        ("{allow: {certificate: {key: rsa-1024+}}}", ("unknown-value", "key", 37)),
        ("{allow: {certificate: {isuer: aut_1}}}", ("unknown-key", "isuer", 32)),
    ],
)
def test_faults_stand_at_their_place(rule: str, fault: tuple[str, str, int]) -> None:
    """A bad value is a fault with its place and key."""
    code, word, column = fault
    assert (code, f"apps.app.rules[0].allow.certificate.{word}", column) in faults(rule)


def test_an_empty_mapping_is_refused() -> None:
    """It would select as if it were not there."""
    assert faults("{allow: {kind: device, certificate: {}}}") == [
        ("selector-empty", "apps.app.rules[0].allow.certificate", 45)
    ]


@pytest.mark.parametrize(
    "names", ['san-dns: "a.x.example"', 'san-email: "@x.example"', "san-uri: urn:a:b", "policy-oid: 1.2.3"]
)
@pytest.mark.parametrize("effect", ["allow", "deny"])
def test_names_need_an_issuer_if_several_authorities_are_trusted(names: str, effect: str) -> None:
    """Each of them may certify the name or assert the policy; for one authority alone it is clear who did."""
    rule = f"{{{effect}: {{certificate: {{{names}}}}}}}"
    assert faults(rule, trust="[own, clinic]") == [
        ("issuer-missing", f"apps.app.rules[0].{effect}", len(effect) + 12)
    ]
    assert app(rule).rules
    assert app(rule, trust="[clinic]").rules
    assert app(rule.replace("{certificate: {", "{certificate: {issuer: aut_1, "), trust="[own, clinic]").rules
    alone = app(rule)
    with pytest.raises(ValueError, match="issuer"):
        replace(alone, trust=("clinic", "own"))


@pytest.mark.parametrize(
    "who",
    [
        "certificate: {profile: device}",
        "groups: a, certificate: {profile: device}",
        "kind: [person, device], certificate: {profile: [service, device]}",
        "devices: a, certificate: {profile: device}",
        "persons: [clinic/a, a], certificate: {profile: person}",
    ],
)
def test_a_profile_that_somebody_may_have_is_taken(who: str) -> None:
    """One of the kinds with one of the profiles is enough, and one name that is not a partner's."""
    assert app(f"{{deny: {{{who}}}}}").rules


def test_written_as_it_is_read() -> None:
    """A document with every word is rendered in the order of the table, and reads back."""
    rule = (
        '{allow: {certificate: {key: [ec-p256], issuer: [aut_b, aut_a], san-dns: ["*.X.example"], san-email: "A@x.example",'
        ' san-uri: "spiffe://x/**", policy-oid: "1.2.3", profile: [device]}, kind: device}}'
    )
    document = parse_document(
        "trust_domain: corp.example\napps:\n  app:\n    hosts: [app.corp.example]\n"
        f"    upstream: http://127.0.0.1:9000\n    rules:\n      - {rule}\n",
        file="test.yaml",
    )
    text = render_document(document)
    assert (
        "allow: {kind: [device], certificate: {issuer: [aut_a, aut_b], profile: [device], "
        'san-dns: ["*.x.example"], san-email: ["A@x.example"], san-uri: ["spiffe://x/**"], '
        'policy-oid: ["1.2.3"], key: [ec-p256]}}'
    ) in text.replace("aut_a", "aut_a")
    assert parse_document(text, file="test.yaml") == document


def test_the_profiles_are_those_that_people_and_things_get() -> None:
    """A profile that is added for clients is a word here, too."""
    assert {one.name for one in MADE.values() if one.kind is not None} == PROFILES


def test_a_larger_key_is_within_a_smaller_one() -> None:
    """The analysis of rules knows that `rsa-4096+` is a part of `rsa-3072+`."""
    key = next(one for one in CERTIFICATE if one.word == "certificate.key")
    assert key.wider("rsa-4096+") == {"rsa-2048+", "rsa-3072+", "rsa-4096+"}
    assert key.wider("ec-p256") == {"ec-p256"}
