"""policy.document: text to document and back, with every fault at its place."""

from __future__ import annotations

import pytest

from doorward.core.errors import ConfigurationError, MalformedInput
from doorward.policy.document import append_app, parse_document, render_document
from doorward.policy.model import (
    Document,
    Effect,
    HttpUpstream,
    Residual,
    Rule,
    TcpUpstream,
    UnixUpstream,
    Upstream,
)
from doorward.policy.paths import EVERY_PATH, PathPattern
from doorward.policy.selectors.table import select
from doorward.policy.upstreams import parse_upstream

FULL = """\
trust_domain: corp.example
apps:
  payments:   # the bank
    hosts: [payments.corp.example, pay.corp.example]
    upstream: http://127.0.0.1:9000
    on_refusal: alert
    rules:
      - name: tellers read accounts
        allow: {groups: [tellers]}
        to: {methods: [GET, HEAD], paths: ["/accounts/**"]}
      - deny:
          kind: device
          devices: [kiosk-1]
        to:
          methods: POST
  sensors:
    hosts: sensors.corp.example
    upstream: unix:///run/sensors.sock
"""
APP = """\
trust_domain: corp.example
apps:
  pay:
    hosts: [pay.corp.example]
    upstream: http://127.0.0.1:9000
"""
RULES = APP + "    rules:\n"


def faults_of(text: str) -> list[tuple[str, int, int, str]]:
    """Code, line, column and key of each fault."""
    with pytest.raises(ConfigurationError) as caught:
        parse_document(text, file="policy.yaml")
    assert all(fault.file == "policy.yaml" for fault in caught.value.faults)
    return [(fault.code, fault.line, fault.column, fault.key) for fault in caught.value.faults]


def hint_of(text: str) -> str:
    """Return the hint of the first fault."""
    with pytest.raises(ConfigurationError) as caught:
        parse_document(text)
    return caught.value.faults[0].hint


def test_meaning() -> None:
    """Every key has the meaning in docs/reference/policy.md."""
    document = parse_document(FULL)
    payments, sensors = document.apps
    assert document.trust_domain == "corp.example"
    assert payments.hosts == ("payments.corp.example", "pay.corp.example")
    assert payments.upstream == HttpUpstream(host="127.0.0.1", port=9000)
    assert payments.rules == (
        Rule(
            name="tellers read accounts",
            effect=Effect.ALLOW,
            selector=select({"groups": frozenset({"tellers"})}),
            residual=Residual(methods=frozenset({"GET", "HEAD"}), paths=(PathPattern("/accounts/**"),)),
        ),
        Rule(
            name="rule 2",
            effect=Effect.DENY,
            selector=select({"devices": frozenset({"kiosk-1"}), "kind": frozenset({"device"})}),
            residual=Residual(methods=frozenset({"POST"}), paths=(EVERY_PATH,)),
        ),
    )
    assert sensors.upstream == UnixUpstream(path="/run/sensors.sock")
    assert sensors.rules == ()


@pytest.mark.parametrize("apps", ["", "apps:\n", "apps: {}\n"])
def test_no_applications(apps: str) -> None:
    """A document may have no application yet."""
    assert parse_document("trust_domain: a.b\n" + apps) == Document(trust_domain="a.b")


def test_rules_may_be_absent() -> None:
    """`rules:` with nothing behind it is no rule."""
    assert parse_document(RULES).apps[0].rules == ()


