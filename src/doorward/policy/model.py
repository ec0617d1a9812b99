"""The policy document as frozen values: applications, rules, residuals.

Not here: reading YAML (`document`), judging (`decision`), selectors (`selectors`), path patterns (`paths`).

A rule has two halves. The *selector* is the part about the connection; it is judged once for each connection. The
*residual* is the part about each request: method, path and requirements. A rule holds for a request if both halves hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from doorward.core.entities import Principal
from doorward.core.names import OWN_AUTHORITY, is_at_or_below, portal_host
from doorward.policy.app_limits import DEFAULT_APP_LIMITS, AppLimits
from doorward.policy.group_factors import GroupFactors, check_group_factors
from doorward.policy.normalisation import NormalisedPath
from doorward.policy.paths import EVERY_PATH, PathPattern, pattern_of
from doorward.policy.request_headers import DEFAULT_HEADER_OPTIONS, HeaderOptions
from doorward.policy.requirements import Requirement
from doorward.policy.selectors.index import SelectorIndex
from doorward.policy.selectors.table import Selector
from doorward.policy.server_certificates import OWN_CERTIFICATES, CertificateSource
from doorward.policy.subject import Subject

METHOD = re.compile(r"[A-Z][A-Z0-9_-]{0,31}")
"""Methods that rules may name and requests may have. Methods are case-sensitive (RFC 9110 section 9.1). An
application that ignores case could treat `delete` as DELETE, which no rule has seen: so other spellings are refused."""

ECHOING_METHODS = frozenset({"TRACE", "TRACK"})
"""The answer to such a method repeats the request, with the signed assertion (RFC 9110 section 9.3.8). So only an
allow rule that names the method allows it."""


class Effect(Enum):
    """What a rule does if it holds; a deny rule that holds overrides every allow rule."""

    ALLOW = "allow"
    DENY = "deny"


class OnRefusal(Enum):
    """How a connection without a good certificate is refused: by a TLS alert, or by a page."""

    ALERT = "alert"
    PAGE = "page"


class RequestPattern(NamedTuple):
    """Requests with one method (`*` = any) to the paths of one pattern, if the requirements are met."""

    method: str
    pattern: str
    requirements: frozenset[Requirement] = frozenset()


class Scheme(Enum):
    """The protocol of an upstream: HTTP/1.1, HTTP/2 with prior knowledge, or HTTP/1.1 over TLS."""

    HTTP = "http"
    H2C = "h2c"
    HTTPS = "https"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTls:
    """How TLS to an upstream is verified, and the door's own certificate there. TLS is always verified.

    Args:
        ca_file: PEM of the authorities, an absolute path; empty is the system's store.
        server_name: the name that the upstream's certificate must have; empty is the upstream's host.
        client_certificate: a folder that `doorward enroll` made for a service (`chain.pem`, `key.pem`).
    """

    ca_file: str = ""
    server_name: str = ""
    client_certificate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpUpstream:
    """The upstream of an HTTP application that is reached over TCP.

    `host` is a lower-case DNS name or an IP address without brackets. `port` is 1 to 65535. `base` is put before each
    path; it is empty or has no trailing slash. `tls` is set if, and only if, the scheme is https.
    """

    host: str
    port: int
    scheme: Scheme = Scheme.HTTP
    base: str = ""
    tls: UpstreamTls | None = None

    def __post_init__(self) -> None:
        if (self.tls is not None) is not (self.scheme is Scheme.HTTPS):
            raise ValueError("`tls` is set if, and only if, the scheme is https")

    @property
    def url(self) -> str:
        """The upstream as the document writes it, without the options of TLS."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme.value}://{host}:{self.port}{self.base}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixUpstream:
    """The upstream of an application that is reached by plain HTTP over a unix socket; `path` is absolute."""

    path: str

    @property
    def url(self) -> str:
        """The upstream as the document writes it."""
        return f"unix://{self.path}"


WebUpstream = HttpUpstream | UnixUpstream
"""The upstream of an HTTP application."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpUpstream:
    """The upstream of a TCP application: `host` and `port` as in `HttpUpstream`, or the `path` of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __post_init__(self) -> None:
        if bool(self.host and self.port) is bool(self.path):
            raise ValueError("an upstream is either a host and a port, or a socket")

    @property
    def url(self) -> str:
        """The upstream as the document writes it."""
        if self.path:
            return f"tcp+unix://{self.path}"
        return f"tcp://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


Upstream = WebUpstream | TcpUpstream


