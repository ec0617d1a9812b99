"""Name constraints (RFC 5280 section 4.2.1.10): names and subtrees, each parsed once, and whether a name is in a subtree.

1. The subject, if it is not empty, is a directory name; so is each directoryName.
2. An e-mail address in the subject counts if the certificate has no rfc822Name.
3. Excluded subtrees come first: a name in one of them is refused, even if it is also in a permitted one.
4. If there are permitted subtrees of the form of a name, one of them must contain it.
5. A name that cannot be judged is refused if a constraint of its form exists: registeredID and otherName, and names
   or subtrees with text that is not of their form. A name that cannot be decoded has the form of its tag; a subtree
   that cannot be decoded does not parse.
   An address that is not ASCII (SmtpUTF8Mailbox) is an e-mail address that cannot be judged: its encoding must not
   let it avoid the constraints for e-mail (RFC 9598 section 6).

Each authority's subtrees are compared with every certificate below it (validation). The result is that of
section 6.1, which intersects permitted and unites excluded subtrees: a name is in an intersection exactly if it
is in each part.

A wildcard name is in a permitted subtree if every name that it stands for is; it is in an excluded subtree if any of
them is. Some clients let a wildcard stand for several labels, and this is assumed too.

Not here: the identity of the holder (identity).
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
"""Comparisons of one judgement, at most a few tenths of a second. The largest honest constraints known
(whole countries' authorities) have about 2,000 subtrees, and an honest certificate has some ten names."""

DNS, EMAIL, URI, IP, DIRECTORY = "dns", "email", "uri", "ip", "directory"

_TEXTS: dict[type[x509.GeneralName], str] = {
    x509.DNSName: DNS,
    x509.RFC822Name: EMAIL,
    x509.UniformResourceIdentifier: URI,
}
"""The forms that are text. A table, because it is read for each leaf of a partner and must be fast."""

_OPAQUE_FORMS = {0x81: EMAIL, 0x82: DNS, 0x84: DIRECTORY, 0x86: URI, 0x87: IP, 0xA4: DIRECTORY}
"""Tag of a general name that cannot be decoded -> its form, so that the name cannot avoid the constraints of that form."""

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)*(?=[a-z0-9-]*[a-z_]){_LABEL}")  # the last label is not a number
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART = re.compile(rf'{_ATOM}(?:\.{_ATOM})*|"(?:[ !#-\[\]-~]|\\[ -~])*"')
_AUTHORITY = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://(?:[A-Za-z0-9._~!$&'()*+,;=:%-]*@)?(?P<host>[^/?#@:\s\[\]]+)(?::[0-9]*)?(?:[/?#]\S*)?"
)
_HOST_LIMIT = 253  # RFC 1035 section 2.3.4
_SMTP_UTF8_MAILBOX = "1.3.6.1.5.5.7.8.9"


class NameRefused(Exception):
    """The constraints do not allow a name; `str()` says which form and why."""


class ComparisonsExceeded(Exception):
    """A judgement would compare more names with subtrees than it may."""


@dataclass(slots=True)
class ComparisonBudget:
    """The number of comparisons that one judgement has left."""

    left: int = COMPARISON_LIMIT

    def spend(self, count: int) -> None:
        """Count comparisons; raise `ComparisonsExceeded` if none are left."""
        self.left -= count
        if self.left < 0:
            raise ComparisonsExceeded


@dataclass(frozen=True, slots=True)
class Host:
    """A host name in lower case; `wildcard` if it began with `*.` (names only)."""

    text: str
    wildcard: bool = False


@dataclass(frozen=True, slots=True)
class HostTree:
    """A host name and all names below it; every host if it is empty (DNS subtrees)."""

    text: str