def test_render() -> None:
    """The canonical text has the same meaning, and leaves out default values."""
    assert render_document(parse_document(FULL)) == (
        "trust_domain: corp.example\n"
        "apps:\n"
        "  payments:\n"
        "    hosts: [payments.corp.example, pay.corp.example]\n"
        "    upstream: http://127.0.0.1:9000\n"
        "    rules:\n"
        "      - name: tellers read accounts\n"
        "        allow: {groups: [tellers]}\n"
        '        to: {methods: [GET, HEAD], paths: ["/accounts/**"]}\n'
        "      - deny: {kind: [device], devices: [kiosk-1]}\n"
        "        to: {methods: [POST]}\n"
        "  sensors:\n"
        "    hosts: [sensors.corp.example]\n"
        "    upstream: unix:///run/sensors.sock\n"
    )


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", [("wrong-type", 1, 1, ""), ("missing-key", 1, 1, "trust_domain")]),
        ("- a\n", [("wrong-type", 1, 1, ""), ("missing-key", 1, 1, "trust_domain")]),
        ("trust_domain: [a]\n", [("wrong-type", 1, 15, "trust_domain")]),
        ("trust_domain: A.b\n", [("trust-domain-malformed", 1, 15, "trust_domain")]),
        ("trust_domain: a.b\ntrust_domain: a.b\n", [("duplicate-key", 2, 1, "")]),
        ("trust_domain: a.b\napps: [x]\n", [("wrong-type", 2, 7, "apps")]),
        ("trust_domain: a.b\nusers: x\n", [("unknown-key", 2, 1, "users")]),
        ("a: *b\n", [("yaml-unsupported", 1, 4, "")]),
        (
            "trust_domain: a.b\napps:\n  pay:\n",
            [
                ("wrong-type", 3, 3, "apps.pay"),
                ("missing-key", 3, 3, "apps.pay"),
                ("missing-key", 3, 3, "apps.pay"),
            ],
        ),
        (APP.replace("pay:", "Pay:"), [("app-name-malformed", 3, 3, "apps.Pay")]),
        (APP.replace("[pay.corp.example]", "[]"), [("wrong-type", 4, 12, "apps.pay.hosts")]),
        (APP.replace("[pay.corp.example]", "[{}]"), [("wrong-type", 4, 13, "apps.pay.hosts[0]")]),
        (APP.replace("[pay", "[pay.corp.example, pay"), [("duplicate-value", 4, 31, "apps.pay.hosts")]),
        (APP.replace("[pay.corp", '["*.corp'), [("yaml-syntax", 6, 1, "")]),
        (
            APP.replace("[pay", f"[{', '.join(f'h{n}.corp.example' for n in range(100))}, pay"),
            [("too-many-hosts", 4, 12, "apps.pay.hosts")],
        ),
        (APP.replace("[pay.", "[enroll."), [("host-reserved", 4, 13, "apps.pay.hosts")]),
        (APP.replace("[pay.", "[portal."), [("host-reserved", 4, 13, "apps.pay.hosts")]),
        (
            APP + "  two: {hosts: [pay.corp.example], upstream: 'http://[::1]'}\n",
            [("host-taken", 6, 17, "apps.two.hosts")],
        ),
        (APP + "    on_refusal: slam\n", [("unknown-value", 6, 17, "apps.pay.on_refusal")]),
        (APP + "    on_refusal: []\n", [("wrong-type", 6, 17, "apps.pay.on_refusal")]),
        (APP + "    trust: []\n", [("wrong-type", 6, 12, "apps.pay.trust")]),
        (APP + "    trust: [own, own]\n", [("duplicate-value", 6, 18, "apps.pay.trust")]),
        (APP + "    trust: [Clinic]\n", [("name-malformed", 6, 13, "apps.pay.trust")]),
        (
            RULES + "      - {allow: {persons: ['clinic/a b']}}\n",
            [("partner-identity-malformed", 7, 28, "apps.pay.rules[0].allow.persons")],
        ),
        (
            RULES + "      - {allow: {groups: [clinic/a]}}\n",
            [("name-malformed", 7, 27, "apps.pay.rules[0].allow.groups")],
        ),
        (APP.replace("http://127.0.0.1:9000", "[]"), [("wrong-type", 5, 15, "apps.pay.upstream")]),
        (RULES + "      a: 1\n", [("wrong-type", 7, 7, "apps.pay.rules")]),
        (
            RULES + "      - {allow: {groups: a}, deny: {groups: a}}\n",
            [("rule-effect", 7, 9, "apps.pay.rules[0]")],
        ),
        (RULES + "      - {name: x}\n", [("rule-effect", 7, 9, "apps.pay.rules[0]")]),
        (
            RULES + "      - {allow: {groups: a}, name: ' x'}\n",
            [("rule-name-malformed", 7, 36, "apps.pay.rules[0].name")],
        ),
        (
            RULES + "      - {allow: {groups: a}, name: []}\n",
            [("wrong-type", 7, 36, "apps.pay.rules[0].name")],
        ),
        (
            RULES + "      - {allow: {groups: a}, name: rule 2}\n      - {deny: {groups: b}}\n",
            [("rule-name-taken", 8, 9, "apps.pay.rules[1]")],
        ),
        *(
            (
                RULES + f"      - {{allow: {{groups: a}}, {key}: x}}\n",
                [("not-built-yet", 7, 30, f"apps.pay.rules[0].{key}")],
            )
            for key in ("when", "mode")
        ),
        (RULES + "      - {allow: {}}\n", [("selector-empty", 7, 17, "apps.pay.rules[0].allow")]),
        (
            RULES + "      - {allow: {persons: a, devices: b}}\n",
            [("selector-impossible", 7, 17, "apps.pay.rules[0].allow")],
        ),
        (
            RULES + "      - {allow: {persons: a, kind: service}}\n",
            [("selector-impossible", 7, 17, "apps.pay.rules[0].allow")],
        ),
        *(
            (
                RULES + f"      - {{{effect}: {{{who}}}}}\n",
                [("selector-impossible", 7, 12 + len(effect), f"apps.pay.rules[0].{effect}")],
            )
            for effect in ("allow", "deny")
            for who in (
                "persons: a, certificate: {profile: device}",
                "kind: device, certificate: {profile: person}",
                "kind: [device, person], certificate: {profile: service}",
                "services: a, certificate: {profile: [person, device]}",
                "persons: [clinic/a, clinic/b], certificate: {profile: person}",
            )
        ),
        (
            RULES + "      - {allow: {groups: [A, b c]}}\n",
            [
                ("name-malformed", 7, 27, "apps.pay.rules[0].allow.groups"),
                ("name-malformed", 7, 30, "apps.pay.rules[0].allow.groups"),
            ],
        ),
        (
            RULES + "      - {allow: {kind: human}}\n",
            [("unknown-value", 7, 24, "apps.pay.rules[0].allow.kind")],
        ),
        (
            RULES + "      - {allow: {groups: a}, to: {}}\n",
            [("residual-empty", 7, 34, "apps.pay.rules[0].to")],
        ),
        (
            RULES + "      - {allow: {groups: a}, to: {methods: [get, CONNECT, '*', G T]}}\n",
            [
                ("method-malformed", 7, 45, "apps.pay.rules[0].to.methods"),
                ("not-built-yet", 7, 50, "apps.pay.rules[0].to.methods"),
                ("method-malformed", 7, 59, "apps.pay.rules[0].to.methods"),
                ("method-malformed", 7, 64, "apps.pay.rules[0].to.methods"),
            ],
        ),
        (
            RULES + "      - {allow: {groups: a}, to: {paths: [/a/, b]}}\n",
            [
                ("path-pattern", 7, 43, "apps.pay.rules[0].to.paths"),
                ("path-pattern", 7, 48, "apps.pay.rules[0].to.paths"),
            ],
        ),
    ],
)
def test_faults(text: str, faults: list[tuple[str, int, int, str]]) -> None:
    """Every fault is listed with code, line, column and key, in the order of the text."""
    assert faults_of(text) == faults


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("trust_domian: a.b\n", "did you mean trust_domain?"),
        ("zzz: a.b\n", "known here: apps, factors, trust_domain"),
        (APP.replace("pay.corp.example", "Pay.corp.example"), "write pay.corp.example"),
        (APP.replace("pay.corp.example", '"*.corp.example"'), "list each host"),
        (APP.replace("pay.corp.example", '"a.b:8443"'), "remove the port"),
        (APP.replace("pay.corp.example", "192.0.2.1"), "write labels"),
        (RULES + "      - {allow: {groups: Tellers}}\n", "write tellers"),
        (RULES + "      - {allow: {kind: devise}}\n", "did you mean device?"),
        (RULES + "      - {allow: {groups: a}, to: {methods: get}}\n", "write GET"),
        (RULES + "      - {allow: {groups: a}, to: {methods: '*'}}\n", "remove `methods`"),
        (RULES + "      - {allow: {groups: a}, to: {methods: '='}}\n", "GET, HEAD"),
        (RULES + "      - {allow: {groups: a}, to: {paths: /a b}}\n", "write it as a%20b"),
    ],
)
def test_mends(text: str, hint: str) -> None:
    """A fault has a hint that says what to write."""
    assert hint in hint_of(text)


