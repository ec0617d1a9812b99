"""The extensions of one certificate, each found by its kind.

Not here: what an extension means.
Standard: RFC 5280 section 4.2.
"""

from __future__ import annotations

from typing import TypeVar

from cryptography import x509

_T = TypeVar("_T", bound=x509.ExtensionType)


class Extensions:
    """What the library read of the extensions; `present` and `critical` are dotted object identifiers.

    Args:
        certificate: read by the library, which reads its extensions now.

    Raises:
        Exception: of any kind, where an extension does not parse or there are two of one kind.
    """

    def __init__(self, certificate: x509.Certificate) -> None:
        every = [(one.oid.dotted_string, one) for one in certificate.extensions]
        self._values = {dotted: one.value for dotted, one in every}
        self.present = frozenset(self._values)
        self.critical = frozenset(dotted for dotted, one in every if one.critical)

    def find(self, kind: type[_T]) -> _T | None:
        """Return the extension of a kind, or None."""
        value = self._values.get(kind.oid.dotted_string)
        return value if isinstance(value, kind) else None
