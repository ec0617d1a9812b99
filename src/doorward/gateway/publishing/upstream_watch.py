"""Watching whether each application answers, and if not, why: refused, DNS, permission, TLS.

Every ten seconds a connection is opened as the user that Envoy runs as, and closed again: nothing is
sent, so the application's log has no request of ours. `status` and `app list` show the results. Applications with the
same upstream are probed once; with many upstreams the pauses are longer, so that the cost stays the same.
This changes nothing at the door: there Envoy itself notices which connections fail (`enforcement.envoy.clusters`).

Standard: RFC 6724 (which address first), RFC 9525 section 6 (the name in the certificate).
"""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import structlog

from doorward.enforcement.upstream_files import UpstreamFiles
from doorward.policy.model import HttpUpstream, Upstream, upstream_address

_log = structlog.get_logger("doorward.upstreams")

PAUSE_SECONDS = 10.0
PATIENCE_SECONDS = 3.0
MOST_AT_ONCE = 32
MOST_A_SECOND = 50
"""On average, so that a thousand upstreams take 2 % of a core."""
MOST_TOLD = 50
"""How many applications the status of a gateway names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedUpstream:
    """One application's upstream, and the files by which it is verified."""

    name: str
    upstream: Upstream
    files: UpstreamFiles | None = None


class UpstreamWatch:
    """Probes all upstreams again and again.

    Args:
        current: the upstreams to probe.
        probe: returns why an upstream does not answer, and an empty text if it does; may be slow.
    """

    def __init__(
        self,
        current: Callable[[], Sequence[WatchedUpstream]],
        probe: Callable[[WatchedUpstream], str] | None = None,
    ) -> None:
        self._current = current
        self._probe = probe or probe_upstream
        self._lock = threading.Lock()
        self._found: dict[str, str] = {}
        self._running: set[str] = set()
        self._news = threading.Event()

    def silent(self) -> Mapping[str, str]:
        """Return the applications that do not answer, each with the reason; at most fifty."""
        with self._lock:
            return dict(sorted((name, why) for name, why in self._found.items() if why)[:MOST_TOLD])

    def wake(self) -> None:
        """Probe at once, because the upstreams changed."""
        self._news.set()

    def run(self, stop: threading.Event) -> None:
        """Probe again and again until `stop` is set and `wake` was called."""
        while not stop.is_set():
            self._news.clear()
            self._news.wait(max(PAUSE_SECONDS, self.look() / MOST_A_SECOND))

    def look(self) -> int:
        """Probe each upstream once, some at a time; return how many different ones there are."""
        sharing: dict[tuple[Upstream, UpstreamFiles | None], list[str]] = {}
        watched = list(self._current())
        for one in watched:
            sharing.setdefault((one.upstream, one.files), []).append(one.name)
        different = [
            (WatchedUpstream(name=names[0], upstream=upstream, files=files), tuple(names))
            for (upstream, files), names in sharing.items()
        ]
        for at in range(0, len(different), MOST_AT_ONCE):
            self._look_at(different[at : at + MOST_AT_ONCE])
        with self._lock:
            names = {one.name for one in watched}
            self._found = {name: why for name, why in self._found.items() if name in names}
        return len(different)

    def _look_at(self, some: Sequence[tuple[WatchedUpstream, tuple[str, ...]]]) -> None:
        threads = []
        for one, names in some:
            with self._lock:
                if one.name in self._running:
                    continue  # its last probe still runs
                self._running.add(one.name)
            # A thread for each probe, which is not joined at the end: a resolver may block it for half a minute.
            thread = threading.Thread(target=self._ask, args=(one, names), name="upstream", daemon=True)
            thread.start()
            threads.append((one, names, thread))
        limit = time.monotonic() + PATIENCE_SECONDS
        for one, names, thread in threads:
            thread.join(max(0.0, limit - time.monotonic()))
            if thread.is_alive():
                self._note(names, _no_answer(one.upstream))

    def _ask(self, one: WatchedUpstream, names: Sequence[str]) -> None:
        why = "it could not be probed, see the log"
        try:
            why = self._probe(one)
        except Exception:  # noqa: BLE001  a bug of the probe must not count as an answer
            _log.exception("an upstream could not be probed", application=one.name)
        finally:
            self._note(names, why)
            with self._lock:
                self._running.discard(one.name)

    def _note(self, names: Sequence[str], why: str) -> None:
        with self._lock:
            self._found.update(dict.fromkeys(names, why))


def probe_upstream(one: WatchedUpstream) -> str:
    """Open a connection and close it; return why that fails, and an empty text if it succeeds."""
    try:
        place = upstream_address(one.upstream)
        if isinstance(place, str):
            _open_unix(place)
        else:
            _open_tcp(place, one.upstream, one.files)
    except socket.gaierror as error:
        return f"DNS: {error.strerror or 'the name is not known'}"
    except ssl.SSLCertVerificationError as error:
        return f"TLS: {error.verify_message}"
    except ssl.SSLError as error:
        return f"TLS: {(error.reason or 'the handshake failed').lower().replace('_', ' ')}"
    except OSError as error:
        return _WORDS.get(error.errno or 0) or (error.strerror or "no answer").lower()
    return ""


_WORDS = {
    errno.ECONNREFUSED: "connection refused: nothing listens there",
    errno.ENOENT: "there is no such socket",
    errno.EACCES: "permission denied: the gateway's user may not open it",
    errno.EPERM: "permission denied: the gateway's user may not open it",
    errno.ETIMEDOUT: "no answer",
}


def _open_unix(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PATIENCE_SECONDS)
        probe.connect(path)


def _open_tcp(place: tuple[str, int], upstream: Upstream, files: UpstreamFiles | None) -> None:
    with socket.create_connection(place, timeout=PATIENCE_SECONDS) as plain:
        if not isinstance(upstream, HttpUpstream) or upstream.tls is None:
            return
        context = _context(files)
        name = upstream.tls.server_name or upstream.host
        with context.wrap_socket(plain, server_hostname=name) as secure, suppress(TimeoutError):
            # In TLS 1.3 a server that refuses our certificate sends its alert after the handshake.
            secure.settimeout(0.1)
            secure.recv(1)


@lru_cache(maxsize=256)
def _context(files: UpstreamFiles | None) -> ssl.SSLContext:
    """Return a TLS context; kept, because reading the system's store takes 20 ms. A changed file has another path."""
    context = ssl.create_default_context(cafile=files.ca if files else None)
    if files and files.chain:
        context.load_cert_chain(files.chain, files.key)
    return context


def _no_answer(upstream: Upstream) -> str:
    place = upstream_address(upstream)
    if isinstance(place, tuple) and place[0].strip("0123456789.") and ":" not in place[0]:
        return f"DNS: no answer about {place[0]}, or {place[0]} itself does not answer"
    return "no answer"
