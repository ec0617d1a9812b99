"""Names and subtrees of names (RFC 5280 section 4.2.1.10), each read once, and whether one lies in the other.

1. The subject, where it is not empty, is a directory name; so is each directoryName.
2. An e-mail address in the subject counts where the certificate has no rfc822Name.
3. Excluded subtrees come first: a name in one is refused, whatever is permitted.
4. Where any permitted subtree has the form of the name, one of them must hold it.
5. What cannot be judged is refused where a constraint of its form exists: registeredID and otherName,
   and names or subtrees with text that is not of their form. A name that cannot be read at all counts as one of the
   form that its tag says; a subtree that cannot be read does not parse.
   An address beyond ASCII (SmtpUTF8Mailbox) is an e-mail address that cannot be judged: it must not
   escape the constraints of e-mail by its encoding (RFC 9598 section 6).

Each authority's subtrees are held against every certificate below it (validation). That is the same as
the intersection of permitted and the union of excluded subtrees of section 6.1: a name is in an
intersection exactly where it is in each part.

A wildcard name is in a permitted subtree where everything it stands for is, and in an excluded one
where anything is, some clients' reading included that it stands for several labels.

Not here: whether a certificate is somebody's (identity).
Standard: RFC 5280 section 4.2.1.10; host names in ASCII (RFC 9549).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from cryptography import x509
from cryptography.x509.oid import NameOID

from doorward.core.opaque_names import OpaqueName
from doorward.verification.path.names import CanonicalName, canonicalise_name

COMPARISON_LIMIT = 100_000
"""Comparisons of one judgement, a few tenths of a second at most. The largest honest constraints known
(whole countries' authorities) hold about 2,000 subtrees, and an honest certificate some ten names."""

DNS, EMAIL, URI, IP, DIRECTORY = "dns", "email", "uri", "ip", "directory"

_TEXTS: dict[type[x509.GeneralName], str] = {
    x509.DNSName: DNS,
    x509.RFC822Name: EMAIL,
    x509.UniformResourceIdentifier: URI,
}
"""The forms that are text; looked up, because each leaf of a partner comes by here."""

_OPAQUE_FORMS = {0x81: EMAIL, 0x82: DNS, 0x84: DIRECTORY, 0x86: URI, 0x87: IP, 0xA4: DIRECTORY}
"""Tag of a general name that cannot be read -> the form; the name must not escape the constraints of that form."""

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)*(?=[a-z0-9-]*[a-z_]){_LABEL}")  # the last label is no number
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART = re.compile(rf'{_ATOM}(?:\.{_ATOM})*|"(?:[ !#-\[\]-~]|\\[ -~])*"')
_AUTHORITY = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://(?:[A-Za-z0-9._~!$&'()*+,;=:%-]*@)?(?P<host>[^/?#@:\s\[\]]+)(?::[0-9]*)?(?:[/?#]\S*)?"
)
_HOST_LIMIT = 253  # RFC 1035 section 2.3.4
_SMTP_UTF8_MAILBOX = "1.3.6.1.5.5.7.8.9"


class NameRefused(Exception):
    """A name that the constraints do not allow; `str()` says which form and why."""


class ComparisonsExceeded(Exception):
    """There are more names and subtrees than one judgement may compare."""


@dataclass(slots=True)
class ComparisonBudget:
    """What is left of the comparisons of one judgement."""

    left: int = COMPARISON_LIMIT

    def take(self, count: int) -> None:
        """Count comparisons; raise `ComparisonsExceeded` where they are used up."""
        self.left -= count
        if self.left < 0:
            raise ComparisonsExceeded


@dataclass(frozen=True, slots=True)
class Host:
    """A host name in lower case; `wildcard` where `*.` stood before it (names only)."""

    text: str
    wildcard: bool = False


@dataclass(frozen=True, slots=True)
class HostTree:
    """A host name and all below it, every host where it is empty (subtrees of DNS names)."""

    text: str


