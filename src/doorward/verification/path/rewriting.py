"""Rewrites a certificate that the library cannot parse into a copy that it can; nothing that a decision needs is lost.

The library parses a whole certificate or nothing. Real certificates contain names and extensions that it does not
know, and an odd street name must not make a certificate unusable. So if the library fails, it gets a copy in which
1. names are in UTF-8, with a mark in place of an opaque value (name_parsing),
2. only extensions remain that a decision needs, without their needless parts: policy qualifiers, names in the
   authority key identifier, addresses that cannot be fetched,
3. opaque alternative names are left out, and returned beside the copy,
4. ECDSA and DSA have no parameters: Java writes a NULL (RFC 5758 section 3 requires omitting them),
5. an explicit `critical` FALSE is omitted (X.690 section 11.5).
If a part that a decision needs does not parse, it is copied unchanged. The library then fails on the copy too, and the
certificate is malformed.

The copy is only for reading. The signed bytes, the names for comparison and the critical extensions come from the
original.
Not here: parsing the copy (certificate).
Standard: RFC 5280 sections 4.1 and 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cryptography.x509.oid import ExtensionOID

from doorward.core.opaque_names import OpaqueName
from doorward.verification.path.name_parsing import ParsedName, parse_name
from doorward.verification.revocation.der import (
    BIT_STRING,
    BOOLEAN,
    OBJECT,
    OCTET_STRING,
    SEQUENCE,
    Element,
    Extension,
    MalformedDer,
    read_extensions,
    read_whole,
    render_dotted,
    render_element,
)

_VERSION, _EXTENSIONS = 0xA0, 0xA3
_TAIL = (0x81, 0x82, _EXTENSIONS)
"""The fields that may follow the key, each once and in this order."""
_NULL = b"\x05\x00"
_TRUE = render_element(BOOLEAN, b"\xff")
_BARE_ALGORITHMS = (
    bytes.fromhex("2a8648ce3d04"),
    bytes.fromhex("2a8648ce3804"),
    bytes.fromhex("6086480165030403"),
)
"""Prefixes of the object identifiers of ECDSA and DSA with a hash."""

_OTHER, _EMAIL, _DNS, _DIRECTORY, _URI, _IP, _RID = 0xA0, 0x81, 0x82, 0xA4, 0x86, 0x87, 0x88
_TEXT_NAMES = (_EMAIL, _DNS, _URI)
_KEY_ISSUER = 0xA1
_POINT_NAME, _FULL_NAME, _CRL_ISSUER = 0xA0, 0xA0, 0xA2
_PARTS = 3
_NOWHERE = render_element(_URI, b"invalid:")
"""Replaces a name that cannot be read, if no decision needs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrittenCertificate:
    """A copy for the library, and the parts that are taken from the original; `names` are the opaque alternative names."""

    der: bytes
    content: bytes
    issuer_der: bytes
    subject_der: bytes
    issuer: ParsedName
    subject: ParsedName
    algorithms_agree: bool
    present: frozenset[str]
    critical: frozenset[str]
    names: tuple[OpaqueName, ...]


