"""Name subtrees as an operator writes them: `dns:clinic.example`, `ip:10.0.0.0/8`, `dn:O=Clinic`.

    dns:clinic.example       the host and all names below it
    email:clinic.example     every mailbox at exactly that host; with a dot before it, at every host below;
                             `email:alice@clinic.example` is one mailbox
    uri:clinic.example       every URI with exactly that host; with a dot before it, with a host below
    ip:10.0.0.0/8            a network, or one address
    dn:O=Clinic,C=DE         RFC 4514 text, most specific part first: names that begin with these parts,
                             which are the most general ones
    dns: and dn:             every name of the form; useful to exclude the form

The meaning is that of the certificate extension: an operator adds to an anchor what its authority could have written.

Not here: comparing (constraints).
Standard: RFC 5280 sections 4.2.1.10 and 6.1.1 (h), (i); RFC 4514.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

from cryptography import x509

from doorward.core.errors import MalformedInput
from doorward.verification.path.constraints import ConstrainedName, read_subtree

TEXT_LIMIT = 1024
"""Characters of one subtree; the longest host has 253, and honest directory names some hundred."""

_HINTS = {
    "dns": "write dns:clinic.example, without a dot or `*` before it",
    "email": "write email:clinic.example, email:.clinic.example or email:alice@clinic.example",
    "uri": "write uri:clinic.example or uri:.clinic.example: the host, not the URI",
    "ip": "write ip:10.0.0.0/8 or ip:2001:db8::/32, without bits set after the prefix",
    "dn": "write dn:O=Clinic,C=DE, most specific part first, without a space after the comma",
}


def _read_directory(text: str) -> x509.GeneralName:
    name = x509.Name.from_rfc4514_string(text) if text else x509.Name([])
    if any(not attribute.value for attribute in name):
        raise ValueError("an attribute has an empty value")
    return x509.DirectoryName(name)


_READERS: dict[str, Callable[[str], x509.GeneralName]] = {
    "dns": x509.DNSName,
    "email": x509.RFC822Name,
    "uri": x509.UniformResourceIdentifier,
    "ip": lambda text: x509.IPAddress(ip_network(text)),
    "dn": _read_directory,
}


def parse_subtree(text: str) -> ConstrainedName:
    """Return one subtree.

    Args:
        text: `<form>:<subtree>`, at most 1024 characters; see above.

    Raises:
        MalformedInput: `subtree-malformed`; the hint says how to write it.

    Standard: RFC 5280 section 4.2.1.10.
    """
    form, _, rest = text.partition(":")
    hint = _HINTS.get(form, "begin the subtree with one of dns:, email:, uri:, ip:, dn:")
    if form in _READERS and len(text) <= TEXT_LIMIT:
        try:
            subtree = read_subtree(_READERS[form](rest))
        except Exception as fault:  # a parser is total, whatever the library raises
            raise _malformed(text, hint) from fault
        if subtree.value is not None:
            return subtree
    raise _malformed(text, hint)


def _malformed(text: str, hint: str) -> MalformedInput:
    return MalformedInput("subtree-malformed", f"{text[:80]!a} is not a subtree of names", hint=hint)
