"""The root's revocation list, as an agent keeps it: certificates below the pinned root that the root has revoked.

    DIR/root.crl    the newest list that this machine has seen, DER

A server proves its name by a chain to the pinned root. The list names issuing authorities that were retired: somebody may
have the key of one, and can make a server certificate with it. Such a server is refused. The rules:
1. A list counts only if the pinned root signed it, and if it is about everything that the root issued.
2. The list with the latest thisUpdate is kept, of two of one second that with the larger number: otherwise an attacker would send an
   older list. The number alone does not tell: after a backup of the server was restored, lists begin again with a smaller one.
3. A list counts after its nextUpdate too, because a revoked authority never comes back.
4. When the identity drops the old root, the list of the new one is fetched at once, on a connection that the old one's list judges
   too: the old authority with a cross-certificate is below the new root.
5. Without a list the server is judged by its chain alone. The list is fetched from the enrolment host, on a connection that was
   judged by the list before: somebody who holds the stolen key, is between agent and server, and was there before the agent
   has seen the list, can withhold it. To refuse every server without a list would close the enrolment host whenever the list is
   late, and give nothing against this attacker, who can replay the list from before the retirement until its end.

Not here: fetching (`client`, `renewal`), the TLS connection (`transport`).
Standard: RFC 5280 sections 5.2.3, 5.2.5 and 6.3; docs/design/0088.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.agent.store import read_plain
from doorward.core.errors import MalformedInput

ROOT_LIST = "root.crl"
ROOT_LISTS_PATH = "/roots.crl"
ROOT_LISTS_TYPE = "application/x-pem-file"
_PEM = re.compile(rb"-----BEGIN X509 CRL-----[A-Za-z0-9+/=\s]{1,90000}-----END X509 CRL-----")
_MOST_LISTS = 4
"""During a rollover of the root there are two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootList:
    """A checked list.

    Args:
        root: the root's certificate, DER.
        number: the CRL number.
        this_update: when it was signed, aware, UTC.
        serials: the serial numbers of the certificates that the root has revoked.
        der: the list.
        is_last: whether it is the root's last one, which ends with the root: the root is not trusted any more.
    """

    root: bytes = field(repr=False)
    number: int
    this_update: datetime
    serials: frozenset[int]
    der: bytes = field(repr=False)
    is_last: bool = False

    def revokes(self, chain: Sequence[bytes]) -> bool:
        """Return whether the root has revoked a certificate of this chain.

        Args:
            chain: DER, leaf first, as TLS has verified it, the root last. It may end at another root, above a cross-certificate.
        """
        for one in chain:
            with suppress(ValueError):  # what does not parse is not what the root has signed
                if self.revokes_certificate(x509.load_der_x509_certificate(one)):
                    return True
        return False

    def revokes_certificate(self, one: x509.Certificate) -> bool:
        """Return whether the root has revoked a certificate with its name as the issuer."""
        root = x509.load_der_x509_certificate(self.root)
        return one.issuer == root.subject and one.serial_number in self.serials


def parse_root_list(der: bytes, root: x509.Certificate) -> RootList:
    """Return a list after every check: rule 1.

    Args:
        der: at most 64 KiB.
        root: the pinned root.

    Raises:
        MalformedInput: `root-list-malformed`.
    """
    try:
        crl = x509.load_der_x509_crl(der)
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        # A critical extension makes it a partial, an indirect or a delta list, or one that we do not understand.
        critical = [one for one in crl.extensions if one.critical]
        critical += [one for entry in crl for one in entry.extensions if one.critical]
        is_ours = crl.issuer == root.subject and crl.is_signature_valid(root.public_key())  # type: ignore[arg-type]  # any key; it raises
        serials = frozenset(entry.serial_number for entry in crl)
        is_last = crl.next_update_utc == root.not_valid_after_utc
    except Exception:  # noqa: BLE001  the library raises many types for a list that does not parse
        raise _malformed("it cannot be read") from None
    if critical or not is_ours:
        raise _malformed(
            "it is only a part of one" if is_ours else "the root of this identity has not signed it"
        )
    return RootList(
        root=root.public_bytes(Encoding.DER),
        number=number,
        this_update=crl.last_update_utc,
        serials=serials,
        der=der,
        is_last=is_last,
    )


def find_root_list(pem: bytes, root: x509.Certificate) -> RootList:
    """Return the list of this root among the lists of the server: of the roots that it trusts, and the last ones of others.

    Args:
        pem: at most 64 KiB.
        root: the pinned root.

    Raises:
        MalformedInput: `root-list-malformed`.
    """
    for block in _PEM.findall(pem)[:_MOST_LISTS]:
        with suppress(MalformedInput, ValueError):
            return parse_root_list(x509.load_pem_x509_crl(block).public_bytes(Encoding.DER), root)
    raise _malformed("there is none that the root of this identity has signed")


def load_root_list(directory: Path, root: x509.Certificate) -> RootList | None:
    """Return the list in the folder of an identity; None if there is none of this root that can be read."""
    try:
        data = read_plain(directory / ROOT_LIST)
        return parse_root_list(data, root) if data is not None else None
    except (OSError, MalformedInput):
        return None


def choose_newer(kept: RootList | None, found: RootList) -> RootList:
    """Return the list that was signed later: rule 2."""
    if kept is not None and (kept.this_update, kept.number) >= (found.this_update, found.number):
        return kept
    return found


def _malformed(why: str) -> MalformedInput:
    return MalformedInput(
        "root-list-malformed",
        f"the server's revocation list of the root is not one: {why}",
        hint="report it to the administrator of the server; a proxy may have changed the answer",
    )
