"""The roots that an identity trusts, and how it learns a new one from its enrolment host.

During a rollover of the root, the host offers both roots and their cross-certificates (`GET /roots.pem`):
1. the connection is verified with the roots that the identity has;
2. an offered root that the identity does not have is accepted only with a cross-certificate: its name and its key, in a CA certificate
   that is valid now, that a root of the identity has signed (NewWithOld), and that this root has not revoked. Its path length leaves
   room for an authority below it: that of an issuing authority leaves none, so the key of an issuing authority makes no root;
3. a root that is not offered any more is dropped only if the host proves its name on another connection with the remaining roots
   alone, and does not offer it there either;
4. and only with the last list of that root, which its own key has signed. Otherwise the thief of one issuing authority's key could, during
   a rollover, make an identity forget the other root, and it would be lost for its own host.
There is never an identity without a root: if an answer leaves none, the roots stay as they are.

Not here: writing them (`renewing`, `client`), the first root, which the link pins (`credential.parse_root`).
Standard: RFC 4210 section 4.4; RFC 7030 section 4.1.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from doorward.agent.credential import MAX_CHAIN, encode_public, parse_certificates
from doorward.agent.root_list import ROOT_LISTS_PATH, ROOT_LISTS_TYPE, RootList, find_root_list
from doorward.agent.transport import Response
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.wire.pem import render_certificates

ROOTS_PATH = "/roots.pem"
ROOTS_TYPE = "application/x-pem-file"
_CODE = "roots-malformed"

Roots = tuple[x509.Certificate, ...]


def learn_roots(
    known: Roots,
    fetch: Callable[[str, Roots], Response],
    now: datetime,
    root_list: RootList | None = None,
) -> Roots:
    """Return the roots that an identity should trust from now on; `known` if the host offers nothing that can be used.

    Args:
        known: the roots that it trusts; at least one.
        fetch: makes a GET of this path on a connection that is verified with the given roots only.
        now: aware, UTC.
        root_list: the newest revocation list of one of the known roots; None if there is none.

    Raises:
        Unavailable: the host did not answer; try again later.
    """
    try:
        offered = accept_roots(known, _read(fetch(ROOTS_PATH, known)), now, root_list)
        gone = [one for one in known if one not in offered]
        if not gone:
            return offered
        # 3. with the remaining roots alone
        again = accept_roots(offered, _read(fetch(ROOTS_PATH, offered)), now, root_list)
        if set(gone) & set(again):
            return known
        # 4. with the last list of each
        lists = fetch(ROOT_LISTS_PATH, offered)
    except (
        MalformedInput,
        RequestRefused,
    ):  # also a host of an earlier version, and one that the roots do not verify
        return known
    stay = [one for one in gone if not _has_ended(one, lists)]
    found = tuple(one for one in dict.fromkeys((*known, *again)) if one in again or one in stay)
    return found if len(found) <= MAX_CHAIN else known


def accept_roots(known: Roots, data: bytes, now: datetime, root_list: RootList | None = None) -> Roots:
    """Return the offered roots that an identity may trust: those that it has, first, and those that one of them certifies.

    Args:
        known: the roots that it trusts.
        data: PEM, at most 5 certificates: roots and cross-certificates in any order.
        now: aware, UTC.
        root_list: as in `learn_roots`.

    Returns:
        Accepted roots in the order of `known`, then new ones; `known` if none is accepted.

    Raises:
        MalformedInput: `roots-malformed`.
    """
    offered = parse_certificates(data, _CODE, "the roots")
    kept = tuple(one for one in known if one in offered)
    new = tuple(
        one
        for one in dict.fromkeys(offered)
        if one not in known and _may_be_root(one, now) and _is_certified(one, offered, known, now, root_list)
    )
    return (*kept, *new) or known


def render_roots(roots: Sequence[x509.Certificate]) -> bytes:
    """Return roots in PEM, as `root.pem` of an identity has them."""
    return render_certificates(roots)


def _read(answer: Response) -> bytes:
    if answer.status != 200 or answer.media_type != ROOTS_TYPE:  # noqa: PLR2004 - OK
        raise MalformedInput(_CODE, "the host offers no list of roots")
    return answer.body


def _has_ended(root: x509.Certificate, answer: Response) -> bool:
    """Step 4."""
    if answer.status != 200 or answer.media_type != ROOT_LISTS_TYPE:  # noqa: PLR2004 - OK
        return False
    try:
        return find_root_list(answer.body, root).is_last
    except MalformedInput:
        return False


def _is_certified(
    root: x509.Certificate,
    offered: Sequence[x509.Certificate],
    known: Roots,
    now: datetime,
    root_list: RootList | None,
) -> bool:
    """Step 2."""
    crosses = (
        one
        for one in offered
        if one.subject == root.subject
        and encode_public(one.public_key()) == encode_public(root.public_key()) != b""
        and _may_certify(one, now)
        and not (root_list is not None and root_list.revokes_certificate(one))
    )
    return any(_is_signed_by(cross, one) for cross in crosses for one in known if _may_certify(one, now))


def _may_be_root(one: x509.Certificate, now: datetime) -> bool:
    return _may_certify(one, now) and _is_signed_by(one, one)


def _may_certify(one: x509.Certificate, now: datetime) -> bool:
    """Return whether a certificate is that of a CA above other CAs, valid now."""
    try:
        constraints = one.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = one.extensions.get_extension_for_class(x509.KeyUsage).value
    except Exception:  # noqa: BLE001  none, two of them, or an extension that does not parse
        return False
    has_room = constraints.ca and constraints.path_length != 0
    return has_room and usage.key_cert_sign and one.not_valid_before_utc <= now < one.not_valid_after_utc


def _is_signed_by(one: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
