"""The job of `serve` that gets certificates from ACME authorities, put together from the settings.

It reads the database after a change, at the next time at which an order is due, and every `LONGEST_WAIT_SECONDS` because a
notification may be lost. An installation without ACME therefore does nothing here between two changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from doorward.authority.acme.filling import AcmeFilling
from doorward.authority.acme.ports import AcmeOptions, Prover
from doorward.authority.acme.renewal import ask_for_windows
from doorward.core.errors import ConfigurationError, Fault, MalformedInput
from doorward.files import read_limited
from doorward.runtime.acme.alpn import AlpnProver
from doorward.runtime.acme.dns_hook import DnsHookProver
from doorward.runtime.acme.transport import HttpsTransport, client_context
from doorward.runtime.own_listeners import OwnListeners, own_ports
from doorward.runtime.settings import Settings
from doorward.stores.acme_protocols import AcmeChallengeRecord
from doorward.stores.services import Services
from doorward.wire.acme import ChallengeKind
from doorward.wire.base64url import parse_base64url

LONGEST_WAIT_SECONDS = 60.0
HINDERED_SECONDS = 5.0
"""How long an order waits that is due and cannot go on: another one has its host, or its authority has a pause."""

REST_SECONDS = 0.5
"""After a change: changes may come many in a second."""

_MOST_KEY_BYTES = 4096
_LEAST_SECRET_BYTES = 16


class StoredProver:
    """Shows control by what is in the store: the listener of http-01 reads it there."""

    def present(self, challenge: AcmeChallengeRecord) -> None:
        """Do nothing: the challenge is in the store."""

    def withdraw(self, challenge: AcmeChallengeRecord) -> None:
        """Do nothing: the challenge ends with its order."""


class AcmeJob:
    """Fills orders, and asks for renewal windows; for one thread.

    Args:
        services: with keys.
        settings: of this installation.
        portal_host: the portal's host.
        stop: ends waits.
        changed: waits for a change of the database, at most so many seconds; returns whether there was one.
    """

    def __init__(
        self,
        services: Services,
        settings: Settings,
        portal_host: str,
        stop: threading.Event,
        changed: Callable[[float], bool],
    ) -> None:
        self._services = services
        self._stop = stop
        self._changed = changed
        self._directory = settings.acme_directory
        transport = HttpsTransport(
            client_context(settings.acme_ca_file), is_ours=OwnListeners(own_ports(settings)).has
        )
        provers: dict[ChallengeKind, Prover] = {
            ChallengeKind.HTTP: StoredProver(),
            ChallengeKind.TLS_ALPN: AlpnProver(services, stop.wait),
            ChallengeKind.DNS: DnsHookProver(settings.acme_dns_hook),
        }
        self._filling = AcmeFilling(
            services,
            build_acme_options(settings, portal_host),
            transport,
            provers,
            stop.wait,
            is_alone=not settings.database,  # SQLite serves one machine, and one `serve` has its status port
        )

    def work(self) -> bool:
        """Do what is due."""
        self._filling.work()
        ask_for_windows(self._services, self._filling.accounts, self._filling.pauses, self._directory)
        return False

    def wait(self, most_seconds: float) -> None:
        """Wait until an order may be due, at most so many seconds."""
        if self._changed(min(most_seconds, self._seconds_left())):
            self._stop.wait(REST_SECONDS)

    def _seconds_left(self) -> float:
        now = self._services.clock.now()
        with self._services.work.read() as stores:
            if stores.acme.due(now):
                return HINDERED_SECONDS
            at = stores.acme.next_due(now)
        return LONGEST_WAIT_SECONDS if at is None else (at - now).total_seconds()


def build_acme_options(settings: Settings, portal_host: str) -> AcmeOptions:
    """Return what the settings say; `portal_host` is certified too if they say so.

    Raises:
        ConfigurationError: `acme-eab-key-unusable`, `acme-listen-missing`.
    """
    is_http = settings.acme_challenge.value == ChallengeKind.HTTP.value
    if is_http and settings.acme_directory and not settings.acme_http_listen:
        raise _unusable(
            code="acme-listen-missing",
            message="acme_challenge is http-01, and no address is named where the authority may ask",
            hint="set acme_http_listen, for instance 0.0.0.0:80",
            key="acme_http_listen",
        )
    if settings.acme_challenge.value == ChallengeKind.DNS.value and not settings.acme_dns_hook:
        raise _unusable(
            code="acme-hook-missing",
            message="acme_challenge is dns-01, and no program is named that puts records into your zone",
            hint='set acme_dns_hook, for instance ["/etc/doorward/dns-hook"]',
            key="acme_dns_hook",
        )
    return AcmeOptions(
        directory=settings.acme_directory,
        contact=settings.acme_contact,
        eab_kid=settings.acme_eab_kid,
        eab_secret=_read_secret(settings),
        challenge=ChallengeKind(settings.acme_challenge.value),
        portal_host=portal_host if settings.portal_from_acme else "",
    )


def _read_secret(settings: Settings) -> bytes:
    file = settings.acme_eab_key_file
    if file is None:
        return b""
    hint = "write the key as the authority gave it (base64url), in a file that the user of the processes may read"
    try:
        text = read_limited(file, _MOST_KEY_BYTES).decode("ascii").strip().rstrip("=")
        secret = parse_base64url(text, code="acme-eab-key-unusable", what="the key")
    except (OSError, ValueError, MalformedInput):
        secret = b""
    if len(secret) < _LEAST_SECRET_BYTES:
        raise _unusable(
            code="acme-eab-key-unusable",
            message=f"{file} has no key in base64url with at least {_LEAST_SECRET_BYTES} bytes, or cannot be read",
            hint=hint,
            key="acme_eab_key_file",
        )
    return secret


def _unusable(*, code: str, message: str, hint: str, key: str) -> ConfigurationError:
    return ConfigurationError([Fault(code=code, message=message, hint=hint, key=key)])
