"""Server certificates of applications from PEM files that the policy document names: `certificates: {from: files, …}`.

Not here: reading one pair (certificate_files), certificates that the gateway orders (server_certificates).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from doorward.enforcement.plan import ServerCertificate
from doorward.gateway.publishing.certificate_files import CertificateFiles, FileWords
from doorward.gateway.publishing.copies import delete_copies
from doorward.policy.model import AppPolicy
from doorward.policy.server_certificates import CertifiedBy

_APPLICATION = re.compile(r"app_[a-z0-9]+")

MOST_TOLD = 3
"""Faults that the status has as one text; the log has each."""


class ApplicationFiles:
    """The pairs of all applications; for one thread, except `changed` and `trouble`.

    Args:
        folder: where copies are kept, each below the application's id.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pairs: dict[str, tuple[AppPolicy, CertificateFiles]] = {}

    def read(self, policies: Mapping[str, AppPolicy], now: datetime) -> dict[str, ServerCertificate]:
        """Return the certificate of each application that has usable files, by the application's id."""
        named = {id_: app for id_, app in policies.items() if app.certificates.by is CertifiedBy.FILES}
        self._forget_all_but(named)
        self._pairs = {id_: self._pair(id_, app) for id_, app in named.items()}
        found = {id_: pair.read(now) for id_, (_, pair) in self._pairs.items()}
        return {id_: one for id_, one in found.items() if one is not None}

    def _forget_all_but(self, named: Collection[str]) -> None:
        """Delete the copies of all other applications, also of those that left the document while no gateway ran."""
        with suppress(FileNotFoundError):
            for one in self._folder.iterdir():
                if one.name not in named and _APPLICATION.fullmatch(one.name):
                    delete_copies(one)
                    with suppress(OSError):
                        one.rmdir()

    def _pair(self, id_: str, app: AppPolicy) -> tuple[AppPolicy, CertificateFiles]:
        known = self._pairs.get(id_)
        if known is not None and (known[0].name, known[0].certificates) == (app.name, app.certificates):
            known[1].require(app.hosts)
            return app, known[1]
        source = app.certificates
        words = FileWords(
            what=f"the certificate of {app.name}",
            shut=f"{app.name} is shut",
            names=(source.certificate, source.key),
        )
        files = Path(source.certificate), Path(source.key)
        return app, CertificateFiles(files, app.hosts, self._folder / id_, name=id_, words=words)

    def has(self, application_id: str) -> bool:
        """Return whether the document, as it was read last, names files for an application."""
        return application_id in self._pairs

    def changed(self) -> bool:
        """Return whether a file changed since it was read last."""
        return any(pair.changed() for _, pair in tuple(self._pairs.values()))

    def trouble(self) -> str:
        """Return the faults of the last reading, as one text; empty if there are none."""
        told = [said for _, pair in tuple(self._pairs.values()) if (said := pair.trouble())]
        more = [f"and {len(told) - MOST_TOLD} more applications"] if len(told) > MOST_TOLD else []
        return "; ".join([*told[:MOST_TOLD], *more])
