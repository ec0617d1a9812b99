"""The tables of device fleets: manufacturers, enrolments of devices, tags, known serial numbers.

Not here: the other tables (`schema`, `schema_factors`).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, Table, Text, UniqueConstraint, text

from doorward.storage.schema_metadata import metadata, tenant_column
from doorward.storage.types import EnumText, TextList, Timestamp, closed_list
from doorward.stores.fleet_records import ApprovalMode, EnrolmentState, SerialStanding

manufacturers = Table(
    "manufacturers",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("name", Text, nullable=False),
    Column("tag", Text, nullable=False),
    Column("most_pending", BigInteger, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("removed_at", Timestamp),
)
Index(
    "uq_manufacturers_name_in_use",
    manufacturers.c.tenant,
    manufacturers.c.name,
    unique=True,
    sqlite_where=text("removed_at IS NULL"),
    postgresql_where=text("removed_at IS NULL"),
)

manufacturer_authorities = Table(
    "manufacturer_authorities",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("manufacturer_id", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("anchor", Boolean, nullable=False),
    Column("der", LargeBinary, nullable=False),
    Column("not_after", Timestamp, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    UniqueConstraint("manufacturer_id", "sha256"),
)

device_enrolments = Table(
    "device_enrolments",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("manufacturer_id", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("serial", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("state", EnumText(EnrolmentState), nullable=False),
    Column("reason", Text, nullable=False),
    Column("tag", Text, nullable=False),
    Column("wanted_key", Text, nullable=False),
    Column("issued_key", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("contacts", BigInteger, nullable=False),
    Column("keys", BigInteger, nullable=False),
    Column("sources", BigInteger, nullable=False),
    Column("principal_id", Text, nullable=False),
    Column("certificate_id", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("seen_at", Timestamp, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("decided_at", Timestamp),
    Column("factory_der", LargeBinary, nullable=False),
    closed_list("state", EnrolmentState),
    UniqueConstraint("tenant", "fingerprint"),
)
Index(
    "ix_device_enrolments_serial",
    device_enrolments.c.tenant,
    device_enrolments.c.manufacturer_id,
    device_enrolments.c.serial,
)
Index("ix_device_enrolments_principal", device_enrolments.c.tenant, device_enrolments.c.principal_id)
Index(
    "ix_device_enrolments_manufacturer",
    device_enrolments.c.tenant,
    device_enrolments.c.manufacturer_id,
    device_enrolments.c.state,
)
Index(
    "ix_device_enrolments_state",
    device_enrolments.c.tenant,
    device_enrolments.c.state,
    device_enrolments.c.id,
)

enrolment_tags = Table(
    "enrolment_tags",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("name", Text, nullable=False),
    Column("approval", EnumText(ApprovalMode), nullable=False),
    Column("groups", TextList, nullable=False),
    Column("name_template", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("closed_at", Timestamp),
    closed_list("approval", ApprovalMode),
    UniqueConstraint("tenant", "name"),
)

factory_serials = Table(
    "factory_serials",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("manufacturer_id", Text, primary_key=True),
    Column("serial", Text, primary_key=True),
    Column("standing", EnumText(SerialStanding), nullable=False),
    Column("principal_id", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    closed_list("standing", SerialStanding),
)
