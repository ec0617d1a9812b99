"""Generated documents, principals and requests that meet often enough to be worth comparing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st

from doorward.core.addresses import Network
from doorward.core.certificate import CertificateContent, VerifiedCertificate
from doorward.core.entities import Principal, PrincipalKind, PrincipalState
from doorward.core.factor_kinds import FactorKind
from doorward.core.shown_factors import ShownFactors
from doorward.policy.app_limits import DEFAULT_APP_LIMITS, HEADER_KILOBYTES, HEADERS, IDLE, AppLimits
from doorward.policy.decision import Request
from doorward.policy.group_factors import GroupFactors, RequiredFactors
from doorward.policy.model import (
    AppPolicy,
    Document,
    Effect,
    HttpUpstream,
    OnRefusal,
    Residual,
    Rule,
    Scheme,
    TcpUpstream,
    UnixUpstream,
    Upstream,
    UpstreamTls,
)
from doorward.policy.open_access import denying
from doorward.policy.paths import EVERY_PATH, PathPattern
from doorward.policy.request_headers import HeaderOptions
from doorward.policy.requirements import SECOND_FACTORS, Requirement
from doorward.policy.selectors.sources import parse_network
from doorward.policy.selectors.table import Selector, select
from doorward.policy.subject import Subject
from doorward.policy.time_windows import TimeWindow
from tests.support.ports import NOON

TENANT, APP_ID = "ten_default", "app_1"

_names = st.frozensets(st.sampled_from(["a", "b", "c"]), max_size=2)
_somebody = st.frozensets(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=2)
_persons = st.frozensets(st.sampled_from(["a", "b", "clinic/a", "c"]), min_size=1, max_size=2)
_kinds = st.frozensets(st.sampled_from(list(PrincipalKind)), max_size=2)


def _kinds_with(kind: PrincipalKind) -> st.SearchStrategy[frozenset[PrincipalKind]]:
    """None, or some with this one: with others only, no principal of a given name could be selected."""
    return st.just(frozenset[PrincipalKind]()) | _kinds.map(lambda kinds: kinds | {kind})


def _some(*texts: str) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(texts), min_size=1, max_size=2)


def _select(kinds: frozenset[PrincipalKind], **words: frozenset[str]) -> Selector:
    """What is empty is not said."""
    every = {"kind": frozenset(one.value for one in kinds), **words}
    return select({word: value for word, value in every.items() if value})


_principal_selectors = st.one_of(
    st.builds(_select, groups=_somebody, kinds=_kinds),
    st.builds(_select, groups=_names, persons=_persons, kinds=_kinds_with(PrincipalKind.PERSON)),
    st.builds(_select, devices=_somebody, kinds=_kinds_with(PrincipalKind.DEVICE)),
    st.builds(_select, services=_somebody, kinds=_kinds_with(PrincipalKind.SERVICE)),
    st.builds(_select, kinds=st.frozensets(st.sampled_from(PrincipalKind), min_size=1, max_size=2)),
)


def read_networks(*texts: str) -> tuple[Network, ...]:
    """Networks as a selector has them."""
    return tuple(
        sorted(
            map(parse_network, texts), key=lambda one: (one.version, int(one.network_address), one.prefixlen)
        )
    )


word_values: dict[str, st.SearchStrategy[Any]] = {
    "kind": _some("person", "device", "service"),
    "persons": _some("a", "b", "clinic/a", "c"),
    "devices": _some("a", "b", "c"),
    "services": _some("a", "b", "c"),
    "groups": _some("a", "b", "c"),
    "certificate.issuer": _some("aut_a", "aut_b", "aut_c"),
    "certificate.profile": _some("person", "device"),
    "certificate.san-dns": _some("a.x.example", "*.x.example", "*.y.x.example", "x.example"),
    "certificate.san-email": _some("a@x.example", "@x.example", "@y.example"),
    "certificate.san-uri": _some("spiffe://x/a", "spiffe://x/**", "spiffe://x/a/**", "urn:a:b"),
    "certificate.policy-oid": _some("1.2.3", "1.2.4"),
    "certificate.key": _some("ec-p256", "rsa-2048+", "rsa-3072+", "rsa-4096+"),
    "source": st.lists(
        st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "0.0.0.0/0", "::/0", "2001:db8::/32"]),
        min_size=1,
        max_size=2,
        unique=True,
    ).map(lambda texts: read_networks(*texts)),
    "time": st.builds(
        TimeWindow,
        days=st.sampled_from([(0, 1, 2, 3, 4), (0,), (6,), (0, 6)]),
        begin=st.sampled_from([0, 8 * 60, 22 * 60]),
        end=st.sampled_from([6 * 60, 18 * 60, 24 * 60]),
        zone=st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Auckland"]),
    ),
}
"""Values of each word of the table: those that the facts below meet often."""


def _with_words(selector: Selector | None, more: dict[str, Any]) -> Selector:
    try:
        return select({**dict(selector.conditions if selector else ()), **more})
    except ValueError:  # a profile that the kind of principal cannot have
        reject()


connection_words = st.fixed_dictionaries(
    {},
    optional={
        word: value for word, value in word_values.items() if "." in word or word in ("source", "time")
    },
)
selectors = st.one_of(
    _principal_selectors,
    _principal_selectors,
    st.builds(_with_words, st.none() | _principal_selectors, connection_words.filter(bool)),
)

patterns = st.sampled_from(
    [
        "/",
        "/**",
        "/*",
        "/a",
        "/a/**",
        "/a/*",
        "/*/b",
        "/a/b",
        "/a@b/**",
        "/%C3%A9",
        "/%2A",
        "/{principal}",
        "/a/{principal}/**",
        "/*/{principal}",
    ]
).map(PathPattern)

methods = st.sampled_from(["GET", "HEAD", "POST", "DELETE", "COPY", "TRACE"])

residuals = st.builds(
    Residual,
    methods=st.none() | st.frozensets(methods, min_size=1, max_size=2),
    paths=st.just((EVERY_PATH,)) | st.lists(patterns, min_size=1, max_size=3, unique=True).map(tuple),
)

_printable = st.characters(codec="utf-8", exclude_categories=("C", "Z"), include_characters=" ")
rule_names = st.text(alphabet=_printable, min_size=1, max_size=12).filter(lambda text: text == text.strip())

requirements = st.sampled_from(
    [
        Requirement(),
        Requirement(within=timedelta(minutes=5)),
        Requirement(level=2),
        Requirement(level=3, within=timedelta(hours=1)),
        Requirement(factor=FactorKind.WEBAUTHN, within=timedelta(minutes=5)),
        Requirement(factor=FactorKind.WEBAUTHN),
        Requirement(factor=FactorKind.TOTP, within=timedelta(seconds=90)),
        Requirement(factor=FactorKind.PASSWORD),
    ]
)


def _rule(
    name: str, effect: Effect, selector: Selector, residual: Residual, required: frozenset[Requirement]
) -> Rule:
    """A rule that allows may ask for factors."""
    asked = required if effect is Effect.ALLOW else frozenset()
    return Rule(name=name, effect=effect, selector=selector, residual=replace(residual, requirements=asked))


rules = st.builds(
    _rule,
    name=rule_names,
    effect=st.sampled_from(Effect),
    selector=selectors,
    residual=residuals,
    required=st.just(frozenset()) | st.frozensets(requirements, max_size=2),
)

upstreams = st.sampled_from(
    [
        HttpUpstream(host="127.0.0.1", port=9000),
        HttpUpstream(host="2001:db8::1", port=1),
        HttpUpstream(host="app.internal", port=65535),
        HttpUpstream(host="app.internal", port=50051, scheme=Scheme.H2C, base="/v1/api"),
        HttpUpstream(host="::1", port=443, scheme=Scheme.HTTPS, tls=UpstreamTls()),
        HttpUpstream(
            host="app.internal",
            port=443,
            scheme=Scheme.HTTPS,
            base="/b",
            tls=UpstreamTls(ca_file="/etc/a'\"{}#.pem", server_name="x.test", client_certificate="/var/door"),
        ),
        UnixUpstream(path="/run/app.sock"),
        UnixUpstream(path="/run/a'b\"#{x}.sock"),
    ]
)


header_terms = st.builds(
    HeaderOptions,
    destination=st.booleans(),
    passed=st.frozensets(st.sampled_from(["x-http-method-override", "x-copy-from"])),
)

app_limits = st.builds(
    AppLimits,
    idle=st.sampled_from([IDLE, timedelta(seconds=61), timedelta(minutes=7), timedelta(hours=2)]),
    headers=st.sampled_from([HEADERS, 1, 2048]),
    header_kilobytes=st.sampled_from([HEADER_KILOBYTES, 1, 256]),
)

trusts = st.sampled_from([("own",), ("own",), ("clinic", "own"), ("clinic",)])


def _app(
    name: str,
    hosts: list[str],
    upstream: Upstream,
    some: list[Rule],
    trust: tuple[str, ...],
    *,
    opening: tuple[list[PathPattern], list[str]],
    terms: HeaderOptions,
    app_limits: AppLimits = DEFAULT_APP_LIMITS,
) -> AppPolicy:
    if any(rule.selector.unissued for rule in some):
        trust = trust[:1]
    if isinstance(upstream, TcpUpstream):
        return AppPolicy(
            name=name,
            hosts=tuple(hosts),
            upstream=upstream,
            trust=trust,
            app_limits=AppLimits(idle=app_limits.idle),
            rules=tuple(replace(rule, residual=Residual()) for rule in some),
            alpn=("mqtt", "x/1")[: len(some)],
        )
    public, origins = opening
    owned = any(pattern.owned for rule in some for pattern in rule.residual.paths)
    based = isinstance(upstream, HttpUpstream) and upstream.base
    return AppPolicy(
        name=name,
        hosts=tuple(hosts),
        upstream=upstream,
        trust=trust,
        app_limits=app_limits,
        headers=HeaderOptions(passed=terms.passed) if based or owned else terms,
        keeps_slashes=len(some) > 2 and not public,  # some do, and it takes no further choice
        on_refusal=OnRefusal.PAGE if app_limits.headers == 1 else OnRefusal.ALERT,  # the same
        rules=tuple(some),
        public=tuple(
            sorted((one for one in public if not any(denying(some, one))), key=lambda one: one.text)
        ),
        origins=tuple(sorted(origins)),
    )


_rule_lists = st.lists(rules, max_size=5, unique_by=lambda rule: rule.name)

opened = st.tuples(
    st.lists(patterns.filter(lambda one: not one.owned), max_size=2, unique=True) | st.just([]),
    st.lists(
        st.sampled_from(["https://a.test", "http://b.test:8080", "chrome-extension://abc"]),
        max_size=2,
        unique=True,
    ),
)

apps = st.builds(
    _app,
    st.just("app"),
    st.just(["app.test"]),
    upstreams,
    _rule_lists,
    trusts,
    opening=opened,
    terms=header_terms,
    app_limits=app_limits,
)


def _document(
    names: list[str],
    upstream: Upstream,
    some: list[list[Rule]],
    trust: list[tuple[str, ...]],
    *,
    opening: list[tuple[list[PathPattern], list[str]]],
    terms: HeaderOptions,
    app_limits: AppLimits,
    factors: GroupFactors,
) -> Document:
    made = [
        _app(
            name,
            [f"{name}.test", f"{name}.example"],
            upstream,
            rule_list,
            trusted,
            opening=one,
            terms=terms,
            app_limits=app_limits,
        )
        for name, rule_list, trusted, one in zip(names, some, trust, opening, strict=False)
    ]
    return Document(trust_domain="corp.example", apps=tuple(made), factors=factors)


tcp_upstreams = st.sampled_from(
    [TcpUpstream(host="::1", port=1883), TcpUpstream(host="db.internal", port=1), TcpUpstream(path="/run/a")]
)

required = st.one_of(
    st.just(RequiredFactors(any_kind=True)),
    st.frozensets(st.sampled_from(sorted(SECOND_FACTORS, key=str)), min_size=1).map(
        lambda kinds: RequiredFactors(kinds=kinds)
    ),
)

documents = st.builds(
    _document,
    st.lists(st.sampled_from(["a", "pay", "0", "no", "x-1", "true"]), max_size=3, unique=True),
    upstreams | tcp_upstreams,
    st.lists(_rule_lists, min_size=3, max_size=3),
    st.lists(trusts, min_size=3, max_size=3),
    opening=st.lists(opened, min_size=3, max_size=3),
    terms=header_terms,
    app_limits=app_limits,
    factors=st.dictionaries(st.sampled_from(["a", "no", "0", "b.c"]), required, max_size=3).map(
        lambda found: tuple(sorted(found.items(), key=lambda item: item[0]))
    ),
)


def _principal(kind: PrincipalKind, name: str, partner: str, **more: Any) -> Principal:
    """One of our own, or the same name under a partner's authority."""
    name = f"{partner}/{name}" if partner else name
    return Principal(kind=kind, name=name, partner=f"ptn_{partner}" if partner else "", **more)