@dataclass(frozen=True, slots=True)
class Domain:
    """All hosts below a domain, itself excluded: `.example.com` (subtrees of e-mail and URI)."""

    text: str


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address; the local part is compared exactly."""

    local: str
    host: str


Value = (
    Host
    | HostTree
    | Domain
    | Mailbox
    | IPv4Address
    | IPv6Address
    | IPv4Network
    | IPv6Network
    | CanonicalName
    | None
)
"""What a name or subtree says; None where it cannot be judged."""


_Reader = Callable[[str, str], Value]
"""Reads the text of a form, as a name or as a subtree."""


@dataclass(frozen=True, slots=True)
class ConstrainedName:
    """A name, or a subtree, of one form (`dns`, `email`, `uri`, `ip`, `directory`, or another's identifier)."""

    form: str
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Subtrees:
    """The nameConstraints of one authority, or the initial ones: form -> subtrees of that form."""

    permitted: dict[str, tuple[Value, ...]]
    excluded: dict[str, tuple[Value, ...]]


def read_subtrees(extension: x509.NameConstraints) -> Subtrees:
    """Return an authority's constraints, ready to compare."""
    return group_subtrees(
        [read_subtree(one) for one in extension.permitted_subtrees or ()],
        [read_subtree(one) for one in extension.excluded_subtrees or ()],
    )


def read_subtree(base: x509.GeneralName) -> ConstrainedName:
    """Return one subtree, ready to compare; its value is None where it cannot be judged."""
    return _read(base, _read_subtree)


def group_subtrees(permitted: Iterable[ConstrainedName], excluded: Iterable[ConstrainedName]) -> Subtrees:
    """Return constraints of single subtrees."""
    return Subtrees(permitted=_by_form(permitted), excluded=_by_form(excluded))


def read_names(
    subject: x509.Name, canonical: CanonicalName, alternative: Sequence[x509.GeneralName]
) -> tuple[ConstrainedName, ...]:
    """Return the names of a certificate that constraints apply to: steps 1 and 2.

    Args:
        subject: as the library read it.
        canonical: the same, as names are compared.
        alternative: the general names; the first names that are returned are theirs, one for one.
    """
    names = [_read(name, _read_name) for name in alternative]
    if canonical:
        names.append(ConstrainedName(DIRECTORY, canonical))
    if not any(name.form == EMAIL for name in names):
        addresses = subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)
        names += [ConstrainedName(EMAIL, _read_mailbox(str(one.value))) for one in addresses]
    return tuple(names)


def check_names(names: Iterable[ConstrainedName], subtrees: Subtrees, budget: ComparisonBudget) -> None:
    """Return where all names are within the constraints: steps 3 to 5.

    Raises:
        NameRefused: one of them is not.
        ComparisonsExceeded: the budget is used up.
    """
    for name in names:
        excluded = subtrees.excluded.get(name.form, ())
        permitted = subtrees.permitted.get(name.form, ())
        budget.take(len(excluded) + len(permitted))
        if any(_may_hold(subtree, name.value) for subtree in excluded):
            raise NameRefused(f"a name of the form {name.form} is in an excluded subtree")
        if permitted and not any(_holds(subtree, name.value) for subtree in permitted):
            raise NameRefused(f"a name of the form {name.form} is in no permitted subtree")


def _may_equal(
    wanted: tuple[tuple[str, str | bytes], ...], found: tuple[tuple[str, str | bytes], ...]
) -> bool:
    """Return whether two relative names may be one: an opaque value may be any value of its type."""
    if len(wanted) != len(found):
        return False
    left, right = sorted(wanted, key=_by_type), sorted(found, key=_by_type)
    return all(
        kind == other and (isinstance(value, bytes) or isinstance(there, bytes) or value == there)
        for (kind, value), (other, there) in zip(left, right, strict=True)
    )


def _by_type(pair: tuple[str, str | bytes]) -> str:
    return pair[0]


