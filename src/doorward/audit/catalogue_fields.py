"""The public fields of events, each with its kind; a name has the same kind in every event type.

Not here: which event type has which fields (`catalogue`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType


class FieldKind(Enum):
    """The type of a public field. Most types exclude free text, so that names of people stay out of public fields."""

    __hash__ = object.__hash__  # Enum's own is slower, and each field of each event is looked up

    ID = "id"  # an opaque id such as crt_0123456789abcdefghij
    TOKEN = "token"  # noqa: S105  # printable ASCII without spaces: words, digests, rule ids
    MOMENT = "moment"  # an aware UTC datetime, kept as RFC 3339 text
    TEXT = "text"  # one line of any text
    INTEGER = "integer"  # within what a double holds exactly (RFC 8785)
    FLAG = "flag"  # true or false
    TOKENS = "tokens"  # a list of tokens; the order is kept


FIELDS: Mapping[str, FieldKind] = MappingProxyType(
    dict.fromkeys(
        (
            "application",
            "authority",
            "certificate",
            "decision",
            "device_enrolment",
            "enrolment",
            "factor",
            "former",
            "gateway",
            "group",
            "inner",
            "invitation",
            "manufacturer",
            "notice",
            "order",
            "partner",
            "principal",
            "replaces",
            "rollover",
            "session",
            "tag",
            "shown",
        ),
        FieldKind.ID,
    )
    | dict.fromkeys(
        (
            "about",
            "approval",
            "channel",
            "claimed_serial",
            "claimed_sha256",
            "connection",
            "crl_number",
            "domain",
            "identity",
            "incident",
            "key_kind",
            "kind",
            "means",
            "method",
            "partition",
            "profile",
            "protocol",
            "reason",
            "request",
            "response_flags",
            "revocation",
            "said",
            "serial",
            "session_key",
            "sha256",
            "template",
            "tls_version",
            "version",
        ),
        FieldKind.TOKEN,
    )
    | dict.fromkeys(
        (
            "anchors",
            "differences",
            "evidence",
            "factors",
            "grants",
            "groups",
            "hosts",
            "intermediates",
            "reasons",
            "rules",
            "types",
        ),
        FieldKind.TOKENS,
    )
    | dict.fromkeys(
        (
            "deadline",
            "expires_at",
            "from_at",
            "next_try_at",
            "next_update",
            "not_after",
            "not_before",
            "started_at",
            "this_update",
            "to_at",
        ),
        FieldKind.MOMENT,
    )
    | dict.fromkeys(
        (
            "detail",
            "group_name",
            "inner_name",
            "manufacturer_name",
            "name",
            "partner_name",
            "subject",
            "tag_name",
            "url",
        ),
        FieldKind.TEXT,
    )
    | dict.fromkeys(("can_cut", "everyone"), FieldKind.FLAG)
    | dict.fromkeys(
        (
            "applications",
            "attempts",
            "base_number",
            "bytes_received",
            "bytes_sent",
            "duration_ms",
            "entries",
            "epoch",
            "exit_code",
            "failures",
            "length",
            "level",
            "number",
            "pid",
            "revision",
            "rules_count",
            "short_lived_seconds",
            "signal",
            "status",
        ),
        FieldKind.INTEGER,
    )
)
"""A field name has the same meaning and the same kind in all event types."""