principals = st.builds(
    _principal,
    partner=st.sampled_from(["", "", "clinic"]),
    id=st.just("per_1"),
    tenant=st.sampled_from([TENANT, TENANT, TENANT, "ten_other"]),
    kind=st.sampled_from(PrincipalKind),
    name=st.sampled_from(["a", "b", "c"]),
    state=st.sampled_from([PrincipalState.ACTIVE, PrincipalState.ACTIVE, *PrincipalState]),
    groups=_names.map(lambda names: tuple(sorted(names))),
)


def _facts(*texts: str) -> st.SearchStrategy[tuple[str, ...] | None]:
    """Some of these, none of them, or not to be determined."""
    some = st.lists(st.sampled_from(texts), max_size=2, unique=True).map(tuple)
    return st.none() | some | some


contents = st.builds(
    CertificateContent,
    dns=_facts("a.x.example", "b.y.x.example", "x.example", "c.example"),
    mailboxes=_facts("a@x.example", "A@x.example", "b@y.example"),
    uris=_facts("spiffe://x/a", "spiffe://x/a/b", "spiffe://x/b?c", "urn:a:b"),
    policies=st.none() | st.frozensets(st.sampled_from(["1.2.3", "1.2.5"]), max_size=2),
    key=st.sampled_from(["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-8192", None]),
)
certificates = st.builds(
    VerifiedCertificate,
    issuers=_some("aut_a", "aut_b"),
    profile=st.sampled_from(["person", "device", ""]),
    content=contents,
)
_addresses = st.sampled_from(["10.1.2.3", "10.2.0.1", "192.0.2.1", "2001:db8::1", "::ffff:10.1.2.3", "::1"])
_moments = st.integers(min_value=0, max_value=8 * 24 * 4).map(lambda at: NOON + at * timedelta(minutes=15))
subjects = st.builds(
    Subject,
    principal=principals,
    certificate=st.none() | certificates | certificates,
    source=st.none() | _addresses.map(ip_address) | _addresses.map(ip_address),
    time=st.none() | _moments | _moments,
)

