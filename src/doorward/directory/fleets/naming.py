"""Templates: from a factory certificate to the name and the groups of a device.

    sensor-{serial}        serial number SN-0012 gives sensor-sn-0012
    site-{ou}              organizational unit Lyon gives site-lyon

A value is used as it is, in lower case. A value with any character that a name cannot have is refused and never
repaired: two different serial numbers must not become one name by a repair. If two differ in case only, the second
finds its name taken.

Not here: whether the name is free (`rules`).
Standard: RFC 4519 section 2, the attributes; IEEE 802.1AR-2018 section 8.6, serialNumber.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from doorward.core.errors import MalformedInput, RequestRefused
from doorward.core.names import parse_principal_name

TEMPLATE_LIMIT = 128
"""Characters: a name has at most 63."""

_OF_SUBJECT = {
    "serial": NameOID.SERIAL_NUMBER,
    "cn": NameOID.COMMON_NAME,
    "ou": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "o": NameOID.ORGANIZATION_NAME,
}
FIELDS = (*_OF_SUBJECT, "manufacturer")
"""What a template may name: attributes of the subject, and the name that the operator gave the manufacturer."""

_FIELD = re.compile(r"\{([a-z]+)\}")
_LITERAL = re.compile(r"[a-z0-9._-]*")
_VALUE = re.compile(r"[A-Za-z0-9._-]+")  # before it is lowered: the Kelvin sign becomes a k


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A parsed template: `literals` has one more element than `fields`, and they alternate."""

    text: str
    literals: tuple[str, ...]
    fields: tuple[str, ...]


def parse_template(text: str) -> Template:
    """Return a template.

    Args:
        text: letters of names, and fields in braces; at most 128 characters.

    Raises:
        MalformedInput: `template-malformed`.
    """
    pieces = _FIELD.split(text) if len(text) <= TEMPLATE_LIMIT else ["?"]
    literals, fields = pieces[::2], pieces[1::2]
    sound = all(_LITERAL.fullmatch(one) for one in literals) and all(one in FIELDS for one in fields)
    if not text or not sound:
        raise MalformedInput(
            "template-malformed",
            f"{text[:80]!a} is not a template",
            hint="write letters of names (a-z, 0-9, '.', '_', '-') and fields: "
            + ", ".join(f"{{{one}}}" for one in FIELDS),
        )
    return Template(text=text, literals=tuple(literals), fields=tuple(fields))


def render_template(template: Template, values: Mapping[str, str]) -> str:
    """Return the name that a template makes of the values of one factory certificate.

    Raises:
        RequestRefused: `template-unusable`: a field is missing or has a character that no name has, or the result is no name.
    """
    made = template.literals[0]
    for field, literal in zip(template.fields, template.literals[1:], strict=True):
        value = values.get(field, "")
        if not _VALUE.fullmatch(value):
            why = (
                "has a character that no name can have" if value else "is missing in the factory certificate"
            )
            raise _unusable(template, f"{{{field}}} {why}")
        made += value.lower() + literal
    try:
        return parse_principal_name(made)
    except MalformedInput as fault:
        raise _unusable(template, fault.detail) from fault


def read_fields(certificate: x509.Certificate, manufacturer: str) -> dict[str, str]:
    """Return the values for templates; an attribute that is missing, repeated or no text is left out."""
    found = {"manufacturer": manufacturer}
    for field, oid in _OF_SUBJECT.items():
        values = certificate.subject.get_attributes_for_oid(oid)
        if len(values) == 1 and isinstance(text := values[0].value, str):
            found[field] = text
    return found


def _unusable(template: Template, why: str) -> RequestRefused:
    return RequestRefused(
        "template-unusable",
        f"the template {template.text} gives no name: {why}",
        hint="approve this device with a name: `doorward device approve ID --name NAME`",
    )