def rewrite_certificate(der: bytes) -> RewrittenCertificate:
    """Return a copy of a certificate in which the library can parse everything that a decision needs.

    Raises:
        MalformedDer: it is not a certificate, or has two extensions of one kind.
    """
    content, algorithm, signature = _three(read_whole(der).require(SEQUENCE))
    parts = list(content.require(SEQUENCE).children())
    version = [parts.pop(0).whole] if parts and parts[0].tag == _VERSION else []
    if len(parts) < 6:  # noqa: PLR2004  serial, algorithm, issuer, validity, subject, key
        raise MalformedDer("no certificate")
    serial, inner, issuer_part, validity, subject_part, key, *rest = parts
    issuer, subject = parse_name(issuer_part.whole), parse_name(subject_part.whole)
    tags = [one.tag for one in rest]
    if tags != [tag for tag in _TAIL if tag in tags]:
        raise MalformedDer("unknown fields, or a field twice")
    extensions: tuple[Extension, ...] = ()
    for one in rest:
        if one.tag == _EXTENSIONS:
            extensions = read_extensions(one.only_child())
    kinds = [render_dotted(one.oid) for one in extensions]
    if len(set(kinds)) != len(kinds):
        raise MalformedDer("two extensions of one kind")
    names: list[OpaqueName] = []
    kept = [
        _render(one, value)
        for one, kind in zip(extensions, kinds, strict=True)
        if kind in _REWRITERS and (value := _REWRITERS[kind](one.value, names)) is not None
    ]
    tail = [one.whole for one in rest if one.tag != _EXTENSIONS]
    if kept:
        tail.append(render_element(_EXTENSIONS, render_element(SEQUENCE, *kept)))
    bare = _remove_null_parameters(inner)
    copied = render_element(
        SEQUENCE,
        *version,
        serial.whole,
        bare,
        issuer.rewrite(),
        validity.whole,
        subject.rewrite(),
        key.whole,
        *tail,
    )
    return RewrittenCertificate(
        der=render_element(SEQUENCE, copied, bare, signature.require(BIT_STRING).whole),
        content=content.whole,
        issuer_der=issuer_part.whole,
        subject_der=subject_part.whole,
        issuer=issuer,
        subject=subject,
        algorithms_agree=algorithm.whole == inner.whole,
        present=frozenset(kinds),
        critical=frozenset(kind for one, kind in zip(extensions, kinds, strict=True) if one.critical),
        names=tuple(names),
    )


def remove_null_parameters(algorithm: bytes) -> bytes:
    """Return an AlgorithmIdentifier without the NULL that the library refuses: step 4."""
    return _remove_null_parameters(read_whole(algorithm))


def _remove_null_parameters(algorithm: Element) -> bytes:
    parts = list(algorithm.require(SEQUENCE).children())
    bare = parts and parts[0].tag == OBJECT and parts[0].value.startswith(_BARE_ALGORITHMS)
    if bare and [one.whole for one in parts[1:]] == [_NULL]:
        return render_element(SEQUENCE, parts[0].whole)
    return algorithm.whole


def _three(element: Element) -> tuple[Element, Element, Element]:
    parts = list(element.children())
    if len(parts) != _PARTS:
        raise MalformedDer("no certificate")
    return parts[0], parts[1], parts[2]


def _render(extension: Extension, value: bytes) -> bytes:
    critical = _TRUE if extension.critical else b""
    return render_element(
        SEQUENCE, render_element(OBJECT, extension.oid), critical, render_element(OCTET_STRING, value)
    )


_Rewriter = Callable[[bytes, list[OpaqueName]], bytes | None]


def _keep(value: bytes, _names: list[OpaqueName]) -> bytes:
    return value


def _rewrite_alternative(value: bytes, names: list[OpaqueName]) -> bytes:
    """Step 3."""
    kept = []
    for one in read_whole(value).require(SEQUENCE).children():
        readable = _rewrite_name(one)
        if readable is None:
            names.append(OpaqueName(one.whole))
        else:
            kept.append(readable)
    return render_element(SEQUENCE, *kept)


def _rewrite_name(name: Element) -> bytes | None:
    """Return a general name as the library can parse it; None if it cannot."""
    if name.tag in _TEXT_NAMES:
        return name.whole if name.value.isascii() else None
    if name.tag == _DIRECTORY:
        return _rewrite_directory(name)
    if name.tag == _OTHER:
        return name.whole if _is_other_name(name) else None
    return name.whole if name.tag in (_IP, _RID) else None


def _rewrite_directory(name: Element) -> bytes | None:
    try:
        written = parse_name(name.only_child().whole)
    except MalformedDer:
        return None
    return None if written.opaque else render_element(name.tag, written.rewrite())


def _is_other_name(name: Element) -> bool:
    try:
        kind, value = name.children()
        return kind.tag == OBJECT and value.tag == _OTHER and value.only_child() is not None
    except ValueError:  # also another number of parts
        return False


def _rewrite_policies(value: bytes, _names: list[OpaqueName]) -> bytes:
    """Step 2: policies without their qualifiers, which are for people and decide nothing (4.2.1.4)."""
    policies = read_whole(value).require(SEQUENCE).children()
    return render_element(SEQUENCE, *(render_element(SEQUENCE, _first(one).whole) for one in policies))


def _first(element: Element) -> Element:
    return next(element.require(SEQUENCE).children())


