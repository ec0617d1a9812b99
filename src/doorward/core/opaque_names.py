"""A general name in a certificate that cannot be decoded. It is kept as bytes, which can be compared and shown.

Not here: why it cannot be decoded (verification.path.rewriting). A module of its own, because most commands import
`names` and must not load a certificate library.
Standard: RFC 5280 section 4.2.1.6.
"""

from __future__ import annotations

from cryptography import x509

OPAQUE_SHOWN = 256
"""Octets of one opaque name that a list or a log shows."""


class OpaqueName(x509.GeneralName):
    """A general name kept as bytes, because its type is unknown or its content does not fit its type.

    Args:
        der: the element, with its tag.
    """

    def __init__(self, der: bytes) -> None:
        self._der = der

    @property
    def value(self) -> bytes:
        """The element, with its tag."""
        return self._der

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OpaqueName) and other.value == self._der

    def __hash__(self) -> int:
        return hash(self._der)

    def __repr__(self) -> str:
        return f"<OpaqueName({self._der.hex()})>"


def render_opaque_name(name: OpaqueName) -> str:
    """Return `opaque:` and hexadecimal digits, shortened if there are many."""
    more = "..." if len(name.value) > OPAQUE_SHOWN else ""
    return f"opaque:{name.value[:OPAQUE_SHOWN].hex()}{more}"