def test_reserved_hosts_need_a_trust_domain() -> None:
    """Without a trust domain nothing is called reserved; that it is missing is the fault."""
    text = APP.replace("trust_domain: corp.example", "trust_domain: ''").replace("[pay.", "[enroll.")
    assert [code for code, *_ in faults_of(text)] == ["wrong-type"]


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("http://127.0.0.1", HttpUpstream(host="127.0.0.1", port=80)),
        ("http://[2001:db8:0::1]:8080", HttpUpstream(host="2001:db8::1", port=8080)),
        ("http://App.internal:1", HttpUpstream(host="app.internal", port=1)),
        ("unix:///run/a.sock", UnixUpstream(path="/run/a.sock")),
        ("tcp://DB.internal:5432", TcpUpstream(host="db.internal", port=5432)),
        ("tcp://[::1]:1883", TcpUpstream(host="::1", port=1883)),
        ("tcp+unix:///run/.s.PGSQL.5432", TcpUpstream(path="/run/.s.PGSQL.5432")),
    ],
)
def test_upstreams(text: str, upstream: Upstream) -> None:
    """An upstream is an address or name with a port, or an absolute socket path."""
    assert parse_upstream(text) == upstream


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *(
            (text, "upstream-malformed")
            for text in (
                *(
                    "tcp://a",
                    "tcp://:1",
                    "tcp://a:0",
                    "tcp://a:65536",
                    "tcp://a:1/b",
                    "tcp://u@a:1",
                    "tcp://a_b:1",
                ),
                *("tcp+unix://run/a", "tcp+unix:///", "tcp:a:1", "tcps://a:1", "unix+tcp:///a"),
                *("", "127.0.0.1:9000", "ftp://a", "http://", "http://a//b", "http://a:0", "http://a:65536"),
                *(
                    "http://a:x",
                    "http://u@a",
                    "http://a?b",
                    "http://[::1",
                    "http://[::g]",
                    "http://[fe80::1%lo]",
                ),
                *(
                    "http://999.1.1.1",
                    "http://a_b",
                    "unix://run/a",
                    "unix:///a b",
                    "unix:///run/",
                    "unix:///é",
                ),
                "unix:///" + "a" * 107,
            )
        ),
    ],
)
def test_bad_upstreams(text: str, code: str) -> None:
    """Anything else is refused with a hint."""
    with pytest.raises(MalformedInput) as caught:
        parse_upstream(text)
    assert caught.value.code == code
    assert caught.value.hint


