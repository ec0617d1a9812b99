"""Device fleets: enrolments of devices, tags, known serial numbers.

Not here: manufacturers (`manufacturers`), the use cases (`directory.fleets`).
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from doorward.core.errors import RequestRefused
from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import (
    from_microseconds,
    from_optional_microseconds,
    from_word,
    to_microseconds,
    to_optional_microseconds,
)
from doorward.stores.fleet_records import (
    ApprovalMode,
    DeviceEnrolmentRecord,
    EnrolmentState,
    EnrolmentTagRecord,
    FactorySerialRecord,
    SerialStanding,
)

_ENROLMENT_COLUMNS = """id, tenant, manufacturer_id, fingerprint, serial, subject, state, reason, tag, wanted_key,
    issued_key, source, contacts, keys, sources, principal_id, certificate_id, created_at, seen_at, decided_by, decided_at,
    factory_der"""
_ENROLMENTS = f"SELECT {_ENROLMENT_COLUMNS} FROM device_enrolments WHERE tenant = :this_tenant"  # noqa: S608  constants of this file
_STATES = "state IN (:state0, :state1, :state2, :state3, :state4)"
_ADD_ENROLMENT = DriverStatement(
    f"""INSERT INTO device_enrolments ({_ENROLMENT_COLUMNS})
    VALUES (:id, :this_tenant, :manufacturer_id, :fingerprint, :serial, :subject, :state, :reason, :tag, :wanted_key,
        :issued_key, :source, :contacts, :keys, :sources, :principal_id, :certificate_id, :created_at, :seen_at,
        :decided_by, :decided_at, :factory_der)
    ON CONFLICT (tenant, fingerprint) DO NOTHING"""  # noqa: S608  constants of this file
)
_ENROLMENT = DriverStatement(f"{_ENROLMENTS} AND id = :of")
_BY_FINGERPRINT = DriverStatement(f"{_ENROLMENTS} AND fingerprint = :fingerprint")
_BY_SERIAL = DriverStatement(
    f"{_ENROLMENTS} AND manufacturer_id = :manufacturer_id AND serial = :serial ORDER BY id LIMIT 10"
)
_BY_PRINCIPAL = DriverStatement(f"{_ENROLMENTS} AND principal_id = :of ORDER BY id LIMIT 100")
_LIST_ENROLMENTS = DriverStatement(f"{_ENROLMENTS} AND {_STATES} AND id > :after ORDER BY id LIMIT :most")
_LIST_ENROLMENTS_OF = DriverStatement(
    f"{_ENROLMENTS} AND {_STATES} AND manufacturer_id = :manufacturer_id AND id > :after ORDER BY id LIMIT :most"
)
_COUNT_ENROLMENTS = DriverStatement(
    "SELECT state, COUNT(*) FROM device_enrolments WHERE tenant = :this_tenant GROUP BY state"
)
_COUNT_ENROLMENTS_OF = DriverStatement(
    """SELECT state, COUNT(*) FROM device_enrolments
    WHERE tenant = :this_tenant AND manufacturer_id = :manufacturer_id GROUP BY state"""
)
_COUNT_IN = DriverStatement(
    """SELECT COUNT(*) FROM device_enrolments
    WHERE tenant = :this_tenant AND manufacturer_id = :manufacturer_id AND state = :state"""
)
_ADVANCE = DriverStatement(
    """UPDATE device_enrolments SET subject = :subject, state = :state, reason = :reason, tag = :tag,
        wanted_key = :wanted_key, issued_key = :issued_key, source = :source, contacts = :contacts, keys = :keys,
        sources = :sources, principal_id = :principal_id, certificate_id = :certificate_id, seen_at = :seen_at,
        decided_by = :decided_by, decided_at = :decided_at
    WHERE tenant = :this_tenant AND id = :id AND state = :state_before AND principal_id = :principal_before
        AND certificate_id = :certificate_before"""
)
_REMOVE_ENROLMENTS = DriverStatement(
    f"""DELETE FROM device_enrolments
    WHERE tenant = :this_tenant AND manufacturer_id = :manufacturer_id AND certificate_id = '' AND {_STATES}"""  # noqa: S608  constants of this file
)

_TAGS = """SELECT id, tenant, name, approval, groups, name_template, created_at, closed_at
    FROM enrolment_tags WHERE tenant = :this_tenant"""
_ADD_TAG = DriverStatement(
    """INSERT INTO enrolment_tags
        (id, tenant, name, approval, groups, name_template, created_at, closed_at)
    VALUES (:id, :this_tenant, :name, :approval, :groups, :name_template, :created_at, :closed_at)
    ON CONFLICT (tenant, name) DO NOTHING"""
)
_TAG_NAMED = DriverStatement(f"{_TAGS} AND name = :name")
_TAG_LIST = DriverStatement(f"{_TAGS} ORDER BY name")
_CHANGE_TAG = DriverStatement(
    """UPDATE enrolment_tags SET approval = :approval, groups = :groups, name_template = :name_template,
        closed_at = :closed_at
    WHERE tenant = :this_tenant AND id = :of"""
)
_CLOSE_TAG = DriverStatement(
    "UPDATE enrolment_tags SET closed_at = :at WHERE tenant = :this_tenant AND id = :of AND closed_at IS NULL"
)
_REMOVE_TAG = DriverStatement("DELETE FROM enrolment_tags WHERE tenant = :this_tenant AND id = :of")

_SAVE_SERIAL = DriverStatement(
    """INSERT INTO factory_serials (tenant, manufacturer_id, serial, standing, principal_id, created_at)
    VALUES (:this_tenant, :manufacturer_id, :serial, :standing, :principal_id, :created_at)
    ON CONFLICT (tenant, manufacturer_id, serial)
    DO UPDATE SET standing = excluded.standing, principal_id = excluded.principal_id"""
)
_SERIALS = """SELECT tenant, manufacturer_id, serial, standing, principal_id, created_at FROM factory_serials
    WHERE tenant = :this_tenant AND manufacturer_id = :manufacturer_id"""
_SERIAL = DriverStatement(f"{_SERIALS} AND serial = :serial")
_LIST_SERIALS = DriverStatement(
    f"{_SERIALS} AND standing = :standing AND serial > :after ORDER BY serial LIMIT :most"
)
_COUNT_SERIALS = DriverStatement(
    "SELECT COUNT(*) FROM factory_serials WHERE tenant = :this_tenant AND manufacturer_id = :manufacturer_id"
)
_COUNT_SERIALS_IN = DriverStatement(
    """SELECT COUNT(*) FROM factory_serials
    WHERE tenant = :this_tenant AND manufacturer_id = :manufacturer_id AND standing = :standing"""
)
_REMOVE_SERIALS = DriverStatement(
    "DELETE FROM factory_serials WHERE tenant = :this_tenant AND manufacturer_id = :manufacturer_id"
)


class SqlDeviceEnrolments:
    """`stores.fleet_protocols.DeviceEnrolmentStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, enrolment: DeviceEnrolmentRecord) -> bool:
        """Add an enrolment if its factory certificate has none."""
        self._transaction.require_writable(enrolment.tenant)
        values = {
            "id": enrolment.id,
            "manufacturer_id": enrolment.manufacturer_id,
            "fingerprint": enrolment.fingerprint,
            "serial": enrolment.serial,
            "factory_der": enrolment.factory_der,
            "created_at": to_microseconds(enrolment.created_at),
        }
        return self._transaction.driver_change(_ADD_ENROLMENT, **values, **_changing(enrolment)) == 1

    def get(self, enrolment_id: str) -> DeviceEnrolmentRecord | None:
        """Return the enrolment."""
        row = self._transaction.driver_row(_ENROLMENT, of=enrolment_id)
        return None if row is None else _enrolment(row)

    def by_fingerprint(self, fingerprint: str) -> DeviceEnrolmentRecord | None:
        """Return the enrolment of this factory certificate."""
        row = self._transaction.driver_row(_BY_FINGERPRINT, fingerprint=fingerprint)
        return None if row is None else _enrolment(row)

    def by_serial(self, manufacturer_id: str, serial: str) -> builtins.list[DeviceEnrolmentRecord]:
        """Return the enrolments with this serial number, oldest first; at most 10."""
        rows = self._transaction.driver_rows(_BY_SERIAL, manufacturer_id=manufacturer_id, serial=serial)
        return [_enrolment(row) for row in rows]

    def by_principal(self, principal_id: str) -> builtins.list[DeviceEnrolmentRecord]:
        """Return the enrolments of a device, oldest first; at most 100."""
        return [_enrolment(row) for row in self._transaction.driver_rows(_BY_PRINCIPAL, of=principal_id)]

    def list(
        self,
        *,
        states: Sequence[EnrolmentState],
        manufacturer_id: str = "",
        after_id: str = "",
        limit: int = 500,
    ) -> builtins.list[DeviceEnrolmentRecord]:
        """Return those in one of these states, in the order of their ids."""
        wanted = {"after": after_id, "most": limit, **_spread(states)}
        if manufacturer_id:
            rows = self._transaction.driver_rows(
                _LIST_ENROLMENTS_OF, manufacturer_id=manufacturer_id, **wanted
            )
        else:
            rows = self._transaction.driver_rows(_LIST_ENROLMENTS, **wanted)
        return [_enrolment(row) for row in rows]

    def count(self, manufacturer_id: str = "") -> Mapping[EnrolmentState, int]:
        """Return how many are in each state."""
        if manufacturer_id:
            rows = self._transaction.driver_rows(_COUNT_ENROLMENTS_OF, manufacturer_id=manufacturer_id)
        else:
            rows = self._transaction.driver_rows(_COUNT_ENROLMENTS)
        return {from_word(EnrolmentState, word): number for word, number in rows}

    def count_in(self, manufacturer_id: str, state: EnrolmentState) -> int:
        """Return how many of a manufacturer are in a state."""
        found = self._transaction.driver_value(_COUNT_IN, manufacturer_id=manufacturer_id, state=state.value)
        return int(found)

    def advance(self, before: DeviceEnrolmentRecord, after: DeviceEnrolmentRecord) -> bool:
        """Store the next state: one statement compares and sets, so only one caller succeeds."""
        changed = self._transaction.driver_change(
            _ADVANCE,
            id=before.id,
            state_before=before.state.value,
            principal_before=before.principal_id,
            certificate_before=before.certificate_id,
            **_changing(after),
        )
        return changed == 1

    def remove(self, manufacturer_id: str, states: Sequence[EnrolmentState]) -> int:
        """Remove those of a manufacturer that have no certificate."""
        return self._transaction.driver_change(
            _REMOVE_ENROLMENTS, manufacturer_id=manufacturer_id, **_spread(states)
        )


class SqlEnrolmentTags:
    """`stores.fleet_protocols.EnrolmentTagStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, tag: EnrolmentTagRecord) -> None:
        """Add a tag."""
        self._transaction.require_writable(tag.tenant)
        added = self._transaction.driver_change(
            _ADD_TAG,
            id=tag.id,
            name=tag.name,
            approval=tag.approval.value,
            groups=json.dumps(tag.groups),
            name_template=tag.name_template,
            created_at=to_microseconds(tag.created_at),
            closed_at=to_optional_microseconds(tag.closed_at),
        )
        if not added:
            raise RequestRefused(
                "name-taken",
                f"there is a tag named {tag.name} already",
                hint="choose another name; `doorward tag list` shows those in use",
            )

    def by_name(self, name: str) -> EnrolmentTagRecord | None:
        """Return the tag with this name."""
        row = self._transaction.driver_row(_TAG_NAMED, name=name)
        return None if row is None else _tag(row)

    def list(self) -> builtins.list[EnrolmentTagRecord]:
        """Return all, sorted by name."""
        return [_tag(row) for row in self._transaction.driver_rows(_TAG_LIST)]

    def change(self, tag: EnrolmentTagRecord) -> None:
        """Store what an operator changed."""
        self._transaction.driver_change(
            _CHANGE_TAG,
            of=tag.id,
            approval=tag.approval.value,
            groups=json.dumps(tag.groups),
            name_template=tag.name_template,
            closed_at=to_optional_microseconds(tag.closed_at),
        )

    def close(self, tag_id: str, closed_at: datetime) -> bool:
        """Close it: compare and set."""
        return self._transaction.driver_change(_CLOSE_TAG, of=tag_id, at=to_microseconds(closed_at)) == 1

    def remove(self, tag_id: str) -> bool:
        """Remove it."""
        return self._transaction.driver_change(_REMOVE_TAG, of=tag_id) == 1


