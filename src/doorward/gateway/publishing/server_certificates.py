"""The gateway's own TLS server certificates: ordered, fetched, renewed before they expire.

Not here: issuing (`serve` fills orders) and giving them to Envoy (transition). The key of
each certificate is made here and never leaves this machine. A pair is deleted only once no published
configuration names it: if the hosts of an application change, the old certificate serves its hosts until
the new one is there. Every certificate has its own folder, named after its order, so that Envoy never reads
half of an old pair and half of a new one. For Envoy all certificates of one purpose have the same name:
a renewed certificate is new content of the same secret, which ends no connection. Another name would replace
the filter chain:

    keys/server/<purpose>/<order id>/key.pem      made first
    keys/server/<purpose>/<order id>/chain.pem    there once the order is filled
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from doorward.authority.orders import order_status, place_order
from doorward.core.errors import DoorwardError, NotFound, Unavailable
from doorward.core.ports import KeyKind
from doorward.enforcement.plan import ServerCertificate
from doorward.gateway.ballast import BALLAST
from doorward.pki.csr import build_csr
from doorward.stores.records import OrderState
from doorward.stores.services import Services

RETRY_SECONDS = 30.0
"""Wait after an order was refused; the document may have lost the hosts meanwhile."""

_RENEW_WITH_LEFT = 1 / 3
_log = structlog.get_logger("doorward.certificates")


@dataclass(frozen=True, slots=True)
class _Pair:
    """A chain and its key on disk: the hosts of the certificate, and its dates."""

    folder: Path
    hosts: tuple[str, ...]
    begin: datetime
    end: datetime

    def worth(self, wanted: tuple[str, ...]) -> tuple[bool, int, datetime]:
        """Return the sort key of pairs: exactly these hosts first, then more of them, then a later end."""
        return self.hosts == wanted, len(set(self.hosts).intersection(wanted)), self.end

    def is_due(self, now: datetime) -> bool:
        """Return whether it is time to order the next one."""
        return self.end - now < (self.end - self.begin) * _RENEW_WITH_LEFT


class ServerCertificates:
    """Keeps one valid certificate for each purpose; used by one thread.

    Args:
        services: the use cases' ports.
        gateway_id: the gateway that orders.
        folder: where keys and chains are kept, mode 0700.
    """

    def __init__(self, services: Services, gateway_id: str, folder: Path) -> None:
        self._services = services
        self._gateway_id = gateway_id
        self._folder = folder
        self._retry_at: dict[str, float] = {}

    def ensure(self, wanted: Mapping[str, tuple[str, ...]]) -> dict[str, ServerCertificate]:
        """Return the usable certificate of each purpose; order missing ones and those that expire soon.

        Args:
            wanted: purpose (`[a-z0-9_.:-]`) to the host names that its certificate must have.

        Returns:
            Only the purposes that have a certificate now. The certificate may lack some of the hosts (its `hosts` has the
            hosts that it covers); the other hosts follow when their certificates are issued.
        """
        found = {
            purpose: self._ensure_one(purpose, tuple(sorted(hosts))) for purpose, hosts in wanted.items()
        }
        return {purpose: one for purpose, one in found.items() if one is not None}

    def forget_others(self, purposes: Iterable[str], used: Iterable[ServerCertificate]) -> None:
        """Delete keys and chains that no configuration names any more.

        Args:
            purposes: the wanted purposes; their orders that are not filled yet stay.
            used: the certificates of the configuration in force.
        """
        kept, named = set(purposes), {Path(one.key_path).parent for one in used}
        for folder in self._folder.iterdir():
            if folder.is_dir() and folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            for pair in self._orders(folder.name):
                if (pair / "chain.pem").exists() and pair not in named:
                    shutil.rmtree(pair, ignore_errors=True)

    def _ensure_one(self, purpose: str, hosts: tuple[str, ...]) -> ServerCertificate | None:
        now = self._services.clock.now()
        usable: list[_Pair] = []
        waiting = False
        for folder in self._orders(purpose):
            if not (folder / "chain.pem").exists() and not self._collect(folder):
                waiting = waiting or folder.exists()
                continue
            leaf = _read_pair(folder)
            if leaf is None:
                _log.error(
                    "a server certificate or its key is damaged; a new one is ordered", order=folder.name
                )
                shutil.rmtree(folder)
                continue
            pair = _Pair(folder, _hosts(leaf), leaf.not_valid_before_utc, leaf.not_valid_after_utc)
            if pair.end > now and not set(pair.hosts).isdisjoint(hosts):
                usable.append(pair)
        best = max(usable, key=lambda one: one.worth(hosts), default=None)
        if not waiting and (best is None or best.hosts != hosts or best.is_due(now)):
            self._try_order(purpose, hosts)
        if best is None:
            return None
        return ServerCertificate(
            name=purpose,
            chain_path=str(best.folder / "chain.pem"),
            key_path=str(best.folder / "key.pem"),
            hosts=best.hosts,
        )

    def _orders(self, purpose: str) -> list[Path]:
        base = self._folder / purpose
        return sorted(path for path in base.iterdir() if path.is_dir()) if base.is_dir() else []

    def _try_order(self, purpose: str, hosts: tuple[str, ...]) -> None:
        """Order a certificate; if that fails, try again later. A certificate that exists stays in use."""
        if self._services.clock.monotonic() < self._retry_at.get(purpose, 0.0):
            return
        try:
            self._order(purpose, hosts)
        except DoorwardError as error:
            _log.error(
                "a server certificate cannot be ordered",
                purpose=purpose,
                code=error.code,
                detail=error.detail,
            )
            self._retry_at[purpose] = self._services.clock.monotonic() + RETRY_SECONDS

    def _order(self, purpose: str, hosts: tuple[str, ...]) -> None:
        key = self._services.factory.generate(KeyKind.P256)
        order = place_order(
            self._services, self._gateway_id, purpose, hosts, build_csr(key, hosts[0], dns=hosts)
        )
        folder = self._folder / purpose / order.id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        BALLAST.replace_file(folder / "key.pem", pem, durable=True)

    def _collect(self, folder: Path) -> bool:
        """Write the chain of a filled order; drop an order that was refused, is unknown, or lost its key."""
        try:
            status = order_status(self._services, folder.name)
        except NotFound:
            shutil.rmtree(folder)
            return False
        except (
            DoorwardError
        ) as error:  # the database is unavailable: the key must not be deleted because of that
            _log.error("the order of a server certificate cannot be read from the database", code=error.code)
            return False
        if not (folder / "key.pem").exists():  # after a crash between placing the order and writing its key
            shutil.rmtree(folder)
            return False
        if status.order.state is OrderState.OPEN:
            return False
        if status.order.state is not OrderState.FILLED:
            _log.error("an order for a server certificate was refused", why=status.order.refusal)
            self._retry_at[folder.parent.name] = self._services.clock.monotonic() + RETRY_SECONDS
            shutil.rmtree(folder)
            return False
        pem = b"".join(
            x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in status.chain_der
        )
        BALLAST.replace_file(folder / "chain.pem", pem, durable=True)
        return True


def missing_hosts(
    wanted: Mapping[str, tuple[str, ...]], ready: Mapping[str, ServerCertificate]
) -> dict[str, tuple[str, ...]]:
    """Return the hosts of each purpose that no certificate covers yet; purposes without such hosts are left out."""
    lacking = {
        purpose: tuple(sorted(set(hosts).difference(ready[purpose].hosts if purpose in ready else ())))
        for purpose, hosts in sorted(wanted.items())
    }
    return {purpose: hosts for purpose, hosts in lacking.items() if hosts}


def name_lacking(name: str, hosts: Collection[str]) -> str:
    """Return an application and its hosts, as part of a sentence."""
    return f"{name} ({', '.join(hosts)})"


def no_certificate() -> Unavailable:
    """Return the error for a gateway that has no server certificate at all."""
    return Unavailable(
        "no-server-certificate",
        "no server certificate was issued to this gateway",
        hint="start `doorward serve` with the same data directory or database",
    )


def _read_pair(folder: Path) -> x509.Certificate | None:
    """Return the leaf; None if the files are not a certificate and its own key."""
    try:
        leaf = x509.load_pem_x509_certificate((folder / "chain.pem").read_bytes())
        key = load_pem_private_key((folder / "key.pem").read_bytes(), password=None)
        return leaf if leaf.public_key() == key.public_key() else None
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _hosts(leaf: x509.Certificate) -> tuple[str, ...]:
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(sorted(names.get_values_for_type(x509.DNSName)))
