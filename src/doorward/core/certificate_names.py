"""Names in certificates: building subjects, and rendering names as text that is safe on one line.

Not here: names of principals and hosts (`names`), which most commands check without loading a certificate library
(docs/design/0049).
Standard: RFC 5280 sections 4.1.2.4 and 4.2.1.6, RFC 4514.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from doorward.core.errors import MalformedInput
from doorward.core.names import COMMON_NAME_LIMIT
from doorward.core.opaque_names import OpaqueName, render_opaque_name

_PRINTABLE = frozenset(chr(code) for code in range(0x21, 0x7F))


def build_subject(common_name: str, organization: str = "") -> x509.Name:
    """Return a subject with a common name and, before it, an organization if one is given.

    Raises:
        MalformedInput: `common-name-malformed` or `organization-malformed`: empty (common name),
            longer than 64 characters or bytes of UTF-8, or not printable.
    """
    attributes = [(NameOID.COMMON_NAME, "common-name-malformed", common_name)]
    if organization:
        attributes.insert(0, (NameOID.ORGANIZATION_NAME, "organization-malformed", organization))
    for _, code, value in attributes:
        fits = 0 < _utf8_length(value) <= COMMON_NAME_LIMIT
        if not fits or not value.isprintable() or value != value.strip():
            hint = f"write 1 to {COMMON_NAME_LIMIT} bytes of printable text, without spaces around it"
            raise MalformedInput(code, f"{value[:80]!a} cannot be a name in a certificate", hint=hint)
    return x509.Name([x509.NameAttribute(oid, value) for oid, _, value in attributes])


def _utf8_length(text: str) -> int:
    """Return the length in UTF-8. A lone surrogate counts as a character (it is not printable and is refused for that)."""
    return len(text.encode("utf-8", "surrogatepass"))


def render_distinguished_name(name: x509.Name) -> str:
    """Return the RFC 4514 text of a name, most specific part first, safe to print on one line."""
    return _one_line(name.rfc4514_string())


def render_general_name(general: x509.GeneralName) -> str:
    """Return a general name after its type: `URI:`, `DNS:`, `IP:`, `email:`, `DN:`, `RID:`, `other:`, `opaque:`.

    Characters that could break a line or a list in a log are percent-encoded.
    """
    match general:
        case x509.UniformResourceIdentifier(value=value):
            text = f"URI:{value}"
        case x509.DNSName(value=value):
            text = f"DNS:{value}"
        case x509.RFC822Name(value=value):
            text = f"email:{value}"
        case x509.IPAddress(value=address):
            text = f"IP:{address}"
        case x509.DirectoryName(value=name):
            return f"DN:{render_distinguished_name(name)}"
        case x509.RegisteredID(value=oid):
            text = f"RID:{oid.dotted_string}"
        case OpaqueName():
            text = render_opaque_name(general)
        case x509.OtherName(type_id=oid):
            text = f"other:{oid.dotted_string}"
        case _:
            text = "other:unknown"
    if text.isascii() and text.isprintable() and " " not in text:
        return text  # the usual case, kept fast: this runs once per connection
    return "".join(char if char in _PRINTABLE else _percent(char) for char in text)


def _one_line(text: str) -> str:
    """Return `text` with every character that is not printable percent-encoded; spaces stay."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _percent(char) for char in text)


def _percent(char: str) -> str:
    """Return the percent encoding of one character's UTF-8."""
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
