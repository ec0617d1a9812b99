"""The closed catalogue of events: every type, its public fields, its personal fields, its retention.

Not here: the events themselves (`events`), their encoding (`leaf`). An event with a type that is not in
this table, or with a field that is not in its row, cannot be recorded. Public fields
stay in the log for ever, so this table alone decides which fields are public.

Public and personal fields:
    public    opaque ids, rule ids, digests, serial numbers, methods, status codes, reasons, names of
              applications and groups, names of our own authorities: needed to read the log at all
    personal  names of people and devices, subject and alternative names, network addresses,
              request paths (`/patients/jane-doe`), login names, unreadable log lines: stored outside of the
              leaf, which holds only a commitment to each value; each one can be erased
A field `claimed_*` holds what a peer claimed without proof; a reader must not take it for an identity.

Compatibility: a row may get new optional fields; no field is renamed or removed, and no field becomes
public that was personal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from doorward.audit.catalogue_fields import FIELDS
from doorward.audit.catalogue_fields import FieldKind as FieldKind  # noqa: PLC0414  for the readers of a row


class EventType(Enum):
    """Every kind of event, as `noun:past-verb`."""

    __hash__ = object.__hash__  # Enum's own is slower, and each field of each event is looked up

    AUTHORITY_CREATED = "authority:created"
    AUTHORITY_ROOT_EXPORTED = "authority:root-exported"
    AUTHORITY_ROOT_REMOVED = "authority:root-removed"
    AUTHORITY_ROLLOVER_REQUESTED = "authority:rollover-requested"
    AUTHORITY_ROLLOVER_PREPARED = "authority:rollover-prepared"
    AUTHORITY_ROLLOVER_ACTIVATED = "authority:rollover-activated"
    AUTHORITY_DRAIN_STARTED = "authority:drain-started"
    AUTHORITY_ROLLOVER_UNDONE = "authority:rollover-undone"
    AUTHORITY_ROLLOVER_RETIRED = "authority:rollover-retired"
    AUTHORITY_ROLLOVER_WITHDRAWN = "authority:rollover-withdrawn"
    AUTHORITY_ROLLOVER_FINISHED = "authority:rollover-finished"
    PARTNER_IMPORTED = "partner:imported"
    PARTNER_CHANGED = "partner:changed"
    PARTNER_REMOVED = "partner:removed"
    MANUFACTURER_IMPORTED = "manufacturer:imported"
    MANUFACTURER_CHANGED = "manufacturer:changed"
    MANUFACTURER_REMOVED = "manufacturer:removed"
    TAG_CREATED = "tag:created"
    TAG_CHANGED = "tag:changed"
    TAG_REMOVED = "tag:removed"
    SERIAL_EXPECTED = "serial:expected"
    SERIAL_BARRED = "serial:barred"
    DEVICE_PENDING = "device:pending"
    DEVICE_APPROVED = "device:approved"
    DEVICE_REFUSED = "device:refused"
    DEVICE_ENROLLED = "device:enrolled"
    DEVICE_DUPLICATE = "device:duplicate"
    PRINCIPAL_CREATED = "principal:created"
    PRINCIPAL_CHANGED = "principal:changed"
    PRINCIPAL_SUSPENDED = "principal:suspended"
    PRINCIPAL_RESUMED = "principal:resumed"
    PRINCIPAL_REMOVED = "principal:removed"
    GROUP_CREATED = "group:created"
    GROUP_REMOVED = "group:removed"
    GROUP_MEMBER_ADDED = "group:member-added"
    GROUP_MEMBER_REMOVED = "group:member-removed"
    GROUP_NESTED = "group:nested"
    GROUP_UNNESTED = "group:unnested"
    INVITATION_CREATED = "invitation:created"
    INVITATION_REDEEMED = "invitation:redeemed"
    INVITATION_REFUSED = "invitation:refused"
    INVITATION_VOIDED = "invitation:voided"
    CERTIFICATE_INTENDED = "certificate:intended"
    CERTIFICATE_ISSUED = "certificate:issued"
    CERTIFICATE_REFUSED = "certificate:refused"
    CERTIFICATE_RENEWED = "certificate:renewed"
    CERTIFICATE_REVOKED = "certificate:revoked"
    CERTIFICATE_HELD = "certificate:held"
    CERTIFICATE_RELEASED = "certificate:released"
    CERTIFICATE_SEEN = "certificate:seen"
    CERTIFICATE_NAMED = "certificate:named"
    CERTIFICATE_LOST = "certificate:lost"
    CERTIFICATE_KEY_GENERATED = "certificate:key-generated"
    CERTIFICATE_CLONE_SUSPECTED = "certificate:clone-suspected"
    CERTIFICATE_CLONE_CLEARED = "certificate:clone-cleared"
    RENEWAL_GRANTED = "renewal:granted"
    RENEWAL_REFUSED = "renewal:refused"
    CRL_PUBLISHED = "crl:published"
    EVIDENCE_STORED = "evidence:stored"
    EVIDENCE_REFUSED = "evidence:refused"
    EVIDENCE_UNAVAILABLE = "evidence:unavailable"
    POLICY_APPLIED = "policy:applied"
    APPLICATION_CREATED = "application:created"
    APPLICATION_REMOVED = "application:removed"
    GATEWAY_STARTED = "gateway:started"
    GATEWAY_STOPPED = "gateway:stopped"
    GATEWAY_PUBLISHED = "gateway:published"
    GATEWAY_ROLLED_BACK = "gateway:rolled-back"
    ENVOY_STARTED = "envoy:started"
    ENVOY_DIED = "envoy:died"
    SESSION_OPENED = "session:opened"
    SESSION_ENDED = "session:ended"
    SESSION_REFUSED = "session:refused"
    CONNECTION_ADMITTED = "connection:admitted"
    CONNECTION_REFUSED = "connection:refused"
    CONNECTION_ANONYMOUS = "connection:anonymous"
    CONNECTION_CUT = "connection:cut"
    CONNECTION_CLOSED = "connection:closed"
    REQUEST_ANSWERED = "request:answered"
    HANDSHAKE_FAILED = "handshake:failed"
    ACCESS_GAP = "access:gap"
    ACCESS_MALFORMED = "access:malformed"
    EVENTS_COUNTED = "events:counted"
    FACTOR_INVITED = "factor:invited"
    NOTICE_SENT = "notice:sent"
    NOTICE_GIVEN_UP = "notice:given-up"
    FACTOR_ENROLLED = "factor:enrolled"
    FACTOR_REMOVED = "factor:removed"
    FACTOR_RESET = "factor:reset"
    FACTOR_CHECKED = "factor:checked"
    FACTOR_FAILED = "factor:failed"
    SESSION_KEY_ROTATED = "session-key:rotated"
    INCIDENT_EXPLAINED = "incident:explained"
    PERSONAL_ERASED = "personal:erased"
    SERVER_CERTIFICATE_OBTAINED = "server-certificate:obtained"
    SERVER_CERTIFICATE_FAILED = "server-certificate:failed"


class Retention(Enum):
    """The class by which personal data of an event is erased: `doorward audit erase --class`."""

    OPERATION = "operation"
    IDENTITY = "identity"
    DECISION = "decision"
    ACCESS = "access"


ACTOR_FIELDS = frozenset({"source"})
"""Personal fields that every type has."""
_BY_ADMINISTRATORS = frozenset({Retention.OPERATION, Retention.IDENTITY})


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSpec:
    """One row of the catalogue.

    `fields` are the public fields with their kinds; `required` are the fields that an event must have. `personal`
    fields are always optional, because they may be unknown; their values are text.
    """

    fields: Mapping[str, FieldKind]
    required: frozenset[str]
    personal: frozenset[str]
    retention: Retention

    @property
    def about_actor(self) -> frozenset[str]:
        """The personal fields that are about the actor, not about the principal in the event.

        If an administrator acts, `source` is the administrator's address. In an event of a connection or a request,
        `source` is the caller's address, even if the gateway is the actor (it cuts, it refuses).
        """
        return ACTOR_FIELDS if self.retention in _BY_ADMINISTRATORS else frozenset()


def _spec(retention: Retention, required: str, optional: str = "", personal: str = "") -> EventSpec:
    return EventSpec(
        fields=MappingProxyType({name: FIELDS[name] for name in f"{required} {optional}".split()}),
        required=frozenset(required.split()),
        personal=ACTOR_FIELDS | frozenset(personal.split()),
        retention=retention,
    )


_OPERATION, _IDENTITY = Retention.OPERATION, Retention.IDENTITY
_DECISION, _ACCESS = Retention.DECISION, Retention.ACCESS
_CLAIMED = "claimed_subject claimed_san claimed_issuer claimed_server_name"
_TERMS = "revocation kind identity everyone"
_TERMS_AND_AUTHORITIES = "domain groups anchors intermediates number sha256 short_lived_seconds"
_ENROLMENT = "sha256 reason principal certificate"
_OF_DEVICE = "name subject factory_serial"
_CERTIFICATE = "authority serial sha256 profile key_kind not_before not_after"

CATALOGUE: Mapping[EventType, EventSpec] = MappingProxyType(
    {
        EventType.AUTHORITY_CREATED: _spec(
            _OPERATION, "authority kind sha256", "subject key_kind not_before not_after"
        ),
        EventType.AUTHORITY_ROOT_EXPORTED: _spec(_OPERATION, "authority", "sha256"),
        EventType.AUTHORITY_ROOT_REMOVED: _spec(_OPERATION, "authority", "sha256"),
        EventType.AUTHORITY_ROLLOVER_REQUESTED: _spec(_OPERATION, "rollover former"),
        EventType.AUTHORITY_ROLLOVER_PREPARED: _spec(_OPERATION, "rollover former authority"),
        EventType.AUTHORITY_ROLLOVER_ACTIVATED: _spec(_OPERATION, "rollover former authority"),
        EventType.AUTHORITY_DRAIN_STARTED: _spec(_OPERATION, "rollover former authority"),
        EventType.AUTHORITY_ROLLOVER_UNDONE: _spec(_OPERATION, "rollover former authority"),
        EventType.AUTHORITY_ROLLOVER_RETIRED: _spec(_OPERATION, "rollover former authority number"),
        EventType.AUTHORITY_ROLLOVER_WITHDRAWN: _spec(_OPERATION, "rollover former number", "authority"),
        EventType.AUTHORITY_ROLLOVER_FINISHED: _spec(_OPERATION, "rollover former", "authority"),
        EventType.PARTNER_IMPORTED: _spec(
            _OPERATION, f"partner partner_name {_TERMS}", _TERMS_AND_AUTHORITIES
        ),
        EventType.PARTNER_CHANGED: _spec(
            _OPERATION, f"partner partner_name {_TERMS}", _TERMS_AND_AUTHORITIES
        ),
        EventType.PARTNER_REMOVED: _spec(_OPERATION, "partner partner_name", "number"),
        EventType.MANUFACTURER_IMPORTED: _spec(
            _OPERATION, "manufacturer manufacturer_name", "anchors intermediates number sha256 tag_name"
        ),
        EventType.MANUFACTURER_CHANGED: _spec(
            _OPERATION, "manufacturer manufacturer_name number", "tag_name"
        ),
        EventType.MANUFACTURER_REMOVED: _spec(_OPERATION, "manufacturer manufacturer_name", "number"),
        EventType.TAG_CREATED: _spec(_OPERATION, "tag tag_name approval", "groups template"),
        EventType.TAG_CHANGED: _spec(_OPERATION, "tag tag_name approval", "groups template"),
        EventType.TAG_REMOVED: _spec(_OPERATION, "tag tag_name"),
        EventType.SERIAL_EXPECTED: _spec(_IDENTITY, "manufacturer", "principal", "name factory_serial"),
        EventType.SERIAL_BARRED: _spec(_IDENTITY, "manufacturer", "", "factory_serial"),
        EventType.DEVICE_PENDING: _spec(_IDENTITY, "device_enrolment manufacturer", _ENROLMENT, _OF_DEVICE),
        EventType.DEVICE_APPROVED: _spec(
            _IDENTITY, "device_enrolment manufacturer principal", "sha256 reason certificate", _OF_DEVICE
        ),
        EventType.DEVICE_REFUSED: _spec(_IDENTITY, "device_enrolment manufacturer", _ENROLMENT, _OF_DEVICE),
        EventType.DEVICE_ENROLLED: _spec(
            _IDENTITY, "device_enrolment manufacturer principal certificate", "sha256 reason", _OF_DEVICE
        ),
        EventType.DEVICE_DUPLICATE: _spec(
            _IDENTITY, "device_enrolment manufacturer principal certificate", "sha256 reason", _OF_DEVICE
        ),
        EventType.PRINCIPAL_CREATED: _spec(_IDENTITY, "principal kind", "partner", "name display_name"),
        EventType.PRINCIPAL_CHANGED: _spec(_IDENTITY, "principal", "", "name display_name mail_address"),
        EventType.PRINCIPAL_SUSPENDED: _spec(_IDENTITY, "principal", "reason", "name"),
        EventType.PRINCIPAL_RESUMED: _spec(_IDENTITY, "principal", "reason", "name"),
        EventType.PRINCIPAL_REMOVED: _spec(_IDENTITY, "principal", "reason", "name"),
        EventType.GROUP_CREATED: _spec(_IDENTITY, "group", "group_name"),
        EventType.GROUP_REMOVED: _spec(_IDENTITY, "group", "group_name"),
        EventType.GROUP_MEMBER_ADDED: _spec(_IDENTITY, "group principal", "group_name", "name"),
        EventType.GROUP_MEMBER_REMOVED: _spec(_IDENTITY, "group principal", "group_name", "name"),
        EventType.GROUP_NESTED: _spec(_IDENTITY, "group inner", "group_name inner_name"),
        EventType.GROUP_UNNESTED: _spec(_IDENTITY, "group inner", "group_name inner_name"),
        EventType.INVITATION_CREATED: _spec(
            _IDENTITY, "invitation principal", "expires_at profile certificate", "name"
        ),
        EventType.INVITATION_REDEEMED: _spec(_IDENTITY, "invitation principal", "certificate", "name"),
        EventType.INVITATION_REFUSED: _spec(_IDENTITY, "reason", "invitation principal", "name"),
        EventType.INVITATION_VOIDED: _spec(_IDENTITY, "invitation principal reason", "", "name"),
        EventType.CERTIFICATE_INTENDED: _spec(
            _IDENTITY, "certificate principal", _CERTIFICATE, "subject san name"
        ),
        EventType.CERTIFICATE_ISSUED: _spec(
            _IDENTITY,
            "certificate principal serial sha256",
            "authority profile key_kind not_before not_after",
            "subject san name",
        ),
        EventType.CERTIFICATE_REFUSED: _spec(
            _IDENTITY, "reasons", "certificate principal authority profile key_kind", "subject san name"
        ),
        EventType.CERTIFICATE_RENEWED: _spec(
            _IDENTITY, "certificate replaces principal", _CERTIFICATE, "subject san name"
        ),
        EventType.CERTIFICATE_REVOKED: _spec(
            _IDENTITY, "certificate reason", "principal authority serial sha256", "subject san name"
        ),
        EventType.CERTIFICATE_HELD: _spec(
            _IDENTITY, "certificate", "principal authority serial sha256 reason", "subject san name"
        ),
        EventType.CERTIFICATE_RELEASED: _spec(
            _IDENTITY, "certificate", "principal authority serial sha256 reason", "subject san name"
        ),
        EventType.CERTIFICATE_SEEN: _spec(
            _IDENTITY,
            "certificate partner serial sha256",
            "authority principal not_before not_after",
            "subject san",
        ),
        EventType.CERTIFICATE_NAMED: _spec(_IDENTITY, "certificate principal", "", "name"),
        EventType.CERTIFICATE_LOST: _spec(_IDENTITY, "certificate principal", "", "name"),
        EventType.CERTIFICATE_KEY_GENERATED: _spec(_IDENTITY, "certificate principal", "", "name"),
        EventType.CERTIFICATE_CLONE_SUSPECTED: _spec(
            _IDENTITY, "certificate shown principal number", "", "name"
        ),
        EventType.CERTIFICATE_CLONE_CLEARED: _spec(_IDENTITY, "certificate principal", "", "name"),
        EventType.RENEWAL_GRANTED: _spec(_IDENTITY, "certificate principal factor", "", "name"),
        EventType.RENEWAL_REFUSED: _spec(_IDENTITY, "reasons", "principal factor certificate", "name"),
        EventType.CRL_PUBLISHED: _spec(
            _OPERATION, "authority number entries", "partition base_number sha256 this_update next_update"
        ),
        EventType.EVIDENCE_STORED: _spec(
            _OPERATION, "partner kind url sha256 this_update", "about next_update number crl_number said"
        ),
        EventType.EVIDENCE_REFUSED: _spec(_OPERATION, "partner kind url reason", "about detail"),
        EventType.EVIDENCE_UNAVAILABLE: _spec(_OPERATION, "partner kind url reason", "about detail"),
        EventType.POLICY_APPLIED: _spec(_OPERATION, "revision sha256", "applications rules_count"),
        EventType.APPLICATION_CREATED: _spec(_OPERATION, "application name", "hosts revision"),
        EventType.APPLICATION_REMOVED: _spec(_OPERATION, "application", "name revision"),
        EventType.GATEWAY_STARTED: _spec(_OPERATION, "gateway", "version can_cut revision"),
        EventType.GATEWAY_STOPPED: _spec(_OPERATION, "gateway", "reason"),
        EventType.GATEWAY_PUBLISHED: _spec(_OPERATION, "gateway revision", "sha256"),
        EventType.GATEWAY_ROLLED_BACK: _spec(_OPERATION, "gateway revision reason", "sha256 detail"),
        EventType.ENVOY_STARTED: _spec(_OPERATION, "gateway", "pid version epoch"),
        EventType.ENVOY_DIED: _spec(_OPERATION, "gateway", "pid exit_code signal epoch"),
        EventType.SESSION_OPENED: _spec(
            _DECISION,
            "session principal application factors",
            "certificate level expires_at",
            "name",
        ),
        EventType.SESSION_ENDED: _spec(
            _DECISION, "principal reason", "application session number certificate", "name"
        ),
        EventType.SESSION_REFUSED: _spec(
            _DECISION, "principal application reason", "certificate session", "name"
        ),
        EventType.CONNECTION_ADMITTED: _spec(
            _DECISION,
            "connection gateway application certificate principal",
            "partner reasons evidence grants deadline revision sha256",
            "name",
        ),
        EventType.CONNECTION_REFUSED: _spec(
            _DECISION,
            "gateway reasons",
            "connection application certificate partner principal revision detail evidence claimed_sha256 "
            "claimed_serial",
            f"name {_CLAIMED}",
        ),
        EventType.CONNECTION_ANONYMOUS: _spec(
            _DECISION,
            "gateway reasons",
            "connection application certificate partner principal revision detail evidence claimed_sha256 "
            "claimed_serial",
            f"name {_CLAIMED}",
        ),
        EventType.CONNECTION_CUT: _spec(
            _DECISION, "connection gateway reason", "application certificate principal means revision", "name"
        ),
        EventType.CONNECTION_CLOSED: _spec(
            _ACCESS,
            "gateway",
            "application connection certificate principal decision reason duration_ms bytes_sent bytes_received "
            "started_at response_flags",
            "name",
        ),
        EventType.REQUEST_ANSWERED: _spec(
            _ACCESS,
            "gateway method status",
            "application connection certificate principal decision request rules reason detail protocol "
            "duration_ms bytes_sent bytes_received started_at response_flags attempts",
            "name path",
        ),
        EventType.HANDSHAKE_FAILED: _spec(
            _ACCESS,
            "gateway reason",
            "application connection detail tls_version claimed_sha256 claimed_serial started_at",
            _CLAIMED,
        ),
        EventType.ACCESS_GAP: _spec(_ACCESS, "gateway reason from_at to_at"),
        EventType.ACCESS_MALFORMED: _spec(_ACCESS, "gateway reason", "length sha256", "line"),
        EventType.EVENTS_COUNTED: _spec(
            _ACCESS, "gateway reason number from_at to_at types", "certificate", "claimed_server_name"
        ),
        EventType.FACTOR_INVITED: _spec(_IDENTITY, "principal enrolment", "certificate expires_at", "name"),
        EventType.NOTICE_SENT: _spec(_OPERATION, "notice kind channel", "certificate"),
        EventType.NOTICE_GIVEN_UP: _spec(_OPERATION, "notice kind channel", "certificate"),
        EventType.FACTOR_ENROLLED: _spec(
            _IDENTITY, "principal factor kind", "certificate enrolment number", "name"
        ),
        EventType.FACTOR_REMOVED: _spec(_IDENTITY, "principal factor kind", "certificate reason", "name"),
        EventType.FACTOR_RESET: _spec(_IDENTITY, "principal", "number reason", "name"),
        EventType.FACTOR_CHECKED: _spec(
            _DECISION, "principal kind", "factor certificate application session number", "name"
        ),
        EventType.FACTOR_FAILED: _spec(
            _DECISION, "reason", "principal kind factor certificate application number from_at to_at", "name"
        ),
        EventType.SESSION_KEY_ROTATED: _spec(_OPERATION, "session_key", "reason"),
        EventType.INCIDENT_EXPLAINED: _spec(_IDENTITY, "principal", "incident certificate reason", "name"),
        EventType.PERSONAL_ERASED: _spec(_OPERATION, "", "principal kind to_at"),
        EventType.SERVER_CERTIFICATE_OBTAINED: _spec(
            _OPERATION, "order gateway serial not_after", "differences", "names issuer"
        ),
        EventType.SERVER_CERTIFICATE_FAILED: _spec(
            _OPERATION, "order gateway reason", "failures next_try_at", "names explanation"
        ),
    }
)
"""Every event type with its row; the tests check that no type is missing."""


def list_event_names() -> list[str]:
    """Return the names that select events: every type, and the nouns before the colon; sorted."""
    types = {one.value for one in EventType}
    return sorted(types | {one.partition(":")[0] for one in types})
