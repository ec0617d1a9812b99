"""The words that Envoy, the authorizer and the log reader share: keys, headers, field names.

Not here: any value of them. The authorizer answers with the METADATA words, the listener copies
them into connection filter state under the STATE words, routes and logs read only the latter.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType

METADATA_NAMESPACE = "envoy.filters.network.ext_authz"
"""Where Envoy keeps the authorizer's `dynamic_metadata`, whatever the filter is called."""


class ConnectionFact(Enum):
    """What the authorizer says of one connection; every value is a string, and all are always sent.

    A missing key would reach an application as the header value `-`; nested values as JSON.
    Values are printable ASCII: CR, LF or NUL would turn every request into a 503.
    """

    JUDGED = "judged"  # "1", and nothing else counts
    GRANTS = "grants"  # ",id,id,token,": policy.decision.render_grants, class token included; at most 4 KiB
    PRINCIPAL = "principal"  # the Doorward-Principal header: kind/name, percent-encoded
    PRINCIPAL_ID = "principal_id"  # per_…, dev_…, svc_…; only for the log
    CERTIFICATE = "certificate"  # crt_…
    CLIENT_CERT = "client_cert"  # RFC 9440 section 2.2: :base64 of the DER:
    ASSERTION = "assertion"  # ES256 JWT
    OWNER = "owner"  # the principal's segment in paths: policy.paths.owner_segment, or NOBODY
    DECISION = "decision"  # evt_… of the decision that admitted the connection
    EPOCH = "epoch"  # of sessions of this principal at this application: stores.epochs
    REASON = "reason"  # why a connection was not judged good (core.entities.Reason); NOT_REFUSED if it was

    @property
    def state_key(self) -> str:
        """The key of this fact in connection filter state."""
        return f"doorward.{self.value}"


JUDGED = "1"
"""The only value of `ConnectionFact.JUDGED` under which a request can pass."""

ANONYMOUS = "0"
"""`ConnectionFact.JUDGED` of a connection that lives without a good certificate: nothing but open paths and pages."""

NOT_REFUSED = "none"
"""`ConnectionFact.REASON` of a connection that was judged good: a fact is never empty."""

NOBODY = "?"
"""The owner of no path: no path of a request has this character, and a fact is never empty."""

IDENTITY_HEADERS = MappingProxyType(
    {
        "client-cert": ConnectionFact.CLIENT_CERT,
        "doorward-principal": ConnectionFact.PRINCIPAL,
        "doorward-certificate": ConnectionFact.CERTIFICATE,
        "doorward-assertion": ConnectionFact.ASSERTION,
    }
)
"""The headers that an application may believe, and the fact that each carries."""


CLAIMED_CERTIFICATE = "doorward-claimed-certificate"
"""URL-encoded PEM of what the peer of an unjudged connection showed: for a page that explains, never believed."""
REFUSAL = "doorward-refusal"
"""Why such a connection is not judged good: `ConnectionFact.REASON`."""
SOURCE = "doorward-source"
"""The peer's address as the authorizer hears it; in X-Forwarded-For Envoy writes its own for peers on loopback."""
APPLICATION = "doorward-application"
"""The id of the application at which our own surface is asked."""
SURFACE_HEADERS = (APPLICATION, CLAIMED_CERTIFICATE, REFUSAL, SOURCE)
"""What only our own surfaces hear of a request, and no application."""


class AuthorizerMetadata(Enum):
    """gRPC metadata keys of the authorizer's call: what Envoy and the kernel know of the connection."""

    APPLICATION = "x-doorward-application"  # the application's id, a constant of the chain, never from SNI
    CONNECTION = "x-doorward-connection"  # Envoy's connection id
    REMOTE = "x-doorward-remote"  # address:port as the kernel sees it
    LOCAL = "x-doorward-local"
    EPOCH = "x-doorward-epoch"  # the run of Envoy, a constant: one that drains enforces an older policy
    # SHA-256 of each certificate of the client's chain, leaf first. Own certificates are found by the leaf
    # alone; of another authority's chain Envoy hands over nothing else, so only this can name a missing link.
    CHAIN = "x-doorward-chain"


AUTHORIZER_CLUSTER = "doorward_authorizer"
SESSIONS_CLUSTER = "doorward_sessions"
"""Leads to what the door answers itself on the hosts of applications."""
ENROL_CHAIN = "doorward_enrol"
"""Name of the filter chain, route table and cluster of the open enrolment door."""

TRUST_SECRET = "trust"  # noqa: S105 - the name of the SDS resource with the issuing authorities
LISTENER = "door"

FOREIGN_PROTOCOL_CHAIN = "doorward_protocol"
"""Name of the filter chain that refuses clients which offer a protocol that a TCP application does not list."""

OWNER_FILTER = "doorward.owner"
"""Compares segments of the path with the principal's, where a route asks for it."""
SESSION_FILTER = "doorward.session"
"""Verifies the token of a session, where a route asks for it; its configuration is shared by all chains."""
BOUND_FILTER = "doorward.bound"
"""Says whether a session is the connection's, and which of the route's requirements it meets."""
STEP_UP_FILTER = "doorward.step-up"
"""Notes whether a request would be allowed with a second factor; refuses nothing."""
COOKIE_FILTERS = ("doorward.cookies", "doorward.cookie-field")
"""Take our own cookies out of requests."""
DENY_FILTER = "doorward.deny"
ALLOW_FILTER = "doorward.allow"
DESTINATION_FILTER = "doorward.destination"
STEP_UP_STATISTICS = "step_up_"
DENY_STATISTICS = "deny_"
ALLOW_STATISTICS = "allow_"
DESTINATION_STATISTICS = "destination_"
"""What the filters' results are prefixed with in metadata, so that neither overwrites the other's."""

FOREIGN_ORIGIN, PREFLIGHT, PREFLIGHT_REFUSED = "foreign-origin", "preflight", "preflight-refused"
PUBLIC = "public"
OWN_SURFACE = "own-surface"
PAGE = "page"
"""Names of routes: the log tells by them what answered, if no rule did."""


COOKIE_PREFIX = "__Host-doorward-"
SESSION_COOKIE = f"{COOKIE_PREFIX}session"
"""The token of a session, on an application's host."""
BEGIN_COOKIE = f"{COOKIE_PREFIX}begin"
"""The id of the request with which a step-up began: its answer is taken only together with it."""

RESERVED_PREFIX = "/_doorward"
"""Paths of every application that belong to the door; nothing of them reaches an upstream."""


class Refusal(Enum):
    """Why a route answers by itself: the route's name, which the log shows; and the status."""

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

    def __init__(self, word: str, status: int) -> None:
        self.word = word
        self.status = status


LOG_KIND_REQUEST = "request"
LOG_KIND_HANDSHAKE = "handshake"
LOG_KIND_CONNECTION = "connection"