class SqlFactorySerials:
    """`stores.fleet_protocols.FactorySerialStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def save(self, serial: FactorySerialRecord) -> None:
        """Insert or replace what was said about a serial number."""
        self._transaction.require_writable(serial.tenant)
        self._transaction.driver_change(
            _SAVE_SERIAL,
            manufacturer_id=serial.manufacturer_id,
            serial=serial.serial,
            standing=serial.standing.value,
            principal_id=serial.principal_id,
            created_at=to_microseconds(serial.created_at),
        )

    def get(self, manufacturer_id: str, serial: str) -> FactorySerialRecord | None:
        """Return what was said about a serial number."""
        row = self._transaction.driver_row(_SERIAL, manufacturer_id=manufacturer_id, serial=serial)
        return None if row is None else _serial(row)

    def list(
        self, manufacturer_id: str, standing: SerialStanding, *, after: str = "", limit: int = 500
    ) -> builtins.list[FactorySerialRecord]:
        """Return those with this standing, in the order of their serial numbers."""
        rows = self._transaction.driver_rows(
            _LIST_SERIALS,
            manufacturer_id=manufacturer_id,
            standing=standing.value,
            after=after,
            most=limit,
        )
        return [_serial(row) for row in rows]

    def count(self, manufacturer_id: str) -> int:
        """Return how many serial numbers were stated."""
        return int(self._transaction.driver_value(_COUNT_SERIALS, manufacturer_id=manufacturer_id))

    def count_in(self, manufacturer_id: str, standing: SerialStanding) -> int:
        """Return how many serial numbers have this standing."""
        found = self._transaction.driver_value(
            _COUNT_SERIALS_IN, manufacturer_id=manufacturer_id, standing=standing.value
        )
        return int(found)

    def remove_all(self, manufacturer_id: str) -> int:
        """Remove all of a manufacturer."""
        return self._transaction.driver_change(_REMOVE_SERIALS, manufacturer_id=manufacturer_id)


def _serial(row: DriverRow) -> FactorySerialRecord:
    tenant, of, number, standing, principal_id, created_at = row
    return FactorySerialRecord(
        tenant=tenant,
        manufacturer_id=of,
        serial=number,
        standing=from_word(SerialStanding, standing),
        principal_id=principal_id,
        created_at=from_microseconds(created_at),
    )


def _spread(states: Sequence[EnrolmentState]) -> dict[str, str]:
    """Return the parameters of `_STATES`; one state fills the places that are left."""
    words = [one.value for one in states] or [""]
    return {f"state{place}": words[min(place, len(words) - 1)] for place in range(len(EnrolmentState))}


def _changing(enrolment: DeviceEnrolmentRecord) -> dict[str, str | int | None]:
    """Return the columns that change during an enrolment."""
    return {
        "subject": enrolment.subject,
        "state": enrolment.state.value,
        "reason": enrolment.reason,
        "tag": enrolment.tag,
        "wanted_key": enrolment.wanted_key,
        "issued_key": enrolment.issued_key,
        "source": enrolment.source,
        "contacts": enrolment.contacts,
        "keys": enrolment.keys,
        "sources": enrolment.sources,
        "principal_id": enrolment.principal_id,
        "certificate_id": enrolment.certificate_id,
        "seen_at": to_microseconds(enrolment.seen_at),
        "decided_by": enrolment.decided_by,
        "decided_at": to_optional_microseconds(enrolment.decided_at),
    }


def _enrolment(row: DriverRow) -> DeviceEnrolmentRecord:
    names = [name.strip() for name in _ENROLMENT_COLUMNS.split(",")]
    values = dict(zip(names, row, strict=True))
    values["state"] = from_word(EnrolmentState, values["state"])
    for name in ("created_at", "seen_at"):
        values[name] = from_microseconds(values[name])
    values["decided_at"] = from_optional_microseconds(values["decided_at"])
    values["factory_der"] = bytes(values["factory_der"])
    return DeviceEnrolmentRecord(**values)


def _tag(row: DriverRow) -> EnrolmentTagRecord:
    id_, tenant, name, approval, groups, name_template, created_at, closed_at = row
    return EnrolmentTagRecord(
        id=id_,
        tenant=tenant,
        name=name,
        approval=from_word(ApprovalMode, approval),
        groups=tuple(json.loads(groups)),
        name_template=name_template,
        created_at=from_microseconds(created_at),
        closed_at=from_optional_microseconds(closed_at),
    )