raw_paths = st.sampled_from(
    [
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/a/c/d",
        "/%61/b",
        "/b/../a",
        "/A",
        "/a%40b/c",
        "/a@b",
        "/é",
        "/*",
        "/a;b",
        "/a%2fb",
        "*",
    ]
)

destinations = st.sampled_from(
    [
        "/a/b",
        "https://app.test/a",
        "http://APP.test:8443/a/c/d",
        "https://other.test/a",
        "https://app.test@other.test/a",
        "https://app.test/a/../b",
        "//app.test/a",
        "/a//b",
        "/a?b",
        "/%61",
        "/a%40b/c",
        "a",
        "",
        "https://app.test",
    ]
)

requests = st.builds(
    Request, method=methods, raw_path=raw_paths, destination=st.none() | st.none() | destinations
)

_ages = st.sampled_from([0, 60, 90, 91, 300, 301, 3600, 9 * 24 * 3600])
shown_factors = st.builds(
    lambda time, ages: ShownFactors.of({kind: time - timedelta(seconds=age) for kind, age in ages.items()}),
    _moments,
    st.dictionaries(st.sampled_from(FactorKind), _ages, max_size=3),
)
showing_requests = st.builds(replace, requests, shown=shown_factors)
"""The same with a session, in which factors were shown at about the time of some subjects."""
