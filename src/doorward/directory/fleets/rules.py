"""May a device be approved without an operator, and what are its name and groups.

1. A barred serial number is refused.
2. A serial number that another factory certificate of the manufacturer had is for an operator: one of the two is a copy.
3. The tag's mode decides (`tags`). Devices of a manufacturer without a tag need a serial number that is expected.
4. An expected serial number may name a device of the directory; it gets no certificate beside one that it has.
5. Otherwise the template makes the name. A name that is taken, or that rules name, is for an operator. If its serial number
   is expected, the device gets a name that rules name: the operator meant this device.
   The name of a removed device waits for its rules in every case.
Each reason is a word that the operator sees beside the device.

Not here: carrying it out (`approving`), the operator's own decision.
Standard: docs/design/0081.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from doorward.authority.holder_certificates import has_certificate
from doorward.core.entities import Principal, PrincipalKind, PrincipalState
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.directory.fleets.naming import parse_template, read_fields, render_template
from doorward.directory.principals import refuse_taken_name
from doorward.stores.fleet_records import (
    ApprovalMode,
    DeviceEnrolmentRecord,
    EnrolmentTagRecord,
    FactorySerialRecord,
    ManufacturerRecord,
    SerialStanding,
)
from doorward.stores.freed_names import find_rules_naming, refuse_freed_name
from doorward.stores.protocols import Stores

BARRED = "serial-barred"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDecision:
    """Approved with a name (or a device of the directory) and groups; otherwise `reason` says why not.

    `closes` is the id of a tag that closes with this device.
    """

    approved: bool
    reason: str = ""
    name: str = ""
    groups: tuple[str, ...] = ()
    principal: Principal | None = None
    closes: str = ""
    actor: str = ""


def apply_rules(
    stores: Stores, enrolment: DeviceEnrolmentRecord, manufacturer: ManufacturerRecord, now: datetime
) -> RuleDecision:
    """Return what the manufacturer's tag says about a device; nothing is changed."""
    stated = _find_stated(stores, enrolment)
    if stated is not None and stated.standing is SerialStanding.BARRED:
        return _wait(BARRED)
    if _is_known(stores, enrolment):
        return _wait("serial-known")
    tag = stores.enrolment_tags.by_name(manufacturer.tag) if manufacturer.tag else None
    why = _find_hindrance(manufacturer, tag, expected=stated is not None)
    if why:
        return _wait(why)
    actor = tag.id if tag else manufacturer.id
    try:
        groups = make_groups(stores, enrolment, manufacturer, tag)
        if stated is not None and stated.principal_id:
            return _use_device(stores, stated.principal_id, groups, actor, now)
        name = make_name(enrolment, manufacturer, tag)
        refuse_taken_name(stores, name)
        refuse_freed_name(stores, PrincipalKind.DEVICE, name, "")
        if stated is None and find_rules_naming(stores, PrincipalKind.DEVICE, name):
            return _wait("name-in-rules")
    except (RequestRefused, MalformedInput) as fault:
        return _wait(fault.code)
    closes = tag.id if tag and tag.approval is ApprovalMode.FIRST else ""
    return RuleDecision(approved=True, name=name, groups=groups, closes=closes, actor=actor)


def refuse_barred(stores: Stores, enrolment: DeviceEnrolmentRecord) -> None:
    """Refuse a device with a barred serial number, in whichever state its enrolment is.

    Raises:
        RequestRefused: `serial-barred`.
    """
    stated = _find_stated(stores, enrolment)
    if stated is not None and stated.standing is SerialStanding.BARRED:
        raise RequestRefused(
            "serial-barred",
            "the serial number of this device is barred",
            hint="an operator can lift the bar: `doorward manufacturer expect NAME SERIAL --lift-bar`",
        )


def make_name(
    enrolment: DeviceEnrolmentRecord, manufacturer: ManufacturerRecord, tag: EnrolmentTagRecord | None
) -> str:
    """Return the name that the template of a tag gives a device.

    Raises:
        RequestRefused: `template-unusable`; `template-missing`: there is no template.
    """
    if tag is None or not tag.name_template:
        raise RequestRefused(
            "template-missing",
            f"{enrolment.id} needs a name: its manufacturer has no tag with a template",
            hint=f"`doorward device approve {enrolment.id} --name NAME`",
        )
    return render_template(parse_template(tag.name_template), _fields(enrolment, manufacturer))


def make_groups(
    stores: Stores,
    enrolment: DeviceEnrolmentRecord,
    manufacturer: ManufacturerRecord,
    tag: EnrolmentTagRecord | None,
) -> tuple[str, ...]:
    """Return the groups that a tag gives a device.

    Raises:
        RequestRefused: `template-unusable`; `group-unknown`: a group that a field names does not exist.
    """
    groups = []
    for text in tag.groups if tag else ():
        template = parse_template(text)
        group = render_template(template, _fields(enrolment, manufacturer)) if template.fields else text
        if template.fields and not stores.directory.has_group(group):
            raise RequestRefused(
                "group-unknown",
                f"there is no group named {group}, which the template {text} gives",
                hint=f"`doorward group create {group}`, if that is what you want",
            )
        groups.append(group)
    return tuple(groups)


def _find_stated(stores: Stores, enrolment: DeviceEnrolmentRecord) -> FactorySerialRecord | None:
    """Return what the operator said about the serial number of a device."""
    if not enrolment.serial:
        return None
    return stores.factory_serials.get(enrolment.manufacturer_id, enrolment.serial)


def _is_known(stores: Stores, enrolment: DeviceEnrolmentRecord) -> bool:
    """Step 2."""
    if not enrolment.serial:
        return False
    every = stores.device_enrolments.by_serial(enrolment.manufacturer_id, enrolment.serial)
    return any(one.fingerprint != enrolment.fingerprint for one in every)


def _find_hindrance(
    manufacturer: ManufacturerRecord, tag: EnrolmentTagRecord | None, *, expected: bool
) -> str:
    """Step 3."""
    if tag is None and manufacturer.tag:
        return "tag-unknown"
    mode = tag.approval if tag else ApprovalMode.EXPECTED
    if mode is ApprovalMode.OPERATOR:
        return "operator"
    if mode is ApprovalMode.EXPECTED and not expected:
        return "serial-not-expected"
    if mode is ApprovalMode.FIRST and tag and tag.closed_at is not None:
        return "tag-closed"
    return ""


def _use_device(
    stores: Stores, principal_id: str, groups: Sequence[str], actor: str, now: datetime
) -> RuleDecision:
    """Step 4."""
    device = stores.directory.get(principal_id)
    usable = device is not None and device.kind is PrincipalKind.DEVICE and not device.partner
    if device is None or not usable or device.state is not PrincipalState.ACTIVE:
        return _wait("device-not-active")
    if has_certificate(stores, device.id):
        return _wait("has-certificate")
    if stores.invitations.open_at(now, device.id):
        return _wait("invited")  # an operator chose another way; only an operator takes it back
    return RuleDecision(approved=True, name=device.name, groups=tuple(groups), principal=device, actor=actor)


def _fields(enrolment: DeviceEnrolmentRecord, manufacturer: ManufacturerRecord) -> dict[str, str]:
    return read_fields(x509.load_der_x509_certificate(enrolment.factory_der), manufacturer.name)


def _wait(reason: str) -> RuleDecision:
    return RuleDecision(approved=False, reason=reason)
