"""The extensions of one certificate, looked up by type.

Not here: the meaning of an extension.
Standard: RFC 5280 section 4.2.
"""

from __future__ import annotations

from typing import TypeVar

from cryptography import x509

_T = TypeVar("_T", bound=x509.ExtensionType)


class Extensions:
    """The extensions as the library read them; `present` and `critical` are dotted object identifiers.

    Args:
        certificate: parsed by the library; its extensions are parsed in this constructor.

    Raises:
        Exception: of any type, if an extension does not parse or occurs twice.
    """

    def __init__(self, certificate: x509.Certificate) -> None:
        every = [(one.oid.dotted_string, one) for one in certificate.extensions]
        self._values = {dotted: one.value for dotted, one in every}
        self.present = frozenset(self._values)
        self.critical = frozenset(dotted for dotted, one in every if one.critical)

    def find(self, kind: type[_T]) -> _T | None:
        """Return the extension of a type, or None."""
        value = self._values.get(kind.oid.dotted_string)
        return value if isinstance(value, kind) else None