def _by_form(subtrees: Iterable[ConstrainedName]) -> dict[str, tuple[Value, ...]]:
    found: dict[str, list[Value]] = {}
    for subtree in subtrees:
        found.setdefault(subtree.form, []).append(subtree.value)
    return {form: tuple(values) for form, values in found.items()}


def _read(name: x509.GeneralName, read_text: _Reader) -> ConstrainedName:
    form = _TEXTS.get(type(name))
    if form is not None:
        return ConstrainedName(form, read_text(form, name.value))
    match name:
        case x509.IPAddress(value=address):
            return ConstrainedName(IP, address)
        case x509.DirectoryName(value=directory):
            return ConstrainedName(DIRECTORY, canonicalise_name(directory))
        case x509.OtherName(type_id=oid) if oid.dotted_string == _SMTP_UTF8_MAILBOX:
            return ConstrainedName(EMAIL, None)
        case x509.OtherName(type_id=oid):
            return ConstrainedName(f"other {oid.dotted_string}", None)
        case OpaqueName(value=der):
            return ConstrainedName(_OPAQUE_FORMS.get(der[0], f"tag {der[0]}"), None)
        case _:
            return ConstrainedName(type(name).__name__, None)


def _read_host(text: str) -> str | None:
    """Return a host name in lower case; None where it is none (an address, a space, a bad label).

    Beyond ASCII, lower case would make new hosts: the Kelvin sign becomes a `k`.
    """
    host = text.lower() if text.isascii() else ""
    return host if len(host) <= _HOST_LIMIT and _HOST.fullmatch(host) else None


def _read_mailbox(text: str) -> Mailbox | None:
    local, at, domain = text.rpartition("@")
    host = _read_host(domain)
    if not at or host is None or not _LOCAL_PART.fullmatch(local):
        return None
    return Mailbox(local, host)


def _read_name(form: str, text: str) -> Value:
    if form == EMAIL:
        return _read_mailbox(text)
    if form == URI:  # only one with a host can be within a subtree (4.2.1.10)
        authority = _AUTHORITY.fullmatch(text)
        host = _read_host(authority["host"]) if authority else None
        return Host(host) if host is not None else None
    wildcard = text.startswith("*.")
    host = _read_host(text[2:] if wildcard else text)
    return Host(host, wildcard) if host is not None else None


def _read_subtree(form: str, text: str) -> Value:
    if form == EMAIL and "@" in text:
        return _read_mailbox(text)
    if form == DNS:
        host = _read_host(text) if text else ""
        return HostTree(host) if host is not None else None
    host = _read_host(text.removeprefix("."))
    if host is None:
        return None
    return Domain(host) if text.startswith(".") else Host(host)


def _holds(subtree: Value, name: Value) -> bool:
    """Return whether a name is surely in a subtree of its form."""
    match subtree, name:
        case HostTree(text=tree), Host(text=host):
            return not tree or host == tree or host.endswith("." + tree)
        case Host(text=wanted), Host(text=host) | Mailbox(host=host):
            return host == wanted
        case Domain(text=domain), Host(text=host) | Mailbox(host=host):
            return host.endswith("." + domain)
        case Mailbox(), Mailbox():
            return subtree == name
        case IPv4Network(), IPv4Address():
            return name in subtree
        case IPv6Network(), IPv6Address():
            return name in subtree
        case tuple(), tuple():
            return name[: len(subtree)] == subtree
    return False


def _may_hold(subtree: Value, name: Value) -> bool:
    """Return whether a name may be in a subtree: what cannot be judged may, and so may a wildcard's child."""
    if subtree is None or name is None or _holds(subtree, name):
        return True
    match subtree, name:
        case HostTree(text=tree), Host(text=host, wildcard=True):
            return tree.endswith("." + host)
        case tuple(), tuple():
            return len(name) >= len(subtree) and all(map(_may_equal, subtree, name))
    return False
