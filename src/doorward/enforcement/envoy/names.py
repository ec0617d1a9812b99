"""Names that Envoy's configuration, the authorizer and the log reader share: keys, headers, fields.

The authorizer answers with `ConnectionFact` values in dynamic metadata. The listener copies them into connection filter
state under `state_key`, and routes and logs read only the filter state.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType

METADATA_NAMESPACE = "envoy.filters.network.ext_authz"
"""Where Envoy keeps the authorizer's `dynamic_metadata`; it does not depend on the filter's name."""


class ConnectionFact(Enum):
    """A fact that the authorizer states about one connection; every value is a string, and all are always sent.

    Without a key, an application would get the header value `-`; a nested value would arrive as JSON. Values are printable
    ASCII: with CR, LF or NUL every request would get a 503.
    """

    JUDGED = "judged"  # only "1" means that the connection was judged good
    GRANTS = "grants"  # ",id,id,token,": policy.grants.render_grants with the class token; at most 4 KiB
    PRINCIPAL = "principal"  # the Doorward-Principal header: kind/name, percent-encoded
    PRINCIPAL_ID = "principal_id"  # per_…, dev_…, svc_…; for the log only
    CERTIFICATE = "certificate"  # crt_…
    CLIENT_CERT = "client_cert"  # RFC 9440 section 2.2: :base64 of the DER:
    ASSERTION = "assertion"  # ES256 JWT
    OWNER = "owner"  # the principal's segment in paths: policy.paths.owner_segment, or NOBODY
    DECISION = "decision"  # evt_… of the decision that admitted the connection
    EPOCH = "epoch"  # the epoch of this principal's sessions at this application: stores.epochs
    REASON = "reason"  # why the connection was not judged good (core.entities.Reason); NOT_REFUSED if it was

    @property
    def state_key(self) -> str:
        """The key of this fact in connection filter state."""
        return f"doorward.{self.value}"


JUDGED = "1"
"""The only value of `ConnectionFact.JUDGED` under which a request can pass."""

ANONYMOUS = "0"
"""`ConnectionFact.JUDGED` of a connection without a good certificate: it gets only public paths and pages."""

NOT_REFUSED = "none"
"""`ConnectionFact.REASON` of a connection that was judged good: a fact is never empty."""

NOBODY = "?"
"""`ConnectionFact.OWNER` of a connection that owns no path: no path has this character, and a fact is never empty."""

IDENTITY_HEADERS = MappingProxyType(
    {
        "client-cert": ConnectionFact.CLIENT_CERT,
        "doorward-principal": ConnectionFact.PRINCIPAL,
        "doorward-certificate": ConnectionFact.CERTIFICATE,
        "doorward-assertion": ConnectionFact.ASSERTION,
    }
)
"""The identity headers of an application, and the fact in each."""


CLAIMED_CERTIFICATE = "doorward-claimed-certificate"
"""URL-encoded PEM of the certificate that an anonymous connection showed: only for a page that explains, never trusted."""
REFUSAL = "doorward-refusal"
"""Why such a connection was not judged good: `ConnectionFact.REASON`."""
SHOWN_CHAIN = "x-forwarded-client-cert"
"""The certificates that a client of the EST host showed, by Envoy: TLS proved the key of the leaf, and nothing else."""
SOURCE = "doorward-source"
"""The peer's address as the authorizer gets it; for peers on loopback, Envoy writes another one into X-Forwarded-For."""
APPLICATION = "doorward-application"
"""The id of the application; our own surface got the request on its host."""
SURFACE_HEADERS = (APPLICATION, CLAIMED_CERTIFICATE, REFUSAL, SOURCE)
"""Headers that only our own surfaces get, and no application."""


class AuthorizerMetadata(Enum):
    """gRPC metadata keys of a call to the authorizer: facts that Envoy and the kernel know about the connection."""

    APPLICATION = "x-doorward-application"  # the application's id, a constant of the chain, never from SNI
    CONNECTION = "x-doorward-connection"  # Envoy's connection id
    REMOTE = "x-doorward-remote"  # address:port as the kernel sees it
    LOCAL = "x-doorward-local"
    EPOCH = "x-doorward-epoch"  # the number of this run of Envoy: a draining Envoy enforces an older policy


