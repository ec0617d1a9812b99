"""Complete CRLs and deltas read back by the library, and put together by the words of RFC 5280 section 5.2.4."""

from __future__ import annotations

from cryptography import x509


def entries_of(der: bytes) -> dict[int, str]:
    """The serial numbers of a CRL with their reasons; no reason is `unspecified`."""
    found: dict[int, str] = {}
    for entry in x509.load_der_x509_crl(der):
        assert entry.serial_number not in found
        reasons = [one.value.reason.name for one in entry.extensions]
        found[entry.serial_number] = reasons[0] if reasons else "unspecified"
    return found


def number_of(der: bytes) -> int:
    """The CRL number."""
    crl = x509.load_der_x509_crl(der)
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def base_number(der: bytes) -> int:
    """BaseCRLNumber of a delta."""
    crl = x509.load_der_x509_crl(der)
    return crl.extensions.get_extension_for_class(x509.DeltaCRLIndicator).value.crl_number


def freshest(der: bytes) -> str | None:
    """The address of the delta that a CRL names, if it names one; it must not be critical."""
    crl = x509.load_der_x509_crl(der)
    try:
        extension = crl.extensions.get_extension_for_class(x509.FreshestCRL)
    except x509.ExtensionNotFound:
        return None
    assert not extension.critical
    (point,) = extension.value
    (name,) = point.full_name or ()
    return str(name.value)


def apply_delta(complete: bytes, delta: bytes) -> dict[int, str]:
    """What both say together; a delta that is not newer changes nothing.

    It must be allowed to extend this list: same issuer, scope and key, and a base that is not later.
    """
    if number_of(delta) <= number_of(complete):
        return entries_of(complete)
    one, other = x509.load_der_x509_crl(complete), x509.load_der_x509_crl(delta)
    assert base_number(delta) <= number_of(complete)
    assert one.issuer == other.issuer
    for kind in (x509.IssuingDistributionPoint, x509.AuthorityKeyIdentifier):
        assert _find(one, kind) == _find(other, kind)
    together = entries_of(complete) | entries_of(delta)
    return {serial: reason for serial, reason in together.items() if reason != "remove_from_crl"}


def _find(crl: x509.CertificateRevocationList, kind: type[x509.ExtensionType]) -> object:
    try:
        return crl.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