@dataclass(frozen=True, slots=True)
class Domain:
    """All hosts below a domain, without the domain itself: `.example.com` (e-mail and URI subtrees)."""

    text: str


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An e-mail address; the local part is compared exactly."""

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
"""The value of a name or subtree; None if it cannot be judged."""


_Reader = Callable[[str, str], Value]
"""Parses text of a form, as a name or as a subtree."""


@dataclass(frozen=True, slots=True)
class ConstrainedName:
    """A name or a subtree of one form (`dns`, `email`, `uri`, `ip`, `directory`, or the identifier of another form)."""

    form: str
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Subtrees:
    """The nameConstraints of one authority, or the initial subtrees: form -> subtrees of that form."""

    permitted: dict[str, tuple[Value, ...]]
    excluded: dict[str, tuple[Value, ...]]


def read_subtrees(extension: x509.NameConstraints) -> Subtrees:
    """Return an authority's constraints, parsed for comparison."""
    return group_subtrees(
        [read_subtree(one) for one in extension.permitted_subtrees or ()],
        [read_subtree(one) for one in extension.excluded_subtrees or ()],
    )


def read_subtree(base: x509.GeneralName) -> ConstrainedName:
    """Return one subtree, parsed for comparison; its value is None if it cannot be judged."""
    return _read(base, _read_subtree)


def group_subtrees(permitted: Iterable[ConstrainedName], excluded: Iterable[ConstrainedName]) -> Subtrees:
    """Return the constraints that consist of these subtrees."""
    return Subtrees(permitted=_by_form(permitted), excluded=_by_form(excluded))


def read_names(
    subject: x509.Name, canonical: CanonicalName, alternative: Sequence[x509.GeneralName]
) -> tuple[ConstrainedName, ...]:
    """Return the names of a certificate that constraints apply to: steps 1 and 2.

    Args:
        subject: as the library parsed it.
        canonical: the same name in canonical form.
        alternative: the general names. The result begins with them, in the same order.
    """
    names = [_read(name, _read_name) for name in alternative]
    if canonical:
        names.append(ConstrainedName(DIRECTORY, canonical))
    if not any(name.form == EMAIL for name in names):
        addresses = subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)
        names += [ConstrainedName(EMAIL, _read_mailbox(str(one.value))) for one in addresses]
    return tuple(names)


def check_names(names: Iterable[ConstrainedName], subtrees: Subtrees, budget: ComparisonBudget) -> None:
    """Return if all names are within the constraints: steps 3 to 5.

    Raises:
        NameRefused: a name is not.
        ComparisonsExceeded: the budget is used up.
    """
    for name in names:
        excluded = subtrees.excluded.get(name.form, ())
        permitted = subtrees.permitted.get(name.form, ())
        budget.spend(len(excluded) + len(permitted))
        if any(_may_hold(subtree, name.value) for subtree in excluded):
            raise NameRefused(f"a name of the form {name.form} is in an excluded subtree")
        if permitted and not any(_holds(subtree, name.value) for subtree in permitted):
            raise NameRefused(f"a name of the form {name.form} is in no permitted subtree")


def _may_equal(
    wanted: tuple[tuple[str, str | bytes], ...], found: tuple[tuple[str, str | bytes], ...]
) -> bool:
    """Return whether two relative names may be equal: an opaque value may equal any value of its type."""
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
    """Return a host name in lower case; None if it is not one (an address, a space, a bad label).

    Other characters than ASCII are refused, because lower case could turn them into ASCII (the Kelvin sign into `k`).
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
    if form == URI:  # only a URI with a host can be in a subtree (4.2.1.10)
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
    """Return whether a name is certainly in a subtree of its form."""
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
    """Return whether a name may be in a subtree: one that cannot be judged may be, and so may any name of a wildcard."""
    if subtree is None or name is None or _holds(subtree, name):
        return True
    match subtree, name:
        case HostTree(text=tree), Host(text=host, wildcard=True):
            return tree.endswith("." + host)
        case tuple(), tuple():
            return len(name) >= len(subtree) and all(map(_may_equal, subtree, name))
    return False