EPOCH_VARIABLE = "DOORWARD_EPOCH"
"""The environment variable of Envoy with the number of its run: so no resource differs between two runs."""

AUTHORIZER_CLUSTER = "doorward_authorizer"
DISCOVERY_CLUSTER = "doorward_discovery"
"""The cluster of the gateway's discovery service, from which Envoy gets every other resource."""
SESSIONS_CLUSTER = "doorward_sessions"
"""The cluster of our own surface on the hosts of applications."""
ENROL_CHAIN = "doorward_enrol"
"""Name of the filter chain, route table and cluster of the open enrolment door."""
EST_CHAIN = "doorward_est"
"""The same of the EST door."""

TRUST_SECRET = "trust"  # noqa: S105 - the name of the SDS resource with the issuing authorities
LISTENER = "door"

FOREIGN_PROTOCOL_CHAIN = "doorward_protocol"
"""Name of the filter chain that refuses clients which offer a protocol that a TCP application does not list."""

OWNER_FILTER = "doorward.owner"
"""Compares segments of the path with the principal's segment, on routes that need it."""
SESSION_FILTER = "doorward.session"
"""Verifies the token of a session, on routes that need it; all chains share its configuration."""
BOUND_FILTER = "doorward.bound"
"""Notes whether a session is bound to the connection, and which requirements of the route it meets."""
STEP_UP_FILTER = "doorward.step-up"
"""Notes whether a request would be allowed with a second factor; it refuses nothing."""
COOKIE_FILTERS = ("doorward.cookies", "doorward.cookie-field")
"""Remove our own cookies from requests."""
DENY_FILTER = "doorward.deny"
ALLOW_FILTER = "doorward.allow"
DESTINATION_FILTER = "doorward.destination"
STEP_UP_STATISTICS = "step_up_"
DENY_STATISTICS = "deny_"
ALLOW_STATISTICS = "allow_"
DESTINATION_STATISTICS = "destination_"
"""Prefixes of the filters' results in metadata, so that none overwrites another one's."""

FOREIGN_ORIGIN, PREFLIGHT, PREFLIGHT_REFUSED = "foreign-origin", "preflight", "preflight-refused"
PUBLIC = "public"
OWN_SURFACE = "own-surface"
PAGE = "page"
"""Names of routes: they show in the log which route answered without a rule."""


COOKIE_PREFIX = "__Host-doorward-"
SESSION_COOKIE = f"{COOKIE_PREFIX}session"
"""The token of a session, on an application's host."""
BEGIN_COOKIE = f"{COOKIE_PREFIX}begin"
"""The id of the request with which a step-up began: the callback is accepted only together with it."""

RESERVED_PREFIX = "/_doorward"
"""Paths below it belong to the door on every application's host; no request for them reaches an upstream."""


class Refusal(Enum):
    """Why a route refuses a request: the route's name, which the log shows; and the status."""

    HEADER_NAME = "header-name-refused", 400
    AUTHORITY = "authority-malformed", 400
    PATH = "path-ambiguous", 400
    METHOD = "method-ambiguous", 400
    CONNECTION_FIELD = "connection-field-refused", 400
    COOKIE = "cookie-refused", 400
    DESTINATION_AMBIGUOUS = "destination-ambiguous", 400
    DESTINATION = "destination-refused", 403
    METHOD_UNNAMED = "method-refused", 405
    RESERVED = "path-reserved", 404
    MISDIRECTED = "misdirected", 421
    AUTHORIZER_AWAY = "authorizer-away", 503
    CLOSED = "application-closed", 503

    def __init__(self, word: str, status: int) -> None:
        self.word = word
        self.status = status


LOG_ABOUT = "about"
"""In a request's line: the object with what is the same in many lines of a connection. Its reader knows it by its bytes."""
LOG_KIND_REQUEST = "request"
LOG_KIND_HANDSHAKE = "handshake"
LOG_KIND_CONNECTION = "connection"