def upstream_address(upstream: Upstream) -> str | tuple[str, int]:
    """Return where an upstream listens: the path of a unix socket, or a host and a port."""
    if isinstance(upstream, UnixUpstream) or (isinstance(upstream, TcpUpstream) and upstream.path):
        return upstream.path
    return upstream.host, upstream.port


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """The request part of a rule: `methods` (None = any, case-sensitive), `paths` (any of them), `requirements` (all).

    `patterns` combine each method with each path pattern.
    """

    methods: frozenset[str] | None = None
    paths: tuple[PathPattern, ...] = (EVERY_PATH,)
    requirements: frozenset[Requirement] = frozenset()
    patterns: frozenset[RequestPattern] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.methods is not None and not self.methods:
            raise ValueError("a residual without methods never holds")
        if not self.paths:
            raise ValueError("a residual without paths never holds")
        methods = ("*",) if self.methods is None else self.methods
        patterns = frozenset(
            RequestPattern(method, pattern.text, self.requirements)
            for method in methods
            for pattern in self.paths
        )
        object.__setattr__(self, "patterns", patterns)

    def matches_method(self, method: str, effect: Effect) -> bool:
        """Return whether the method is within this residual of a rule with this effect."""
        if self.methods is None:
            return effect is Effect.DENY or method not in ECHOING_METHODS
        return method in self.methods

    def matches_path(self, path: NormalisedPath, owner: str) -> bool:
        """Return whether the normalised path is within this residual; `owner` is the principal's segment."""
        return any(pattern.matches(path, owner) for pattern in self.paths)

    def patterns_of(self, owner: str) -> frozenset[RequestPattern]:
        """Return the patterns for one principal, with `{principal}` replaced."""
        if not any(pattern.owned for pattern in self.paths):
            return self.patterns
        owned = ((one, pattern_of(one.pattern).owned_by(owner)) for one in self.patterns)
        return frozenset(one._replace(pattern=mine.text) for one, mine in owned if mine is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of one application; `name` is unique inside it."""

    name: str
    effect: Effect
    selector: Selector
    residual: Residual = Residual()

    def __post_init__(self) -> None:
        if self.effect is Effect.DENY and self.residual.requirements:
            raise ValueError("a deny rule has no requirements")

    def covers(self, method: str, path: NormalisedPath, owner: str) -> bool:
        """Return whether method and normalised path are within the rule; `owner` is the principal's segment."""
        residual = self.residual
        return residual.matches_method(method, self.effect) and residual.matches_path(path, owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppPolicy:
    """One application of the document: its hosts, its upstream, and who may reach which paths.

    `trust` names the accepted authorities: `own`, and partners by name. `public` are paths that
    are open to everybody, also without a certificate. Pages of the sites in `origins` may call this application.

    A TCP application has no field about requests: its rules are about whole connections. `alpn` are the protocols that
    its clients may offer (RFC 7301), sorted. `certificates` says who certifies the hosts.

    What follows from the rules is computed once, because every new connection needs it: `denying` and `timed` are the deny
    rules and the rules that depend on the time, in their order. `requires_factors` says whether a rule has a requirement,
    and `sees_connections` whether one depends on more than the principal and its certificate.
    """

    name: str
    hosts: tuple[str, ...]
    upstream: Upstream
    on_refusal: OnRefusal = OnRefusal.ALERT
    trust: tuple[str, ...] = (OWN_AUTHORITY,)
    headers: HeaderOptions = DEFAULT_HEADER_OPTIONS
    app_limits: AppLimits = DEFAULT_APP_LIMITS
    rules: tuple[Rule, ...] = ()
    public: tuple[PathPattern, ...] = ()
    origins: tuple[str, ...] = ()
    keeps_slashes: bool = False
    alpn: tuple[str, ...] = ()
    certificates: CertificateSource = OWN_CERTIFICATES
    denying: tuple[Rule, ...] = field(init=False, compare=False, repr=False)
    timed: tuple[Rule, ...] = field(init=False, compare=False, repr=False)
    requires_factors: bool = field(init=False, compare=False, repr=False)
    sees_connections: bool = field(init=False, compare=False, repr=False)
    _index: SelectorIndex = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._derive()
        if not self.hosts:
            raise ValueError("an application without a host cannot be reached")
        if self.is_tcp and self._has_requests:
            raise ValueError("a TCP application has connections, and no requests")
        if list(self.alpn) != sorted(set(self.alpn)) or (self.alpn and not self.is_tcp):
            raise ValueError("`alpn` is sorted, each protocol once, and only for a TCP application")
        if not self.trust or list(self.trust) != sorted(set(self.trust)):
            raise ValueError("the trusted authorities are sorted, each once, at least one")
        if len({rule.name for rule in self.rules}) != len(self.rules):
            raise ValueError("two rules share a name")
        if len(self.trust) > 1 and any(rule.selector.unissued for rule in self.rules):
            raise ValueError(
                "the application trusts several authorities, so a rule about a name or a policy must name the issuer"
            )
        self._check_paths()

    def _derive(self) -> None:
        selectors = [rule.selector for rule in self.rules]
        denying = tuple(rule for rule in self.rules if rule.effect is Effect.DENY)
        object.__setattr__(self, "denying", denying)
        object.__setattr__(self, "timed", tuple(rule for rule in self.rules if rule.selector.timed))
        object.__setattr__(self, "requires_factors", any(rule.residual.requirements for rule in self.rules))
        object.__setattr__(self, "sees_connections", any(one.of_connection for one in selectors))
        object.__setattr__(self, "_index", SelectorIndex(selectors))

    def rules_about(self, subject: Subject) -> list[Rule]:
        """Return the rules with a selector that may match a subject or be undetermined, in their order; no other matches."""
        return [self.rules[place] for place in self._index.candidates(subject)]

    def _check_paths(self) -> None:
        denied = [one for rule in self.denying for one in rule.residual.paths]
        if any(pattern.overlaps(one) for pattern in self.public for one in denied):
            raise ValueError("a deny rule covers a public path")
        if self.headers.destination and isinstance(self.upstream, HttpUpstream) and self.upstream.base:
            raise ValueError("`destination: judge` and an upstream with a base path exclude each other")
        if self._asks_for_an_owner_in_vain:
            raise ValueError("neither a public path nor a judged Destination may contain {principal}")
        if self.keeps_slashes and self.public:
            raise ValueError("an application that keeps encoded slashes has no public paths")

    @property
    def _asks_for_an_owner_in_vain(self) -> bool:
        judged = self.rules if self.headers.destination else ()
        paths = [*self.public, *(one for rule in judged for one in rule.residual.paths)]
        return any(pattern.owned for pattern in paths)

    @property
    def is_tcp(self) -> bool:
        """Whether the application gets whole connections, and not single requests."""
        return isinstance(self.upstream, TcpUpstream)

    @property
    def _has_requests(self) -> bool:
        """Whether any field of the application is about requests."""
        sizes = (self.app_limits.headers, self.app_limits.header_kilobytes)
        return bool(
            self.public
            or self.origins
            or self.on_refusal is OnRefusal.PAGE
            or self.keeps_slashes
            or self.headers != DEFAULT_HEADER_OPTIONS
            or sizes != (DEFAULT_APP_LIMITS.headers, DEFAULT_APP_LIMITS.header_kilobytes)
            or any(rule.residual != Residual() for rule in self.rules)
        )

    @property
    def admits_anonymous(self) -> bool:
        """Whether a connection without a good certificate gets answers: for public paths, preflights or pages."""
        return bool(self.public or self.origins or self.on_refusal is OnRefusal.PAGE)

    @property
    def has_refusal_page(self) -> bool:
        """Whether a refused connection stays open for a page that says why."""
        return self.on_refusal is OnRefusal.PAGE

    @property
    def opens_something(self) -> bool:
        """Whether something is open to everybody: public paths, or preflights."""
        return bool(self.public or self.origins)

    def is_public(self, path: NormalisedPath) -> bool:
        """Return whether a normalised path is open to everybody."""
        return any(pattern.matches(path) for pattern in self.public)

    def trusts(self, principal: Principal) -> bool:
        """Return whether the application trusts the authority of a principal."""
        return authority_name(principal) in self.trust

    @property
    def methods_refused(self) -> frozenset[str]:
        """The methods that must be named in an allow rule and are not: Envoy answers 405."""
        return unnamed_echoing_methods((rule.effect, rule.residual) for rule in self.rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One whole policy document: applications, and the factors that members of groups must have."""

    trust_domain: str
    apps: tuple[AppPolicy, ...] = ()
    factors: GroupFactors = ()

    def __post_init__(self) -> None:
        check_group_factors(self.factors)
        hosts = [host for app in self.apps for host in app.hosts]
        if len(set(hosts)) != len(hosts):
            raise ValueError("two applications share a host")
        if len({app.name for app in self.apps}) != len(self.apps):
            raise ValueError("two applications share a name")
        if any(is_at_or_below(host, portal_host(self.trust_domain)) for host in hosts):
            raise ValueError(
                "an application's host is below the portal's host, so its pages could ask for the passkeys of people"
            )

    @property
    def requires_factors(self) -> bool:
        """Whether a rule or a group requires a second factor."""
        return bool(self.factors) or any(app.requires_factors for app in self.apps)

    def app(self, name: str) -> AppPolicy | None:
        """Return the application of that name, or None."""
        return next((app for app in self.apps if app.name == name), None)


def unnamed_echoing_methods(terms: Iterable[tuple[Effect, Residual]]) -> frozenset[str]:
    """Return the echoing methods that no allow rule among these names."""
    named = (residual.methods or () for effect, residual in terms if effect is Effect.ALLOW)
    return ECHOING_METHODS.difference(*named)


def authority_name(principal: Principal) -> str:
    """Return the name in `trust` of the authority of a principal: `own`, or the partner's name."""
    return principal.name.partition("/")[0] if principal.partner else OWN_AUTHORITY
