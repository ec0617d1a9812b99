"""The extensions of one certificate, looked up by type.

Not here: the meaning of an extension.
Standard: RFC 5280 section 4.2.
"""

from __future__ import annotations

from typing import TypeVar

from cryptography import x509

_T = TypeVar("_T", bound=x509.ExtensionType)


class Extensions:
    """The extensions as the library read them; each type has one object identifier.

    Args:
        certificate: parsed by the library; its extensions are parsed in this constructor.

    Raises:
        Exception: of any type, if an extension does not parse or occurs twice.
    """

    def __init__(self, certificate: x509.Certificate) -> None:
        self._every = tuple(certificate.extensions)
        values = [one.value for one in self._every]
        self._values = {type(one): one for one in values}

    @property
    def present(self) -> frozenset[str]:
        """The dotted object identifiers of all."""
        return frozenset(one.oid.dotted_string for one in self._every)

    @property
    def critical(self) -> frozenset[str]:
        """Those of the critical ones."""
        return frozenset(one.oid.dotted_string for one in self._every if one.critical)

    def find(self, kind: type[_T]) -> _T | None:
        """Return the extension of a type, or None."""
        value = self._values.get(kind)
        return value if isinstance(value, kind) else None
