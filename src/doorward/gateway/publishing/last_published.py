"""The configurations that Envoy last had in force, in a file; a start uses one if the newest is refused.

Not here: the documents themselves, which the database has. No connection is admitted because of this file:
for each application the gate compares the published policy with the policy of the judgement.

One line for each configuration, newest first: the number of the revision, and for each application that
trusts partners the digest of the authorities of its door. The file has more than one line
because the newest configuration may be the one that makes Envoy crash (`gateway.publishing.crash_history`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import structlog

from doorward.gateway.ballast import BALLAST

KEPT = 3
"""Configurations that are kept."""

_LONGEST_BYTES = 1 << 20  # 10,000 applications with partners take 0.9 MB in one line
_NUMBER = re.compile(r"[0-9]{1,20}")
_TRUST = re.compile(r"[a-z0-9_]{1,64}=[0-9a-f]{64}")
_log = structlog.get_logger("doorward.publishing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The identity of a configuration: two equal values are the same configuration for Envoy.

    Args:
        revision: number of the policy document.
        trusts: application id to the SHA-256 of its authorities, for applications that trust partners.
    """

    revision: int
    trusts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class LastPublished:
    """The file of the last configurations, in the gateway's own folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[Configuration, ...] | None = None

    def number(self) -> int | None:
        """Return the revision that was last confirmed; None if none is noted or the file is unreadable."""
        return next((one.revision for one in self.history()), None)

    def history(self) -> tuple[Configuration, ...]:
        """Return the confirmed configurations, newest first; unreadable lines are left out."""
        try:
            with self._path.open("rb") as stream:
                lines = stream.read(_LONGEST_BYTES).decode("ascii").splitlines()
        except (OSError, ValueError):
            return ()
        found = (_parse(line) for line in lines[:KEPT])
        return tuple(one for one in found if one is not None)

    def note(self, now: Configuration) -> None:
        """Store a configuration durably; if that fails, a later start has fewer configurations to fall back to."""
        known = self.history() if self._known is None else self._known
        if self._known is not None and known[:1] == (now,):
            return
        kept = (now, *(one for one in known if one != now))[:KEPT]
        try:
            BALLAST.replace_file(self._path, "".join(map(_render, kept)).encode(), durable=True)
            self._known = kept
        except OSError as error:
            _log.error("the published revision could not be written to its file", why=error.strerror)


def _render(one: Configuration) -> str:
    return (
        " ".join([str(one.revision), *(f"{app}={digest}" for app, digest in sorted(one.trusts.items()))])
        + "\n"
    )


def _parse(line: str) -> Configuration | None:
    number, *trusts = line.split() or [""]
    if not _NUMBER.fullmatch(number) or not all(map(_TRUST.fullmatch, trusts)):
        return None
    return Configuration(revision=int(number), trusts=dict(one.split("=") for one in trusts))