def _rewrite_authority_key(value: bytes, _names: list[OpaqueName]) -> bytes:
    """Step 2: the key identifier, and the issuer's names if they can be parsed."""
    parts = []
    for one in read_whole(value).require(SEQUENCE).children():
        if one.tag == _KEY_ISSUER:
            names = [_rewrite_name(name) or _NOWHERE for name in one.children()]
            parts.append(render_element(_KEY_ISSUER, *names))
        else:
            parts.append(one.whole)
    return render_element(SEQUENCE, *parts)


def _rewrite_access(value: bytes, _names: list[OpaqueName]) -> bytes | None:
    """Step 2: all entries, with no address in place of one that cannot be fetched; None if the extension cannot be read."""
    kept = []
    try:
        for one in read_whole(value).require(SEQUENCE).children():
            method, location = one.require(SEQUENCE).children()
            readable = location.tag == _URI and location.value.isascii()
            address = location.whole if readable else _NOWHERE
            kept.append(render_element(SEQUENCE, method.require(OBJECT).whole, address))
    except ValueError:  # also another number of parts
        return None
    return render_element(SEQUENCE, *kept)


def _rewrite_points(value: bytes, _names: list[OpaqueName]) -> bytes:
    """Step 2: distribution points with addresses that can be fetched, and every other name unchanged or in UTF-8."""
    points = read_whole(value).require(SEQUENCE).children()
    return render_element(SEQUENCE, *(_rewrite_point(one) for one in points))


def _rewrite_point(point: Element) -> bytes:
    parts = []
    for part in point.require(SEQUENCE).children():
        if part.tag == _POINT_NAME:
            choice = part.only_child()
            full = choice.tag == _FULL_NAME
            inner = _rewrite_names(choice, asked=True) if full else choice.whole
            parts.append(render_element(part.tag, inner))
        else:
            parts.append(_rewrite_names(part, asked=False) if part.tag == _CRL_ISSUER else part.whole)
    return render_element(SEQUENCE, *parts)


def _rewrite_names(names: Element, *, asked: bool) -> bytes:
    """Return general names. A name that cannot be parsed is kept, so that the copy fails, unless it is an address."""
    kept = []
    for one in names.children():
        if asked and one.tag == _URI and not one.value.isascii():
            continue
        kept.append(_rewrite_name(one) or one.whole)
    return render_element(names.tag, *(kept or [_NOWHERE]))


def _rewrite_constraints(value: bytes, _names: list[OpaqueName]) -> bytes:
    """Step 1 in subtrees of directory names; nothing else is changed."""
    trees = read_whole(value).require(SEQUENCE).children()
    return render_element(
        SEQUENCE,
        *(render_element(one.tag, *(_rewrite_subtree(tree) for tree in one.children())) for one in trees),
    )


def _rewrite_subtree(tree: Element) -> bytes:
    def rewritten() -> Iterator[bytes]:
        for one in tree.require(SEQUENCE).children():
            yield (_rewrite_directory(one) or one.whole) if one.tag == _DIRECTORY else one.whole

    return render_element(SEQUENCE, *rewritten())


_REWRITERS: dict[str, _Rewriter] = {
    **dict.fromkeys(
        (
            ExtensionOID.BASIC_CONSTRAINTS.dotted_string,
            ExtensionOID.KEY_USAGE.dotted_string,
            ExtensionOID.EXTENDED_KEY_USAGE.dotted_string,
            ExtensionOID.POLICY_MAPPINGS.dotted_string,
            ExtensionOID.POLICY_CONSTRAINTS.dotted_string,
            ExtensionOID.INHIBIT_ANY_POLICY.dotted_string,
            ExtensionOID.SUBJECT_KEY_IDENTIFIER.dotted_string,
            "2.5.29.56",  # noRevAvail (RFC 9608)
        ),
        _keep,
    ),
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string: _rewrite_alternative,
    ExtensionOID.CERTIFICATE_POLICIES.dotted_string: _rewrite_policies,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER.dotted_string: _rewrite_authority_key,
    ExtensionOID.CRL_DISTRIBUTION_POINTS.dotted_string: _rewrite_points,
    ExtensionOID.NAME_CONSTRAINTS.dotted_string: _rewrite_constraints,
    ExtensionOID.AUTHORITY_INFORMATION_ACCESS.dotted_string: _rewrite_access,
}
"""The extensions that a decision needs, and how each is rewritten."""