ADDED = '  "2nd":\n    hosts: [second.corp.example]\n    upstream: http://127.0.0.1:9001\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (APP, APP + ADDED),
        (APP.rstrip("\n"), APP + ADDED),
        (APP + "  # the end\n\n", APP + ADDED + "  # the end\n\n"),
        ("# top\n" + FULL, "# top\n" + FULL + ADDED),
        ("trust_domain: corp.example\n", "trust_domain: corp.example\napps:\n" + ADDED),
        ("trust_domain: corp.example\napps: {}\n", "trust_domain: corp.example\napps:\n" + ADDED),
        (
            "apps:\n    a: {hosts: [a.b], upstream: http://127.0.0.1:1}\n\ntrust_domain: corp.example\n",
            "apps:\n    a: {hosts: [a.b], upstream: http://127.0.0.1:1}\n"
            + ADDED.replace("\n  ", "\n    ").replace('  "', '    "').rstrip(" ")
            + "\ntrust_domain: corp.example\n",
        ),
        (
            "{trust_domain: corp.example, apps: {a: {hosts: [a.b], upstream: http://127.0.0.1:1}}}",
            "trust_domain: corp.example\napps:\n  a:\n    hosts: [a.b]\n    upstream: http://127.0.0.1:1\n"
            + ADDED,
        ),
    ],
)
def test_append(before: str, after: str) -> None:
    """An application is added after the others; comments and layout stay if possible."""
    added = append_app(before, "2nd", hosts=["second.corp.example"], upstream="http://127.0.0.1:9001")
    assert added == after
    assert parse_document(added).apps[:-1] == parse_document(before).apps
    assert parse_document(added).apps[-1].name == "2nd"


@pytest.mark.parametrize(
    ("name", "host", "upstream", "code"),
    [
        ("Two", "two.test", "http://127.0.0.1:1", "app-name-malformed"),
        ("two: x", "two.test", "http://127.0.0.1:1", "app-name-malformed"),
        ("pay", "two.test", "http://127.0.0.1:1", "duplicate-key"),
        ("two", "pay.corp.example", "http://127.0.0.1:1", "host-taken"),
        ("two", "two.test", "x\n  evil: {}", "upstream-malformed"),
    ],
)
def test_append_refuses(name: str, host: str, upstream: str, code: str) -> None:
    """An added application is checked like every other, and its text cannot inject other keys."""
    with pytest.raises(ConfigurationError) as caught:
        append_app(APP, name, hosts=[host], upstream=upstream)
    assert [fault.code for fault in caught.value.faults] == [code]


def test_whom_an_application_trusts() -> None:
    """Our own authority unless the document says otherwise; names are sorted, and a partner's principals may be named."""
    text = RULES + "      - {allow: {persons: [clinic/bob@clinic.example]}}\n"
    assert parse_document(text).apps[0].trust == ("own",)
    app = parse_document(text.replace("    rules:", "    trust: [own, clinic]\n    rules:")).apps[0]
    assert app.trust == ("clinic", "own")
    assert app.rules[0].selector.value("persons") == {"clinic/bob@clinic.example"}
